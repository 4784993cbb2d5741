/**
 * Builders of remote-write bodies for tests: the protobuf bytes by hand, so that malformed ones can
 * be made as easily as good ones, and snappyjs as an independent compressor.
 */
import snappyjs from 'snappyjs';

export interface TestSeries {
  readonly labels: readonly (readonly [string | Buffer, string | Buffer])[];
  readonly samples?: readonly (readonly [timestampMs: number | bigint, value: number | bigint])[];
  /** So many empty ones, or these messages. */
  readonly histograms?: number | readonly Uint8Array[];
  readonly exemplars?: number;
}

export function uvarint(value: number | bigint): Buffer {
  const bytes: number[] = [];
  if (typeof value === 'number' && value >= 0) {
    let small = value; // without bigints, which take most of the time of a large body
    for (; small > 0x7f; small = Math.floor(small / 128)) bytes.push((small % 128) | 0x80);
    bytes.push(small);
    return Buffer.from(bytes);
  }
  let rest = BigInt.asUintN(64, BigInt(value));
  do {
    bytes.push(Number(rest & 0x7fn) | (rest > 0x7fn ? 0x80 : 0));
    rest >>= 7n;
  } while (rest > 0n);
  return Buffer.from(bytes);
}

export function field(number: number, bytes: Buffer): Buffer {
  return Buffer.concat([uvarint((number << 3) | 2), uvarint(bytes.length), bytes]);
}

/** A value given as a bigint is its bit pattern. */
export function sampleMessage(timestampMs: number | bigint, value: number | bigint): Buffer {
  const bits = Buffer.alloc(8);
  if (typeof value === 'bigint') bits.writeBigUInt64LE(value);
  else bits.writeDoubleLE(value);
  return Buffer.concat([Buffer.of(0x09), bits, Buffer.of(0x10), uvarint(timestampMs)]);
}

export function labelMessage(name: string | Buffer, value: string | Buffer): Buffer {
  return Buffer.concat([field(1, Buffer.from(name)), field(2, Buffer.from(value))]);
}

export function seriesMessage(series: TestSeries): Buffer {
  return Buffer.concat([
    ...series.labels.map(([name, value]) => field(1, labelMessage(name, value))),
    ...(series.samples ?? []).map(([timestampMs, value]) =>
      field(2, sampleMessage(timestampMs, value)),
    ),
    ...Array.from({ length: series.exemplars ?? 0 }, () => field(3, Buffer.alloc(0))),
    ...histogramMessages(series).map((message) => field(4, Buffer.from(message))),
  ]);
}

function histogramMessages({ histograms = 0 }: TestSeries): readonly Uint8Array[] {
  if (typeof histograms !== 'number') return histograms;
  return Array.from({ length: histograms }, () => new Uint8Array(0));
}

export function writeRequest(series: readonly TestSeries[]): Buffer {
  return Buffer.concat(series.map((one) => field(1, seriesMessage(one))));
}

export function snappy(bytes: Buffer): Buffer {
  return Buffer.from(snappyjs.compress(bytes));
}

/** The body a sender posts. */
export function pushBody(series: readonly TestSeries[]): Buffer {
  return snappy(writeRequest(series));
}
