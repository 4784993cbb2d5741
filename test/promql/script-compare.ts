/**
 * Whether an answer is what a script expects. Numbers are close when they differ by less than 1e-6
 * of the sum of both; around zero there is practically no tolerance. Throws what is different.
 */
import assert from 'node:assert/strict';
import { RE2JS } from 're2js';
import { compact, type Histogram, sameNumbers } from '../../model/histogram.ts';
import { histogramText } from '../../model/histogram-text.ts';
import { compareLabels, type Labels, labelsKey, printLabels } from '../../model/labels.ts';
import { isStaleWords } from '../../model/sample.ts';
import type { SeriesColumns } from '../../model/series-columns.ts';
import type { QueryResult } from '../../promql/index.ts';
import type { EvalCommand, Expectation } from './script-parser.ts';
import type { Item } from './script-series.ts';

const EPSILON = 1e-6;
const SMALLEST_NORMAL = 2 ** -1022;

type Sample = Histogram | number;

export interface Row {
  readonly labels: Labels;
  readonly sample: Sample;
}

/** Throws unless the failure is the expected one. */
export function compareFailure(fail: Expectation, message: string): void {
  assert(fits(fail, message), `want the failure ${fail.message ?? fail.regex}, got ${message}`);
}

function fits({ message, regex }: Expectation, text: string): boolean {
  if (message !== undefined) return message === text;
  return regex === undefined || RE2JS.compile(regex).matcher(text).find();
}

/** Warnings and infos, where the script says anything about them. */
export function compareAnnotations(command: EvalCommand, result: QueryResult): void {
  compareNotes(command, 'warn', result.warnings);
  compareNotes(command, 'info', result.infos);
}

function compareNotes(
  { expects }: EvalCommand,
  kind: 'info' | 'warn',
  got: readonly string[],
): void {
  if (expects.some((one) => one.kind === `no_${kind}`)) {
    assert.equal(got.length, 0, `want no ${kind}, got ${got.join()}`);
  }
  const wanted = expects.filter((one) => one.kind === kind);
  if (wanted.length === 0) return;
  assert(got.length > 0, `want ${kind}, got none`);
  for (const text of got) {
    assert(
      wanted.some((one) => fits(one, text)),
      `${kind} not wanted: ${text}`,
    );
  }
  for (const one of wanted) {
    assert(
      got.some((text) => fits(one, text)),
      `want ${kind} ${one.message ?? one.regex}, got ${got.join()}`,
    );
  }
}

/** The answer to the eval as written. */
export function compareResult(command: EvalCommand, result: QueryResult): void {
  switch (result.resultType) {
    case 'scalar':
      compareScalar(command, result.value);
      return;
    case 'string':
      assert.equal(result.value, command.text);
      return;
    case 'vector': {
      const { labels, values, histograms } = result;
      const rows = labels.map((set, i) => ({ labels: set, sample: histograms?.[i] ?? values[i]! }));
      compareVector(command, rows);
      return;
    }
    case 'matrix':
      compareMatrix(command, result.series);
  }
}

export function compareScalar({ scalar }: EvalCommand, value: number): void {
  assert(scalar !== undefined, `want series, got the scalar ${value}`);
  assert(isClose(scalar, value), `want ${scalar}, got ${value}`);
}

export function compareVector(command: EvalCommand, rows: readonly Row[]): void {
  assert(command.scalar === undefined && command.text === undefined, 'got a vector');
  const got = new Map(rows.map((row, at) => [labelsKey(row.labels), { ...row, at }]));
  assert.equal(got.size, rows.length, 'a label set twice');
  command.series.forEach(({ labels, items }, at) => {
    const row = got.get(labelsKey(labels));
    const name = printLabels(labels);
    assert(row !== undefined, `missing ${name}`);
    compareSample(name, items[0] ?? 'gap', row.sample);
    if (command.ordered) assert.equal(row.at, at, `place of ${name}`);
    got.delete(labelsKey(labels));
  });
  const extra = [...got.values()].map(({ labels }) => printLabels(labels));
  assert.equal(extra.length, 0, `not wanted: ${extra.join()}`);
}

