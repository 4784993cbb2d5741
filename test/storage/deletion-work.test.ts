/**
 * Goal: what requests to delete cost a read at once is bounded, whatever their regular expressions are.
 * Method: counted matches of expressions that are slow.
 */
import t from 'tap';
import { RE2JS } from 're2js';
import { labelsFromPairs } from '../../model/labels.ts';
import { encodeLabels } from '../../model/wire/labels-codec.ts';
import type { Deletion } from '../../storage/deletion/deletion.ts';
import { deletionsTouching } from '../../storage/deletion/touching.ts';
import {
  MatchMemory,
  MatcherVerdicts,
  VERDICTS_COST_MAX,
} from '../../storage/deletion/verdicts.ts';
import { TenantExemplars } from '../../storage/exemplar-appender.ts';
import { Head } from '../../storage/head/head.ts';
import { EVERYTHING } from '../support/toy-tsdb.ts';

/** Characters times parts of all slow matches and compilations. */
let work = 0;
const matches = Reflect.get(RE2JS.prototype, 'matches');
RE2JS.prototype.matches = function counted(this: RE2JS, value: string): boolean {
  work += this.pattern().length * value.length;
  return matches.call(this, value);
};
const compile = RE2JS.compile.bind(RE2JS);
let compiledCount = 0;
RE2JS.compile = (...args): RE2JS => {
  compiledCount++;
  return compile(...args);
};
/** Of one turn: more than what is allowed, by one selector. */
const WORK_MAX = 500_000;

/** That nothing of `value` matches; each is slow. */
function slowDeletions(count: number, name: string, alternatives: number): readonly Deletion[] {
  return Array.from({ length: count }, (_unused, i) => {
    const parts = Array.from({ length: alternatives }, (_part, k) => `${name}${i}w${k}.*`);
    const value = `(${parts.join('|')})`;
    return {
      id: `${name}${i}`,
      selectors: [[{ name: 'path', type: '=~', value }]],
      range: EVERYTHING,
    };
  });
}

const value = `/api/v1/${'abcdefgh'.repeat(8)}`;
const read = [[{ name: 'path', type: '=', value }]] as const;

t.test(
  'a read does so much work to find out what touches it; the next ones go on from there',
  (t) => {
    const deletions = slowDeletions(300, 'v', 100);
    const memory = new MatchMemory();
    let [before, reads] = [deletions.length + 1, 0];
    for (; before > 0; reads++) {
      [work, compiledCount] = [0, 0];
      const found = deletionsTouching({ deletions, memory }, read, EVERYTHING).length;
      t.ok(work < WORK_MAX, `${work} of work`);
      t.ok(compiledCount <= 8, `${compiledCount} compiled`);
      t.ok(found < before, `${found} touch, after ${before}`);
      before = found;
    }
    t.ok(reads > 1, 'the first does not find out all');
    [work, compiledCount] = [0, 0];
    t.equal(deletionsTouching({ deletions, memory }, read, EVERYTHING).length, 0);
    t.equal(work + compiledCount, 0, 'nothing is matched or compiled again');
    t.end();
  },
);

t.test('values of a deletion are matched against a read as long as that is cheap', (t) => {
  const long = 'ab'.repeat(100_000);
  const deletions = Array.from({ length: 40 }, (_unused, i): Deletion => {
    const selectors = [[{ name: 'path', type: '=', value: `${long}${i}` }]] as const;
    return { id: `${i}`, selectors, range: EVERYTHING };
  });
  const check = (type: '=' | '=~', asked: string, expected: (count: number) => boolean): void => {
    work = 0;
    const found = deletionsTouching(
      { deletions, memory: new MatchMemory() },
      [[{ name: 'path', type, value: asked }]],
      EVERYTHING,
    );
    t.ok(work < 2_000_000, `${work} of work`);
    t.ok(expected(found.length), `${type} ${asked}: ${found.length}`);
  };
  check('=', 'other', (count) => count === 0);
  check('=~', 'one|two', (count) => count === 0);
  check('=~', '(x|y)+z', (count) => count > 30 && count < 40);
  t.end();
});

t.test('what one node found out another one does not know', (t) => {
  const deletions = slowDeletions(1, 'n', 10);
  const workOf = (memory: MatchMemory): number => {
    work = 0;
    deletionsTouching({ deletions, memory }, read, EVERYTHING);
    return work;
  };
  const memory = new MatchMemory();
  const first = workOf(memory);
  t.ok(first > 0);
  t.equal(workOf(memory), 0, 'remembered');
  t.equal(workOf(new MatchMemory()), first, 'as if nothing had been before');
  t.end();
});

t.test('verdicts are remembered, those of the values asked first go first', (t) => {
  const verdicts = new MatcherVerdicts();
  const matcher = { name: 'a', type: '=~', value: 'x.*' } as const;
  verdicts.remember(matcher, 'first', false);
  t.equal(verdicts.recall(matcher, 'first'), false);
  t.equal(verdicts.recall({ ...matcher }, 'first'), undefined, 'another one');
  for (let i = 0; i < 10; i++)
    verdicts.remember(matcher, `${i}${'x'.repeat(VERDICTS_COST_MAX / 10)}`, true);
  t.equal(verdicts.recall(matcher, 'first'), undefined);
  verdicts.remember(matcher, 'x'.repeat(VERDICTS_COST_MAX), true);
  verdicts.remember(matcher, 'last', true);
  t.equal(verdicts.recall(matcher, 'last'), true);
  t.end();
});

t.test('a read of exemplars pauses for what deletions cost, within a series too', (t) => {
  const check = (
    deletions: readonly Deletion[],
    { compiledMax, seriesCount }: { readonly compiledMax: number; readonly seriesCount: number },
  ): void => {
    const head = new Head();
    const exemplars = new TenantExemplars(head, () => 1000);
    for (let i = 0; i < seriesCount; i++) {
      const labels = encodeLabels(
        labelsFromPairs([
          ['__name__', 'm'],
          ['path', `${value}${i}`],
        ]),
      );
      const s = head.addSeries(Uint32Array.of(i, 2, 3, 4), 0, labels, i + 1);
      const bits = { valueLow: 0, valueHigh: 0 };
      exemplars.replay(s, { ref: i + 1, timestampMs: 1000, ...bits, labels: ['trace_id', 'x'] });
    }
    const all = [[{ name: '__name__', type: '=', value: 'm' }]] as const;
    let [worst, pauses, found] = [0, 0, 0];
    [work, compiledCount] = [0, 0];
    for (const one of exemplars.select(all, EVERYTHING, { deletions, memory: new MatchMemory() })) {
      if (one !== undefined) found++;
      else {
        pauses++;
        worst = Math.max(worst, work);
        t.ok(compiledCount <= compiledMax, `${compiledCount} compiled`);
        [work, compiledCount] = [0, 0];
      }
    }
    t.equal(found, seriesCount);
    t.ok(Math.max(worst, work) < 400_000, `${worst} of work between two pauses`);
    t.ok(pauses > 10, `${pauses} pauses`);
  };
  check(slowDeletions(100, 'w', 100), { compiledMax: 3, seriesCount: 1 });
  check(slowDeletions(100, 'x', 3), { compiledMax: 40, seriesCount: 50 });
  t.end();
});
