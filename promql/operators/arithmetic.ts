/** The arithmetic and comparison operators on two numbers. A comparison answers 1 or 0. */
import type { ArithmeticOp, ComparisonOp, TrimOp } from '../ast.ts';
import { atan2, power } from '../functions/go-math.ts';

export type NumberOp = ArithmeticOp | ComparisonOp | TrimOp;

const isTrue = (condition: boolean): number => (condition ? 1 : 0);

/** JavaScript's `%` is Go's math.Mod. The trim operators have no answer for numbers. */
export const numberOps: Readonly<Record<NumberOp, (a: number, b: number) => number>> = {
  '%': (a, b) => a % b,
  '*': (a, b) => a * b,
  '+': (a, b) => a + b,
  '-': (a, b) => a - b,
  '/': (a, b) => a / b,
  '^': power,
  atan2,
  '!=': (a, b) => isTrue(a !== b),
  '<': (a, b) => isTrue(a < b),
  '</': () => NaN,
  '<=': (a, b) => isTrue(a <= b),
  '==': (a, b) => isTrue(a === b),
  '>': (a, b) => isTrue(a > b),
  '>/': () => NaN,
  '>=': (a, b) => isTrue(a >= b),
};

export function isComparisonOp(op: string): op is ComparisonOp {
  return op === '!=' || op === '<' || op === '<=' || op === '==' || op === '>' || op === '>=';
}

export function isTrimOp(op: string): op is TrimOp {
  return op === '</' || op === '>/';
}

/** Filters keep the rows of their left side, names included. */
export function keepsNames(op: NumberOp): boolean {
  return isComparisonOp(op) || isTrimOp(op);
}
