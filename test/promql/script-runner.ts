/**
 * Runs the acceptance scripts against the engine: a store in memory, the evals as written, each
 * instant eval also as the middle step of a range query, and the comparison with its tolerance.
 * Evals that touch native histograms are counted apart: the engine does not know them.
 */
import assert from 'node:assert/strict';
import {
  compareLabels,
  type Labels,
  labelsKey,
  labelValue,
  printLabels,
} from '../../model/labels.ts';
import { compileMatcher } from '../../model/matchers.ts';
import { STALE_NAN_HIGH, STALE_NAN_LOW } from '../../model/sample.ts';
import type { SeriesColumns } from '../../model/series-columns.ts';
import {
  encodeResult,
  evaluate,
  type Expr,
  parseExpr,
  type QueryParams,
  type QueryResult,
  type Selection,
  selectionsOf,
} from '../../promql/index.ts';
import { type EvalCommand, type Item, type LoadCommand, parseScript } from './script-parser.ts';

export interface ScriptReport {
  passed: number;
  failed: number;
  unsupported: number;
  readonly failures: string[];
}

interface StoredSeries {
  readonly labels: Labels;
  readonly samples: Map<number, number | 'stale'>;
  hasHistograms: boolean;
}

const EPSILON = 1e-6;
const SMALLEST_NORMAL = 2 ** -1022;
const OPTIONS = { experimentalFunctions: true, durationExpressions: true };
/** What the engine answers in other ways than upstream's newest version, or not at all. */
const UNSUPPORTED =
  /\b(?:anchored|smoothed|fill|fill_left|fill_right|limit_ratio|info|start_timestamp)\b/;

export function runScript(script: string): ScriptReport {
  const report: ScriptReport = { passed: 0, failed: 0, unsupported: 0, failures: [] };
  let store = new Map<string, StoredSeries>();
  for (const command of parseScript(script)) {
    if (command.kind === 'clear') store = new Map();
    else if (command.kind === 'load') load(store, command);
    else runEval(store, command, report);
  }
  return report;
}

function load(
  store: Map<string, StoredSeries>,
  { gapMs, makesHistograms, series }: LoadCommand,
): void {
  for (const { labels, items } of series) {
    const key = labelsKey(labels);
    const stored = store.get(key) ?? { labels, samples: new Map(), hasHistograms: false };
    store.set(key, stored);
    for (let i = 0; i < items.length; i++) {
      const item = items[i]!;
      if (item === 'histogram') stored.hasHistograms = true;
      else if (item !== 'gap') stored.samples.set(i * gapMs, item);
    }
    if (makesHistograms) addConverted(store, labels);
  }
}

/** `load_with_nhcb` also stores a native histogram under the bare name. */
function addConverted(store: Map<string, StoredSeries>, labels: Labels): void {
  const bare = labels.flatMap((text, i) => {
    if (labels[i - (i % 2)] === 'le') return [];
    const isName = i % 2 === 1 && labels[i - 1] === '__name__';
    return [isName ? text.replace(/_(?:bucket|count|sum)$/, '') : text];
  });
  if (bare.join() === labels.join()) return;
  store.set(labelsKey(bare), { labels: bare, samples: new Map(), hasHistograms: true });
}

function runEval(
  store: Map<string, StoredSeries>,
  command: EvalCommand,
  report: ScriptReport,
): void {
  if (needsHistograms(store, command)) {
    report.unsupported++;
    return;
  }
  try {
    checkEval(store, command);
    report.passed++;
  } catch (error) {
    report.failed++;
    const why = error instanceof Error ? error.message.split('\n').slice(0, 3).join(' ') : '';
    report.failures.push(`line ${command.line}: ${command.query}: ${why}`);
  }
}

function needsHistograms(store: Map<string, StoredSeries>, command: EvalCommand): boolean {
  if (UNSUPPORTED.test(command.query)) return true;
  if (command.series.some(({ items }) => items.includes('histogram'))) return true;
  try {
    const expr = parseExpr(command.query, OPTIONS);
    return selectionsOf(expr, paramsOf(command)).some((selection) =>
      selected(store, selection).some((series) => series.hasHistograms),
    );
  } catch {
    return false;
  }
}

function paramsOf(command: EvalCommand): QueryParams {
  const { startMs, endMs, stepMs, instant, query } = command;
  return {
    startMs,
    endMs,
    stepMs: instant ? 1 : stepMs,
    lookbackMs: 300_000,
    instant,
    delayedNameRemoval: true,
    text: query,
  };
}

