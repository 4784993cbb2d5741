/**
 * The value of number tokens, as Go's integer and float parsing give it, and its printed form.
 * Integers may be decimal, octal (leading 0), hexadecimal; floats decimal; `_` between digits.
 */
import { parseDuration } from './duration.ts';
import type { Token } from './lexer-token.ts';
import type { Cursor } from './parser-cursor.ts';
import { quote } from './printer-quote.ts';

const INTEGER = /^(?:0[xX](?:_?[0-9a-fA-F])+|0(?:_?[0-7])*|[1-9](?:_?[0-9])*)$/;
const FLOAT =
  /^(?:[0-9](?:_?[0-9])*\.?(?:[0-9](?:_?[0-9])*)?|\.[0-9](?:_?[0-9])*)(?:[eE][+-]?[0-9](?:_?[0-9])*)?$/;
const INT64_MAX = 2n ** 63n - 1n;

export type ParsedNumber =
  { readonly ok: true; readonly value: number } | { readonly ok: false; readonly why: string };

/** Reads a number as written in a query. */
export function parseNumber(text: string): ParsedNumber {
  const lower = text.toLowerCase();
  if (lower === 'inf') return { ok: true, value: Infinity };
  if (lower === 'nan') return { ok: true, value: NaN };
  const integer = INTEGER.test(text) ? parseInteger(text.replaceAll('_', '')) : undefined;
  if (integer !== undefined && integer <= INT64_MAX) return { ok: true, value: Number(integer) };
  if (!FLOAT.test(text)) return failure(text, 'invalid syntax');
  const value = Number(text.replaceAll('_', ''));
  return Number.isFinite(value) ? { ok: true, value } : failure(text, 'value out of range');
}

function parseInteger(digits: string): bigint {
  const isOctal = digits.length > 1 && digits.startsWith('0') && /^[0-7]+$/.test(digits);
  return BigInt(isOctal ? `0o${digits.slice(1)}` : digits);
}

function failure(text: string, why: string): ParsedNumber {
  return { ok: false, why: `strconv.ParseFloat: parsing ${quote(text)}: ${why}` };
}

/** The value of a `number` or `duration` token; a duration counts seconds. Throws `query.parse`. */
export function tokenValue(cursor: Cursor, token: Token): number {
  if (token.kind === 'duration') {
    const duration = parseDuration(token.text);
    if (!duration.ok) throw cursor.error(token.start, duration.why);
    const restMs = duration.ms % 1000;
    return (duration.ms - restMs) / 1000 + restMs / 1000;
  }
  const number = parseNumber(token.text);
  if (!number.ok) throw cursor.error(token.start, `error parsing number: ${number.why}`);
  return number.value;
}

/** Prints a number in plain decimal, the shortest digits that read back: `0.000001`, `+Inf`. */
export function formatNumber(value: number): string {
  if (Number.isNaN(value)) return 'NaN';
  if (!Number.isFinite(value)) return value > 0 ? '+Inf' : '-Inf';
  if (value < 0 || Object.is(value, -0)) return `-${formatNumber(-value)}`;
  const [, whole = '', fraction = '', exponent = '0'] =
    /^([0-9]+)(?:\.([0-9]+))?(?:e([+-][0-9]+))?$/.exec(String(value)) ?? [];
  const digits = whole + fraction;
  const point = whole.length + Number(exponent);
  if (point <= 0) return `0.${'0'.repeat(-point)}${digits}`;
  if (point >= digits.length) return digits + '0'.repeat(point - digits.length);
  return `${digits.slice(0, point)}.${digits.slice(point)}`;
}

/** Prints a number with `decimals` decimals, also beyond 1e21. */
export function formatFixed(value: number, decimals: number): string {
  if (!Number.isFinite(value)) return formatNumber(value);
  if (Math.abs(value) < 1e21) return value.toFixed(decimals);
  return `${BigInt(value)}.${'0'.repeat(decimals)}`;
}
