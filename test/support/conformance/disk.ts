/**
 * What every `Disk` does, the real one and the simulated one: contents, offsets, names, error codes,
 * the lock. What survives a loss of power is the simulator's own matter.
 */
import fc from 'fast-check';
import type { Test } from 'tap';
import { StarlingError } from '../../../model/errors.ts';
import type { Disk } from '../../../platform/platform.ts';

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');
const bytesOf = (text: string): Uint8Array => Buffer.from(text, 'latin1');

/** `root` is an empty directory. */
export async function checkDisk(t: Test, disk: Disk, root: string): Promise<void> {
  await checkContents(t, disk, `${root}/contents`);
  await checkNames(t, disk, `${root}/names`);
  await checkRefusals(t, disk, `${root}/refusals`);
  await checkLock(t, disk, `${root}/lock`);
}

async function checkContents(t: Test, disk: Disk, root: string): Promise<void> {
  await disk.makeDirectory(root);
  const path = `${root}/a`;
  const file = await disk.open(path, 'create');
  t.equal(file.path, path);
  t.equal(text(await file.read(0, 10)), '', 'a new file is empty');
  await file.write(bytesOf('hello'), 0);
  await file.write(bytesOf('!'), 7);
  t.equal(text(await disk.readFile(path)), 'hello\0\0!', 'a gap reads as zeros');
  t.equal(text(await file.read(1, 3)), 'ell');
  t.equal(text(await file.read(6, 100)), '\0!', 'a read is shorter at the end');
  t.equal(text(await file.read(100, 10)), '', 'and empty beyond it');
  await file.truncate(4);
  t.strictSame(await disk.stat(path), { kind: 'file', sizeBytes: 4 });
  await file.truncate(6);
  t.equal(text(await disk.readFile(path)), 'hell\0\0', 'growing adds zeros');
  await file.write(new Uint8Array(0), 3);
  t.equal((await disk.stat(path))?.sizeBytes, 6, 'writing nothing changes nothing');
  await file.sync();
  const own = await file.read(0, 4);
  own.fill(0);
  t.equal(text(await file.read(0, 4)), 'hell', 'what was read belongs to the caller');

  const parts = Array.from({ length: 16 }, (_, i) => new Uint8Array(1000).fill(i + 1));
  await Promise.all(parts.map((part, i) => file.write(part, i * 1000)));
  t.ok(Buffer.concat(parts).equals(await disk.readFile(path)), 'writes at once all arrive');
  await Promise.all([file.sync(), file.sync(), disk.syncDirectory(root), file.sync(), file.sync()]);
  await file.close();
  await file.close();

  const again = await disk.open(path, 'read-write');
  await again.write(bytesOf('x'), 0);
  t.equal((await disk.stat(path))?.sizeBytes, 16_000, 'read-write keeps what is there');
  await again.close();
  await (await disk.open(path, 'create')).close();
  t.equal((await disk.stat(path))?.sizeBytes, 0, 'create empties it');
}

async function checkNames(t: Test, disk: Disk, root: string): Promise<void> {
  const put = async (path: string, content: string): Promise<void> => {
    const file = await disk.open(path, 'create');
    await file.write(bytesOf(content), 0);
    await file.close();
  };
  await disk.makeDirectory(`${root}/d/e`);
  await disk.makeDirectory(`${root}/d/e`);
  t.equal((await disk.stat(`${root}/d`))?.kind, 'directory', 'parents are made too');
  for (const name of ['b', 'a', '10', '9', 'B']) await put(`${root}/${name}`, name);
  t.strictSame(await disk.list(root), ['10', '9', 'B', 'a', 'b', 'd'], 'names are sorted');
  t.strictSame(await disk.list(`${root}/none`), []);
  t.equal(await disk.stat(`${root}/none`), undefined);

  const kept = await disk.open(`${root}/a`, 'read-write');
  await disk.rename(`${root}/a`, `${root}/b`);
  t.equal(text(await disk.readFile(`${root}/b`)), 'a', 'a rename replaces');
  await disk.remove(`${root}/b`);
  await kept.write(bytesOf('z'), 1);
  t.equal(text(await kept.read(0, 9)), 'az', 'an open file outlives its name');
  await kept.close();

  await disk.rename(`${root}/d`, `${root}/moved`);
  t.strictSame(await disk.list(root), ['10', '9', 'B', 'moved']);
  t.strictSame(await disk.list(`${root}/moved`), ['e'], 'a directory moves with its content');
  await put(`${root}/moved/e/f`, 'f');
  await disk.syncDirectory(`${root}/moved/e`);
  await t.rejects(disk.removeDirectory(`${root}/moved/e`), { code: 'ENOTEMPTY' });
  await disk.remove(`${root}/moved/e/f`);
  await disk.removeDirectory(`${root}/moved/e`);
  await t.rejects(disk.removeDirectory(`${root}/moved/e`), { code: 'ENOENT' });
  t.strictSame(await disk.list(`${root}/moved`), []);
  await put(`${root}/moved/f`, 'f');
  await disk.removeTree(`${root}/moved`);
  await disk.removeTree(`${root}/moved`);
  t.equal(await disk.stat(`${root}/moved/e`), undefined);
}

