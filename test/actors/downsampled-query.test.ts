/**
 * Goal: what is answered from aggregates is what samples answer, wherever a plan says that it is; which blocks are
 * read; and what an answer tells of it.
 * Method: random series as samples and as aggregates of 5 minutes and 1 hour up to some time, samples from then on:
 * the same queries through the evaluate job; the choice of blocks over drawings.
 */
import fc from 'fast-check';
import t from 'tap';
import { chooseBlocks, type ChooseOptions } from '../../actors/querier/choose-blocks.ts';
import { type EvaluateInput, runEvaluateJob } from '../../actors/querier/evaluate-job.ts';
import { resolutionNotes } from '../../actors/querier/resolution-notes.ts';
import { STALE_NAN_HIGH, STALE_NAN_LOW } from '../../model/sample.ts';
import { encodeLabels } from '../../model/wire/labels-codec.ts';
import { SeriesFrameWriter } from '../../model/wire/series-frame.ts';
import type { WindowValue } from '../../model/window-value.ts';
import {
  EXPERIMENTAL_LANGUAGE,
  type QueryParams,
  type Selection,
  parseExpr,
  selectionsOf,
} from '../../promql/index.ts';
import { CHUNK_AGGREGATES, CHUNK_XOR, type ChunkBytes } from '../../storage/block/format.ts';
import { AGGREGATES_OF, pickAggregates } from '../../storage/chunk/aggregate-chunk.ts';
import { xorChunksOf } from '../../storage/chunk/xor-chunks.ts';
import { SeriesDownsampler } from '../../storage/downsample/series-downsampler.ts';
import type { BlockId, BucketIndex, DownsampledBlock } from '../../storage/index.ts';
import { testBlockId } from '../support/block-contents.ts';
import { histogramChunks, histogramSeries } from '../support/histograms.ts';
import { fingerprintOf, metric } from '../support/toy-tsdb.ts';

const HOUR = 3_600_000;
const MINUTES_5 = 300_000;
const START = 1_699_920_000_000; // midnight, UTC
/** Aggregates before, samples from here on. */
const CUT = START + 9 * HOUR;

interface Series {
  readonly name: string;
  readonly times: Float64Array;
  readonly values: Float64Array;
  /** Between the numbers, before the one at this place. */
  readonly histograms?: { readonly at: number; readonly chunks: readonly ChunkBytes[] } | undefined;
}

/** The chunks of `[from, to)` of the numbers, and of the histograms that lie before one of these. */
function chunksBetween(series: Series, from: number, to: number): readonly ChunkBytes[] {
  const { at, chunks } = series.histograms ?? { at: -1, chunks: [] };
  if (at < from || at >= to) return chunksOf(series, from, to);
  return [...chunksOf(series, from, at), ...chunks, ...chunksOf(series, at, to)];
}

function chunksOf({ times, values }: Series, from: number, to: number): ChunkBytes[] {
  return xorChunksOf(times, values, from, to).map((chunk) => ({
    ...chunk,
    ...{ encoding: CHUNK_XOR, from: 0, to: chunk.bytes.length },
  }));
}

function frameOf(
  all: readonly Series[],
  resolutionMs: number,
  value: WindowValue = 'kept',
): Uint8Array {
  const writer = new SeriesFrameWriter();
  for (const series of all) {
    const cutAt = series.times.findIndex((time) => time >= CUT);
    const middle = resolutionMs === 0 ? 0 : cutAt < 0 ? series.times.length : cutAt;
    const chunks: ChunkBytes[] = [];
    if (middle > 0) {
      const downsampler = new SeriesDownsampler({ resolutionMs, lastMs: CUT - 1 });
      downsampler.begin();
      for (const chunk of chunksBetween(series, 0, middle)) downsampler.add(chunk);
      downsampler.finish();
      for (const chunk of downsampler.ready) {
        const picked = chunk.encoding === CHUNK_AGGREGATES;
        const bytes = picked && pickAggregates(chunk.bytes, AGGREGATES_OF[value]);
        chunks.push(bytes ? { ...chunk, bytes, to: bytes.length } : chunk);
      }
    }
    chunks.push(...chunksBetween(series, middle, series.times.length));
    const labels = encodeLabels(metric('x_total', { name: series.name }));
    const print = new Uint32Array(4);
    fingerprintOf(labels, print);
    writer.putSeries(print, 0, labels, 0, labels.length, chunks.length);
    for (const { bytes, encoding, from, maxTimeMs, minTimeMs, to } of chunks) {
      writer.putChunk(minTimeMs, maxTimeMs, bytes, from, to - from, encoding);
    }
  }
  return writer.finish();
}

