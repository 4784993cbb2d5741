/**
 * Snappy block format, decoding. Our own pass because the receiver must be strict and bounded:
 * the declared length is checked before anything is allocated, every tag is checked against both
 * ends, and a body that yields more or fewer bytes than it declared is an error (snappyjs, which
 * encodes for tools and tests, accepts both). Decoding stops and resumes, so that a large body
 * never holds the loop. The elements are moved by snappy.wat. Format: google/snappy, format_description.txt.
 *
 *   body := uvarint uncompressed length, element*
 *   element := literal (tag low bits 00) | copy with 1, 2 or 4 byte offset (01, 10, 11)
 */
import { StarlingError } from '../errors.ts';
import { snappyWasm } from './snappy-wasm.ts';

/** A decode in progress. `target` is owned by the caller and is full when it is done. */
export interface SnappyDecode {
  readonly source: Uint8Array;
  readonly target: Uint8Array;
  readonly length: number;
  /** Undefined once it is done or has failed. */
  decoder: Decoder | undefined;
  sourceOffset: number;
  targetOffset: number;
}

const PREAMBLE_BYTES_MAX = 5;
/** The most bytes one input byte can expand to: a 3-byte copy yields 64, a 2-byte one 11. */
const EXPANSION_MAX = 22;
const FRAME_MAGIC = [0xff, 0x06, 0x00, 0x00, 0x73, 0x4e, 0x61, 0x50, 0x70, 0x59];

/**
 * The uncompressed length that `source` declares. Throws `snappy.corrupt` when the preamble is
 * missing, malformed or promises more than the body could ever yield, and `request.body_too_large`
 * when it is over `bytesMax`. Allocates nothing.
 */
export function snappyLength(source: Uint8Array, bytesMax: number): number {
  if (source.length === 0) throw corrupt('empty body');
  if (FRAME_MAGIC.every((byte, i) => source[i] === byte)) {
    throw corrupt('this is the framed format: send the block format');
  }
  let length = 0;
  for (let i = 0; ; i++) {
    if (i >= source.length) throw corrupt('truncated length');
    if (i >= PREAMBLE_BYTES_MAX) throw corrupt('length is longer than 5 bytes');
    const byte = source[i]!;
    length += (byte & 0x7f) * 2 ** (7 * i);
    if (byte < 0x80) {
      if (length > 0xffff_ffff) throw corrupt('length is over 32 bits');
      if (length > source.length * EXPANSION_MAX) {
        throw corrupt(`declares ${length} bytes, more than ${source.length} bytes can hold`);
      }
      if (length > bytesMax) {
        throw new StarlingError('request.body_too_large', { bytes: length, bytesMax });
      }
      return length;
    }
  }
}

/**
 * Begins a decode into `target`, of which the first `length` bytes will be written. Throws `node.no_address_space` when
 * there is no room for it.
 */
export function beginSnappyDecode(
  source: Uint8Array,
  target: Uint8Array,
  length: number,
): SnappyDecode {
  let sourceOffset = 0;
  while (source[sourceOffset]! >= 0x80) sourceOffset++;
  const decoder = takeDecoder(source, length);
  return { source, target, length, decoder, sourceOffset: sourceOffset + 1, targetOffset: 0 };
}

/**
 * Decodes until about `outputBytesMax` more bytes are written. True when the body is complete.
 * Throws `snappy.corrupt` at the first element that does not hold.
 */
export function continueSnappyDecode(decode: SnappyDecode, outputBytesMax: number): boolean {
  const { decoder, length, source } = decode;
  if (decoder === undefined) return true;
  const stopAt = Math.min(decode.targetOffset + outputBytesMax, length);
  const failure = decoder.decode(decode, stopAt);
  const isAtEnd = decode.sourceOffset === source.length;
  if (failure === undefined && !isAtEnd && decode.targetOffset < length) return false;
  decode.decoder = undefined;
  giveBack(decoder);
  if (failure !== undefined) throw corrupt(`${failure} at byte ${decode.sourceOffset}`);
  if (!isAtEnd) throw corrupt(`yields more than the ${length} bytes it declares`);
  if (decode.targetOffset < length) {
    throw corrupt(`yields ${decode.targetOffset} bytes, it declares ${length}`);
  }
  return true;
}

