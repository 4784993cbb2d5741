/**
 * A disk in memory, just enough for small files: what was not synced is lost in a crash, names that
 * were not synced in their directory come back as they were, and the n-th call can be made to fail.
 */
import { StarlingError } from '../../model/errors.ts';
import type { Disk, DiskFile, DiskLock, FileStat } from '../../platform/platform.ts';

interface Node {
  bytes: Uint8Array;
  synced: Uint8Array;
}

/** Thrown by a call that was chosen to fail; the process is then expected to crash. */
export class InjectedFault extends Error {
  readonly code = 'EIO';
}

export class TinyDisk implements Disk {
  #names = new Map<string, Node>();
  #durableNames = new Map<string, Node>();
  readonly #locks = new Set<string>();
  callCount = 0;
  /** 1 = the next call fails. 0 = none does. */
  failAtCall = 0;
  /** The paths that were opened for writing, in order. */
  readonly written: string[] = [];

  /** Power loss: unsynced bytes and names are gone, locks are free. A torn tail is kept if asked. */
  crash({ keepsUnsynced = false }: { readonly keepsUnsynced?: boolean } = {}): void {
    if (!keepsUnsynced) {
      this.#names = new Map(this.#durableNames);
      for (const node of this.#names.values()) node.bytes = node.synced;
    }
    this.#locks.clear();
    this.failAtCall = 0;
  }

  /** Puts a durable file there. */
  put(path: string, bytes: Uint8Array | string): void {
    const content = Uint8Array.from(Buffer.from(bytes));
    const node = { bytes: content, synced: content };
    this.#names.set(path, node);
    this.#durableNames.set(path, node);
  }

  text(path: string): string | undefined {
    const node = this.#names.get(path);
    return node === undefined ? undefined : Buffer.from(node.bytes).toString('latin1');
  }

  bytes(path: string): Uint8Array {
    return this.#node(path).bytes;
  }

  #count(): void {
    this.callCount++;
    if (this.failAtCall > 0 && --this.failAtCall === 0) throw new InjectedFault('injected fault');
  }

  #node(path: string): Node {
    const node = this.#names.get(path);
    if (node === undefined) throw Object.assign(new Error(`ENOENT ${path}`), { code: 'ENOENT' });
    return node;
  }

  async open(path: string, mode: 'create' | 'read' | 'read-write'): Promise<DiskFile> {
    this.#count();
    if (mode === 'create') {
      if (this.#names.has(path)) throw Object.assign(new Error('EEXIST'), { code: 'EEXIST' });
      this.#names.set(path, { bytes: new Uint8Array(0), synced: new Uint8Array(0) });
    }
    if (mode !== 'read') this.written.push(path);
    const node = this.#node(path);
    return {
      path,
      write: async (bytes, offset) => {
        this.#count();
        const grown = new Uint8Array(Math.max(node.bytes.length, offset + bytes.length));
        grown.set(node.bytes);
        grown.set(bytes, offset);
        node.bytes = grown;
      },
      read: async (offset, byteCount) => {
        this.#count();
        return node.bytes.slice(offset, offset + byteCount);
      },
      readNow: (offset, byteCount) => node.bytes.slice(offset, offset + byteCount),
      truncate: async (sizeBytes) => {
        this.#count();
        node.bytes = node.bytes.slice(0, sizeBytes);
      },
      sync: async () => {
        this.#count();
        node.synced = node.bytes;
      },
      close: async () => undefined,
    };
  }

  async readFile(path: string): Promise<Uint8Array> {
    this.#count();
    return this.#node(path).bytes.slice();
  }

  async list(path: string): Promise<readonly string[]> {
    this.#count();
    const names = [...this.#names.keys()].filter((name) => name.startsWith(`${path}/`));
    return names.map((name) => name.slice(path.length + 1)).sort();
  }

  async stat(path: string): Promise<FileStat | undefined> {
    this.#count();
    const node = this.#names.get(path);
    return node === undefined ? undefined : { kind: 'file', sizeBytes: node.bytes.length };
  }

  async makeDirectory(): Promise<void> {
    this.#count();
  }

  async rename(from: string, to: string): Promise<void> {
    this.#count();
    this.#names.set(to, this.#node(from));
    this.#names.delete(from);
  }

  async remove(path: string): Promise<void> {
    this.#count();
    this.#names.delete(path);
  }

  async removeDirectory(): Promise<void> {
    this.#count();
  }

  async removeTree(path: string): Promise<void> {
    this.#count();
    for (const name of [...this.#names.keys()]) {
      if (name.startsWith(`${path}/`)) this.#names.delete(name);
    }
  }

  async syncDirectory(path: string): Promise<void> {
    this.#count();
    for (const name of this.#durableNames.keys()) {
      if (name.startsWith(`${path}/`) && !this.#names.has(name)) this.#durableNames.delete(name);
    }
    for (const [name, node] of this.#names) {
      if (name.startsWith(`${path}/`)) this.#durableNames.set(name, node);
    }
  }

  async lock(path: string): Promise<DiskLock> {
    this.#count();
    if (this.#locks.has(path)) throw new StarlingError('disk.locked', { path });
    this.#locks.add(path);
    return {
      release: async () => {
        this.#locks.delete(path);
      },
    };
  }
}
