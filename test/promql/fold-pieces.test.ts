// Goal: what is folded in pieces is the same to the last bit as what is folded at once, and says the same.
// Method: random queries over the data set, its series decoded one or two at a time; real frames in a job.
import t from 'tap';
import { type EvaluateInput, runEvaluateJob } from '../../actors/querier/evaluate-job.ts';
import { StarlingError } from '../../model/errors.ts';
import { type Histogram, NO_BOUNDS, NO_BUCKETS } from '../../model/histogram.ts';
import { scratchFloats, withScratch, withScratchPart } from '../../model/scratch-memory.ts';
import type { SeriesColumns, SeriesPieces } from '../../model/series-columns.ts';
import { encodeResult, evaluate, parseExpr, selectionsOf } from '../../promql/index.ts';
import type { QueryParams } from '../../promql/index.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { refusal } from '../support/refusal.ts';
import { EVERYTHING, batchOf, framesOf, metric, openTsdb } from '../support/toy-tsdb.ts';
import {
  DATA_END_MS,
  DATA_START_MS,
  type DataSeries,
  Dice,
  QueryWriter,
  dataSet,
  seriesOf,
} from './engine-queries.ts';

const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const runs = Number(process.env['RUNS'] ?? 600);
/** So many in a row that few rows are a piece. */
const SAMPLES_OF_ROW = 60_000;

/** Pieces of columns, in scratch memory as storage has them; `decoded` is told how many rows were asked for. */
function piecesOf(columns: SeriesColumns, decoded: (rows: number) => void): SeriesPieces {
  const { ends, histograms, labels, timestamps, values } = columns;
  return {
    labels,
    samples: labels.length * SAMPLES_OF_ROW,
    samplesOf: () => SAMPLES_OF_ROW,
    decode: (from, to) => {
      decoded(to - from);
      const first = from === 0 ? 0 : ends[from - 1]!;
      const count = (ends[to - 1] ?? first) - first;
      const piece = {
        labels: labels.slice(from, to),
        ends: ends.slice(from, to).map((end) => end - first),
        timestamps: scratchFloats(count),
        values: scratchFloats(count),
      };
      piece.timestamps.set(timestamps.subarray(first, first + count));
      piece.values.set(values.subarray(first, first + count));
      const some = histograms?.slice(first, first + count);
      return some?.some((one) => one !== undefined) === true
        ? { ...piece, histograms: some }
        : piece;
    },
  };
}

interface Question {
  readonly query: string;
  readonly params: QueryParams;
}

function answer(
  data: readonly DataSeries[],
  { params, query }: Question,
  wrap: (columns: SeriesColumns) => SeriesColumns | SeriesPieces,
): string {
  try {
    const expr = parseExpr(query, { experimentalFunctions: true });
    const series = selectionsOf(expr, params).map((selection) => wrap(seriesOf(data, selection)));
    return withScratch(() => {
      const result = evaluate(expr, params, series, { samplesMax: 50_000_000 });
      const json = Buffer.from(encodeResult(result)).toString();
      return [json, ...result.warnings, ...result.infos].join('\n');
    });
  } catch (error) {
    if (!(error instanceof StarlingError)) throw error;
    return error.message;
  }
}

t.test(`queries in pieces equal queries at once (seed ${seed})`, async (t) => {
  const dice = new Dice(seed);
  const writer = new QueryWriter(dice);
  const data = dataSet(seed);
  let parts = 0;
  for (let i = 0; i < runs; i++) {
    const query = dice.chance(0.6) ? writer.fold() : writer.query(3);
    const startMs = DATA_START_MS + dice.below(40) * 60_000;
    const instant = dice.chance(0.2);
    const params: QueryParams = {
      ...{ startMs, endMs: instant ? startMs : Math.min(DATA_END_MS, startMs + 1_200_000) },
      ...{ stepMs: instant ? 1 : dice.pick([15_000, 60_000, 37_500]), lookbackMs: 300_000 },
      ...{ instant, text: query, delayedNameRemoval: dice.chance(0.2) },
    };
    const question = { query, params };
    const whole = answer(data, question, (columns) => columns);
    const pieces = answer(data, question, (columns) =>
      piecesOf(columns, (rows) => {
        if (rows < columns.labels.length) parts++;
      }),
    );
    if (pieces !== whole) t.equal(pieces, whole, query);
  }
  t.ok(parts > runs, `${parts} pieces were decoded`);
});

