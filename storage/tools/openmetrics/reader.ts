/**
 * OpenMetrics text, read piece by piece: each sample is told with the number of its series. Memory: the label
 * sets of all series, one line.
 */
import { TextDecoder } from 'node:util';
import { StarlingError } from '../../../model/errors.ts';
import { type Labels, labelsKey } from '../../../model/labels.ts';
import type { ByteSource } from '../../block/byte-source.ts';
import type { Pacer } from '../../pacer.ts';
import { BadLine, endOfSeries, parseComment, parseSeries, parseValueAndTime } from './line.ts';

const PIECE_BYTES = 1024 * 1024;
const LINE_CHARACTERS_MAX = 1024 * 1024;
const SERIES_MAX = 5_000_000;
const LINE_UNITS = 2;

/** The distinct series of a file, numbered as they are first seen. */
export class SeriesRegister {
  readonly labels: Labels[] = [];
  readonly #byText = new Map<string, number>();
  readonly #byLabels = new Map<string, number>();

  /** The number of the series that is written so. Throws `BadLine`, `openmetrics.too_large`. */
  numberOf(written: string): number {
    const known = this.#byText.get(written);
    if (known !== undefined) return known;
    // Part of a string keeps all of it: without a copy the whole file would stay in memory.
    const text = Buffer.from(written).toString();
    const labels = parseSeries(text);
    const key = labelsKey(labels);
    let number = this.#byLabels.get(key);
    if (number === undefined) {
      number = this.labels.length;
      if (number >= SERIES_MAX) {
        throw new StarlingError('openmetrics.too_large', { what: 'series', countMax: SERIES_MAX });
      }
      this.#byLabels.set(key, number);
      this.labels.push(labels);
    }
    // A series may be written in any order of its labels: bounded, since it is only a shortcut.
    if (this.#byText.size > 2 * SERIES_MAX) this.#byText.clear();
    this.#byText.set(text, number);
    return number;
  }
}

/** Takes a sample; a promise is awaited before the next one. */
export type OnSample = (series: number, timeMs: number, value: number) => Promise<void> | undefined;

/** Reads all of a file. Throws `openmetrics.*`, and what `source` and `onSample` throw. */
export async function readOpenMetrics(
  source: ByteSource,
  pacer: Pacer,
  onSample: OnSample,
): Promise<SeriesRegister> {
  const run = new TextRun(onSample);
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  let rest = '';
  for (let offset = 0; offset < source.sizeBytes; offset += PIECE_BYTES) {
    const bytes = await source.read(offset, Math.min(PIECE_BYTES, source.sizeBytes - offset));
    const text = rest + decode(decoder, bytes, run.lineNumber);
    let from = 0;
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', from)) {
      const waiting = run.take(text.slice(from, end));
      if (waiting !== undefined) await waiting;
      from = end + 1;
      if (pacer.spend(LINE_UNITS)) await pacer.pause();
    }
    rest = text.slice(from);
    if (rest.length > LINE_CHARACTERS_MAX) throw run.refuse(0, 'the line is longer than 1 MiB');
  }
  rest += decode(decoder, undefined, run.lineNumber);
  if (rest !== '') await run.take(rest);
  run.checkEnd();
  return run.series;
}

/** No bytes: the end. */
function decode(decoder: TextDecoder, bytes: Uint8Array | undefined, line: number): string {
  try {
    return bytes === undefined ? decoder.decode() : decoder.decode(bytes, { stream: true });
  } catch (thrown) {
    const why = 'the text behind this line is not UTF-8';
    throw new StarlingError('openmetrics.invalid', { line, column: 1, why }, thrown);
  }
}

class TextRun {
  readonly series = new SeriesRegister();
  lineNumber = 0;
  readonly #onSample: OnSample;
  #hasEnded = false;
  /** The series of the line before and its number: most lines have the same one. */
  #lastText = '';
  #lastNumber = -1;

  constructor(onSample: OnSample) {
    this.#onSample = onSample;
  }

  /** Takes one line without its end. */
  take(line: string): Promise<void> | undefined {
    this.lineNumber++;
    try {
      if (this.#hasEnded) throw new BadLine(0, 'there is text behind # EOF');
      if (line === '') throw new BadLine(0, 'the line is empty');
      if (line.startsWith('#')) {
        this.#hasEnded = parseComment(line) === 'end';
        return undefined;
      }
      const end = this.#takeSeries(line);
      const { timeMs, value } = parseValueAndTime(line, end);
      return this.#onSample(this.#lastNumber, timeMs, value);
    } catch (thrown) {
      if (thrown instanceof BadLine) throw this.refuse(thrown.at, thrown.message, thrown);
      throw thrown;
    }
  }

  checkEnd(): void {
    if (this.#hasEnded) return;
    this.lineNumber++;
    throw this.refuse(0, 'the file does not end with # EOF: it may be cut off');
  }

  refuse(at: number, why: string, cause?: unknown): StarlingError {
    const facts = { line: this.lineNumber, column: at + 1, why };
    return new StarlingError('openmetrics.invalid', facts, cause);
  }

  /** Notes the series of a line; returns where its text ends. */
  #takeSeries(line: string): number {
    const { length } = this.#lastText;
    const isSame = length > 0 && line.startsWith(this.#lastText) && line[length] === ' ';
    if (isSame) return length; // fast path: the same series once more
    const end = endOfSeries(line);
    const text = line.slice(0, end);
    this.#lastNumber = this.series.numberOf(text);
    this.#lastText = text;
    return end;
  }
}
