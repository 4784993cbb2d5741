/**
 * Ranges, steps and offsets: numbers of seconds or durations, signed; and, behind the option
 * `durationExpressions`, arithmetic on them, which is computed right here.
 */
import { assertNever } from '../model/assert.ts';
import type { DurationExpr, DurationOp } from './ast.ts';
import { DURATION_MS_MAX } from './duration.ts';
import type { Token, TokenKind } from './lexer-token.ts';
import type { Cursor } from './parser-cursor.ts';
import { tokenValue } from './parser-number.ts';

/** Where a duration stands, for messages. */
export interface DurationPlace {
  readonly context: string;
  readonly expected: string;
}

export const OFFSET_PLACE: DurationPlace = { context: 'offset', expected: 'number or duration' };
export const RANGE_PLACE: DurationPlace = {
  context: 'subquery selector',
  expected: 'number or duration',
};
export const STEP_PLACE: DurationPlace = {
  context: 'subquery selector',
  expected: 'number or duration or "]"',
};

interface Duration {
  readonly seconds: number;
  readonly start: number;
  /** What is known only when the query runs; `seconds` means nothing then. */
  readonly expr?: DurationExpr | undefined;
}

/** Milliseconds, or the expression that gives the seconds. */
export interface WrittenDuration {
  readonly ms: number;
  readonly expr: DurationExpr | undefined;
}

type SignOp = Exclude<DurationOp, 'max' | 'min'>;

const PRECEDENCE: Readonly<Record<SignOp, number>> = {
  '%': 2,
  '*': 2,
  '+': 1,
  '-': 1,
  '/': 2,
  '^': 3,
};
const UNARY_PRECEDENCE = 3;
const NESTING_MAX = 50;

/** Parses the range or step of a selector or subquery: milliseconds, from more than 0 seconds. */
export function parsePositiveDuration(cursor: Cursor, place: DurationPlace): WrittenDuration {
  const parser = new DurationParser(cursor, place);
  const { seconds, start, expr } = parser.parse(1);
  cursor.peek();
  if (expr !== undefined) return { ms: 0, expr };
  if (!(seconds > 0)) throw cursor.error(start, 'duration must be greater than 0');
  return { ms: toMs(seconds), expr: undefined };
}

/** Parses an offset: a signed literal, or an expression in parentheses. In milliseconds. */
export function parseOffset(cursor: Cursor): WrittenDuration {
  const parser = new DurationParser(cursor, OFFSET_PLACE);
  const { seconds, expr } = parser.parseSigned();
  return expr === undefined ? { ms: toMs(seconds), expr } : { ms: 0, expr };
}

/** Whole milliseconds towards zero, after rounding to nanoseconds against binary fractions. */
export function toMs(seconds: number): number {
  const ms = Math.trunc(Math.round(seconds * 1e9) / 1e6);
  return ms === 0 ? 0 : ms; // no -0
}

/** One duration expression; nesting is bounded, values are checked at every node. */
class DurationParser {
  readonly #cursor: Cursor;
  readonly #place: DurationPlace;
  #nesting = 0;

  constructor(cursor: Cursor, place: DurationPlace) {
    this.#cursor = cursor;
    this.#place = place;
  }

  parse(precedenceMin: number): Duration {
    let left = this.#parseTerm();
    for (;;) {
      const token = this.#cursor.peek();
      const op = durationOp(token.kind);
      if (op === undefined || PRECEDENCE[op] < precedenceMin) return left;
      this.#cursor.next();
      this.#enter(token);
      const right = this.parse(op === '^' ? PRECEDENCE[op] : PRECEDENCE[op] + 1);
      this.#nesting--;
      this.#requireOption(left.start);
      left = this.#combined(token, op, left, right);
    }
  }

  /** Signs and then a literal or parentheses: binary operators after it are not part of it. */
  parseSigned(): Duration {
    const sign = this.#cursor.accept('-') ?? this.#cursor.accept('+');
    if (sign === undefined) return this.#checked(this.#parsePrimary());
    this.#enter(sign);
    const isLiteral = isNumberKind(this.#cursor.peek().kind);
    const inner = isLiteral ? this.#parsePrimary() : this.parseSigned();
    this.#nesting--;
    return this.#signed(sign, inner);
  }

  #parseTerm(): Duration {
    const sign = this.#cursor.accept('-') ?? this.#cursor.accept('+');
    if (sign === undefined) return this.#checked(this.#parsePrimary());
    this.#enter(sign);
    const inner = this.parse(UNARY_PRECEDENCE);
    this.#nesting--;
    return this.#signed(sign, inner);
  }

