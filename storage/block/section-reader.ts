/**
 * Reads a section of a file forward, once, in windows: how symbols and tables of any size are read in bounded memory.
 * With the checksum of all that was passed, if that is asked for. What is small comes out of the source's pages.
 *
 *   section  ████████████████████████████████
 *   window        ├── reader.offset ─► ──┤      what is left moves to the front, the next piece follows
 */
import {
  type ByteReader,
  VARINT_BYTES_MAX,
  byteReader,
  isOverrun,
  readUvarint,
} from '../../model/wire/varint.ts';
import { crc32c } from '../../model/wire/crc32c.ts';
import type { PagedSource } from './byte-source.ts';

const WINDOW_BYTES = 256 * 1024;
/** So much is likely to be read again. */
const PAGED_BYTES_MAX = 16 * 1024;

export class SectionReader {
  /** Over the window. Valid until the next `ensure`. */
  readonly reader: ByteReader = byteReader(new Uint8Array(0));
  readonly #source: PagedSource;
  readonly #end: number;
  readonly #isPaged: boolean;
  readonly #isSummed: boolean;
  /** The file offset after the window. */
  #next: number;
  #crc = 0;

  /** Reads `[from, to)` of the file, which must be inside it. */
  constructor(source: PagedSource, from: number, to: number, isSummed = false) {
    this.#source = source;
    this.#isPaged = !isSummed && to - from <= PAGED_BYTES_MAX;
    this.#isSummed = isSummed;
    this.#next = from;
    this.#end = to;
  }

  /** The file offset of the next byte to read. */
  get offset(): number {
    return this.#next - (this.reader.end - this.reader.offset);
  }

  get bytesLeft(): number {
    return this.#end - this.offset;
  }

  /** The checksum of the section up to the end of the window, if it is summed: of all of it after the last byte. */
  get checksum(): number {
    return this.#crc;
  }

  /** True when `byteCount` bytes, or all that is left if that is less, can be read without waiting. */
  has(byteCount: number): boolean {
    return this.reader.offset + byteCount <= this.reader.end || this.#next === this.#end;
  }

  /** Makes `has(byteCount)` true. */
  async ensure(byteCount: number): Promise<void> {
    if (this.has(byteCount)) return;
    const { reader } = this;
    const kept = reader.bytes.subarray(reader.offset, reader.end);
    const wanted = Math.min(
      Math.max(byteCount - kept.length, WINDOW_BYTES),
      this.#end - this.#next,
    );
    const piece = await (this.#isPaged
      ? this.#source.read(this.#next, wanted)
      : this.#source.readDirect(this.#next, wanted));
    if (this.#isSummed) this.#crc = crc32c(piece, 0, piece.length, this.#crc);
    this.#next += piece.length;
    reader.bytes = kept.length === 0 ? piece : joined(kept, piece);
    reader.offset = 0;
    reader.end = reader.bytes.length;
  }

  /** The next length-prefixed string if it is in the window, else undefined: then ask `string`. */
  peekString(): Uint8Array | undefined {
    const { reader } = this;
    const start = reader.offset;
    const length = readUvarint(reader);
    const from = reader.offset;
    if (isOverrun(reader) || from + length > reader.end) {
      reader.offset = start;
      return undefined;
    }
    reader.offset = from + length;
    return reader.bytes.subarray(from, from + length);
  }

  /** The next length-prefixed string, as bytes that stay valid. Throws `block.corrupt`. */
  async string(): Promise<Uint8Array> {
    const at = this.offset;
    await this.ensure(VARINT_BYTES_MAX);
    const { reader } = this;
    const start = reader.offset;
    const length = readUvarint(reader);
    const prefix = reader.offset - start;
    if (isOverrun(reader) || length > this.bytesLeft) {
      throw this.#source.corrupt(at, 'a string that is longer than its section');
    }
    reader.offset = start;
    await this.ensure(prefix + length);
    const from = reader.offset + prefix;
    reader.offset = from + length;
    return reader.bytes.subarray(from, from + length);
  }
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}
