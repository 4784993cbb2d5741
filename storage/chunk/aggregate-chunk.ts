/**
 * Chunks of a downsampled block (encoding 0xff), in Thanos' format: five chunks, one for each aggregate, in
 * this order; one that is not there has length 0 and no encoding.
 *
 *   (uvarint length, u8 encoding, length bytes of a XOR chunk) × 5:  count, sum, min, max, counter
 *
 * Each sample of the first four stands for a window and has the time of its end. Bytes after the fifth are
 * left alone. Invariant: what `splitAggregates` accepts lies within the bytes it was given.
 */

import type { WindowValue } from '../../model/window-value.ts';

/** The aggregates in the order of the format: the number is the place. */
export const AGGREGATE = { count: 0, sum: 1, min: 2, max: 3, counter: 4 } as const;
export type AggregateName = keyof typeof AGGREGATE;

/** What is needed to answer with a value. */
export const AGGREGATES_OF: Readonly<Record<WindowValue, readonly AggregateName[]>> = {
  average: ['count', 'sum'],
  count: ['count'],
  kept: ['counter'],
  max: ['max'],
  min: ['min'],
  rate: ['count', 'counter'],
  sum: ['sum'],
};

const AGGREGATE_COUNT = 5;
const ENCODING_XOR = 1;
const UVARINT_BYTES_MAX = 5;

/** Where the XOR chunk of each aggregate is: `[from, to)` by pairs; equal: it is not there. */
export type AggregatePlaces = Uint32Array;

/** One chunk of these five; an empty one is left out. */
export function joinAggregates(parts: readonly Uint8Array[]): Uint8Array {
  let size = 0;
  for (const part of parts) size += part.length === 0 ? 1 : UVARINT_BYTES_MAX + 1 + part.length;
  const bytes = new Uint8Array(size);
  let at = 0;
  for (let i = 0; i < AGGREGATE_COUNT; i++) {
    const part = parts[i]!;
    at = putUvarint(bytes, at, part.length);
    if (part.length === 0) continue;
    bytes[at++] = ENCODING_XOR;
    bytes.set(part, at);
    at += part.length;
  }
  return bytes.subarray(0, at);
}

/** The places of the five chunks in `bytes[from..to)`; undefined for bytes that do not hold. */
export function splitAggregates(
  bytes: Uint8Array,
  from: number,
  to: number,
): AggregatePlaces | undefined {
  const places = new Uint32Array(AGGREGATE_COUNT * 2);
  let at = from;
  for (let i = 0; i < AGGREGATE_COUNT; i++) {
    let length = 0;
    let scale = 1;
    let isEnded = false;
    for (const start = at; at < to && at < start + UVARINT_BYTES_MAX && !isEnded; scale *= 128) {
      const byte = bytes[at++]!;
      length += (byte & 0x7f) * scale;
      isEnded = byte < 0x80;
    }
    if (!isEnded) return undefined;
    if (length === 0) continue;
    if (length > to - at - 1 || bytes[at] !== ENCODING_XOR) return undefined;
    places[i * 2] = at + 1;
    places[i * 2 + 1] = at + 1 + length;
    at += 1 + length;
  }
  return places;
}

/** The same chunk with only these aggregates; undefined for bytes that do not hold. */
export function pickAggregates(
  bytes: Uint8Array,
  names: readonly AggregateName[],
): Uint8Array | undefined {
  const places = splitAggregates(bytes, 0, bytes.length);
  if (places === undefined) return undefined;
  const parts = new Array<Uint8Array>(AGGREGATE_COUNT).fill(NOTHING);
  for (const name of names) {
    const i = AGGREGATE[name];
    parts[i] = bytes.subarray(places[i * 2], places[i * 2 + 1]);
  }
  return joinAggregates(parts);
}

const NOTHING = new Uint8Array(0);

function putUvarint(bytes: Uint8Array, from: number, value: number): number {
  let at = from;
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 128)) bytes[at++] = (rest % 128) | 0x80;
  bytes[at++] = rest;
  return at;
}
