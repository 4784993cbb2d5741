/**
 * Goal: a replay tells what was promised and is gone from what a crash leaves unfinished, says so once,
 * and before it repairs anything. Method: logs written and synced by the log itself, then every cut, every
 * flipped bit, every missing file; and a failure of every disk call while a lost log is opened.
 */
import t, { type Test } from 'tap';
import type { DiskFile } from '../../platform/platform.ts';
import {
  PAIR_COUNT,
  SLOT_BYTES,
  SyncedLengths,
  readSyncedSegments,
} from '../../storage/wal/synced-lengths.ts';
import type { WalDamage } from '../../storage/wal/types.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import {
  type OpenedNode,
  WAL_PATH,
  idsOf,
  numberedRecord,
  openNode,
} from '../support/wal-contents.ts';

const FIRST = `${WAL_PATH}/00000000`;
const SECOND = `${WAL_PATH}/00000001`;
const THIRD = `${WAL_PATH}/00000002`;
const SYNCED = `${WAL_PATH}.synced`;

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

async function untilTrue(isTrue: () => boolean): Promise<void> {
  for (let turns = 0; turns < 2000 && !isTrue(); turns++) await turn();
}

/** Opens a log and collects what it says is lost. */
async function openNoting(
  disk: MemoryDisk,
): Promise<OpenedNode & { readonly losses: readonly (readonly WalDamage[])[] }> {
  const losses: (readonly WalDamage[])[] = [];
  const onLoss = (damage: readonly WalDamage[]): Promise<void> => {
    losses.push(damage);
    return Promise.resolve();
  };
  return Object.assign(await openNode(disk, { onLoss }), { losses });
}

/** A log of lives: each list is one life, each record of it acknowledged on its own. */
async function logOf(lives: readonly (readonly number[])[]): Promise<MemoryDisk> {
  let disk = new MemoryDisk();
  for (const ids of lives) {
    const { wal } = await openNode(disk);
    for (const id of ids) {
      wal.append(numberedRecord(id));
      await wal.durable();
    }
    await turn(); // the last length is written
    disk = disk.loseProcess();
  }
  return disk;
}

/** The bytes of records that are written together. */
async function batchOf(ids: readonly number[]): Promise<Buffer> {
  const disk = new MemoryDisk();
  const { wal } = await openNode(disk);
  for (const id of ids) wal.append(numberedRecord(id));
  await wal.durable();
  return disk.fileBytes(FIRST);
}

/** Opens after `harm`: whether a loss was told, and that the next opening tells none. */
async function lossAfter(
  t: Test,
  lives: readonly (readonly number[])[],
  harm: (disk: MemoryDisk) => Promise<void> | void,
): Promise<{ readonly isLoss: boolean; readonly ids: readonly number[] }> {
  const disk = await logOf(lives);
  await harm(disk);
  const first = await openNoting(disk);
  await first.wal.close();
  const second = await openNoting(disk.losePower());
  t.strictSame(second.losses, [], 'told once');
  t.strictSame(idsOf(second.contents), idsOf(first.contents), 'the repair keeps what was read');
  t.equal(first.losses.length, first.replayed.lossCount > 0 ? 1 : 0);
  return { isLoss: first.losses.length > 0, ids: idsOf(first.contents) };
}

t.test(
  'a log that ends before what was durable has lost something, wherever it is cut',
  async (t) => {
    const whole = (await logOf([[1, 2, 3]])).fileBytes(FIRST);
    for (let length = 0; length <= whole.length; length++) {
      const cut = whole.subarray(0, length);
      const { isLoss } = await lossAfter(t, [[1, 2, 3]], (disk) => disk.putFile(FIRST, cut));
      t.equal(isLoss, length < whole.length, `cut at ${length}`);
    }
  },
);

t.test('a flipped bit in what was durable is a loss; the records around it are kept', async (t) => {
  const whole = (await logOf([[1, 2, 3]])).fileBytes(FIRST);
  for (let at = 0; at < whole.length; at++) {
    const harmed = Buffer.from(whole);
    harmed[at] = harmed[at]! ^ (1 << (at % 8));
    const { isLoss } = await lossAfter(t, [[1, 2, 3]], (disk) => disk.putFile(FIRST, harmed));
    t.ok(isLoss, `byte ${at}`);
  }
});

t.test('what nobody was promised is no loss: torn ends, holes and zeros after it', async (t) => {
  const disk = await logOf([[1, 2]]);
  const durable = disk.fileBytes(FIRST);
  const whole = Buffer.concat([durable, await batchOf([3, 4])]); // on one page
  const holed = Buffer.from(whole);
  holed[durable.length + 12]! ^= 1;
  const check = async (bytes: Uint8Array, expected: readonly number[]): Promise<void> => {
    const { ids, isLoss } = await lossAfter(t, [[1, 2]], (d) => d.putFile(FIRST, bytes));
    t.strictSame([isLoss, ids], [false, expected]);
  };
  await check(whole.subarray(0, whole.length - 3), [1, 2, 3]);
  await check(holed, [1, 2, 4]);
  await check(Buffer.concat([durable, Buffer.alloc(5000)]), [1, 2]);
  await check(durable, [1, 2]);
});

