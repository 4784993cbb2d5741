/**
 * Control payloads: msgpack with records and extension types off, bounded before decoding. Labels never
 * travel as map keys (msgpack decoders rename `__proto__`).
 */
import { Packr, Unpackr } from 'msgpackr';
import { StarlingError } from '../../model/errors.ts';

export const CONTROL_BYTES_MAX = 4 * 1024 * 1024;

export function packControl(value: unknown): Uint8Array {
  return new Packr({ useRecords: false, moreTypes: false }).pack(value);
}

/** Throws `protobuf.corrupt` for oversized or malformed bytes. */
export function unpackControl(bytes: Uint8Array): unknown {
  if (bytes.length > CONTROL_BYTES_MAX) {
    throw new StarlingError('protobuf.corrupt', {
      why: 'a control payload over its bound',
      offset: 0,
    });
  }
  try {
    return new Unpackr({ useRecords: false, moreTypes: false, mapsAsObjects: true }).unpack(bytes);
  } catch (error) {
    throw new StarlingError(
      'protobuf.corrupt',
      { why: 'a malformed control payload', offset: 0 },
      error,
    );
  }
}
