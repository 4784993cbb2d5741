/**
 * Chunks of aggregates into columns: one sample for each window, or each kept sample, and how many raw samples it
 * stands for.
 *
 *   kept    |f····l|f··r··r·l|          f first, l last, r around a reset
 *   weight   1    n-1 1  1  1 n-3       together the samples of the window
 *
 * What others made keeps a running total instead of samples, and ends with the true last value at the time
 * of the sample before: of two samples of one time the first is taken, so totals rise; where the next chunk begins lower,
 * that is a reset as of any counter.
 */
import { type TimeRange, isStaleWords } from '../../model/sample.ts';
import { type WindowValue, hasWeights } from '../../model/window-value.ts';
import { AGGREGATE, splitAggregates } from '../chunk/aggregate-chunk.ts';
import { decodeXor, xorSampleCount } from '../chunk/xor-decode.ts';

/** Samples of a chunk as columns. Values are two words each, low first. */
export interface AggregateRun {
  readonly timestamps: Float64Array;
  readonly values: Uint32Array;
  /** Absent when nobody reads them. */
  readonly weights: Float64Array | undefined;
}

const NOTHING: AggregateRun = {
  timestamps: new Float64Array(0),
  values: new Uint32Array(0),
  weights: undefined,
};
/** A sample takes two bits or more. */
const SAMPLES_PER_BYTE_MAX = 4;

const PART_OF: Readonly<Record<WindowValue, number>> = {
  average: AGGREGATE.sum,
  count: AGGREGATE.count,
  kept: AGGREGATE.counter,
  max: AGGREGATE.max,
  min: AGGREGATE.min,
  rate: AGGREGATE.counter,
  sum: AGGREGATE.sum,
};

/** What `bytes[from..to)` has of a value; undefined for bytes that do not hold. */
export function decodeAggregates(
  bytes: Uint8Array,
  from: number,
  to: number,
  value: WindowValue,
): AggregateRun | undefined {
  const places = splitAggregates(bytes, from, to);
  if (places === undefined) return undefined;
  const decode = (part: number): AggregateRun | undefined =>
    decodeXorRun(bytes, places[part * 2]!, places[part * 2 + 1]!);
  const run = decode(PART_OF[value]);
  if (run === undefined || !hasWeights(value)) return run;
  const counts = decode(AGGREGATE.count);
  if (counts === undefined) return undefined;
  const weights = value === 'rate' ? weightsOfKept(run, counts) : doublesOf(counts.values).slice();
  return weights.length === run.timestamps.length ? { ...run, weights } : undefined;
}

/** From the first kept sample to the end of the last window; undefined for bytes that do not hold. */
export function spanOfAggregates(bytes: Uint8Array): TimeRange | undefined {
  const places = splitAggregates(bytes, 0, bytes.length);
  if (places === undefined) return undefined;
  let [minTimeMs, maxTimeMs] = [Infinity, -Infinity];
  let windows = -1;
  for (let part = 0; part < places.length / 2; part++) {
    const run = decodeXorRun(bytes, places[part * 2]!, places[part * 2 + 1]!);
    if (run === undefined) return undefined;
    const { timestamps } = run;
    for (let i = 0; i < timestamps.length; i++) {
      if (!Number.isSafeInteger(timestamps[i]!)) return undefined;
      if (i > 0 && timestamps[i]! < timestamps[i - 1]!) return undefined;
    }
    if (timestamps.length > 0) {
      minTimeMs = Math.min(minTimeMs, timestamps[0]!);
      maxTimeMs = Math.max(maxTimeMs, timestamps[timestamps.length - 1]!);
    }
    if (part === AGGREGATE.counter) continue; // of its own length
    if (windows >= 0 && timestamps.length !== windows) return undefined;
    windows = timestamps.length;
  }
  return minTimeMs <= maxTimeMs ? { minTimeMs, maxTimeMs } : undefined;
}

function decodeXorRun(bytes: Uint8Array, from: number, to: number): AggregateRun | undefined {
  if (from === to) return NOTHING;
  const count = to - from < 2 ? 0 : xorSampleCount(bytes, from);
  if (count > (to - from) * SAMPLES_PER_BYTE_MAX) return undefined;
  const timestamps = new Float64Array(count);
  const values = new Uint32Array(count * 2);
  if (decodeXor(bytes, from, to - from, timestamps, values, 0) < 0) return undefined;
  let kept = 0;
  for (let i = 0; i < count; i++) {
    if (kept > 0 && timestamps[i] === timestamps[kept - 1]) continue;
    timestamps[kept] = timestamps[i]!;
    values[kept * 2] = values[i * 2]!;
    values[kept * 2 + 1] = values[i * 2 + 1]!;
    kept++;
  }
  return {
    timestamps: timestamps.subarray(0, kept),
    values: values.subarray(0, kept * 2),
    weights: undefined,
  };
}

/** Of each window the last sample that is not stale makes up for those that were not kept. */
function weightsOfKept(kept: AggregateRun, counts: AggregateRun): Float64Array {
  const weights = new Float64Array(kept.timestamps.length);
  const windowCounts = doublesOf(counts.values);
  let k = 0;
  for (let i = 0; i < windowCounts.length; i++) {
    let inside = 0;
    let last = -1;
    for (; k < weights.length && kept.timestamps[k]! <= counts.timestamps[i]!; k++) {
      if (isStaleWords(kept.values[k * 2]!, kept.values[k * 2 + 1]!)) continue;
      weights[k] = 1;
      last = k;
      inside++;
    }
    if (last >= 0) weights[last]! += Math.max(0, windowCounts[i]! - inside);
  }
  return weights;
}

function doublesOf(words: Uint32Array): Float64Array {
  return new Float64Array(words.buffer, words.byteOffset, words.length / 2);
}
