// Goal: of series told by one sample, replicas that agree give it once, and those that differ are merged by time.
// Method: frames of single samples and of whole chunks, in and outside of scratch memory, as `time=value`.
import t from 'tap';
import { labelsFromPairs } from '../../model/labels.ts';
import { withScratch } from '../../model/scratch-memory.ts';
import { encodeLabels } from '../../model/wire/labels-codec.ts';
import { SeriesFrameWriter } from '../../model/wire/series-frame.ts';
import { xorChunk } from '../../storage/chunk/xor-chunks.ts';
import { mergeSeriesFrames } from '../../storage/index.ts';

/** The value is two words: a stale marker does not survive as a number. */
type Sample = readonly [timeMs: number, low: number, high: number];

const STALE = 'stale';
function wordsOf(text: string): readonly [low: number, high: number] {
  if (text === STALE) return [2, 0x7ff0_0000];
  const [low = 0, high = 0] = new Uint32Array(Float64Array.of(Number(text)).buffer);
  return [low, high];
}

/** What an instance has of the series: `time=value` each. */
function samplesOf(text: string): readonly Sample[] {
  return [...text.matchAll(/(\d+)=(\S+)/g)].map(([, time, value = '']) => [
    Number(time),
    ...wordsOf(value),
  ]);
}

/** One sample as such, several as a chunk. */
function frameOf(told: readonly Sample[]): Uint8Array {
  const writer = new SeriesFrameWriter(true);
  const [first, second] = told;
  if (first === undefined) return writer.finish();
  const labels = encodeLabels(labelsFromPairs([['job', 'api']]));
  writer.putSeries(Uint32Array.of(1, 2, 3, 4), 0, labels, 0, labels.length, 1);
  if (second === undefined) {
    writer.putSample(...first);
    return writer.finish();
  }
  const samples = {
    timestamps: Float64Array.from(told, ([timeMs]) => timeMs),
    values: Uint32Array.from(told.flatMap(([, low, high]) => [low, high])),
  };
  const bytes = xorChunk(samples, 0, told.length);
  writer.putChunk(first[0], told[told.length - 1]![0], bytes, 0, bytes.length);
  return writer.finish();
}

function merged(told: readonly (readonly Sample[])[]): string {
  const range = { minTimeMs: 100, maxTimeMs: 200 };
  const { isStaleFree, timestamps, values } = mergeSeriesFrames(told.map(frameOf), range, {
    isProjected: true,
  });
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length * 2);
  const texts = Array.from(timestamps, (time, i) => {
    const isStale = words[i * 2 + 1] === 0x7ff0_0000 && words[i * 2] === 2;
    if (isStale) t.not(isStaleFree, true);
    return `${time}=${isStale ? STALE : values[i]}`;
  });
  return texts.join(' ');
}

t.test('newest samples of replicas are merged', async (t) => {
  const check = (replicas: string, expected: string): void => {
    const told = replicas.split('|').map(samplesOf);
    t.equal(merged(told), expected, replicas);
    t.equal(merged(told.toReversed()), expected, 'whoever answers first');
    t.equal(
      withScratch(() => merged(told)),
      expected,
      'in scratch memory',
    );
  };
  check('150=1', '150=1');
  check('150=1 | 150=1', '150=1');
  check('150=1 | 150=1 | 150=1', '150=1');
  check('150=1 | ', '150=1');
  check('150=1 | 160=2', '150=1 160=2');
  check('150=1 | 160=2 | 150=1', '150=1 160=2');
  check('150=1 | 150=2', '150=2');
  check('150=1 | 150=-1', '150=-1');
  check('150=stale | 150=2', '150=2');
  check('150=stale | 150=stale', '150=stale');
  check('150=1 | 170=stale', '150=1 170=stale');
  check('99=1', '');
  check('201=1 | 200=2', '200=2');
  check('140=3 150=1 | 150=1', '140=3 150=1');
  check('140=3 150=1 | 160=1', '140=3 150=1 160=1');
});
