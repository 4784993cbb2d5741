/**
 * npm run bench [-- PATTERN]: the steps of the write and read path, each with a stable id, fixed sizes and
 * fixed iteration counts; minimum and median of the runs. Results are consumed, garbage is collected
 * between samples. Figures are CPU seconds per million samples unless the id says otherwise.
 */
import snappyjs from 'snappyjs';
import { ANONYMOUS_TENANT } from '../model/ids.ts';
import { SINGLE_TENANT_LIMITS } from '../model/limits.ts';
import { scratchFloats, withScratch } from '../model/scratch-memory.ts';
import type { SeriesColumns } from '../model/series-columns.ts';
import { fingerprint, tenantFingerprintKey, viewOf } from '../model/wire/fingerprint.ts';
import {
  beginWriteRequestPass,
  continueWriteRequestPass,
  createWriteColumns,
} from '../model/wire/remote-write.ts';
import { snappyDecode } from '../model/wire/snappy.ts';
import type { WriteBatch } from '../model/wire/write-batch.ts';
import { createKnownSeries } from '../actors/distributor/known-series.ts';
import { fillChunk } from '../actors/distributor/fill-chunk.ts';
import { beginPushPlan, continuePushPlan, markHeld } from '../actors/distributor/push-plan.ts';
import { encodeResult, evaluate, parseExpr, selectionsOf } from '../promql/index.ts';
import { mergeSeriesFrames } from '../storage/index.ts';
import { Head } from '../storage/head/head.ts';
import { selectFrames } from '../storage/head/select.ts';
import { xorChunk } from '../storage/chunk/xor-chunks.ts';
import { decodeXor } from '../storage/chunk/xor-decode.ts';
import { XorDecoder } from '../storage/chunk/xor-kernel.ts';
import { SCRAPE_INTERVAL_MS, SERIES_PER_REQUEST, buildLoad } from './cluster/load.ts';

const RUNS = 9;
const ROUNDS = 40;
const START_MS = 1_700_000_000_000;
const BODY_BYTES_MAX = 1 << 24;
const pattern = process.argv[2] ?? '';
let sink = 0;

function measure(id: string, millions: number, work: () => number): void {
  if (!id.includes(pattern)) return;
  const times: number[] = [];
  for (let run = 0; run < RUNS; run++) {
    (globalThis as { gc?: () => void }).gc?.();
    const before = process.cpuUsage();
    sink += work();
    const { system, user } = process.cpuUsage(before);
    times.push((system + user) / 1e6 / millions);
  }
  times.sort((a, b) => a - b);
  console.log(
    `${id.padEnd(44)} min ${times[0]!.toFixed(4)}  median ${times[RUNS >> 1]!.toFixed(4)}`,
  );
}

const load = buildLoad({ seriesCount: 10_000, rounds: ROUNDS, startMs: START_MS });
const bodies = load.bodies.flat();
const decoded = bodies.map((body) => snappyDecode(body, BODY_BYTES_MAX));
const millions = (decoded.length * SERIES_PER_REQUEST) / 1e6;
const secret = Buffer.alloc(16, 1);
const rawKey = tenantFingerprintKey(secret, ANONYMOUS_TENANT, 'raw');
const seriesKey = tenantFingerprintKey(secret, ANONYMOUS_TENANT, 'series');
const columns = createWriteColumns();

measure('wire/snappy/decode', millions, () =>
  bodies.reduce((sum, body) => sum + snappyDecode(body, BODY_BYTES_MAX).length, 0),
);
measure('wire/snappyjs/decode (the peer)', millions, () =>
  bodies.reduce((sum, body) => sum + snappyjs.uncompress(body).length, 0),
);
const pass = (body: Uint8Array): void => {
  const state = beginWriteRequestPass(body, body.length, rawKey, columns);
  while (!continueWriteRequestPass(state, 1 << 20)) continue;
};
measure('wire/remote-write/pass with hash', millions, () => {
  for (const body of decoded) pass(body);
  return columns.sampleCount;
});
const known = createKnownSeries();
const batches: WriteBatch[] = [];
const route = (body: Uint8Array): void => {
  pass(body);
  const ring = {
    version: 1,
    replicationFactor: 1,
    positionOf: () => 0,
    replicasAt: (_: number, out: Uint16Array) => ((out[0] = 0), 1),
  };
  const context = {
    tenant: ANONYMOUS_TENANT,
    limits: SINGLE_TENANT_LIMITS,
    seriesKey,
    known,
    ring,
  };
  const plan = beginPushPlan(context, viewOf(body), columns);
  continuePushPlan(plan, 1 << 20);
  for (const chunk of plan.chunks) {
    batches.push(fillChunk(plan, chunk).batch);
    markHeld(plan, chunk);
  }
};
measure('distributor/pass, route and fill', millions, () => {
  batches.length = 0;
  for (const body of decoded) route(body);
  return batches.length;
});

