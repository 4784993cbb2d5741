/**
 * String literals: 'single' and "double" quoted with Go's escapes, `raw` without. `scanString`
 * finds the end and judges the escapes, `unquote` makes the value; `unquote` trusts the scan.
 */
import { isPrintable } from './printer-quote.ts';

export type StringScan =
  { readonly ok: true; readonly end: number } | { readonly ok: false; readonly why: string };

type Escape =
  | { readonly ok: true; readonly end: number; readonly code: number; readonly isByte: boolean }
  | { readonly ok: false; readonly why: string };

const SIMPLE_ESCAPES: Readonly<Record<string, number>> = {
  a: 7,
  b: 8,
  f: 12,
  n: 10,
  r: 13,
  t: 9,
  v: 11,
  '\\': 92,
};

/** Scans the string whose opening quote stands at `start`; `end` is after the closing one. */
export function scanString(text: string, start: number): StringScan {
  const delimiter = text[start]!;
  const isRaw = delimiter === '`';
  let at = start + 1;
  for (;;) {
    const char = text[at];
    if (char === undefined || (char === '\n' && !isRaw)) {
      return failure(isRaw ? 'unterminated raw string' : 'unterminated quoted string');
    }
    if (char === delimiter) return { ok: true, end: at + 1 };
    if (char === '\\' && !isRaw) {
      const escape = readEscape(text, at, delimiter);
      if (!escape.ok) return escape;
      at = escape.end;
    } else if (char === '\ufffd') {
      return failure('invalid UTF-8 rune');
    } else {
      at++;
    }
  }
}

/** The value of a scanned string literal, quotes included in `literal`. */
export function unquote(literal: string): string {
  const delimiter = literal[0]!;
  const body = literal.slice(1, -1);
  if (delimiter === '`' || !body.includes('\\')) return body;
  let value = '';
  let bytes: number[] = []; // a run of \x and octal escapes may spell one rune in UTF-8
  const end = literal.length - 1;
  for (let at = 1; at < end;) {
    const escape = literal[at] === '\\' ? readEscape(literal, at, delimiter) : undefined;
    if (escape?.ok === true && escape.isByte) {
      bytes.push(escape.code);
      at = escape.end;
      continue;
    }
    if (bytes.length > 0) value += decodeBytes(bytes);
    bytes = [];
    value += escape?.ok === true ? String.fromCodePoint(escape.code) : literal[at]!;
    at = escape?.ok === true ? escape.end : at + 1;
  }
  return bytes.length > 0 ? value + decodeBytes(bytes) : value;
}

const LONE_BYTES = 0xdc00;

/** Bytes as UTF-8; those that are none become lone surrogates, so that messages can show them. */
function decodeBytes(bytes: readonly number[]): string {
  const whole = Buffer.from(bytes).toString();
  if (!whole.includes('\ufffd')) return whole;
  let text = '';
  for (let at = 0; at < bytes.length;) {
    const lead = bytes[at]!;
    const length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    const rune = Buffer.from(bytes.slice(at, at + length)).toString();
    const isRune =
      Array.from(rune).length === 1 && rune !== '\ufffd' && at + length <= bytes.length;
    text += isRune ? rune : String.fromCharCode(LONE_BYTES + lead);
    at += isRune ? length : 1;
  }
  return text;
}

function failure(why: string): { readonly ok: false; readonly why: string } {
  return { ok: false, why };
}

/** Reads the escape whose backslash stands at `at`. */
function readEscape(text: string, at: number, delimiter: string): Escape {
  const char = runeAt(text, at + 1);
  if (char === undefined) return failure('escape sequence not terminated');
  if (char === delimiter) return escaped(at + 2, char.charCodeAt(0), false);
  if (Object.hasOwn(SIMPLE_ESCAPES, char)) return escaped(at + 2, SIMPLE_ESCAPES[char]!, false);
  if (char >= '0' && char <= '7') return readDigits(text, at + 1, { count: 3, base: 8, max: 255 });
  if (char === 'x') return readDigits(text, at + 2, { count: 2, base: 16, max: 255 });
  if (char === 'u') return readDigits(text, at + 2, { count: 4, base: 16, max: 0x10ffff });
  if (char === 'U') return readDigits(text, at + 2, { count: 8, base: 16, max: 0x10ffff });
  return failure(`unknown escape sequence ${describeRune(char)}`);
}

function escaped(end: number, code: number, isByte: boolean): Escape {
  return { ok: true, end, code, isByte };
}

interface EscapeDigits {
  readonly count: number;
  readonly base: number;
  readonly max: number;
}

function readDigits(text: string, start: number, { count, base, max }: EscapeDigits): Escape {
  let code = 0;
  for (let i = 0; i < count; i++) {
    const char = runeAt(text, start + i);
    if (char === undefined) return failure('escape sequence not terminated');
    const digit = /^[0-9a-fA-F]$/.test(char) ? Number.parseInt(char, 16) : base;
    if (digit >= base) return failure(`illegal character ${describeRune(char)} in escape sequence`);
    code = code * base + digit;
  }
  if (code > max || (code >= 0xd800 && code < 0xe000)) {
    return failure('escape sequence is an invalid Unicode code point');
  }
  return escaped(start + count, code, max === 255);
}

function runeAt(text: string, at: number): string | undefined {
  const code = text.codePointAt(at);
  return code === undefined ? undefined : String.fromCodePoint(code);
}

/** A rune as `U+0071 'q'`. */
function describeRune(rune: string): string {
  const code = (rune.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0');
  return isPrintable(rune) ? `U+${code} '${rune}'` : `U+${code}`;
}
