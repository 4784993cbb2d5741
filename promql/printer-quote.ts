/**
 * Quoting as Go's `%q` does it: the form of strings in messages, in printed expressions and in
 * matchers. Printable runes stay, everything else becomes an escape that `unquote` reads back.
 */

const NAMED_ESCAPES: ReadonlyMap<string, string> = new Map([
  ['\x07', '\\a'],
  ['\b', '\\b'],
  ['\f', '\\f'],
  ['\n', '\\n'],
  ['\r', '\\r'],
  ['\t', '\\t'],
  ['\v', '\\v'],
  ['\\', '\\\\'],
]);

const PRINTABLE = /^[\p{L}\p{M}\p{N}\p{P}\p{S} ]$/u;
const PLAIN = /^[ !#-[\]-~]*$/;

/** True when Go prints the rune as it is. */
export function isPrintable(rune: string): boolean {
  return PRINTABLE.test(rune);
}

/** `text` in double quotes. */
export function quote(text: string): string {
  if (PLAIN.test(text)) return `"${text}"`;
  let quoted = '"';
  for (const rune of text) quoted += escapeRune(rune, '"');
  return quoted + '"';
}

/** `text` in double quotes, cut to `runesMax` runes. */
export function quotePrefix(text: string, runesMax: number): string {
  const runes = Array.from(text.slice(0, 2 * runesMax));
  return quote(runes.slice(0, runesMax).join(''));
}

/** One rune in single quotes; the end of input (undefined) is shown as U+FFFD. */
export function quoteRune(rune: string | undefined): string {
  return `'${escapeRune(rune ?? '\ufffd', "'")}'`;
}

function escapeRune(rune: string, delimiter: string): string {
  if (rune === delimiter) return '\\' + rune;
  const named = NAMED_ESCAPES.get(rune);
  if (named !== undefined) return named;
  if (isPrintable(rune)) return rune;
  const code = rune.codePointAt(0) ?? 0;
  if (code < 0x20 || code === 0x7f) return `\\x${code.toString(16).padStart(2, '0')}`;
  if (code >= 0xdc80 && code <= 0xdcff) return `\\x${(code - 0xdc00).toString(16)}`; // a lone byte
  if (code >= 0xd800 && code <= 0xdfff) return '\ufffd'; // half a surrogate pair has no UTF-8 form
  if (code < 0x10000) return `\\u${code.toString(16).padStart(4, '0')}`;
  return `\\U${code.toString(16).padStart(8, '0')}`;
}

/** Text as JSON can carry it: bytes that are no UTF-8, kept as lone surrogates, are shown as U+FFFD. */
export function wellFormed(text: string): string {
  return text.replaceAll(/\p{Cs}/gu, '\ufffd');
}
