/**
 * A bucket in a directory: what a node uses when no other one is named, and what several nodes on one
 * machine, or on a shared file system, may use together.
 *
 *   <root>/<key>            an object
 *   <root>/.uploading/<n>   one being written
 *
 *   put:  written and synced under .uploading ─► directories made and synced ─► renamed ─► directory synced
 *
 * Invariant: under its key an object is whole; once `put` resolved it is durable. Directories that a
 * delete leaves empty are removed, and never told by a listing.
 */
import { StarlingError } from '../../model/errors.ts';
import { compareUtf8 } from '../../model/labels.ts';
import { makeDurableDirectory } from '../durable-directory.ts';
import type {
  Bucket,
  BucketBody,
  BucketListOptions,
  BucketObject,
  BucketPage,
  Clock,
  Disk,
  Random,
} from '../platform.ts';
import { UPLOADS_DIRECTORY, checkObjectKey } from './key.ts';

const COPY_BYTES = 1024 * 1024;
/** A put that meets a directory vanishing under it, by a delete beside it, makes it again so often. */
const PLACE_ATTEMPTS_MAX = 5;
/** What a crash left under .uploading is removed when it is this old. */
const LEFTOVER_AGE_MS = 24 * 3_600_000;
const DENIED_CODES = new Set(['EACCES', 'EPERM', 'EROFS', 'ELOOP', 'ENAMETOOLONG']);
const MISSING_CODES = new Set(['ENOENT', 'ENOTDIR', 'EISDIR']);

export interface DiskBucketOptions {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly random: Random;
  /** Absolute, without a '/' at the end. */
  readonly directory: string;
}

export class DiskBucket implements Bucket {
  readonly name: string;
  readonly #disk: Disk;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #root: string;

  private constructor({ clock, directory, disk, random }: DiskBucketOptions) {
    this.name = `file://${directory}`;
    this.#disk = disk;
    this.#clock = clock;
    this.#random = random;
    this.#root = directory;
  }

