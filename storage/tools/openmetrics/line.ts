/**
 * One line of OpenMetrics text. Pure. A sample is
 *
 *   name{label="value",…} value timestamp[ # {exemplar} …]
 *   {"name with any characters",label="value"} value timestamp
 *
 * with single spaces; the timestamp is in seconds. `\\`, `\"` and `\n` are the escapes of label values.
 */
import { type Labels, METRIC_NAME, compareUtf8 } from '../../../model/labels.ts';

/** What is wrong with a line, and where (from 0). */
export class BadLine extends Error {
  override readonly name = 'BadLine';
  readonly at: number;

  constructor(at: number, why: string) {
    super(why);
    this.at = at;
  }
}

const SPACE = 0x20;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN = 0x7b;
const CLOSE = 0x7d;

/** Where the series of a line ends: the offset of the space behind name and labels. */
export function endOfSeries(line: string): number {
  let at = 0;
  while (at < line.length && line.charCodeAt(at) !== OPEN && line.charCodeAt(at) !== SPACE) at++;
  if (line.charCodeAt(at) === OPEN) {
    for (at++; at < line.length && line.charCodeAt(at) !== CLOSE; at++) {
      if (line.charCodeAt(at) !== QUOTE) continue;
      for (at++; at < line.length && line.charCodeAt(at) !== QUOTE; at++) {
        if (line.charCodeAt(at) === BACKSLASH) at++;
      }
    }
    at++;
  }
  if (line.charCodeAt(at) === SPACE) return at;
  throw new BadLine(Math.min(at, line.length), 'a space and a value must follow the series');
}

const METRIC = /[a-zA-Z_:][a-zA-Z0-9_:]*/y;
const LABEL = /[a-zA-Z_][a-zA-Z0-9_]*/y;
const ESCAPES: ReadonlyMap<string, string> = new Map([
  ['\\', '\\'],
  ['"', '"'],
  ['n', '\n'],
]);

/** The labels of the series at the front of a line, sorted; empty values are dropped. Throws `BadLine`. */
export function parseSeries(text: string): Labels {
  const reader = new SeriesText(text);
  return reader.read();
}

class SeriesText {
  readonly #text: string;
  #at = 0;
  readonly #pairs: (readonly [name: string, value: string])[] = [];

  constructor(text: string) {
    this.#text = text;
  }

  read(): Labels {
    const name = this.#match(METRIC);
    if (name !== undefined) this.#pairs.push([METRIC_NAME, name]);
    if (this.#take('{')) this.#readPairs();
    if (this.#at < this.#text.length) {
      throw new BadLine(this.#at, `${this.#shown()} does not belong into a series`);
    }
    const sorted = this.#pairs.sort((a, b) => compareUtf8(a[0], b[0]));
    for (let i = 1; i < sorted.length; i++) {
      const [label] = sorted[i]!;
      if (label === sorted[i - 1]![0]) throw new BadLine(0, `the label '${label}' is there twice`);
    }
    if (!sorted.some(([label]) => label === METRIC_NAME)) {
      throw new BadLine(0, 'the series has no metric name');
    }
    return sorted.filter(([, value]) => value !== '').flat();
  }

  #readPairs(): void {
    while (!this.#take('}')) {
      const quoted = this.#quoted();
      if (quoted !== undefined && !this.#isAt('=')) this.#pairs.push([METRIC_NAME, quoted]);
      else {
        const name = quoted ?? this.#match(LABEL);
        if (name === undefined) throw new BadLine(this.#at, `${this.#shown()} is not a label name`);
        if (!this.#take('=')) throw new BadLine(this.#at, "'=' must follow the name of a label");
        const value = this.#quoted();
        if (value === undefined) throw new BadLine(this.#at, 'a label value in quotes must follow');
        this.#pairs.push([name, value]);
      }
      if (!this.#take(',') && !this.#isAt('}')) {
        throw new BadLine(this.#at, "',' or '}' must follow a label");
      }
    }
  }

  #quoted(): string | undefined {
    if (!this.#take('"')) return undefined;
    const start = this.#at;
    let value = '';
    for (let from = start; ; this.#at++) {
      const character = this.#text[this.#at];
      if (character === undefined) throw new BadLine(start - 1, 'the quote is never closed');
      if (character !== '"' && character !== '\\') continue;
      value += this.#text.slice(from, this.#at);
      if (character === '"') break;
      const escaped = ESCAPES.get(this.#text[++this.#at] ?? '');
      if (escaped === undefined)
        throw new BadLine(this.#at - 1, 'only \\\\, \\" and \\n are escapes');
      value += escaped;
      from = this.#at + 1;
    }
    this.#at++;
    return value;
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0];
    this.#at += found?.length ?? 0;
    return found;
  }

  #isAt(character: string): boolean {
    return this.#text[this.#at] === character;
  }

  #take(character: string): boolean {
    if (!this.#isAt(character)) return false;
    this.#at++;
    return true;
  }

  #shown(): string {
    return JSON.stringify(this.#text.slice(this.#at, this.#at + 20));
  }
}

const DECIMAL = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/;
const INFINITY = /^([+-]?)inf(?:inity)?$/i;

/** A number as Go's ParseFloat reads it, without hexadecimal. Undefined: it is none. */
function parseNumber(text: string): number | undefined {
  if (DECIMAL.test(text)) {
    const value = Number(text);
    return Number.isFinite(value) ? value : undefined;
  }
  const infinity = INFINITY.exec(text);
  if (infinity !== null) return infinity[1] === '-' ? -Infinity : Infinity;
  return /^[+-]?nan$/i.test(text) ? NaN : undefined;
}

/** Reads the value and the time behind a series, from its space on. Throws `BadLine`. */
export function parseValueAndTime(
  line: string,
  from: number,
): { readonly value: number; readonly timeMs: number } {
  const valueFrom = from + 1;
  const space = line.indexOf(' ', valueFrom);
  const valueTo = space < 0 ? line.length : space;
  const value = parseNumber(line.slice(valueFrom, valueTo));
  if (value === undefined) {
    throw new BadLine(valueFrom, `'${line.slice(valueFrom, valueTo)}' is not a value`);
  }
  const timeFrom = valueTo + 1;
  if (space < 0 || line.startsWith('# {', timeFrom)) {
    throw new BadLine(valueTo, 'the sample has no timestamp, which an import needs');
  }
  const next = line.indexOf(' ', timeFrom);
  const timeTo = next < 0 ? line.length : next;
  const seconds = parseNumber(line.slice(timeFrom, timeTo));
  const timeMs = seconds === undefined ? NaN : Math.round(seconds * 1000);
  if (!Number.isSafeInteger(timeMs)) {
    throw new BadLine(timeFrom, `'${line.slice(timeFrom, timeTo)}' is not a timestamp in seconds`);
  }
  if (next >= 0 && !line.startsWith('# {', next + 1)) {
    throw new BadLine(next, 'only an exemplar (# {…}) may follow the timestamp');
  }
  return { value, timeMs };
}

const COMMENT = /^# (?:HELP|TYPE|UNIT) (?:[a-zA-Z_:][a-zA-Z0-9_:]*|"(?:[^"\\]|\\.)+")(?: |$)/;
const END = '# EOF';

/** What a line that begins with '#' is. Throws `BadLine`. */
export function parseComment(line: string): 'end' | 'metadata' {
  if (line === END) return 'end';
  if (COMMENT.test(line)) return 'metadata';
  throw new BadLine(0, 'only # HELP, # TYPE, # UNIT and # EOF may begin with #');
}
