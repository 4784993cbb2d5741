/**
 * A series frame: what an ingester or a store-gateway answers to a select. Series with their
 * chunks as stored, never re-encoded; a long answer is many frames of at most about 256 KiB.
 *
 *   frame   := u32 magic 'SSF2', u32 seriesCount, series*           little-endian
 *   series  := fingerprint (16 bytes), uvarint label set, uvarint chunkCount, chunk*
 *              label set 0: a new one follows, uvarint byte length, canonical label bytes;
 *              label set n: the n-th that this frame told, from 1
 *   chunk   := u8 encoding (1 XOR, 2 histogram, 3 float histogram, 255 aggregates), varint minTimeMs,
 *              uvarint maxTimeMs - minTimeMs, uvarint byte length, chunk bytes (Prometheus' chunk data, without its CRC)
 *            | u8 encoding 0 (one sample), f64 timeMs, u32 value low word, u32 high word
 *
 * Labels are the whole set, or the part of it that the reader asked for (model/projection.ts), which many
 * series then share. Chunks of one series are ordered by time and do not overlap. Readers get whole chunks and trim
 * to the range themselves. Replicas cut chunks at equal times, so equal chunks are equal bytes.
 */
import { StarlingError } from '../errors.ts';
import { FrameLabelSets } from './frame-label-sets.ts';
import {
  type ByteReader,
  VARINT_BYTES_MAX,
  byteReader,
  isOverrun,
  putUvarint,
  putVarint,
  readUvarint,
  readVarint,
} from './varint.ts';

export const SERIES_FRAME_BYTES_TARGET = 256 * 1024;
/** Most selections are small. */
const FRAME_BYTES_START = 8 * 1024;
/** Not a chunk of Prometheus': one number and its time. */
export const CHUNK_ENCODING_SAMPLE = 0;
export const CHUNK_ENCODING_XOR = 1;
const CHUNK_ENCODING_MAX = 3;
const CHUNK_ENCODING_AGGREGATES = 0xff;
const MAGIC = 0x32465353;
/** Magic and count. */
const SERIES_FRAME_HEADER_BYTES = 8;
export const SERIES_FINGERPRINT_BYTES = 16;
const WORD_BYTES = 4;
const SAMPLE_BYTES = 1 + 8;
const SAMPLE_VALUE_BYTES = 8;
const NEW_LABEL_SET = 0;

/** What writers leave to the next ones: its pages are there already. */
const spareRooms: Uint8Array[] = [];
const SPARE_ROOMS_MAX = 2;
const SPARE_ROOM_BYTES_MAX = 1024 * 1024;

/** Builds one frame after another. `finish` gives the bytes away; `close` gives its room away too. */
export class SeriesFrameWriter {
  #bytes: Uint8Array = new Uint8Array(FRAME_BYTES_START);
  #view: DataView = new DataView(this.#bytes.buffer);
  #length = SERIES_FRAME_HEADER_BYTES;
  #seriesCount = 0;
  readonly #labelSets: FrameLabelSets | undefined;

  /** `sharesLabels`: many series have equal ones, which are told once. */
  constructor(sharesLabels = false) {
    this.#labelSets = sharesLabels ? new FrameLabelSets() : undefined;
  }

  /** Bytes so far. */
  get length(): number {
    return this.#length;
  }

  get seriesCount(): number {
    return this.#seriesCount;
  }

  /** Begins a series; exactly `chunkCount` calls of `putChunk` follow. */
  putSeries(
    fingerprints: Uint32Array,
    at: number,
    labels: Uint8Array,
    labelStart: number,
    labelLength: number,
    chunkCount: number,
  ): void {
    this.#reserve(SERIES_FINGERPRINT_BYTES + labelLength + 3 * VARINT_BYTES_MAX);
    const bytes = this.#bytes;
    let offset = this.#length;
    for (let i = 0; i < 4; i++) {
      const word = fingerprints[at + i]!;
      bytes[offset++] = word;
      bytes[offset++] = word >>> 8;
      bytes[offset++] = word >>> 16;
      bytes[offset++] = word >>> 24;
    }
    const known = this.#labelSets?.find(bytes, labels, labelStart, labelLength) ?? NEW_LABEL_SET;
    offset = putUvarint(bytes, offset, known);
    if (known === NEW_LABEL_SET) {
      offset = putUvarint(bytes, offset, labelLength);
      copyBytes(labels, labelStart, bytes, offset, labelLength);
      this.#labelSets?.note(offset, labelLength);
      offset += labelLength;
    }
    this.#length = putUvarint(bytes, offset, chunkCount);
    this.#seriesCount++;
  }

