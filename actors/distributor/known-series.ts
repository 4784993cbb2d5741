/**
 * The series a distributor has seen: raw fingerprint (hash of the label bytes as sent) to canonical
 * fingerprint (hash of the canonical label bytes), plus which peers are known to hold the series.
 * A hit means that those very bytes were validated before. Losing the table costs time, never
 * correctness, so it is bounded bluntly: over its bound it starts again from empty.
 *
 *   slot i:  raw[4i..4i+4)   canonical[4i..4i+4)   peers[i] (bit = peer slot)
 *
 * Open addressing with linear probing on the first raw word (a keyed hash: nobody can aim at it).
 */

const SLOTS_START = 1 << 12;
const FILL_RATIO_MAX = 0.6;

export interface KnownSeries {
  readonly slotsMax: number;
  slots: number;
  used: number;
  raw: Uint32Array;
  canonical: Uint32Array;
  peers: Uint32Array;
  isUsed: Uint8Array;
}

/** An empty table that never grows over `slotsMax` slots (a power of two), about 37 bytes each. */
export function createKnownSeries(slotsMax = 1 << 22): KnownSeries {
  return { slotsMax, ...emptyColumns(Math.min(SLOTS_START, slotsMax)) };
}

/** Hot: the slot of the raw fingerprint at `words[offset..offset+4)`, or -1. */
export function findKnownSeries(table: KnownSeries, words: Uint32Array, offset: number): number {
  const { raw, isUsed } = table;
  const mask = table.slots - 1;
  const a = words[offset]!;
  for (let slot = a & mask; isUsed[slot] === 1; slot = (slot + 1) & mask) {
    const at = slot * 4;
    if (
      raw[at] === a &&
      raw[at + 1] === words[offset + 1] &&
      raw[at + 2] === words[offset + 2] &&
      raw[at + 3] === words[offset + 3]
    ) {
      return slot;
    }
  }
  return -1;
}

/** Adds a series that `findKnownSeries` did not find; returns its slot. Other slots may move. */
export function addKnownSeries(
  table: KnownSeries,
  raw: Uint32Array,
  rawOffset: number,
  canonical: Uint32Array,
): number {
  if (table.used + 1 > table.slots * FILL_RATIO_MAX) growOrForget(table);
  const slot = freeSlot(table, raw[rawOffset]!);
  for (let i = 0; i < 4; i++) {
    table.raw[slot * 4 + i] = raw[rawOffset + i]!;
    table.canonical[slot * 4 + i] = canonical[i]!;
  }
  table.peers[slot] = 0;
  table.isUsed[slot] = 1;
  table.used++;
  return slot;
}

function freeSlot(table: KnownSeries, firstWord: number): number {
  const mask = table.slots - 1;
  let slot = firstWord & mask;
  while (table.isUsed[slot] === 1) slot = (slot + 1) & mask;
  return slot;
}

function growOrForget(table: KnownSeries): void {
  const old = { ...table };
  const slots = table.slots * 2;
  const isFull = slots > table.slotsMax;
  Object.assign(table, emptyColumns(isFull ? Math.min(SLOTS_START, table.slotsMax) : slots));
  if (isFull) return;
  for (let from = 0; from < old.slots; from++) {
    if (old.isUsed[from] !== 1) continue;
    const to = freeSlot(table, old.raw[from * 4]!);
    for (let i = 0; i < 4; i++) {
      table.raw[to * 4 + i] = old.raw[from * 4 + i]!;
      table.canonical[to * 4 + i] = old.canonical[from * 4 + i]!;
    }
    table.peers[to] = old.peers[from]!;
    table.isUsed[to] = 1;
  }
  table.used = old.used;
}

function emptyColumns(slots: number): Omit<KnownSeries, 'slotsMax'> {
  return {
    slots,
    used: 0,
    raw: new Uint32Array(slots * 4),
    canonical: new Uint32Array(slots * 4),
    peers: new Uint32Array(slots),
    isUsed: new Uint8Array(slots),
  };
}
