/**
 * Canonical label bytes: for each pair, in the label set's order, uvarint length + name bytes +
 * uvarint length + value bytes (model/labels.ts). What fingerprints hash, slabs keep and frames carry.
 */
import { isAscii } from 'node:buffer';
import { StarlingError } from '../errors.ts';
import { type Labels, compareUtf8 } from '../labels.ts';
import type { LabelProjection } from '../projection.ts';

/** Encodes a label set into fresh bytes. */
export function encodeLabels(labels: Labels): Uint8Array {
  const parts: Buffer[] = [];
  for (const text of labels) {
    const bytes = Buffer.from(text, 'utf8');
    parts.push(lengthBytes(bytes.length), bytes);
  }
  return Buffer.concat(parts);
}

function lengthBytes(length: number): Buffer {
  const bytes: number[] = [];
  for (let rest = length; ; rest >>>= 7) {
    if (rest < 0x80) return Buffer.from([...bytes, rest]);
    bytes.push((rest & 0x7f) | 0x80);
  }
}

/**
 * Decodes the label set in `bytes[from..to)`. Throws `protobuf.corrupt` unless they are canonical:
 * whole pairs, names rising, no empty value.
 */
export function decodeLabels(bytes: Uint8Array, from = 0, to = bytes.length): Labels {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset + from, to - from);
  // Fast path: one string for all, cut into pieces; where it is not ASCII each piece is decoded.
  const whole = isAscii(buffer) ? buffer.toString('latin1') : undefined;
  const labels: string[] = [];
  const end = buffer.length;
  let at = 0;
  while (at < end) {
    let length = 0;
    let shift = 0;
    for (;;) {
      if (at >= end || shift > 21) throw corrupt(from + at);
      const byte = buffer[at++]!;
      length |= (byte & 0x7f) << shift;
      if (byte < 0x80) break;
      shift += 7;
    }
    if (length > end - at) throw corrupt(from + at);
    labels.push(whole?.substring(at, at + length) ?? buffer.toString('utf8', at, at + length));
    at += length;
  }
  for (let i = 0; i < labels.length; i += 2) {
    const isOrdered = i === 0 || compareUtf8(labels[i - 2]!, labels[i]!) < 0;
    if (i + 1 >= labels.length || labels[i + 1] === '' || !isOrdered) throw corrupt(from + at);
  }
  return labels;
}

/** Copies the part of canonical label bytes that a projection shows. */
export class LabelProjector {
  readonly #names: readonly Uint8Array[];
  readonly #isOnly: boolean;
  /** What `project` wrote last; overwritten by the next call. */
  scratch = new Uint8Array(256);

  constructor({ kind, names }: LabelProjection) {
    this.#names = names.map((name) => Buffer.from(name));
    this.#isOnly = kind === 'only';
  }

  /** Hot: writes the shown pairs of `bytes[from..to)` to `scratch`; returns their length. */
  project(bytes: Uint8Array, from: number, to: number): number {
    if (to - from > this.scratch.length) this.scratch = new Uint8Array(2 * (to - from));
    const { scratch } = this;
    let length = 0;
    // Names are told once: when all that are wanted were met, the rest is not looked at.
    let wanted = this.#isOnly ? this.#names.length : Infinity;
    for (let at = from; at < to && wanted > 0;) {
      const nameStart = skipLength(bytes, at);
      const nameEnd = nameStart + lengthAt(bytes, at);
      const valueEnd = skipLength(bytes, nameEnd) + lengthAt(bytes, nameEnd);
      if (this.#has(bytes, nameStart, nameEnd) === this.#isOnly) {
        for (let i = at; i < valueEnd; i++) scratch[length++] = bytes[i]!;
        wanted--;
      }
      at = valueEnd;
    }
    return length;
  }

  #has(bytes: Uint8Array, from: number, to: number): boolean {
    const names = this.#names;
    for (let n = 0; n < names.length; n++) {
      const name = names[n]!;
      if (name.length !== to - from) continue;
      let i = 0;
      while (i < name.length && name[i] === bytes[from + i]) i++;
      if (i === name.length) return true;
    }
    return false;
  }
}

function lengthAt(bytes: Uint8Array, at: number): number {
  if (bytes[at]! < 0x80) return bytes[at]!; // fast path: names and most values
  let length = 0;
  for (let i = at, shift = 0; shift <= 28; i++, shift += 7) {
    length |= (bytes[i]! & 0x7f) << shift;
    if (bytes[i]! < 0x80) break;
  }
  return length;
}

function skipLength(bytes: Uint8Array, at: number): number {
  let next = at;
  while (bytes[next]! >= 0x80) next++;
  return next + 1;
}

function corrupt(offset: number): StarlingError {
  return new StarlingError('protobuf.corrupt', { why: 'label bytes are not canonical', offset });
}
