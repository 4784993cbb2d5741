/**
 * Exercise for a fresh process: the engine of the language compiles a loop only after it has run some hundred times, so
 * the first dashboards after a start would be several times slower than later ones. Made-up series of two replicas are
 * selected, merged, evaluated and encoded until the loops are warm: once in a worker, and on the loop in steps of a
 * millisecond, at first of several. A loop that then meets what it never met here is compiled again, so the replicas
 * differ, and most of what the index lists is not asked for. Touches no tenant's data.
 */
import { labelsFromPairs } from '../../model/labels.ts';
import { encodeLabels } from '../../model/wire/labels-codec.ts';
import { type Selection, parseExpr, selectionsOf } from '../../promql/index.ts';
import { Head, selectFrames } from '../../storage/index.ts';
import { type EvaluateInput, runEvaluateJob } from './evaluate-job.ts';

export const WARM_UP_JOB = 'querier.warm-up';
/** The loop runs only small queries, and has clients to serve. */
const ROUNDS_ON_LOOP = 10;
const ROUNDS_IN_WORKER = 30;
const SERIES = 120;
const SAMPLES = 30;
/** Series without samples, of other metrics on the same pods: so many before the others, and after them. */
const IDLE_SERIES = 1500;
const PODS = 500;
const IDLE_SERIES_PER_STEP = 60;
const INTERVAL_MS = 15_000;
const START_MS = 1_700_000_000_000;
const END_MS = START_MS + SAMPLES * INTERVAL_MS;

/** What dashboards ask most: one of each kind. */
const QUERIES: readonly { readonly query: string; readonly stepMs: number }[] = [
  { query: 'up{pod=~"pod-1[0-9]+",zone!="zone-3"}', stepMs: 0 },
  { query: 'sum by (zone)(up)', stepMs: 0 },
  { query: 'count by (zone)({__name__=~"u.+"})', stepMs: 0 },
  { query: 'topk(5, sum by (pod)(rate(up[5m])))', stepMs: 0 },
  { query: 'rate(up{pod=~"pod-.*",zone!~"zone-[12]",image=~"reg.+"}[5m])', stepMs: 0 },
  { query: 'sum by (zone)(rate(up[5m]))', stepMs: INTERVAL_MS },
  { query: 'histogram_quantile(0.9, sum by (le)(rate(up[1m]))) / 2', stepMs: INTERVAL_MS },
];

/** Makes some series or runs one query a step. */
export function* warmUpSteps(rounds = ROUNDS_ON_LOOP): Generator<undefined, void> {
  const replicas = [new Head(), new Head()];
  for (let r = 0; r < replicas.length; r++) {
    yield* addIdleSeries(replicas[r]!, 0);
    addSeries(replicas[r]!, r);
    yield* addIdleSeries(replicas[r]!, 1);
  }
  for (let round = 0; round < rounds; round++) {
    for (const { query, stepMs } of QUERIES) {
      yield;
      runEvaluateJob(inputOf(replicas, query, stepMs));
    }
  }
}

/** The job of a worker: all steps at once. */
export function runWarmUpJob(): void {
  for (const _ of warmUpSteps(ROUNDS_IN_WORKER)) continue;
}

/** Of three series the second replica has one whole, one without its first samples, one without its last. */
function addSeries(head: Head, replica: number): void {
  const value = new Float64Array(1);
  const samples = { timestamps: new Float64Array(1), values: new Uint32Array(value.buffer) };
  for (let i = 0; i < SERIES; i++) {
    const s = addLabels(head, 'up', i);
    const first = replica === 1 && i % 3 === 1 ? 3 : 0;
    const end = replica === 1 && i % 3 === 2 ? SAMPLES - 1 : SAMPLES;
    for (let k = first; k < end; k++) {
      value[0] = i % 2 === 0 ? k * (i % 50) + ((i * k) % 7) / 10 : Math.sin(i + k);
      samples.timestamps[0] = START_MS + k * INTERVAL_MS;
      head.append(s, samples, 0);
    }
  }
}

function* addIdleSeries(head: Head, part: number): Generator<undefined, void> {
  for (let i = 0; i < IDLE_SERIES; i++) {
    addLabels(head, `idle_${i % 40}`, SERIES + part * IDLE_SERIES + i);
    if (i % IDLE_SERIES_PER_STEP === 0) yield;
  }
}

function addLabels(head: Head, name: string, i: number): number {
  const labels = labelsFromPairs([
    ['__name__', name],
    [
      'image',
      'registry.example.org/team/service-with-a-name-of-some-length@sha256:'.padEnd(140, '0'),
    ],
    ['le', String(i % 10)],
    ['pod', `pod-${i % PODS}`],
    ['zone', `zone-${i % 7}`],
  ]);
  const words = new Uint32Array(4).fill(Math.imul(i + 1, 0x9e37_79b1) << 5); // some meet in tables
  return head.addSeries(words, 0, encodeLabels(labels), i + 1);
}

function inputOf(replicas: readonly Head[], query: string, stepMs: number): EvaluateInput {
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
      frames: replicas.flatMap((head) => framesOf(head, selection)),
      range: { minTimeMs: selection.minTimeMs, maxTimeMs: selection.maxTimeMs },
      isProjected: selection.projection !== undefined,
    })),
  };
}

function framesOf(head: Head, selection: Selection): readonly Uint8Array[] {
  const frames = [...selectFrames(head, [selection.matchers], selection, selection)];
  return frames.filter((frame) => frame !== undefined);
}
