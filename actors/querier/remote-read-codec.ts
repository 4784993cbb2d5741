/**
 * The protobuf of remote read (prometheus/prompb remote.proto), requests in, answers out.
 *
 *   ReadRequest      queries=1 accepted_response_types=2        Query  start=1 end=2 matchers=3
 *   LabelMatcher     type=1 (= != =~ !~) name=2 value=3
 *   ReadResponse     results=1 { timeseries=1 { labels=1 samples=2 { value=1 timestamp=2 } histograms=4 } }
 *   streamed         uvarint size | crc32c of the message, big endian | ChunkedReadResponse
 *                    chunked_series=1 { labels=1 chunks=2 { min=1 max=2 type=3 data=4 } } query_index=2
 *
 * Native histograms are told as float histograms: that is what columns have.
 *
 * What a client sends is bounded and checked; unknown fields are skipped.
 */
import protobuf from 'protobufjs';
import { StarlingError } from '../../model/errors.ts';
import type { Labels } from '../../model/labels.ts';
import { type Matcher, type MatcherType, compileMatcher } from '../../model/matchers.ts';
import type { TimeRange } from '../../model/sample.ts';
import type { SeriesColumns } from '../../model/series-columns.ts';
import { crc32c } from '../../model/wire/crc32c.ts';
import { encodeHistogramMessage } from '../../model/wire/histogram-encode.ts';
import { histogramChunksOf, xorChunksOf } from '../../storage/index.ts';

export const READ_QUERIES_MAX = 100;
export const READ_MATCHERS_MAX = 100;
/** The largest answer before compression. */
const ANSWER_BYTES_MAX = 256 * 1024 * 1024;
const STREAMED_XOR_CHUNKS = 1;
const XOR_ENCODING = 1;
const FLOAT_HISTOGRAM_ENCODING = 3;
const MATCHER_TYPES: readonly MatcherType[] = ['=', '!=', '=~', '!~'];

export interface ReadQuery {
  readonly matchers: readonly Matcher[];
  readonly range: TimeRange;
}

export interface ReadRequest {
  readonly queries: readonly ReadQuery[];
  /** `chunks`: a stream of XOR chunks; `samples`: one compressed message. */
  readonly kind: 'chunks' | 'samples';
}

/** Throws `request.parameter` for what is malformed, unknown or too much. */
export function decodeReadRequest(bytes: Uint8Array): ReadRequest {
  try {
    return readRequest(protobuf.Reader.create(bytes));
  } catch (error) {
    if (error instanceof StarlingError) throw error;
    throw bad('it is no ReadRequest', error);
  }
}

function bad(why: string, cause?: unknown): StarlingError {
  return new StarlingError('request.parameter', { parameter: 'body', why }, cause);
}

function readRequest(reader: protobuf.Reader): ReadRequest {
  const queries: ReadQuery[] = [];
  let kind: ReadRequest['kind'] | undefined;
  const accept = (type: number): void => {
    // The first type that we know wins; a request without any wants samples.
    kind ??= type === STREAMED_XOR_CHUNKS ? 'chunks' : type === 0 ? 'samples' : undefined;
  };
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    if (tag === 0x0a) {
      if (queries.length >= READ_QUERIES_MAX) throw bad(`more than ${READ_QUERIES_MAX} queries`);
      queries.push(readQuery(reader, reader.uint32() + reader.pos));
    } else if (tag === 0x10) accept(reader.int32());
    else if (tag === 0x12) {
      const end = reader.uint32() + reader.pos;
      while (reader.pos < end) accept(reader.int32());
    } else reader.skipType(tag & 7);
  }
  return { queries, kind: kind ?? 'samples' };
}

function readQuery(reader: protobuf.Reader, end: number): ReadQuery {
  let [minTimeMs, maxTimeMs] = [0, 0];
  const matchers: Matcher[] = [];
  while (reader.pos < end) {
    const tag = reader.uint32();
    if (tag === 0x08) minTimeMs = readTime(reader);
    else if (tag === 0x10) maxTimeMs = readTime(reader);
    else if (tag === 0x1a) {
      if (matchers.length >= READ_MATCHERS_MAX)
        throw bad(`more than ${READ_MATCHERS_MAX} matchers`);
      matchers.push(readMatcher(reader, reader.uint32() + reader.pos));
    } else reader.skipType(tag & 7);
  }
  if (maxTimeMs < minTimeMs) throw bad('the end lies before the start');
  if (matchers.length === 0) throw bad('a query without matchers');
  return { matchers, range: { minTimeMs, maxTimeMs } };
}

/** Times beyond what a number holds exactly are as far as it goes. */
function readTime(reader: protobuf.Reader): number {
  const read = reader.int64();
  const time = typeof read === 'number' ? read : read.high * 2 ** 32 + (read.low >>> 0);
  return Math.min(Math.max(time, Number.MIN_SAFE_INTEGER), Number.MAX_SAFE_INTEGER);
}

