/**
 * The series of a running node (ours, or any Prometheus) by remote read, in streamed chunks: exact values, staleness
 * markers, and native histograms as the node tells them. A window's answer is in memory at once: it is bounded by
 * the node's limits, and by ours.
 *
 *   answer: (uvarint size | u32 crc32c | ChunkedReadResponse { chunked_series=1 { labels=1 chunks=2 } })*
 */
import protobuf from 'protobufjs';
import snappyjs from 'snappyjs';
import { type Labels, compareLabels, labelsFromPairs, labelsKey } from '../../model/labels.ts';
import type { Matcher, Selectors } from '../../model/matchers.ts';
import type { TimeRange } from '../../model/sample.ts';
import { crc32c } from '../../model/wire/crc32c.ts';
import { byteReader, isOverrun, readUint32, readUvarint } from '../../model/wire/varint.ts';
import type { ChunkBytes, ExportSource, SourceSeries } from '../../storage/tools/index.ts';
import { ToolFailure } from '../tools/world.ts';

const WINDOW_MS = 2 * 3_600_000;
const ANSWER_BYTES_MAX = 1024 * 1024 * 1024;
const MATCHER_TYPES = ['=', '!=', '=~', '!~'];
const EVERYTHING: readonly Matcher[] = [{ name: '__name__', type: '=~', value: '.+' }];

export interface NodeSourceOptions {
  /** Of the read endpoint. */
  readonly url: string;
  readonly tenant: string | undefined;
  readonly timeoutMs: number;
  readonly fetch: typeof fetch;
  readonly selectors: Selectors;
}

export function exportFromNode(options: NodeSourceOptions): ExportSource {
  return {
    windowMs: WINDOW_MS,
    async open(window) {
      const all = await readWindow(options, window);
      return {
        symbols: () => Promise.resolve(all.flatMap(({ labels }) => labels)),
        // eslint-disable-next-line @typescript-eslint/require-await -- all of it is here
        async *series() {
          yield* all;
        },
        close: () => Promise.resolve(),
      };
    },
  };
}

async function readWindow(
  { fetch: send, selectors, tenant, timeoutMs, url }: NodeSourceOptions,
  window: TimeRange,
): Promise<readonly SourceSeries[]> {
  const request = encodeRequest(selectors.length === 0 ? [EVERYTHING] : selectors, window);
  const headers: Record<string, string> = {
    'content-encoding': 'snappy',
    'content-type': 'application/x-protobuf',
    'x-prometheus-remote-read-version': '0.1.0',
    ...(tenant === undefined ? {} : { 'x-scope-orgid': tenant }),
  };
  const body = Buffer.from(snappyjs.compress(request));
  const signal = AbortSignal.timeout(timeoutMs);
  let response: Response;
  let bytes: Uint8Array;
  try {
    response = await send(url, { method: 'POST', headers, body, signal });
    bytes = await readAll(response, url);
  } catch (thrown) {
    if (thrown instanceof ToolFailure) throw thrown;
    const cause = thrown instanceof Error && thrown.cause instanceof Error ? thrown.cause : thrown;
    throw new ToolFailure(`cannot read ${url}: ${cause instanceof Error ? cause.message : ''}`);
  }
  if (!response.ok) {
    const said = Buffer.from(bytes.subarray(0, 500)).toString();
    throw new ToolFailure(`${url} answered ${response.status}: ${said}`);
  }
  const type = response.headers.get('content-type') ?? '';
  if (!type.startsWith('application/x-streamed-protobuf')) {
    throw new ToolFailure(`${url} answered ${type}, streamed chunks were asked for`);
  }
  return decodeAnswer(bytes, url);
}

async function readAll(response: Response, url: string): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let size = 0;
  // The stream of a response gives bytes; the type of its pieces is not told.
  for await (const part of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    size += part.length;
    if (size > ANSWER_BYTES_MAX) {
      throw new ToolFailure(`${url} answers more than ${ANSWER_BYTES_MAX} bytes for two hours`);
    }
    parts.push(part);
  }
  return Buffer.concat(parts);
}

