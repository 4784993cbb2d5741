// Goal: what is folded in pieces is the same to the last bit as what is folded at once, and says the same.
// Method: random queries over the data set, its series decoded one or two at a time; real frames in a job.
import t from 'tap';
import { type EvaluateInput, runEvaluateJob } from '../../actors/querier/evaluate-job.ts';
import { StarlingError } from '../../model/errors.ts';
import { scratchFloats, withScratch } from '../../model/scratch-memory.ts';
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
  const { ends, labels, timestamps, values } = columns;
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
      return piece;
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
