/**
 * The shapes of numbers and durations in a query text: how far one reaches. The scan is more
 * generous than the value (`0x`, `1e` pass); `parser-number.ts` judges the value.
 *
 *   17  017  0x1F  1_000  .5  5.  1e3  1.5E-9        5m  1h30m  250ms
 */

export interface NumberScan {
  readonly kind: 'bad' | 'duration' | 'number';
  /** The index after the token; for `bad` after the last character looked at. */
  readonly end: number;
}

const DECIMAL = '0123456789';
const HEXADECIMAL = '0123456789abcdefABCDEF';

/** Scans the number or duration that starts at `start`. */
export function scanNumberOrDuration(text: string, start: number): NumberScan {
  const number = scanNumber(text, start);
  if (number.kind === 'number') return number;
  return scanDurationRest(text, number.end);
}

export function isAlpha(code: number): boolean {
  return code === 95 || (code >= 97 && code <= 122) || (code >= 65 && code <= 90);
}

export function isDigit(code: number): boolean {
  return code >= 48 && code <= 57;
}

export function isAlphaNumeric(code: number): boolean {
  return isAlpha(code) || isDigit(code);
}

function isOneOf(text: string, at: number, set: string): boolean {
  return at < text.length && set.includes(text[at]!);
}

function skipAll(text: string, at: number, set: string): number {
  while (isOneOf(text, at, set)) at++;
  return at;
}

function bad(end: number): NumberScan {
  return { kind: 'bad', end };
}

function scanNumber(text: string, start: number): NumberScan {
  let at = start;
  let digits = DECIMAL;
  if (text[at] === '0') {
    at++;
    if (isOneOf(text, at, 'xX')) {
      at++;
      if (text[at] === '_') at++;
      digits = HEXADECIMAL;
    }
  }
  if (text[at] === '.') at++;
  if (isOneOf(text, at, digits)) at++;
  let hasDot = false;
  let hasExponent = false;
  while (isOneOf(text, at, digits) || isOneOf(text, at, '._eE')) {
    if (text[at] === '.') {
      at++;
      if (hasDot) return bad(at);
      hasDot = true;
      if (isOneOf(text, at, '_.')) return bad(at + 1);
      if (digits === HEXADECIMAL) return bad(at);
    } else if (isOneOf(text, at, 'eE')) {
      at++;
      if (hasExponent) return bad(at);
      hasExponent = true;
      if (isOneOf(text, at, '+-')) at++;
      if (isOneOf(text, at, '._eE')) return bad(at + 1);
      if (at >= text.length) return bad(at);
    } else if (text[at] === '_') {
      at++;
      if (isOneOf(text, at, '._eE')) return bad(at + 1);
      if (at >= text.length) return bad(at);
    } else {
      at = skipAll(text, at, digits);
    }
  }
  // A letter right after it makes it something else, most often a duration.
  return isAlphaNumeric(text.charCodeAt(at)) ? bad(at) : { kind: 'number', end: at };
}

/** Goes on after the leading digits of what may be a duration. */
function scanDurationRest(text: string, start: number): NumberScan {
  let at = start;
  if (!isOneOf(text, at, 'smhdwy')) return bad(at);
  at++;
  if (text[at] === 's') at++; // ms; nonsense such as `hs` is found when the value is read
  while (isOneOf(text, at, DECIMAL)) {
    at = skipAll(text, at, DECIMAL);
    if (!isOneOf(text, at, 'smhdw')) return bad(at);
    at++;
    if (text[at] === 's') at++;
  }
  return isAlphaNumeric(text.charCodeAt(at)) ? bad(at + 1) : { kind: 'duration', end: at };
}
