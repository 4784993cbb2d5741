/**
 * Constant folding: what is one known number at every step becomes that number.
 *
 *   rate(x[5m]) * (1024 * 8)   ->   rate(x[5m]) * 8192
 *   x > scalar(vector(2)) ^ 3  ->   x > 8
 *
 * Equal to the bit: the number is computed by the operators themselves, over a grid of one step. No
 * function of scalars warns or fails. A number stands where the expression stood that it replaces, so
 * that what is said about it points to the same place. `time()` differs from step to step and stays.
 */
import { assert } from '../../model/assert.ts';
import type { Call, Expr } from '../ast.ts';
import type { FunctionName } from '../functions-table.ts';
import { EvalContext, type QueryParams } from '../operators/context.ts';
import { evaluateNode } from '../operators/evaluator.ts';
import { withChildren } from './children.ts';

/** The tree with its constants folded. */
export function foldConstants(expr: Expr, params: QueryParams): Expr {
  const fold = (node: Expr): Expr => {
    const folded = withChildren(node, fold);
    if (folded.kind === 'number' || !isConstant(folded)) return folded;
    const { start, end } = folded;
    const value = valueOf(folded, params);
    return { kind: 'number', type: 'scalar', value, isDuration: false, start, end };
  };
  return fold(expr);
}

/** Whether a node with folded operands is the same number at every step. */
function isConstant(node: Expr): boolean {
  if (node.kind === 'binary') return node.lhs.kind === 'number' && node.rhs.kind === 'number';
  if (node.kind === 'call') return isConstantCall(node);
  return (node.kind === 'paren' || node.kind === 'unary') && node.expr.kind === 'number';
}

function isConstantCall({ args, name }: Call): boolean {
  if (OF_NUMBERS.has(name)) return args.every(({ kind }) => kind === 'number');
  const vector = args[0];
  if (name !== 'scalar' || vector?.kind !== 'call' || vector.name !== 'vector') return false;
  return vector.args[0]?.kind === 'number';
}

/** Functions of numbers and of the times of the query, which all steps share. */
const OF_NUMBERS: ReadonlySet<FunctionName> = new Set<FunctionName>([
  'end',
  'max_of',
  'min_of',
  'pi',
  'range',
  'start',
  'step',
]);

function valueOf(node: Expr, params: QueryParams): number {
  const context = new EvalContext(
    {
      params,
      budget: { samplesMax: 1 },
      data: new Map(),
      pieces: new Map(),
      warnings: new Map(),
      infos: new Map(),
      notes: { count: 0 },
      trace: undefined,
      evaluate: evaluateNode,
    },
    { startMs: params.startMs, stepMs: 1, count: 1 },
  );
  const value = context.evaluate(node);
  assert(value.kind === 'scalar', 'a constant is a scalar');
  return value.values[0]!;
}
