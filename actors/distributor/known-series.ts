/**
 * The series a distributor has seen: raw fingerprint (hash of the label bytes as sent) to canonical
 * fingerprint (hash of the canonical label bytes), plus which peers are known to hold the series.
 * A hit means that those very bytes were validated before. Losing the table costs time, never
 * correctness, so it is bounded bluntly: over its bound it starts again from empty.
 *
 *   entry i:  raw[4i..4i+4)   canonical[4i..4i+4)   peers[i]   positions[i]   next[i]
 *   peers[i]  ring version (24 bits), one bit for each position in the replica set that holds the series
 *
 * Senders repeat themselves: after one series comes the one that came after it last time. `next`
 * remembers it, and entries lie in order of arrival, so that most look-ups read memory in order and
 * never touch the slots.
 */

import { growTable, grown } from '../../model/columns.ts';
import { FingerprintIndex } from '../../model/fingerprint-index.ts';

const ENTRIES_START = 1 << 12;
/** Versions of rings that 24 bits tell apart, but for one: the version of an entry not placed yet. */
export const RING_VERSIONS = 0xff_ffff;
const NO_VERSION = RING_VERSIONS << 8;

export interface KnownSeries {
  readonly entriesMax: number;
  /** Called when a full table was emptied. */
  onEmptied?: () => void;
  count: number;
  capacity: number;
  raw: Uint32Array;
  canonical: Uint32Array;
  peers: Uint32Array;
  /** The series' place on the ring, of the version that stands in `peers`. */
  positions: Uint32Array;
  next: Uint32Array;
  /** Of the raw fingerprints. */
  index: FingerprintIndex;
}

/** An empty table that never holds over `entriesMax` series (a power of two), about 52 bytes each. */
export function createKnownSeries(entriesMax = 1 << 21): KnownSeries {
  return { entriesMax, count: 0, ...emptyColumns(Math.min(ENTRIES_START, entriesMax)) };
}

/**
 * Hot: the entry with the raw fingerprint at `words[offset..offset+4)`, or -1. `previous` is the entry
 * found before, or -1.
 */
export function findKnownSeries(
  table: KnownSeries,
  words: Uint32Array,
  offset: number,
  previous: number,
): number {
  const { next, raw } = table;
  if (previous >= 0) {
    // Fast path: what came next last time.
    const entry = next[previous]!;
    const at = entry * 4;
    const isSame =
      raw[at] === words[offset] &&
      raw[at + 1] === words[offset + 1] &&
      raw[at + 2] === words[offset + 2] &&
      raw[at + 3] === words[offset + 3];
    if (isSame && entry < table.count) return entry;
  }
  const entry = table.index.find(raw, words, offset);
  if (entry >= 0 && previous >= 0) next[previous] = entry;
  return entry;
}

/**
 * Adds a series that `findKnownSeries` did not find; returns its entry. When the table is full it is
 * emptied first: entries known until then are gone.
 */
export function addKnownSeries(
  table: KnownSeries,
  raw: Uint32Array,
  rawOffset: number,
  canonical: Uint32Array,
): number {
  if (table.count === table.capacity) growOrForget(table);
  const entry = table.count++;
  for (let i = 0; i < 4; i++) {
    table.raw[entry * 4 + i] = raw[rawOffset + i]!;
    table.canonical[entry * 4 + i] = canonical[i]!;
  }
  table.peers[entry] = NO_VERSION;
  table.next[entry] = entry + 1; // a guess: who comes next is learnt next
  table.index.add(table.raw, entry);
  return entry;
}

function growOrForget(table: KnownSeries): void {
  if (table.capacity * 2 > table.entriesMax) {
    Object.assign(table, emptyColumns(Math.min(ENTRIES_START, table.entriesMax)));
    table.count = 0;
    table.onEmptied?.();
    return;
  }
  table.capacity = growTable(table.capacity, table.entriesMax, (capacity) => {
    table.raw = grown(Uint32Array, table.raw, (capacity + 1) * 4);
    table.canonical = grown(Uint32Array, table.canonical, (capacity + 1) * 4);
    table.peers = grown(Uint32Array, table.peers, capacity + 1);
    table.positions = grown(Uint32Array, table.positions, capacity + 1);
    table.next = grown(Uint32Array, table.next, capacity + 1);
  });
}

/** One entry more than the capacity, so that the guess after the last one can be read. */
function emptyColumns(capacity: number): Omit<KnownSeries, 'count' | 'entriesMax'> {
  return {
    capacity,
    raw: new Uint32Array((capacity + 1) * 4),
    canonical: new Uint32Array((capacity + 1) * 4),
    peers: new Uint32Array(capacity + 1),
    positions: new Uint32Array(capacity + 1),
    next: new Uint32Array(capacity + 1),
    index: new FingerprintIndex(),
  };
}
