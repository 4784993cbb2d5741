/**
 * Walks the tree: every node answers for all steps of its grid at once. Scalars are one number per
 * step, vectors are blocks, range vectors exist only as sources of windows.
 */
import { assert, assertNever } from '../../model/assert.ts';
import { scaleHistogram } from '../../model/histogram-math.ts';
import type { Aggregation, Binary, Expr, Unary } from '../ast.ts';
import { aggregateFold } from './aggregate.ts';
import { aggregateK, aggregateQuantile, aggregateRatio, countValues } from './aggregate-rank.ts';
import { type NumberOp, numberOps } from './arithmetic.ts';
import { vectorScalar, vectorSet, vectorVector } from './binary.ts';
import { evaluateScalar, evaluateString, evaluateVector } from './arguments.ts';
import { type Block, mapHistograms } from './block.ts';
import { callFunction } from './call.ts';
import { type EvalContext, type Value } from './context.ts';
import { foldPieces, rowWiseSelector } from './fold-pieces.ts';
import type { FoldOp } from './folds.ts';
import type { Trace } from '../trace.ts';
import { selectSmoothed } from './windows-extended.ts';
import { selectInstant } from './select.ts';

function vectorValue(block: Block): Value {
  return { kind: 'vector', block };
}

/** The value of a node that is no range vector. */
export function evaluateNode(node: Expr, context: EvalContext): Value {
  switch (node.kind) {
    case 'aggregation':
      return vectorValue(aggregate(node, context));
    case 'binary':
      return binary(node, context);
    case 'call':
      return callFunction(node, context);
    case 'matrix_selector':
    case 'subquery':
      throw context.unsupported(node, 'a range vector in this place');
    case 'number':
      return { kind: 'scalar', values: new Float64Array(context.steps).fill(node.value) };
    case 'paren':
      return context.evaluate(node.expr);
    case 'string':
      return { kind: 'string', value: node.value };
    case 'unary':
      return unary(node, context);
    case 'vector_selector':
      return vectorValue(
        node.mode === 'smoothed' ? selectSmoothed(node, context) : selectInstant(node, context),
      );
    default:
      return assertNever(node);
  }
}

function unary({ op, expr }: Unary, context: EvalContext): Value {
  const value = context.evaluate(expr);
  if (op === '+') return value;
  if (value.kind === 'scalar') return { kind: 'scalar', values: value.values.map((x) => -x) };
  assert(value.kind === 'vector', 'checked by the parser');
  const { block } = value;
  const histograms = mapHistograms(block, (one) => scaleHistogram(one, -1));
  const values = block.values.map((x) => -x);
  return vectorValue(context.droppingNames({ ...block, values, histograms }));
}

function aggregate(node: Aggregation, context: EvalContext): Block {
  switch (node.op) {
    case 'bottomk':
    case 'limitk':
    case 'topk': {
      const k = parameter(node, context);
      return aggregateK(node, evaluateVector(node.expr, context), k, context);
    }
    case 'count_values': {
      assert(node.param !== undefined, 'checked by the parser');
      const name = evaluateString(node.param, context);
      return countValues(node, evaluateVector(node.expr, context), name, context);
    }
    case 'limit_ratio': {
      const ratio = parameter(node, context);
      return aggregateRatio(node, evaluateVector(node.expr, context), ratio, context);
    }
    case 'quantile': {
      const phi = parameter(node, context);
      return aggregateQuantile(node, evaluateVector(node.expr, context), phi, context);
    }
    case 'avg':
    case 'count':
    case 'group':
    case 'max':
    case 'min':
    case 'stddev':
    case 'stdvar':
    case 'sum':
      return fold(node, node.op, context);
    default:
      return assertNever(node.op);
  }
}

function fold(node: Aggregation, op: FoldOp, context: EvalContext): Block {
  const selector = rowWiseSelector(node.expr);
  const pieces = selector && context.state.pieces.get(selector);
  if (selector !== undefined && pieces !== undefined)
    return foldPieces(node, op, selector, pieces, context);
  return aggregateFold(node, op, evaluateVector(node.expr, context), context);
}

function parameter(node: Aggregation, context: EvalContext): Float64Array {
  assert(node.param !== undefined, 'checked by the parser');
  return evaluateScalar(node.param, context);
}

function binary(node: Binary, context: EvalContext): Value {
  const lhs = context.evaluate(node.lhs);
  const rhs = context.evaluate(node.rhs);
  const { op, matching } = node;
  if (op === 'and' || op === 'or' || op === 'unless') {
    assert(lhs.kind === 'vector' && rhs.kind === 'vector', 'checked by the parser');
    assert(matching !== undefined, 'checked by the parser');
    return vectorValue(vectorSet(op, matching, lhs.block, rhs.block, context));
  }
  if (lhs.kind === 'scalar' && rhs.kind === 'scalar') {
    return { kind: 'scalar', values: scalarScalar(op, lhs.values, rhs.values) };
  }
  if (lhs.kind === 'vector' && rhs.kind === 'scalar') {
    return vectorValue(vectorScalar(node, op, lhs.block, rhs.values, true, context));
  }
  if (lhs.kind === 'scalar' && rhs.kind === 'vector') {
    return vectorValue(vectorScalar(node, op, rhs.block, lhs.values, false, context));
  }
  assert(lhs.kind === 'vector' && rhs.kind === 'vector', 'checked by the parser');
  assert(matching !== undefined, 'checked by the parser');
  return vectorValue(vectorVector(node, op, matching, lhs.block, rhs.block, context));
}

function scalarScalar(op: NumberOp, lhs: Float64Array, rhs: Float64Array): Float64Array {
  const compute = numberOps[op];
  const result = new Float64Array(lhs.length);
  for (let t = 0; t < lhs.length; t++) result[t] = compute(lhs[t]!, rhs[t]!);
  return result;
}

/** Evaluates a node and notes what that took. */
export function tracedNode(node: Expr, context: EvalContext, trace: Trace): Value {
  const startedMs = trace.nowMs();
  const value = evaluateNode(node, context);
  trace.note(node, { ...sizeOf(value), ms: trace.nowMs() - startedMs });
  if (node.kind === 'vector_selector' && !context.isSubquery) lookAt(value, trace);
  return value;
}

function sizeOf(value: Value): { readonly series: number; readonly samples: number } {
  if (value.kind === 'scalar') return { series: 1, samples: value.values.length };
  if (value.kind === 'string') return { series: 0, samples: 0 };
  const { labels, present } = value.block;
  let samples = 0;
  for (let cell = 0; cell < present.length; cell++) if (present[cell] !== 0) samples++;
  return { series: labels.length, samples };
}

function lookAt(value: Value, trace: Trace): void {
  if (value.kind !== 'vector') return;
  const { present, steps } = value.block;
  for (let cell = 0; cell < present.length; cell++) {
    if (present[cell] !== 0) trace.look(cell % steps, 1);
  }
}