function readMatcher(reader: protobuf.Reader, end: number): Matcher {
  let [kind, name, value] = [0, '', ''];
  while (reader.pos < end) {
    const tag = reader.uint32();
    if (tag === 0x08) kind = reader.int32();
    else if (tag === 0x12) name = reader.string();
    else if (tag === 0x1a) value = reader.string();
    else reader.skipType(tag & 7);
  }
  const type = MATCHER_TYPES[kind];
  if (type === undefined) throw bad(`matcher type ${kind} is unknown`);
  if (name === '') throw bad('a matcher without a label name');
  const matcher: Matcher = { type, name, value };
  compileMatcher(matcher); // a bad pattern is refused here
  return matcher;
}

function writeLabels(writer: protobuf.Writer, labels: Labels): void {
  for (let i = 0; i < labels.length; i += 2) {
    writer.uint32(0x0a).fork();
    writer
      .uint32(0x0a)
      .string(labels[i]!)
      .uint32(0x12)
      .string(labels[i + 1]!)
      .ldelim();
  }
}

function checkSize(bytes: number): void {
  if (bytes <= ANSWER_BYTES_MAX) return;
  const facts = { what: 'bytes of the answer', count: bytes, countMax: ANSWER_BYTES_MAX };
  throw new StarlingError('query.too_large', facts);
}

/** One ReadResponse, uncompressed. */
export function encodeSamples(results: readonly SeriesColumns[], check: () => void): Uint8Array {
  const writer = protobuf.Writer.create();
  for (const { ends, histograms, labels, timestamps, values } of results) {
    // Values as words: bits survive, those of stale markers too.
    const words = new Uint32Array(values.buffer, values.byteOffset, values.length * 2);
    writer.uint32(0x0a).fork();
    let at = 0;
    for (let row = 0; row < labels.length; row++) {
      check();
      writer.uint32(0x0a).fork();
      writeLabels(writer, labels[row]!);
      for (; at < ends[row]!; at++) {
        const histogram = histograms?.[at];
        if (histogram !== undefined) {
          const sample = { histogram, isFloat: true, isStale: false };
          writer.uint32(0x22).bytes(encodeHistogramMessage(timestamps[at]!, sample));
          continue;
        }
        writer.uint32(0x12).fork();
        writer
          .uint32(0x09)
          .fixed32(words[at * 2]!)
          .fixed32(words[at * 2 + 1]!);
        writer.uint32(0x10).int64(timestamps[at]!).ldelim();
      }
      writer.ldelim();
      checkSize(writer.pos);
    }
    writer.ldelim();
  }
  return writer.finish();
}

/** All messages of a stream, each in its frame: one a series, because Prometheus reads only the first. */
export function encodeChunks(results: readonly SeriesColumns[], check: () => void): Uint8Array {
  const frames: Uint8Array[] = [];
  let bytes = 0;
  results.forEach((columns, index) => {
    const { ends, labels } = columns;
    let at = 0;
    for (let row = 0; row < labels.length; row++) {
      check();
      const writer = protobuf.Writer.create();
      writer.uint32(0x0a).fork();
      writeLabels(writer, labels[row]!);
      writeChunks(writer, columns, at, ends[row]!);
      at = ends[row]!;
      const message = writer.ldelim().uint32(0x10).int64(index).finish();
      frames.push(framed(message));
      bytes += message.length;
      checkSize(bytes);
    }
  });
  return Buffer.concat(frames);
}

/** The samples [from, to) of one series: a chunk holds numbers or histograms. */
function writeChunks(
  writer: protobuf.Writer,
  { histograms, timestamps, values }: SeriesColumns,
  from: number,
  to: number,
): void {
  for (let start = from; start < to;) {
    const isHistogram = histograms?.[start] !== undefined;
    let end = histograms === undefined ? to : start + 1;
    while (end < to && (histograms?.[end] !== undefined) === isHistogram) end++;
    const chunks =
      histograms === undefined || !isHistogram
        ? xorChunksOf(timestamps, values, start, end)
        : histogramChunksOf(timestamps, histograms, start, end);
    for (const chunk of chunks) {
      writer.uint32(0x12).fork();
      writer.uint32(0x08).int64(chunk.minTimeMs).uint32(0x10).int64(chunk.maxTimeMs);
      writer.uint32(0x18).int32(isHistogram ? FLOAT_HISTOGRAM_ENCODING : XOR_ENCODING);
      writer.uint32(0x22).bytes(chunk.bytes).ldelim();
    }
    start = end;
  }
}

function framed(message: Uint8Array): Uint8Array {
  const size = protobuf.Writer.create().uint32(message.length).finish();
  const crc = Buffer.alloc(4);
  crc.writeUInt32BE(crc32c(message));
  return Buffer.concat([size, crc, message]);
}
