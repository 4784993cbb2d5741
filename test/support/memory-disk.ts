/**
 * A disk in memory that tells what survives what. A file has live bytes and durable bytes (as of its
 * last good sync); a directory has live names and durable names (as of its last sync).
 *
 *   kill   the process dies: what was written stays          loseProcess()
 *   power  the machine dies: only what was synced stays       losePower()
 *
 * Faults: the n-th call fails, or every call a rule picks. A failed write leaves half of its bytes.
 * A failed sync loses what it covered for good while later syncs of that file pretend to work, as
 * Linux does: who trusts one loses data here.
 */
import type { Disk, DiskFile, DiskLock, FileStat } from '../../platform/platform.ts';

type CallKind =
  | 'close'
  | 'list'
  | 'makeDirectory'
  | 'open'
  | 'read'
  | 'remove'
  | 'rename'
  | 'stat'
  | 'sync'
  | 'syncDirectory'
  | 'truncate'
  | 'write';

export interface DiskCall {
  /** Counts from 1. */
  readonly number: number;
  readonly kind: CallKind;
  readonly path: string;
}

interface File {
  bytes: Buffer;
  durable: Buffer;
  /** A sync failed: nothing becomes durable any more. */
  isPoisoned: boolean;
}

interface Directory {
  names: Map<string, Entry>;
  durableNames: Map<string, Entry>;
}

type Entry = Directory | File;

export class MemoryDisk implements Disk {
  /** Every call so far. */
  readonly calls: DiskCall[] = [];
  /** True for a call that must fail with EIO (or what `failCode` says). */
  failWhen: (call: DiskCall) => boolean = () => false;
  failCode = 'EIO';
  /** The most syncs that ran at once. */
  syncsAtOnceMax = 0;
  #syncsNow = 0;
  #isDead = false;
  readonly #root: Directory;

  constructor(root: Directory = newDirectory()) {
    this.#root = root;
  }

