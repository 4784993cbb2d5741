/**
 * Query parameters, as Prometheus reads them: times are float seconds or RFC 3339, durations are
 * float seconds or `1h30m`. Each parser throws `request.parameter` naming the parameter.
 */
import { StarlingError } from '../model/errors.ts';

/** Times beyond this many milliseconds are refused: still exact integers, and ±280,000 years. */
const TIME_MAX_MS = Number.MAX_SAFE_INTEGER;
export const POINTS_PER_SERIES_MAX = 11_000;

const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/;
const RFC3339 = /^\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})$/;
const DURATION = /^(?:(\d+)y)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?$/;
const UNITS_MS = [365 * 86_400_000, 7 * 86_400_000, 86_400_000, 3_600_000, 60_000, 1000, 1];

/** A time in Unix milliseconds. `parseDate` is given, so that no clock is reached from here. */
export function parseTime(
  parameter: string,
  text: string,
  parseDate: (text: string) => number,
): number {
  const ms = NUMBER.test(text)
    ? Math.round(Number(text) * 1000)
    : RFC3339.test(text)
      ? parseDate(text)
      : Number.NaN;
  if (Number.isNaN(ms) || Math.abs(ms) > TIME_MAX_MS) {
    throw invalid(parameter, `cannot parse ${JSON.stringify(text)} to a valid timestamp`);
  }
  return ms;
}

/** A duration in milliseconds, possibly negative or zero: the caller knows what it allows. */
export function parseDuration(parameter: string, text: string): number {
  let ms = Number.NaN;
  if (NUMBER.test(text)) {
    ms = Math.round(Number(text) * 1000);
  } else if (text !== '') {
    const parts = DURATION.exec(text);
    if (parts !== null)
      ms = UNITS_MS.reduce((sum, unit, i) => sum + unit * Number(parts[i + 1] ?? 0), 0);
  }
  if (Number.isNaN(ms) || Math.abs(ms) > TIME_MAX_MS) {
    throw invalid(parameter, `cannot parse ${JSON.stringify(text)} to a valid duration`);
  }
  return ms;
}

/** `limit`: a non-negative whole number; 0 means none. */
export function parseLimit(text: string | undefined): number {
  if (text === undefined || text === '') return 0;
  const limit = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(limit)) {
    throw invalid('limit', 'limit must be non-negative');
  }
  return limit;
}

/** Checks a range query's bounds and step. Throws `request.parameter`. */
export function checkRange(startMs: number, endMs: number, stepMs: number): void {
  if (endMs < startMs) throw invalid('end', 'end timestamp must not be before start time');
  if (stepMs <= 0) {
    throw invalid(
      'step',
      'zero or negative query resolution step widths are not accepted. Try a positive integer',
    );
  }
  if ((endMs - startMs) / stepMs > POINTS_PER_SERIES_MAX) {
    throw invalid(
      'step',
      'exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)',
    );
  }
}

export function invalid(parameter: string, why: string): StarlingError {
  return new StarlingError('request.parameter', { parameter, why });
}
