/**
 * The lexer: cuts a query text into tokens, one a call, so that an error in the text is reported
 * only when the parser gets there. Three modes, because the same characters mean other things:
 *
 *   statements     numbers, words, operators            a + rate(…
 *   braces         label names (no keywords), matchers  {job="x"}
 *   duration       until the first number after `[`     [5m
 *
 * Spaces and `# comments` are skipped. Indexes are UTF-16; lexing is linear in the text.
 */
import { isAlpha, isAlphaNumeric, isDigit, scanNumberOrDuration } from './lexer-number.ts';
import { scanString } from './lexer-string.ts';
import { type Token, type TokenKind, wordKind } from './lexer-token.ts';
import { parseError } from './parser-position.ts';
import { quote, quoteRune } from './printer-quote.ts';

/** Signs of one character that need no look at the next one. */
const SINGLE_SIGNS: ReadonlyMap<string, TokenKind> = new Map<string, TokenKind>([
  ['%', '%'],
  ['*', '*'],
  ['+', '+'],
  [',', ','],
  ['-', '-'],
  ['/', '/'],
  ['@', '@'],
  ['^', '^'],
]);

const DURATION_SIGNS: ReadonlySet<string> = new Set(['%', '*', '+', '-', '/', '^']);

const COLON = 58;
const DOT = 46;

export class Lexer {
  readonly #text: string;
  #at = 0;
  #parenDepth = 0;
  #isBraceOpen = false;
  #isBracketOpen = false;
  /** True from `[` to the first number after it. */
  #awaitsDuration = false;
  #hasColon = false;
  readonly #hasWords: boolean;

  readonly #hasTrims: boolean;

  /** `hasWords`: `step`, `range`, `min` and `max` may stand in brackets; `hasTrims`: `</` is one sign. */
  constructor(text: string, hasWords = false, hasTrims = false) {
    this.#text = text;
    this.#hasWords = hasWords;
    this.#hasTrims = hasTrims;
  }

