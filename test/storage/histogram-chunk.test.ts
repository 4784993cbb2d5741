// Goal: histogram chunks hold every sample, hostile bytes are refused, and promtool reads what we write.
// Method: random series of every kind through encoder and decoder; every truncation; random flips; a block.
import t from 'tap';
import { labelsFromPairs } from '../../model/labels.ts';
import { compact } from '../../model/histogram.ts';
import { histogramText } from '../../model/histogram-text.ts';
import { decodeHistogramMessage } from '../../model/wire/histogram-message.ts';
import { encodeHistogramMessage } from '../../model/wire/histogram-encode.ts';
import { createNodeDisk } from '../../platform/node/disk.ts';
import { cutBlock } from '../../storage/block/cut.ts';
import { CHUNK_FLOAT_HISTOGRAM, type ChunkBytes } from '../../storage/block/format.ts';
import { decodeHistogramChunk } from '../../storage/chunk/histogram-decode.ts';
import {
  BitWriter,
  createXorWindows,
  readVarbitInt,
  readVarbitUint,
  readXorWords,
} from '../../storage/chunk/varbit.ts';
import { BitReader } from '../../storage/chunk/bit-reader.ts';
import { Pacer } from '../../storage/pacer.ts';
import { testBlockId } from '../support/block-contents.ts';
import { FakeClock } from '../support/fake-clock.ts';
import {
  KINDS,
  type TimedSample,
  histogramChunks,
  histogramSeries,
  randomOf,
  sampleLine,
} from '../support/histograms.ts';
import { dump } from '../support/prometheus-tools.ts';

const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const START_MS = 1_699_999_200_000;

function decode({ bytes, encoding, from, to }: ChunkBytes): TimedSample[] | undefined {
  const run = decodeHistogramChunk(bytes, from, to, encoding === CHUNK_FLOAT_HISTOGRAM);
  return run?.samples.map((sample, i) => ({ sample, timeMs: run.timestamps[i]! }));
}

t.test('varbit numbers come back as they were', async (t) => {
  const writer = new BitWriter();
  const numbers = [0];
  for (let power = 0; power <= 53; power++) {
    for (const near of [-1, 0, 1]) numbers.push(2 ** power + (power < 53 || near < 1 ? near : 0));
  }
  writer.reserve(numbers.length * 300);
  for (const number of numbers) {
    writer.varbitUint(number);
    writer.varbitInt(number);
    writer.varbitInt(-number);
  }
  const reader = new BitReader();
  const bytes = writer.copy();
  reader.reset(bytes, 0, bytes.length);
  for (const number of numbers) {
    const read = [readVarbitUint(reader), readVarbitInt(reader), readVarbitInt(reader) + 0];
    t.strictSame(read, [number, number, 0 - number], String(number));
  }
});

t.test('xor words come back as they were', async (t) => {
  const random = randomOf(7);
  const writer = new BitWriter();
  const windows = createXorWindows(1);
  const all = Array.from({ length: 500 }, (_, i) => {
    const mask = i % 3 === 0 ? 0xffff_ffff : i % 3 === 1 ? 0xff00 : 0;
    return [
      (random() * 2 ** 32) & mask,
      (random() * 2 ** 32) & (i % 5 === 0 ? 0 : 0xfff000),
    ] as const;
  });
  writer.reserve(all.length * 80);
  let before: readonly [number, number] = [0, 0];
  for (const words of all) {
    writer.xor(windows, 0, words[0] ^ before[0], words[1] ^ before[1]);
    before = words;
  }
  const reader = new BitReader();
  const bytes = writer.copy();
  reader.reset(bytes, 0, bytes.length);
  const found = new Uint32Array(2);
  const readWindows = createXorWindows(1);
  const read = all.map(() => (readXorWords(reader, readWindows, 0, found) ? [...found] : []));
  t.strictSame(
    read,
    all.map(([low, high]) => [low >>> 0, high >>> 0]),
  );
});

for (const kind of KINDS) {
  t.test(
    `a series of ${kind} histograms comes back from chunks and messages (seed ${seed})`,
    async (t) => {
      const samples = histogramSeries(kind, { startMs: START_MS, count: 400, seed });
      const chunks = histogramChunks(samples);
      const read = chunks.map((chunk) => decode(chunk) ?? []);
      t.strictSame(read.flat().map(sampleLine), samples.map(sampleLine));
      for (const [first, ...others] of read) {
        const isGauge = kind.includes('gauge');
        const hints = others.filter(({ sample }) => !sample.isStale);
        if (first?.sample.isStale === false)
          t.equal(first.sample.histogram.hint, isGauge ? 'gauge' : 'unknown');
        t.ok(
          hints.every(({ sample }) => sample.histogram.hint === (isGauge ? 'gauge' : 'not_reset')),
        );
      }
      const messages = samples.map(({ sample, timeMs }) => encodeHistogramMessage(timeMs, sample));
      const again = messages.map((message) => decodeHistogramMessage(message, 0, message.length));
      const lines = again.map(({ sample, timestampMs }) =>
        sampleLine({ sample, timeMs: timestampMs }),
      );
      t.strictSame(lines, samples.map(sampleLine));
    },
  );
}

