/**
 * The lock of a data directory. Each contender puts a name of its own into the directory first and
 * looks for others second, so of two that race at least one sees the other; a loser takes its name
 * back. A name is a listening Unix socket: the kernel closes it when the process dies, however it
 * dies, and tells whoever connects, also from another container.
 *
 *   LOCK.<pid>.<start>.<nonce>    connects: held     refuses: left by a dead process, removed
 *
 * Where the file system has no sockets the name is an empty file, judged by pid and start time.
 */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, lstat, open, readFile, readdir, rename, rm } from 'node:fs/promises';
import { type Server, connect, createServer } from 'node:net';
import { StarlingError } from '../../model/errors.ts';
import type { DiskLock } from '../platform.ts';

const NAME = /^LOCK\.(\d+)\.(\d*)\.[0-9a-f]{16}$/;
const CONNECT_TIMEOUT_MS = 2000;
const RACES_MAX = 8;
const RACE_WAIT_MS = 25;

/** Locks `directory`. Throws `disk.locked` while another living process (or this one) holds it. */
export async function lockDirectory(directory: string): Promise<DiskLock> {
  const handle = await open(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    return await contend(directory, handle);
  } catch (error) {
    await handle.close();
    throw error;
  }
}

async function contend(directory: string, handle: FileHandle): Promise<DiskLock> {
  for (let race = 0; race < RACES_MAX; race++) {
    if ((await sweep(directory, handle)).length > 0) break;
    const mine = await post(directory, handle);
    const others = (await sweep(directory, handle)).filter((name) => name !== mine.name);
    if (others.length === 0) {
      let isHeld = true;
      const release = async (): Promise<void> => {
        if (!isHeld) return;
        isHeld = false;
        await mine.takeBack();
        await handle.close();
      };
      return { release };
    }
    // Both started at this moment. The lots differ, so one of them finds the place empty.
    await mine.takeBack();
    await new Promise((resolve) => setTimeout(resolve, RACE_WAIT_MS * Math.random() * (race + 1)));
  }
  throw new StarlingError('disk.locked', { path: directory });
}

/** The names whose holder lives; those of dead ones are removed: they never come back. */
async function sweep(directory: string, handle: FileHandle): Promise<readonly string[]> {
  const names = (await readdir(directory)).filter((name) => NAME.test(name));
  const living: string[] = [];
  for (const name of names) {
    if (await isHeld(directory, handle, name)) living.push(name);
    else await rm(`${directory}/${name}`, { force: true });
  }
  return living;
}

interface Posted {
  readonly name: string;
  takeBack(): Promise<void>;
}

async function post(directory: string, handle: FileHandle): Promise<Posted> {
  const start = await startTimeOf(process.pid);
  const name = `LOCK.${process.pid}.${start}.${randomBytes(8).toString('hex')}`;
  // A socket is bound a moment before it listens, and would look dead: it gets its name afterwards.
  const server = await listen(socketPath(directory, handle, `NEW-${name}`));
  if (server === undefined) await (await open(`${directory}/${name}`, 'wx', 0o644)).close();
  else await rename(`${directory}/NEW-${name}`, `${directory}/${name}`);
  return {
    name,
    takeBack: async () => {
      if (server !== undefined) await new Promise((resolve) => server.close(resolve));
      await rm(`${directory}/${name}`, { force: true });
    },
  };
}

/** A socket's path may have 107 bytes: on Linux the open directory stands for the long part. */
function socketPath(directory: string, handle: FileHandle, name: string): string {
  return process.platform === 'linux'
    ? `/proc/self/fd/${handle.fd}/${name}`
    : `${directory}/${name}`;
}

/** Undefined: this file system has no sockets. */
function listen(path: string): Promise<Server | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer((connection) => connection.destroy());
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (NO_SOCKETS.has(error.code ?? '')) resolve(undefined);
      else reject(error);
    });
    server.listen(path, () => {
      server.removeAllListeners('error');
      server.on('error', () => undefined); // a failed accept (EMFILE) does not end the lock
      server.unref();
      resolve(server);
    });
  });
}

const NO_SOCKETS: ReadonlySet<string> = new Set([
  'EINVAL',
  'ENAMETOOLONG',
  'ENOTSUP',
  'EOPNOTSUPP',
  'EPERM',
]);

async function isHeld(directory: string, handle: FileHandle, name: string): Promise<boolean> {
  try {
    const found = await lstat(`${directory}/${name}`);
    if (found.isSocket()) return await answers(socketPath(directory, handle, name));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false; // taken back meanwhile
    throw error;
  }
  const [, pid, start] = NAME.exec(name) ?? [];
  return isRunning(Number(pid), start ?? '');
}

/** Whether somebody listens. In doubt (a full backlog, no rights) somebody does. */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const connection = connect(path);
    const end = (isAnswered: boolean): void => {
      connection.destroy();
      resolve(isAnswered);
    };
    connection.setTimeout(CONNECT_TIMEOUT_MS, () => end(true));
    connection.once('connect', () => end(true));
    connection.once('error', (error: NodeJS.ErrnoException) => {
      end(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT');
    });
  });
}

/** The start time tells a reused pid apart: 'dead' for a zombie, '' where the system is silent. */
async function startTimeOf(pid: number): Promise<string> {
  try {
    const text = await readFile(`/proc/${pid}/stat`, 'utf8');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? 'dead' : (fields[19] ?? '');
  } catch {
    return ''; // not Linux, or gone
  }
}

async function isRunning(pid: number, start: string): Promise<boolean> {
  try {
    process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
  const now = await startTimeOf(pid);
  return now === '' || start === '' || now === start;
}