  /** The next token; after the last one `eof` for ever. Throws `query.parse`. */
  next(): Token {
    if (this.#awaitsDuration) return this.#nextInDuration();
    this.#skipBlanks(true);
    return this.#isBraceOpen ? this.#nextInBraces() : this.#nextInStatement();
  }

  #nextInStatement(): Token {
    const char = this.#text[this.#at];
    if (char === undefined) return this.#endOfInput();
    const code = char.charCodeAt(0);
    if (isDigit(code) || (code === DOT && isDigit(this.#text.charCodeAt(this.#at + 1)))) {
      return this.#number();
    }
    if (isAlpha(code) || code === COLON) {
      if (!this.#isBracketOpen) return this.#word();
      return this.#durationWord() ?? this.#colon(char);
    }
    const single = SINGLE_SIGNS.get(char);
    if (single !== undefined) return this.#token(single, 1);
    if (char === '"' || char === "'" || char === '`') return this.#string();
    return this.#comparison(char) ?? this.#bracket(char);
  }

  #endOfInput(): Token {
    if (this.#parenDepth !== 0) throw this.#error('unclosed left parenthesis');
    if (this.#isBracketOpen) throw this.#error('unclosed left bracket');
    return this.#token('eof', 0);
  }

  #comparison(char: string): Token | undefined {
    const next = this.#text[this.#at + 1];
    if (char === '=') {
      if (next === '=') return this.#token('==', 2);
      if (next === '~') throw this.#error(`unexpected character after '=': '~'`);
      return this.#token('=', 1);
    }
    if (char === '!') {
      if (next === '=') return this.#token('!=', 2);
      throw this.#error(`unexpected character after '!': ${quoteRune(this.#runeAt(this.#at + 1))}`);
    }
    if (next === '/' && this.#hasTrims && (char === '<' || char === '>')) {
      return this.#token(char === '<' ? '</' : '>/', 2);
    }
    if (char === '<') return next === '=' ? this.#token('<=', 2) : this.#token('<', 1);
    if (char === '>') return next === '=' ? this.#token('>=', 2) : this.#token('>', 1);
    return undefined;
  }

  #bracket(char: string): Token {
    switch (char) {
      case '(':
        this.#parenDepth++;
        return this.#token('(', 1);
      case ')':
        return this.#closeParen();
      case '[':
        if (this.#isBracketOpen) throw this.#error("unexpected left bracket '['");
        this.#isBracketOpen = true;
        this.#awaitsDuration = true;
        this.#hasColon = false;
        return this.#token('[', 1);
      case ']':
        if (!this.#isBracketOpen) throw this.#error("unexpected right bracket ']'");
        this.#isBracketOpen = false;
        return this.#token(']', 1);
      case '{':
        this.#isBraceOpen = true;
        return this.#token('{', 1);
      default:
        throw this.#error(`unexpected character: ${quoteRune(this.#runeAt(this.#at))}`);
    }
  }

  #closeParen(): Token {
    const token = this.#token(')', 1);
    this.#parenDepth--;
    if (this.#parenDepth < 0) throw this.#error("unexpected right parenthesis ')'");
    return token;
  }

  /** Inside brackets, after the range: only the colon of a subquery is left of the words. */
  #colon(char: string): Token {
    if (this.#hasColon) throw this.#error(`unexpected colon ${quoteRune(char)}`);
    if (char !== ':') {
      throw this.#error(`unexpected character: ${quoteRune(char)}, expected ':'`);
    }
    this.#hasColon = true;
    return this.#token(':', 1);
  }

  /** A function of durations, if one stands here. `step()` and `range()` are durations themselves. */
  #durationWord(): Token | undefined {
    if (!this.#hasWords) return undefined;
    const word = /^(?:step|range|min|max)(?=\s*\()/i.exec(this.#text.slice(this.#at))?.[0];
    if (word === undefined) return undefined;
    if (word.length > 3) this.#awaitsDuration = false;
    return this.#token('identifier', word.length);
  }

  #word(): Token {
    let end = this.#at + 1;
    while (isWordCode(this.#text.charCodeAt(end))) end++;
    const word = this.#text.slice(this.#at, end);
    return this.#token(wordKind(word), word.length);
  }

  #number(): Token {
    const { kind, end } = scanNumberOrDuration(this.#text, this.#at);
    if (kind === 'bad') {
      const text = this.#text.slice(this.#at, end);
      throw this.#error(`bad number or duration syntax: ${quote(text)}`);
    }
    return this.#token(kind, end - this.#at);
  }

  #string(): Token {
    const scan = scanString(this.#text, this.#at);
    if (!scan.ok) throw this.#error(scan.why);
    return this.#token('string', scan.end - this.#at);
  }

  #nextInBraces(): Token {
    const char = this.#text[this.#at];
    if (char === undefined) throw this.#error('unexpected end of input inside braces');
    const next = this.#text[this.#at + 1];
    switch (char) {
      case '!':
        if (next === '~') return this.#token('!~', 2);
        if (next === '=') return this.#token('!=', 2);
        throw this.#error(
          `unexpected character after '!' inside braces: ${quoteRune(this.#runeAt(this.#at + 1))}`,
        );
      case '"':
      case "'":
      case '`':
        return this.#string();
      case ',':
        return this.#token(',', 1);
      case '=':
        return next === '~' ? this.#token('=~', 2) : this.#token('=', 1);
      case '{':
        throw this.#error("unexpected left brace '{'");
      case '}':
        this.#isBraceOpen = false;
        return this.#token('}', 1);
      default:
        return this.#labelName();
    }
  }

  #labelName(): Token {
    let end = this.#at;
    if (isAlpha(this.#text.charCodeAt(end))) {
      while (isAlphaNumeric(this.#text.charCodeAt(end))) end++;
      return this.#token('identifier', end - this.#at);
    }
    const rune = quoteRune(this.#runeAt(this.#at));
    throw this.#error(`unexpected character inside braces: ${rune}`);
  }

  #nextInDuration(): Token {
    this.#skipBlanks(false);
    const char = this.#text[this.#at];
    if (char === undefined) throw this.#error('unexpected end of input in duration expression');
    const code = char.charCodeAt(0);
    if (isDigit(code) || (code === DOT && isDigit(this.#text.charCodeAt(this.#at + 1)))) {
      this.#awaitsDuration = false;
      return this.#number();
    }
    const single = SINGLE_SIGNS.get(char);
    if (single !== undefined && DURATION_SIGNS.has(char)) return this.#token(single, 1);
    if (single === ',' && this.#hasWords) return this.#token(single, 1);
    const word = this.#durationWord();
    if (word !== undefined) return word;
    switch (char) {
      case '(':
        this.#parenDepth++;
        return this.#token('(', 1);
      case ')':
        return this.#closeParen();
      case ':':
        this.#at++;
        throw this.#error('unexpected colon before duration in duration expression');
      case ']':
        this.#isBracketOpen = false;
        this.#awaitsDuration = false;
        return this.#token(']', 1);
      default: {
        const rune = quoteRune(this.#runeAt(this.#at));
        throw this.#error(`unexpected character in duration expression: ${rune}`);
      }
    }
  }

  #skipBlanks(withComments: boolean): void {
    for (;;) {
      const char = this.#text[this.#at];
      if (char === ' ' || char === '\t' || char === '\n' || char === '\r') {
        this.#at++;
      } else if (char === '#' && withComments) {
        while (this.#at < this.#text.length && !isLineEnd(this.#text[this.#at]!)) this.#at++;
      } else {
        return;
      }
    }
  }

  #runeAt(at: number): string | undefined {
    const code = this.#text.codePointAt(at);
    return code === undefined ? undefined : String.fromCodePoint(code);
  }

  #token(kind: TokenKind, length: number): Token {
    const start = this.#at;
    this.#at += length;
    return { kind, start, end: this.#at, text: this.#text.slice(start, this.#at) };
  }

  #error(message: string): Error {
    return parseError(this.#text, this.#at, message);
  }
}

function isWordCode(code: number): boolean {
  return isAlphaNumeric(code) || code === COLON;
}

function isLineEnd(char: string): boolean {
  return char === '\n' || char === '\r';
}
