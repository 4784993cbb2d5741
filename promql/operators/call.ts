/**
 * Function calls. Three big families go through tables (numbers, windows, dates); the rest has a
 * small implementation each, here or in `call-histogram.ts`.
 */
import { labelValue, METRIC_NAME, NO_LABELS } from '../../model/labels.ts';
import { zeroedFloats } from '../../model/scratch-memory.ts';
import { assert } from '../../model/assert.ts';
import type { Call, Expr, MatrixSelector } from '../ast.ts';
import type { FunctionName } from '../functions-table.ts';
import { absentLabels, compareByLabels, labelJoiner, labelReplacer } from '../functions/labels.ts';
import { maxOf, minOf } from '../functions/go-math.ts';
import { clampTo, numberFunctions, roundTo } from '../functions/math.ts';
import { weightedFunctions, windowFunctions } from '../functions/over-time.ts';
import { nativeFunction } from '../functions/native-window.ts';
import { rateFunctions } from '../functions/rate-row.ts';
import { formatGeneral } from '../../model/number-text.ts';
import { compareRank } from './aggregate-rank.ts';
import {
  type Block,
  FLOAT,
  floatsOnly,
  mergeEqualRows,
  NONE,
  occupiedRows,
  pickRows,
} from './block.ts';
import { histogramFraction, histogramQuantile, histogramQuantiles } from './call-histogram.ts';
import { enriched } from './info.ts';
import { runExtended } from './windows-extended.ts';
import { ofNatives } from './call-native.ts';
import { type EvalContext, executionError, type Value } from './context.ts';
import {
  evaluateScalar,
  evaluateString,
  evaluateVector,
  rangeSource,
  unwrapped,
} from './arguments.ts';
import { selectStartTimes, selectTimestamps } from './select.ts';
import { occupiedSteps, runRates, runWindows } from './windows.ts';

function vectorValue(block: Block): Value {
  return { kind: 'vector', block };
}

/** The value of a call. */
export function callFunction(node: Call, context: EvalContext): Value {
  const range = extendedRange(node);
  if (range !== undefined) return vectorValue(extendedCall(node, range, context));
  if (windowFunctions[node.name] !== undefined) return vectorValue(windowCall(node, context));
  if (rateFunctions[node.name] !== undefined) return vectorValue(rateCall(node, context));
  if (numberFunctions[node.name] !== undefined) return vectorValue(numberCall(node, context));
  const scalarFunction = scalarFunctions[node.name];
  if (scalarFunction !== undefined) {
    return { kind: 'scalar', values: scalarFunction(node, context) };
  }
  const vectorFunction = vectorFunctions[node.name];
  if (vectorFunction === undefined) {
    throw context.unsupported(node, `the function ${node.name}`);
  }
  return vectorValue(vectorFunction(node, context));
}

function numberCall(node: Call, context: EvalContext): Block {
  const compute = numberFunctions[node.name];
  assert(compute !== undefined, 'looked up before');
  const block = node.args.length === 0 ? timeBlock(context) : argument(node, 0, context);
  return mapped(block, (value) => compute(value), context);
}

function argument(node: Call, index: number, context: EvalContext): Block {
  return evaluateVector(node.args[index]!, context);
}

/** A block with another value in each number, without metric names; histograms are left out. */
function mapped(
  block: Block,
  compute: (value: number, t: number) => number,
  context: EvalContext,
): Block {
  const { steps, present } = floatsOnly(block);
  const values = zeroedFloats(block.values.length);
  for (let cell = 0; cell < values.length; cell++) {
    if (present[cell] === FLOAT) values[cell] = compute(block.values[cell]!, cell % steps);
  }
  return context.droppingNames({ ...block, present, values, histograms: undefined });
}

/** How the names of counters end. */
export const COUNTER_SUFFIX = /_(?:total|sum|count|bucket)$/;