async function checkRefusals(t: Test, disk: Disk, root: string): Promise<void> {
  await disk.makeDirectory(`${root}/full/inner`);
  await disk.makeDirectory(`${root}/other`);
  const file = await disk.open(`${root}/file`, 'create');
  const none = `${root}/none`;
  const check = (what: string, work: Promise<unknown>, code: string): Promise<unknown> =>
    t.rejects(work, { code }, what);
  await check('open to read', disk.open(none, 'read'), 'ENOENT');
  await check('open to write', disk.open(none, 'read-write'), 'ENOENT');
  await check('create without a directory', disk.open(`${none}/x`, 'create'), 'ENOENT');
  await check('readFile', disk.readFile(none), 'ENOENT');
  await check('readFile of a directory', disk.readFile(root), 'EISDIR');
  await check('write to a directory', disk.open(root, 'read-write'), 'EISDIR');
  await check('rename of nothing', disk.rename(none, `${root}/x`), 'ENOENT');
  await check('rename to nowhere', disk.rename(`${root}/file`, `${none}/x`), 'ENOENT');
  await check(
    'rename over a full directory',
    disk.rename(`${root}/other`, `${root}/full`),
    'ENOTEMPTY',
  );
  await check('remove of nothing', disk.remove(none), 'ENOENT');
  await check('remove of a directory', disk.remove(`${root}/full`), 'EISDIR');
  await check('list of a file', disk.list(`${root}/file`), 'ENOTDIR');
  await check('syncDirectory of nothing', disk.syncDirectory(none), 'ENOENT');
  await t.rejects(disk.makeDirectory(`${root}/file/below`), 'a directory below a file');
  t.ok(await disk.stat(`${root}/file`), 'refused calls change nothing');

  const reader = await disk.open(`${root}/file`, 'read');
  await check('write to a file open to read', reader.write(bytesOf('x'), 0), 'EBADF');
  await reader.close();
  await file.close();
  await check('write after close', file.write(bytesOf('x'), 0), 'EBADF');
  await check('read after close', file.read(0, 1), 'EBADF');
  await check('sync after close', file.sync(), 'EBADF');
}

async function checkLock(t: Test, disk: Disk, root: string): Promise<void> {
  await disk.makeDirectory(root);
  const locked = new StarlingError('disk.locked', { path: root });
  const lock = await disk.lock(root);
  await t.rejects(disk.lock(root), locked);
  await lock.release();
  const next = await disk.lock(root);
  await lock.release();
  await t.rejects(disk.lock(root), locked, 'a second release frees nobody else');
  await next.release();
}

type Step =
  | { readonly kind: 'truncate'; readonly sizeBytes: number }
  | { readonly kind: 'write'; readonly offset: number; readonly bytes: Uint8Array };

const steps = fc.array(
  fc.oneof(
    fc.record({ kind: fc.constant('truncate' as const), sizeBytes: fc.nat(3000) }),
    fc.record({
      kind: fc.constant('write' as const),
      offset: fc.nat(2000),
      bytes: fc.uint8Array({ maxLength: 1200 }),
    }),
  ),
  { maxLength: 12 },
);

/** Any writes and truncations leave what a plain buffer would hold, also after opening again. */
export async function checkDiskAgainstModel(
  disk: Disk,
  root: string,
  options: { readonly seed: number; readonly runs: number },
): Promise<void> {
  await disk.makeDirectory(root);
  const property = fc.asyncProperty(steps, async (steps) => {
    const file = await disk.open(`${root}/model`, 'create');
    let model = Buffer.alloc(0);
    for (const step of steps) {
      model = apply(model, step);
      if (step.kind === 'write') await file.write(step.bytes, step.offset);
      else await file.truncate(step.sizeBytes);
    }
    await file.close();
    const found = await disk.readFile(`${root}/model`);
    return model.equals(found);
  });
  await fc.assert(property, { seed: options.seed, numRuns: options.runs });
}

function apply(model: Buffer, step: Step): Buffer<ArrayBuffer> {
  if (step.kind === 'truncate') {
    const cut = Buffer.alloc(step.sizeBytes);
    model.copy(cut);
    return cut;
  }
  const isEmpty = step.bytes.length === 0; // nothing written, nothing grown
  const size = isEmpty ? model.length : Math.max(model.length, step.offset + step.bytes.length);
  const grown = Buffer.alloc(size);
  model.copy(grown);
  if (!isEmpty) grown.set(step.bytes, step.offset);
  return grown;
}
