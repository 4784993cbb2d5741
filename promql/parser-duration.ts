/**
 * Ranges, steps and offsets: numbers of seconds or durations, signed; and, behind the option
 * `durationExpressions`, arithmetic on them, which is computed right here.
 */
import { assertNever } from '../model/assert.ts';
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
}

type DurationOp = '%' | '*' | '+' | '-' | '/' | '^';

const PRECEDENCE: Readonly<Record<DurationOp, number>> = {
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
export function parsePositiveDuration(cursor: Cursor, place: DurationPlace): number {
  const parser = new DurationParser(cursor, place);
  const { seconds, start } = parser.parse(1);
  cursor.peek();
  if (!(seconds > 0)) throw cursor.error(start, 'duration must be greater than 0');
  return toMs(seconds);
}

/** Parses an offset: a signed literal, or an expression in parentheses. In milliseconds. */
export function parseOffset(cursor: Cursor): number {
  const parser = new DurationParser(cursor, OFFSET_PLACE);
  return toMs(parser.parseSigned().seconds);
}

/** Whole milliseconds towards zero, after rounding to nanoseconds against binary fractions. */
function toMs(seconds: number): number {
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
      const seconds = this.#compute(token, op, left.seconds, right.seconds);
      left = this.#checked({ seconds, start: left.start });
    }
  }

  /** Signs and then a literal or parentheses: binary operators after it are not part of it. */
  parseSigned(): Duration {
    const sign = this.#cursor.accept('-') ?? this.#cursor.accept('+');
    if (sign === undefined) return this.#checked(this.#parsePrimary());
    this.#enter(sign);
    const isLiteral = isNumberKind(this.#cursor.peek().kind);
    const { seconds } = isLiteral ? this.#parsePrimary() : this.parseSigned();
    this.#nesting--;
    return this.#checked({ seconds: sign.kind === '-' ? -seconds : seconds, start: sign.start });
  }

  #parseTerm(): Duration {
    const sign = this.#cursor.accept('-') ?? this.#cursor.accept('+');
    if (sign === undefined) return this.#checked(this.#parsePrimary());
    this.#enter(sign);
    const { seconds } = this.parse(UNARY_PRECEDENCE);
    this.#nesting--;
    return this.#checked({ seconds: sign.kind === '-' ? -seconds : seconds, start: sign.start });
  }

  #parsePrimary(): Duration {
    const token = this.#cursor.peek();
    if (isNumberKind(token.kind)) {
      this.#cursor.next();
      return { seconds: tokenValue(this.#cursor, token), start: token.start };
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

function isNumberKind(kind: TokenKind): boolean {
  return kind === 'number' || kind === 'duration';
}

function durationOp(kind: TokenKind): DurationOp | undefined {
  return Object.hasOwn(PRECEDENCE, kind) ? (kind as DurationOp) : undefined; // own key of it
}