/** Decodes a whole body at once: for small bodies, tools and tests. */
export function snappyDecode(source: Uint8Array, bytesMax: number): Uint8Array {
  const length = snappyLength(source, bytesMax);
  const decode = beginSnappyDecode(source, new Uint8Array(length), length);
  while (!continueSnappyDecode(decode, length + 1)) continue;
  return decode.target;
}

const PAGE_BYTES = 64 * 1024;
/** What is read or written past the end of either part: a block of the longest copy. */
const SLACK_BYTES = 64;
/** Decoders that wait for the next body, and the most memory one keeps. */
const SPARE_DECODERS_MAX = 4;
const SPARE_BYTES_MAX = 4 * 1024 * 1024;

interface DecoderExports {
  readonly memory: WebAssembly.Memory;
  readonly from: WebAssembly.Global;
  readonly to: WebAssembly.Global;
  readonly offset: WebAssembly.Global;
  decode(
    from: number,
    sourceEnd: number,
    base: number,
    to: number,
    stopAt: number,
    targetEnd: number,
  ): 0 | 1 | 2 | 3 | 4;
}

/**
 * A memory with one body in it: `source, slack, target, slack`. Moving copies by blocks takes a quarter of the time that
 * the best loop over typed arrays takes, and most bytes of a remote write are copies.
 */
class Decoder {
  readonly #exports: DecoderExports;
  #targetStart = 0;

  constructor(module: WebAssembly.Module) {
    // snappy.wat says what it exports.
    this.#exports = new WebAssembly.Instance(module).exports as unknown as DecoderExports;
  }

  get byteLength(): number {
    return this.#exports.memory.buffer.byteLength;
  }

  load(source: Uint8Array, targetLength: number): void {
    const { memory } = this.#exports;
    this.#targetStart = source.length + SLACK_BYTES;
    const missing = this.#targetStart + targetLength + SLACK_BYTES - this.byteLength;
    if (missing > 0) memory.grow(Math.ceil(missing / PAGE_BYTES));
    new Uint8Array(memory.buffer).set(source);
  }

  /** Goes on until `stopAt` bytes are written or the source ends. Returns what is wrong, if anything. */
  decode(decode: SnappyDecode, stopAt: number): string | undefined {
    const { length, source, sourceOffset, target, targetOffset } = decode;
    const { from, memory, offset, to } = this.#exports;
    const base = this.#targetStart;
    const end = base + length;
    const at = base + targetOffset;
    const stop = base + stopAt;
    const failure = this.#exports.decode(sourceOffset, source.length, base, at, stop, end);
    decode.sourceOffset = from.value;
    decode.targetOffset = to.value - base;
    const written = decode.targetOffset - targetOffset;
    target.set(new Uint8Array(memory.buffer, at, written), targetOffset);
    switch (failure) {
      case 0:
        return undefined;
      case 1:
        return 'truncated literal';
      case 2:
        return 'yields more than it declares';
      case 3:
        return 'truncated copy';
      case 4:
        return `copy from ${offset.value >>> 0} bytes back of ${decode.targetOffset}`;
    }
  }
}

let compiled: WebAssembly.Module | undefined;
const spareDecoders: Decoder[] = [];

function takeDecoder(source: Uint8Array, targetLength: number): Decoder {
  compiled ??= new WebAssembly.Module(Buffer.from(snappyWasm, 'base64'));
  try {
    const decoder = spareDecoders.pop() ?? new Decoder(compiled);
    decoder.load(source, targetLength);
    return decoder;
  } catch (error) {
    throw new StarlingError('node.no_address_space', undefined, error);
  }
}

function giveBack(decoder: Decoder): void {
  const isKept = spareDecoders.length < SPARE_DECODERS_MAX && decoder.byteLength <= SPARE_BYTES_MAX;
  if (isKept) spareDecoders.push(decoder);
}

function corrupt(why: string): StarlingError {
  return new StarlingError('snappy.corrupt', { why });
}
