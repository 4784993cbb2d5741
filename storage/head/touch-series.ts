/**
 * Reads ahead of a reader of many series: one word of each cache line that it will copy. The lines of a series are all over the
 * arena, and who copies series after series waits for each of them; these loads do not depend on one another, so that the
 * processor waits for many at once. Changes nothing.
 */
import type { Arena } from '../chunk/arena.ts';
import { IN_ARENA } from './chunk-table.ts';
import type { Head } from './head.ts';
import { NO_CHUNK } from './series-table.ts';

/** Series to read ahead: a hundred kilobytes, which stay in the nearer caches. */
export const SERIES_TOUCHED = 16;
const WORDS_PER_LINE = 16;

/** Hot: touches labels and chunks from `minTimeMs` on of `numbers[from..to)`. What it returns only has to be kept. */
export function touchSeries(
  head: Head,
  numbers: Uint32Array,
  from: number,
  to: number,
  minTimeMs: number,
): number {
  const { arena, chunks, series } = head;
  const { alive, labelHandle, labelLength, newestChunk, openCapacity, openHandle } = series;
  const { byteLength, file, handle, maxTime, older } = chunks;
  let touched = 0;
  for (let i = from; i < to; i++) {
    const s = numbers[i]!;
    if (!alive.has(s)) continue;
    touched += touchBytes(arena, labelHandle[s]!, labelLength[s]!);
    if (openCapacity[s]! > 0) touched += touchBytes(arena, openHandle[s]!, openCapacity[s]!);
    let c = newestChunk[s]!;
    for (; c !== NO_CHUNK && maxTime[c]! >= minTimeMs; c = older[c]!)
      if (file[c] === IN_ARENA) touched += touchBytes(arena, handle[c]!, byteLength[c]!);
  }
  return touched;
}

function touchBytes(arena: Arena, handle: number, length: number): number {
  const words = arena.words(handle);
  const first = arena.offset(handle) >>> 2;
  const end = first + (length >>> 2);
  let touched = 0;
  for (let at = first; at < end; at += WORDS_PER_LINE) touched += words[at]! & 1;
  return touched;
}
