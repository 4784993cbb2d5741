/**
 * A simulated machine's disk. It outlives the processes on it: `sideOf` gives one life its `Disk`,
 * `losePower` settles what was pending, a killed process alone loses nothing that was written.
 * Calls take virtual time; a write counts from the moment it is asked, so one in flight when the
 * power goes may or may not be there. `syncDirectory` makes name changes durable, `sync` the bytes.
 */
import { StarlingError } from '../model/errors.ts';
import type { Disk, DiskFile, DiskLock, FileStat } from '../platform/platform.ts';
import {
  type DirectoryNode,
  type FileNode,
  type NameChange,
  type PendingWrite,
  type TreeNode,
  applyChange,
  applyWrite,
  filesOf,
  flipBit,
  losePower,
  newDirectory,
  newFile,
  settleWrites,
} from './disk-tree.ts';
import type { Loop, Owner } from './loop.ts';
import type { SimRandom } from './random.ts';
import type { Trace } from './trace.ts';

export interface DiskLatency {
  readonly callMs: number;
  readonly syncMs: number;
  /** One sync in two hundred takes up to this long. */
  readonly tailMs: number;
}

const LATENCY: DiskLatency = { callMs: 0.05, syncMs: 0.8, tailMs: 80 };
const TAIL_CHANCE = 0.005;

export class SimDisk {
  latency: DiskLatency = LATENCY;
  /**
   * Fails a call with the code it answers. A failed write leaves some prefix; what a failed sync
   * covered is lost at the next loss of power, whatever later syncs answer, as on Linux.
   */
  failWhen: (call: string, path: string) => string | undefined = () => undefined;
  /** What a read returns in place of what lies there: a flipped bit on the way. */
  alterRead: (bytes: Uint8Array) => Uint8Array = (bytes) => bytes;
  /** Where a write really goes; undefined: nowhere, and nobody is told. */
  misplaceWrite: (offset: number) => number | undefined = (offset) => offset;
  /** Calls that are made now are answered later by this. */
  hangMs: () => number = () => 0;
  /** How many syncs of logs failed. */
  failedSyncs = 0;
  readonly #loop: Loop;
  readonly #random: SimRandom;
  readonly #trace: Trace;
  #root: DirectoryNode = newDirectory();
  #journal: (readonly NameChange[])[] = [];
  readonly #locks = new Map<string, { readonly owner: Owner }>();

  constructor(loop: Loop, random: SimRandom, trace: Trace) {
    this.#loop = loop;
    this.#random = random;
    this.#trace = trace;
  }

