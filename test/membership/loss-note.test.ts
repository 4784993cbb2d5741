/**
 * Goal: what a data directory lost is remembered until it is filled, and by nothing else forgotten. Method:
 * the note on a memory disk, over kills and power losses, and a failure of each disk call.
 */
import t from 'tap';
import { type Loss, LossNote } from '../../membership/index.ts';
import { MemoryDisk } from '../support/memory-disk.ts';

const DIRECTORY = '/data';

async function emptyDisk(): Promise<MemoryDisk> {
  const disk = new MemoryDisk();
  await disk.makeDirectory(DIRECTORY);
  await disk.syncDirectory('/');
  return disk;
}

const open = (disk: MemoryDisk): Promise<LossNote> => LossNote.open(disk, DIRECTORY, 9000);

t.test('losses add up to the widest, survive, and shrink from their old end', async (t) => {
  let disk = await emptyDisk();
  t.equal((await open(disk)).current, undefined);
  const check = async (
    change: (note: LossNote) => Promise<void>,
    expected: unknown,
  ): Promise<void> => {
    const note = await open(disk);
    await change(note);
    t.strictSame(note.current, expected);
    disk = disk.losePower();
    t.strictSame((await open(disk)).current, expected, 'after a power loss');
  };
  await check((note) => note.add({ fromMs: 500, beforeMs: 1000 }), { fromMs: 500, beforeMs: 1000 });
  await check((note) => note.fill(700, 0), { fromMs: 700, beforeMs: 1000 });
  await check((note) => note.fill(600, 0), { fromMs: 700, beforeMs: 1000 });
  await check((note) => note.add({ fromMs: -Infinity, beforeMs: 900.5 }), {
    fromMs: 0,
    beforeMs: 1000,
  });
  await check((note) => note.add({ fromMs: 800, beforeMs: 2000 }), { fromMs: 0, beforeMs: 2000 });
  await check((note) => note.clear(0), undefined);
  await check((note) => note.fill(5, 0), undefined);
});

t.test('a loss that is added while a refill runs is not forgotten with it', async (t) => {
  const check = async (
    before: Loss,
    filledMs: number | undefined,
    added: Loss,
    expected: Loss,
  ): Promise<void> => {
    const disk = await emptyDisk();
    const note = await open(disk);
    await note.add(before);
    const { addedCount } = note;
    if (filledMs !== undefined) await note.fill(filledMs, addedCount);
    const adding = note.add(added);
    await note.fill(before.beforeMs, addedCount);
    await note.clear(addedCount);
    await adding;
    t.strictSame(note.current, expected);
    t.strictSame((await open(disk)).current, expected);
    await note.fill(expected.beforeMs, note.addedCount);
    await note.clear(note.addedCount);
    t.equal(note.current, undefined, 'a refill that began after it');
  };
  const newer = { fromMs: 1000, beforeMs: 2000 };
  const older = { fromMs: 10, beforeMs: 20 };
  const both = { fromMs: 10, beforeMs: 2000 };
  await check(newer, undefined, older, both);
  await check(newer, 1500, older, both);
  await check({ fromMs: 0, beforeMs: 2000 }, 500, older, both); // it had been filled already
  await check(newer, 1500, newer, newer); // the very same once more
  await check(newer, undefined, { fromMs: 1500, beforeMs: 1600 }, newer);
});

t.test('a note that cannot be read stands for everything until now', async (t) => {
  for (const text of [
    '',
    '{',
    '{"fromMs":-1,"beforeMs":5}\n',
    `{"fromMs":1,"beforeMs":${'9'.repeat(20)}}\n`,
  ]) {
    const disk = await emptyDisk();
    disk.putFile(`${DIRECTORY}/LOSS`, Buffer.from(text));
    t.strictSame((await open(disk)).current, { fromMs: 0, beforeMs: 9000 }, text);
  }
});

t.test('whichever disk call fails, the note holds what it held or what was asked', async (t) => {
  for (let n = 1, hasFailed = true; hasFailed; n++) {
    const disk = await emptyDisk();
    const note = await open(disk);
    await note.add({ fromMs: 1, beforeMs: 10 });
    const from = disk.calls.length;
    disk.failWhen = () => disk.calls.length - from === n;
    hasFailed = await note.add({ fromMs: 0, beforeMs: 20 }).then(
      () => false,
      () => true,
    );
    disk.failWhen = () => false;
    const { current } = note;
    if (n % 2 === 0) {
      await note.add({ fromMs: 0, beforeMs: 30 });
      t.equal(note.current?.beforeMs, 30, 'it goes on');
      continue;
    }
    const kept = (await open(disk.losePower())).current?.beforeMs;
    t.ok(kept === 20 || (hasFailed && kept === 10), `call ${n}`);
    t.equal(current?.beforeMs, hasFailed ? 10 : 20);
  }
});
