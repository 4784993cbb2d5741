/**
 * Goal: native histograms in blocks mean the same here and in a real Prometheus, both ways.
 * Method: histograms are remote-written to a Prometheus and its snapshot is read here, from the chunks and
 * through frames into the engine; blocks of ours are opened by a Prometheus, which answers from them.
 * PROM_BIN=<directory of both programs>.
 */
import { mkdir, readdir } from 'node:fs/promises';
import t from 'tap';
import { labelsFromPairs } from '../../model/labels.ts';
import { histogramJson } from '../../model/histogram-text.ts';
import { encodeHistogramMessage } from '../../model/wire/histogram-encode.ts';
import { createNodeDisk } from '../../platform/node/disk.ts';
import { BlockReader } from '../../storage/block/block-reader.ts';
import { diskBlockFiles } from '../../storage/block/byte-source.ts';
import { cutBlock } from '../../storage/block/cut.ts';
import { selectBlockFrames } from '../../storage/block/select-block.ts';
import { parseBlockId } from '../../storage/block/ulid.ts';
import { mergeSeriesFrames } from '../../storage/merge/merge.ts';
import { Pacer } from '../../storage/pacer.ts';
import { testBlockId } from '../support/block-contents.ts';
import { FakeClock } from '../support/fake-clock.ts';
import {
  KINDS,
  type TimedSample,
  histogramChunks,
  histogramSeries,
  sampleLine,
} from '../support/histograms.ts';
import { startServer } from '../support/prometheus-tools.ts';
import { pushBody } from '../support/remote-write-bodies.ts';

const programs = process.env['PROM_BIN'];
const START_MS = 1_699_999_200_000; // a two-hour border
const RANGE = { minTimeMs: START_MS, maxTimeMs: START_MS + 2 * 3_600_000 - 1 };
const RECEIVER = [
  '--web.enable-remote-write-receiver',
  '--web.enable-admin-api',
  '--enable-feature=native-histograms',
];

function testData(): ReadonlyMap<string, readonly TimedSample[]> {
  return new Map(
    KINDS.map((kind, i) => [
      kind,
      histogramSeries(kind, { startMs: START_MS, count: 250, seed: 100 + i }),
    ]),
  );
}

/** Histograms of a range selector as the HTTP API has them, each with its time. */
async function askHistograms(url: string, query: string): Promise<Map<string, string[]>> {
  const params = new URLSearchParams({ query, time: String(RANGE.maxTimeMs / 1000) });
  const answer = await fetch(`${url}/api/v1/query?${params.toString()}`);
  const body = (await answer.json()) as {
    data: { result: { metric: { kind: string }; histograms: [number, unknown][] }[] };
  };
  return new Map(
    body.data.result.map(({ histograms, metric }) => [
      metric.kind,
      histograms.map(([at, value]) => `${Math.round(at * 1000)} ${JSON.stringify(value)}`),
    ]),
  );
}

/** What the API answers for these samples: stale markers are left out. */
function answerOf(samples: readonly TimedSample[]): string[] {
  return samples
    .filter(({ sample }) => !sample.isStale)
    .map(({ sample, timeMs }) => `${timeMs} ${histogramJson(sample.histogram)}`);
}

t.test('histogram blocks and a Prometheus', { skip: programs === undefined }, async (t) => {
  const disk = createNodeDisk();

  await t.test(
    'blocks of a Prometheus are read here, chunk by chunk and through frames',
    async (t) => {
      const work = t.testdir({ data: {} });
      const server = await startServer(programs ?? '', work, RECEIVER);
      t.teardown(() => server.stop());
      const data = testData();
      for (let i = 0; i < 250; i++) {
        const series = [...data].map(([kind, samples]) => ({
          labels: [
            ['__name__', 'h'],
            ['kind', kind],
          ] as const,
          histograms: [encodeHistogramMessage(samples[i]!.timeMs, samples[i]!.sample)],
        }));
        const answer = await fetch(`${server.url}/api/v1/write`, {
          method: 'POST',
          body: new Uint8Array(pushBody(series)),
        });
        if (answer.status !== 204) t.fail(await answer.text());
      }
      await fetch(`${server.url}/api/v1/admin/tsdb/snapshot`, { method: 'POST' });
      const snapshots = `${work}/data/snapshots`;
      const directory = `${snapshots}/${(await readdir(snapshots))[0] ?? ''}`;
      const id = (await readdir(directory)).map(parseBlockId).find((found) => found !== undefined);
      if (id === undefined) throw new Error('no block');
      const reader = await BlockReader.open(diskBlockFiles(disk, directory, id));
      const frames: Uint8Array[] = [];
      const selection = {
        reader,
        selectors: [],
        range: RANGE,
        pacer: new Pacer(new FakeClock()),
        fingerprint: (bytes: Uint8Array, out: Uint32Array) =>
          out.fill(bytes.reduce((a, b) => a + b, 0)),
      };
      const hints = { projection: undefined, newestOnly: false };
      for await (const frame of selectBlockFrames(selection, hints)) {
        if (frame !== undefined) frames.push(frame);
      }
      await reader.close();
      const merged = mergeSeriesFrames([...frames, ...frames], RANGE);
      t.equal(merged.labels.length, KINDS.length);
      merged.labels.forEach((labels, row) => {
        const kind = labels[3]!;
        const found: TimedSample[] = [];
        for (let i = row === 0 ? 0 : merged.ends[row - 1]!; i < merged.ends[row]!; i++) {
          const histogram = merged.histograms?.[i];
          if (histogram === undefined) continue;
          const sample = { histogram, isFloat: kind.includes('float'), isStale: false };
          found.push({ sample, timeMs: merged.timestamps[i]! });
        }
        const sent = (data.get(kind) ?? []).filter(({ sample }) => !sample.isStale);
        t.strictSame(found.map(sampleLine), sent.map(sampleLine), kind);
      });
    },
  );

  await t.test('a Prometheus answers from our blocks', async (t) => {
    const work = t.testdir({ data: {} });
    await mkdir(`${work}/data/wal`, { recursive: true });
    const data = testData();
    const series = [...data]
      .map(([kind, samples]) => ({
        labels: labelsFromPairs([
          ['__name__', 'h'],
          ['kind', kind],
        ]),
        chunks: histogramChunks(samples),
      }))
      .sort((a, b) => (a.labels[3]! < b.labels[3]! ? -1 : 1));
    await cutBlock(
      { disk, directory: `${work}/data`, id: testBlockId(1), pacer: new Pacer(new FakeClock()) },
      { symbols: () => series.flatMap(({ labels }) => labels), series: () => series },
      RANGE,
    );
    const server = await startServer(programs ?? '', work, RECEIVER);
    t.teardown(() => server.stop());
    const answers = await askHistograms(server.url, 'h[2h]');
    for (const [kind, samples] of data) t.strictSame(answers.get(kind), answerOf(samples), kind);
  });
});
