/**
 * The answer of a query and its JSON, byte for byte as Prometheus writes it:
 *
 *   {"resultType":"matrix","result":[{"metric":{…},"values":[[1.100,"2"],…]}]}
 */
import { assertNever } from '../model/assert.ts';
import type { Labels } from '../model/labels.ts';
import type { SeriesColumns } from '../model/series-columns.ts';
import { formatPlain, formatSample, formatTimestamp } from './result-number.ts';

export type ResultValue =
  | { readonly resultType: 'matrix'; readonly series: SeriesColumns }
  | { readonly resultType: 'scalar'; readonly timestampMs: number; readonly value: number }
  | { readonly resultType: 'string'; readonly timestampMs: number; readonly value: string }
  | {
      readonly resultType: 'vector';
      readonly timestampMs: number;
      readonly labels: readonly Labels[];
      readonly values: Float64Array;
    };

export type QueryResult = ResultValue & {
  readonly warnings: readonly string[];
  readonly infos: readonly string[];
};

/** Pieces of text are joined and encoded in blocks of this many characters. */
const BLOCK_CHARACTERS = 1 << 16;

/** The `data` member of the answer: resultType and result, in UTF-8. */
export function encodeResult(result: ResultValue): Uint8Array {
  const out = new TextBlocks();
  out.add(`{"resultType":"${result.resultType}","result":`);
  switch (result.resultType) {
    case 'matrix':
      addMatrix(out, result.series);
      break;
    case 'scalar':
      out.add(`[${result.timestampMs / 1000},"${formatPlain(result.value)}"]`);
      break;
    case 'string':
      out.add(`[${result.timestampMs / 1000},${JSON.stringify(result.value)}]`);
      break;
    case 'vector':
      addVector(out, result.labels, result.values, result.timestampMs);
      break;
    default:
      assertNever(result);
  }
  out.add('}');
  return out.bytes();
}

class TextBlocks {
  readonly #blocks: Uint8Array[] = [];
  #text = '';

  add(text: string): void {
    this.#text += text;
    if (this.#text.length > BLOCK_CHARACTERS) this.#flush();
  }

  bytes(): Uint8Array {
    this.#flush();
    return Buffer.concat(this.#blocks);
  }

  #flush(): void {
    this.#blocks.push(Buffer.from(this.#text));
    this.#text = '';
  }
}

function metricJson(labels: Labels): string {
  let text = '{';
  for (let i = 0; i < labels.length; i += 2) {
    if (i > 0) text += ',';
    text += `${JSON.stringify(labels[i])}:${JSON.stringify(labels[i + 1])}`;
  }
  return `${text}}`;
}

function addMatrix(out: TextBlocks, { labels, ends, timestamps, values }: SeriesColumns): void {
  out.add('[');
  let at = 0;
  for (let row = 0; row < labels.length; row++) {
    out.add(`${row > 0 ? ',' : ''}{"metric":${metricJson(labels[row]!)},"values":[`);
    const start = at;
    for (; at < ends[row]!; at++) {
      const comma = at > start ? ',' : '';
      out.add(`${comma}[${formatTimestamp(timestamps[at]!)},"${formatSample(values[at]!)}"]`);
    }
    out.add(']}');
  }
  out.add(']');
}

function addVector(
  out: TextBlocks,
  labels: readonly Labels[],
  values: Float64Array,
  timestampMs: number,
): void {
  const time = formatTimestamp(timestampMs);
  out.add('[');
  for (let row = 0; row < labels.length; row++) {
    const metric = metricJson(labels[row]!);
    const comma = row > 0 ? ',' : '';
    out.add(`${comma}{"metric":${metric},"value":[${time},"${formatSample(values[row]!)}"]}`);
  }
  out.add(']');
}
