/**
 * Goal: one tenant's directory holds what was acknowledged after any crash, and serves no flipped bit; bugs of
 * the disk that break this are found. Method: the storage story with a crash at each seventh disk call (the
 * command takes all of them), and answers right and wrong for its checkers.
 */
import t from 'tap';
import { createNodeCiphers } from '../../platform/node/ciphers.ts';
import { type KeptNotes, NOTHING_KEPT, checkKept } from '../../sim/checkers/kept.ts';
import { checkRecoveredLog } from '../../sim/checkers/recovered-log.ts';
import { checkRepeatable } from '../../sim/checkers/repeatable.ts';
import { checkVerified } from '../../sim/checkers/verified.ts';
import { History } from '../../sim/history.ts';
import { PLANTED } from '../../sim/planted/index.ts';
import { runStorageStory } from '../../sim/storage/story.ts';

const ciphers = createNodeCiphers();

t.test(
  'runStorageStory() finds what was acknowledged after each crash and each flip',
  async (t) => {
    const verdict = await runStorageStory({ seed: 1, ciphers, stride: 7, flipCount: 20 });
    t.strictSame(verdict.violations, []);
    t.ok(verdict.crashPoints > 40, JSON.stringify(verdict));
    t.ok(verdict.keptCrashPoints > 15, 'the small files are crashed too');
    t.ok(verdict.refusals > 0, 'some flips were met');
  },
);

t.test('runStorageStory() finds planted bugs of the disk', async (t) => {
  for (const name of ['lying-sync', 'lost-write', 'dropped-byte']) {
    const planted = PLANTED[name];
    if (planted === undefined) throw new Error(`there is no planted bug ${name}`);
    const options = { seed: 2, ciphers, stride: 11, flipCount: 0, planted };
    const { violations } = await runStorageStory(options);
    t.ok(violations.length > 0, name);
  }
});

t.test('checkKept() names what small files forgot', (t) => {
  const promised: KeptNotes = {
    ...{ storeId: 'a', bootCounter: 3, stepCount: 2, lossBeforeMs: 7 },
    ...{ horizonMs: 5, requestCount: 4 },
  };
  const next = { ...promised, bootCounter: 4 };
  const check = (more: Partial<KeptNotes>, expected: RegExp | undefined): void => {
    const found = checkKept('here', promised, { ...next, ...more });
    if (expected === undefined) t.strictSame(found, []);
    else t.match(found, [{ invariant: 'I13', what: expected }]);
  };
  check({}, undefined);
  check({ bootCounter: 9, stepCount: 4, lossBeforeMs: 8, horizonMs: 6 }, undefined);
  check({ bootCounter: 3 }, /boot 3 again/);
  check({ storeId: 'b' }, /another one/);
  check({ stepCount: 1 }, /1 of 2 records/);
  check({ lossBeforeMs: 6 }, /forgotten/);
  check({ horizonMs: 4 }, /horizon fell/);
  check({ requestCount: 3 }, /3 of 4 requests/);
  t.strictSame(checkKept('here', NOTHING_KEPT, next), []);
  t.end();
});

t.test('checkRecoveredLog(), checkVerified() and checkRepeatable() name what is wrong', (t) => {
  const history = new History();
  const acked = history.send(1, 100);
  history.acknowledge([acked], 1);
  const unknown = history.send(1, 200);
  const check = (
    found: readonly (typeof acked)[],
    expected: readonly [recovered: number, verified: number],
    isLossTold = false,
  ): void => {
    const read = { where: 'here', found, isLossTold };
    const counts = [checkRecoveredLog(history, read), checkVerified(history, read)];
    t.strictSame(
      counts.map(({ length }) => length),
      expected,
    );
  };
  check([acked], [0, 0]);
  check([acked, unknown], [0, 0]);
  check([], [1, 1]);
  check([], [2, 0], true);
  check([acked, acked], [1, 1]);
  check([{ ...acked, value: 7 }], [1, 1]);
  check([acked, { ...acked, timestampMs: 101 }], [1, 1]);
  const where = 'here';
  t.strictSame(checkVerified(history, { where, found: undefined, isLossTold: false }), []);

  const run = { seed: 1, hash: 'a', events: 5 };
  t.strictSame(checkRepeatable(run, run), []);
  t.match(checkRepeatable(run, { ...run, hash: 'b' }), [{ invariant: 'I31' }]);
  t.match(checkRepeatable(run, { ...run, events: 6 }), [{ invariant: 'I31' }]);
  t.end();
});