// The batches of the whole load, labels in the first round only, as an ingester receives them.
Object.assign(known, createKnownSeries());
batches.length = 0;
for (const body of decoded) route(body);
const received = [...batches];
let head = new Head();
const appendAll = (): number => {
  head = new Head();
  const print = new Uint32Array(4);
  let ref = 0;
  for (const batch of received) {
    for (let i = 0; i < batch.seriesCount; i++) {
      let s = head.series.find(batch.fingerprints, i * 4);
      const from = i === 0 ? 0 : batch.labelEnds[i - 1]!;
      if (s < 0) {
        const labels = batch.labelBytes.subarray(from, batch.labelEnds[i]);
        fingerprint(seriesKey, viewOf(labels), 0, labels.length, print, 0);
        s = head.addSeries(print, 0, labels, ++ref);
      }
      head.append(s, batch, i);
    }
  }
  return head.samplesAppended;
};
measure('head/append, series new in each run', millions, appendAll);
if (head.samplesAppended === 0) appendAll();
const endMs = START_MS + (ROUNDS - 1) * SCRAPE_INTERVAL_MS;
console.log(
  `head/bytes per series in the arena: ${(head.arena.usedBytes / head.series.count).toFixed(0)} after ${ROUNDS} samples`,
);

/** So many that WebAssembly is compiled for speed after a few runs. */
const CHUNKS = 5000;
const CHUNK_SAMPLES = 120;
const counter = {
  timestamps: Float64Array.from({ length: CHUNK_SAMPLES }, (_, i) => START_MS + i * 15_000),
  values: new Uint32Array(
    Float64Array.from({ length: CHUNK_SAMPLES }, (_, i) => i * 37 + ((i * i) % 10)).buffer,
  ),
};
const chunk = xorChunk(counter, 0, CHUNK_SAMPLES);
const chunkMillions = (CHUNKS * CHUNK_SAMPLES) / 1e6;
measure('chunk/xor/decode 120 samples, TypeScript', chunkMillions, () => {
  const [times, values] = [new Float64Array(CHUNK_SAMPLES), new Uint32Array(CHUNK_SAMPLES * 2)];
  let count = 0;
  for (let i = 0; i < CHUNKS; i++) count += decodeXor(chunk, 0, chunk.length, times, values, 0);
  return count;
});
measure('chunk/xor/decode 120 samples, WebAssembly', chunkMillions, () =>
  withScratch(() => {
    const view = new DataView(chunk.buffer, chunk.byteOffset, chunk.length);
    const times = scratchFloats(CHUNK_SAMPLES);
    const { buffer, byteOffset } = scratchFloats(CHUNK_SAMPLES);
    const values = new Uint32Array(buffer, byteOffset, CHUNK_SAMPLES * 2);
    const decoder = XorDecoder.create();
    let count = 0;
    for (let i = 0; i < CHUNKS; i++)
      count += decoder?.decode(view, 0, chunk.length, times, values, 0) ?? 0;
    return count;
  }),
);

const query = (id: string, text: string, stepMs: number): void => {
  const expr = parseExpr(text);
  const params = {
    startMs: stepMs === 0 ? endMs : START_MS,
    endMs,
    stepMs: stepMs === 0 ? 1 : stepMs,
    lookbackMs: 300_000,
    instant: stepMs === 0,
  };
  const [selection] = selectionsOf(expr, params);
  if (selection === undefined) return;
  const select = (): readonly Uint8Array[] =>
    [...selectFrames(head, [selection.matchers], selection, selection)].filter(
      (frame) => frame !== undefined,
    );
  const frames = select();
  const options = { isProjected: selection.projection !== undefined };
  const answer = (data: SeriesColumns): number =>
    encodeResult(evaluate(expr, params, [data], { samplesMax: 5e7 })).length;
  measure(`engine/${id}: select, CPU s`, 1, () => select().length);
  measure(
    `engine/${id}: merge, CPU s`,
    1,
    () => mergeSeriesFrames(frames, selection, options).timestamps.length,
  );
  const data = mergeSeriesFrames(frames, selection, options);
  measure(`engine/${id}: evaluate and encode, CPU s`, 1, () => answer(data));
  measure(`engine/${id}: a job, merge to encode, CPU s`, 1, () =>
    withScratch(() => answer(mergeSeriesFrames(frames, selection, options))),
  );
};
query('sum by (rate)', 'sum by (namespace)(rate(bench_counter_5_total[5m]))', 15_000);
query('instant sum', 'sum by (namespace)(bench_gauge_30_total)', 0);
query('topk', 'topk(10, sum by (pod)(rate(bench_counter_7_total[5m])))', 0);
query(
  'three matchers',
  'rate(bench_counter_9_total{pod=~"deployment-1[0-9]-.+",container!~"container-[123]",namespace!="namespace-3"}[5m])',
  0,
);
query('count by', 'count by (job)({__name__=~"bench_.+"})', 0);
if (sink === 0) console.log('nothing was measured');