t.test('an honest disk never makes a loss: killed or without power, at any moment', async (t) => {
  for (let calls = 1; calls < 60; calls++) {
    const disk = await logOf([[1], [2, 3]]);
    const from = disk.calls.length;
    let died = undefined as MemoryDisk | undefined; // set in a callback
    disk.failWhen = () => {
      if (disk.calls.length - from !== calls) return false;
      died = calls % 2 === 0 ? disk.losePower() : disk.loseProcess();
      return false;
    };
    const writing = (async () => {
      const { wal } = await openNode(disk);
      for (const id of [4, 5, 6]) {
        wal.append(numberedRecord(id));
        await wal.durable();
      }
    })();
    await Promise.race([writing, untilTrue(() => died !== undefined)]);
    const next = await openNoting(died ?? disk.losePower());
    t.strictSame(next.losses, [], `at call ${calls}`);
  }
});

t.test(
  'a bad place before a mark of a later batch is a loss also without the file of lengths',
  async (t) => {
    const one = (await logOf([[1]])).fileBytes(FIRST);
    const whole = (await logOf([[1, 2, 3]])).fileBytes(FIRST);
    for (const at of [7, 9, one.length - 1, whole.length - 2]) {
      const harmed = Buffer.from(whole);
      harmed[at]! ^= 4;
      const { isLoss } = await lossAfter(t, [[1, 2, 3]], async (disk) => {
        disk.putFile(FIRST, harmed);
        await disk.remove(SYNCED);
        await disk.syncDirectory('/');
      });
      if (at < one.length - 24) t.ok(isLoss, `byte ${at}`);
      if (at >= whole.length - 24) t.notOk(isLoss, `byte ${at}: the last batch`);
    }
  },
);

t.test('segments that are gone are a loss, the last one too', async (t) => {
  const lives = [[1], [2], [3]];
  const without =
    (path: string) =>
    async (disk: MemoryDisk): Promise<void> => {
      await disk.remove(path);
      await disk.syncDirectory(path.slice(0, path.lastIndexOf('/')) || '/');
    };
  t.match(await lossAfter(t, lives, without(FIRST)), { isLoss: true, ids: [2, 3] });
  t.match(await lossAfter(t, lives, without(SECOND)), { isLoss: true, ids: [1, 3] });
  t.match(await lossAfter(t, lives, without(THIRD)), { isLoss: true, ids: [1, 2] });
  t.match(await lossAfter(t, lives, without(SYNCED)), { isLoss: false, ids: [1, 2, 3] });
  const shorter = await lossAfter(t, lives, (disk) => disk.putFile(SECOND, Buffer.alloc(0)));
  t.match(shorter, { isLoss: true, ids: [1, 3] });
});

t.test(
  'a file of lengths of which both slots of a pair are damaged vouches for nothing',
  async (t) => {
    const lives = [
      [1, 2],
      [3, 4],
    ];
    const flipping =
      (...places: readonly number[]) =>
      (disk: MemoryDisk): void => {
        const bytes = Buffer.from(disk.fileBytes(SYNCED));
        for (const at of places) bytes[at] = bytes[at]! ^ 0x10;
        disk.putFile(SYNCED, bytes);
      };
    for (let at = 0; at < 4 * SLOT_BYTES; at++) {
      t.match(await lossAfter(t, lives, flipping(at)), { isLoss: false, ids: [1, 2, 3, 4] });
    }
    for (const at of [0, 4, 8, 15, 32, 40]) {
      const harmed = await lossAfter(t, lives, flipping(at, at + SLOT_BYTES));
      t.match(harmed, { isLoss: true, ids: [1, 2, 3, 4] }, `bytes ${at} and ${at + SLOT_BYTES}`);
    }
    const disk = new MemoryDisk();
    const isDamaged = async (bytes: Uint8Array): Promise<boolean> => {
      disk.putFile(SYNCED, bytes);
      return (await readSyncedSegments(disk, SYNCED)).isDamaged;
    };
    t.equal(await isDamaged(Buffer.alloc(2 * SLOT_BYTES, 7)), true);
    t.equal(await isDamaged(Buffer.alloc(2 * SLOT_BYTES * PAIR_COUNT)), false);
    t.equal(await isDamaged(Buffer.alloc(2 * SLOT_BYTES * PAIR_COUNT + 1)), true);
  },
);

t.test('a slot that is damaged says nothing; the other one of its pair still does', async (t) => {
  const one = (await logOf([[1]])).fileBytes(FIRST).length;
  const whole = (await logOf([[1, 2]])).fileBytes(FIRST);
  const check = async (length: number, expected: boolean): Promise<void> => {
    const { isLoss } = await lossAfter(t, [[1, 2]], (disk) => {
      const lengths = Buffer.from(disk.fileBytes(SYNCED));
      lengths[SLOT_BYTES + 4]! ^= 1;
      disk.putFile(SYNCED, lengths);
      disk.putFile(FIRST, whole.subarray(0, length));
    });
    t.equal(isLoss, expected, `cut at ${length}`);
  };
  await check(one - 1, true);
  await check(one, false);
  await check(whole.length, false);
});

