// Goal: equal digests mean equal series. Method: frames of series that are letters, in all orders and cuts, and frames
// that differ in one bit.
import fc from 'fast-check';
import t from 'tap';
import { labelsFromPairs } from '../../model/labels.ts';
import { encodeLabels } from '../../model/wire/labels-codec.ts';
import { SeriesDigest } from '../../model/wire/series-digest.ts';
import { SeriesFrameWriter } from '../../model/wire/series-frame.ts';
import { refusal } from '../support/refusal.ts';

const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));

/** A frame for each text, a series for each letter: small ones have another chunk than capital ones. */
function framesOf(...texts: readonly string[]): readonly Uint8Array[] {
  return texts.map((text) => {
    const writer = new SeriesFrameWriter(true);
    for (const letter of text) {
      const prints = new Uint32Array(4).fill(letter.toLowerCase().charCodeAt(0));
      // One for all: it stands with whatever series is the first of a frame.
      const labels = encodeLabels(labelsFromPairs([['job', 'api']]));
      writer.putSeries(prints, 0, labels, 0, labels.length, 2);
      writer.putChunk(1000, 2000, Buffer.from(`chunk ${letter}`), 0, 7);
      writer.putSample(3000, 1, 2);
    }
    return writer.finish();
  });
}

function digestOf(frames: readonly Uint8Array[]): string {
  const digest = new SeriesDigest();
  for (const frame of frames) digest.add(frame);
  return digest.toString();
}

t.test('a digest is of the series, however they come', async (t) => {
  const check = (a: readonly string[], b: readonly string[], isEqual: boolean): void => {
    const same = digestOf(framesOf(...a)) === digestOf(framesOf(...b));
    t.equal(same, isEqual, `${a.join('+')} and ${b.join('+')}`);
  };
  check(['ab', 'c'], ['ab', 'c'], true);
  check(['ab', 'c'], ['cab'], true);
  check(['ab', 'c'], ['b', '', 'ca'], true);
  check([], [''], true);
  check(['ab', 'c'], ['ab'], false);
  check(['ab', 'c'], ['abC'], false);
  check(['abc'], ['abd'], false);
  check(['abc'], ['abcd'], false);
  check(['abc'], ['aac'], false);
  check(['aabb'], ['aaab'], false);
  check(['aB'], ['Ab'], false);
  check([], ['a'], false);
  t.throws(
    () => digestOf([Buffer.from('no frame')]),
    refusal('protobuf.corrupt', /not a series frame/),
  );
});

t.test('a digest tells how many series it is of', async (t) => {
  t.match(digestOf(framesOf('ab', 'c')), /^3-[0-9a-f]{16}$/);
  t.equal(digestOf([]), '0-0000000000000000');
});

t.test('one bit of a sample is another digest, and no two of many are the same', async (t) => {
  const frameOf = (timeMs: number, low: number, high: number): Uint8Array => {
    const writer = new SeriesFrameWriter(true);
    writer.putSeries(new Uint32Array(4).fill(7), 0, new Uint8Array(1), 0, 1, 1);
    writer.putSample(timeMs, low, high);
    return writer.finish();
  };
  const seen = new Set<string>();
  for (let bit = 0; bit < 32; bit++) {
    seen.add(digestOf([frameOf(5, 1 << bit, 0)]));
    seen.add(digestOf([frameOf(5, 0, 1 << bit)]));
  }
  for (let i = 0; i < 20_000; i++) seen.add(digestOf([frameOf(5 + i, 0, 0)]));
  t.equal(seen.size, 64 + 20_000);
});

t.test('any order and any cut of the same letters has one digest', async () => {
  const letters = fc.array(fc.tuple(fc.constantFrom('a', 'b', 'c', 'D', 'E'), fc.nat()));
  fc.assert(
    fc.property(letters, fc.nat(20), (all, cut) => {
      const inOrder = all.map(([letter]) => letter).join('');
      const shuffled = [...all].sort(([, a], [, b]) => a - b).map(([letter]) => letter);
      const parts = [shuffled.slice(0, cut).join(''), shuffled.slice(cut).join('')];
      return digestOf(framesOf(...parts)) === digestOf(framesOf(inOrder));
    }),
    { seed },
  );
});
