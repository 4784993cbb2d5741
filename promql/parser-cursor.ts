/**
 * The parser's place in the token stream: one token of lookahead, and the forms of its errors.
 * A token is lexed when it is first looked at, so the first error in reading order wins.
 */
import { Lexer } from './lexer.ts';
import { describeToken, type Token, type TokenKind } from './lexer-token.ts';
import { parseError } from './parser-position.ts';

/** What the parser accepts beyond the stable language. */
export interface ParserOptions {
  /** Experimental functions, limitk and limit_ratio, `</` and `>/`. Default: false. */
  readonly experimentalFunctions?: boolean;
  /** Arithmetic in ranges, steps and offsets, computed while parsing. Default: false. */
  readonly durationExpressions?: boolean;
  /** `fill`, `fill_left` and `fill_right` of binary operators. Default: false. */
  readonly fillModifiers?: boolean;
  /** `anchored` and `smoothed` selectors. Default: false. */
  readonly extendedRangeSelectors?: boolean;
}

/** The bound on the regular expressions of one text together, in `regexCost`. */
const REGEX_COST_SUM_MAX = 20_000;

export class Cursor {
  readonly text: string;
  readonly options: ParserOptions;
  readonly #lexer: Lexer;
  #ahead: Token | undefined;
  #endOfLast = 0;
  #regexCost = 0;

  constructor(text: string, options: ParserOptions) {
    this.text = text;
    this.options = options;
    this.#lexer = new Lexer(
      text,
      options.durationExpressions === true,
      options.experimentalFunctions === true,
    );
  }

  /** The token to come. */
  peek(): Token {
    this.#ahead ??= this.#lexer.next();
    return this.#ahead;
  }

  /** Takes the token to come. */
  next(): Token {
    const token = this.peek();
    this.#ahead = undefined;
    this.#endOfLast = token.end;
    return token;
  }

  /** The index after the token taken last. */
  get endOfLast(): number {
    return this.#endOfLast;
  }

  /** Takes the token to come if it is of this kind. */
  accept(kind: TokenKind): Token | undefined {
    return this.peek().kind === kind ? this.next() : undefined;
  }

  /** True when the token to come is this word (in any case) and, if asked, `(` comes next. */
  isWord(word: string, hasParenthesis: boolean): boolean {
    const { kind, text, end } = this.peek();
    if (kind !== 'identifier' && kind !== word) return false;
    if (text.toLowerCase() !== word) return false;
    return !hasParenthesis || /^\s*\(/.test(this.text.slice(end));
  }

  /** Counts a regular expression against the bound of the whole text. Throws `query.parse`. */
  chargeRegex(cost: number, index: number): void {
    this.#regexCost += cost;
    if (this.#regexCost <= REGEX_COST_SUM_MAX) return;
    const message = `regular expressions that unroll to more than ${REGEX_COST_SUM_MAX} parts`;
    throw this.error(index, message);
  }

  /** The error for a token that cannot stand here: `unexpected … in <context>, expected …`. */
  unexpected(context: string, expected = ''): Error {
    const token = this.peek();
    const where = context === '' ? '' : ` in ${context}`;
    const instead = expected === '' ? '' : `, expected ${expected}`;
    return this.error(token.start, `unexpected ${describeToken(token)}${where}${instead}`);
  }

  /** The error at an index of the text. */
  error(index: number, message: string): Error {
    return parseError(this.text, index, message);
  }
}