  /** Hot: one sample as a chunk. The value is two words. */
  putSample(timeMs: number, low: number, high: number): void {
    this.#reserve(SAMPLE_BYTES + SAMPLE_VALUE_BYTES);
    const offset = this.#length;
    this.#bytes[offset] = CHUNK_ENCODING_SAMPLE;
    this.#view.setFloat64(offset + 1, timeMs, true);
    this.#view.setUint32(offset + SAMPLE_BYTES, low, true);
    this.#view.setUint32(offset + SAMPLE_BYTES + WORD_BYTES, high, true);
    this.#length = offset + SAMPLE_BYTES + SAMPLE_VALUE_BYTES;
  }

  putChunk(
    minTimeMs: number,
    maxTimeMs: number,
    source: Uint8Array,
    start: number,
    length: number,
    encoding: number = CHUNK_ENCODING_XOR,
  ): void {
    this.#reserve(length + 3 * VARINT_BYTES_MAX + 1);
    const bytes = this.#bytes;
    const offset = this.#putChunkHeader(minTimeMs, maxTimeMs, encoding, length);
    copyBytes(source, start, bytes, offset, length);
    this.#length = offset + length;
  }

  /**
   * Hot: as `putChunk`, of an XOR chunk whose bytes begin with word `start`; what there is of its last word behind it may
   * be anything.
   */
  putChunkOfWords(
    minTimeMs: number,
    maxTimeMs: number,
    source: Int32Array,
    start: number,
    length: number,
  ): void {
    this.#reserve(length + 3 * VARINT_BYTES_MAX + 1 + WORD_BYTES);
    const offset = this.#putChunkHeader(minTimeMs, maxTimeMs, CHUNK_ENCODING_XOR, length);
    const view = this.#view;
    for (let i = 0; i * WORD_BYTES < length; i++)
      view.setInt32(offset + i * WORD_BYTES, source[start + i]!, true);
    this.#length = offset + length;
  }

  #putChunkHeader(minTimeMs: number, maxTimeMs: number, encoding: number, length: number): number {
    const bytes = this.#bytes;
    bytes[this.#length] = encoding;
    let offset = putVarint(bytes, this.#length + 1, minTimeMs);
    offset = putUvarint(bytes, offset, maxTimeMs - minTimeMs);
    return putUvarint(bytes, offset, length);
  }

  /** The frame, in a buffer of its own; the writer begins the next one. */
  finish(): Uint8Array {
    this.#view.setUint32(0, MAGIC, true);
    this.#view.setUint32(4, this.#seriesCount, true);
    const frame = this.#bytes.slice(0, this.#length);
    this.#begin();
    return frame;
  }

  #reserve(byteCount: number): void {
    const needed = this.#length + byteCount;
    if (needed <= this.#bytes.length) return;
    const spare = spareRooms.pop();
    const larger =
      spare !== undefined && spare.length >= needed ? spare : new Uint8Array(needed * 2);
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
    this.#view = new DataView(larger.buffer);
  }

  /** Leaves the room of frames to the next writer; what was not finished is lost. */
  close(): void {
    const room = this.#bytes;
    this.#begin();
    if (room.length < SERIES_FRAME_BYTES_TARGET || room.length > SPARE_ROOM_BYTES_MAX) return;
    this.#bytes = new Uint8Array(FRAME_BYTES_START);
    this.#view = new DataView(this.#bytes.buffer);
    if (spareRooms.length < SPARE_ROOMS_MAX) spareRooms.push(room);
  }

  #begin(): void {
    this.#length = SERIES_FRAME_HEADER_BYTES;
    this.#seriesCount = 0;
    this.#labelSets?.clear();
  }
}

/** Up to this many bytes a loop is faster than making a view to copy from. */
const LOOP_BYTES_MAX = 48;

function copyBytes(
  source: Uint8Array,
  start: number,
  target: Uint8Array,
  at: number,
  length: number,
): void {
  if (length > LOOP_BYTES_MAX) target.set(source.subarray(start, start + length), at);
  else for (let i = 0; i < length; i++) target[at + i] = source[start + i]!;
}

