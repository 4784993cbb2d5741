/**
 * The type check of a parsed expression, in Prometheus' order, so that of several errors the same
 * one is told: most nodes check what is below them first, calls count their arguments before.
 * Recursion is bounded by the height of the tree.
 */
import { assertNever } from '../model/assert.ts';
import { METRIC_NAME } from '../model/labels.ts';
import { compileMatcher } from '../model/matchers.ts';
import type { Aggregation, Binary, Call, Expr, Subquery, Unary, VectorSelector } from './ast.ts';
import { functionTable, type FunctionSpec } from './functions-table.ts';
import type { Cursor } from './parser-cursor.ts';
import { isComparison, isSetOp, type WrittenMatching } from './parser-operator.ts';
import { quote } from './printer-quote.ts';
import { documentedType, type ValueType } from './types.ts';

type WrittenMatchings = ReadonlyMap<Binary, WrittenMatching>;

/** Throws `query.parse` for the first node that does not fit. */
export function checkTypes(cursor: Cursor, expr: Expr, written: WrittenMatchings): void {
  new TypeCheck(cursor, written).check(expr);
}

class TypeCheck {
  readonly #cursor: Cursor;
  readonly #written: WrittenMatchings;

  constructor(cursor: Cursor, written: WrittenMatchings) {
    this.#cursor = cursor;
    this.#written = written;
  }

  check(expr: Expr): void {
    switch (expr.kind) {
      case 'aggregation':
        this.#checkAggregation(expr);
        return;
      case 'binary':
        this.#checkBinary(expr);
        return;
      case 'call':
        this.#checkCall(expr);
        return;
      case 'matrix_selector':
        this.#checkSelector(expr.selector);
        return;
      case 'number':
      case 'string':
        return;
      case 'paren':
        this.check(expr.expr);
        return;
      case 'subquery':
        this.#checkSubquery(expr);
        return;
      case 'unary':
        this.#checkUnary(expr);
        return;
      case 'vector_selector':
        this.#checkSelector(expr);
        return;
      default:
        assertNever(expr);
    }
  }

