/**
 * What may follow a selector: `[range]`, `offset 5m`, `@ 1700000000`, `@ start()`. Each makes a new
 * node from the selector before it; the places of errors are those of that selector.
 */
import type {
  AtModifier,
  DurationExpr,
  Expr,
  MatrixSelector,
  Subquery,
  VectorSelector,
} from './ast.ts';
import type { Cursor } from './parser-cursor.ts';
import { parseOffset } from './parser-duration.ts';
import { formatFixed, tokenValue } from './parser-number.ts';

export type Selector = MatrixSelector | Subquery | VectorSelector;

/** `selector[range]`; the closing bracket was just taken. Throws `query.parse`. */
export function matrixNode(
  cursor: Cursor,
  selector: Expr,
  {
    rangeMs,
    rangeExpr,
    bracketIndex,
  }: {
    readonly rangeMs: number;
    readonly rangeExpr: DurationExpr | undefined;
    readonly bracketIndex: number;
  },
): MatrixSelector {
  if (selector.kind !== 'vector_selector') {
    throw cursor.error(bracketIndex, 'ranges only allowed for vector selectors');
  }
  if (selector.offsetMs !== 0) {
    throw cursor.error(bracketIndex, 'no offset modifiers allowed before range');
  }
  if (selector.at?.kind === 'timestamp') {
    throw cursor.error(bracketIndex, 'no @ modifiers allowed before range');
  }
  const place = { start: selector.start, end: cursor.endOfLast };
  const written = rangeExpr && { rangeExpr };
  return { kind: 'matrix_selector', type: 'matrix', selector, rangeMs, ...written, ...place };
}

/** Parses from `offset` on and applies it to the selector before. Throws `query.parse`. */
export function parseOffsetOf(cursor: Cursor, expr: Expr): Selector {
  cursor.next();
  const { ms: offsetMs, expr: offsetExpr } = parseOffset(cursor);
  const target = selectorBefore(cursor, expr, 'offset');
  if (innerOf(target).offsetMs !== 0 || innerOf(target).offsetExpr !== undefined) {
    throw cursor.error(expr.start, 'offset may not be set multiple times');
  }
  return modified(target, { offsetMs, ...(offsetExpr && { offsetExpr }) }, cursor.endOfLast);
}

/** Parses from `@` on and applies it to the selector before. Throws `query.parse`. */
export function parseAtOf(cursor: Cursor, expr: Expr): Selector {
  cursor.next();
  const at = parseInstant(cursor, expr.start);
  const target = selectorBefore(cursor, expr, '@');
  if (innerOf(target).at !== undefined) {
    throw cursor.error(expr.start, '@ <timestamp> may not be set multiple times');
  }
  return modified(target, { at }, cursor.endOfLast);
}

function parseInstant(cursor: Cursor, selectorIndex: number): AtModifier {
  const { kind } = cursor.peek();
  if (kind === 'start' || kind === 'end') {
    cursor.next();
    const isWhole = cursor.accept('(') !== undefined && cursor.peek().kind === ')';
    if (!isWhole) throw cursor.unexpected('@', 'timestamp');
    cursor.next();
    return { kind };
  }
  const sign = cursor.accept('-') ?? cursor.accept('+');
  const token = cursor.peek();
  if (token.kind !== 'number' && token.kind !== 'duration') {
    throw cursor.unexpected('@', 'timestamp');
  }
  const magnitude = tokenValue(cursor, cursor.next());
  const seconds = sign?.kind === '-' ? -magnitude : magnitude;
  if (!(Math.abs(seconds) * 1000 < 2 ** 63)) {
    const shown = formatFixed(seconds, 6);
    throw cursor.error(selectorIndex, `timestamp out of bounds for @ modifier: ${shown}`);
  }
  const ms = Math.round(Math.abs(seconds) * 1000); // half away from zero
  return { kind: 'timestamp', timestampMs: seconds < 0 && ms > 0 ? -ms : ms };
}

function selectorBefore(cursor: Cursor, expr: Expr, modifier: string): Selector {
  const { kind } = expr;
  if (kind === 'matrix_selector' || kind === 'subquery' || kind === 'vector_selector') return expr;
  throw cursor.error(
    expr.start,
    `${modifier} modifier must be preceded by an instant vector selector or range vector selector or a subquery`,
  );
}

/** The node that keeps the modifiers: of a range vector its inner selector. */
function innerOf(selector: Selector): Subquery | VectorSelector {
  return selector.kind === 'matrix_selector' ? selector.selector : selector;
}

function modified(
  target: Selector,
  change: Partial<Pick<VectorSelector, 'at' | 'mode' | 'offsetExpr' | 'offsetMs'>>,
  end: number,
): Selector {
  if (target.kind !== 'matrix_selector') return { ...target, ...change, end };
  return { ...target, selector: { ...target.selector, ...change }, end };
}

/** True when `anchored` or `smoothed` comes, and is no metric name (nothing but a modifier may). */
export function isModeWord(cursor: Cursor): boolean {
  return cursor.isWord('anchored', false) || cursor.isWord('smoothed', false);
}

/** Parses `anchored` or `smoothed` and applies it to the selector before. Throws `query.parse`. */
export function parseModeOf(cursor: Cursor, expr: Expr): Selector {
  const mode = cursor.isWord('anchored', false) ? 'anchored' : 'smoothed';
  const { start } = cursor.next();
  if (cursor.options.extendedRangeSelectors !== true) {
    throw cursor.error(start, `${mode} modifier is experimental and not enabled`);
  }
  if (expr.kind === 'subquery') {
    throw cursor.error(expr.start, `${mode} modifier is not supported for subqueries`);
  }
  const target = selectorBefore(cursor, expr, mode);
  const before = target.kind === 'subquery' ? undefined : modeOf(target);
  if (before !== undefined) {
    const text =
      before === mode
        ? `${mode} modifier may not be set multiple times`
        : 'anchored and smoothed modifiers cannot be used together';
    throw cursor.error(expr.start, text);
  }
  if (mode === 'anchored' && target.kind === 'vector_selector') {
    throw cursor.error(expr.start, 'anchored modifier can only be used with a range selector');
  }
  return modified(target, { mode }, cursor.endOfLast);
}

function modeOf(target: MatrixSelector | VectorSelector): VectorSelector['mode'] {
  return target.kind === 'matrix_selector' ? target.selector.mode : target.mode;
}