  #parsePrimary(): Duration {
    const token = this.#cursor.peek();
    if (isNumberKind(token.kind)) {
      this.#cursor.next();
      return { seconds: tokenValue(this.#cursor, token), start: token.start };
    }
    const word = DURATION_WORDS.find((one) => this.#cursor.isWord(one, true));
    if (word !== undefined && this.#cursor.options.durationExpressions === true) {
      return this.#parseCall(word);
    }
    if (token.kind !== '(') throw this.#unexpected();
    this.#cursor.next();
    this.#enter(token);
    const inner = this.parse(1);
    this.#nesting--;
    if (this.#cursor.accept(')') === undefined) throw this.#unexpected();
    this.#requireOption(inner.start);
    return inner;
  }

  /** `step()`, `range()`, `min(a, b)` or `max(a, b)`, from the word on. */
  #parseCall(word: (typeof DURATION_WORDS)[number]): Duration {
    const token = this.#cursor.next();
    const { start } = token;
    this.#enter(this.#cursor.next());
    if (word === 'step' || word === 'range') {
      const closing = this.#cursor.accept(')');
      if (closing === undefined) throw this.#unexpected();
      this.#nesting--;
      return { seconds: 0, start, expr: { kind: word, start, end: closing.end } };
    }
    const left = this.parse(1);
    if (this.#cursor.accept(',') === undefined) throw this.#unexpected();
    const right = this.parse(1);
    if (this.#cursor.accept(')') === undefined) throw this.#unexpected();
    this.#nesting--;
    return { ...this.#combined(token, word, left, right), start };
  }

  #signed(sign: Token, { seconds, expr }: Duration): Duration {
    const { start } = sign;
    if (expr === undefined) {
      return this.#checked({ seconds: sign.kind === '-' ? -seconds : seconds, start });
    }
    if (sign.kind !== '-') return { seconds: 0, start, expr };
    return { seconds: 0, start, expr: { kind: 'negative', expr, start, end: expr.end } };
  }

  #combined(token: Token, op: DurationOp, left: Duration, right: Duration): Duration {
    const { start } = left;
    if (left.expr === undefined && right.expr === undefined) {
      return this.#checked({
        seconds: this.#compute(token, op, left.seconds, right.seconds),
        start,
      });
    }
    const end = this.#cursor.endOfLast;
    const [lhs, rhs] = [asExpr(left, token.start), asExpr(right, end)];
    return { seconds: 0, start, expr: { kind: 'binary', op, lhs, rhs, start, end } };
  }

  #compute(token: Token, op: DurationOp, left: number, right: number): number {
    switch (op) {
      case '%':
        if (right === 0) throw this.#cursor.error(token.start, 'modulo by zero');
        return left % right;
      case '*':
        return left * right;
      case '+':
        return left + right;
      case '-':
        return left - right;
      case '/':
        if (right === 0) throw this.#cursor.error(token.start, 'division by zero');
        return left / right;
      case '^':
        return left ** right;
      case 'max':
        return Math.max(left, right);
      case 'min':
        return Math.min(left, right);
      default:
        return assertNever(op);
    }
  }

  #checked(duration: Duration): Duration {
    if (!(Math.abs(duration.seconds) * 1000 <= DURATION_MS_MAX)) {
      throw this.#cursor.error(duration.start, 'duration out of range');
    }
    return duration;
  }

  #requireOption(index: number): void {
    if (this.#cursor.options.durationExpressions !== true) {
      throw this.#cursor.error(index, 'experimental duration expression is not enabled');
    }
  }

  #enter(token: Token): void {
    this.#nesting++;
    if (this.#nesting > NESTING_MAX) {
      throw this.#cursor.error(token.start, `duration nested deeper than ${NESTING_MAX} levels`);
    }
  }

  #unexpected(): Error {
    return this.#cursor.unexpected(this.#place.context, this.#place.expected);
  }
}

const DURATION_WORDS = ['step', 'range', 'min', 'max'] as const;

function asExpr({ seconds, start, expr }: Duration, end: number): DurationExpr {
  return expr ?? { kind: 'number', seconds, start, end };
}

function isNumberKind(kind: TokenKind): boolean {
  return kind === 'number' || kind === 'duration';
}

function durationOp(kind: TokenKind): SignOp | undefined {
  return Object.hasOwn(PRECEDENCE, kind) ? (kind as SignOp) : undefined; // own key of it
}