  #checkAggregation({ op, expr, param }: Aggregation): void {
    this.#expect(expr, 'vector', 'aggregation expression');
    if (param === undefined) return;
    this.#expect(param, op === 'count_values' ? 'string' : 'scalar', 'aggregation parameter');
  }

  #expect(expr: Expr, type: ValueType, context: string): void {
    this.check(expr);
    if (expr.type === type) return;
    const [want, got] = [documentedType(type), documentedType(expr.type)];
    throw this.#error(expr.start, `expected type ${want} in ${context}, got ${got}`);
  }

  #checkBinary(node: Binary): void {
    this.check(node.lhs);
    this.check(node.rhs);
    const written = this.#written.get(node);
    if (written !== undefined) this.#checkOperator(node, written);
    for (const side of [node.lhs, node.rhs]) {
      if (side.type === 'scalar' || side.type === 'vector') continue;
      const message = 'binary expression must contain only scalar and instant vector types';
      throw this.#error(side.start, message);
    }
    if (written !== undefined) this.#checkMatching(node, written);
    const hasScalar = node.lhs.type === 'scalar' || node.rhs.type === 'scalar';
    if (hasScalar && isSetOp(node.op)) {
      const op = quote(node.op);
      throw this.#error(node.start, `set operator ${op} not allowed in binary scalar expression`);
    }
  }

  #checkOperator(node: Binary, { isBool, on, labels, include }: WrittenMatching): void {
    if (isBool && !isComparison(node.op)) {
      const message = 'bool modifier can only be used on comparison operators';
      throw this.#error(this.#operatorIndex(node), message);
    }
    const areScalars = node.lhs.type === 'scalar' && node.rhs.type === 'scalar';
    if (!isBool && areScalars && isComparison(node.op)) {
      const message = 'comparisons between scalars must use BOOL modifier';
      throw this.#error(this.#operatorIndex(node), message);
    }
    const twice = on ? labels.find((label) => include.includes(label)) : undefined;
    if (twice !== undefined) {
      const message = `label ${quote(twice)} must not occur in ON and GROUP clause at once`;
      throw this.#error(this.#operatorIndex(node), message);
    }
  }

  #checkMatching(node: Binary, { cardinality, labels, fill }: WrittenMatching): void {
    if (fill !== undefined && isSetOp(node.op)) {
      throw this.#error(node.start, 'filling in missing series not allowed for set operators');
    }
    if (fill !== undefined && node.matching === undefined) {
      const message = 'filling in missing series only allowed between instant vectors';
      throw this.#error(node.start, message);
    }
    if (node.matching === undefined) {
      if (labels.length === 0) return;
      const message = 'vector matching only allowed between instant vectors';
      throw this.#error(node.start, message);
    }
    if (isSetOp(node.op) && cardinality !== 'one-to-one') {
      throw this.#error(node.start, `no grouping allowed for ${quote(node.op)} operation`);
    }
  }

  /** The first character after the left side that is no space; a comment counts as operator. */
  #operatorIndex(node: Binary): number {
    const rest = this.#cursor.text.slice(node.lhs.end);
    return node.lhs.end + rest.search(/[^ \t\n\r]/);
  }

  #checkCall(node: Call): void {
    const spec: FunctionSpec = functionTable[node.name];
    this.#checkArgumentCount(node, spec);
    if (node.name === 'info' && node.args.length > 1) this.#checkInfoSelector(node.args[1]!);
    for (let i = 0; i < node.args.length; i++) {
      const arg = node.args[i]!;
      if (!(node.name === 'info' && i === 1)) this.check(arg);
      const wanted = spec.argTypes[Math.min(i, spec.argTypes.length - 1)]!;
      if (arg.type === wanted) continue;
      const [want, got] = [documentedType(wanted), documentedType(arg.type)];
      const message = `expected type ${want} in call to function ${quote(node.name)}, got ${got}`;
      throw this.#error(arg.start, message);
    }
  }

  #checkArgumentCount({ name, args, start }: Call, { argTypes, variadic }: FunctionSpec): void {
    const got = `argument(s) in call to ${quote(name)}, got ${args.length}`;
    if (variadic === 0) {
      if (args.length === argTypes.length) return;
      throw this.#error(start, `expected ${argTypes.length} ${got}`);
    }
    const least = argTypes.length - 1;
    if (args.length < least) throw this.#error(start, `expected at least ${least} ${got}`);
    const most = variadic < 0 ? Infinity : least + variadic;
    if (args.length > most) throw this.#error(start, `expected at most ${most} ${got}`);
  }

  /** The second argument of info() is a selector of labels; it may match everything. */
  #checkInfoSelector(arg: Expr): void {
    if (arg.kind !== 'vector_selector') {
      throw this.#error(arg.start, 'expected label selectors only');
    }
    if (arg.name !== '') {
      throw this.#error(arg.start, 'expected label selectors only, got vector selector instead');
    }
  }

  #checkUnary({ expr, start }: Unary): void {
    this.check(expr);
    if (expr.type === 'scalar' || expr.type === 'vector') return;
    const got = quote(documentedType(expr.type));
    throw this.#error(
      start,
      `unary expression only allowed on expressions of type scalar or instant vector, got ${got}`,
    );
  }

  #checkSubquery({ expr, start }: Subquery): void {
    this.check(expr);
    if (expr.type === 'vector') return;
    throw this.#error(
      start,
      `subquery is only allowed on instant vector, got ${expr.type} instead`,
    );
  }

  #checkSelector({ name, matchers, start }: VectorSelector): void {
    if (name !== '') {
      const other = matchers.slice(0, -1).find((matcher) => matcher.name === METRIC_NAME);
      if (other === undefined) return;
      const [first, second] = [quote(name), quote(other.value)];
      throw this.#error(start, `metric name must not be set twice: ${first} or ${second}`);
    }
    if (matchers.some((matcher) => !compileMatcher(matcher).matchesEmpty)) return;
    throw this.#error(start, 'vector selector must contain at least one non-empty matcher');
  }

  #error(index: number, message: string): Error {
    return this.#cursor.error(index, message);
  }
}
