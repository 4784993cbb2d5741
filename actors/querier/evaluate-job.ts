/**
 * The worker job behind a query: merge the replicas' frames, evaluate, encode the JSON. A name plus
 * data, so that it runs in a worker, inline for small queries, and inline in the simulator.
 */
import { StarlingError } from '../../model/errors.ts';
import type { TimeRange } from '../../model/sample.ts';
import { encodeResult, evaluate, parseExpr } from '../../promql/index.ts';
import { mergeSeriesFrames } from '../../storage/index.ts';

export const EVALUATE_JOB = 'querier.evaluate';

export interface EvaluateInput {
  readonly query: string;
  readonly startMs: number;
  readonly endMs: number;
  readonly stepMs: number;
  readonly lookbackMs: number;
  readonly samplesMax: number;
  readonly limit: number;
  /** By selection id: the frames of all replicas, and the range to keep. */
  readonly selections: readonly {
    readonly frames: readonly Uint8Array[];
    readonly range: TimeRange;
  }[];
}

export interface EvaluateOutput {
  readonly data: Uint8Array;
  readonly warnings: readonly string[];
  readonly infos: readonly string[];
}

export function runEvaluateJob(input: EvaluateInput): EvaluateOutput {
  const expr = parseExpr(input.query);
  const isInstant = input.stepMs === 0;
  let samples = 0;
  const columns = input.selections.map(({ frames, range }) => {
    const merged = mergeSeriesFrames(frames, range);
    samples += merged.timestamps.length;
    if (samples > input.samplesMax) {
      const facts = { what: 'samples', count: samples, countMax: input.samplesMax };
      throw new StarlingError('query.too_large', facts);
    }
    return merged;
  });
  const result = evaluate(
    expr,
    {
      startMs: input.startMs,
      endMs: input.endMs,
      stepMs: isInstant ? 1 : input.stepMs,
      lookbackMs: input.lookbackMs,
      instant: isInstant,
      text: input.query,
    },
    columns,
    { samplesMax: input.samplesMax },
  );
  return { data: encodeResult(result), warnings: result.warnings, infos: result.infos };
}
