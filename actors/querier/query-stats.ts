/**
 * The `stats` member of an answer, in Prometheus' shape (times in seconds, samples in total and by step),
 * and how long each phase took, for `explain`.
 */
import type { QueryParams, Trace } from '../../promql/index.ts';

/** When what happened, on one monotonic clock; the first two are lengths. */
export interface Timings {
  readonly queueMs: number;
  readonly gatherMs: number;
  readonly startedMs: number;
  readonly decodedMs: number;
  readonly endedMs: number;
}

export function statsOf(
  trace: Trace,
  { startMs, stepMs }: QueryParams,
  { decodedMs, endedMs, gatherMs, queueMs, startedMs }: Timings,
  isByStep: boolean,
): unknown {
  const prepareMs = gatherMs + decodedMs - startedMs;
  const totalMs = gatherMs + endedMs - startedMs;
  const samples = {
    totalQueryableSamples: trace.samplesTotal,
    peakSamples: trace.peakSamples,
  };
  const byStep = Array.from(trace.samplesByStep, (count, t) => [
    (startMs + t * stepMs) / 1000,
    count,
  ]);
  return {
    timings: {
      evalTotalTime: totalMs / 1000,
      resultSortTime: 0,
      queryPreparationTime: prepareMs / 1000,
      innerEvalTime: (endedMs - decodedMs) / 1000,
      execQueueTime: queueMs / 1000,
      execTotalTime: (queueMs + totalMs) / 1000,
    },
    samples: isByStep ? { ...samples, totalQueryableSamplesPerStep: byStep } : samples,
  };
}

/** The phases of a query one after the other, in milliseconds. */
export function phasesOf({ decodedMs, endedMs, gatherMs, queueMs, startedMs }: Timings): unknown {
  const rounded = (ms: number): number => Math.round(ms * 1000) / 1000;
  return {
    queueMs: rounded(queueMs),
    gatherMs: rounded(gatherMs),
    decodeMs: rounded(decodedMs - startedMs),
    evaluateMs: rounded(endedMs - decodedMs),
  };
}