function encodeRequest(selectors: Selectors, { maxTimeMs, minTimeMs }: TimeRange): Uint8Array {
  const writer = protobuf.Writer.create();
  for (const matchers of selectors) {
    writer.uint32(0x0a).fork();
    writer.uint32(0x08).int64(minTimeMs).uint32(0x10).int64(maxTimeMs);
    for (const { name, type, value } of matchers) {
      const kind = MATCHER_TYPES.indexOf(type);
      writer.uint32(0x1a).fork().uint32(0x08).int32(kind);
      writer.uint32(0x12).string(name).uint32(0x1a).string(value).ldelim();
    }
    writer.ldelim();
  }
  return writer.uint32(0x10).int32(1).finish(); // streamed XOR chunks
}

/** The series of an answer by labels; one that several selectors match is there once. */
function decodeAnswer(bytes: Uint8Array, url: string): readonly SourceSeries[] {
  const found = new Map<string, { readonly labels: Labels; readonly chunks: ChunkBytes[] }>();
  const reader = byteReader(bytes);
  while (reader.offset < reader.end) {
    const size = readUvarint(reader);
    const checksum = readUint32(reader);
    const from = reader.offset;
    if (isOverrun(reader) || from + size > bytes.length) throw broken(url, 'it is cut off');
    if (crc32c(bytes, from, from + size) !== checksum) throw broken(url, 'a checksum is wrong');
    reader.offset = from + size;
    try {
      readFrame(protobuf.Reader.create(bytes.subarray(from, from + size)), found);
    } catch (thrown) {
      throw broken(url, thrown instanceof Error ? thrown.message : 'a frame does not hold');
    }
  }
  return [...found.values()].sort((a, b) => compareLabels(a.labels, b.labels));
}

function broken(url: string, why: string): ToolFailure {
  return new ToolFailure(`the answer of ${url} cannot be used: ${why}`);
}

type Found = Map<string, { readonly labels: Labels; readonly chunks: ChunkBytes[] }>;

function readFrame(reader: protobuf.Reader, found: Found): void {
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    if (tag !== 0x0a) {
      reader.skipType(tag & 7);
      continue;
    }
    const end = reader.uint32() + reader.pos;
    const pairs: (readonly [string, string])[] = [];
    const chunks: ChunkBytes[] = [];
    while (reader.pos < end) {
      const field = reader.uint32();
      if (field === 0x0a) pairs.push(readLabel(reader, reader.uint32() + reader.pos));
      else if (field === 0x12) chunks.push(readChunk(reader, reader.uint32() + reader.pos));
      else reader.skipType(field & 7);
    }
    const labels = labelsFromPairs(pairs);
    const key = labelsKey(labels);
    const known = found.get(key);
    if (known === undefined) found.set(key, { labels, chunks });
    else known.chunks.push(...chunks); // the rest of it, or the same once more: merged when written
  }
}

function readLabel(reader: protobuf.Reader, end: number): readonly [string, string] {
  let [name, value] = ['', ''];
  while (reader.pos < end) {
    const tag = reader.uint32();
    if (tag === 0x0a) name = reader.string();
    else if (tag === 0x12) value = reader.string();
    else reader.skipType(tag & 7);
  }
  return [name, value];
}

function readChunk(reader: protobuf.Reader, end: number): ChunkBytes {
  let [minTimeMs, maxTimeMs, encoding] = [0, 0, 0];
  let bytes: Uint8Array = new Uint8Array(0);
  while (reader.pos < end) {
    const tag = reader.uint32();
    if (tag === 0x08) minTimeMs = Number(reader.int64());
    else if (tag === 0x10) maxTimeMs = Number(reader.int64());
    else if (tag === 0x18) encoding = reader.int32();
    else if (tag === 0x22) bytes = reader.bytes();
    else reader.skipType(tag & 7);
  }
  return { encoding, minTimeMs, maxTimeMs, bytes, from: 0, to: bytes.length };
}
