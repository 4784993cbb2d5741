/**
 * The real disk. Every call goes to the thread pool; errors keep Node's codes. Syncs can take long,
 * so fewer of them run at once than the pool has threads: reads and writes always find one. A file
 * is never opened through a symbolic link, which could lead out of the data directory.
 */
import { constants, readSync } from 'node:fs';
import {
  type FileHandle,
  mkdir,
  open,
  readFile,
  readdir,
  rename,
  rm,
  rmdir,
  stat,
  unlink,
} from 'node:fs/promises';
import type { Disk, DiskFile } from '../platform.ts';
import { lockDirectory } from './disk-lock.ts';

/** Of libuv's four threads, unless the environment gave it more. */
const SYNCS_AT_ONCE_MAX = 3;

/** Runs work in turn, at most so many at once. */
type Slots = <Value>(work: () => Promise<Value>) => Promise<Value>;

export function createNodeDisk(): Disk {
  const inSyncSlot = createSlots(SYNCS_AT_ONCE_MAX);
  return {
    open: (path, mode) => openFile(path, mode, inSyncSlot),
    readFile: (path) => readFile(path),
    list: (path) =>
      orMissing(
        readdir(path).then((names) => names.sort()),
        [],
      ),
    stat: async (path) => {
      const found = await orMissing(stat(path), undefined);
      if (found === undefined) return undefined;
      return { kind: found.isDirectory() ? 'directory' : 'file', sizeBytes: found.size };
    },
    makeDirectory: async (path) => {
      await mkdir(path, { recursive: true });
    },
    rename: (from, to) => rename(from, to),
    remove: (path) => unlink(path),
    removeDirectory: (path) => rmdir(path),
    removeTree: (path) => rm(path, { recursive: true, force: true }),
    syncDirectory: (path) => inSyncSlot(() => syncDirectory(path)),
    lock: lockDirectory,
  };
}

/** Slots in the order they were asked for. Waiters are bounded by the callers' own bounds. */
function createSlots(countMax: number): Slots {
  const waiting: (() => void)[] = [];
  let used = 0;
  return async (work) => {
    if (used >= countMax) await new Promise<void>((resolve) => waiting.push(resolve));
    else used++;
    try {
      return await work();
    } finally {
      const next = waiting.shift(); // it inherits the slot
      if (next === undefined) used--;
      else next();
    }
  };
}

async function orMissing<Value, Otherwise>(
  work: Promise<Value>,
  otherwise: Otherwise,
): Promise<Otherwise | Value> {
  try {
    return await work;
  } catch (error) {
    if (isCode(error, 'ENOENT')) return otherwise;
    throw error;
  }
}

function isCode(error: unknown, code: string): boolean {
  return (error as NodeJS.ErrnoException).code === code;
}

const OPEN_FLAGS = {
  read: constants.O_RDONLY,
  'read-write': constants.O_RDWR,
  create: constants.O_RDWR | constants.O_CREAT | constants.O_TRUNC,
} as const;

async function openFile(
  path: string,
  mode: keyof typeof OPEN_FLAGS,
  inSyncSlot: Slots,
): Promise<DiskFile> {
  const handle = await open(path, OPEN_FLAGS[mode] | constants.O_NOFOLLOW, 0o644);
  let isOpen = true;
  return {
    path,
    write: (bytes, offset) => writeAll(handle, bytes, offset),
    read: (offset, byteCount) => readSome(handle, offset, byteCount),
    readNow: (offset, byteCount) => {
      const target = new Uint8Array(byteCount);
      return target.subarray(0, readSync(handle.fd, target, 0, byteCount, offset));
    },
    truncate: (sizeBytes) => handle.truncate(sizeBytes),
    sync: () => inSyncSlot(() => handle.datasync()),
    close: async () => {
      if (!isOpen) return;
      isOpen = false;
      await handle.close();
    },
  };
}

async function writeAll(handle: FileHandle, bytes: Uint8Array, offset: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, offset + done);
    if (bytesWritten === 0) throw Object.assign(new Error(`EIO: nothing written`), { code: 'EIO' });
    done += bytesWritten;
  }
}

async function readSome(
  handle: FileHandle,
  offset: number,
  byteCount: number,
): Promise<Uint8Array> {
  const target = new Uint8Array(byteCount);
  let done = 0;
  while (done < byteCount) {
    const { bytesRead } = await handle.read(target, done, byteCount - done, offset + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return target.subarray(0, done);
}

async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, constants.O_RDONLY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