  /** The process is killed: calls in flight never end. Returns the disk that the next one finds. */
  loseProcess(): MemoryDisk {
    this.#isDead = true;
    return new MemoryDisk(this.#root);
  }

  /** Power is lost. Returns the disk that the next process finds. */
  losePower(): MemoryDisk {
    this.#isDead = true;
    return new MemoryDisk(durableCopy(this.#root) as Directory);
  }

  countOf(kind: CallKind): number {
    return this.calls.filter((call) => call.kind === kind).length;
  }

  /** The live bytes of a file, for looking and for tampering (`putFile`). */
  fileBytes(path: string): Buffer {
    return this.#file(path).bytes;
  }

  /** Puts a durable file there, with its directories. */
  putFile(path: string, bytes: Uint8Array): void {
    let directory = this.#root;
    for (const part of partsOf(path).slice(0, -1)) {
      let next = directory.names.get(part);
      if (next === undefined) {
        next = newDirectory();
        directory.names.set(part, next);
        directory.durableNames.set(part, next);
      }
      if (!('names' in next)) throw fault('ENOTDIR', path);
      directory = next;
    }
    const content = Buffer.from(bytes);
    const file = { bytes: content, durable: content, isPoisoned: false };
    directory.names.set(partsOf(path).at(-1) ?? '', file);
    directory.durableNames.set(partsOf(path).at(-1) ?? '', file);
  }

  async open(path: string, mode: 'create' | 'read' | 'read-write'): Promise<DiskFile> {
    await this.#call('open', path);
    if (mode === 'create') {
      const { directory, name } = this.#parent(path);
      const file = { bytes: Buffer.alloc(0), durable: Buffer.alloc(0), isPoisoned: false };
      directory.names.set(name, file);
    }
    const file = this.#file(path);
    return {
      path,
      write: (bytes, offset) => this.#write(file, path, bytes, offset),
      read: async (offset, byteCount) => {
        await this.#call('read', path);
        return new Uint8Array(file.bytes.subarray(offset, offset + byteCount));
      },
      readNow: (offset, byteCount) =>
        new Uint8Array(file.bytes.subarray(offset, offset + byteCount)),
      truncate: async (sizeBytes) => {
        await this.#call('truncate', path);
        file.bytes = Buffer.concat([file.bytes, Buffer.alloc(sizeBytes)]).subarray(0, sizeBytes);
      },
      sync: () => this.#sync(file, path),
      close: () => this.#call('close', path),
    };
  }

  async readFile(path: string): Promise<Uint8Array> {
    await this.#call('read', path);
    return new Uint8Array(this.#file(path).bytes);
  }

  async list(path: string): Promise<readonly string[]> {
    await this.#call('list', path);
    const found = this.#find(path);
    return found !== undefined && 'names' in found ? [...found.names.keys()].sort() : [];
  }

  async stat(path: string): Promise<FileStat | undefined> {
    await this.#call('stat', path);
    const found = this.#find(path);
    if (found === undefined) return undefined;
    if ('names' in found) return { kind: 'directory', sizeBytes: 0 };
    return { kind: 'file', sizeBytes: found.bytes.length };
  }

  async makeDirectory(path: string): Promise<void> {
    await this.#call('makeDirectory', path);
    let directory = this.#root;
    for (const part of partsOf(path)) {
      let next = directory.names.get(part);
      if (next === undefined) directory.names.set(part, (next = newDirectory()));
      if (!('names' in next)) throw fault('ENOTDIR', path);
      directory = next;
    }
  }

  async rename(from: string, to: string): Promise<void> {
    await this.#call('rename', from);
    const source = this.#parent(from);
    const target = this.#parent(to);
    const entry = source.directory.names.get(source.name);
    if (entry === undefined) throw fault('ENOENT', from);
    source.directory.names.delete(source.name);
    target.directory.names.set(target.name, entry);
  }

  async remove(path: string): Promise<void> {
    await this.#call('remove', path);
    this.#file(path);
    const { directory, name } = this.#parent(path);
    directory.names.delete(name);
  }

  async removeDirectory(path: string): Promise<void> {
    await this.#call('remove', path);
    const found = this.#find(path);
    if (found === undefined || !('names' in found)) throw fault('ENOENT', path);
    if (found.names.size > 0) throw fault('ENOTEMPTY', path);
    const { directory, name } = this.#parent(path);
    directory.names.delete(name);
  }

  async removeTree(path: string): Promise<void> {
    await this.#call('remove', path);
    const { directory, name } = this.#parent(path);
    directory.names.delete(name);
  }

  async syncDirectory(path: string): Promise<void> {
    await this.#call('syncDirectory', path);
    const found = this.#find(path);
    if (found === undefined || !('names' in found)) throw fault('ENOENT', path);
    found.durableNames = new Map(found.names);
  }

  async lock(path: string): Promise<DiskLock> {
    await this.#call('open', path);
    return { release: () => Promise.resolve() };
  }

  async #write(file: File, path: string, bytes: Uint8Array, offset: number): Promise<void> {
    const put = (part: Uint8Array): void => {
      const grown = Buffer.alloc(Math.max(file.bytes.length, offset + part.length));
      file.bytes.copy(grown);
      grown.set(part, offset);
      file.bytes = grown;
    };
    try {
      await this.#call('write', path);
    } catch (error) {
      put(bytes.slice(0, bytes.length >>> 1));
      throw error;
    }
    put(bytes);
  }

  async #sync(file: File, path: string): Promise<void> {
    this.syncsAtOnceMax = Math.max(this.syncsAtOnceMax, ++this.#syncsNow);
    const covered = file.bytes;
    try {
      await this.#call('sync', path);
    } catch (error) {
      file.isPoisoned = true;
      throw error;
    } finally {
      this.#syncsNow--;
    }
    if (!file.isPoisoned) file.durable = covered;
  }

  /** Counts a call, takes a turn of the loop for it, and fails it when it was chosen. */
  async #call(kind: CallKind, path: string): Promise<void> {
    const call = { number: this.calls.length + 1, kind, path };
    this.calls.push(call);
    const fails = this.failWhen(call);
    await new Promise((resolve) => setImmediate(resolve));
    if (this.#isDead) await new Promise(() => undefined);
    if (fails) throw fault(this.failCode, path);
  }

  #parent(path: string): { directory: Directory; name: string } {
    const parts = partsOf(path);
    const name = parts.pop() ?? '';
    const directory = this.#find(parts.join('/'));
    if (directory === undefined || !('names' in directory)) throw fault('ENOENT', path);
    return { directory, name };
  }

  #find(path: string): Entry | undefined {
    let entry: Entry | undefined = this.#root;
    for (const part of partsOf(path)) {
      entry = entry !== undefined && 'names' in entry ? entry.names.get(part) : undefined;
    }
    return entry;
  }

  #file(path: string): File {
    const found = this.#find(path);
    if (found === undefined || 'names' in found) throw fault('ENOENT', path);
    return found;
  }
}

function newDirectory(): Directory {
  return { names: new Map(), durableNames: new Map() };
}

function durableCopy(entry: Entry): Entry {
  if (!('names' in entry)) {
    return { bytes: entry.durable, durable: entry.durable, isPoisoned: false };
  }
  const names = new Map<string, Entry>();
  for (const [name, child] of entry.durableNames) names.set(name, durableCopy(child));
  return { names, durableNames: new Map(names) };
}

function partsOf(path: string): string[] {
  return path.split('/').filter((part) => part !== '');
}

function fault(code: string, path: string): Error {
  return Object.assign(new Error(`${code}: injected or real, ${path}`), { code });
}
