/**
 * Exercise for a fresh process: the engine of the language compiles a loop only after it has run some
 * hundred times, so the first dashboards after a start would be several times slower than later
 * ones. Made-up series are selected, merged, evaluated and encoded until the loops are warm: once in a
 * worker, and on the loop in steps of about a millisecond. Touches no tenant's data.
 */
import { labelsFromPairs } from '../../model/labels.ts';
import { encodeLabels } from '../../model/wire/labels-codec.ts';
import { parseExpr, selectionsOf } from '../../promql/index.ts';
import { Head, selectFrames } from '../../storage/index.ts';
import { type EvaluateInput, runEvaluateJob } from './evaluate-job.ts';

export const WARM_UP_JOB = 'querier.warm-up';
/** The loop runs only small queries, and has clients to serve. */
const ROUNDS_ON_LOOP = 10;
const ROUNDS_IN_WORKER = 30;
const SERIES = 120;
const SAMPLES = 30;
const INTERVAL_MS = 15_000;
const START_MS = 1_700_000_000_000;
const END_MS = START_MS + SAMPLES * INTERVAL_MS;

/** What dashboards ask most: one of each kind. */
const QUERIES: readonly { readonly query: string; readonly stepMs: number }[] = [
  { query: 'up{pod=~"pod-1[0-9]+",zone!="zone-3"}', stepMs: 0 },
  { query: 'sum by (zone)(up)', stepMs: 0 },
  { query: 'count by (zone)({__name__=~"u.+"})', stepMs: 0 },
  { query: 'topk(5, sum by (pod)(rate(up[5m])))', stepMs: 0 },
  { query: 'rate(up{pod=~"pod-.*",zone!~"zone-[12]"}[5m])', stepMs: 0 },
  { query: 'sum by (zone)(rate(up[5m]))', stepMs: INTERVAL_MS },
  { query: 'histogram_quantile(0.9, sum by (le)(rate(up[1m]))) / 2', stepMs: INTERVAL_MS },
];

/** Runs one query a step. */
export function* warmUpSteps(rounds = ROUNDS_ON_LOOP): Generator<undefined, void> {
  const head = madeUpHead();
  for (let round = 0; round < rounds; round++) {
    for (const { query, stepMs } of QUERIES) {
      yield;
      runEvaluateJob(inputOf(head, query, stepMs));
    }
  }
}

/** The job of a worker: all steps at once. */
export function runWarmUpJob(): void {
  for (const _ of warmUpSteps(ROUNDS_IN_WORKER)) continue;
}

function madeUpHead(): Head {
  const head = new Head();
  const words = new Uint32Array(4);
  const value = new Float64Array(1);
  const samples = { timestamps: new Float64Array(1), values: new Uint32Array(value.buffer) };
  for (let i = 0; i < SERIES; i++) {
    const labels = labelsFromPairs([
      ['__name__', 'up'],
      ['le', String(i % 10)],
      ['pod', `pod-${i}`],
      ['zone', `zone-${i % 7}`],
    ]);
    words.fill(Math.imul(i + 1, 0x9e37_79b1));
    const s = head.addSeries(words, 0, encodeLabels(labels), i + 1);
    for (let k = 0; k < SAMPLES; k++) {
      value[0] = k * (i % 50) + ((i * k) % 7) / 10;
      samples.timestamps[0] = START_MS + k * INTERVAL_MS;
      head.append(s, samples, 0);
    }
  }
  return head;
}

function inputOf(head: Head, query: string, stepMs: number): EvaluateInput {
  const startMs = stepMs === 0 ? END_MS : START_MS;
  const lookbackMs = 300_000;
  const grid = { startMs, endMs: END_MS, lookbackMs, instant: stepMs === 0 };
  const selections = selectionsOf(parseExpr(query), { ...grid, stepMs: Math.max(stepMs, 1) });
  return {
    query,
    startMs,
    endMs: END_MS,
    stepMs,
    lookbackMs,
    samplesMax: SERIES * SAMPLES * 10,
    limit: 0,
    selections: selections.map((selection) => ({
      frames: [...selectFrames(head, [selection.matchers], selection, selection)].filter(
        (frame) => frame !== undefined,
      ),
      range: { minTimeMs: selection.minTimeMs, maxTimeMs: selection.maxTimeMs },
      isProjected: selection.projection !== undefined,
    })),
  };
}