/** The argument that is `anchored` or `smoothed`, if there is one. */
function extendedRange({ args }: Call): MatrixSelector | undefined {
  for (const arg of args) {
    const inner = unwrapped(arg);
    if (inner.kind === 'matrix_selector' && inner.selector.mode !== undefined) return inner;
  }
  return undefined;
}

function extendedCall(node: Call, range: MatrixSelector, context: EvalContext): Block {
  const mode = range.selector.mode ?? 'anchored';
  const block = runExtended(range, mode, node.name, context);
  if (rateFunctions[node.name]?.isCounter === true) informOfGauges(range, block, context);
  return context.droppingNames(block);
}

function windowCall(node: Call, context: EvalContext): Block {
  const run = windowFunctions[node.name];
  assert(run !== undefined, 'looked up before');
  const rangeArg = node.args.find((arg) => arg.type === 'matrix');
  assert(rangeArg !== undefined, 'checked by the parser');
  const scalars = node.args.filter((arg) => arg.type === 'scalar');
  const [a, b] = scalars.map((arg) => evaluateScalar(arg, context));
  if (node.name === 'double_exponential_smoothing') checkFactors(a, b, context);
  const native = { run: nativeFunction(node.name), node: noteNode(rangeArg), context };
  const source = rangeSource(rangeArg, context);
  const weighted = source.columns.weights && weightedFunctions[node.name];
  const block = runWindows(source, weighted ?? run, context, a, b, native);
  if (node.name === 'quantile_over_time') warnOfQuantiles(scalars[0] ?? node, a, block, context);
  return run.keepsName === true ? block : context.droppingNames(block);
}

function rateCall(node: Call, context: EvalContext): Block {
  const rate = rateFunctions[node.name];
  assert(rate !== undefined, 'looked up before');
  const native = { run: nativeFunction(node.name), node: noteNode(node.args[0]!), context };
  const block = runRates(rangeSource(node.args[0]!, context), rate, context, native);
  if (rate.isCounter) informOfGauges(node.args[0]!, block, context);
  return context.droppingNames(block);
}

/** Warns of the quantiles that were really asked of some samples. */
function warnOfQuantiles(
  node: Expr,
  phi: Float64Array | undefined,
  { present, steps }: Block,
  context: EvalContext,
): void {
  for (let t = 0; t < steps; t++) {
    const value = phi?.[t] ?? NaN;
    if ((value >= 0 && value <= 1) || !present.some((is, cell) => is === 1 && cell % steps === t)) {
      continue;
    }
    const got = formatGeneral(value);
    context.warn(node, `quantile value should be between 0 and 1, got ${got}`);
  }
}

function checkFactors(
  a: Float64Array | undefined,
  b: Float64Array | undefined,
  context: EvalContext,
): void {
  for (let t = 0; t < context.steps; t++) {
    checkFactor('smoothing', a?.[t] ?? NaN);
    checkFactor('trend', b?.[t] ?? NaN);
  }
}

function checkFactor(what: string, value: number): void {
  if (value > 0 && value < 1) return;
  throw executionError(
    `invalid ${what} factor. Expected: 0 < ${what[0]!}f < 1, got: ${value.toFixed(6)}`,
  );
}

/** Where notes about a range vector point to: of a subquery, to the start, as Prometheus has it. */
function noteNode(arg: Expr): Expr {
  const range = unwrapped(arg);
  return range.kind === 'subquery' ? { ...range, start: 0 } : range;
}

function informOfGauges(arg: Expr, block: Block, context: EvalContext): void {
  const node = noteNode(arg);
  for (let row = 0; row < block.labels.length; row++) {
    const name = labelValue(block.labels[row]!, METRIC_NAME);
    if (name === '' || COUNTER_SUFFIX.test(name)) continue;
    if (!block.present.subarray(row * block.steps, (row + 1) * block.steps).includes(FLOAT))
      continue;
    const message = `metric might not be a counter, name does not end in _total/_sum/_count/_bucket: ${JSON.stringify(name)}`;
    context.info(node, message);
  }
}

