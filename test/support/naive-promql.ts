// Row-at-a-time twins of the engine's hot loops: as simple as the language's definition allows, an
// array per window and a sort per choice. Only for comparison.
import { type Labels, labelsKey, labelValue, METRIC_NAME } from '../../model/labels.ts';

export interface NaiveSample {
  readonly timeMs: number;
  readonly value: number;
}

/** rate, increase or delta of the samples in (startMs, endMs]; undefined when there are too few. */
export function naiveRate(
  samples: readonly NaiveSample[],
  startMs: number,
  endMs: number,
  { isCounter, isPerSecond }: { readonly isCounter: boolean; readonly isPerSecond: boolean },
): number | undefined {
  const window = samples.filter(({ timeMs }) => timeMs > startMs && timeMs <= endMs);
  const first = window[0];
  const last = window.at(-1);
  if (first === undefined || last === undefined || window.length < 2) return undefined;
  let change = last.value - first.value;
  window.forEach(({ value }, i) => {
    const before = window[i - 1]?.value ?? value;
    if (isCounter && value < before) change += before;
  });
  const sampledS = (last.timeMs - first.timeMs) / 1000;
  const averageS = sampledS / (window.length - 1);
  const extended = (gapMs: number): number =>
    gapMs / 1000 >= averageS * 1.1 ? averageS / 2 : gapMs / 1000;
  let toStartS = extended(first.timeMs - startMs);
  if (isCounter && change > 0 && first.value >= 0) {
    toStartS = Math.min(toStartS, sampledS * (first.value / change));
  }
  const factor = (sampledS + toStartS + extended(endMs - last.timeMs)) / sampledS;
  return change * (isPerSecond ? factor / ((endMs - startMs) / 1000) : factor);
}

/** The values of the k best rows, best first; NaN last. `sign` 1: largest, -1: smallest. */
export function naiveTop(values: readonly number[], k: number, sign: number): readonly number[] {
  const rank = (value: number): number => (Number.isNaN(value) ? -Infinity : sign * value);
  const isNan = (value: number): number => (Number.isNaN(value) ? 1 : 0);
  const sorted = values.toSorted((a, b) => isNan(a) - isNan(b) || rank(b) - rank(a) || 0);
  return sorted.slice(0, Math.max(0, k));
}

/** The key of the group of a label set: equal keys, one group. */
export function naiveGroupKey(labels: Labels, names: readonly string[], without: boolean): string {
  if (!without) return JSON.stringify(names.map((name) => labelValue(labels, name)));
  const dropped = new Set([...names, METRIC_NAME]);
  return labelsKey(labels.filter((_, i) => !dropped.has(labels[i - (i % 2)]!)));
}
