/**
 * From the label bytes of a remote-write series to a validated, canonical label set: the slow path
 * of the write path, taken once for each new series. Sorts, drops empty values, checks UTF-8 and
 * Cortex' limits. Strings are made here and nowhere earlier.
 */
import { isUtf8 } from 'node:buffer';
import { StarlingError } from '../errors.ts';
import { type Labels, METRIC_NAME, compareUtf8, printLabels } from '../labels.ts';
import type { Limits } from '../limits.ts';
import { encodeLabels } from './labels-codec.ts';
import { readLength, skipField } from './remote-write.ts';

/** A label as it was sent. */
export interface RawLabel {
  readonly name: string;
  readonly value: string;
  readonly nameBytes: number;
  readonly valueBytes: number;
  readonly isUtf8: boolean;
}

/** More labels than any limit allows are not even turned into strings. */
const LABELS_PARSED_MAX = 1000;

const LABEL_ROOM_BYTES = 64 * 1024;

/**
 * Where canonical label bytes are written, one set after another. A buffer of its own for each takes more than the
 * bytes do, and a hundred thousand that become garbage leave holes in the process' memory.
 */
export class LabelRoom {
  #bytes = new Uint8Array(0);
  #used = 0;

  /** Everything that was kept may be overwritten from now on. */
  clear(): void {
    this.#used = 0;
  }

  /** Room for `countMax` bytes, until the next call. */
  offer(countMax: number): Uint8Array {
    if (this.#used + countMax > this.#bytes.length) {
      this.#bytes = new Uint8Array(Math.max(LABEL_ROOM_BYTES, countMax)); // what is kept holds the one before
      this.#used = 0;
    }
    return this.#bytes.subarray(this.#used, this.#used + countMax);
  }

  /** Keeps the first `count` bytes of what was offered last, until `clear`. */
  keep(offered: Uint8Array, count: number): Uint8Array {
    this.#used += count;
    return offered.subarray(0, count);
  }
}

/**
 * The canonical label bytes of a series, from its Label fields in `view[start..end)`; they hold until `room` is
 * cleared. Throws what `canonicalLabels` throws.
 */
export function canonicalLabelBytes(
  view: DataView,
  start: number,
  end: number,
  limits: Limits,
  room: LabelRoom,
): Uint8Array {
  const offered = room.offer(end - start); // canonical bytes leave only tags and lengths out
  const length = copyCanonical(view, start, end, limits, offered);
  if (length >= 0) return room.keep(offered, length);
  return encodeLabels(canonicalLabels(view, start, end, limits)); // also tells what is wrong
}

/**
 * Fast path, for what senders send: sorted labels of ASCII, none empty, each shorter than 128 bytes.
 * Copies the canonical bytes to `out`; returns their length, or -1 for anything else.
 */
function copyCanonical(
  view: DataView,
  start: number,
  end: number,
  limits: Limits,
  out: Uint8Array,
): number {
  let at = start;
  let length = 0;
  let textLength = 0;
  let count = 0;
  let previousName = -1; // where the name before stands in `out`, after its length
  let bits = 0;
  let hasMetricName = false;
  while (at < end) {
    if (at + 6 > end || view.getUint8(at) !== 0x0a || view.getUint8(at + 2) !== 0x0a) return -1;
    const labelEnd = at + 2 + view.getUint8(at + 1);
    const nameLength = view.getUint8(at + 3);
    const value = at + 4 + nameLength;
    if (labelEnd - at >= 0x80 || labelEnd > end || value + 2 > labelEnd) return -1;
    const valueLength = view.getUint8(value + 1);
    if (view.getUint8(value) !== 0x12 || value + 2 + valueLength !== labelEnd) return -1;
    if (nameLength === 0 || valueLength === 0) return -1;
    const name = length + 1;
    out[length++] = nameLength;
    for (let i = at + 4; i < value; i++) bits |= out[length++] = view.getUint8(i);
    out[length++] = valueLength;
    for (let i = value + 2; i < labelEnd; i++) bits |= out[length++] = view.getUint8(i);
    if (previousName >= 0 && !isNameBefore(out, previousName, name)) return -1;
    hasMetricName ||= isMetricName(out, name);
    previousName = name;
    textLength += nameLength + valueLength;
    count++;
    at = labelEnd;
  }
  const isAllowed =
    isWithin(count, limits.max_label_names_per_series) &&
    isWithin(textLength, limits.max_labels_size_bytes) &&
    isWithin(SHORT_LABEL_BYTES_MAX, limits.max_label_name_length) &&
    isWithin(SHORT_LABEL_BYTES_MAX, limits.max_label_value_length);
  return hasMetricName && bits < 0x80 && isAllowed ? length : -1;
}

const SHORT_LABEL_BYTES_MAX = 0x7f;

/** Limits of 0 are off. */
function isWithin(value: number, max: number): boolean {
  return max === 0 || value <= max;
}

/** Compares two names in `bytes`, each preceded by its length. */
function isNameBefore(bytes: Uint8Array, a: number, b: number): boolean {
  const lengthA = bytes[a - 1]!;
  const lengthB = bytes[b - 1]!;
  const common = Math.min(lengthA, lengthB);
  for (let i = 0; i < common; i++) {
    if (bytes[a + i] !== bytes[b + i]) return bytes[a + i]! < bytes[b + i]!;
  }
  return lengthA < lengthB;
}

