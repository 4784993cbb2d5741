/**
 * The smallest encoder of remote-write 1.0 bodies: protobuf by hand, snappy as one literal block a
 * 64 KiB. Written apart from the decoder under test, so that they do not share a mistake.
 */

export interface WriteSeries {
  /** Sorted by name. */
  readonly labels: readonly (readonly [name: string, value: string])[];
  readonly samples: readonly (readonly [timestampMs: number, value: number])[];
  readonly exemplars?: readonly WriteExemplar[];
}

export interface WriteExemplar {
  readonly trace: string;
  readonly timestampMs: number;
  readonly value: number;
}

export interface WriteMetadata {
  readonly metric: string;
  /** Its number in remote write. */
  readonly type: number;
  readonly help: string;
  readonly unit: string;
}

const LITERAL_BYTES_MAX = 65_536;

/** The body that a sender posts. */
export function encodePush(series: readonly WriteSeries[]): Uint8Array {
  return snappyLiterals(Buffer.concat(series.map((one) => field(1, seriesMessage(one)))));
}

/** A body that says what metrics are, and has no series. */
export function encodeMetadata(metadata: readonly WriteMetadata[]): Uint8Array {
  return snappyLiterals(
    Buffer.concat(
      metadata.map(({ help, metric, type, unit }) =>
        field(
          3,
          Buffer.concat([
            ...[Buffer.of(0x08), uvarint(type), field(2, Buffer.from(metric))],
            ...[field(4, Buffer.from(help)), field(5, Buffer.from(unit))],
          ]),
        ),
      ),
    ),
  );
}

function seriesMessage({ exemplars = [], labels, samples }: WriteSeries): Buffer {
  return Buffer.concat([
    ...labels.map(labelField),
    ...samples.map(([timestampMs, value]) => {
      const parts = [Buffer.of(0x09), doubleBits(value), Buffer.of(0x10), uvarint(timestampMs)];
      return field(2, Buffer.concat(parts));
    }),
    ...exemplars.map(({ timestampMs, trace, value }) => {
      const parts = [Buffer.of(0x11), doubleBits(value), Buffer.of(0x18), uvarint(timestampMs)];
      return field(3, Buffer.concat([labelField(['trace_id', trace]), ...parts]));
    }),
  ]);
}

function labelField([name, value]: readonly [name: string, value: string]): Buffer {
  return field(1, Buffer.concat([field(1, Buffer.from(name)), field(2, Buffer.from(value))]));
}

function doubleBits(value: number): Buffer {
  const bits = Buffer.alloc(8);
  bits.writeDoubleLE(value);
  return bits;
}

function field(number: number, bytes: Buffer): Buffer {
  return Buffer.concat([uvarint(number * 8 + 2), uvarint(bytes.length), bytes]);
}

function uvarint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 0x7f; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 0x80);
  return Buffer.of(...bytes, rest);
}

/** Snappy without matches: the length, then literals. */
function snappyLiterals(bytes: Buffer): Uint8Array {
  const parts: Buffer[] = [uvarint(bytes.length)];
  for (let at = 0; at < bytes.length; at += LITERAL_BYTES_MAX) {
    const part = bytes.subarray(at, at + LITERAL_BYTES_MAX);
    const tag = Buffer.of(61 << 2, 0, 0);
    tag.writeUInt16LE(part.length - 1, 1);
    parts.push(tag, part);
  }
  return Buffer.concat(parts);
}
