/**
 * Binary operators: how tightly they bind, and the node they make. Levels grow with binding;
 * `^` binds from the right, everything else from the left.
 */
import type { Binary, BinaryOp, Expr, SetOp, TrimOp, VectorMatching } from './ast.ts';
import type { TokenKind } from './lexer-token.ts';

/** The matching as written; `Binary` keeps it only between two vectors. */
export interface WrittenMatching extends VectorMatching {
  readonly isBool: boolean;
}

export interface Operator {
  readonly op: BinaryOp;
  readonly level: number;
}

/** The level of `^`; signs bind just below it. */
export const POWER_LEVEL = 6;

const LEVELS: Readonly<Record<BinaryOp, number>> = {
  '!=': 3,
  '%': 5,
  '*': 5,
  '+': 4,
  '-': 4,
  '/': 5,
  '<': 3,
  '</': 3,
  '<=': 3,
  '==': 3,
  '>': 3,
  '>/': 3,
  '>=': 3,
  '^': POWER_LEVEL,
  and: 2,
  atan2: 5,
  or: 1,
  unless: 2,
};

const OPERATORS: ReadonlyMap<string, Operator> = new Map(
  Object.entries(LEVELS).map(([op, level]) => [
    op,
    { op: op as BinaryOp, level }, // the keys of LEVELS are exactly BinaryOp
  ]),
);

/** The binary operator of a token, if it is one. */
export function operatorOf(kind: TokenKind): Operator | undefined {
  return OPERATORS.get(kind);
}

export function isComparison(op: BinaryOp): boolean {
  return LEVELS[op] === LEVELS['=='] && !isTrimOp(op);
}

export function isTrimOp(op: BinaryOp): op is TrimOp {
  return op === '</' || op === '>/';
}

export function isSetOp(op: BinaryOp): op is SetOp {
  return op === 'and' || op === 'or' || op === 'unless';
}

/** Makes the node of `lhs op rhs`. Wrong types are left to the check. */
export function binaryNode(
  op: BinaryOp,
  lhs: Expr,
  rhs: Expr,
  { isBool, ...written }: WrittenMatching,
): Binary {
  const areScalars = lhs.type === 'scalar' && rhs.type === 'scalar';
  const areVectors = lhs.type === 'vector' && rhs.type === 'vector';
  const isPlainSet = isSetOp(op) && written.cardinality === 'one-to-one';
  const matching: VectorMatching = isPlainSet
    ? { ...written, cardinality: 'many-to-many' }
    : written;
  return {
    kind: 'binary',
    type: areScalars ? 'scalar' : 'vector',
    op,
    lhs,
    rhs,
    isBool,
    matching: areVectors ? matching : undefined,
    start: lhs.start,
    end: rhs.end,
  };
}
