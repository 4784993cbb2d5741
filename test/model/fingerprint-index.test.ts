import fc from 'fast-check';
import t from 'tap';
import { growTable, grown } from '../../model/columns.ts';
import { FingerprintIndex } from '../../model/fingerprint-index.ts';
import { SeriesTable } from '../../storage/head/series-table.ts';

const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const ROWS_MAX = 3000;

/** A table of rows, some of which share their first word or the slots that it points to. */
function tableOf(): {
  readonly prints: Uint32Array;
  readonly wordsOf: (row: number) => Uint32Array;
} {
  const prints = new Uint32Array(ROWS_MAX * 4);
  const wordsOf = (row: number): Uint32Array => {
    const first = row % 7 === 0 ? 0xffff_ffff : Math.imul(row >>> 1, 0x9e37_79b1) >>> 0;
    return Uint32Array.of(first, row, 5, row % 3);
  };
  return { prints, wordsOf };
}

/** `count` rows come, or go: the oldest or the youngest. */
const steps = fc.array(
  fc.record({
    kind: fc.constantFrom('add', 'add', 'add', 'oldest', 'youngest'),
    count: fc.integer({ min: 1, max: 300 }),
  }),
  { maxLength: 20 },
);

t.test(`a row is found from when it was added until it was removed (seed ${seed})`, async () => {
  fc.assert(
    fc.property(steps, (all) => {
      const { prints, wordsOf } = tableOf();
      const index = new FingerprintIndex();
      const rows: number[] = [];
      let next = 0;
      for (const { kind, count } of all) {
        for (let i = 0; i < count; i++) {
          if (kind === 'add' && next < ROWS_MAX) {
            prints.set(wordsOf(next), next * 4);
            index.add(prints, next);
            rows.push(next++);
          } else if (kind !== 'add' && rows.length > 0) {
            const row = kind === 'oldest' ? rows.shift() : rows.pop();
            if (row !== undefined) index.remove(prints, row);
          }
        }
        if (index.count !== rows.length) return false;
        const there = new Set(rows);
        for (let row = 0; row < ROWS_MAX; row++) {
          if (index.find(prints, wordsOf(row), 0) !== (there.has(row) ? row : -1)) return false;
        }
      }
      return true;
    }),
    { seed, numRuns: 60 },
  );
});

t.test(
  'a large table takes its room at once, and twice as much as before where it cannot',
  async (t) => {
    const check = (
      rows: number,
      room: number,
      addresses: number,
      expected: readonly number[],
    ): void => {
      const tried: number[] = [];
      const capacity = growTable(rows, room, (wanted) => {
        tried.push(wanted);
        if (wanted > addresses) throw new RangeError('Array buffer allocation failed');
      });
      t.same([...tried, capacity], expected, `${rows} rows`);
    };
    check(64, 1 << 22, Infinity, [128, 128]);
    check(1 << 14, 1 << 22, Infinity, [1 << 22, 1 << 22]);
    check(1 << 14, 1 << 22, 1 << 20, [1 << 22, 1 << 15, 1 << 15]);
    check(1 << 22, 1 << 22, Infinity, [1 << 23, 1 << 23]);
    t.throws(() => check(1 << 14, 1 << 22, 0, []), RangeError);
    const failing = (): void => {
      throw new TypeError('another');
    };
    t.throws(() => growTable(1 << 14, 1 << 22, failing), TypeError);
    t.same([...grown(Uint16Array, Uint16Array.of(1, 2), 4)], [1, 2, 0, 0]);
    t.same([...grown(Uint16Array, Uint16Array.of(1, 2, 0, 0, 0), 4)], [1, 2, 0, 0]);
  },
);

/** Runs with shared memory of so many bytes in all, of which nothing comes back. */
function withSharedBytes(bytes: number, run: () => void): void {
  const Real = globalThis.SharedArrayBuffer;
  let left = bytes;
  const Limited = new Proxy(Real, {
    construct(target, [length]: [number]) {
      if (length > left) throw new RangeError('Array buffer allocation failed');
      left -= length;
      return new target(length);
    },
  });
  globalThis.SharedArrayBuffer = Limited;
  try {
    run();
  } finally {
    globalThis.SharedArrayBuffer = Real;
  }
}

t.test('series are kept where there is memory for some of the larger columns only', async (t) => {
  const wordsOf = (s: number): Uint32Array =>
    Uint32Array.of(Math.imul(s, 0x9e37_79b1) >>> 0, s, 3, 4);
  const check = (sharedBytes: number, expected: 'all' | 'some'): void => {
    const table = new SeriesTable();
    const refused: number[] = [];
    const reasons = new Set<string>();
    withSharedBytes(sharedBytes, () => {
      for (let s = 0; s < 40_000; s++) {
        try {
          table.add(wordsOf(s), 0, s + 1);
        } catch (error) {
          reasons.add(String(error));
          refused.push(s);
        }
      }
    });
    t.equal(refused.length > 0 ? 'some' : 'all', expected, `${sharedBytes} bytes`);
    if (reasons.size > 0) t.same([...reasons], ['RangeError: Array buffer allocation failed']);
    const first = refused[0] ?? 40_000;
    t.equal(table.count, first);
    t.equal(table.length, first);
    let found = 0;
    for (let s = 0; s < 40_000; s++) if (table.find(wordsOf(s), 0) === s) found++;
    t.equal(found, first);
  };
  check(2 ** 31, 'all');
  check(600 * 2 ** 20, 'all'); // most columns of four million
  check(2 ** 23, 'some'); // nor twice as many as before
});