/** One row without labels that holds the time of each step. */
function timeBlock(context: EvalContext): Block {
  return constantBlock(timeValues(context), context);
}

function timeValues(context: EvalContext): Float64Array {
  return Float64Array.from({ length: context.steps }, (_, t) => context.stepMsAt(t) / 1000);
}

function constantBlock(values: Float64Array, context: EvalContext): Block {
  const block = context.block([NO_LABELS]);
  block.values.set(values);
  block.present.fill(1);
  return block;
}

type CallOf<Result> = (node: Call, context: EvalContext) => Result;

function picked(pick: (a: number, b: number) => number): CallOf<Float64Array> {
  return (node, context) => {
    const a = evaluateScalar(node.args[0]!, context);
    const b = evaluateScalar(node.args[1]!, context);
    return a.map((value, t) => pick(value, b[t]!));
  };
}

const scalarFunctions: Readonly<Partial<Record<FunctionName, CallOf<Float64Array>>>> = {
  end: (_, context) => constant(lastMs(context) / 1000, context),
  max_of: picked(maxOf),
  min_of: picked(minOf),
  pi: (_, context) => constant(Math.PI, context),
  range: (_, context) => constant((lastMs(context) - context.params.startMs) / 1000, context),
  scalar: (node, context) => onlySamples(argument(node, 0, context)),
  start: (_, context) => constant(context.params.startMs / 1000, context),
  step: (_, { params, steps }) =>
    new Float64Array(steps).fill(params.instant ? 0 : params.stepMs / 1000),
  time: (_, context) => timeValues(context),
};

function lastMs(context: EvalContext): number {
  return context.params.instant ? context.params.startMs : context.params.endMs;
}

function constant(value: number, context: EvalContext): Float64Array {
  return new Float64Array(context.steps).fill(value);
}

/** At each step the only sample, or NaN when there is none or more than one. */
function onlySamples(block: Block): Float64Array {
  const { steps, present, values } = block;
  const counts = new Uint32Array(steps);
  const found = new Float64Array(steps).fill(NaN);
  for (let cell = 0; cell < present.length; cell++) {
    if (present[cell] !== FLOAT) continue;
    const t = cell % steps;
    counts[t] = counts[t]! + 1;
    found[t] = counts[t] === 1 ? values[cell]! : NaN;
  }
  return found;
}

const vectorFunctions: Readonly<Partial<Record<FunctionName, CallOf<Block>>>> = {
  absent,
  absent_over_time: absentOverTime,
  clamp,
  clamp_max: clamp,
  clamp_min: clamp,
  histogram_avg: ofNatives,
  histogram_count: ofNatives,
  histogram_fraction: histogramFraction,
  histogram_quantile: histogramQuantile,
  histogram_quantiles: histogramQuantiles,
  histogram_stddev: ofNatives,
  histogram_stdvar: ofNatives,
  histogram_sum: ofNatives,
  info: enriched,
  label_join: relabeled,
  label_replace: relabeled,
  round,
  sort: sorted,
  sort_by_label: sorted,
  sort_by_label_desc: sorted,
  sort_desc: sorted,
  start_timestamp: startTimestamps,
  timestamp: timestamps,
  vector: (node, context) => constantBlock(evaluateScalar(node.args[0]!, context), context),
};

function round(node: Call, context: EvalContext): Block {
  const nearest = node.args[1] === undefined ? undefined : evaluateScalar(node.args[1], context);
  const block = argument(node, 0, context);
  return mapped(block, (value, t) => roundTo(value, nearest?.[t] ?? 1), context);
}

function absent(node: Call, context: EvalContext): Block {
  const arg = unwrapped(node.args[0]!);
  const { present, steps } = evaluateVector(arg, context);
  const occupied = new Uint8Array(steps);
  for (let cell = 0; cell < present.length; cell++)
    if (present[cell] !== NONE) occupied[cell % steps] = 1;
  return absentBlock(arg, occupied, context);
}

