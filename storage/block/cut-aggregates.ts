/**
 * Deleting from a chunk of aggregates. An aggregate cannot be told apart again, so a window goes as a whole
 * when any of its time was deleted, with the samples that were kept of it:
 *
 *   windows    (── 1 ──](── 2 ──](── 3 ──](── 4 ──]
 *   deleted              [─────────]
 *   left       (── 1 ──]                  (── 4 ──]
 *
 * A window reaches from the one before it to its own stamp, and never further back than the block's resolution: of
 * the time that no window holds, deleting takes nothing. The first of a chunk reaches from its first sample, where
 * that is told.
 */
import type { TimeRange } from '../../model/sample.ts';
import { joinAggregates, splitAggregates } from '../chunk/aggregate-chunk.ts';
import { decodeXor, xorSampleCount } from '../chunk/xor-decode.ts';
import { xorChunk } from '../chunk/xor-chunks.ts';
import { CHUNK_AGGREGATES, type ChunkBytes } from './format.ts';

/** Of a block that does not say its resolution. */
const COARSEST_MS = 3_600_000;
const SAMPLES_PER_BYTE_MAX = 4;
const COUNTER = 4;

interface Run {
  readonly times: Float64Array;
  readonly words: Uint32Array;
  readonly length: number;
}

/** From when on samples may have gone into the chunk of a block of this resolution. */
export function reachOf({ encoding, minTimeMs }: ChunkBytes, resolutionMs?: number): number {
  return encoding === CHUNK_AGGREGATES ? minTimeMs - (resolutionMs ?? COARSEST_MS) : minTimeMs;
}

/**
 * What is left of a chunk of aggregates; the chunk itself when nothing goes, undefined when all does. `null`: its
 * bytes do not hold.
 */
export function cutAggregates(
  chunk: ChunkBytes,
  deleted: readonly TimeRange[],
  resolutionMs = COARSEST_MS,
): ChunkBytes | null | undefined {
  const places = splitAggregates(chunk.bytes, chunk.from, chunk.to);
  if (places === undefined) return null;
  const runs: Run[] = [];
  for (let part = 0; part < places.length / 2; part++) {
    const run = decodeRun(chunk.bytes, places[part * 2]!, places[part * 2 + 1]!);
    if (run === undefined) return null;
    runs.push(run);
  }
  const stamps = runs.slice(0, COUNTER).find(({ length }) => length > 0);
  const gone = goneWindows(chunk, stamps, deleted, resolutionMs);
  const isGone = (timeMs: number): boolean =>
    gone.some((one) => timeMs > one.afterMs && timeMs <= one.untilMs) ||
    deleted.some((one) => timeMs >= one.minTimeMs && timeMs <= one.maxTimeMs);
  const kept = runs.map((run) => without(run, isGone));
  if (kept.every((run, i) => run.length === runs[i]!.length)) return chunk;
  const times = kept.flatMap(({ length, times: own }) =>
    length === 0 ? [] : [own[0]!, own[length - 1]!],
  );
  if (times.length === 0) return undefined;
  const parts = kept.map(({ length, times: timestamps, words: values }) =>
    length === 0 ? new Uint8Array(0) : xorChunk({ timestamps, values }, 0, length),
  );
  const bytes = joinAggregates(parts);
  return {
    encoding: CHUNK_AGGREGATES,
    minTimeMs: Math.min(...times),
    maxTimeMs: Math.max(...times),
    ...{ bytes, from: 0, to: bytes.length },
  };
}

/** Of the windows that have any deleted time: `afterMs < t <= untilMs`. */
function goneWindows(
  { minTimeMs }: ChunkBytes,
  stamps: Run | undefined,
  deleted: readonly TimeRange[],
  resolutionMs: number,
): readonly { readonly afterMs: number; readonly untilMs: number }[] {
  const gone: { readonly afterMs: number; readonly untilMs: number }[] = [];
  if (stamps === undefined) return gone;
  for (let i = 0; i < stamps.length; i++) {
    const untilMs = stamps.times[i]!;
    const isTold = i > 0 || minTimeMs < untilMs;
    const beforeMs = i > 0 ? stamps.times[i - 1]! : minTimeMs - 1;
    const earliestMs = untilMs - resolutionMs;
    const afterMs = isTold ? Math.max(beforeMs, earliestMs) : earliestMs;
    if (deleted.some((one) => one.minTimeMs <= untilMs && one.maxTimeMs > afterMs)) {
      gone.push({ afterMs, untilMs });
    }
  }
  return gone;
}

/** Undefined for bytes that do not hold. */
function decodeRun(bytes: Uint8Array, from: number, to: number): Run | undefined {
  const count = to - from < 2 ? 0 : xorSampleCount(bytes, from);
  if (count > (to - from) * SAMPLES_PER_BYTE_MAX) return undefined;
  const times = new Float64Array(count);
  const words = new Uint32Array(count * 2);
  if (count > 0 && decodeXor(bytes, from, to - from, times, words, 0) < 0) return undefined;
  for (let i = 0; i < count; i++) if (!Number.isSafeInteger(times[i]!)) return undefined;
  return { times, words, length: count };
}

function without(run: Run, isGone: (timeMs: number) => boolean): Run {
  const times = new Float64Array(run.length);
  const words = new Uint32Array(run.length * 2);
  let length = 0;
  for (let i = 0; i < run.length; i++) {
    if (isGone(run.times[i]!)) continue;
    times[length] = run.times[i]!;
    words[length * 2] = run.words[i * 2]!;
    words[length * 2 + 1] = run.words[i * 2 + 1]!;
    length++;
  }
  return { times, words, length };
}
