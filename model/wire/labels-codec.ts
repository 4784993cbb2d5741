/**
 * Canonical label bytes: for each pair, in the label set's order, uvarint length + name bytes +
 * uvarint length + value bytes (model/labels.ts). What fingerprints hash, slabs keep and frames carry.
 */
import { isAscii } from 'node:buffer';
import { StarlingError } from '../errors.ts';
import { type Labels, compareUtf8 } from '../labels.ts';

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

function corrupt(offset: number): StarlingError {
  return new StarlingError('protobuf.corrupt', { why: 'label bytes are not canonical', offset });
}
