/**
 * A growing buffer that JSON is written into, byte by byte where that is faster than joining
 * strings: label values, whole numbers and times. What it writes is what Prometheus writes.
 *
 * Invariant: the bytes before `#length` are the text so far; `take` ends the writer's life.
 */
import { StarlingError } from '../model/errors.ts';
import type { Histogram } from '../model/histogram.ts';
import { histogramJson } from '../model/histogram-text.ts';
import { formatSample } from '../model/number-text.ts';
import { wellFormed } from './printer-quote.ts';

/** The largest answer. */
const RESULT_BYTES_MAX = 256 * 1024 * 1024;
const BYTES_AT_FIRST = 1 << 12;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const ZERO = 0x30;
const MINUS = 0x2d;
const DOT = 0x2e;
const COMMA = 0x2c;
const OPEN = 0x5b;
const CLOSE = 0x5d;
/** More than the longest time and the longest number in shortest digits have together. */
const POINT_BYTES_MAX = 96;

export class ResultBytes {
  #bytes: Buffer = Buffer.allocUnsafeSlow(BYTES_AT_FIRST); // no pool: it may move to another thread
  #length = 0;

  /** The text so far. The writer must not be used afterwards. */
  take(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  #reserve(byteCount: number): void {
    const needed = this.#length + byteCount;
    if (needed <= this.#bytes.length) return;
    if (needed > RESULT_BYTES_MAX) {
      const facts = { what: 'bytes of the answer', count: needed, countMax: RESULT_BYTES_MAX };
      throw new StarlingError('query.too_large', facts);
    }
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.#bytes.length * 2));
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
  }

  /** Text of ASCII characters, as it is. */
  ascii(text: string): void {
    this.#reserve(text.length);
    const bytes = this.#bytes;
    const at = this.#length;
    for (let i = 0; i < text.length; i++) bytes[at + i] = text.charCodeAt(i);
    this.#length = at + text.length;
  }

  /** A JSON string. */
  quoted(text: string): void {
    this.#reserve(text.length + 2);
    const bytes = this.#bytes;
    let at = this.#length;
    bytes[at++] = QUOTE;
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      if (code < 0x20 || code > 0x7e || code === QUOTE || code === BACKSLASH) {
        this.#quotedSlow(text);
        return;
      }
      bytes[at++] = code;
    }
    bytes[at++] = QUOTE;
    this.#length = at;
  }

  #quotedSlow(text: string): void {
    this.utf8(JSON.stringify(wellFormed(text)).replaceAll(/\\./g, longEscape));
  }

  /** Any text, as it is. */
  utf8(text: string): void {
    this.#reserve(Buffer.byteLength(text));
    this.#length += this.#bytes.write(text, this.#length);
  }

  /** A point: `[1.100,"2"]`, the time in seconds with no or exactly three decimals. */
  point(timeMs: number, value: number): void {
    this.#reserve(POINT_BYTES_MAX);
    this.#bytes[this.#length++] = OPEN;
    this.#time(timeMs);
    this.#bytes[this.#length++] = COMMA;
    this.#bytes[this.#length++] = QUOTE;
    if (value === (value | 0) && (value !== 0 || Object.is(value, 0))) this.#whole(value);
    else this.ascii(formatSample(value));
    this.#bytes[this.#length++] = QUOTE;
    this.#bytes[this.#length++] = CLOSE;
  }

  /** A point that is a histogram: `[1.100,{"count":…}]`. */
  histogramPoint(timeMs: number, histogram: Histogram): void {
    this.#reserve(POINT_BYTES_MAX);
    this.#bytes[this.#length++] = OPEN;
    this.#time(timeMs);
    this.#bytes[this.#length++] = COMMA;
    this.ascii(histogramJson(histogram));
    this.#reserve(1);
    this.#bytes[this.#length++] = CLOSE;
  }

  #time(timeMs: number): void {
    const absoluteMs = Math.abs(timeMs);
    const seconds = Math.floor(absoluteMs / 1000);
    const restMs = absoluteMs - seconds * 1000;
    if (timeMs < 0) this.#bytes[this.#length++] = MINUS;
    if (seconds === (seconds | 0)) this.#whole(seconds);
    else this.ascii(String(seconds));
    if (restMs === 0) return;
    const bytes = this.#bytes;
    bytes[this.#length++] = DOT;
    bytes[this.#length++] = ZERO + ((restMs / 100) | 0);
    bytes[this.#length++] = ZERO + (((restMs / 10) | 0) % 10);
    bytes[this.#length++] = ZERO + (restMs % 10);
  }

  /** A whole number of 32 bits. Room for it is reserved. */
  #whole(value: number): void {
    const bytes = this.#bytes;
    if (value < 0) bytes[this.#length++] = MINUS;
    let rest = Math.abs(value);
    let digits = 1;
    for (let bound = 10; rest >= bound; bound *= 10) digits++;
    const end = this.#length + digits;
    this.#length = end;
    for (let at = end - 1; at >= end - digits; at--) {
      const tenth = rest < 2 ** 31 ? (rest / 10) | 0 : Math.floor(rest / 10);
      bytes[at] = ZERO + rest - tenth * 10;
      rest = tenth;
    }
  }
}

/** The two short escapes that Prometheus does not use. */
function longEscape(escape: string): string {
  if (escape === '\\b') return '\\u0008';
  return escape === '\\f' ? '\\u000c' : escape;
}