/** The number of series a frame says it has, never more than its bytes could hold. */
export function seriesCountOf(frame: Uint8Array): number {
  if (frame.length < SERIES_FRAME_HEADER_BYTES) return 0;
  const count = new DataView(frame.buffer, frame.byteOffset, SERIES_FRAME_HEADER_BYTES).getUint32(
    4,
    true,
  );
  return Math.min(count, Math.floor(frame.length / SERIES_FINGERPRINT_BYTES));
}

/** What a frame holds, told in order. Offsets are into the frame. */
export interface SeriesFrameHandler {
  /** A label set, before the first series that has it; sets are counted from 0. */
  onLabels?(offset: number, length: number): void;
  /** `chunkCount` chunks follow. `tailOffset`: where their count and they themselves begin. */
  onSeries(
    fingerprintOffset: number,
    labelSet: number,
    chunkCount: number,
    tailOffset: number,
  ): void;
  onChunk(
    minTimeMs: number,
    maxTimeMs: number,
    offset: number,
    length: number,
    encoding: number,
  ): void;
}

/** Reads a frame. Throws `protobuf.corrupt` unless every length holds. */
export function readSeriesFrame(frame: Uint8Array, handler: SeriesFrameHandler): void {
  if (frame.length < SERIES_FRAME_HEADER_BYTES) throw corrupt('too short', 0);
  const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
  if (view.getUint32(0, true) !== MAGIC) throw corrupt('not a series frame', 0);
  const seriesCount = view.getUint32(4, true);
  const reader = byteReader(frame, SERIES_FRAME_HEADER_BYTES);
  let labelSets = 0;
  for (let i = 0; i < seriesCount; i++) {
    const fingerprintOffset = reader.offset;
    reader.offset += SERIES_FINGERPRINT_BYTES;
    let labelSet = readUvarint(reader);
    if (labelSet === NEW_LABEL_SET) {
      const labelLength = readUvarint(reader);
      const labelOffset = reader.offset;
      reader.offset += labelLength;
      if (isOverrun(reader)) throw corrupt('a truncated label set', labelOffset);
      handler.onLabels?.(labelOffset, labelLength);
      labelSet = ++labelSets;
    }
    if (labelSet > labelSets) throw corrupt('a label set that was not told', fingerprintOffset);
    const tailOffset = reader.offset;
    const chunkCount = readUvarint(reader);
    if (isOverrun(reader)) throw corrupt('a truncated series', fingerprintOffset);
    handler.onSeries(fingerprintOffset, labelSet - 1, chunkCount, tailOffset);
    for (let c = 0; c < chunkCount; c++) readChunk(frame, view, reader, handler);
  }
  if (reader.offset !== frame.length) throw corrupt('bytes after the last series', reader.offset);
}

function readChunk(
  frame: Uint8Array,
  view: DataView,
  reader: ByteReader,
  handler: SeriesFrameHandler,
): void {
  const encoding = frame[reader.offset++] ?? -1;
  if (encoding === CHUNK_ENCODING_SAMPLE) {
    const start = reader.offset;
    reader.offset += SAMPLE_BYTES - 1 + SAMPLE_VALUE_BYTES;
    if (isOverrun(reader)) throw corrupt('a truncated sample', start);
    const timeMs = view.getFloat64(start, true);
    if (!Number.isSafeInteger(timeMs)) throw corrupt('the time of a sample', start);
    const offset = start + SAMPLE_BYTES - 1;
    handler.onChunk(timeMs, timeMs, offset, SAMPLE_VALUE_BYTES, encoding);
    return;
  }
  const isKnown = encoding >= CHUNK_ENCODING_XOR && encoding <= CHUNK_ENCODING_MAX;
  if (!isKnown && encoding !== CHUNK_ENCODING_AGGREGATES) {
    throw corrupt(`chunk encoding ${encoding}`, reader.offset - 1);
  }
  const minTimeMs = readVarint(reader);
  const maxTimeMs = minTimeMs + readUvarint(reader);
  const length = readUvarint(reader);
  const offset = reader.offset;
  reader.offset += length;
  if (isOverrun(reader)) throw corrupt('a truncated chunk', offset);
  handler.onChunk(minTimeMs, maxTimeMs, offset, length, encoding);
}

function corrupt(why: string, offset: number): StarlingError {
  return new StarlingError('protobuf.corrupt', { why: `series frame: ${why}`, offset });
}
