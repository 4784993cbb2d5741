// Goal: the chunks of a head depend on its samples alone, not on when somebody looked at them; its index
// finds what matches. Method: random series into two heads, one of which is read after random appends,
// and equal chunk bytes; random pairs and matchers, and a naive filter.
import assert from 'node:assert';
import fc from 'fast-check';
import t from 'tap';
import { labelsFromPairs } from '../../model/labels.ts';
import { compileMatcher } from '../../model/matchers.ts';
import { encodeLabels } from '../../model/wire/labels-codec.ts';
import type { Deletion } from '../../storage/deletion/deletion.ts';
import { Bitmap } from '../../storage/head/bitmap.ts';
import {
  APPENDED,
  BLOCK_RANGE_MS,
  CONFLICT,
  DUPLICATE,
  Head,
  OUT_OF_ORDER,
  cutTime,
} from '../../storage/head/head.ts';
import { Postings } from '../../storage/head/postings.ts';
import { selectFrames } from '../../storage/head/select.ts';
import { SeriesOfRef } from '../../storage/head/series-of-ref.ts';
import { NO_CHUNK } from '../../storage/head/series-table.ts';
import { Pacer } from '../../storage/pacer.ts';
import { FakeClock } from '../support/fake-clock.ts';

const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const START_MS = 1_700_000_000_000;

function headOfOne(): Head {
  const head = new Head();
  const labels = encodeLabels(labelsFromPairs([['__name__', 'up']]));
  head.addSeries(Uint32Array.of(1, 0x9e37_79b1, 3, 4), 0, labels, 1);
  return head;
}

function append(head: Head, timeMs: number, value: number): number {
  const timestamps = Float64Array.of(timeMs);
  return head.append(0, { timestamps, values: new Uint32Array(Float64Array.of(value).buffer) }, 0);
}

/** Every chunk of the series, newest first: its times and bytes. */
function chunksOf(head: Head): string[] {
  const { arena, chunks, series } = head;
  const hex = (handle: number, length: number): string =>
    Buffer.from(arena.slab(handle))
      .subarray(arena.offset(handle), arena.offset(handle) + length)
      .toString('hex');
  const found: string[] = [];
  if (head.completeOpenChunk(0)) {
    const byteLength = (series.xor.bitLength[0]! + 7) >>> 3;
    found.push(`${series.openMinTime[0]!} ${hex(series.openHandle[0]!, byteLength)}`);
  }
  for (let c = series.newestChunk[0]!; c !== NO_CHUNK; c = chunks.older[c]!) {
    const bytes = hex(chunks.handle[c]!, chunks.byteLength[c]!);
    found.push(`${chunks.minTime[c]!}..${chunks.maxTime[c]!} ${bytes}`);
  }
  return found;
}

t.test(`completeOpenChunk() between appends changes no chunk (seed ${seed})`, async (t) => {
  const step = fc.oneof(
    { weight: 20, arbitrary: fc.constant(15_000) },
    { weight: 3, arbitrary: fc.integer({ min: 1, max: 60_000 }) },
    { weight: 1, arbitrary: fc.integer({ min: 60_000, max: 4 * 3_600_000 }) },
  );
  // Doubles without pattern fill a chunk's bytes before its time is over.
  const value = fc.oneof(fc.double({ noNaN: true }), fc.integer({ min: 0, max: 9 }));
  const samples = fc.array(fc.tuple(step, value, fc.boolean()), { minLength: 1, maxLength: 400 });
  fc.assert(
    fc.property(samples, (steps) => {
      const read = headOfOne();
      const unread = headOfOne();
      let timeMs = START_MS;
      for (const [stepMs, sample, isRead] of steps) {
        timeMs += stepMs;
        append(read, timeMs, sample);
        append(unread, timeMs, sample);
        if (isRead) read.completeOpenChunk(0);
      }
      t.strictSame(chunksOf(read), chunksOf(unread));
    }),
    { seed, numRuns: 60 },
  );
});

t.test(
  'cutTime() divides each two hours into as many chunks as pieces, none under half a piece',
  async (t) => {
    const start = Math.floor(START_MS / BLOCK_RANGE_MS) * BLOCK_RANGE_MS;
    const check = (intervalMs: number, offsetMs: number, minutes: readonly number[]): void => {
      const ends: number[] = [];
      for (let at = start; at < start + BLOCK_RANGE_MS;) {
        const end = cutTime(at, intervalMs, offsetMs);
        assert(end > at, 'a chunk of nothing');
        ends.push((at = end));
      }
      t.same(
        ends.map((end) => (end - start) / 60_000),
        minutes,
        `${intervalMs} ms, ${offsetMs / 60_000} min`,
      );
    };
    const minute = 60_000; // two hours in Unix time are a multiple of all pieces, so offsets are from there
    check(15_000, 0, [30, 60, 90, 120]);
    check(15_000, 5 * minute, [35, 65, 95, 120]);
    check(15_000, 14 * minute, [44, 74, 104, 120]);
    check(15_000, 15 * minute, [15, 45, 75, 120]);
    check(15_000, 16 * minute, [16, 46, 76, 120]);
    check(15_000, 29 * minute, [29, 59, 89, 120]);
    check(30_000, 20 * minute, [80, 120]);
    check(30_000, 40 * minute, [40, 120]);
    check(60_000, 40 * minute, [120]);
    check(600_000, 50 * minute, [120]);
    check(600_000, 70 * minute, [120]);
  },
);

