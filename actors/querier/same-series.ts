/**
 * Whether answers of instances hold the same series with the same bytes, in whatever order: each head has its series in
 * the order in which they came to it.
 */
import {
  SERIES_FINGERPRINT_BYTES,
  type SeriesFrameHandler,
  readSeriesFrame,
  seriesCountOf,
} from '../../model/wire/series-frame.ts';

type Frames = readonly Uint8Array[];

/** The series of one answer, to compare others with. Throws `protobuf.corrupt`. */
export class SameSeries {
  readonly #frames: Frames;
  readonly #series: Places;
  /** By a part of the fingerprint: which series. */
  readonly #byFingerprint = new Map<number, number>();

  constructor(frames: Frames) {
    this.#frames = frames;
    this.#series = new Places(frames);
    for (let i = 0; i < this.#series.count; i++) this.#byFingerprint.set(this.#series.keyOf(i), i);
  }

  /** False also where series come in several pieces that may be equal to others. Throws `protobuf.corrupt`. */
  isIn(frames: Frames): boolean {
    if (frames === this.#frames || areEqual(frames, this.#frames)) return true;
    const { count } = this.#series;
    const countOfOthers = frames.reduce((sum, frame) => sum + seriesCountOf(frame), 0);
    if (this.#byFingerprint.size !== count || countOfOthers !== count) return false; // before anything is read of it
    const others = new Places(frames);
    if (others.count !== count) return false;
    const isFound = new Uint8Array(count);
    for (let i = 0; i < count; i++) {
      const own = this.#byFingerprint.get(others.keyOf(i));
      if (own === undefined || isFound[own] === 1) return false;
      if (!this.#series.fingerprintOf(own).equals(others.fingerprintOf(i))) return false;
      if (!this.#series.chunksOf(own).equals(others.chunksOf(i))) return false;
      isFound[own] = 1;
    }
    return true;
  }
}

/** Where the series of frames stand. Their labels follow from the fingerprints. */
class Places implements SeriesFrameHandler {
  readonly #buffers: readonly Buffer[];
  readonly #frame: number[] = [];
  readonly #start: number[] = [];
  readonly #tail: number[] = [];
  #reading = 0;

  constructor(frames: Frames) {
    this.#buffers = frames.map(({ buffer, byteOffset, length }) =>
      Buffer.from(buffer, byteOffset, length),
    );
    for (const frame of frames) {
      readSeriesFrame(frame, this);
      this.#reading++;
    }
  }

  get count(): number {
    return this.#start.length;
  }

  onSeries(
    fingerprintOffset: number,
    _labelSet: number,
    _chunkCount: number,
    tailOffset: number,
  ): void {
    this.#frame.push(this.#reading);
    this.#start.push(fingerprintOffset);
    this.#tail.push(tailOffset);
  }

  onChunk(): void {
    // They are among the bytes of their series.
  }

  /** 48 bits of the fingerprint: enough to find a series, which is then compared whole. */
  keyOf(i: number): number {
    return this.#buffers[this.#frame[i]!]!.readUIntLE(this.#start[i]!, 6);
  }

  fingerprintOf(i: number): Buffer {
    const start = this.#start[i]!;
    return this.#buffers[this.#frame[i]!]!.subarray(start, start + SERIES_FINGERPRINT_BYTES);
  }

  /** How many, and they themselves. */
  chunksOf(i: number): Buffer {
    const frame = this.#frame[i]!;
    const end = this.#frame[i + 1] === frame ? this.#start[i + 1]! : this.#buffers[frame]!.length;
    return this.#buffers[frame]!.subarray(this.#tail[i], end);
  }
}

function areEqual(a: Frames, b: Frames): boolean {
  return a.length === b.length && a.every((frame, i) => Buffer.compare(frame, b[i]!) === 0);
}