function selected(store: Map<string, StoredSeries>, { matchers }: Selection): StoredSeries[] {
  const compiled = matchers.map(compileMatcher);
  const matches = ({ labels }: StoredSeries): boolean =>
    compiled.every((one) => one.matches(labelValue(labels, one.matcher.name)));
  const found = [...store.values()].filter(matches);
  return found.sort((a, b) => compareLabels(a.labels, b.labels));
}

function columns(store: Map<string, StoredSeries>, selection: Selection): SeriesColumns {
  const { minTimeMs, maxTimeMs } = selection;
  const labels: Labels[] = [];
  const ends: number[] = [];
  const times: number[] = [];
  const items: (number | 'stale')[] = [];
  for (const series of selected(store, selection)) {
    const kept = [...series.samples].filter(([at]) => at >= minTimeMs && at <= maxTimeMs);
    if (kept.length === 0) continue;
    kept.sort(([a], [b]) => a - b);
    for (const [at, value] of kept) {
      times.push(at);
      items.push(value);
    }
    labels.push(series.labels);
    ends.push(times.length);
  }
  const values = Float64Array.from(items, (item) => (item === 'stale' ? NaN : item));
  const words = new Uint32Array(values.buffer);
  for (let i = 0; i < items.length; i++) {
    if (items[i] !== 'stale') continue;
    words[i * 2] = STALE_NAN_LOW;
    words[i * 2 + 1] = STALE_NAN_HIGH;
  }
  return { labels, ends: Uint32Array.from(ends), timestamps: Float64Array.from(times), values };
}

function run(store: Map<string, StoredSeries>, expr: Expr, params: QueryParams): QueryResult {
  const data = selectionsOf(expr, params).map((selection) => columns(store, selection));
  const result = evaluate(expr, params, data, { samplesMax: 1_000_000 });
  encodeResult(result);
  return result;
}

function checkEval(store: Map<string, StoredSeries>, command: EvalCommand): void {
  const fail = command.expects.find((one) => one.kind === 'fail' && one.wanted);
  let result: QueryResult;
  let expr: Expr;
  try {
    expr = parseExpr(command.query, OPTIONS);
    result = run(store, expr, paramsOf(command));
  } catch (error) {
    assert(error instanceof Error);
    assert(fail !== undefined, error.message);
    if (fail.message !== undefined) assert.equal(error.message, fail.message);
    if (fail.regex !== undefined) assert.match(error.message, new RegExp(fail.regex));
    return;
  }
  assert(fail === undefined, 'should fail');
  checkAnnotations(command, 'warn', result.warnings);
  checkAnnotations(command, 'info', result.infos);
  checkResult(command, result);
  if (mayBeRange(command)) checkAsRange(store, expr, command);
}

function mayBeRange(command: EvalCommand): boolean {
  if (!command.instant || command.ordered) return false;
  if (command.rangeVector !== undefined || command.text !== undefined) return false;
  return !/\b(?:start|end|range|step)\(\)/.test(command.query);
}

/** The middle step of a range query is what the instant query gave. */
function checkAsRange(store: Map<string, StoredSeries>, expr: Expr, command: EvalCommand): void {
  const { startMs } = command;
  const result = run(store, expr, {
    ...paramsOf(command),
    instant: false,
    startMs: startMs - 60_000,
    endMs: startMs + 60_000,
    stepMs: 60_000,
  });
  assert(result.resultType === 'matrix', 'a matrix');
  const rows = matrixRows(result.series).flatMap(({ labels, samples }) => {
    const value = samples.get(startMs);
    return value === undefined ? [] : [{ labels, value }];
  });
  if (command.scalar !== undefined) {
    assert(isClose(command.scalar, rows[0]?.value ?? NaN), 'as range: scalar');
    return;
  }
  compareVector(command, rows, 'as range: ');
}

