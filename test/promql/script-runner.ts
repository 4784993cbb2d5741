/**
 * Runs acceptance scripts against the engine. An instant eval is up to twelve: as written, and with
 * every selector pinned to its time by `@` and evaluated at other times; each of these also as the
 * middle step of a range query.
 */
import assert from 'node:assert/strict';
import { assertNever } from '../../model/assert.ts';
import type { SeriesColumns } from '../../model/series-columns.ts';
import {
  encodeResult,
  EXPERIMENTAL_LANGUAGE,
  evaluate,
  type Expr,
  type FunctionName,
  parseExpr,
  type QueryParams,
  type QueryResult,
  selectionsOf,
} from '../../promql/index.ts';
import { frozen } from '../support/frozen.ts';
import {
  checkSorted,
  compareAnnotations,
  compareFailure,
  compareResult,
  compareScalar,
  compareVector,
  matrixRows,
} from './script-compare.ts';
import { type EvalCommand, parseScript } from './script-parser.ts';
import { pinned } from './script-pin.ts';
import { ScriptStore } from './script-store.ts';

export interface ScriptReport {
  passed: number;
  failed: number;
  readonly failures: string[];
}

const MINUTE_MS = 60_000;

/** Answers one query of a script, or throws as the engine does. */
export type ScriptEngine = (store: ScriptStore, expr: Expr, params: QueryParams) => QueryResult;

/** Runs every command of a script. Throws when the text is no script. */
export function runScript(script: string, engine: ScriptEngine = evaluateOver): ScriptReport {
  const report: ScriptReport = { passed: 0, failed: 0, failures: [] };
  let store = new ScriptStore();
  for (const command of parseScript(script)) {
    if (command.kind === 'clear') store = new ScriptStore();
    else if (command.kind === 'load') store.load(command);
    else runEval(store, command, report, engine);
  }
  return report;
}

function runEval(
  store: ScriptStore,
  command: EvalCommand,
  report: ScriptReport,
  engine: ScriptEngine,
): void {
  try {
    checkEval(store, command, engine);
    report.passed++;
  } catch (error) {
    report.failed++;
    const why = error instanceof Error ? error.message.split('\n').slice(0, 3).join(' ') : '';
    report.failures.push(`line ${command.line}: ${command.query}: ${why}`);
  }
}

function checkEval(store: ScriptStore, command: EvalCommand, engine: ScriptEngine): void {
  const fail = command.expects.find((one) => one.kind === 'fail');
  const { query, startMs, endMs, stepMs, instant } = command;
  let expr: Expr;
  try {
    expr = frozen(parseExpr(query, EXPERIMENTAL_LANGUAGE)); // a querier keeps trees
  } catch (error) {
    assert(error instanceof Error);
    assert(fail !== undefined, error.message);
    compareFailure(fail, error.message);
    return;
  }
  const run = (tree: Expr, params: Partial<QueryParams>): QueryResult | undefined => {
    try {
      const result = engine(store, tree, { ...DEFAULTS, text: query, ...params });
      assert(fail === undefined, 'should fail');
      return result;
    } catch (error) {
      if (error instanceof assert.AssertionError) throw error;
      assert(error instanceof Error);
      assert(fail !== undefined, error.message);
      compareFailure(fail, error.message);
      return undefined;
    }
  };
  if (!instant) {
    const result = run(expr, { startMs, endMs, stepMs, instant });
    if (result !== undefined) check(command, result, '');
    return;
  }
  checkInstant(command, expr, startMs, run, 'as written');
  if (usesEvaluationTime(expr)) return;
  const pinnedExpr = pinned(expr, startMs);
  for (const atMs of otherTimes(startMs)) {
    checkInstant(command, pinnedExpr, atMs, run, `pinned, at ${atMs} ms`);
  }
}

const DEFAULTS: QueryParams = {
  startMs: 0,
  endMs: 0,
  stepMs: 1,
  lookbackMs: 5 * MINUTE_MS,
  instant: true,
  delayedNameRemoval: true,
};

