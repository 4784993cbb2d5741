/**
 * The table of PromQL functions: argument types, how many of them may be left out or repeated,
 * result type, and whether a function is experimental. The parser checks calls against it and the
 * engine has one implementation for each name.
 *
 * `variadic`: 0 = exactly `argTypes.length` arguments; n > 0 = up to n of the last ones may be left
 * out (the listed types count as maximum); -1 = the last type may be absent or repeated.
 */
import type { ValueType } from './types.ts';

/** What the parser knows about a function. */
export interface FunctionSpec {
  readonly argTypes: readonly ValueType[];
  readonly variadic: number;
  readonly returnType: ValueType;
  readonly experimental: boolean;
}

function spec(
  argTypes: readonly ValueType[],
  returnType: ValueType = 'vector',
  variadic = 0,
): FunctionSpec {
  return { argTypes, variadic, returnType, experimental: false };
}

function experimental(
  argTypes: readonly ValueType[],
  returnType: ValueType = 'vector',
  variadic = 0,
): FunctionSpec {
  return { argTypes, variadic, returnType, experimental: true };
}

const ofMatrix = spec(['matrix']);
const ofVector = spec(['vector']);
const ofOptionalVector = spec(['vector'], 'vector', 1);
const experimentalOfMatrix = experimental(['matrix']);
const scalarConstant = experimental([], 'scalar');
const ofTwoScalars = experimental(['scalar', 'scalar'], 'scalar');

/** Every function, alphabetically. */
export const functionTable = {
  abs: ofVector,
  absent: ofVector,
  absent_over_time: ofMatrix,
  acos: ofVector,
  acosh: ofVector,
  asin: ofVector,
  asinh: ofVector,
  atan: ofVector,
  atanh: ofVector,
  avg_over_time: ofMatrix,
  ceil: ofVector,
  changes: ofMatrix,
  clamp: spec(['vector', 'scalar', 'scalar']),
  clamp_max: spec(['vector', 'scalar']),
  clamp_min: spec(['vector', 'scalar']),
  cos: ofVector,
  cosh: ofVector,
  count_over_time: ofMatrix,
  day_of_month: ofOptionalVector,
  day_of_week: ofOptionalVector,
  day_of_year: ofOptionalVector,
  days_in_month: ofOptionalVector,
  deg: ofVector,
  delta: ofMatrix,
  deriv: ofMatrix,
  double_exponential_smoothing: experimental(['matrix', 'scalar', 'scalar']),
  end: scalarConstant,
  exp: ofVector,
  first_over_time: experimentalOfMatrix,
  floor: ofVector,
  histogram_avg: ofVector,
  histogram_count: ofVector,
  histogram_fraction: spec(['scalar', 'scalar', 'vector']),
  histogram_quantile: spec(['scalar', 'vector']),
  histogram_quantiles: experimental(['vector', 'string', 'scalar', 'scalar'], 'vector', -1),
  histogram_stddev: ofVector,
  histogram_stdvar: ofVector,
  histogram_sum: ofVector,
  hour: ofOptionalVector,
  idelta: ofMatrix,
  increase: ofMatrix,
  info: experimental(['vector', 'vector'], 'vector', 1),
  irate: ofMatrix,
  label_join: spec(['vector', 'string', 'string', 'string'], 'vector', -1),
  label_replace: spec(['vector', 'string', 'string', 'string', 'string']),
  last_over_time: ofMatrix,
  ln: ofVector,
  log10: ofVector,
  log2: ofVector,
  mad_over_time: experimentalOfMatrix,
  max_of: ofTwoScalars,
  max_over_time: ofMatrix,
  min_of: ofTwoScalars,
  min_over_time: ofMatrix,
  minute: ofOptionalVector,
  month: ofOptionalVector,
  pi: spec([], 'scalar'),
  predict_linear: spec(['matrix', 'scalar']),
  present_over_time: ofMatrix,
  quantile_over_time: spec(['scalar', 'matrix']),
  rad: ofVector,
  range: scalarConstant,
  rate: ofMatrix,
  resets: ofMatrix,
  round: spec(['vector', 'scalar'], 'vector', 1),
  scalar: spec(['vector'], 'scalar'),
  sgn: ofVector,
  sin: ofVector,
  sinh: ofVector,
  sort: ofVector,
  sort_by_label: experimental(['vector', 'string'], 'vector', -1),
  sort_by_label_desc: experimental(['vector', 'string'], 'vector', -1),
  sort_desc: ofVector,
  sqrt: ofVector,
  start: scalarConstant,
  start_timestamp: experimental(['vector']),
  stddev_over_time: ofMatrix,
  stdvar_over_time: ofMatrix,
  step: scalarConstant,
  sum_over_time: ofMatrix,
  tan: ofVector,
  tanh: ofVector,
  time: spec([], 'scalar'),
  timestamp: ofVector,
  ts_of_first_over_time: experimentalOfMatrix,
  ts_of_last_over_time: experimentalOfMatrix,
  ts_of_max_over_time: experimentalOfMatrix,
  ts_of_min_over_time: experimentalOfMatrix,
  vector: spec(['scalar']),
  year: ofOptionalVector,
} as const satisfies Record<string, FunctionSpec>;

export type FunctionName = keyof typeof functionTable;

/** Looks a name up, safe against `__proto__` and its kin. */
export function findFunction(name: string): FunctionName | undefined {
  return Object.hasOwn(functionTable, name) ? (name as FunctionName) : undefined; // own key of it
}
