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

/** The same where it stands: `bytes[from..to)`. Filled by whom it is given to. */
export interface ChunkPlace {
  encoding: number;
  bytes: Uint8Array;
  from: number;
  to: number;
}

export function createChunkPlace(): ChunkPlace {
  return { encoding: 0, bytes: NO_BYTES, from: 0, to: 0 };
}

const LENGTH_BYTES_MAX = 5;
const NO_BYTES = new Uint8Array(0);

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
    const place = createChunkPlace();
    return this.tryPlace(ref, place) ? rawChunk(place) : undefined;
  }

  /** Hot: where the chunk is, if its bytes are at hand; false: ask `read`. */
  tryPlace(ref: number, into: ChunkPlace): boolean {
    const source = this.#fileOf(ref);
    const offset = chunkRefOffset(ref);
    const head = source.place(offset, LENGTH_BYTES_MAX);
    if (head < 0) return false;
    const size = this.#sizeOf(source, source.page, head, offset);
    const from = source.place(offset, size);
    if (from < 0) return false;
    this.#check(source, offset, source.page, from, size, into);
    return true;
  }

  /** The chunk at `ref`. Throws `block.corrupt` when there is none. */
  async read(ref: number): Promise<RawChunk> {
    const source = this.#fileOf(ref);
    const offset = chunkRefOffset(ref);
    const head = await source.read(offset, LENGTH_BYTES_MAX);
    const size = this.#sizeOf(source, head, 0, offset);
    const place = createChunkPlace();
    this.#check(source, offset, await source.read(offset, size), 0, size, place);
    return rawChunk(place);
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

  /** How many bytes the chunk takes whose first ones are at `from`, its length and checksum included. */
  #sizeOf(source: PagedSource, bytes: Uint8Array, from: number, offset: number): number {
    const reader = this.#reader;
    reader.bytes = bytes;
    reader.offset = from;
    reader.end = from + LENGTH_BYTES_MAX;
    const length = readUvarint(reader);
    if (isOverrun(reader) || length > CHUNK_BYTES_MAX || offset < CHUNKS_HEADER_BYTES) {
      throw source.corrupt(offset, 'a length of a chunk that cannot be');
    }
    return reader.offset - from + 1 + length + CRC_BYTES;
  }

  /** Hot: the chunk in `bytes[from..from + size)`, whose checksum must hold. */
  #check(
    source: PagedSource,
    offset: number,
    bytes: Uint8Array,
    from: number,
    size: number,
    into: ChunkPlace,
  ): void {
    const reader = this.#reader;
    reader.bytes = bytes;
    reader.offset = from;
    reader.end = from + size;
    readUvarint(reader);
    const start = reader.offset;
    const end = from + size - CRC_BYTES;
    reader.offset = end;
    if (readUint32(reader) !== crc32c(bytes, start, end)) {
      throw source.corrupt(offset, 'the checksum of a chunk is wrong');
    }
    into.encoding = bytes[start]!;
    into.bytes = bytes;
    into.from = start + 1;
    into.to = end;
  }
}

function rawChunk({ bytes, encoding, from, to }: ChunkPlace): RawChunk {
  return { encoding, data: bytes.subarray(from, to) };
}

async function checkHeader(source: PagedSource): Promise<void> {
  const header = byteReader(await source.read(0, CHUNKS_HEADER_BYTES));
  if (readUint32(header) !== CHUNKS_MAGIC) throw source.corrupt(0, 'not a file of chunks');
  const version = header.bytes[4]!;
  if (version === CHUNKS_VERSION) return;
  const why = `version ${version} of chunk files, this one reads version ${CHUNKS_VERSION}`;
  throw new StarlingError('block.unsupported', { block: source.block, file: source.file, why });
}