t.test(
  'a loss is noted before it is repaired, whichever disk call fails or crash comes',
  async (t) => {
    let hasFailed = true;
    for (let n = 1; hasFailed; n++) {
      const disk = await logOf([[1], [2, 3]]);
      const harmed = Buffer.from(disk.fileBytes(FIRST));
      harmed[20] = harmed[20]! ^ 1;
      disk.putFile(FIRST, harmed);
      disk.putFile(SECOND, disk.fileBytes(SECOND).subarray(0, 30));
      const noted: unknown[] = [];
      const onLoss = (damage: unknown): Promise<void> => {
        noted.push(damage);
        return Promise.resolve();
      };
      const from = disk.calls.length;
      disk.failWhen = () => disk.calls.length - from === n;
      hasFailed = await openNode(disk, { onLoss }).then(
        () => disk.calls.length - from >= n,
        () => true,
      );
      disk.failWhen = () => false;
      const next = await openNoting(n % 2 === 0 ? disk.losePower() : disk.loseProcess());
      t.ok(
        noted.length + next.losses.length > 0,
        `call ${n}: ${disk.calls[from + n - 1]?.kind ?? ''}`,
      );
      t.ok(n < 200, 'it comes to an end');
    }
  },
);

/** A file whose writes come down as `outcomes` say; `whatMayBeThere` is all that a loss of power may leave. */
class FlakyFile implements DiskFile {
  readonly path = SYNCED;
  readonly #outcomes: boolean[];
  #pending: { readonly bytes: Uint8Array; readonly offset: number }[] = [];
  #durable: Uint8Array = new Uint8Array(0);

  constructor(outcomes: readonly boolean[]) {
    this.#outcomes = [...outcomes];
  }

  async write(bytes: Uint8Array, offset: number): Promise<void> {
    const isWhole = this.#outcomes.shift() ?? true;
    this.#pending.push({ bytes: isWhole ? bytes : bytes.subarray(0, 7), offset });
    if (!isWhole) throw new Error('ENOSPC');
  }

  async sync(): Promise<void> {
    this.#durable = this.#with(this.#pending);
    this.#pending = [];
  }

  /** Every choice of the writes that were not synced; the last one is all of them. */
  whatMayBeThere(): Buffer[] {
    const choices = Array.from({ length: 2 ** this.#pending.length }, (_, choice) => choice);
    return choices.map((choice) => this.#with(this.#pending.filter((_, i) => (choice >> i) & 1)));
  }

  #with(writes: readonly { readonly bytes: Uint8Array; readonly offset: number }[]): Buffer {
    const ends = writes.map(({ bytes, offset }) => offset + bytes.length);
    const all = Buffer.alloc(Math.max(this.#durable.length, ...ends));
    all.set(this.#durable);
    for (const { bytes, offset } of writes) all.set(bytes, offset);
    return all;
  }

  close = (): Promise<void> => Promise.resolve();
  truncate = (): Promise<void> => Promise.resolve();
  read = (): Promise<Uint8Array> => Promise.resolve(new Uint8Array());
  readNow = (): Uint8Array => new Uint8Array();
}

t.test('lengths that a disk took in part are no damage, with or without power', async (t) => {
  const notes = [10, 20, 30, 40, 50];
  const wrong: string[] = [];
  for (let bits = 0; bits < 2 ** notes.length; bits++) {
    const outcomes = notes.map((_, i) => ((bits >> i) & 1) === 0);
    const disk = new MemoryDisk();
    const file = new FlakyFile(outcomes);
    disk.open = async () => file;
    const synced = new SyncedLengths(disk, SYNCED);
    let whole: number | undefined;
    for (const [i, byteCount] of notes.entries()) {
      await synced.open();
      synced.note(0, byteCount);
      await synced.close();
      if (outcomes[i]) whole = byteCount;
      const left = file.whatMayBeThere();
      for (const [choice, bytes] of left.entries()) {
        disk.putFile(SYNCED, bytes);
        const { isDamaged, lengths } = await readSyncedSegments(disk, SYNCED);
        if (isDamaged) wrong.push(`damaged: ${outcomes.join()} at ${i}, of which ${choice}`);
        const isAll = choice === left.length - 1;
        if (isAll && lengths.get(0) !== whole) wrong.push(`older: ${outcomes.join()} at ${i}`);
      }
    }
  }
  t.strictSame(wrong, []);
});

t.test('notes wait for the write before them, the newest of each segment', async (t) => {
  const disk = new MemoryDisk();
  const synced = new SyncedLengths(disk, SYNCED);
  await synced.open();
  const from = disk.countOf('write');
  for (const byteCount of [10, 20, 30]) synced.note(0, byteCount);
  for (let segment = 1; segment <= 9; segment++) synced.note(segment, 5);
  synced.note(0, 40);
  await synced.close();
  t.ok(disk.countOf('write') - from <= 5, 'bounded');
  const { lengths } = await readSyncedSegments(disk, SYNCED);
  t.equal(lengths.get(0), 40);
});
