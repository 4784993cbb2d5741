/**
 * Exemplars of remote write: a value of a series with labels of its own, such as the trace it came from.
 *
 *   Exemplar { 1: Label*, 2: double value (fixed64), 3: int64 timestamp (varint, ms) }   others are skipped
 *
 * Checked as Prometheus does: names and values of the labels together have 128 characters at most. One that
 * does not hold is dropped, and never the request refused for it: it is told as a reason, not thrown.
 */
import { StarlingError } from '../errors.ts';
import { compareUtf8 } from '../labels.ts';
import { encodeLabels } from './labels-codec.ts';
import { parseLabels } from './raw-labels.ts';
import { readLength, skipField } from './remote-write.ts';
import { byteReader, readSigned64 } from './varint.ts';

/** Unicode characters of all names and values, as OpenMetrics has it. */
export const EXEMPLAR_CHARACTERS_MAX = 128;
/** No labels of that many characters take more, not even with many empty ones between them. */
const EXEMPLAR_MESSAGE_BYTES_MAX = 8192;

/** Why an exemplar is dropped; the words are Mimir's where it has them. */
export type ExemplarDrop =
  'exemplar_labels_invalid' | 'exemplar_labels_too_long' | 'exemplar_timestamp_invalid';

export interface Exemplar {
  readonly timestampMs: number;
  /** The bits of the value. */
  readonly valueLow: number;
  readonly valueHigh: number;
  /** Canonical. */
  readonly labelBytes: Uint8Array;
}

/** Reads the message in `view[start..end)`. Throws `protobuf.corrupt` for broken bytes. */
export function decodeExemplarMessage(
  view: DataView,
  start: number,
  end: number,
): Exemplar | ExemplarDrop {
  if (end - start > EXEMPLAR_MESSAGE_BYTES_MAX) return 'exemplar_labels_too_long';
  let valueLow = 0;
  let valueHigh = 0;
  let timestampMs = 0;
  for (let at = start; at < end;) {
    const tag = view.getUint8(at);
    const next = tag === 0x0a ? endOfLabel(view, at, end) : skipField(view, at, end);
    if (tag === 0x11) {
      valueLow = view.getUint32(at + 1, true);
      valueHigh = view.getUint32(at + 5, true);
    } else if (tag === 0x18) {
      const bytes = new Uint8Array(view.buffer, view.byteOffset + at + 1, next - at - 1);
      timestampMs = readSigned64(byteReader(bytes));
    }
    at = next;
  }
  if (!Number.isSafeInteger(timestampMs)) return 'exemplar_timestamp_invalid';
  const labelBytes = exemplarLabels(view, start, end);
  return typeof labelBytes === 'string'
    ? labelBytes
    : { timestampMs, valueLow, valueHigh, labelBytes };
}

function endOfLabel(view: DataView, at: number, end: number): number {
  const { length, start } = readLength(view, at + 1, end);
  return start + length;
}

/** The canonical label bytes of an exemplar. */
function exemplarLabels(view: DataView, start: number, end: number): ExemplarDrop | Uint8Array {
  let raw: ReturnType<typeof parseLabels>;
  try {
    raw = parseLabels(view, start, end);
  } catch (error) {
    const isTooMany = error instanceof StarlingError && error.id === 'series.too_many_labels';
    if (isTooMany) return 'exemplar_labels_too_long';
    throw error;
  }
  raw.sort((a, b) => compareUtf8(a.name, b.name));
  let characters = 0;
  for (let i = 0; i < raw.length; i++) {
    const { isUtf8, name, value } = raw[i]!;
    if (!isUtf8 || name === '' || name === raw[i + 1]?.name) return 'exemplar_labels_invalid';
    characters += countCharacters(name) + countCharacters(value);
    if (characters > EXEMPLAR_CHARACTERS_MAX) return 'exemplar_labels_too_long';
  }
  const kept = raw.filter(({ value }) => value !== '');
  return encodeLabels(kept.flatMap(({ name, value }) => [name, value]));
}

/** Unicode characters, of which some take two units of a string. */
function countCharacters(text: string): number {
  let count = text.length;
  for (let i = 0; i < text.length; i++) {
    if (text.charCodeAt(i) >= 0xdc00 && text.charCodeAt(i) <= 0xdfff) count--;
  }
  return count;
}