t.test('SeriesOfRef finds what was set, and takes memory by series, not by refs', async (t) => {
  const refs = new SeriesOfRef();
  const check = (ref: number, expected: number): boolean => t.equal(refs.get(ref), expected);
  const far = [5000, 1023, 1024, 2 ** 32, 2 ** 52];
  for (const [s, ref] of far.entries()) refs.set(ref, s);
  for (const [s, ref] of far.entries()) check(ref, s);
  for (let i = 0; i < 3000; i++) refs.set(10_000 + i, i); // the column reaches them in time
  for (let i = 0; i < 3000; i += 500) check(10_000 + i, i);
  for (const [s, ref] of far.entries()) check(ref, s);
  for (const ref of [0, 1, 1025, 9999, 13_000, 2 ** 40]) check(ref, -1);
  refs.set(5000, 77);
  check(5000, 77);
});

t.test('append() compares a sample with what the series has, encoded or not', async (t) => {
  for (const isRead of [false, true]) {
    const head = headOfOne();
    for (let i = 0; i < 5; i++) append(head, START_MS + i * 15_000, i);
    if (isRead) head.completeOpenChunk(0);
    const check = (timeMs: number, value: number, expected: number): void =>
      void t.equal(append(head, START_MS + timeMs, value), expected, `${timeMs} ${isRead}`);
    check(60_000, 4, DUPLICATE);
    check(60_000, 5, CONFLICT);
    check(30_000, 2, DUPLICATE);
    check(30_000, 3, CONFLICT);
    check(30_001, 2, OUT_OF_ORDER);
    check(-1, 0, OUT_OF_ORDER);
    check(75_000, 5, APPENDED);
    t.equal(head.samplesAppended, 6);
  }
});

t.test('overlaps() and oldestTimeOf() know samples that are not encoded yet', async (t) => {
  const check = (minTimeMs: number, maxTimeMs: number, expected: boolean): void => {
    const head = headOfOne();
    t.equal(head.overlaps(0, 0, Number.MAX_SAFE_INTEGER), false, 'no sample, no overlap');
    for (let i = 0; i < 3; i++) append(head, 1000 + i * 100, i);
    t.equal(head.overlaps(0, minTimeMs, maxTimeMs), expected, `${minTimeMs}..${maxTimeMs}`);
    t.equal(head.oldestTimeOf(0), 1000);
  };
  check(0, 999, false);
  check(0, 1000, true);
  check(1200, 1300, true);
  check(1100, 1150, true);
  check(1201, 1300, false);
});

t.test(`Postings.match() finds what a naive filter finds (seed ${seed})`, async () => {
  const pair = fc.record({
    a: fc.constantFrom('', 'x', 'y', 'xy'),
    b: fc.constantFrom('', 'x', 'z'),
  });
  const matcher = fc.record({
    name: fc.constantFrom('a', 'b', 'c'),
    type: fc.constantFrom('=', '!=', '=~', '!~'),
    value: fc.constantFrom('', 'x', 'z', 'x.*', 'x|y', '.+', '.*'),
  });
  const series = fc.uniqueArray(fc.tuple(fc.nat(200), pair, fc.boolean()), {
    selector: ([s]) => s, // numbers that were used before come in any order
    maxLength: 60,
  });
  const selector = fc.array(matcher, { minLength: 1, maxLength: 3 });
  fc.assert(
    fc.property(series, selector, (all, matchers) => {
      const postings = new Postings();
      const removed = new Bitmap(201);
      const kept = new Bitmap(201);
      for (const [s, { a, b }, isKept] of all) {
        const labels = [...(a === '' ? [] : ['a', a]), ...(b === '' ? [] : ['b', b])];
        postings.add(s, labels);
        (isKept ? kept : removed).add(s);
      }
      const values = new Set(['x', 'y', 'xy', 'z']);
      const pairs = new Map(['a', 'b', 'other'].map((name) => [name, values]));
      postings.remove(removed, pairs);
      const compiled = matchers.map(compileMatcher);
      const found = kept.copy();
      for (const _ of postings.match(compiled, found)) continue;
      const expected = all
        .filter(([, labels, isKept]) => {
          const valueOf: Record<string, string> = labels;
          return isKept && compiled.every((one) => one.matches(valueOf[one.matcher.name] ?? ''));
        })
        .map(([s]) => s)
        .sort((one, other) => one - other);
      assert.deepEqual([...found.toArray()], expected);
    }),
    { seed, numRuns: 500 },
  );
});

