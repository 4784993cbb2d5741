/**
 * MetricMetadata of remote write: what a metric is, in a message of its own beside the series.
 *
 *   MetricMetadata { 1: type (enum), 2: metric_family_name, 4: help, 5: unit }   others are skipped
 *
 * Checked as Mimir does: without a name, with a name or unit over the limit, or with bytes that are no
 * UTF-8 it is refused; a help text that is too long is cut. Of repeated fields the last counts.
 */
import { isUtf8 } from 'node:buffer';
import { StarlingError } from '../errors.ts';
import type { Limits } from '../limits.ts';
import { METRIC_TYPES, type MetricMetadata } from '../metadata.ts';
import { readLength, skipField } from './remote-write.ts';

const NONE = Buffer.alloc(0);
const NAME_PRINTED_MAX = 200;

/** Reads the message in `view[start..end)`. Throws `metadata.*`, or `protobuf.corrupt` for broken bytes. */
export function decodeMetadataMessage(
  view: DataView,
  start: number,
  end: number,
  limits: Pick<Limits, 'max_metadata_length'>,
): MetricMetadata {
  let type = 0;
  let name: Buffer = NONE;
  let help: Buffer = NONE;
  let unit: Buffer = NONE;
  for (let at = start; at < end;) {
    const tag = view.getUint8(at);
    if (tag === 0x12 || tag === 0x22 || tag === 0x2a) {
      const field = readLength(view, at + 1, end);
      const bytes = Buffer.from(view.buffer, view.byteOffset + field.start, field.length);
      if (tag === 0x12) name = bytes;
      else if (tag === 0x22) help = bytes;
      else unit = bytes;
      at = field.start + field.length;
    } else {
      const next = skipField(view, at, end);
      // A type that nobody knows, also one of several bytes, is unknown.
      if (tag === 0x08) type = next === at + 2 ? view.getUint8(at + 1) : 0;
      at = next;
    }
  }
  checkTexts(name, unit, limits.max_metadata_length);
  return {
    name: name.toString(),
    type: type < METRIC_TYPES.length ? type : 0,
    help: cutUtf8(help, limits.max_metadata_length).toString(),
    unit: unit.toString(),
  };
}

function checkTexts(name: Buffer, unit: Buffer, bytesMax: number): void {
  if (name.length === 0) throw new StarlingError('metadata.missing_metric_name', undefined);
  const metric = name.toString('utf8', 0, NAME_PRINTED_MAX);
  if (bytesMax > 0 && name.length > bytesMax) {
    const facts = { metric, bytes: name.length, bytesMax };
    throw new StarlingError('metadata.metric_name_too_long', facts);
  }
  if (bytesMax > 0 && unit.length > bytesMax) {
    const facts = { metric, bytes: unit.length, bytesMax };
    throw new StarlingError('metadata.unit_too_long', facts);
  }
  if (!isUtf8(name)) throw new StarlingError('metadata.invalid', { metric, what: 'name' });
  if (!isUtf8(unit)) throw new StarlingError('metadata.invalid', { metric, what: 'unit' });
}

/** At most so many bytes of a text, cut between two characters; 0: all. */
function cutUtf8(text: Buffer, bytesMax: number): Buffer {
  if (bytesMax === 0 || text.length <= bytesMax) return text;
  let end = bytesMax;
  while (end > 0 && (text[end]! & 0xc0) === 0x80) end--;
  return text.subarray(0, end);
}
