// Goal: what was evaluated ahead is the answer only when all instances hold the same. Method: frames of series
// that are letters, an evaluation that notes what it was given, and turns that the test takes.
import t from 'tap';
import { labelsFromPairs } from '../../model/labels.ts';
import { encodeLabels } from '../../model/wire/labels-codec.ts';
import { SeriesFrameWriter, readSeriesFrame } from '../../model/wire/series-frame.ts';
import type { EvaluateOutput } from '../../actors/querier/evaluate-job.ts';
import { AheadLuck, EvaluationAhead } from '../../actors/querier/evaluation-ahead.ts';

type Frames = readonly Uint8Array[];

/** A frame for each text, a series for each letter: small ones have another chunk than capital ones. */
function framesOf(...texts: readonly string[]): Frames {
  return texts.map((text) => {
    const writer = new SeriesFrameWriter(true);
    for (const letter of text) {
      const name = letter.toLowerCase();
      const prints = new Uint32Array(4).fill(name.charCodeAt(0));
      // One for all: it stands with whatever series is the first of a frame.
      const labels = encodeLabels(labelsFromPairs([['job', 'api']]));
      writer.putSeries(prints, 0, labels, 0, labels.length, 1);
      writer.putChunk(1000, 2000, Buffer.from(letter), 0, 1);
    }
    return writer.finish();
  });
}

function textOf(frames: readonly Frames[]): string {
  const texts = frames.map((one) =>
    one.map((frame) => {
      const letters: string[] = [];
      readSeriesFrame(frame, {
        onSeries: () => undefined,
        onChunk: (_min, _max, offset) => letters.push(String.fromCharCode(frame[offset]!)),
      });
      return letters.join('');
    }),
  );
  return texts.map((one) => one.join('+')).join(' ');
}

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

t.test('settle() gives the output when all answers have the series of the first', async (t) => {
  const check = (first: Frames, others: readonly Frames[], expected: string): void => {
    const { one, takeTurns } = ahead(1);
    one.note(0, first);
    takeTurns();
    t.equal(settled(one, [[first, ...others]]), expected);
  };
  const first = framesOf('ab', 'c');
  check(first, [framesOf('ab', 'c')], 'ab+c');
  check(first, [framesOf('ab', 'c'), framesOf('ab', 'c')], 'ab+c');
  check(first, [framesOf('cab')], 'ab+c');
  check(first, [framesOf('b', '', 'ca')], 'ab+c');
  check(framesOf(), [framesOf()], '');
  check(framesOf(), [framesOf('')], '');
  check(first, [framesOf('ab')], 'differs');
  check(first, [framesOf('abC')], 'differs');
  check(first, [framesOf('abd')], 'differs');
  check(first, [framesOf('abcd')], 'differs');
  check(first, [framesOf('aac')], 'differs');
  check(first, [framesOf()], 'differs');
  check(framesOf(), [framesOf('a')], 'differs');
  check(first, [framesOf('abc'), framesOf('abC')], 'differs');
  check(first, [[Buffer.from('no frame')]], 'differs');
  // A series in pieces: of no interest, because a piece may be equal to another one.
  check(framesOf('a', 'aA'), [framesOf('a', 'aA')], 'a+aA');
  check(framesOf('a', 'aA'), [framesOf('a', 'Aa')], 'differs');
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
  t.same(evaluated, ['a b'], 'once');
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
