// Goal: what was evaluated ahead is the answer only when nothing else came. Method: frames of series
// that are letters, an evaluation that notes what it was given, and turns that the test takes.
import t from 'tap';
import { labelsFromPairs } from '../../model/labels.ts';
import { encodeLabels } from '../../model/wire/labels-codec.ts';
import { SeriesFrameWriter, readSeriesFrame } from '../../model/wire/series-frame.ts';
import type { EvaluateOutput } from '../../actors/querier/evaluate-job.ts';
import { EvaluationAhead } from '../../actors/querier/evaluation-ahead.ts';

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
  return outcome === undefined ? 'nothing' : Buffer.from(outcome.data).toString();
}

t.test('settle() gives the output where no other series came', async (t) => {
  const check = (first: Frames, answers: readonly Frames[], expected: string): void => {
    const { one, takeTurns } = ahead(1);
    one.note(0, first);
    takeTurns();
    t.equal(settled(one, [answers]), expected);
  };
  const first = framesOf('ab', 'c');
  check(first, [first], 'ab+c');
  check(first, [], 'nothing');
  check(first, [first, framesOf('ab')], 'nothing');
  check(first, [framesOf('ab', 'c')], 'nothing');
});

t.test('a query of several selections is evaluated once each has a first answer', async (t) => {
  const { evaluated, one, takeTurns } = ahead(2);
  const a = framesOf('a');
  const b = framesOf('b');
  one.note(1, b);
  takeTurns();
  t.same(evaluated, []);
  one.note(0, a);
  one.note(0, framesOf('later'));
  takeTurns();
  t.same(evaluated, ['a b']);
  t.equal(settled(one, [[a], [b]]), 'a b');
  t.same(evaluated, ['a b'], 'once');
});

t.test('nothing is evaluated once all have answered', async (t) => {
  const { evaluated, one, takeTurns } = ahead(1);
  const first = framesOf('a');
  one.note(0, first);
  t.equal(settled(one, [[first]]), 'nothing');
  one.note(0, first);
  takeTurns();
  t.same(evaluated, []);
});

t.test('what cannot be evaluated by one answer is left to all of them', async (t) => {
  const check = (evaluate: () => EvaluateOutput | undefined): void => {
    const { one, takeTurns } = ahead(1, evaluate);
    const first = framesOf('a');
    one.note(0, first);
    takeTurns();
    t.equal(settled(one, [[first]]), 'nothing');
  };
  check(() => undefined);
  check(() => {
    throw new Error('too much');
  });
});
