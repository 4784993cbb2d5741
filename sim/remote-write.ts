/**
 * The smallest encoder of remote-write 1.0 bodies: protobuf by hand, snappy as one literal block a
 * 64 KiB. Written apart from the decoder under test, so that they do not share a mistake.
 */

export interface WriteSeries {
  /** Sorted by name. */
  readonly labels: readonly (readonly [name: string, value: string])[];
  readonly samples: readonly (readonly [timestampMs: number, value: number])[];
}

const LITERAL_BYTES_MAX = 65_536;

/** The body that a sender posts. */
export function encodePush(series: readonly WriteSeries[]): Uint8Array {
  return snappyLiterals(Buffer.concat(series.map((one) => field(1, seriesMessage(one)))));
}

function seriesMessage({ labels, samples }: WriteSeries): Buffer {
  return Buffer.concat([
    ...labels.map(([name, value]) =>
      field(1, Buffer.concat([field(1, Buffer.from(name)), field(2, Buffer.from(value))])),
    ),
    ...samples.map(([timestampMs, value]) => {
      const bits = Buffer.alloc(8);
      bits.writeDoubleLE(value);
      return field(
        2,
        Buffer.concat([Buffer.of(0x09), bits, Buffer.of(0x10), uvarint(timestampMs)]),
      );
    }),
  ]);
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