function isMetricName(bytes: Uint8Array, name: number): boolean {
  if (bytes[name - 1] !== METRIC_NAME.length) return false;
  for (let i = 0; i < METRIC_NAME.length; i++) {
    if (bytes[name + i] !== METRIC_NAME.charCodeAt(i)) return false;
  }
  return true;
}

/**
 * Parses the Label fields in `view[start..end)` (other fields between them are skipped).
 * Throws a `series.*` error naming the series and the limit; `protobuf.corrupt` for broken bytes.
 */
export function canonicalLabels(
  view: DataView,
  start: number,
  end: number,
  limits: Limits,
): Labels {
  const raw = parseLabels(view, start, end);
  raw.sort((a, b) => compareUtf8(a.name, b.name));
  const describe = (): string => printLabels(raw.flatMap((label) => [label.name, label.value]));
  let bytes = 0;
  raw.forEach((label, i) => {
    checkLabel(label, describe, limits);
    if (label.name === raw[i + 1]?.name) {
      throw new StarlingError('series.duplicate_label', { series: describe(), name: label.name });
    }
    bytes += label.nameBytes + label.valueBytes;
  });
  const kept = raw.filter((label) => label.value !== '');
  if (!kept.some((label) => label.name === METRIC_NAME)) {
    throw new StarlingError('series.missing_metric_name', { series: describe() });
  }
  checkSize(kept.length, bytes, describe, limits);
  return kept.flatMap((label) => [label.name, label.value]);
}

function checkLabel(label: RawLabel, describe: () => string, limits: Limits): void {
  const { name, nameBytes, valueBytes } = label;
  if (name === '') {
    throw new StarlingError('series.label_invalid', {
      series: describe(),
      name,
      why: 'has an empty name',
    });
  }
  if (!label.isUtf8) {
    if (name === METRIC_NAME)
      throw new StarlingError('series.metric_name_invalid', { series: describe() });
    throw new StarlingError('series.label_invalid', {
      series: describe(),
      name,
      why: 'is not valid UTF-8',
    });
  }
  const nameMax = limits.max_label_name_length;
  if (nameMax > 0 && nameBytes > nameMax) {
    const facts = {
      series: describe(),
      name: name.slice(0, 200),
      bytes: nameBytes,
      bytesMax: nameMax,
    };
    throw new StarlingError('series.label_name_too_long', facts);
  }
  const valueMax = limits.max_label_value_length;
  if (valueMax > 0 && valueBytes > valueMax) {
    const facts = {
      series: describe(),
      name: name.slice(0, 200),
      bytes: valueBytes,
      bytesMax: valueMax,
    };
    throw new StarlingError('series.label_value_too_long', facts);
  }
}

function checkSize(count: number, bytes: number, describe: () => string, limits: Limits): void {
  const countMax = limits.max_label_names_per_series;
  if (countMax > 0 && count > countMax) {
    throw new StarlingError('series.too_many_labels', { series: describe(), count, countMax });
  }
  const bytesMax = limits.max_labels_size_bytes;
  if (bytesMax > 0 && bytes > bytesMax) {
    throw new StarlingError('series.labels_too_large', { series: describe(), bytes, bytesMax });
  }
}

/** The Label fields in `view[start..end)`, unchecked. Throws as `canonicalLabels` for more than any limit allows. */
export function parseLabels(view: DataView, start: number, end: number): RawLabel[] {
  const labels: RawLabel[] = [];
  let at = start;
  while (at < end) {
    if (view.getUint8(at) !== 0x0a) {
      at = skipField(view, at, end);
      continue;
    }
    const field = readLength(view, at + 1, end);
    at = field.start + field.length;
    labels.push(parseLabel(view, field.start, at));
    if (labels.length > LABELS_PARSED_MAX) {
      const series = printLabels(labels.flatMap((label) => [label.name, label.value]));
      const facts = { series, count: labels.length, countMax: LABELS_PARSED_MAX };
      throw new StarlingError('series.too_many_labels', facts);
    }
  }
  return labels;
}

/** Label { 1: name, 2: value }; a missing field is empty, of repeated ones the last counts. */
function parseLabel(view: DataView, start: number, end: number): RawLabel {
  let name: Buffer = EMPTY;
  let value: Buffer = EMPTY;
  let at = start;
  while (at < end) {
    const tag = view.getUint8(at);
    if (tag !== 0x0a && tag !== 0x12) {
      at = skipField(view, at, end);
      continue;
    }
    const field = readLength(view, at + 1, end);
    const bytes = Buffer.from(view.buffer, view.byteOffset + field.start, field.length);
    if (tag === 0x0a) name = bytes;
    else value = bytes;
    at = field.start + field.length;
  }
  return {
    name: name.toString('utf8'),
    value: value.toString('utf8'),
    nameBytes: name.length,
    valueBytes: value.length,
    isUtf8: isUtf8(name) && isUtf8(value),
  };
}

const EMPTY = Buffer.alloc(0);
