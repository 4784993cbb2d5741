/** The arithmetic and comparison operators on two numbers. A comparison answers 1 or 0. */
import type { ArithmeticOp, ComparisonOp } from '../ast.ts';

export type NumberOp = ArithmeticOp | ComparisonOp;

const isTrue = (condition: boolean): number => (condition ? 1 : 0);

/** JavaScript's `%` is Go's math.Mod; its `**` differs from Go's Pow for ±1 to a NaN or infinity. */
export const numberOps: Readonly<Record<NumberOp, (a: number, b: number) => number>> = {
  '%': (a, b) => a % b,
  '*': (a, b) => a * b,
  '+': (a, b) => a + b,
  '-': (a, b) => a - b,
  '/': (a, b) => a / b,
  '^': (a, b) => (a === 1 || (a === -1 && Math.abs(b) === Infinity) ? 1 : a ** b),
  atan2: (a, b) => Math.atan2(a, b),
  '!=': (a, b) => isTrue(a !== b),
  '<': (a, b) => isTrue(a < b),
  '<=': (a, b) => isTrue(a <= b),
  '==': (a, b) => isTrue(a === b),
  '>': (a, b) => isTrue(a > b),
  '>=': (a, b) => isTrue(a >= b),
};

export function isComparisonOp(op: string): op is ComparisonOp {
  return op === '!=' || op === '<' || op === '<=' || op === '==' || op === '>' || op === '>=';
}
