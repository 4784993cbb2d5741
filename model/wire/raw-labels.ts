/**
 * From the label bytes of a remote-write series to a validated, canonical label set: the slow path
 * of the write path, taken once for each new series. Sorts, drops empty values, checks UTF-8 and
 * Cortex' limits. Strings are made here and nowhere earlier.
 */
import { isUtf8 } from 'node:buffer';
import { StarlingError } from '../errors.ts';
import { type Labels, METRIC_NAME, compareUtf8, printLabels } from '../labels.ts';
import type { Limits } from '../limits.ts';
import { readLength, skipField } from './remote-write.ts';

interface RawLabel {
  readonly name: string;
  readonly value: string;
  readonly nameBytes: number;
  readonly valueBytes: number;
  readonly isUtf8: boolean;
}

/** More labels than any limit allows are not even turned into strings. */
const LABELS_PARSED_MAX = 1000;

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
  const series = printLabels(raw.flatMap((label) => [label.name, label.value]));
  let bytes = 0;
  raw.forEach((label, i) => {
    checkLabel(label, series, limits);
    if (label.name === raw[i + 1]?.name) {
      throw new StarlingError('series.duplicate_label', { series, name: label.name });
    }
    bytes += label.nameBytes + label.valueBytes;
  });
  const kept = raw.filter((label) => label.value !== '');
  if (!kept.some((label) => label.name === METRIC_NAME)) {
    throw new StarlingError('series.missing_metric_name', { series });
  }
  checkSize(kept.length, bytes, series, limits);
  return kept.flatMap((label) => [label.name, label.value]);
}

function checkLabel(label: RawLabel, series: string, limits: Limits): void {
  const { name, nameBytes, valueBytes } = label;
  if (name === '') {
    throw new StarlingError('series.label_invalid', { series, name, why: 'has an empty name' });
  }
  if (!label.isUtf8) {
    if (name === METRIC_NAME) throw new StarlingError('series.metric_name_invalid', { series });
    throw new StarlingError('series.label_invalid', { series, name, why: 'is not valid UTF-8' });
  }
  const nameMax = limits.max_label_name_length;
  if (nameMax > 0 && nameBytes > nameMax) {
    const facts = { series, name: name.slice(0, 200), bytes: nameBytes, bytesMax: nameMax };
    throw new StarlingError('series.label_name_too_long', facts);
  }
  const valueMax = limits.max_label_value_length;
  if (valueMax > 0 && valueBytes > valueMax) {
    const facts = { series, name: name.slice(0, 200), bytes: valueBytes, bytesMax: valueMax };
    throw new StarlingError('series.label_value_too_long', facts);
  }
}

function checkSize(count: number, bytes: number, series: string, limits: Limits): void {
  const countMax = limits.max_label_names_per_series;
  if (countMax > 0 && count > countMax) {
    throw new StarlingError('series.too_many_labels', { series, count, countMax });
  }
  const bytesMax = limits.max_labels_size_bytes;
  if (bytesMax > 0 && bytes > bytesMax) {
    throw new StarlingError('series.labels_too_large', { series, bytes, bytesMax });
  }
}

function parseLabels(view: DataView, start: number, end: number): RawLabel[] {
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
