/**
 * Where the bytes of a block come from: a file on disk today, an object in a bucket tomorrow. All
 * reads name a range, so nothing needs a whole file.
 *
 *   ByteSource    ranged reads of one file
 *   PagedSource   the same through a bounded set of pages; small reads near each other cost one call
 *
 * Invariant: a range is checked against the file's size before memory is taken for it, and what is
 * not there is `block.corrupt` with block, file and offset.
 */
import { StarlingError } from '../../model/errors.ts';
import { attempt } from '../../platform/durable-file.ts';
import type { Disk } from '../../platform/platform.ts';
import { joinPath } from '../filenames.ts';
import type { BlockId } from './ulid.ts';

/** One file of a block. */
export interface ByteSource {
  readonly sizeBytes: number;
  /** Exactly `byteCount` bytes, or fewer where the file ends. They stay valid; others may have them too. */
  read(offset: number, byteCount: number): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** The files of one block by name: `index`, `chunks/000001`, … */
export interface BlockFiles {
  readonly id: BlockId;
  /** Undefined when there is no such file. */
  open(file: string): Promise<ByteSource | undefined>;
}

/** The files of the block in `directory`/`id` on disk. */
export function diskBlockFiles(disk: Disk, directory: string, id: BlockId): BlockFiles {
  return {
    id,
    async open(name) {
      const path = joinPath(directory, id, name);
      const found = await attempt(path, () => disk.stat(path));
      if (found?.kind !== 'file') return undefined;
      const file = await attempt(path, () => disk.open(path, 'read'));
      return {
        sizeBytes: found.sizeBytes,
        read: (offset, byteCount) => attempt(path, () => file.read(offset, byteCount)),
        close: () => file.close().catch(() => undefined), // nothing was written
      };
    },
  };
}

export interface PageOptions {
  readonly pageBytes: number;
  readonly pagesMax: number;
}

/** A file of a block through pages. Bytes it gave stay valid: pages are dropped, never written to. */
export class PagedSource {
  readonly block: string;
  readonly file: string;
  readonly sizeBytes: number;
  readonly #source: ByteSource;
  readonly #options: PageOptions;
  /** Page number to bytes, oldest use first. */
  readonly #pages = new Map<number, Uint8Array>();
  #lastNumber = -1;
  #lastPage: Uint8Array = new Uint8Array(0);

  constructor(where: { block: string; file: string }, source: ByteSource, options: PageOptions) {
    this.block = where.block;
    this.file = where.file;
    this.sizeBytes = source.sizeBytes;
    this.#source = source;
    this.#options = options;
  }

  /** The error that says what is wrong at `offset`. */
  corrupt(offset: number, why: string): StarlingError {
    return new StarlingError('block.corrupt', {
      block: this.block,
      file: this.file,
      offset: Math.min(offset, this.sizeBytes),
      why,
    });
  }

  /** The page in which `place` found something last. */
  get page(): Uint8Array {
    return this.#lastPage;
  }

  /** Hot: where in `page` the range begins, when it lies in one page that is here; else -1. */
  place(offset: number, byteCount: number): number {
    const { pageBytes } = this.#options;
    const number = Math.floor(offset / pageBytes);
    if (number !== this.#lastNumber && !this.#use(number)) return -1;
    const from = offset - number * pageBytes;
    return from + byteCount > this.#lastPage.length ? -1 : from;
  }

  /** The range when it lies in one page that is here, else undefined: then ask `read`. */
  peek(offset: number, byteCount: number): Uint8Array | undefined {
    const from = this.place(offset, byteCount);
    return from < 0 ? undefined : this.#lastPage.subarray(from, from + byteCount);
  }

  /** All of the range. Throws `block.corrupt` when the file has less. */
  async read(offset: number, byteCount: number): Promise<Uint8Array> {
    this.#check(offset, byteCount);
    const { pageBytes, pagesMax } = this.#options;
    const first = Math.floor(offset / pageBytes);
    const last = Math.floor((offset + byteCount - 1) / pageBytes);
    if (last - first >= pagesMax) return this.readDirect(offset, byteCount);
    for (let number = first; number <= last; number++) {
      if (this.#pages.has(number)) continue;
      const from = number * pageBytes;
      const page = await this.#readAll(from, Math.min(pageBytes, this.sizeBytes - from));
      this.#keep(number, page);
    }
    return this.peek(offset, byteCount) ?? this.#join(offset, byteCount);
  }

  /** As `read`, but as much as there is. */
  readUpTo(offset: number, byteCountMax: number): Promise<Uint8Array> {
    return this.read(offset, Math.max(0, Math.min(byteCountMax, this.sizeBytes - offset)));
  }

  /** As `read`, past the pages: for what is large or read once. */
  readDirect(offset: number, byteCount: number): Promise<Uint8Array> {
    this.#check(offset, byteCount);
    return this.#readAll(offset, byteCount);
  }

  close(): Promise<void> {
    this.#pages.clear();
    return this.#source.close();
  }

  #check(offset: number, byteCount: number): void {
    if (offset + byteCount <= this.sizeBytes) return;
    throw this.corrupt(offset, `${byteCount} bytes wanted, the file ends before`);
  }

  async #readAll(offset: number, byteCount: number): Promise<Uint8Array> {
    const bytes = await this.#source.read(offset, byteCount);
    if (bytes.length === byteCount) return bytes;
    throw this.corrupt(offset + bytes.length, 'the file became shorter while it was read');
  }

  #use(number: number): boolean {
    const page = this.#pages.get(number);
    if (page === undefined) return false;
    this.#pages.delete(number);
    this.#pages.set(number, page);
    this.#lastNumber = number;
    this.#lastPage = page;
    return true;
  }

  #keep(number: number, page: Uint8Array): void {
    for (const oldest of this.#pages.keys()) {
      if (this.#pages.size < this.#options.pagesMax) break;
      this.#pages.delete(oldest);
    }
    this.#pages.set(number, page);
  }

  /** A range over several pages, all of which `read` just saw; one may have been dropped since. */
  #join(offset: number, byteCount: number): Promise<Uint8Array> | Uint8Array {
    const { pageBytes } = this.#options;
    const joined = new Uint8Array(byteCount);
    for (let at = 0; at < byteCount;) {
      const number = Math.floor((offset + at) / pageBytes);
      const page = this.#pages.get(number);
      if (page === undefined) return this.#readAll(offset, byteCount);
      const from = offset + at - number * pageBytes;
      const part = page.subarray(from, from + byteCount - at);
      joined.set(part, at);
      at += part.length;
    }
    return joined;
  }
}