/** Eight series, those from the `first`-th on with histograms; a minus zero, NaN, and sums that overflow. */
function mixedColumns(first: number): SeriesColumns {
  const [rows, samples] = [8, 20];
  const cells = Array.from({ length: rows * samples }, (_, cell) => {
    const [row, i] = [Math.floor(cell / samples), cell % samples];
    const numbers = [0.1 * i, -0, i % 3 === 0 ? 1 : NaN, i % 2 === 0 ? 1e308 : -1e308];
    const isHistogram = row >= first && (row % 2 === 0 || i > samples / 2);
    return {
      i,
      value: numbers[row % 4]!,
      histogram: isHistogram ? histogramOf(row + i) : undefined,
    };
  });
  return {
    labels: Array.from({ length: rows }, (_, r) => metric('m', { g: String(r % 2), r: String(r) })),
    ends: Uint32Array.from({ length: rows }, (_, r) => (r + 1) * samples),
    timestamps: Float64Array.from(cells, ({ i }) => DATA_START_MS + i * 15_000),
    values: Float64Array.from(cells, ({ value }) => value),
    histograms: cells.map(({ histogram }) => histogram),
  };
}

function histogramOf(count: number): Histogram {
  return {
    ...{ hint: 'unknown', schema: 0, zeroThreshold: 0.001, zeroCount: count, count, sum: count },
    ...{ positive: NO_BUCKETS, negative: NO_BUCKETS, customBounds: NO_BOUNDS },
  };
}

t.test('histograms in some rows are folded as at once', async (t) => {
  const base = { startMs: DATA_START_MS + 60_000, endMs: DATA_START_MS + 290_000, stepMs: 17_000 };
  const run = (query: string, series: SeriesColumns | SeriesPieces): string =>
    withScratch(() => {
      const params = { ...base, lookbackMs: 60_000, instant: false, text: query };
      const result = evaluate(parseExpr(query), params, [series], { samplesMax: 1e6 });
      const json = Buffer.from(encodeResult(result)).toString();
      return [json, ...result.warnings, ...result.infos].join('\n');
    });
  for (const first of [0, 3, 5, 7, 99]) {
    for (const op of ['sum', 'avg', 'count', 'group', 'max', 'min', 'stddev', 'stdvar']) {
      for (const arg of ['m', 'rate(m[2m])', 'last_over_time(m[2m])', 'max_over_time(m[1m])']) {
        const query = `${op} by (g) (${arg})`;
        const columns = mixedColumns(first);
        const pieces = piecesOf(columns, () => undefined);
        t.equal(run(query, pieces), run(query, columns), `${query}, histograms from ${first} on`);
      }
    }
  }
});

t.test('cells that are never made at once count against the budget', async (t) => {
  const columns = mixedColumns(99);
  const params = { startMs: DATA_START_MS, endMs: DATA_START_MS + 99_000, stepMs: 1000 };
  const run = (series: SeriesColumns | SeriesPieces): unknown =>
    evaluate(
      parseExpr('sum(m)'),
      { ...params, lookbackMs: 60_000, instant: false },
      [series],
      { samplesMax: 700 }, // of 800
    );
  t.throws(() => run(columns), refusal('query.too_large'));
  t.throws(() => run(piecesOf(columns, () => undefined)), refusal('query.too_large'));
});

t.test('a part of a job gives its memory back', async (t) => {
  withScratch(() => {
    const place = (): number => scratchFloats(1000).byteOffset;
    const first = withScratchPart(place);
    t.equal(withScratchPart(place), first);
    t.not(place(), place(), 'what is no part keeps it');
  });
});

t.test('a job folds many samples in pieces, with the answer of whole columns', async (t) => {
  const SERIES = 40;
  const SAMPLES = 8000; // 320,000 in all: more than a job decodes at once
  const { tsdb } = await openTsdb(new MemoryDisk());
  const series = Array.from({ length: SERIES }, (_, i) => ({
    labels: metric('m', { i: String(i), job: String(i % 3) }),
    samples: Array.from({ length: SAMPLES }, (_, n) => [DATA_START_MS + n * 1000, n * i] as const),
  }));
  tsdb.append(batchOf(series), DATA_START_MS + SAMPLES * 1000);
  await tsdb.durable();
  const frames = framesOf(tsdb);
  const run = (query: string, wants: EvaluateInput['wants'], samplesMax = 1e6): string => {
    const { data } = runEvaluateJob({
      ...{ query, samplesMax, limit: 0, lookbackMs: 300_000, stepMs: 60_000 },
      ...{ startMs: DATA_START_MS, endMs: DATA_START_MS + SAMPLES * 1000 },
      ...(wants && { wants }),
      selections: [{ frames, range: EVERYTHING, isProjected: false }],
    });
    const { result } = JSON.parse(Buffer.from(data).toString()) as { readonly result: unknown };
    return JSON.stringify(result);
  };
  const queries = ['sum by (job)(rate(m[5m]))', 'avg(m)', 'max by (i)(m)', 'topk(2, rate(m[5m]))'];
  for (const query of queries) {
    t.equal(run(query, undefined), run(query, { stats: 'all' }), query);
    t.ok(run(query, undefined).length > 1000);
    for (const wants of [undefined, { stats: 'all' } as const])
      t.throws(() => run(query, wants, 300_000), refusal('query.too_large'), query);
  }
});