type Times = Pick<QueryParams, 'endMs' | 'lookbackMs' | 'startMs' | 'stepMs'>;

function run(
  all: readonly Series[],
  query: string,
  times: Times,
  downsampling: QueryParams['downsampling'],
): {
  readonly data: unknown;
  readonly explain: unknown;
  readonly selections: readonly Selection[];
} {
  const params = { ...times, instant: false, downsampling };
  const selections = selectionsOf(parseExpr(query, EXPERIMENTAL_LANGUAGE), params);
  const input: EvaluateInput = {
    ...{
      query,
      ...times,
      samplesMax: 1e7,
      limit: 0,
      isExperimental: true,
      downsampling,
      wants: { explain: true },
    },
    selections: selections.map(({ maxTimeMs, minTimeMs, resolutionMs = 0, value }) => ({
      ...{ isProjected: false, range: { minTimeMs, maxTimeMs }, resolutionMs },
      frames: [frameOf(all, resolutionMs, value)],
      value: value ?? 'kept',
    })),
  };
  const { data, explain } = runEvaluateJob(input);
  return {
    data: JSON.parse(Buffer.from(data).toString()),
    explain: JSON.parse(explain ?? '{}'),
    selections,
  };
}

/** Equal, but for what the order of additions changes. */
function isAlike(a: unknown, b: unknown): boolean {
  if (typeof a === 'string' && typeof b === 'string') {
    const [one, other] = [Number(a), Number(b)];
    return a === b || Math.abs(one - other) <= 1e-9 * Math.max(1, Math.abs(one), Math.abs(other));
  }
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return a === b;
  const [ones, others] = [Object.entries(a), Object.entries(b)];
  return (
    ones.length === others.length &&
    ones.every(([key, value], i) => others[i]![0] === key && isAlike(value, others[i]![1]))
  );
}

const series = fc
  .record({
    steps: fc.array(
      fc.record({
        gap: fc.oneof(
          { weight: 12, arbitrary: fc.constantFrom(60_000, 30_000, 59_997) },
          { weight: 1, arbitrary: fc.integer({ min: 1, max: 2 * HOUR }) },
        ),
        change: fc.integer({ min: 0, max: 9 }),
        kind: fc.oneof(
          { weight: 20, arbitrary: fc.constant('up') },
          { weight: 2, arbitrary: fc.constantFrom('reset', 'stale', 'same', 'below') },
        ),
      }),
      { minLength: 1, maxLength: 700, size: 'max' },
    ),
    offset: fc.constantFrom(0, 0, 1, 12_345),
    first: fc.constantFrom(0, 0.1, 1000),
    mixed: fc.option(
      fc.record({
        part: fc.double({ min: 0, max: 1, noNaN: true }),
        seed: fc.nat(),
        count: fc.integer({ min: 1, max: 90 }),
      }),
      { freq: 3 }, // one of four is of numbers only
    ),
  })
  .map(({ first, mixed, offset, steps }) => {
    const times = new Float64Array(steps.length);
    const values = new Float64Array(steps.length);
    const words = new Uint32Array(values.buffer);
    let time = START + offset;
    let value: number = first;
    const at = mixed === null ? -1 : Math.floor(mixed.part * (steps.length - 1));
    let chunks: readonly ChunkBytes[] = [];
    steps.forEach(({ change, gap, kind }, i) => {
      value = kind === 'reset' ? change : kind === 'below' ? -change : value + change;
      if (i === at && mixed !== null) {
        const { count, seed } = mixed;
        chunks = histogramChunks(histogramSeries('integer', { startMs: time, count, seed }));
        time += count * 15_000 + 1000;
      }
      times[i] = time;
      values[i] = value;
      if (kind === 'stale') words.set([STALE_NAN_LOW, STALE_NAN_HIGH], i * 2);
      time += gap;
    });
    return { times, values, histograms: at < 0 ? undefined : { at, chunks } };
  });
const several = fc
  .array(series, { minLength: 1, maxLength: 3 })
  .map((all) => all.map((one, i) => ({ ...one, name: `s${i}` })));

