/**
 * The real disk. Every call goes to the thread pool; errors keep Node's codes. A lock is a file that
 * names its process: when that process is gone, the lock is taken over.
 */
import { constants } from 'node:fs';
import {
  type FileHandle,
  mkdir,
  open,
  readFile,
  readdir,
  rename,
  rm,
  stat,
  unlink,
} from 'node:fs/promises';
import { StarlingError } from '../../model/errors.ts';
import type { Disk, DiskFile, DiskLock } from '../platform.ts';

export function createNodeDisk(): Disk {
  return {
    open: openFile,
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
    removeTree: (path) => rm(path, { recursive: true, force: true }),
    syncDirectory,
    lock,
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

async function openFile(path: string, mode: keyof typeof OPEN_FLAGS): Promise<DiskFile> {
  const handle = await open(path, OPEN_FLAGS[mode], 0o644);
  let isOpen = true;
  return {
    path,
    write: (bytes, offset) => writeAll(handle, bytes, offset),
    read: (offset, byteCount) => readSome(handle, offset, byteCount),
    truncate: (sizeBytes) => handle.truncate(sizeBytes),
    sync: () => handle.datasync(),
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

const LOCK_ATTEMPTS_MAX = 5;

/** Locks a directory: the file LOCK in it names the holder. */
async function lock(directory: string): Promise<DiskLock> {
  const path = `${directory}/LOCK`;
  for (let attempt = 0; attempt < LOCK_ATTEMPTS_MAX; attempt++) {
    try {
      const handle = await open(
        path,
        constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL,
        0o644,
      );
      await handle.write(`${process.pid} ${await startTimeOf(process.pid)}\n`);
      await handle.close();
      return { release: () => rm(path, { force: true }) };
    } catch (error) {
      if (!isCode(error, 'EEXIST')) throw error;
      const [pid, started] = (await orMissing(readFile(path, 'utf8'), '')).trim().split(' ');
      if (await isHolderAlive(Number(pid), started ?? ''))
        throw new StarlingError('disk.locked', { path: directory });
      await rm(path, { force: true });
    }
  }
  throw new StarlingError('disk.locked', { path: directory });
}

/** Tells a reused pid apart: the start time, 'dead' for a zombie, '' where the system does not say. */
async function startTimeOf(pid: number): Promise<string> {
  try {
    const text = await readFile(`/proc/${pid}/stat`, 'utf8');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? 'dead' : (fields[19] ?? '');
  } catch {
    return ''; // not Linux, or gone
  }
}

async function isHolderAlive(pid: number, started: string): Promise<boolean> {
  if (!Number.isSafeInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
  } catch (error) {
    return isCode(error, 'EPERM');
  }
  const now = await startTimeOf(pid);
  return now === '' || started === '' || now === started;
}