t.test(
  'a counter goes into one chunk while it grows, and into a new one when it is reset',
  async (t) => {
    const base = histogramSeries('integer', { startMs: START_MS, count: 20, seed: 4 })[19]!.sample;
    const grown = (by: number): TimedSample['sample'] => ({
      ...base,
      histogram: {
        ...base.histogram,
        count: base.histogram.count + by,
        positive: {
          ...base.histogram.positive,
          counts: base.histogram.positive.counts.map((count, i) => (i === 0 ? count + by : count)),
        },
      },
    });
    const at = (timeMs: number, sample: TimedSample['sample']): TimedSample => ({ timeMs, sample });
    t.equal(histogramChunks([at(1, grown(0)), at(2, grown(3)), at(3, grown(3))]).length, 1);
    const chunks = histogramChunks([at(1, grown(3)), at(2, grown(2))]);
    t.equal(chunks.length, 2);
    t.equal(chunks[1]!.bytes[2]! >>> 6, 0b10, 'the flags say that the counter was reset');
  },
);

t.test(
  'hostile chunks are refused or read, and never more than their bytes can hold',
  async (t) => {
    const random = randomOf(seed);
    for (const kind of KINDS) {
      const samples = histogramSeries(kind, { startMs: START_MS, count: 60, seed }).slice(0, 60);
      const chunk = histogramChunks(samples).sort((a, b) => b.to - a.to)[0]!;
      let taken = 0;
      for (let to = 0; to < chunk.to; to++) if (decode({ ...chunk, to }) !== undefined) taken++;
      t.equal(taken, 0, `${kind}: no prefix is taken for a chunk`);
      for (let i = 0; i < 400; i++) {
        const bytes = chunk.bytes.slice();
        for (let n = 0; n < 3; n++)
          bytes[Math.floor(random() * bytes.length)]! ^= 1 << Math.floor(random() * 8);
        const read = decode({ ...chunk, bytes }) ?? [];
        if (read.length * 4 > bytes.length * 8) t.fail('more samples than bits');
      }
      t.pass(kind);
    }
  },
);

const programs = process.env['PROM_BIN'];
t.test(
  'promtool reads histogram chunks as we wrote them',
  { skip: programs === undefined },
  async (t) => {
    const directory = t.testdir();
    const series = KINDS.map((kind, i) => {
      const samples = histogramSeries(kind, { startMs: START_MS, count: 300, seed: seed + i });
      const labels = labelsFromPairs([
        ['__name__', 'h'],
        ['kind', kind],
      ]);
      return { labels, samples, chunks: histogramChunks(samples) };
    }).sort((a, b) => (a.labels[3]! < b.labels[3]! ? -1 : 1));
    const range = { minTimeMs: START_MS, maxTimeMs: START_MS + 2 * 3_600_000 - 1 };
    const meta = await cutBlock(
      { disk: createNodeDisk(), directory, id: testBlockId(1), pacer: new Pacer(new FakeClock()) },
      { symbols: () => series.flatMap(({ labels }) => labels), series: () => series },
      range,
    );
    t.equal(meta?.stats.histogramSampleCount, 6 * 300);
    // promtool asks for a float, then for a float histogram, and forgets what it got instead.
    const forgotten = (kind: string): number => (kind.includes('float') ? 1 : 2);
    const lines = series.flatMap(({ labels, samples }) =>
      samples.slice(forgotten(labels[3]!)).map((timed) => {
        const { histogram, isStale } = timed.sample;
        const text = isStale ? '{count:0, sum:NaN}' : histogramText(compact(histogram));
        return `{__name__="h", kind="${labels[3]!}"} ${text} ${timed.timeMs}`;
      }),
    );
    const dumped = await dump(programs ?? '', directory);
    const isMissing = (all: readonly string[]): ((line: string) => boolean) => {
      const found = new Set(all);
      return (line) => !found.has(line);
    };
    t.strictSame(dumped.filter(isMissing(lines)), []);
    t.strictSame(lines.filter(isMissing(dumped)), []);
  },
);