const SAME = [
  ...['sum', 'count', 'min', 'max', 'avg', 'last', 'first', 'present', 'absent'].map(
    (name) => `${name}_over_time(x_total[W])`,
  ),
  ...['rate', 'increase', 'delta'].map((name) => `${name}(x_total[W])`),
  'x_total',
  'timestamp(x_total)',
  'sum(rate((x_total[W] offset 1h)))',
  'sum by (name) (x_total) / max_over_time(x_total[W])',
  'max_over_time(rate(x_total[W])[2h:1h])',
  'rate(x_total[W] @ 1699938000)',
];

t.test('aggregates answer as samples do', (t) => {
  fc.assert(
    fc.property(several, fc.integer({ min: 1, max: 3 }), (all, hours) => {
      for (const [maxResolutionMs, stepMs, range] of [
        [HOUR, HOUR, `${hours}h`],
        [MINUTES_5, MINUTES_5 * 3, `${hours * 10}m`],
      ] as const) {
        const times = { startMs: START, endMs: START + 13 * HOUR, stepMs, lookbackMs: MINUTES_5 };
        for (const text of SAME) {
          const query = text.replaceAll('W', range);
          const downsampling = { maxResolutionMs, isApproximate: false, untilMs: CUT };
          const coarse = run(all, query, times, downsampling);
          const fine = run(all, query, times, undefined);
          if (coarse.selections.some(({ resolutionMs }) => resolutionMs !== maxResolutionMs)) {
            t.fail(`${query} reads samples`);
          }
          if (!isAlike(coarse.data, fine.data)) t.strictSame(coarse.data, fine.data, query);
        }
      }
    }),
    { numRuns: 40 },
  );
  t.pass();
  t.end();
});

t.test('samples are read where aggregates would answer otherwise', (t) => {
  const check = (
    query: string,
    expected: readonly (string | undefined)[],
    changes: Partial<Times> & { isApproximate?: boolean; untilMs?: number; max?: number } = {},
  ): void => {
    const { isApproximate = false, max = HOUR, untilMs = CUT, ...times } = changes;
    const downsampling = { maxResolutionMs: max, isApproximate, untilMs };
    const params = {
      ...{ startMs: START, endMs: START + 5 * HOUR, stepMs: HOUR, lookbackMs: MINUTES_5 },
      ...{ ...times, instant: false, downsampling },
    };
    const got = selectionsOf(parseExpr(query, {}), params);
    t.strictSame(
      got.map(({ resolutionMs, value }) => value && `${value} ${(resolutionMs ?? 0) / 60_000}m`),
      expected,
      query,
    );
  };
  check('rate(x[1h])', ['rate 60m']);
  check('rate(x[1h])', ['rate 5m'], { max: MINUTES_5 });
  check('rate(x[30m])', ['rate 5m']);
  check('rate(x[7m])', ['rate 0m']);
  check('rate(x[7m])', ['rate 5m'], { isApproximate: true });
  check('rate(x[1m])', ['rate 0m'], { isApproximate: true });
  check('rate(x[1h] offset 5m)', ['rate 5m']);
  check('rate(x[1h] offset 1m)', ['rate 0m']);
  check('rate(x[1h])', ['rate 0m'], { stepMs: 60_000 });
  check('rate(x[1h])', ['rate 0m'], { startMs: START + 1 });
  check('rate(x[1h] @ start())', ['rate 60m'], { stepMs: 60_000 });
  check('rate(x[1h])', [undefined], { untilMs: START - HOUR });
  check('timestamp(x @ 1699938060 offset 1m)', ['kept 60m']);
  check('timestamp(x @ 1699937940 offset -1m)', [undefined]); // the newest at T, of those until later
  check('timestamp(x @ 1699937940 offset -1m)', [undefined], { isApproximate: true });
  check('last_over_time(x[1h] @ 1699937940 offset -1m)', ['kept 60m']);
  check('x', ['kept 60m']);
  check('x', ['kept 5m'], { isApproximate: true, startMs: START + 1 });
  check('quantile_over_time(0.9, x[1h])', [undefined]);
  check('irate(x[1h])', [undefined]);
  check('changes(x[1h]) + resets(x[1h])', [undefined]);
  check('min_over_time(x[1h]) - max_over_time(x[1h])', ['min 60m', 'max 60m']);
  check('avg_over_time(x[1h]) - x', ['average 60m', 'kept 60m']);
  check('sum_over_time(x[1h]) - sum_over_time(x[2h])', ['sum 60m']); // one fetch
  t.end();
});

