/**
 * Control payloads: msgpack with records and extension types off, bounded before decoding, and checked
 * field by field after it. Labels never travel as map keys (msgpack decoders rename `__proto__`).
 */
import { Packr, Unpackr } from 'msgpackr';
import { StarlingError } from '../../model/errors.ts';
import type { Message, PayloadCodec } from './types.ts';

export const CONTROL_BYTES_MAX = 4 * 1024 * 1024;

const packr = new Packr({ useRecords: false, moreTypes: false });
const unpackr = new Unpackr({ useRecords: false, moreTypes: false, mapsAsObjects: true });

export function packControl(value: unknown): Uint8Array {
  return packr.pack(value);
}

/** Throws `protobuf.corrupt` for oversized or malformed bytes. */
export function unpackControl(bytes: Uint8Array): unknown {
  if (bytes.length > CONTROL_BYTES_MAX) throw corrupt('a control payload over its bound');
  try {
    return unpackr.unpack(bytes);
  } catch (error) {
    throw corrupt('a malformed control payload', error);
  }
}

/** What a schema says of a value; zod's schemas are some. Unknown fields are left out of `data`. */
export interface Schema<Value> {
  safeParse(
    value: unknown,
  ):
    | { readonly success: true; readonly data: Value }
    | { readonly success: false; readonly error: Error };
}

/** Unpacks and checks. Throws `protobuf.corrupt`. */
export function unpackChecked<Value>(
  bytes: Uint8Array,
  schema: Schema<Value>,
  what: string,
): Value {
  const checked = schema.safeParse(unpackControl(bytes));
  if (!checked.success) throw corrupt(`not a valid ${what}`, checked.error);
  return checked.data;
}

/** A message type that travels as msgpack. Decoded messages have the declared type, whatever they say. */
export function checkedCodec(
  type: string,
  message: Schema<object>,
  answer: Schema<unknown>,
): PayloadCodec {
  return {
    encodeMessage: packControl,
    decodeMessage: (bytes): Message => ({ ...unpackChecked(bytes, message, type), type }),
    encodeAnswer: packControl,
    decodeAnswer: (bytes) => unpackChecked(bytes, answer, `answer to ${type}`),
  };
}

function corrupt(why: string, cause?: unknown): StarlingError {
  return new StarlingError('protobuf.corrupt', { why, offset: 0 }, cause);
}
