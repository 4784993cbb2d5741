/**
 * Snappy block format, decoding. Our own pass because the receiver must be strict and bounded:
 * the declared length is checked before anything is allocated, every tag is checked against both
 * ends, and a body that yields more or fewer bytes than it declared is an error (snappyjs, which
 * encodes for tools and tests, accepts both). Decoding stops and resumes, so that a large body
 * never holds the loop. Format: google/snappy, format_description.txt.
 *
 *   body := uvarint uncompressed length, element*
 *   element := literal (tag low bits 00) | copy with 1, 2 or 4 byte offset (01, 10, 11)
 */
import { StarlingError } from '../errors.ts';

/** A decode in progress. `target` is owned by the caller and is full when `isDone`. */
export interface SnappyDecode {
  readonly source: Uint8Array;
  readonly sourceView: DataView;
  readonly target: Uint8Array;
  readonly targetView: DataView;
  readonly length: number;
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

/** Begins a decode into `target`, of which the first `length` bytes will be written. */
export function beginSnappyDecode(
  source: Uint8Array,
  target: Uint8Array,
  length: number,
): SnappyDecode {
  let sourceOffset = 0;
  while (source[sourceOffset]! >= 0x80) sourceOffset++;
  const targetView = new DataView(target.buffer, target.byteOffset, length);
  const sourceView = new DataView(source.buffer, source.byteOffset, source.length);
  const views = { source, sourceView, target, targetView };
  return { ...views, length, sourceOffset: sourceOffset + 1, targetOffset: 0 };
}

/**
 * Decodes until about `outputBytesMax` more bytes are written. True when the body is complete.
 * Throws `snappy.corrupt` at the first element that does not hold.
 */
export function continueSnappyDecode(decode: SnappyDecode, outputBytesMax: number): boolean {
  const stopAt = Math.min(decode.targetOffset + outputBytesMax, decode.length);
  const failure = decodeElements(decode, stopAt);
  if (failure !== undefined) throw corrupt(`${failure} at byte ${decode.sourceOffset}`);
  if (decode.sourceOffset < decode.source.length) {
    if (decode.targetOffset < decode.length) return false;
    throw corrupt(`yields more than the ${decode.length} bytes it declares`);
  }
  if (decode.targetOffset < decode.length) {
    throw corrupt(`yields ${decode.targetOffset} bytes, it declares ${decode.length}`);
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

/** Longer literals are moved by a native call; for shorter ones it costs more than it saves. */
const NATIVE_COPY_BYTES = 48;
const WORD_BYTES = 4;

/**
 * Hot loop: moves elements until `stopAt` bytes are written or the source ends. Returns what is
 * wrong, if anything. `decode.length` bounds the target; nothing is written past it. Where there is
 * room, whole words are moved, up to three bytes too many: the next element overwrites these.
 */
function decodeElements(decode: SnappyDecode, stopAt: number): string | undefined {
  const { source, sourceView, target, targetView, length } = decode;
  const sourceEnd = source.length;
  let from = decode.sourceOffset;
  let to = decode.targetOffset;
  let failure: string | undefined;
  while (from < sourceEnd && to < stopAt) {
    const tag = source[from]!;
    const kind = tag & 3;
    let count = (tag >>> 2) + 1;
    if (kind === 0) {
      let headerEnd = from + 1;
      if (count > 60) {
        const extra = count - 60;
        headerEnd += extra;
        count = 0; // past the end it becomes NaN or too large: refused below
        for (let i = extra; i > 0; i--) count = count * 256 + source[from + i]!;
        count += 1;
      }
      if (!(headerEnd + count <= sourceEnd)) failure = 'truncated literal';
      else if (to + count > length) failure = 'yields more than it declares';
      if (failure !== undefined) break;
      from = headerEnd + count;
      if (count > NATIVE_COPY_BYTES) {
        target.set(source.subarray(headerEnd, from), to);
      } else if (from + WORD_BYTES <= sourceEnd && to + count + WORD_BYTES <= length) {
        for (let i = 0; i < count; i += WORD_BYTES) {
          targetView.setInt32(to + i, sourceView.getInt32(headerEnd + i, true), true);
        }
      } else {
        for (let i = 0; i < count; i++) target[to + i] = source[headerEnd + i]!;
      }
      to += count;
      continue;
    }
    let offset = source[from + 1]!; // reads past the end give nonsense, refused below
    let next = from + 2;
    if (kind === 1) {
      count = ((tag >>> 2) & 7) + 4;
      offset |= (tag & 0xe0) << 3;
    } else {
      next = from + 3;
      offset |= source[from + 2]! << 8;
      if (kind === 3) {
        next = from + 5;
        offset = (offset | (source[from + 3]! << 16)) + source[from + 4]! * 0x100_0000;
      }
    }
    if (next > sourceEnd) failure = 'truncated copy';
    else if (offset === 0 || offset > to) failure = `copy from ${offset} bytes back of ${to}`;
    else if (to + count > length) failure = 'yields more than it declares';
    if (failure !== undefined) break;
    // Ranges may overlap: moved in rising order, by words only when a word cannot overlap itself.
    const end = to + count;
    if (offset >= WORD_BYTES && end + WORD_BYTES <= length) {
      for (; to < end; to += WORD_BYTES) {
        targetView.setInt32(to, targetView.getInt32(to - offset, true), true);
      }
      to = end;
    } else {
      for (; to < end; to++) target[to] = target[to - offset]!;
    }
    from = next;
  }
  decode.sourceOffset = from;
  decode.targetOffset = to;
  return failure;
}

function corrupt(why: string): StarlingError {
  return new StarlingError('snappy.corrupt', { why });
}