t.test('explain tells what was read', (t) => {
  const times = new Float64Array([START, START + HOUR]);
  const all = [{ name: 'a', times, values: new Float64Array([1, 2]) }];
  const range = { startMs: START, endMs: START + HOUR, stepMs: HOUR, lookbackMs: 1 };
  const downsampling = { maxResolutionMs: HOUR, isApproximate: false, untilMs: CUT };
  const { explain } = run(all, 'sum_over_time(x_total[1h])', range, downsampling);
  t.match(explain, { fetches: [{ value: 'sum', resolution: '1h', samples: 2 }] });
  const { explain: raw } = run(all, 'sum_over_time(x_total[1h])', range, undefined);
  t.notMatch(raw, { fetches: [{ resolution: String }] });
  t.end();
});

/** `1: 0-24`, `5m 7: 0-24 = 1 2`, `1h …`, `~5m …` of others; sources default to itself. */
function indexOf(drawings: readonly string[]): BucketIndex {
  const blocks = [];
  const downsampled: DownsampledBlock[] = [];
  for (const drawing of drawings) {
    const [, kind, n, from, to, sources] =
      /^(~?5m|~?1h)? ?(\d+): (\d+)-(\d+)(?: = (.*))?$/.exec(drawing) ?? [];
    const block = {
      ...{ id: testBlockId(Number(n)), segmentCount: 1, uploadedAtMs: 0, stores: [] },
      ...{ minTimeMs: Number(from), maxTimeMs: Number(to) },
      sources: (sources ?? n ?? '').split(' ').map((source) => testBlockId(Number(source))),
    };
    if (kind === undefined) blocks.push(block);
    else {
      const resolutionMs = kind.endsWith('5m') ? MINUTES_5 : HOUR;
      downsampled.push({ ...block, resolutionMs, isExact: !kind.startsWith('~') });
    }
  }
  return { blocks, downsampled, deletions: new Map(), updatedAtMs: 0 };
}

t.test('chooseBlocks() takes the coarsest that is alone, and what has no samples any more', (t) => {
  const check = (
    drawings: readonly string[],
    [chosen, forced, raw]: readonly [string, string, string],
    changes: Partial<ChooseOptions> = {},
  ): void => {
    const choice = chooseBlocks(indexOf(drawings), {
      ...{ range: { minTimeMs: 0, maxTimeMs: 999 }, maxResolutionMs: HOUR, heldFromMs: 1000 },
      ...{ isApproximate: false, isIgnored: () => false, ...changes },
    });
    const names = (blocks: readonly { readonly id: string }[]): string =>
      blocks
        .map(({ id }) => Number(id.slice(4)))
        .sort((a, b) => a - b)
        .join(' ');
    t.strictSame(
      [names(choice.chosen), names(choice.forced), names(choice.raw)],
      [chosen, forced, raw],
      drawings.join(', '),
    );
  };
  const day = ['1: 0-24', '5m 2: 0-24 = 1', '1h 3: 0-24 = 1'];
  check(day, ['3', '', '']);
  check(day, ['2', '', ''], { maxResolutionMs: MINUTES_5 });
  check(day, ['', '', '1'], { maxResolutionMs: 0 });
  check(day, ['', '', '1'], { heldFromMs: 23 });
  check([...day, '4: 24-48'], ['3', '', '4']);
  check([...day, '4: 10-12'], ['', '', '1 4']); // samples that came late are not in it yet
  check([...day, '4: 10-12'], ['3', '', '4'], { range: { minTimeMs: 15, maxTimeMs: 99 } });
  check(['4: 0-24 = 1 2', '5m 5: 0-24 = 1'], ['', '', '4']); // merged anew since
  check(['1: 0-12', '2: 12-24', '5m 5: 0-24 = 1 2'], ['5', '', '']);
  check(['1: 0-24', '5m 2: 0-24 = 1', '5m 3: 0-24 = 1'], ['2', '', '']); // the job was done twice
  check(['5m 2: 0-24 = 1', '1h 3: 0-24 = 1'], ['3', '', '']);
  check(['5m 2: 0-24 = 1', '1h 3: 0-24 = 1'], ['', '2', ''], { maxResolutionMs: 0 });
  check(['5m 2: 0-24 = 1', '7: 10-12'], ['', '2', '7']); // read with what came late, and told
  check(['5m 2: 0-24 = 1'], ['', '2', ''], { heldFromMs: 5 });
  check(['5m 2: 0-24 = 1', '3: 24-48'], ['', '', '3'], { range: { minTimeMs: 30, maxTimeMs: 40 } });
  check(['1: 0-24', '~5m 2: 0-24 = 1'], ['', '', '1']);
  check(['1: 0-24', '~5m 2: 0-24 = 1'], ['2', '', ''], { isApproximate: true });
  check(['~5m 2: 0-24 = 1'], ['', '2', '']);
  check(day, ['2', '', ''], { isIgnored: ({ id }) => id === testBlockId(3) });
  t.end();
});

