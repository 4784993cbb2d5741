/**
 * Times as people write them on a command line: `now`, `now-1h30m`, `now+5m`, Unix seconds, RFC 3339.
 * Pure: what is now, and how dates are read, is given.
 */
import { parseDuration } from '../../promql/index.ts';

export class UsageError extends Error {}

export interface TimeReader {
  readonly nowMs: number;
  /** NaN for what is no RFC 3339. */
  readonly parseDate: (text: string) => number;
}

const RELATIVE = /^now(?:([+-])(.+))?$/;
const NUMBER = /^[+-]?\d+(?:\.\d+)?$/;
const RFC3339 = /^\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})$/;

/** A time in Unix milliseconds. Throws `UsageError` naming the flag. */
export function readTime(flag: string, text: string, { nowMs, parseDate }: TimeReader): number {
  const relative = RELATIVE.exec(text);
  if (relative !== null) {
    const [, sign, length] = relative;
    if (length === undefined) return nowMs;
    return nowMs + (sign === '-' ? -1 : 1) * readDuration(flag, length);
  }
  const ms = NUMBER.test(text)
    ? Math.round(Number(text) * 1000)
    : RFC3339.test(text)
      ? parseDate(text)
      : NaN;
  if (Number.isSafeInteger(ms)) return ms;
  throw new UsageError(
    `${flag}: '${text}' is not a time: write now, now-1h, Unix seconds or 2026-01-31T12:00:00Z`,
  );
}

/** A duration in milliseconds: `1h30m`, or seconds. */
export function readDuration(flag: string, text: string): number {
  if (NUMBER.test(text) && Number(text) >= 0) return Math.round(Number(text) * 1000);
  const parsed = parseDuration(text);
  if (parsed.ok) return parsed.ms;
  throw new UsageError(`${flag}: '${text}' is not a duration: write 30s, 5m or 1h30m`);
}

const STEPS_WANTED = 250;
const STEP_MS_MIN = 1000;

/** A step that gives about as many points as a screen shows. */
export function stepFor(startMs: number, endMs: number): number {
  const stepMs = Math.ceil((endMs - startMs) / STEPS_WANTED / 1000) * 1000;
  return Math.max(STEP_MS_MIN, stepMs);
}
