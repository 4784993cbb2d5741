// Goal: a head finds the same series whether or not it was asked before.
// Method: series come and go at random between questions, and a naive filter.
import fc from 'fast-check';
import t from 'tap';
import { type Labels, labelValue, labelsFromPairs, labelsKey } from '../../model/labels.ts';
import { type Selectors, compileMatcher } from '../../model/matchers.ts';
import { encodeLabels } from '../../model/wire/labels-codec.ts';
import { Head } from '../../storage/head/head.ts';
import { matchSeries } from '../../storage/head/select.ts';
import { refusal } from '../support/refusal.ts';
import { fingerprintOf } from '../support/toy-tsdb.ts';

const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const START_MS = 1_700_000_000_000;
const EVERYTHING = { minTimeMs: 0, maxTimeMs: 2 ** 45 };
/** More of them at once are not asked one by one. */
const MANY = 300;

function seriesOf(n: number): Labels {
  return labelsFromPairs([
    ['__name__', `m${n % 3}`],
    ['job', n % 5 === 0 ? '' : `j${n % 7}`],
    ['n', String(n)],
  ]);
}

function fingerprintWords(labels: Labels): Uint32Array {
  const words = new Uint32Array(4);
  fingerprintOf(encodeLabels(labels), words);
  return words;
}

function add(head: Head, n: number, timeMs: number): void {
  const labels = seriesOf(n);
  const words = fingerprintWords(labels);
  const known = head.series.find(words, 0);
  const s = known >= 0 ? known : head.addSeries(words, 0, encodeLabels(labels), n + 1);
  const values = new Uint32Array(Float64Array.of(n).buffer);
  head.append(s, { timestamps: Float64Array.of(timeMs), values }, 0);
}

function drained<Result>(work: Generator<unknown, Result>): Result {
  for (;;) {
    const step = work.next();
    if (step.done === true) return step.value;
  }
}

function found(head: Head, selectors: Selectors): readonly string[] {
  const numbers = drained(matchSeries(head, selectors, EVERYTHING));
  return Array.from(numbers, (s) => labelsKey(head.labelsOf(s))).sort();
}

function expected(alive: ReadonlySet<number>, selectors: Selectors): readonly string[] {
  const compiled = selectors.map((matchers) => matchers.map(compileMatcher));
  return [...alive]
    .map(seriesOf)
    .filter((labels) =>
      compiled.some((all) => all.every((one) => one.matches(labelValue(labels, one.matcher.name)))),
    )
    .map((labels) => labelsKey(labels))
    .sort();
}

const SELECTORS: readonly Selectors[] = [
  [[{ name: '__name__', type: '=', value: 'm1' }]],
  [[{ name: 'job', type: '=', value: '' }]],
  [
    [
      { name: '__name__', type: '=~', value: 'm[02]' },
      { name: 'job', type: '!~', value: 'j[1-3]' },
    ],
  ],
  [[{ name: 'job', type: '=', value: 'j4' }], [{ name: 'n', type: '=~', value: '1.*' }]],
];

t.test(`matchSeries() finds what a naive filter finds, however often (seed ${seed})`, async (t) => {
  const from = fc.nat(900);
  const count = fc.oneof(fc.integer({ min: 1, max: 20 }), fc.constant(MANY));
  const step = fc.oneof(
    fc.record({ type: fc.constant('come' as const), from, count }),
    fc.record({ type: fc.constant('go' as const), from, count }),
    fc.record({ type: fc.constant('ask' as const), from: fc.nat(SELECTORS.length - 1), count }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 25 }), (steps) => {
      const head = new Head();
      const alive = new Set<number>();
      let timeMs = START_MS;
      for (const { count, from, type } of steps) {
        timeMs += 1000;
        if (type === 'ask')
          t.same(found(head, SELECTORS[from]!), expected(alive, SELECTORS[from]!));
        else if (type === 'come') {
          for (let n = from; n < from + count; n++) {
            add(head, n, timeMs);
            alive.add(n);
          }
        } else {
          for (let n = from; n < from + count; n++) alive.delete(n);
          for (const n of alive) add(head, n, timeMs); // what is not written to any more goes
          drained(head.dropBefore(timeMs));
        }
      }
      for (const selectors of SELECTORS) t.same(found(head, selectors), expected(alive, selectors));
    }),
    { seed, numRuns: Number(process.env['RUNS'] ?? 60) },
  );
});

t.test('a number that a new series got does not stand for the old one', async (t) => {
  const head = new Head();
  add(head, 1, START_MS);
  const selectors: Selectors = [[{ name: 'n', type: '=', value: '1' }]];
  t.equal(found(head, selectors).length, 1);
  drained(head.dropBefore(START_MS + 1));
  add(head, 2, START_MS + 2);
  t.equal(head.series.length, 1, 'the number is used again');
  t.same(found(head, selectors), []);
});

t.test('a bad regular expression is refused each time', async (t) => {
  const head = new Head();
  add(head, 1, START_MS);
  const bad: Selectors = [[{ name: 'n', type: '=~', value: '(' }]];
  for (let i = 0; i < 2; i++) t.throws(() => found(head, bad), refusal('query.parse'));
});

/** Steps a read to its end; `inPause` runs at its first pause. */
function paused<Result>(work: Generator<unknown, Result>, inPause: () => void): Result {
  for (let pauses = 0; ; pauses++) {
    const step = work.next();
    if (step.done === true) return step.value;
    if (pauses === 0) inPause();
  }
}

t.test('a series that gets a number in the pause of a read is not in its answer', async (t) => {
  const head = new Head();
  const [count, gone] = [9000, 15]; // more than a read looks at before it pauses
  const selectors: Selectors = [[{ name: 'n', type: '=~', value: '.+' }]];
  for (let n = 0; n < count; n++) add(head, n, START_MS);
  t.equal(found(head, selectors).length, count, 'remembered');
  for (let n = 0; n < count - gone; n++) add(head, n, START_MS + 1000);
  drained(head.dropBefore(START_MS + 1000));
  const read = matchSeries(head, selectors, EVERYTHING);
  const numbers = paused(read, () => {
    for (let n = count; n < count + gone; n++) add(head, n, START_MS + 2000);
  });
  t.equal(head.series.length, count, 'numbers are used again');
  t.equal(numbers.length, count - gone);
});

t.test('a match that paused while a series came is not remembered without it', async (t) => {
  const head = new Head();
  const count = 30_000; // more than one slice of a regular expression
  for (let n = 0; n < count; n++) add(head, n, START_MS);
  const selectors: Selectors = [[{ name: 'n', type: '=~', value: '.*[05]9' }]];
  let pauses = 0;
  paused(matchSeries(head, selectors, EVERYTHING), () => {
    pauses++;
    add(head, 1_000_059, START_MS);
  });
  t.equal(pauses, 1);
  t.equal(found(head, selectors).length, count / 50, 'all that end so, but 9, and the new one');
});