function absentOverTime(node: Call, context: EvalContext): Block {
  const arg = unwrapped(node.args[0]!);
  const occupied = occupiedSteps(rangeSource(arg, context), context.steps);
  return absentBlock(arg, occupied, context);
}

function absentBlock(arg: Expr, occupied: Uint8Array, context: EvalContext): Block {
  const selector = arg.kind === 'matrix_selector' ? arg.selector : arg;
  const matchers = selector.kind === 'vector_selector' ? selector.matchers : [];
  const block = context.block([absentLabels(matchers)]);
  block.values.fill(1);
  for (let t = 0; t < occupied.length; t++) block.present[t] = 1 - occupied[t]!;
  return block;
}

function clamp(node: Call, context: EvalContext): Block {
  const block = argument(node, 0, context);
  const bounds = node.args.slice(1).map((arg) => evaluateScalar(arg, context));
  const min = node.name === 'clamp_max' ? undefined : bounds[0];
  const max = node.name === 'clamp_min' ? undefined : bounds[bounds.length - 1];
  const present = block.present.slice();
  for (let cell = 0; cell < present.length; cell++) {
    const t = cell % block.steps;
    if ((max?.[t] ?? Infinity) < (min?.[t] ?? -Infinity)) present[cell] = 0;
  }
  return mapped(
    { ...block, present },
    (value, t) => clampTo(value, min?.[t] ?? -Infinity, max?.[t] ?? Infinity),
    context,
  );
}

function relabeled(node: Call, context: EvalContext): Block {
  const [target = '', ...rest] = node.args.slice(1).map((arg) => evaluateString(arg, context));
  const [first = '', second = '', third = ''] = rest;
  const relabel =
    node.name === 'label_replace'
      ? labelReplacer(target, first, second, third)
      : labelJoiner(target, first, rest.slice(1));
  const block = argument(node, 0, context);
  const labels = block.labels.map(relabel);
  const drop = block.drop.slice();
  if (target === METRIC_NAME) {
    for (let i = 0; i < drop.length; i++) if (labels[i] !== block.labels[i]) drop[i] = 0;
  }
  return mergeEqualRows({ ...block, labels, drop });
}

/** Sorting matters for one step only; a range is sorted by labels at the end. */
function sorted(node: Call, context: EvalContext): Block {
  const isByValue = node.name === 'sort' || node.name === 'sort_desc';
  const whole = argument(node, 0, context);
  const block = isByValue ? floatsOnly(whole) : whole;
  if (!context.params.instant || block.steps !== 1) return block;
  const rows = occupiedRows(block);
  if (isByValue) {
    const sign = node.name === 'sort' ? 1 : -1;
    const { values } = block;
    return pickRows(
      block,
      rows.sort((x, y) => compareRank(values[x]!, values[y]!, sign)),
    );
  }
  const sign = node.name === 'sort_by_label' ? 1 : -1;
  const names = node.args.slice(1).map((arg) => evaluateString(arg, context));
  const { labels } = block;
  rows.sort((x, y) => sign * compareByLabels(labels[x]!, labels[y]!, names));
  return pickRows(block, rows);
}

function timestamps(node: Call, context: EvalContext): Block {
  const arg = unwrapped(node.args[0]!);
  if (arg.kind === 'vector_selector') {
    return context.droppingNames(selectTimestamps(arg, context));
  }
  const block = evaluateVector(arg, context);
  const present = block.present.map((kind) => (kind === NONE ? NONE : FLOAT));
  const all = { ...block, present, histograms: undefined };
  return mapped(all, (_, t) => context.stepMsAt(t) / 1000, context);
}

/** Of a selector only: what is derived has no beginning, and there is no answer. */
function startTimestamps(node: Call, context: EvalContext): Block {
  const arg = unwrapped(node.args[0]!);
  if (arg.kind !== 'vector_selector') return context.block([]);
  return context.droppingNames(selectStartTimes(arg, context));
}
