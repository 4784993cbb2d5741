/**
 * Frames of several replicas, joined by fingerprint. Rows and chunks are columns of numbers; nothing
 * is an object but the label sets, of which equal bytes are decoded once. Columns may be in scratch memory: a join does not
 * outlive its job.
 *
 *   row    fingerprint (4 words), label id, first and last chunk
 *   chunk  frame, offset, length, times, next chunk of the row      (a list, in order of arrival)
 *   slots  open addressing over fingerprints: 0 = empty, else row + 1
 */
import { hashOfBytes } from '../../model/byte-hash.ts';
import { StarlingError } from '../../model/errors.ts';
import type { Labels } from '../../model/labels.ts';
import { SCRATCH_BYTES, scratchColumn } from '../../model/scratch-memory.ts';
import { decodeLabels } from '../../model/wire/labels-codec.ts';
import {
  type SeriesFrameHandler,
  readSeriesFrame,
  seriesCountOf,
} from '../../model/wire/series-frame.ts';
import { sortedByLabels } from './sort-labels.ts';

export const NO_CHUNK = 0xffff_ffff;
const CHUNKS_START = 256;
const LABEL_SETS_START = 256;
const BYTES_PER_ROW = 28;
const BYTES_PER_CHUNK = 33;
/** Of rows, and of chunks. */
const SCRATCH_BYTES_MAX = SCRATCH_BYTES / 4;
/** The most series of one selection. */
export const ROWS_MAX = 2 ** 21;

/** Reads frames into columns. Throws `protobuf.corrupt` for bytes that do not hold. */
export class SeriesJoin implements SeriesFrameHandler {
  rowCount = 0;
  readonly frames: readonly Uint8Array[];
  /** Of the frames. */
  readonly views: readonly DataView[];
  readonly fingerprints: Uint32Array;
  /** Indexes into `labels`. */
  readonly labelIds: Uint32Array;
  /** Different label sets, unless rows keep all their labels: then one for each row. */
  readonly labels: Labels[] = [];
  readonly firstChunk: Uint32Array;
  readonly #lastChunk: Uint32Array;
  chunkFrame: Uint32Array;
  chunkOffset: Uint32Array;
  chunkLength: Uint32Array;
  chunkMinTime: Float64Array;
  chunkMaxTime: Float64Array;
  chunkEncoding: Uint8Array;
  nextChunk: Uint32Array;
  chunkCount = 0;
  readonly #slots: Uint32Array;
  readonly #interned: LabelInterner | undefined;
  /** The frame being read, its number, the row of its current series, and its label sets. */
  #frame: Uint8Array = new Uint8Array(0);
  #view: DataView = new DataView(new ArrayBuffer(0));
  #frameNumber = 0;
  #row = 0;
  #labelSets = 0;
  /** By label set of the frame: where its bytes stand, or their number in `labels`. */
  #labelStarts = new Uint32Array(LABEL_SETS_START);
  #labelEnds = new Uint32Array(LABEL_SETS_START);
  #labelIdOf = new Uint32Array(LABEL_SETS_START);

