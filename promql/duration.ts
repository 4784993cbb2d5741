/**
 * Durations in Prometheus' form, `1y2w3d4h5m6s7ms`: units from large to small, each at most once,
 * no fractions, no sign. A year is 365 days, a week 7 days, a day 24 hours.
 */
import { quote } from './printer-quote.ts';

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

interface DurationUnit {
  readonly name: string;
  readonly ms: number;
  /** Printed only when the rest is a whole number of them: 8d stays `8d`, not `1w1d`. */
  readonly isExactOnly: boolean;
}

/** From large to small. */
const UNITS: readonly DurationUnit[] = [
  { name: 'y', ms: 365 * DAY_MS, isExactOnly: true },
  { name: 'w', ms: 7 * DAY_MS, isExactOnly: true },
  { name: 'd', ms: DAY_MS, isExactOnly: false },
  { name: 'h', ms: HOUR_MS, isExactOnly: false },
  { name: 'm', ms: MINUTE_MS, isExactOnly: false },
  { name: 's', ms: SECOND_MS, isExactOnly: false },
  { name: 'ms', ms: 1, isExactOnly: false },
];

/** The longest duration, 2^63 ns (about 292 years), in milliseconds. */
export const DURATION_MS_MAX = Number(2n ** 63n / 1_000_000n);

export type ParsedDuration =
  { readonly ok: true; readonly ms: number } | { readonly ok: false; readonly why: string };

/** Reads a duration; `0` needs no unit. Never throws: `why` is Prometheus' sentence. */
export function parseDuration(text: string): ParsedDuration {
  if (text === '0') return { ok: true, ms: 0 };
  if (text === '') return failure('empty duration string');
  const invalid = failure(`not a valid duration string: ${quote(text)}`);
  let ms = 0;
  let unitsUsed = 0;
  for (let at = 0; at < text.length;) {
    const [part = '', digits = '', name = ''] = /^([0-9]+)([^0-9]+)/.exec(text.slice(at)) ?? [];
    if (part === '') return invalid;
    const rank = UNITS.findIndex((unit) => unit.name === name);
    if (rank < 0) return failure(`unknown unit ${quote(name)} in duration ${quote(text)}`);
    if (rank < unitsUsed) return invalid;
    unitsUsed = rank + 1;
    if (Number(digits) >= 2 ** 64) return invalid;
    ms += Number(digits) * UNITS[rank]!.ms;
    if (ms > DURATION_MS_MAX) return failure('duration out of range');
    at += part.length;
  }
  return { ok: true, ms };
}

function failure(why: string): ParsedDuration {
  return { ok: false, why };
}

/** Prints a duration of whole milliseconds; a negative one gets a minus sign. */
export function formatDuration(durationMs: number): string {
  if (durationMs < 0) return `-${formatDuration(-durationMs)}`;
  let restMs = Math.trunc(durationMs);
  if (restMs === 0) return '0s';
  let text = '';
  for (const unit of UNITS) {
    if (unit.isExactOnly && restMs % unit.ms !== 0) continue;
    const count = Math.floor(restMs / unit.ms);
    if (count > 0) text += `${count}${unit.name}`;
    restMs -= count * unit.ms;
  }
  return text;
}