t.test('chooseBlocks() looks at each source a few times, and at none for what is newer', (t) => {
  const [days, perDay] = [40, 100];
  let looks = 0;
  const drawings = Array.from({ length: days }, (_, day) => {
    const sources = Array.from({ length: perDay }, (_, i) => 1000 + day * perDay + i).join(' ');
    const at = `${day * 24}-${day * 24 + 24}`;
    const one = `${day * 3 + 1}: ${at} = ${sources}`;
    return day === days - 1
      ? [one]
      : [one, `5m ${day * 3 + 2}: ${at} = ${sources}`, `1h ${day * 3 + 3}: ${at} = ${sources}`];
  });
  const index = indexOf(drawings.flat());
  const counted = <Block extends { readonly sources: readonly BlockId[] }>(
    block: Block,
  ): Block => ({
    ...block,
    sources: new Proxy(block.sources, {
      get: (target, key) => {
        looks++;
        return Reflect.get(target, key) as unknown;
      },
    }),
  });
  const check = (minTimeMs: number, maxResolutionMs: number, expected: number): void => {
    looks = 0;
    const { chosen, forced } = chooseBlocks(
      {
        ...index,
        blocks: index.blocks.map(counted),
        downsampled: index.downsampled?.map(counted),
      },
      {
        ...{ range: { minTimeMs, maxTimeMs: 9999 }, maxResolutionMs, heldFromMs: 9999 },
        ...{ isApproximate: false, isIgnored: () => false },
      },
    );
    t.strictSame([chosen.length, forced.length], [expected, 0]);
    t.ok(looks <= (expected === 0 && minTimeMs > 0 ? 0 : 20 * days * perDay), `${looks} looks`);
  };
  check(0, HOUR, days - 1);
  check(0, 0, 0);
  check((days - 1) * 24, HOUR, 0);
  t.end();
});

t.test('resolutionNotes() tells of what is near, and of what is gone', (t) => {
  const index = indexOf(['5m 2: 0-24 = 1', '~5m 3: 0-24 = 4']);
  const [own, others] = (index.downsampled ?? []).map((one) => [one]);
  const check = (
    use: Partial<Parameters<typeof resolutionNotes>[0][number]>,
    wish: { value?: WindowValue; resolutionMs?: number },
    mode: 'auto' | 'raw' | '5m',
    expected: { warnings?: RegExp; infos?: RegExp },
  ): void => {
    const uses = [{ chosen: [], forced: [], isDoubled: false, ...use }];
    const { infos, warnings } = resolutionNotes(uses, [wish], mode);
    t.match(warnings.join(), expected.warnings ?? /^$/);
    t.match(infos.join(), expected.infos ?? /^$/);
  };
  const rate = { value: 'rate', resolutionMs: MINUTES_5 } as const;
  check({ chosen: own ?? [] }, rate, 'auto', {});
  check({ chosen: own ?? [] }, rate, '5m', { infos: /aggregates of up to 5m were read/ });
  const gone = /samples from 0 ms to 24 ms are gone/;
  check({ forced: own ?? [] }, rate, 'auto', { infos: gone });
  check({ forced: others ?? [] }, rate, 'auto', { warnings: gone });
  check({ forced: own ?? [] }, { ...rate, resolutionMs: 0 }, 'auto', { warnings: /is near/ });
  check({ forced: own ?? [] }, {}, 'auto', { warnings: /cannot be told exactly/ });
  check({ forced: own ?? [] }, rate, 'raw', { warnings: /leaves out/ });
  check({ forced: own ?? [], isDoubled: true }, rate, 'auto', { warnings: /came later/ });
  t.end();
});
