// Goal: what was evaluated ahead is the answer only when all instances hold the same. Method: frames that are texts,
// an evaluation that notes what it was given, and turns that the test takes.
import t from 'tap';
import type { EvaluateOutput } from '../../actors/querier/evaluate-job.ts';
import { AheadLuck, EvaluationAhead } from '../../actors/querier/evaluation-ahead.ts';

type Frames = readonly Uint8Array[];
const framesOf = (...texts: readonly string[]): Frames => texts.map((text) => Buffer.from(text));
const textOf = (frames: readonly Frames[]): string =>
  frames.map((one) => one.map((frame) => Buffer.from(frame).toString()).join('+')).join(' ');

function ahead(selectionCount: number, evaluate?: () => EvaluateOutput | undefined) {
  const turns: (() => void)[] = [];
  const evaluated: string[] = [];
  const one = new EvaluationAhead({
    selectionCount,
    nextTurn: (work) => turns.push(work),
    evaluate: (frames) => {
      evaluated.push(textOf(frames));
      const output = { data: Buffer.from(textOf(frames)), warnings: [], infos: [] };
      return evaluate === undefined ? output : evaluate();
    },
  });
  const takeTurns = (): void => turns.splice(0).forEach((work) => work());
  return { one, evaluated, takeTurns };
}

/** What comes of it: the text of the output. */
function settled(one: EvaluationAhead, answers: readonly (readonly Frames[])[]): string {
  const outcome = one.settle(answers);
  return typeof outcome === 'string' ? outcome : Buffer.from(outcome.data).toString();
}

t.test('settle() gives the output when all answers are equal to the first', async (t) => {
  const check = (others: readonly Frames[], expected: string): void => {
    const { one, takeTurns } = ahead(1);
    const first = framesOf('ab', 'c');
    one.note(0, first);
    takeTurns();
    t.equal(settled(one, [[first, ...others]]), expected, textOf(others));
  };
  check([framesOf('ab', 'c')], 'ab+c');
  check([framesOf('ab', 'c'), framesOf('ab', 'c')], 'ab+c');
  check([framesOf('ab', 'd')], 'differs');
  check([framesOf('ab')], 'differs');
  check([framesOf('ab', 'c', '')], 'differs');
  check([framesOf('ab', 'c'), framesOf('a', 'bc')], 'differs');
  check([framesOf()], 'differs');
});

t.test('a query of several selections is evaluated once each has a first answer', async (t) => {
  const { evaluated, one, takeTurns } = ahead(2);
  one.note(1, framesOf('b'));
  takeTurns();
  t.same(evaluated, []);
  one.note(0, framesOf('a'));
  one.note(0, framesOf('later'));
  takeTurns();
  t.same(evaluated, ['a b']);
  t.equal(settled(one, [[framesOf('a'), framesOf('a')], [framesOf('b')]]), 'a b');
});

t.test('nothing is evaluated once all have answered', async (t) => {
  const { evaluated, one, takeTurns } = ahead(1);
  one.note(0, framesOf('a'));
  t.equal(settled(one, [[framesOf('a')]]), 'none');
  one.note(0, framesOf('a'));
  takeTurns();
  t.same(evaluated, []);
});

t.test('what cannot be evaluated by one answer is left to all of them', async (t) => {
  const check = (evaluate: () => EvaluateOutput | undefined): void => {
    const { one, takeTurns } = ahead(1, evaluate);
    one.note(0, framesOf('a'));
    takeTurns();
    t.equal(settled(one, [[framesOf('a')]]), 'none');
  };
  check(() => undefined);
  check(() => {
    throw new Error('too much');
  });
});

t.test('the more often replicas differ, the fewer queries are tried', async (t) => {
  const luck = new AheadLuck();
  const triesUntil = (isSame: boolean, queries: number): number => {
    let tries = 0;
    for (let i = 0; i < queries; i++) {
      if (!luck.mayTry()) continue;
      tries++;
      luck.note(isSame);
    }
    return tries;
  };
  t.equal(triesUntil(true, 100), 100);
  t.ok(triesUntil(false, 1000) < 30);
  t.ok(triesUntil(true, 200) > 130, 'and they are tried again when replicas agree');
});
