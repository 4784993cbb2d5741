/**
 * The chunk files of a block, writing: chunks one after another, a new file when the next chunk would
 * not fit into 512 MiB. A chunk's reference is known when it is put.
 */
import { crc32c } from '../../model/wire/crc32c.ts';
import { uvarintLength } from '../../model/wire/varint.ts';
import type { Disk } from '../../platform/platform.ts';
import { blockChunksName, joinPath } from '../filenames.ts';
import { AppendFile } from './append-file.ts';
import { CHUNKS_MAGIC, CHUNKS_VERSION, CRC_BYTES, chunkRef } from './format.ts';

export class ChunkSegmentWriter {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #segmentBytesMax: number;
  #file: AppendFile | undefined;
  #fileCount = 0;
  #byteCount = 0;

  /** Writes into `directory`/chunks, which must be there. */
  constructor(disk: Disk, directory: string, segmentBytesMax: number) {
    this.#disk = disk;
    this.#directory = directory;
    this.#segmentBytesMax = segmentBytesMax;
  }

  /** Bytes of chunks, their frames included. */
  get byteCount(): number {
    return this.#byteCount;
  }

  /** True when a chunk of this size can be `put` now; else `makeRoom` first. */
  hasRoom(dataByteCount: number): boolean {
    const file = this.#file;
    if (file === undefined || file.isFull) return false;
    return file.position + recordBytes(dataByteCount) <= this.#segmentBytesMax;
  }

  async makeRoom(dataByteCount: number): Promise<void> {
    const file = this.#file;
    if (file !== undefined && file.position + recordBytes(dataByteCount) <= this.#segmentBytesMax) {
      await file.drain();
      return;
    }
    if (file !== undefined) await file.finish();
    this.#fileCount++;
    const path = joinPath(this.#directory, blockChunksName(this.#fileCount));
    const next = await AppendFile.create(this.#disk, path);
    this.#file = next;
    next.putUint32(CHUNKS_MAGIC);
    next.putByte(CHUNKS_VERSION);
    next.putBytes(new Uint8Array(3));
  }

  /** Appends `bytes[from..to)` as a chunk and returns its reference. `hasRoom` must be true. */
  put(encoding: number, bytes: Uint8Array, from: number, to: number): number {
    const file = this.#file;
    if (file === undefined) throw new Error('block: a chunk without a file');
    const ref = chunkRef(this.#fileCount - 1, file.position);
    file.reserve(recordBytes(to - from));
    file.putUvarint(to - from);
    const start = file.length;
    file.buffer[file.length++] = encoding;
    file.buffer.set(bytes.subarray(from, to), file.length);
    file.length += to - from;
    file.putUint32(crc32c(file.buffer, start, file.length));
    this.#byteCount += recordBytes(to - from);
    return ref;
  }

  /** Makes all files durable; their names are not yet. */
  async finish(): Promise<void> {
    await this.#file?.finish();
  }

  async close(): Promise<void> {
    await this.#file?.close();
  }
}

function recordBytes(dataByteCount: number): number {
  return uvarintLength(dataByteCount) + 1 + dataByteCount + CRC_BYTES;
}
