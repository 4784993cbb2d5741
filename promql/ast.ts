/**
 * The syntax tree of a PromQL expression: a readonly union of plain data (it may be posted to a
 * worker), made by `parseExpr` only, so that everything in it is type checked already.
 *
 * Invariants: `type` is the type of the value; `start`/`end` are UTF-16 indexes into the text the
 * node was parsed from, end exclusive; a `Paren` keeps parentheses the user wrote. Switches list
 * the kinds in alphabetical order and end in `assertNever`.
 */
import type { Matcher } from '../model/matchers.ts';
import type { FunctionName } from './functions-table.ts';
import type { ValueType } from './types.ts';

/** Where a node stands in the query text. */
export interface Position {
  readonly start: number;
  readonly end: number;
}

export type Expr =
  | Aggregation
  | Binary
  | Call
  | MatrixSelector
  | NumberLiteral
  | Paren
  | StringLiteral
  | Subquery
  | Unary
  | VectorSelector;

export type AggregationOp =
  | 'avg'
  | 'bottomk'
  | 'count'
  | 'count_values'
  | 'group'
  | 'limit_ratio'
  | 'limitk'
  | 'max'
  | 'min'
  | 'quantile'
  | 'stddev'
  | 'stdvar'
  | 'sum'
  | 'topk';

export type ArithmeticOp = '%' | '*' | '+' | '-' | '/' | '^' | 'atan2';
export type ComparisonOp = '!=' | '<' | '<=' | '==' | '>' | '>=';
export type SetOp = 'and' | 'or' | 'unless';
/** Cut observations off native histograms; experimental. */
export type TrimOp = '</' | '>/';
export type BinaryOp = ArithmeticOp | ComparisonOp | SetOp | TrimOp;

/** `op by (grouping) (param, expr)`. */
export interface Aggregation extends Position {
  readonly kind: 'aggregation';
  readonly type: 'vector';
  readonly op: AggregationOp;
  readonly expr: Expr;
  /** k of topk, bottomk, limitk; φ of quantile; ratio of limit_ratio; label of count_values. */
  readonly param: Expr | undefined;
  /** Label names as written, may repeat. */
  readonly grouping: readonly string[];
  /** True: group by all labels except `grouping` and the metric name. */
  readonly without: boolean;
}

/** `lhs op rhs`. */
export interface Binary extends Position {
  readonly kind: 'binary';
  readonly type: 'scalar' | 'vector';
  readonly op: BinaryOp;
  readonly lhs: Expr;
  readonly rhs: Expr;
  /** `bool`: a comparison returns 0 or 1 instead of filtering. */
  readonly isBool: boolean;
  /** Present exactly when both sides are vectors. */
  readonly matching: VectorMatching | undefined;
}

/** How the series of two vectors find each other. */
export interface VectorMatching {
  readonly cardinality: 'many-to-many' | 'many-to-one' | 'one-to-many' | 'one-to-one';
  /** True: match on `labels` only; false: on all labels except these and the metric name. */
  readonly on: boolean;
  readonly labels: readonly string[];
  /** Labels copied from the "one" side by group_left(...) / group_right(...). */
  readonly include: readonly string[];
  /** The numbers that stand in for missing samples; experimental. */
  readonly fill?: FillValues | undefined;
}

/** `fill_left(number)` and `fill_right(number)`; `fill(number)` is both. */
export interface FillValues {
  readonly left: number | undefined;
  readonly right: number | undefined;
}

/** `name(args…)`. */
export interface Call extends Position {
  readonly kind: 'call';
  readonly type: ValueType;
  readonly name: FunctionName;
  readonly args: readonly Expr[];
}

/** `selector[range]`; offset and `@` stand in the selector. */
export interface MatrixSelector extends Position {
  readonly kind: 'matrix_selector';
  readonly type: 'matrix';
  readonly selector: VectorSelector;
  readonly rangeMs: number;
  /** What `rangeMs` is computed from when the query runs. */
  readonly rangeExpr?: DurationExpr | undefined;
}

/** `1e3`, `0x1f`, `Inf`, or a duration such as `5m` (its seconds). */
export interface NumberLiteral extends Position {
  readonly kind: 'number';
  readonly type: 'scalar';
  readonly value: number;
  /** True when written as a duration; matters for printing only. */
  readonly isDuration: boolean;
}

/** `(expr)`. */
export interface Paren extends Position {
  readonly kind: 'paren';
  readonly type: ValueType;
  readonly expr: Expr;
}

export interface StringLiteral extends Position {
  readonly kind: 'string';
  readonly type: 'string';
  readonly value: string;
}

/** Arithmetic on durations in seconds that needs the query's step or range; experimental. */
export type DurationExpr = Position &
  (
    | {
        readonly kind: 'binary';
        readonly op: DurationOp;
        readonly lhs: DurationExpr;
        readonly rhs: DurationExpr;
      }
    | { readonly kind: 'negative'; readonly expr: DurationExpr }
    | { readonly kind: 'number'; readonly seconds: number }
    | { readonly kind: 'range' }
    | { readonly kind: 'step' }
  );

export type DurationOp = '%' | '*' | '+' | '-' | '/' | '^' | 'max' | 'min';

/** How samples around the edges of a range (or of an instant) are used; experimental. */
export type RangeMode = 'anchored' | 'smoothed';

/** The `@` modifier: evaluate at a fixed time, or at the first or last step of the query. */
export type AtModifier =
  | { readonly kind: 'end' }
  | { readonly kind: 'start' }
  | { readonly kind: 'timestamp'; readonly timestampMs: number };

/** `expr[range:step] offset … @ …`. */
export interface Subquery extends Position {
  readonly kind: 'subquery';
  readonly type: 'matrix';
  readonly expr: Expr;
  readonly rangeMs: number;
  readonly rangeExpr?: DurationExpr | undefined;
  readonly stepExpr?: DurationExpr | undefined;
  readonly offsetExpr?: DurationExpr | undefined;
  /** 0 = the default resolution (the global evaluation interval). */
  readonly stepMs: number;
  /** Positive looks into the past. */
  readonly offsetMs: number;
  readonly at: AtModifier | undefined;
}

export interface Unary extends Position {
  readonly kind: 'unary';
  readonly type: 'scalar' | 'vector';
  readonly op: '+' | '-';
  readonly expr: Expr;
}

/** `name{matchers} offset … @ …`. */
export interface VectorSelector extends Position {
  readonly kind: 'vector_selector';
  readonly type: 'vector';
  /** The metric name when it was written before the braces, else ''. */
  readonly name: string;
  /** All matchers as written; the one made from `name` stands last. */
  readonly matchers: readonly Matcher[];
  /** Positive looks into the past. */
  readonly offsetMs: number;
  readonly offsetExpr?: DurationExpr | undefined;
  readonly mode?: RangeMode | undefined;
  readonly at: AtModifier | undefined;
}
