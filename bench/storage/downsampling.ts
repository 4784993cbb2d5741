/**
 * Row `downsampling`: a query over 30 days of samples at 15 s, from samples and from aggregates of 5 minutes and 1 hour:
 * CPU of merging, evaluating and encoding, beside that of the samples. Answers are compared.
 */
import { runEvaluateJob } from '../../actors/querier/evaluate-job.ts';
import { labelsFromPairs } from '../../model/labels.ts';
import { encodeLabels } from '../../model/wire/labels-codec.ts';
import { SeriesFrameWriter } from '../../model/wire/series-frame.ts';
import { resolutionText } from '../../model/window-value.ts';
import { parseExpr, selectionsOf } from '../../promql/index.ts';
import { CHUNK_XOR, type ChunkBytes } from '../../storage/block/format.ts';
import { AGGREGATES_OF, pickAggregates } from '../../storage/chunk/aggregate-chunk.ts';
import { xorChunksOf } from '../../storage/chunk/xor-chunks.ts';
import { SeriesDownsampler } from '../../storage/downsample/series-downsampler.ts';
import type { Figure, RowOptions } from './row.ts';

const SERIES = 60;
const DAYS = 30;
const DAY_MS = 24 * 3_600_000;
const END_MS = 1_699_920_000_000;
const INTERVAL_MS = 15_000;
const RUNS = 3;
/** Of what is there for most of 30 days. */
const GOAL_RESOLUTION_MS = 3_600_000;
const GOAL_OF_RAW = 0.1;
const QUERIES = [
  'sum(rate(x_total[1h]))',
  'avg_over_time(x_total[1h])',
  'max_over_time(x_total[1h])',
  'sum(x_total)',
];

/** Chunks of each series, by resolution; 0 is samples. */
type Stored = ReadonlyMap<number, readonly (readonly ChunkBytes[])[]>;

export function downsampling({
  days = DAYS,
  seriesCount = SERIES,
}: RowOptions): Promise<readonly Figure[]> {
  const startMs = END_MS - days * DAY_MS;
  const stored = store(seriesCount, startMs);
  const figures: Figure[] = [];
  for (const query of QUERIES) {
    const samples = measure(stored, query, startMs, 0);
    for (const resolutionMs of [300_000, 3_600_000]) {
      const { ms, text } = measure(stored, query, startMs, resolutionMs);
      const isSame = rounded(text) === rounded(samples.text);
      figures.push({
        name: `${days} d of ${resolutionText(resolutionMs)}: ${query}`,
        ...{ unit: 'ms', ours: ms, peer: samples.ms },
        ...(resolutionMs === GOAL_RESOLUTION_MS && {
          goalMax: { value: GOAL_OF_RAW, of: 'ratio' as const },
        }),
        note: isSame ? 'beside our samples' : 'beside our samples, ANSWERS DIFFER',
      });
    }
  }
  return Promise.resolve(figures);
}

function rounded(json: string): string {
  return json.replace(/\d+\.\d+(e[+-]?\d+)?/g, (number) => Number(number).toPrecision(9));
}

function store(seriesCount: number, startMs: number): Stored {
  const count = (END_MS - startMs) / INTERVAL_MS;
  const times = Float64Array.from({ length: count }, (_, i) => startMs + 5123 + i * INTERVAL_MS);
  const raw: ChunkBytes[][] = [];
  for (let s = 0; s < seriesCount; s++) {
    const values = Float64Array.from({ length: count }, (_, i) => (i % 50_000) * (s + 1) + (i % 7));
    raw.push(
      xorChunksOf(times, values, 0, count).map((chunk) => ({
        ...chunk,
        ...{ encoding: CHUNK_XOR, from: 0, to: chunk.bytes.length },
      })),
    );
  }
  const fine = downsampled(raw, 300_000);
  return new Map([
    [0, raw],
    [300_000, fine],
    [3_600_000, downsampled(fine, 3_600_000)],
  ]);
}

function downsampled(from: readonly ChunkBytes[][], resolutionMs: number): ChunkBytes[][] {
  return from.map((chunks) => {
    const downsampler = new SeriesDownsampler({ resolutionMs, lastMs: END_MS + DAY_MS });
    downsampler.begin();
    for (const chunk of chunks) downsampler.add(chunk);
    downsampler.finish();
    return [...downsampler.ready];
  });
}

function measure(
  stored: Stored,
  query: string,
  startMs: number,
  resolutionMs: number,
): { ms: number; text: string } {
  const grid = {
    startMs: startMs + DAY_MS,
    endMs: END_MS,
    stepMs: 3_600_000,
    lookbackMs: 300_000,
  };
  const downsampling =
    resolutionMs === 0
      ? undefined
      : { maxResolutionMs: resolutionMs, isApproximate: false, untilMs: END_MS };
  const selections = selectionsOf(parseExpr(query), { ...grid, instant: false, downsampling });
  let [ms, text] = [Infinity, ''];
  for (let run = 0; run < RUNS; run++) {
    const inputs = selections.map(({ maxTimeMs, minTimeMs, value }) => {
      const writer = new SeriesFrameWriter();
      for (const [s, chunks] of (stored.get(resolutionMs) ?? []).entries()) {
        const labels = encodeLabels(
          labelsFromPairs([
            ['__name__', 'x_total'],
            ['s', String(s)],
          ]),
        );
        writer.putSeries(Uint32Array.of(s, 0, 0, 0), 0, labels, 0, labels.length, chunks.length);
        for (const chunk of chunks) {
          const bytes =
            chunk.encoding === CHUNK_XOR || value === undefined
              ? chunk.bytes
              : (pickAggregates(chunk.bytes, AGGREGATES_OF[value]) ?? chunk.bytes);
          writer.putChunk(chunk.minTimeMs, chunk.maxTimeMs, bytes, 0, bytes.length, chunk.encoding);
        }
      }
      const range = { minTimeMs, maxTimeMs };
      return { frames: [writer.finish()], range, isProjected: false, value: value ?? 'kept' };
    });
    const before = process.cpuUsage();
    const { data } = runEvaluateJob({
      ...{ query, ...grid, downsampling, samplesMax: 1e9, limit: 0, selections: inputs },
    });
    const { system, user } = process.cpuUsage(before);
    ms = Math.min(ms, (system + user) / 1000);
    text = Buffer.from(data).toString();
  }
  return { ms, text };
}