function checkAnnotations(command: EvalCommand, kind: string, got: readonly string[]): void {
  const wanted = command.expects.filter((one) => one.kind === kind && one.wanted);
  if (command.expects.some((one) => one.kind === kind && !one.wanted)) assert.deepEqual(got, []);
  if (wanted.length === 0) return;
  assert(got.length > 0, `no ${kind}`);
  const fits = (one: (typeof wanted)[number], text: string): boolean => {
    if (one.message !== undefined) return one.message === text;
    return one.regex === undefined || new RegExp(one.regex).test(text);
  };
  for (const text of got)
    assert(
      wanted.some((one) => fits(one, text)),
      `${kind}: ${text}`,
    );
  for (const one of wanted) {
    const want = one.message ?? one.regex ?? '';
    assert(
      got.some((text) => fits(one, text)),
      `${kind} wanted: ${want}, got ${got.join()}`,
    );
  }
}

function checkResult(command: EvalCommand, result: QueryResult): void {
  switch (result.resultType) {
    case 'scalar':
      assert(command.scalar !== undefined, 'a scalar');
      assert(isClose(command.scalar, result.value), `want ${command.scalar}, got ${result.value}`);
      return;
    case 'string':
      assert.equal(result.value, command.text);
      return;
    case 'vector': {
      const { labels, values } = result;
      const rows = labels.map((set, i) => ({ labels: set, value: values[i]! }));
      compareVector(command, rows, '');
      return;
    }
    case 'matrix':
      compareMatrix(command, result.series);
  }
}

interface Row {
  readonly labels: Labels;
  readonly value: number;
}

function compareVector(command: EvalCommand, rows: readonly Row[], hint: string): void {
  const got = new Map(rows.map((row, at) => [labelsKey(row.labels), { ...row, at }]));
  assert.equal(got.size, rows.length, `${hint}no label set twice`);
  let at = 0;
  for (const { labels, items } of command.series) {
    const row = got.get(labelsKey(labels));
    assert(row !== undefined, `${hint}missing ${printLabels(labels)}`);
    const want = items[0]!;
    assert(
      typeof want === 'number' && isClose(want, row.value),
      `${hint}${printLabels(labels)}: want ${want}, got ${row.value}`,
    );
    if (command.ordered) assert.equal(row.at, at, `${hint}order of ${printLabels(labels)}`);
    got.delete(labelsKey(labels));
    at++;
  }
  const extra = [...got.values()].map(({ labels }) => printLabels(labels));
  assert.deepEqual(extra, [], `${hint}not wanted: ${extra.join()}`);
}

function matrixRows(series: SeriesColumns): { labels: Labels; samples: Map<number, number> }[] {
  let at = 0;
  return series.labels.map((labels, row) => {
    const samples = new Map<number, number>();
    for (; at < series.ends[row]!; at++) samples.set(series.timestamps[at]!, series.values[at]!);
    return { labels, samples };
  });
}

function compareMatrix(command: EvalCommand, series: SeriesColumns): void {
  const rows = matrixRows(series);
  const startMs = command.rangeVector?.startMs ?? command.startMs;
  const stepMs = command.rangeVector?.stepMs ?? command.stepMs;
  const got = new Map(rows.map((row) => [labelsKey(row.labels), row]));
  for (const { labels, items } of command.series) {
    const row = got.get(labelsKey(labels));
    const name = printLabels(labels);
    assert(row !== undefined, `missing ${name}`);
    const wanted = new Map<number, Item>();
    for (let i = 0; i < items.length; i++) {
      if (items[i] !== 'gap') wanted.set(startMs + i * stepMs, items[i]!);
    }
    for (const [time, want] of wanted) {
      const value = row.samples.get(time);
      assert(value !== undefined, `${name} @ ${time}: want ${want}, got nothing`);
      const isEqual = typeof want === 'number' && isClose(want, value);
      assert(isEqual, `${name} @ ${time}: want ${want}, got ${value}`);
    }
    assert.equal(row.samples.size, wanted.size, `${name}: number of samples`);
    got.delete(labelsKey(labels));
  }
  const extra = [...got.values()].map(({ labels }) => printLabels(labels));
  assert.deepEqual(extra, [], `not wanted: ${extra.join()}`);
}

/** Equal within 1e-6 of the sum; NaN equals NaN. */
function isClose(a: number, b: number): boolean {
  if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) && Number.isNaN(b);
  if (a === b) return true;
  const sum = Math.abs(a) + Math.abs(b);
  const difference = Math.abs(a - b);
  if (a === 0 || b === 0 || sum < SMALLEST_NORMAL) return difference < EPSILON * SMALLEST_NORMAL;
  return difference / Math.min(sum, Number.MAX_VALUE) < EPSILON;
}