/** The engine as it is, on columns after a `change`. */
export function evaluateOver(
  store: ScriptStore,
  expr: Expr,
  params: QueryParams,
  change = (columns: SeriesColumns): SeriesColumns => columns,
): QueryResult {
  const data = selectionsOf(expr, params).map((selection) => change(store.columns(selection)));
  const result = evaluate(expr, params, data, { samplesMax: 1_000_000 });
  encodeResult(result);
  return result;
}

function check(command: EvalCommand, result: QueryResult, hint: string): void {
  hinted(hint, () => {
    compareAnnotations(command, result);
    compareResult(command, result);
  });
}

function hinted(hint: string, run: () => void): void {
  try {
    run();
  } catch (error) {
    if (error instanceof Error && hint !== '') error.message = `${hint}: ${error.message}`;
    throw error;
  }
}

type Run = (tree: Expr, params: Partial<QueryParams>) => QueryResult | undefined;

function checkInstant(
  command: EvalCommand,
  expr: Expr,
  atMs: number,
  run: Run,
  hint: string,
): void {
  const result = run(expr, { startMs: atMs, endMs: atMs });
  if (result === undefined) return;
  check(command, result, hint);
  if (!mayBeRange(command)) return;
  const times = { startMs: atMs - MINUTE_MS, endMs: atMs + MINUTE_MS, stepMs: MINUTE_MS };
  const range = run(expr, { ...times, instant: false });
  if (range !== undefined) {
    hinted(`${hint}, as a range`, () => compareMiddle(command, result, range, atMs));
  }
}

function mayBeRange(command: EvalCommand): boolean {
  if (command.ordered) return false;
  if (command.rangeVector !== undefined || command.text !== undefined) return false;
  return !/\b(?:start|end|range|step)\(\)/.test(command.query);
}

/** The middle step of a range query is what the instant query gave. */
function compareMiddle(
  command: EvalCommand,
  instant: QueryResult,
  range: QueryResult,
  atMs: number,
): void {
  assert(range.resultType === 'matrix', 'a matrix');
  checkSorted(range.series);
  const rows = matrixRows(range.series).flatMap(({ labels, samples }) => {
    const sample = samples.get(atMs);
    return sample === undefined ? [] : [{ labels, sample }];
  });
  if (instant.resultType !== 'scalar') {
    compareVector(command, rows);
    return;
  }
  const value = rows[0]?.sample;
  assert(typeof value === 'number', 'a number');
  compareScalar(command, value);
}

function otherTimes(atMs: number): readonly number[] {
  if (atMs === 0) return [-1000, 0, 1000];
  return [-10 * atMs, 0, Math.trunc(atMs / 5), atMs, 10 * atMs];
}

/** Functions whose value depends on when they are asked. */
const TIMED: ReadonlySet<FunctionName> = new Set<FunctionName>([
  'day_of_month',
  'day_of_week',
  'day_of_year',
  'days_in_month',
  'end',
  'hour',
  'minute',
  'month',
  'predict_linear',
  'range',
  'start',
  'step',
  'time',
  'timestamp',
  'year',
]);

function usesEvaluationTime(expr: Expr): boolean {
  let found = false;
  visitCalls(expr, (name) => (found ||= TIMED.has(name)));
  return found;
}

/** Calls `visit` with the name of every function called. */
function visitCalls(expr: Expr, visit: (name: FunctionName) => void): void {
  switch (expr.kind) {
    case 'aggregation':
      if (expr.param !== undefined) visitCalls(expr.param, visit);
      visitCalls(expr.expr, visit);
      return;
    case 'binary':
      visitCalls(expr.lhs, visit);
      visitCalls(expr.rhs, visit);
      return;
    case 'call':
      visit(expr.name);
      for (const arg of expr.args) visitCalls(arg, visit);
      return;
    case 'paren':
    case 'subquery':
    case 'unary':
      visitCalls(expr.expr, visit);
      return;
    case 'matrix_selector':
    case 'number':
    case 'string':
    case 'vector_selector':
      return;
    default:
      assertNever(expr);
  }
}
