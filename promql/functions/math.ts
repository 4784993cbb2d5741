/** Functions of one number, by name: the engine maps them over the samples of a vector. */
import type { FunctionName } from '../functions-table.ts';
import { dateFunctions } from './date.ts';
import {
  acos,
  asin,
  atan,
  cos,
  cosh,
  ln,
  log10,
  log2,
  maxOf,
  minOf,
  sin,
  sinh,
  tan,
  tanh,
} from './go-math.ts';

export type NumberFunction = (value: number) => number;

function sign(value: number): number {
  if (value < 0) return -1;
  return value > 0 ? 1 : value;
}

export const numberFunctions: Readonly<Partial<Record<FunctionName, NumberFunction>>> = {
  ...dateFunctions,
  abs: Math.abs,
  acos,
  acosh: Math.acosh,
  asin,
  asinh: Math.asinh,
  atan,
  atanh: Math.atanh,
  ceil: Math.ceil,
  cos,
  cosh,
  deg: (value) => (value * 180) / Math.PI,
  exp: Math.exp,
  floor: Math.floor,
  ln,
  log10,
  log2,
  rad: (value) => (value * Math.PI) / 180,
  sgn: sign,
  sin,
  sinh,
  sqrt: Math.sqrt,
  tan,
  tanh,
};

/** The multiple of `nearest` next to `value`, halves upwards. */
export function roundTo(value: number, nearest: number): number {
  const inverse = 1 / nearest;
  return Math.floor(value * inverse + 0.5) / inverse;
}

export function clampTo(value: number, min: number, max: number): number {
  return maxOf(min, minOf(max, value));
}