t.test('Postings.match() pauses in a label of many values, and goes on where it was', async (t) => {
  const postings = new Postings();
  const all = new Bitmap(4500);
  for (let s = 0; s < 4500; s++) {
    postings.add(s, ['pod', `pod-${s}`]);
    all.add(s);
  }
  const check = (type: '!~' | '=~', expected: (s: number) => boolean): void => {
    const found = all.copy();
    const matcher = compileMatcher({ name: 'pod', type, value: '(?:[a-z]|-)+.*[13579]' });
    const pauses = [...postings.match([matcher], found)].length;
    t.ok(pauses >= 2, `${pauses} pauses`);
    const numbers = Array.from({ length: 4500 }, (_, s) => s).filter(expected);
    t.same([...found.toArray()], numbers, type);
  };
  check('=~', (s) => s % 2 === 1);
  check('!~', (s) => s % 2 === 0);
});

t.test(
  'while chunks are dropped the head tells what is there, and nothing that was deleted',
  async (t) => {
    const head = new Head();
    const hourMs = 3_600_000;
    for (let s = 0; s < 2500; s++) {
      const labels = encodeLabels(
        labelsFromPairs([
          ['__name__', 'up'],
          ['i', String(s)],
        ]),
      );
      head.addSeries(Uint32Array.of(s, s, s, s), 0, labels, s + 1);
      const timestamps = Float64Array.from({ length: 4 }, (_, hour) => START_MS + hour * hourMs);
      const samples = { timestamps, values: new Uint32Array(8) };
      for (let hour = 0; hour < 4; hour++) head.append(s, samples, hour);
    }
    const range = { minTimeMs: START_MS, maxTimeMs: START_MS + 4 * hourMs };
    const up: Deletion = {
      id: 'up',
      selectors: [[{ name: '__name__', type: '=', value: 'up' }]],
      range,
    };
    const told = (): number => {
      const cursor = selectFrames(head, [], range, undefined, [up]);
      return [...cursor].filter((frame) => frame !== undefined).length;
    };
    let pauses = 0;
    for (const _ of head.dropBefore(START_MS + 2 * hourMs)) {
      t.equal(told(), 0, `in pause ${pauses++}`);
      t.equal(head.minTimeMs, START_MS, 'what is not dropped yet may be as old as before');
    }
    t.ok(pauses > 1);
    t.equal(head.minTimeMs, START_MS + 2 * hourMs);
    t.equal(told(), 0);
  },
);

t.test('what is appended while chunks are dropped counts afterwards', async (t) => {
  const head = headOfOne();
  append(head, START_MS, 1);
  append(head, START_MS + 10_000_000, 2);
  const cursor = head.dropBefore(START_MS + 5_000_000);
  cursor.next();
  const labels = encodeLabels(labelsFromPairs([['__name__', 'new']]));
  head.addSeries(Uint32Array.of(7, 7, 7, 7), 0, labels, 2);
  const timestamps = Float64Array.of(START_MS + 6_000_000);
  head.append(1, { timestamps, values: new Uint32Array(2) }, 0);
  for (const _ of cursor) continue;
  t.equal(head.minTimeMs, START_MS + 6_000_000);
});

t.test('a read pauses by time where it is given a pacer, and misses nothing by it', async (t) => {
  const head = new Head();
  for (let n = 0; n < 1000; n++) {
    const labels = encodeLabels(labelsFromPairs([['__name__', `m${n}`]]));
    const s = head.addSeries(Uint32Array.of(n, 2, 3, 4), 0, labels, n + 1);
    head.append(s, { timestamps: Float64Array.of(START_MS), values: new Uint32Array(2) }, 0);
  }
  let nowMs = 0;
  const slow = new FakeClock();
  slow.monotonicMs = () => nowMs++; // each look at the clock takes a millisecond
  const range = { minTimeMs: 0, maxTimeMs: 2 ** 45 };
  const read = (pacer?: Pacer): readonly (Uint8Array | undefined)[] => [
    ...selectFrames(head, [], range, undefined, [], pacer),
  ];
  const framesOf = (steps: readonly (Uint8Array | undefined)[]): Buffer =>
    Buffer.concat(steps.filter((step) => step !== undefined));
  const paced = read(new Pacer(slow, undefined, 3));
  t.ok(paced.filter((step) => step === undefined).length >= 10);
  t.equal(read().filter((step) => step === undefined).length, 0);
  t.ok(framesOf(paced).equals(framesOf(read())));
});
