/**
 * I16 of a bucket: nothing is gone before its retention, and everything is after it. And what is read of aggregates is
 * what the samples that were shipped answer.
 */
import type { TimeRange } from '../../model/sample.ts';
import { RAW_RETENTION_MS, RULE_MS, RULE_SERIES } from '../compaction/ages.ts';
import type { Violation } from './answer.ts';
import { type ShippedSample, checkCompacted } from './compacted.ts';

/** When a read was asked and answered, by true clocks. */
export interface ReadTimes {
  readonly readAtMs: number;
  readonly askedWallMs: number;
  readonly answeredWallMs: number;
}

type Found = ReadonlyMap<number, ReadonlyMap<number, number>>;

/**
 * A block ends up to a day after its first sample, who removes it may have been down, and one that was marked by a clock
 * that is ahead stays until then.
 */
const GONE_AFTER_MS = 68 * 3_600_000;

/** What is wrong with the samples that a read of a range found. */
export function checkAged(
  shipped: readonly ShippedSample[],
  { range, ...times }: ReadTimes & { readonly range: TimeRange },
  found: Found,
): readonly Violation[] {
  const { answeredWallMs, askedWallMs, readAtMs } = times;
  const retentionMsOf = (series: number): number =>
    series === RULE_SERIES ? Math.min(RULE_MS, RAW_RETENTION_MS) : RAW_RETENTION_MS;
  // What is past its retention is not owed.
  const owed = shipped.map((one) =>
    one.timeMs > answeredWallMs - retentionMsOf(one.series)
      ? one
      : { ...one, owedSinceMs: undefined },
  );
  const late: string[] = [];
  for (const [series, samples] of found) {
    for (const timeMs of samples.keys()) {
      const isHidden = series === RULE_SERIES && timeMs <= askedWallMs - RULE_MS;
      const isOver = timeMs <= askedWallMs - RAW_RETENTION_MS - GONE_AFTER_MS;
      if (isHidden || isOver) late.push(`series ${series} shows ${timeMs}, past its retention`);
    }
  }
  const lateFirst = late.slice(0, 1).map((what) => ({ invariant: 'I16', what }));
  const lost = checkCompacted(owed, { range, readAtMs }, found);
  return [...lateFirst, ...lost.map(({ what }) => ({ invariant: 'I16', what }))];
}

export const AGED_FUNCTIONS = ['avg', 'count', 'last', 'max', 'min', 'sum'] as const;
export type AgedFunction = (typeof AGED_FUNCTIONS)[number];

const RELATIVE_ERROR_MAX = 1e-12;

/** What is wrong with `FUNCTION_over_time` of a series over windows that end at each step. */
export function checkAggregated(
  shipped: readonly ShippedSample[],
  asked: {
    readonly function: AgedFunction;
    readonly series: number;
    readonly startMs: number;
    readonly endMs: number;
    readonly stepMs: number;
    readonly rangeMs: number;
  },
  points: ReadonlyMap<number, number>,
): readonly Violation[] {
  const { endMs, rangeMs, series, startMs, stepMs } = asked;
  const own = shipped.filter((one) => one.series === series).sort((a, b) => a.timeMs - b.timeMs);
  const byTime = new Map(own.map(({ timeMs, value }) => [timeMs, value]));
  for (let atMs = startMs; atMs <= endMs; atMs += stepMs) {
    const values = [...byTime]
      .filter(([timeMs]) => timeMs > atMs - rangeMs && timeMs <= atMs)
      .map(([, value]) => value);
    const expected = values.length === 0 ? undefined : valueOf(asked.function, values);
    const shown = points.get(atMs);
    if (isNear(shown, expected)) continue;
    const what = `${asked.function} over ${rangeMs} ms of series ${series} at ${atMs} is ${shown}, of the samples ${expected}`;
    return [{ invariant: 'I16', what }];
  }
  return [];
}

function isNear(shown: number | undefined, expected: number | undefined): boolean {
  if (shown === undefined || expected === undefined) return shown === expected;
  return Math.abs(shown - expected) <= RELATIVE_ERROR_MAX * Math.abs(expected);
}

function valueOf(name: AgedFunction, values: readonly number[]): number {
  const sum = values.reduce((total, value) => total + value, 0);
  switch (name) {
    case 'avg':
      return sum / values.length;
    case 'count':
      return values.length;
    case 'last':
      return values.at(-1) ?? Number.NaN;
    case 'max':
      return Math.max(...values);
    case 'min':
      return Math.min(...values);
    case 'sum':
      return sum;
  }
}