/** The series of a matrix, each with its samples by time. */
export function matrixRows({ labels, ends, timestamps, values, histograms }: SeriesColumns): {
  readonly labels: Labels;
  readonly samples: Map<number, Sample>;
}[] {
  let at = 0;
  return labels.map((set, row) => {
    const samples = new Map<number, Sample>();
    for (; at < ends[row]!; at++) samples.set(timestamps[at]!, histograms?.[at] ?? values[at]!);
    return { labels: set, samples };
  });
}

function compareMatrix(command: EvalCommand, series: SeriesColumns): void {
  assert(command.scalar === undefined && command.text === undefined, 'got a matrix');
  checkSorted(series);
  const startMs = command.rangeVector?.startMs ?? command.startMs;
  const stepMs = command.rangeVector?.stepMs ?? command.stepMs;
  const got = new Map(matrixRows(series).map((row) => [labelsKey(row.labels), row]));
  assert.equal(got.size, series.labels.length, 'a label set twice');
  for (const { labels, items } of command.series) {
    const row = got.get(labelsKey(labels));
    const name = printLabels(labels);
    assert(row !== undefined, `missing ${name}`);
    let wanted = 0;
    items.forEach((item, i) => {
      if (item === 'gap') return;
      wanted++;
      const sample = row.samples.get(startMs + i * stepMs);
      assert(sample !== undefined, `${name} has nothing at ${startMs + i * stepMs} ms`);
      compareSample(`${name} at ${startMs + i * stepMs} ms`, item, sample);
    });
    assert.equal(row.samples.size, wanted, `number of samples of ${name}`);
    got.delete(labelsKey(labels));
  }
  const extra = [...got.values()].map(({ labels }) => printLabels(labels));
  assert.equal(extra.length, 0, `not wanted: ${extra.join()}`);
}

/** Series of a matrix stand in the order of their labels. */
export function checkSorted({ labels }: SeriesColumns): void {
  for (let i = 1; i < labels.length; i++) {
    assert(compareLabels(labels[i - 1]!, labels[i]!) < 0, 'the matrix is not sorted');
  }
}

function compareSample(name: string, want: Item, got: Sample): void {
  const shown = typeof got === 'number' ? String(got) : histogramText(got);
  if (typeof want === 'object') {
    const wanted = histogramText(want.histogram);
    const isEqual = typeof got === 'object' && areClose(want.histogram, got);
    assert(isEqual, `${name}: want ${wanted}, got ${shown}`);
    const { hint } = want.histogram;
    assert(!want.hasHint || hint === got.hint, `${name}: want hint ${hint}, got ${got.hint}`);
    return;
  }
  const isEqual =
    typeof got === 'number' &&
    (want === 'stale' ? isStale(got) : want !== 'gap' && isClose(want, got));
  assert(isEqual, `${name}: want ${want}, got ${shown}`);
}

function isStale(value: number): boolean {
  const [low = 0, high = 0] = new Uint32Array(Float64Array.of(value).buffer);
  return isStaleWords(low, high);
}

function areClose(a: Histogram, b: Histogram): boolean {
  const [x, y] = [compact(a), compact(b)] as const;
  return (
    x.schema === y.schema &&
    x.zeroThreshold === y.zeroThreshold &&
    sameNumbers(x.customBounds, y.customBounds) &&
    isClose(x.count, y.count) &&
    isClose(x.sum, y.sum) &&
    isClose(x.zeroCount, y.zeroCount) &&
    sameNumbers(x.positive.indexes, y.positive.indexes) &&
    sameNumbers(x.negative.indexes, y.negative.indexes) &&
    x.positive.counts.every((count, i) => isClose(count, y.positive.counts[i]!)) &&
    x.negative.counts.every((count, i) => isClose(count, y.negative.counts[i]!))
  );
}

/** Equal within 1e-6 of the sum; NaN equals NaN, the stale marker only itself. */
function isClose(a: number, b: number): boolean {
  if (isStale(a) || isStale(b)) return isStale(a) && isStale(b);
  if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) && Number.isNaN(b);
  if (a === b) return true;
  const sum = Math.abs(a) + Math.abs(b);
  const difference = Math.abs(a - b);
  if (a === 0 || b === 0 || sum < SMALLEST_NORMAL) return difference < EPSILON * SMALLEST_NORMAL;
  return difference / Math.min(sum, Number.MAX_VALUE) < EPSILON;
}