  /** `isProjected`: many rows may share their labels. */
  constructor(frames: readonly Uint8Array[], isProjected: boolean) {
    this.frames = frames;
    this.views = frames.map((one) => new DataView(one.buffer, one.byteOffset, one.byteLength));
    let rowsMax = 0;
    for (const frame of frames) rowsMax += seriesCountOf(frame);
    // Replicas repeat series, so this is met a little early; the columns below are bounded by it.
    if (rowsMax > ROWS_MAX * 4) throw tooManySeries(rowsMax);
    const slotCount = 2 ** Math.ceil(Math.log2(rowsMax * 2 + 2));
    const rows = columnsOf(rowsMax * BYTES_PER_ROW + slotCount * 4);
    this.fingerprints = rows(Uint32Array, rowsMax * 4);
    this.labelIds = rows(Uint32Array, rowsMax);
    this.firstChunk = rows(Uint32Array, rowsMax).fill(NO_CHUNK);
    this.#lastChunk = rows(Uint32Array, rowsMax).fill(NO_CHUNK);
    this.#slots = rows(Uint32Array, slotCount).fill(0);
    const chunksMax = Math.max(CHUNKS_START, rowsMax); // most often: a series has at least one
    const chunks = columnsOf(chunksMax * BYTES_PER_CHUNK);
    this.chunkFrame = chunks(Uint32Array, chunksMax);
    this.chunkOffset = chunks(Uint32Array, chunksMax);
    this.chunkLength = chunks(Uint32Array, chunksMax);
    this.chunkMinTime = chunks(Float64Array, chunksMax);
    this.chunkMaxTime = chunks(Float64Array, chunksMax);
    this.chunkEncoding = chunks(Uint8Array, chunksMax);
    this.nextChunk = chunks(Uint32Array, chunksMax);
    this.#interned = isProjected ? new LabelInterner(this.labels) : undefined;
    for (let i = 0; i < frames.length; i++) {
      this.#frame = frames[i]!;
      this.#view = this.views[i]!;
      this.#frameNumber = i;
      this.#labelSets = 0;
      readSeriesFrame(this.#frame, this);
    }
  }

  onLabels(offset: number, length: number): void {
    const n = this.#labelSets++;
    if (n === this.#labelIdOf.length) this.#growLabelSets();
    const end = offset + length;
    this.#labelStarts[n] = offset;
    this.#labelEnds[n] = end;
    if (this.#interned !== undefined)
      this.#labelIdOf[n] = this.#interned.idOf(this.#frame, offset, end);
  }

  onSeries(fingerprintOffset: number, labelSet: number): void {
    const view = this.#view;
    const a = view.getUint32(fingerprintOffset, true);
    const b = view.getUint32(fingerprintOffset + 4, true);
    const c = view.getUint32(fingerprintOffset + 8, true);
    const d = view.getUint32(fingerprintOffset + 12, true);
    const prints = this.fingerprints;
    const slots = this.#slots;
    const mask = slots.length - 1;
    let slot = a & mask;
    for (; slots[slot] !== 0; slot = (slot + 1) & mask) {
      const at = (slots[slot]! - 1) * 4;
      if (
        prints[at] === a &&
        prints[at + 1] === b &&
        prints[at + 2] === c &&
        prints[at + 3] === d
      ) {
        this.#row = at >>> 2;
        return;
      }
    }
    const row = this.rowCount++;
    if (row === ROWS_MAX) throw tooManySeries(row + 1);
    slots[slot] = row + 1;
    prints[row * 4] = a;
    prints[row * 4 + 1] = b;
    prints[row * 4 + 2] = c;
    prints[row * 4 + 3] = d;
    this.#row = row;
    if (this.#interned !== undefined) {
      this.labelIds[row] = this.#labelIdOf[labelSet]!;
    } else {
      const [start, end] = [this.#labelStarts[labelSet]!, this.#labelEnds[labelSet]!];
      this.labelIds[row] = row;
      this.labels.push(decodeLabels(this.#frame, start, end));
    }
  }

  onChunk(
    minTimeMs: number,
    maxTimeMs: number,
    offset: number,
    length: number,
    encoding: number,
  ): void {
    const c = this.chunkCount++;
    if (c === this.chunkFrame.length) this.#growChunks();
    this.chunkFrame[c] = this.#frameNumber;
    this.chunkOffset[c] = offset;
    this.chunkLength[c] = length;
    this.chunkMinTime[c] = minTimeMs;
    this.chunkMaxTime[c] = maxTimeMs;
    this.chunkEncoding[c] = encoding;
    this.nextChunk[c] = NO_CHUNK;
    const last = this.#lastChunk[this.#row]!;
    if (last === NO_CHUNK) this.firstChunk[this.#row] = c;
    else this.nextChunk[last] = c;
    this.#lastChunk[this.#row] = c;
  }

  /**
   * The rows sorted by labels, then by fingerprint: an order that does not depend on which replica
   * answered first.
   */
  sortedRows(): Uint32Array {
    const ids = sortedByLabels(this.labels);
    if (this.#interned === undefined) return ids;
    const starts = new Uint32Array(ids.length);
    const counts = new Uint32Array(ids.length);
    for (let row = 0; row < this.rowCount; row++) counts[this.labelIds[row]!]!++;
    let start = 0;
    for (const id of ids) {
      starts[id] = start;
      start += counts[id]!;
    }
    const rows = scratchColumn(Uint32Array, this.rowCount);
    const byFingerprint = this.#rowsByFingerprint();
    for (let i = 0; i < rows.length; i++) {
      const row = byFingerprint[i]!;
      rows[starts[this.labelIds[row]!]!++] = row;
    }
    return rows;
  }

  /** Into as many buckets as rows by the first bits, which are spread evenly; then neighbours are put right. */
  #rowsByFingerprint(): Uint32Array {
    const prints = this.fingerprints;
    const shift = 32 - Math.max(1, Math.ceil(Math.log2(this.rowCount + 1)));
    const starts = scratchColumn(Uint32Array, 2 ** (32 - shift) + 1).fill(0);
    for (let row = 0; row < this.rowCount; row++) starts[(prints[row * 4]! >>> shift) + 1]!++;
    for (let i = 1; i < starts.length; i++) starts[i]! += starts[i - 1]!;
    const rows = scratchColumn(Uint32Array, this.rowCount);
    for (let row = 0; row < rows.length; row++) rows[starts[prints[row * 4]! >>> shift]!++] = row;
    for (let i = 1; i < rows.length; i++) {
      const row = rows[i]!;
      let at = i;
      for (; at > 0 && isAfter(prints, rows[at - 1]! * 4, row * 4); at--) rows[at] = rows[at - 1]!;
      rows[at] = row;
    }
    return rows;
  }

  #growLabelSets(): void {
    const capacity = this.#labelIdOf.length * 4;
    this.#labelStarts = grown(this.#labelStarts, new Uint32Array(capacity));
    this.#labelEnds = grown(this.#labelEnds, new Uint32Array(capacity));
    this.#labelIdOf = grown(this.#labelIdOf, new Uint32Array(capacity));
  }

  #growChunks(): void {
    const capacity = this.chunkFrame.length * 2;
    const columns = columnsOf(capacity * BYTES_PER_CHUNK);
    this.chunkFrame = grown(this.chunkFrame, columns(Uint32Array, capacity));
    this.chunkOffset = grown(this.chunkOffset, columns(Uint32Array, capacity));
    this.chunkLength = grown(this.chunkLength, columns(Uint32Array, capacity));
    this.chunkMinTime = grown(this.chunkMinTime, columns(Float64Array, capacity));
    this.chunkMaxTime = grown(this.chunkMaxTime, columns(Float64Array, capacity));
    this.chunkEncoding = grown(this.chunkEncoding, columns(Uint8Array, capacity));
    this.nextChunk = grown(this.nextChunk, columns(Uint32Array, capacity));
  }
}

/** Makes columns of so many bytes together: in scratch memory, unless they would leave too little to the samples. */
function columnsOf(bytes: number): typeof scratchColumn {
  return bytes > SCRATCH_BYTES_MAX ? (Type, count) => new Type(count) : scratchColumn;
}

/** Compares two fingerprints, word by word. */
function isAfter(prints: Uint32Array, a: number, b: number): boolean {
  for (let i = 0; i < 4; i++) {
    if (prints[a + i] !== prints[b + i]) return prints[a + i]! > prints[b + i]!;
  }
  return false;
}

function tooManySeries(count: number): StarlingError {
  return new StarlingError('query.too_large', { what: 'series', count, countMax: ROWS_MAX });
}

/** Numbers for label bytes; equal bytes get one number and are decoded once. */
class LabelInterner {
  readonly #labels: Labels[];
  /** Where the bytes of each number stand. */
  readonly #sources: Uint8Array[] = [];
  readonly #starts: number[] = [];
  readonly #ends: number[] = [];
  #slots = new Uint32Array(1024);

  constructor(labels: Labels[]) {
    this.#labels = labels;
  }

  idOf(bytes: Uint8Array, from: number, to: number): number {
    const mask = this.#slots.length - 1;
    let slot = hashOfBytes(bytes, from, to) & mask;
    for (; this.#slots[slot] !== 0; slot = (slot + 1) & mask) {
      const id = this.#slots[slot]! - 1;
      if (this.#isEqual(id, bytes, from, to)) return id;
    }
    const id = this.#labels.length;
    this.#labels.push(decodeLabels(bytes, from, to));
    this.#sources.push(bytes);
    this.#starts.push(from);
    this.#ends.push(to);
    this.#slots[slot] = id + 1;
    if (id * 2 > mask) this.#grow();
    return id;
  }

  #isEqual(id: number, bytes: Uint8Array, from: number, to: number): boolean {
    const start = this.#starts[id]!;
    if (this.#ends[id]! - start !== to - from) return false;
    const source = this.#sources[id]!;
    for (let i = from; i < to; i++) if (source[start + i - from] !== bytes[i]) return false;
    return true;
  }

  #grow(): void {
    this.#slots = new Uint32Array(this.#slots.length * 2);
    const mask = this.#slots.length - 1;
    for (let id = 0; id < this.#labels.length; id++) {
      let slot = hashOfBytes(this.#sources[id]!, this.#starts[id]!, this.#ends[id]!) & mask;
      while (this.#slots[slot] !== 0) slot = (slot + 1) & mask;
      this.#slots[slot] = id + 1;
    }
  }
}

function grown<Column extends Float64Array | Uint8Array | Uint32Array>(
  from: Column,
  to: Column,
): Column {
  to.set(from);
  return to;
}
