/**
 * The chunk files of a block, reading. A chunk is found by its reference, through pages, and its
 * checksum is checked each time.
 */
import { crc32c } from '../../model/wire/crc32c.ts';
import {
  type ByteReader,
  byteReader,
  isOverrun,
  readUint32,
  readUvarint,
} from '../../model/wire/varint.ts';
import { StarlingError } from '../../model/errors.ts';
import { blockChunksName } from '../filenames.ts';
import { type BlockFiles, type PageOptions, PagedSource } from './byte-source.ts';
import {
  CHUNKS_HEADER_BYTES,
  CHUNKS_MAGIC,
  CHUNKS_VERSION,
  CHUNK_BYTES_MAX,
  CRC_BYTES,
  chunkRefFile,
  chunkRefOffset,
} from './format.ts';

/** A chunk as it is stored. `data` stays valid. */
export interface RawChunk {
  readonly encoding: number;
  readonly data: Uint8Array;
}

const LENGTH_BYTES_MAX = 5;

export class ChunkSegmentReader {
  readonly #block: string;
  readonly #files: readonly PagedSource[];
  readonly #reader: ByteReader = byteReader(new Uint8Array(0));

  private constructor(block: string, files: readonly PagedSource[]) {
    this.#block = block;
    this.#files = files;
  }

  /** Opens the files 1, 2, … of a block. A bad header is thrown, or told to `onBadHeader` if that is given. */
  static async open(
    files: BlockFiles,
    options: PageOptions,
    onBadHeader?: (thrown: unknown) => void,
  ): Promise<ChunkSegmentReader> {
    const opened: PagedSource[] = [];
    try {
      for (;;) {
        const file = blockChunksName(opened.length + 1);
        const source = await files.open(file);
        if (source === undefined) return new ChunkSegmentReader(files.id, opened);
        const paged = new PagedSource({ block: files.id, file }, source, options);
        opened.push(paged);
        if (onBadHeader === undefined) await checkHeader(paged);
        else await checkHeader(paged).catch(onBadHeader);
      }
    } catch (thrown) {
      for (const file of opened) await file.close();
      throw thrown;
    }
  }

  get fileCount(): number {
    return this.#files.length;
  }

  get sizeBytes(): number {
    return this.#files.reduce((sum, file) => sum + file.sizeBytes, 0);
  }

  /** The chunk if its bytes are at hand, else undefined: then ask `read`. */
  peek(ref: number): RawChunk | undefined {
    const source = this.#fileOf(ref);
    const offset = chunkRefOffset(ref);
    const head = source.peek(offset, LENGTH_BYTES_MAX);
    if (head === undefined) return undefined;
    const bytes = source.peek(offset, this.#sizeOf(source, head, offset));
    return bytes === undefined ? undefined : this.#decode(source, bytes, offset);
  }

  /** The chunk at `ref`. Throws `block.corrupt` when there is none. */
  async read(ref: number): Promise<RawChunk> {
    const source = this.#fileOf(ref);
    const offset = chunkRefOffset(ref);
    const head = await source.read(offset, LENGTH_BYTES_MAX);
    const bytes = await source.read(offset, this.#sizeOf(source, head, offset));
    return this.#decode(source, bytes, offset);
  }

  async close(): Promise<void> {
    for (const file of this.#files) await file.close();
  }

  #fileOf(ref: number): PagedSource {
    const source = this.#files[chunkRefFile(ref)];
    if (source !== undefined) return source;
    const file = blockChunksName(chunkRefFile(ref) + 1);
    const why = 'a chunk in a file that is not there';
    throw new StarlingError('block.corrupt', { block: this.#block, file, offset: 0, why });
  }

  #sizeOf(source: PagedSource, head: Uint8Array, offset: number): number {
    const reader = this.#at(head);
    const length = readUvarint(reader);
    if (isOverrun(reader) || length > CHUNK_BYTES_MAX || offset < CHUNKS_HEADER_BYTES) {
      throw source.corrupt(offset, 'a length of a chunk that cannot be');
    }
    return reader.offset + 1 + length + CRC_BYTES;
  }

  #decode(source: PagedSource, bytes: Uint8Array, offset: number): RawChunk {
    const reader = this.#at(bytes);
    readUvarint(reader);
    const from = reader.offset;
    const to = bytes.length - CRC_BYTES;
    reader.offset = to;
    if (readUint32(reader) !== crc32c(bytes, from, to)) {
      throw source.corrupt(offset, 'the checksum of a chunk is wrong');
    }
    return { encoding: bytes[from]!, data: bytes.subarray(from + 1, to) };
  }

  #at(bytes: Uint8Array): ByteReader {
    const reader = this.#reader;
    reader.bytes = bytes;
    reader.offset = 0;
    reader.end = bytes.length;
    return reader;
  }
}

async function checkHeader(source: PagedSource): Promise<void> {
  const header = byteReader(await source.read(0, CHUNKS_HEADER_BYTES));
  if (readUint32(header) !== CHUNKS_MAGIC) throw source.corrupt(0, 'not a file of chunks');
  const version = header.bytes[4]!;
  if (version === CHUNKS_VERSION) return;
  const why = `version ${version} of chunk files, this one reads version ${CHUNKS_VERSION}`;
  throw new StarlingError('block.unsupported', { block: source.block, file: source.file, why });
}
