/**
 * Folds over more samples than should be in memory at once. Where each row of what is folded comes of one series, a few
 * series at a time are decoded, computed and added to their groups, and their memory is used for the next ones:
 *
 *   rows 0..99 ─decode─► columns ─rate─► block ─add─► groups        rows 100..199 ─► …        the same bits as all at once
 */
import { assert } from '../../model/assert.ts';
import type { Labels } from '../../model/labels.ts';
import { withScratchPart } from '../../model/scratch-memory.ts';
import type { SeriesPieces } from '../../model/series-columns.ts';
import type { Aggregation, Expr, VectorSelector } from '../ast.ts';
import { windowFunctions } from '../functions/over-time.ts';
import { rateFunctions } from '../functions/rate-row.ts';
import { aggregateFold } from './aggregate.ts';
import { evaluateVector, unwrapped } from './arguments.ts';
import { type Block, isOneName, withoutName } from './block.ts';
import type { EvalContext } from './context.ts';
import { type FoldOp, foldInto } from './folds.ts';
import { groupRows } from './grouping.ts';

/** Of a piece: what stays in the caches of a core. */
const PIECE_SAMPLES_MAX = 128 * 1024;
const PIECE_CELLS_MAX = 256 * 1024;

/** The selector each of whose series makes one row of the expression, in their order, if that is how it is made. */
export function rowWiseSelector(expr: Expr): VectorSelector | undefined {
  const inner = unwrapped(expr);
  if (inner.kind === 'vector_selector') return inner.mode === undefined ? inner : undefined;
  if (inner.kind !== 'call' || inner.args.length !== 1) return undefined;
  const range = unwrapped(inner.args[0]!);
  const isWindow =
    rateFunctions[inner.name] !== undefined || windowFunctions[inner.name] !== undefined;
  if (!isWindow || range.kind !== 'matrix_selector') return undefined;
  return range.selector.mode === undefined ? range.selector : undefined;
}

/** Runs a folding aggregation over what `selector` reads, which is row-wise. */
export function foldPieces(
  node: Aggregation,
  op: FoldOp,
  selector: VectorSelector,
  pieces: SeriesPieces,
  context: EvalContext,
): Block {
  const { labels } = pieces;
  const valueOf = (from: number, to: number): Block | undefined => {
    const columns = pieces.decode(from, to);
    const isAll = from === 0 && to === labels.length;
    const isPlain = columns.histograms === undefined && columns.weights === undefined;
    if (!isAll && !isPlain) return undefined;
    return evaluateVector(node.expr, context.withColumns(selector, columns));
  };
  const whole = (): Block => {
    const block = valueOf(0, labels.length);
    assert(block !== undefined, 'all rows at once are never refused');
    return aggregateFold(node, op, block, context);
  };
  const isOne = labels.length === 0 || pieceEnd(pieces, 0, context.steps) === labels.length;
  const rows = isOne ? undefined : rowsOf(node.expr, labels, context);
  if (rows === undefined) return whole();
  context.checkSamples(labels.length * context.steps); // as if the whole block were made
  const groups = groupRows(node, rows);
  const fold = foldInto(op, context.block(groups.labels, groups.drop));
  for (let from = 0; from < labels.length;) {
    const to = pieceEnd(pieces, from, context.steps);
    const isFolded = withScratchPart(() => {
      const block = valueOf(from, to);
      if (block?.labels.length !== to - from) return false;
      fold.add(block, groups.groupOf.subarray(from, to));
      return true;
    });
    if (!isFolded) return whole();
    from = to;
  }
  return fold.finish();
}

/** What the rows are called; undefined: that depends on their values. */
function rowsOf(
  expr: Expr,
  labels: readonly Labels[],
  context: EvalContext,
): Pick<Block, 'drop' | 'labels'> | undefined {
  const inner = unwrapped(expr);
  const keepsName = inner.kind !== 'call' || windowFunctions[inner.name]?.keepsName === true;
  const drop = new Uint8Array(labels.length);
  if (keepsName) return { labels, drop };
  if (context.delaysNames) return { labels, drop: drop.fill(1) };
  return isOneName(labels) ? { labels: labels.map(withoutName), drop } : undefined;
}

function pieceEnd({ labels, samplesOf }: SeriesPieces, from: number, steps: number): number {
  const rowsMax = Math.max(1, Math.floor(PIECE_CELLS_MAX / Math.max(1, steps)));
  const end = Math.min(labels.length, from + rowsMax);
  let samples = samplesOf(from);
  let to = from + 1;
  while (to < end && (samples += samplesOf(to)) <= PIECE_SAMPLES_MAX) to++;
  return to;
}
