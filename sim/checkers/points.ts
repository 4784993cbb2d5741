/**
 * Instant and range queries of one series: at each step the answer shows the latest sample within the
 * look-back. A point is right when it was sent to this series, is not later than its step, and nothing
 * acknowledged before the query lies between the two.
 *
 *   ──sample a──────sample b (acked)────step──      a is stale here (I5), b right, anything else I2/I3
 */
import type { History, SentSample } from '../history.ts';
import type { Violation } from './answer.ts';

export interface CheckedPoints {
  readonly node: string;
  readonly series: number;
  readonly startMs: number;
  readonly endMs: number;
  /** 0: one point at the end. */
  readonly stepMs: number;
  readonly lookbackMs: number;
  readonly askedAtMs: number;
  /** By step time. */
  readonly points: ReadonlyMap<number, number>;
}

/** What is wrong with the points of an answer. */
export function checkPoints(history: History, answer: CheckedPoints): readonly Violation[] {
  const { askedAtMs, endMs, lookbackMs, node, points, series, startMs, stepMs } = answer;
  const samples = history.samplesIn(series, startMs - lookbackMs + 1, endMs);
  const byValue = new Map(samples.map((sample) => [sample.value, sample]));
  const violations: Violation[] = [];
  let owed: SentSample | undefined;
  let next = 0;
  for (let atMs = startMs; atMs <= endMs; atMs += stepMs === 0 ? endMs - startMs + 1 : stepMs) {
    for (; next < samples.length && samples[next]!.timestampMs <= atMs; next++) {
      const { ackedAtMs } = samples[next]!;
      if (ackedAtMs !== undefined && ackedAtMs < askedAtMs) owed = samples[next];
    }
    const fromMs = atMs - lookbackMs;
    if (owed !== undefined && owed.timestampMs <= fromMs) owed = undefined;
    const shown = points.get(atMs);
    const where = (): string =>
      `${node} shows ${String(shown)} at the step ${atMs} of series ${series}`;
    if (shown === undefined) {
      if (owed !== undefined) {
        violations.push({ invariant: 'I5', what: `${where()}, but ${owed.value} is there` });
      }
      continue;
    }
    const sample = byValue.get(shown);
    if (sample === undefined || sample.timestampMs <= fromMs || sample.timestampMs > atMs) {
      const isSent = history.samplesOf(series).some(({ value }) => value === shown);
      const [invariant, why] = isSent ? ['I3', 'out of its reach'] : ['I2', 'never sent'];
      violations.push({ invariant, what: `${where()}: ${why}` });
    } else if (owed !== undefined && owed.timestampMs > sample.timestampMs) {
      violations.push({ invariant: 'I5', what: `${where()}, but ${owed.value} is later` });
    }
  }
  return violations;
}
