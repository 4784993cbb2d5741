// Goal: a directory that was made outlives a power loss, whoever made its parents.
// Method: a disk that knows which directories exist, and tells which ones were synced.
import t from 'tap';
import { makeDurableDirectory } from '../../platform/durable-directory.ts';
import type { Disk } from '../../platform/platform.ts';

async function syncedBy(
  existing: readonly string[],
  directory: string,
  levels: number,
  unreadable: readonly string[] = [],
): Promise<string> {
  const synced: string[] = [];
  const known = new Set(existing);
  const disk = {
    stat: async (path: string) => (known.has(path) ? { sizeBytes: 0 } : undefined),
    makeDirectory: async () => undefined,
    syncDirectory: async (path: string) => {
      if (unreadable.includes(path)) throw new Error('EACCES');
      synced.push(path);
    },
  } as unknown as Disk; // nothing else is called
  await makeDurableDirectory(disk, directory, levels);
  return synced.join(' ');
}

t.test('makeDurableDirectory() syncs what holds each directory it made', async (t) => {
  const check = async (
    existing: readonly string[],
    levels: number,
    expected: string,
  ): Promise<void> => {
    t.equal(await syncedBy(existing, '/a/b/c', levels), expected);
  };
  await check([], 0, '/a/b /a /');
  await check(['/a'], 0, '/a/b /a');
  await check(['/a', '/a/b'], 1, '/a/b');
  await check(['/a', '/a/b', '/a/b/c'], 0, '');
  await check(['/a', '/a/b', '/a/b/c'], 1, '/a/b'); // an earlier start may have died before its sync
  await check(['/a', '/a/b', '/a/b/c'], 9, '/a/b /a /');
});

t.test('a parent that it did not make may be unreadable', async (t) => {
  const all = ['/a', '/a/b', '/a/b/c'];
  t.equal(await syncedBy(all, '/a/b/c', 2, ['/a/b']), '/a');
  await t.rejects(syncedBy(['/a', '/a/b'], '/a/b/c', 1, ['/a/b']), /EACCES/);
});
