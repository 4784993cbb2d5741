/**
 * The answer of a query and its JSON, byte for byte as Prometheus writes it:
 *
 *   {"resultType":"matrix","result":[{"metric":{…},"values":[[1.100,"2"],…]}]}
 */
import { assertNever } from '../model/assert.ts';
import type { Histogram } from '../model/histogram.ts';
import type { Labels } from '../model/labels.ts';
import type { SeriesColumns } from '../model/series-columns.ts';
import { wellFormed } from './printer-quote.ts';
import { ResultBytes } from './result-bytes.ts';
import { formatPlain } from '../model/number-text.ts';

export type ResultValue =
  | { readonly resultType: 'matrix'; readonly series: SeriesColumns }
  | { readonly resultType: 'scalar'; readonly timestampMs: number; readonly value: number }
  | { readonly resultType: 'string'; readonly timestampMs: number; readonly value: string }
  | {
      readonly resultType: 'vector';
      readonly timestampMs: number;
      readonly labels: readonly Labels[];
      readonly values: Float64Array;
      /** By row, where the sample is a histogram. */
      readonly histograms?: readonly (Histogram | undefined)[] | undefined;
    };

export type QueryResult = ResultValue & {
  readonly warnings: readonly string[];
  readonly infos: readonly string[];
};

/** The `data` member of the answer in UTF-8: resultType, result and `more` members, JSON themselves. */
export function encodeResult(
  result: ResultValue,
  more: Readonly<Record<string, string>> = {},
): Uint8Array {
  const out = new ResultBytes();
  out.ascii(`{"resultType":"${result.resultType}","result":`);
  switch (result.resultType) {
    case 'matrix':
      addMatrix(out, result.series);
      break;
    case 'scalar':
      out.ascii(`[${result.timestampMs / 1000},"${formatPlain(result.value)}"]`);
      break;
    case 'string':
      out.utf8(`[${result.timestampMs / 1000},${htmlSafe(result.value)}]`);
      break;
    case 'vector':
      addVector(out, result);
      break;
    default:
      assertNever(result);
  }
  for (const [name, json] of Object.entries(more)) out.utf8(`,"${name}":${json}`);
  out.ascii('}');
  return out.take();
}

/** A JSON string without what could end a script element; only string results are written so. */
function htmlSafe(text: string): string {
  return JSON.stringify(wellFormed(text)).replaceAll(
    /[<>&\u2028\u2029]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

function addMetric(out: ResultBytes, labels: Labels): void {
  out.ascii('{"metric":{');
  for (let i = 0; i < labels.length; i += 2) {
    if (i > 0) out.ascii(',');
    out.quoted(labels[i]!);
    out.ascii(':');
    out.quoted(labels[i + 1]!);
  }
}

function addMatrix(out: ResultBytes, series: SeriesColumns): void {
  const { labels, ends, timestamps, values, histograms } = series;
  out.ascii('[');
  let at = 0;
  for (let row = 0; row < labels.length; row++) {
    if (row > 0) out.ascii(',');
    addMetric(out, labels[row]!);
    if (histograms?.slice(at, ends[row]).some((one) => one !== undefined) === true) {
      addMixedPoints(out, series, at, ends[row]!);
      at = ends[row]!;
      continue;
    }
    out.ascii('},"values":[');
    const start = at;
    for (; at < ends[row]!; at++) {
      if (at > start) out.ascii(',');
      out.point(timestamps[at]!, values[at]!);
    }
    out.ascii(']}');
  }
  out.ascii(']');
}

/** The points of a series that has histograms: numbers first, where there are any. */
function addMixedPoints(
  out: ResultBytes,
  { timestamps, values, histograms }: SeriesColumns,
  from: number,
  to: number,
): void {
  let kind = '';
  const separate = (next: string): void => {
    out.ascii(kind === next ? ',' : `${kind === '' ? '}' : ']'},"${next}":[`);
    kind = next;
  };
  for (let at = from; at < to; at++) {
    if (histograms?.[at] !== undefined) continue;
    separate('values');
    out.point(timestamps[at]!, values[at]!);
  }
  for (let at = from; at < to; at++) {
    const histogram = histograms?.[at];
    if (histogram === undefined) continue;
    separate('histograms');
    out.histogramPoint(timestamps[at]!, histogram);
  }
  out.ascii(']}');
}

function addVector(
  out: ResultBytes,
  { labels, values, histograms, timestampMs }: Extract<ResultValue, { resultType: 'vector' }>,
): void {
  out.ascii('[');
  for (let row = 0; row < labels.length; row++) {
    if (row > 0) out.ascii(',');
    addMetric(out, labels[row]!);
    const histogram = histograms?.[row];
    out.ascii(histogram === undefined ? '},"value":' : '},"histogram":');
    if (histogram === undefined) out.point(timestampMs, values[row]!);
    else out.histogramPoint(timestampMs, histogram);
    out.ascii('}');
  }
  out.ascii(']');
}
