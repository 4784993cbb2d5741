/**
 * The worker job behind a query: merge the replicas' frames, evaluate, encode the JSON. A name plus
 * data, so that it runs in a worker, inline for small queries, and inline in the simulator.
 */
import { StarlingError } from '../../model/errors.ts';
import { withScratch } from '../../model/scratch-memory.ts';
import type { TimeRange } from '../../model/sample.ts';
import type { SeriesColumns, SeriesPieces } from '../../model/series-columns.ts';
import type { WindowValue } from '../../model/window-value.ts';
import {
  type QueryResult,
  Trace,
  encodeResult,
  evaluatePlan,
  explained,
} from '../../promql/index.ts';
import type { QueryWants } from './messages.ts';
import { type PlanInput, type PlannedQuery, plannedQuery } from './planned-query.ts';
import { phasesOf, statsOf } from './query-stats.ts';
import { joinSeriesFrames } from '../../storage/index.ts';

export const EVALUATE_JOB = 'querier.evaluate';
/** Of a selection; more are decoded as they are needed. */
const WHOLE_SAMPLES_MAX = 256 * 1024;

export interface EvaluateInput extends PlanInput {
  readonly samplesMax: number;
  readonly limit: number;
  readonly wants?: QueryWants;
  /** What went before: the wait for a place, and for the series. */
  readonly before?: { readonly queueMs: number; readonly gatherMs: number };
  /** Shared; not 0 once nobody waits for the output. */
  readonly stopFlag?: Int32Array;
  /** By selection id: the frames of all replicas, and the range to keep. */
  readonly selections: readonly {
    readonly frames: readonly Uint8Array[];
    readonly range: TimeRange;
    /** The frames carry some labels only. */
    readonly isProjected: boolean;
    /** What to take of chunks of aggregates. */
    readonly value?: WindowValue;
    /** The coarsest of those; 0: there are none. */
    readonly resolutionMs?: number;
  }[];
}

export interface EvaluateOutput {
  readonly data: Uint8Array;
  readonly warnings: readonly string[];
  readonly infos: readonly string[];
  /** The plan and what its nodes did, as JSON, when it was asked for. */
  readonly explain?: string;
}

/** `nowMs` is read for statistics only; `planned` is what the selections were made by. */
export function runEvaluateJob(
  input: EvaluateInput,
  nowMs = (): number => 0,
  planned = plannedQuery(input),
): EvaluateOutput {
  return withScratch(() => evaluated(input, nowMs, planned));
}

function evaluated(
  input: EvaluateInput,
  nowMs: () => number,
  { params, plan }: PlannedQuery,
): EvaluateOutput {
  const startedMs = nowMs();
  const check = (): void => checkStop(input.stopFlag);
  const { explain = false, stats } = input.wants ?? {};
  const trace = explain || stats !== undefined ? new Trace(nowMs) : undefined;
  const series = new InputSeries(input);
  const columns = input.selections.map((_, i) => {
    check();
    return trace === undefined ? series.piecesOf(i) : series.columnsOf(i);
  });
  const decodedMs = nowMs();
  const budget = { samplesMax: input.samplesMax, check };
  const result = evaluatePlan(plan, params, columns, budget, trace);
  check();
  const { isCut, kept } = limitedResult(result, input.limit);
  const warnings = isCut ? [...result.warnings, LIMIT_WARNING] : result.warnings;
  const output = { warnings, infos: result.infos };
  if (trace === undefined) return { ...output, data: encodeResult(kept) };
  const before = input.before ?? { queueMs: 0, gatherMs: 0 };
  const timings = { ...before, startedMs, decodedMs, endedMs: nowMs() };
  const told: Record<string, string> = {};
  if (stats !== undefined)
    told['stats'] = JSON.stringify(statsOf(trace, params, timings, stats === 'all'));
  const data = encodeResult(kept, told);
  if (!explain) return { ...output, data };
  const resolutionsMs = input.selections.map(({ resolutionMs = 0 }) => resolutionMs);
  const decoded = columns.filter((one) => 'ends' in one); // all: a trace is of whole columns
  const explanationOfPlan = explained(plan, decoded, trace, resolutionsMs);
  const explanation = { timings: phasesOf(timings), ...explanationOfPlan };
  return { ...output, data, explain: JSON.stringify(explanation) };
}

/** The series of the selections, and how many samples of them were decoded. */
class InputSeries {
  readonly #input: EvaluateInput;
  /** By selection. */
  readonly #samples: number[];

  constructor(input: EvaluateInput) {
    this.#input = input;
    this.#samples = input.selections.map(() => 0);
  }

  columnsOf(selection: number): SeriesColumns {
    const pieces = this.#joined(selection);
    return pieces.decode(0, pieces.labels.length);
  }

  /** Decoded at once, unless that is more than a core's caches hold. */
  piecesOf(selection: number): SeriesColumns | SeriesPieces {
    const pieces = this.#joined(selection);
    const isLarge = pieces.samples > WHOLE_SAMPLES_MAX;
    return isLarge ? pieces : pieces.decode(0, pieces.labels.length);
  }

  #joined(selection: number): SeriesPieces {
    const { frames, isProjected, range, value } = this.#input.selections[selection]!;
    const joined = readFrames(() => joinSeriesFrames(frames, range, { isProjected, value }));
    return {
      ...joined,
      decode: (from, to) => {
        checkStop(this.#input.stopFlag);
        const columns = readFrames(() => joined.decode(from, to));
        this.#count(selection, from, columns.timestamps.length);
        return columns;
      },
    };
  }

  /** Rows that are decoded again count once. */
  #count(selection: number, from: number, samples: number): void {
    this.#samples[selection] = (from === 0 ? 0 : this.#samples[selection]!) + samples;
    const count = this.#samples.reduce((sum, one) => sum + one, 0);
    const countMax = this.#input.samplesMax;
    if (count <= countMax) return;
    throw new StarlingError('query.too_large', { what: 'samples', count, countMax });
  }
}

/** What an instance sent is not the client's fault: throws `internal` for what cannot be read. */
export function readFrames<Result>(work: () => Result): Result {
  try {
    return work();
  } catch (error) {
    const isOurs = error instanceof StarlingError && error.id === 'request.canceled';
    throw isOurs ? error : new StarlingError('internal', undefined, error);
  }
}

/** Throws `request.canceled` once the flag is set: the asker was told why already. */
export function checkStop(stopFlag: Int32Array | undefined): void {
  if (stopFlag !== undefined && Atomics.load(stopFlag, 0) !== 0)
    throw new StarlingError('request.canceled', undefined);
}

export const LIMIT_WARNING = 'results truncated due to limit';

/** The first `limit` series of a result; 0 is no limit. */
function limitedResult(
  result: QueryResult,
  limit: number,
): { readonly kept: QueryResult; readonly isCut: boolean } {
  if (limit === 0) return { kept: result, isCut: false };
  if (result.resultType === 'matrix' && result.series.labels.length > limit) {
    const { series } = result;
    const samples = series.ends[limit - 1]!;
    const kept = {
      labels: series.labels.slice(0, limit),
      histograms: series.histograms?.slice(0, samples),
      ends: series.ends.subarray(0, limit),
      timestamps: series.timestamps.subarray(0, samples),
      values: series.values.subarray(0, samples),
    };
    return { kept: { ...result, series: kept }, isCut: true };
  }
  if (result.resultType === 'vector' && result.labels.length > limit) {
    const labels = result.labels.slice(0, limit);
    return { kept: { ...result, labels, values: result.values.subarray(0, limit) }, isCut: true };
  }
  return { kept: result, isCut: false };
}
