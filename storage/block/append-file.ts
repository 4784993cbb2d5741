/**
 * A file that is written from start to end through one buffer, with the few places that are filled in
 * afterwards (lengths). Putting bytes is synchronous; `drain` now and then takes them to the disk.
 *
 *   file  ████████████████░░░░░░░░     █ written   ░ in the buffer
 *                         ^ #written   ^ position
 *
 * Invariant: nothing is durable before `finish` resolves.
 */
import { crc32c } from '../../model/wire/crc32c.ts';
import { putUint32, putUvarint } from '../../model/wire/varint.ts';
import { attempt } from '../../platform/durable-file.ts';
import type { Disk, DiskFile } from '../../platform/platform.ts';
import type { ByteSource } from './byte-source.ts';

const WRITE_BYTES = 1024 * 1024;
const READ_BYTES = 1024 * 1024;

export class AppendFile {
  readonly path: string;
  /** What was put and not written; the owner of the file may write into it after `reserve`. */
  buffer = new Uint8Array(WRITE_BYTES + 64 * 1024);
  /** How much of the buffer is used. */
  length = 0;
  readonly #file: DiskFile;
  #written = 0;

  private constructor(file: DiskFile) {
    this.path = file.path;
    this.#file = file;
  }

  static async create(disk: Disk, path: string): Promise<AppendFile> {
    return new AppendFile(await attempt(path, () => disk.open(path, 'create')));
  }

  /** The offset of the next byte. */
  get position(): number {
    return this.#written + this.length;
  }

  /** Makes room for `byteCount` bytes at `buffer[length]`; the caller moves `length`. */
  reserve(byteCount: number): void {
    if (this.length + byteCount <= this.buffer.length) return;
    const larger = new Uint8Array((this.length + byteCount) * 2);
    larger.set(this.buffer.subarray(0, this.length));
    this.buffer = larger;
  }

  putBytes(bytes: Uint8Array): void {
    this.reserve(bytes.length);
    this.buffer.set(bytes, this.length);
    this.length += bytes.length;
  }

  putByte(byte: number): void {
    this.reserve(1);
    this.buffer[this.length++] = byte;
  }

  putUint32(value: number): void {
    this.reserve(4);
    this.length = putUint32(this.buffer, this.length, value);
  }

  putUvarint(value: number): void {
    this.reserve(10);
    this.length = putUvarint(this.buffer, this.length, value);
  }

  /** A length and the bytes. */
  putString(bytes: Uint8Array): void {
    this.putUvarint(bytes.length);
    this.putBytes(bytes);
  }

  /** Zeros up to a multiple of `byteCount`. */
  pad(byteCount: number): void {
    const missing = -this.position & (byteCount - 1);
    this.reserve(missing);
    this.buffer.fill(0, this.length, this.length + missing);
    this.length += missing;
  }

  /** True when `drain` has work: enough is in the buffer for a write. */
  get isFull(): boolean {
    return this.length >= WRITE_BYTES;
  }

  /** Writes what is in the buffer. */
  async drain(): Promise<void> {
    if (this.length === 0) return;
    const bytes = this.buffer.subarray(0, this.length);
    await attempt(this.path, () => this.#file.write(bytes, this.#written));
    this.#written += this.length;
    this.length = 0;
  }

  /** Fills in 32 bits at an offset that was put before. */
  async patchUint32(offset: number, value: number): Promise<void> {
    if (offset >= this.#written) {
      putUint32(this.buffer, offset - this.#written, value);
      return;
    }
    await this.drain();
    const bytes = new Uint8Array(4);
    putUint32(bytes, 0, value);
    await attempt(this.path, () => this.#file.write(bytes, offset));
  }

  /** The checksum of what was put from offset `from` on. */
  async checksumFrom(from: number): Promise<number> {
    let crc = 0;
    let at = from;
    while (at < this.#written) {
      const size = Math.min(READ_BYTES, this.#written - at);
      const bytes = await this.read(at, size);
      crc = crc32c(bytes, 0, bytes.length, crc);
      at += size;
    }
    return crc32c(this.buffer, at - this.#written, this.length, crc);
  }

  /** Reads back what was written; what is in the buffer is not seen. */
  read(offset: number, byteCount: number): Promise<Uint8Array> {
    return attempt(this.path, () => this.#file.read(offset, byteCount));
  }

  /** What was written so far, as a source. Its owner closes this file, not the source. */
  source(): ByteSource {
    return {
      sizeBytes: this.#written,
      read: (offset, byteCount) => this.read(offset, byteCount),
      close: () => Promise.resolve(),
    };
  }

  /** Writes, syncs and closes: all of it is durable, its name is not yet. */
  async finish(): Promise<void> {
    await this.drain();
    await attempt(this.path, () => this.#file.sync());
    await this.close();
  }

  /** Closes without a promise about the content. May be called again. */
  async close(): Promise<void> {
    await this.#file.close().catch(() => undefined);
  }
}
