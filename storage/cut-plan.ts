/**
 * Which part of a head becomes a block, and when. Prometheus' rule: blocks are two hours, aligned; one is
 * cut when the head spans more than one and a half of them. Tenants and nodes wait a little longer, each
 * its own time, so that not all of them cut at the same moment.
 */
import { BLOCK_RANGE_MS } from './head/head.ts';

/** How much a head spans before its oldest two hours are cut. */
const HEAD_SPAN_MS = 1.5 * BLOCK_RANGE_MS;
/** The longest that one waits for the sake of others. */
const JITTER_MAX_MS = 15 * 60_000;

/** Samples with `minTimeMs <= t < endMs` become a block. */
export interface BlockWindow {
  readonly minTimeMs: number;
  readonly endMs: number;
}

/** What a head holds. `cutMs`: everything older is in blocks already. */
export interface HeadSpan {
  readonly minTimeMs: number;
  readonly maxTimeMs: number;
  readonly cutMs: number;
}

/** The window to cut now, if one is due. */
export function dueWindow(head: HeadSpan, jitterMs: number): BlockWindow | undefined {
  const spanMs = head.maxTimeMs - head.minTimeMs;
  return spanMs > HEAD_SPAN_MS + jitterMs ? oldestWindow(head) : undefined;
}

/** The oldest window that has samples, due or not; the newest one ends after the last sample. */
export function oldestWindow(head: HeadSpan): BlockWindow | undefined {
  if (head.minTimeMs > head.maxTimeMs) return undefined;
  const startMs = Math.floor(head.minTimeMs / BLOCK_RANGE_MS) * BLOCK_RANGE_MS;
  return {
    minTimeMs: Math.max(startMs, head.cutMs),
    endMs: Math.min(startMs + BLOCK_RANGE_MS, head.maxTimeMs + 1),
  };
}

/** How much later than others the owner of this name cuts: the same at every start. */
export function cutJitterMs(name: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
  hash ^= hash >>> 15;
  return (hash >>> 0) % JITTER_MAX_MS;
}
