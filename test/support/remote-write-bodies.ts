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
  /** So many empty ones, or these messages. */
  readonly exemplars?: number | readonly Uint8Array[];
}

const VARINT_BYTES_MAX = 10;

/** Without bigints and small buffers, which take most of the time of a large body. Returns the end. */
function putVarint(bytes: Buffer, at: number, value: number): number {
  let small = value;
  let end = at;
  for (; small > 0x7f; small = Math.floor(small / 128)) bytes[end++] = (small % 128) | 0x80;
  bytes[end++] = small;
  return end;
}

export function uvarint(value: number | bigint): Buffer {
  if (typeof value === 'number' && value >= 0) {
    const small = Buffer.allocUnsafe(VARINT_BYTES_MAX);
    return small.subarray(0, putVarint(small, 0, value));
  }
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  do {
    bytes.push(Number(rest & 0x7fn) | (rest > 0x7fn ? 0x80 : 0));
    rest >>= 7n;
  } while (rest > 0n);
  return Buffer.from(bytes);
}

export function field(number: number, bytes: Buffer): Buffer {
  const whole = Buffer.allocUnsafe(2 * VARINT_BYTES_MAX + bytes.length);
  const at = putVarint(whole, putVarint(whole, 0, (number << 3) | 2), bytes.length);
  whole.set(bytes, at);
  return whole.subarray(0, at + bytes.length);
}

/** A value given as a bigint is its bit pattern. */
export function sampleMessage(timestampMs: number | bigint, value: number | bigint): Buffer {
  const message = Buffer.allocUnsafe(10 + VARINT_BYTES_MAX);
  message[0] = 0x09;
  if (typeof value === 'bigint') message.writeBigUInt64LE(value, 1);
  else message.writeDoubleLE(value, 1);
  message[9] = 0x10;
  const time = uvarint(timestampMs);
  message.set(time, 10);
  return message.subarray(0, 10 + time.length);
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
    ...messagesOf(series.exemplars).map((message) => field(3, Buffer.from(message))),
    ...messagesOf(series.histograms).map((message) => field(4, Buffer.from(message))),
  ]);
}

function messagesOf(messages: number | readonly Uint8Array[] = 0): readonly Uint8Array[] {
  if (typeof messages !== 'number') return messages;
  return Array.from({ length: messages }, () => new Uint8Array(0));
}

export interface TestExemplar {
  readonly labels?: readonly (readonly [string | Buffer, string | Buffer])[];
  readonly value?: number;
  readonly timestampMs?: number | bigint;
}

export function exemplarMessage({ labels = [], timestampMs = 0, value = 0 }: TestExemplar): Buffer {
  const number = Buffer.alloc(9, 0x11);
  number.writeDoubleLE(value, 1);
  return Buffer.concat([
    ...labels.map(([name, text]) => field(1, labelMessage(name, text))),
    number,
    Buffer.from([0x18]),
    uvarint(timestampMs),
  ]);
}

export interface TestMetadata {
  readonly name?: string | Buffer;
  readonly type?: number;
  readonly help?: string | Buffer;
  readonly unit?: string | Buffer;
}

export function metadataMessage({ help, name, type, unit }: TestMetadata): Buffer {
  const text = (number: number, value: string | Buffer | undefined): Buffer =>
    value === undefined ? Buffer.alloc(0) : field(number, Buffer.from(value));
  const kind = type === undefined ? Buffer.alloc(0) : Buffer.concat([uvarint(8), uvarint(type)]);
  return Buffer.concat([kind, text(2, name), text(4, help), text(5, unit)]);
}

/** The metadata of a request, without series. */
export function metadataRequest(all: readonly TestMetadata[]): Buffer {
  return Buffer.concat(all.map((one) => field(3, metadataMessage(one))));
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