  /** Power is lost: what was not synced may be gone. No life may use the disk at this moment. */
  losePower(): void {
    losePower(this.#root, this.#journal, this.#random);
    this.#journal = [];
  }

  /** Flips a bit in each of some files, at rest: durable bytes and what is cached of them. */
  rot(fileCount: number): readonly string[] {
    const files = [...filesOf(this.#root, '')].filter(([, { durable }]) => durable.size > 0);
    const rotten: string[] = [];
    for (let i = 0; i < fileCount; i++) {
      const file = this.#random.pick(files);
      if (file === undefined) break;
      flipBit(file[1], this.#random);
      rotten.push(file[0]);
    }
    return rotten;
  }

  /** An empty disk, as after a replacement. */
  wipe(): void {
    this.#root = newDirectory();
    this.#journal = [];
  }

  /** The disk as one life sees it. */
  sideOf(owner: Owner): Disk {
    const call = <Value>(kind: string, path: string, work: () => Value): Promise<Value> =>
      this.#call(owner, { kind, path }, work);
    return {
      open: (path, mode) => call('open', path, () => this.#open(owner, path, mode)),
      readFile: (path) =>
        call('readFile', path, () => {
          const { live } = this.#file(path);
          return this.alterRead(live.read(0, live.size));
        }),
      list: (path) =>
        call('list', path, () => {
          const node = this.#find(path);
          if (node?.kind === 'file') throw failure('ENOTDIR', path);
          return [...(node?.names.keys() ?? [])].sort();
        }),
      stat: (path) => call('stat', path, () => statOf(this.#find(path))),
      makeDirectory: (path) => call('makeDirectory', path, () => this.#makeDirectory(path)),
      rename: (from, to) => call('rename', from, () => this.#rename(from, to)),
      remove: (path) =>
        call('remove', path, () => {
          this.#file(path); // throws for a directory, and for nothing
          this.#change([{ ...this.#place(path) }]);
        }),
      removeDirectory: (path) =>
        call('removeDirectory', path, () => {
          const node = this.#find(path);
          if (node === undefined) throw failure('ENOENT', path);
          if (node.kind === 'file') throw failure('ENOTDIR', path);
          if (node.names.size > 0) throw failure('ENOTEMPTY', path);
          this.#change([{ ...this.#place(path) }]);
        }),
      removeTree: (path) =>
        call('removeTree', path, () => {
          if (this.#find(path) !== undefined) this.#change([{ ...this.#place(path) }]);
        }),
      syncDirectory: (path) => this.#syncDirectory(owner, path),
      lock: (path) => call('lock', path, () => this.#lock(owner, path)),
    };
  }

  /** Does `work` now and answers later, as the kernel's cache does. */
  #call<Value>(
    owner: Owner,
    what: { readonly kind: string; readonly path: string; readonly onFault?: () => void },
    work: () => Value,
  ): Promise<Value> {
    const { kind, onFault, path } = what;
    this.#trace.text(`${kind} ${path}`);
    const isSync = kind === 'sync' || kind === 'syncDirectory';
    const typicalMs = isSync ? this.latency.syncMs : this.latency.callMs;
    let delayMs = typicalMs * this.#random.between(0.5, 1.5) + this.hangMs();
    if (this.#random.chance(isSync ? TAIL_CHANCE : TAIL_CHANCE / 10)) {
      delayMs += this.#random.between(0, this.latency.tailMs);
    }
    return new Promise((resolve, reject) => {
      let finish: () => void;
      try {
        const code = this.failWhen(kind, path);
        if (code !== undefined) {
          if (kind === 'sync' && path.includes('/wal/')) this.failedSyncs++;
          onFault?.();
          throw failure(code, path);
        }
        const value = work();
        finish = () => resolve(value);
      } catch (error) {
        finish = () => reject(error instanceof Error ? error : new Error(String(error)));
      }
      this.#loop.schedule(owner, delayMs, finish);
    });
  }

  #open(owner: Owner, path: string, mode: 'create' | 'read' | 'read-write'): DiskFile {
    let node = this.#find(path);
    if (node?.kind === 'directory') throw failure('EISDIR', path);
    if (mode === 'create') {
      if (node === undefined) {
        node = newFile();
        this.#change([{ ...this.#place(path), node }]);
      } else this.#write(node, { kind: 'truncate', sizeBytes: 0, writer: owner, isDone: true });
    }
    if (node === undefined) throw failure('ENOENT', path);
    return this.#handle(owner, path, { file: node, isWritable: mode !== 'read' });
  }

  #handle(
    owner: Owner,
    path: string,
    { file, isWritable }: { readonly file: FileNode; readonly isWritable: boolean },
  ): DiskFile {
    let isOpen = true;
    const call = <Value>(
      kind: string,
      work: () => Value,
      onFault = (): void => undefined,
    ): Promise<Value> =>
      this.#call(owner, { kind, path, onFault }, () => {
        if (!isOpen) throw failure('EBADF', path);
        return work();
      });
    /** Done when its promise resolves: a sync covers only what was done before it. */
    const change = async (write: PendingWrite): Promise<void> => {
      const work = (): void => {
        if (!isWritable) throw failure(write.kind === 'write' ? 'EBADF' : 'EINVAL', path);
        this.#write(file, write);
      };
      await call(write.kind, work, () => this.#writePrefix(file, write));
      write.isDone = true;
    };
    return {
      path,
      write: (bytes, wanted) => {
        const offset = this.misplaceWrite(wanted);
        // A dropped write is one of no bytes.
        return change({
          kind: 'write',
          offset: offset ?? wanted,
          bytes: offset === undefined ? new Uint8Array(0) : new Uint8Array(bytes),
          writer: owner,
          isDone: false,
        });
      },
      read: (offset, byteCount) =>
        call('read', () => this.alterRead(file.live.read(offset, byteCount))),
      readNow: (offset, byteCount) => {
        const code = isOpen ? this.failWhen('read', path) : 'EBADF';
        if (code !== undefined) throw failure(code, path);
        return this.alterRead(file.live.read(offset, byteCount));
      },
      truncate: (sizeBytes) =>
        change({ kind: 'truncate', sizeBytes, writer: owner, isDone: false }),
      sync: async () => {
        // What a killed process had in flight is in the kernel: nobody overtakes it any more.
        const isBefore = (write: PendingWrite): boolean => write.isDone || !write.writer.isAlive;
        const covered = new Set(file.pending.filter(isBefore));
        // After a failed sync the kernel takes its pages for clean: nobody writes them any more.
        const forget = (): void => {
          file.pending = file.pending.filter((write) => !covered.has(write));
        };
        await call('sync', () => undefined, forget);
        settleWrites(file, covered);
      },
      close: () => {
        if (!isOpen) return Promise.resolve();
        const closing = call('close', () => undefined);
        isOpen = false;
        return closing;
      },
    };
  }

  #write(file: FileNode, write: PendingWrite): void {
    applyWrite(file.live, write);
    file.pending.push(write);
  }

  /** What a write that failed half-way left. */
  #writePrefix(file: FileNode, write: PendingWrite): void {
    if (write.kind === 'truncate') return;
    const bytes = write.bytes.subarray(0, this.#random.below(write.bytes.length + 1));
    this.#write(file, { ...write, bytes, isDone: true });
  }

  #makeDirectory(path: string): void {
    let directory = this.#root;
    for (const name of partsOf(path)) {
      let next = directory.names.get(name);
      if (next === undefined) {
        next = newDirectory();
        this.#change([{ directory, name, node: next }]);
      }
      if (next.kind === 'file') throw failure('ENOTDIR', path);
      directory = next;
    }
  }

  #rename(from: string, to: string): void {
    const node = this.#find(from);
    if (node === undefined) throw failure('ENOENT', from);
    const over = this.#find(to);
    if (over?.kind === 'directory' && over.names.size > 0) throw failure('ENOTEMPTY', to);
    this.#change([{ ...this.#place(from) }, { ...this.#place(to), node }]);
  }

  async #syncDirectory(owner: Owner, path: string): Promise<void> {
    const directory = this.#find(path);
    const covered = new Set(
      this.#journal.filter((entry) => entry.some((change) => change.directory === directory)),
    );
    await this.#call(owner, { kind: 'syncDirectory', path }, () => {
      if (directory === undefined) throw failure('ENOENT', path);
    });
    for (const entry of this.#journal) {
      if (!covered.has(entry)) continue;
      for (const change of entry) applyChange('durableNames', change);
    }
    this.#journal = this.#journal.filter((entry) => !covered.has(entry));
  }

  #lock(owner: Owner, path: string): DiskLock {
    if (this.#locks.get(path)?.owner.isAlive === true) {
      throw new StarlingError('disk.locked', { path });
    }
    const held = { owner };
    this.#locks.set(path, held);
    return {
      release: () => {
        if (this.#locks.get(path) === held) this.#locks.delete(path);
        return Promise.resolve();
      },
    };
  }

  #change(changes: readonly NameChange[]): void {
    for (const change of changes) applyChange('names', change);
    this.#journal.push(changes);
  }

  #find(path: string): TreeNode | undefined {
    let node: TreeNode = this.#root;
    for (const name of partsOf(path)) {
      if (node.kind === 'file') return undefined;
      const next = node.names.get(name);
      if (next === undefined) return undefined;
      node = next;
    }
    return node;
  }

  #file(path: string): FileNode {
    const node = this.#find(path);
    if (node === undefined) throw failure('ENOENT', path);
    if (node.kind === 'directory') throw failure('EISDIR', path);
    return node;
  }

  /** Where a path's last name stands, as the change that removes it. */
  #place(path: string): NameChange {
    const parts = partsOf(path);
    const name = parts.pop() ?? '';
    const directory = this.#find(parts.join('/'));
    if (directory?.kind !== 'directory') throw failure('ENOENT', path);
    return { directory, name, node: undefined };
  }
}

function partsOf(path: string): string[] {
  return path.split('/').filter((part) => part !== '');
}

function statOf(node: TreeNode | undefined): FileStat | undefined {
  if (node === undefined) return undefined;
  return { kind: node.kind, sizeBytes: node.kind === 'file' ? node.live.size : 0 };
}

function failure(code: string, path: string): Error {
  return Object.assign(new Error(`${code}: ${path}`), { code });
}
