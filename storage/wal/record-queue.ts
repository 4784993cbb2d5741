/**
 * Records that wait to be written, back to back in one borrowed buffer, in order. They are kept raw
 * and framed only when they are written: a failed write moves them to another segment, where pages
 * end elsewhere. Invariant: a queue without records holds no buffer.
 */
import type { BufferPool } from './buffer-pool.ts';
import { frameRecord, framedLength } from './frame.ts';

const ENDS_COUNT_MIN = 64;
/** A write carries about this much; a larger record goes alone. */
export const WRITE_BYTES_TARGET = 1024 * 1024;

const NO_BYTES = new Uint8Array(0);

/** A piece to write: framed records, in a borrowed buffer. */
export interface FramedPiece {
  readonly buffer: Uint8Array;
  readonly byteCount: number;
  readonly recordCount: number;
}

export class RecordQueue {
  readonly #pool: BufferPool;
  #bytes: Uint8Array = NO_BYTES;
  /** Where each record ends in `#bytes`. */
  #ends = new Uint32Array(ENDS_COUNT_MIN);
  #count = 0;
  /** The records before this one are written. */
  #next = 0;

  constructor(pool: BufferPool) {
    this.#pool = pool;
  }

  get isEmpty(): boolean {
    return this.#next === this.#count;
  }

  /** Bytes of the records that are not written yet. */
  get byteCount(): number {
    return this.#endOf(this.#count - 1) - this.#endOf(this.#next - 1);
  }

  /** Copies a record to the end. */
  append(record: Uint8Array): void {
    const start = this.#endOf(this.#count - 1);
    const end = start + record.length;
    if (end > this.#bytes.length) this.#growBytes(end);
    if (this.#count === this.#ends.length) {
      const ends = new Uint32Array(this.#count * 2);
      ends.set(this.#ends);
      this.#ends = ends;
    }
    this.#bytes.set(record, start);
    this.#ends[this.#count++] = end;
  }

  /**
   * Frames the next records for a segment that is `offset` bytes long, as many as one write takes
   * and the segment has room for; undefined when not even one fits. Give the buffer back.
   */
  frame(offset: number, segmentBytesMax: number): FramedPiece | undefined {
    let byteCount = 0;
    let last = this.#next;
    for (; last < this.#count && byteCount < WRITE_BYTES_TARGET; last++) {
      const length = framedLength(this.#endOf(last) - this.#endOf(last - 1), offset + byteCount);
      const isOver = offset + byteCount + length > segmentBytesMax;
      // A record larger than a whole segment gets one of its own, larger one, as in Prometheus.
      if (isOver && offset + byteCount > 0) break;
      byteCount += length;
    }
    if (last === this.#next) return undefined;
    const buffer = this.#pool.acquire(byteCount);
    let at = 0;
    for (let i = this.#next; i < last; i++) {
      at = frameRecord(this.#bytes, this.#endOf(i - 1), this.#endOf(i), offset + at, buffer, at);
    }
    return { buffer, byteCount, recordCount: last - this.#next };
  }

  /** Forgets the next `recordCount` records: they are written. */
  advance(recordCount: number): void {
    this.#next += recordCount;
    if (!this.isEmpty) return;
    this.#pool.release(this.#bytes);
    this.#bytes = NO_BYTES;
    if (this.#ends.length > ENDS_COUNT_MIN) this.#ends = new Uint32Array(ENDS_COUNT_MIN);
    this.#count = 0;
    this.#next = 0;
  }

  #endOf(record: number): number {
    return record < 0 ? 0 : this.#ends[record]!;
  }

  #growBytes(byteCount: number): void {
    const bytes = this.#pool.acquire(Math.max(byteCount, this.#bytes.length * 2));
    bytes.set(this.#bytes.subarray(0, this.#endOf(this.#count - 1)));
    this.#pool.release(this.#bytes);
    this.#bytes = bytes;
  }
}