  /** Makes the directory if there is none and removes old leftovers. Throws `bucket.*`. */
  static async open(options: DiskBucketOptions): Promise<DiskBucket> {
    const bucket = new DiskBucket(options);
    await bucket.#attempt('', async () => {
      await makeDurableDirectory(options.disk, `${options.directory}/${UPLOADS_DIRECTORY}`, 2);
      await bucket.#sweep();
    });
    return bucket;
  }

  getRange(
    key: string,
    offset: number,
    byteCount: number,
    signal?: AbortSignal,
  ): Promise<Uint8Array> {
    return this.#call(key, signal, async (path) => {
      const file = await this.#disk.open(path, 'read');
      try {
        return await file.read(offset, byteCount);
      } finally {
        await file.close();
      }
    });
  }

  put(key: string, body: BucketBody | Uint8Array, signal?: AbortSignal): Promise<void> {
    return this.#call(key, signal, async (path) => {
      const temporary = `${this.#root}/${UPLOADS_DIRECTORY}/${this.#temporaryName()}`;
      try {
        await this.#write(temporary, body, signal);
        await this.#place(temporary, path);
      } catch (thrown) {
        await this.#disk.remove(temporary).catch(() => undefined);
        if (!MISSING_CODES.has(codeOf(thrown))) throw thrown;
        // A directory has the name, or it was removed again and again.
        throw new StarlingError('bucket.unavailable', this.#facts(key, thrown), thrown);
      }
    });
  }

  head(key: string, signal?: AbortSignal): Promise<BucketObject | undefined> {
    return this.#call(key, signal, async (path) => {
      const found = await this.#disk.stat(path).catch((thrown: unknown) => {
        if (MISSING_CODES.has(codeOf(thrown))) return undefined;
        throw thrown;
      });
      return found?.kind === 'file' ? { key, sizeBytes: found.sizeBytes } : undefined;
    });
  }

  list(options: BucketListOptions, signal?: AbortSignal): Promise<BucketPage> {
    return this.#attempt(options.prefix, async () => {
      const objects: BucketObject[] = [];
      const prefixes: string[] = [];
      const after = options.page ?? '';
      let last = '';
      for await (const found of this.#walk('', options, after)) {
        signal?.throwIfAborted();
        if (objects.length + prefixes.length === options.countMax) {
          return { objects, prefixes, next: last };
        }
        last = found.key;
        if (found.key.endsWith('/')) prefixes.push(found.key);
        else objects.push(found);
      }
      return { objects, prefixes, next: undefined };
    });
  }

  delete(key: string, signal?: AbortSignal): Promise<void> {
    return this.#call(key, signal, async (path) => {
      try {
        await this.#disk.remove(path);
      } catch (thrown) {
        if (MISSING_CODES.has(codeOf(thrown))) return;
        throw thrown;
      }
      await this.#disk.syncDirectory(parentOf(path)).catch(() => undefined); // gone already
      await this.#removeEmptyDirectories(path);
    });
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  /** Objects below `directory` ('' or ending in '/') in the order of their keys, after `after`. */
  async *#walk(
    directory: string,
    options: BucketListOptions,
    after: string,
  ): AsyncGenerator<BucketObject> {
    for (const { key, sizeBytes } of await this.#entries(directory, options.prefix)) {
      const isDirectory = key.endsWith('/');
      const hasPrefix = key.startsWith(options.prefix);
      if (!isDirectory) {
        if (hasPrefix && compareUtf8(key, after) > 0) yield { key, sizeBytes };
      } else if (hasPrefix && key !== options.prefix && options.delimiter !== undefined) {
        if (compareUtf8(key, after) > 0 && (await this.#hasObject(key))) {
          yield { key, sizeBytes: 0 };
        }
      } else if (compareUtf8(key, after) > 0 || after.startsWith(key)) {
        yield* this.#walk(key, options, after);
      }
    }
  }

  /** What is in a directory and can have to do with the prefix, sorted; directories end in '/'. */
  async #entries(directory: string, prefix: string): Promise<readonly BucketObject[]> {
    const found: BucketObject[] = [];
    for (const name of await this.#list(directory)) {
      const key = directory + name;
      if (key === UPLOADS_DIRECTORY) continue;
      if (!key.startsWith(prefix) && !prefix.startsWith(`${key}/`)) continue;
      const stat = await this.#disk.stat(`${this.#root}/${key}`);
      if (stat?.kind === 'directory') found.push({ key: `${key}/`, sizeBytes: 0 });
      else if (stat?.kind === 'file') found.push({ key, sizeBytes: stat.sizeBytes });
    }
    return found.sort((a, b) => compareUtf8(a.key, b.key));
  }

  async #hasObject(directory: string): Promise<boolean> {
    const names = await this.#list(directory);
    for (const name of names) {
      const stat = await this.#disk.stat(`${this.#root}/${directory}${name}`);
      if (stat?.kind === 'file') return true;
      if (stat?.kind === 'directory' && (await this.#hasObject(`${directory}${name}/`)))
        return true;
    }
    return false;
  }

  async #list(directory: string): Promise<readonly string[]> {
    try {
      return await this.#disk.list(`${this.#root}/${directory}`.replace(/\/$/, ''));
    } catch (thrown) {
      if (MISSING_CODES.has(codeOf(thrown))) return []; // removed meanwhile
      throw thrown;
    }
  }

  async #write(path: string, body: BucketBody | Uint8Array, signal?: AbortSignal): Promise<void> {
    const file = await this.#disk.open(path, 'create');
    try {
      const sizeBytes = body instanceof Uint8Array ? body.length : body.sizeBytes;
      for (let offset = 0; offset < sizeBytes; offset += COPY_BYTES) {
        signal?.throwIfAborted();
        const byteCount = Math.min(COPY_BYTES, sizeBytes - offset);
        const part =
          body instanceof Uint8Array
            ? body.subarray(offset, offset + byteCount)
            : await body.read(offset, byteCount);
        if (part.length !== byteCount)
          throw new Error('the source became shorter while it was read');
        await file.write(part, offset);
      }
      await file.sync();
    } finally {
      await file.close();
    }
  }

  /** Renames a written file to its place, durably. */
  async #place(temporary: string, path: string): Promise<void> {
    const directory = parentOf(path);
    for (let attempt = 1; ; attempt++) {
      try {
        await makeDurableDirectory(this.#disk, directory, 1);
        await this.#disk.rename(temporary, path);
        await this.#disk.syncDirectory(directory);
        return;
      } catch (thrown) {
        if (codeOf(thrown) !== 'ENOENT' || attempt === PLACE_ATTEMPTS_MAX) throw thrown;
      }
    }
  }

  async #removeEmptyDirectories(path: string): Promise<void> {
    for (let at = parentOf(path); at.length > this.#root.length; at = parentOf(at)) {
      try {
        await this.#disk.removeDirectory(at);
      } catch {
        return; // not empty, or somebody else was first: nothing is lost either way
      }
    }
  }

  #temporaryName(): string {
    return `${this.#clock.wallMs()}-${Buffer.from(this.#random.bytes(8)).toString('hex')}`;
  }

  async #sweep(): Promise<void> {
    const directory = `${this.#root}/${UPLOADS_DIRECTORY}`;
    const oldestMs = this.#clock.wallMs() - LEFTOVER_AGE_MS;
    for (const name of await this.#disk.list(directory)) {
      const madeMs = Number(/^(\d{1,15})-[0-9a-f]{16}$/.exec(name)?.[1] ?? Infinity);
      if (madeMs < oldestMs) await this.#disk.remove(`${directory}/${name}`).catch(() => undefined);
    }
  }

  async #call<Result>(
    key: string,
    signal: AbortSignal | undefined,
    work: (path: string) => Promise<Result>,
  ): Promise<Result> {
    checkObjectKey(key);
    signal?.throwIfAborted();
    return this.#attempt(key, () => work(`${this.#root}/${key}`));
  }

  async #attempt<Result>(key: string, work: () => Promise<Result>): Promise<Result> {
    try {
      return await work();
    } catch (thrown) {
      throw this.#errorOf(key, thrown);
    }
  }

  #errorOf(key: string, thrown: unknown): unknown {
    const code = codeOf(thrown);
    const facts = this.#facts(key, thrown);
    if (code === '') {
      if (thrown instanceof StarlingError || !(thrown instanceof Error)) return thrown;
      if (thrown.name === 'AbortError') return thrown;
    }
    if (MISSING_CODES.has(code)) return new StarlingError('bucket.not_found', facts, thrown);
    const id = DENIED_CODES.has(code) ? 'bucket.denied' : 'bucket.unavailable';
    return new StarlingError(id, facts, thrown);
  }

  #facts(key: string, thrown: unknown): { bucket: string; key: string; why: string } {
    const why = thrown instanceof Error ? thrown.message : String(thrown);
    return { bucket: this.name, key, why };
  }
}

function codeOf(thrown: unknown): string {
  const { code } = (thrown ?? {}) as { readonly code?: unknown }; // any thrown value
  return typeof code === 'string' ? code : '';
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/'));
}
