/**
 * A bounded reader and a growing writer for the gossip formats: big-endian integers, short ASCII
 * names, raw bytes. The reader never throws: the first read past the end, or of a bad value, sets
 * `isBroken` for good and yields zeros, so a decoder checks once at its end.
 */
import { assert } from '../../model/assert.ts';
import { parseInstanceBytes, INSTANCE_BYTES_MAX, type InstanceId } from '../../model/ids.ts';

/** Stands for an id that could not be read; the reader is broken then, so it never escapes. */
const NO_ID = '' as InstanceId;

export class ByteReader {
  readonly #bytes: Uint8Array;
  readonly #end: number;
  #offset: number;
  #isBroken = false;

  /** Reads `bytes[from..to)`. */
  constructor(bytes: Uint8Array, from = 0, to = bytes.length) {
    this.#bytes = bytes;
    this.#offset = from;
    this.#end = to;
  }

  /** What is read. */
  get source(): Uint8Array {
    return this.#bytes;
  }

  get offset(): number {
    return this.#offset;
  }

  get remaining(): number {
    return this.#end - this.#offset;
  }

  get isBroken(): boolean {
    return this.#isBroken;
  }

  /** True when everything was read and nothing was wrong. */
  get isWhole(): boolean {
    return !this.#isBroken && this.#offset === this.#end;
  }

  /** Marks the input as bad: a value was readable but out of its range. */
  refuse(): void {
    this.#isBroken = true;
  }

  /** Passes over `count` bytes that are there. */
  skip(count: number): void {
    this.#take(count);
  }

  uint8(): number {
    const at = this.#take(1);
    return at < 0 ? 0 : this.#bytes[at]!;
  }

  uint16(): number {
    const at = this.#take(2);
    return at < 0 ? 0 : (this.#bytes[at]! << 8) | this.#bytes[at + 1]!;
  }

  uint32(): number {
    const high = this.uint16(); // a broken reader reads zeros
    const low = this.uint16();
    return this.#isBroken ? 0 : high * 0x1_0000 + low;
  }

  uint48(): number {
    const high = this.uint16();
    return high * 0x1_0000_0000 + this.uint32();
  }

  uint64(): bigint {
    const at = this.#take(8);
    if (at < 0) return 0n;
    const { buffer, byteOffset } = this.#bytes;
    return new DataView(buffer, byteOffset + at, 8).getBigUint64(0);
  }

  /** A copy of the next `count` bytes. */
  bytes(count: number): Uint8Array {
    const at = this.#take(count);
    return at < 0 ? new Uint8Array(0) : this.#bytes.slice(at, at + count);
  }

  /** An instance id behind a one-byte length; anything parseInstanceId would refuse breaks. */
  instanceId(): InstanceId {
    return this.#name(this.uint8());
  }

  /** The same, where length 0 means `fallback`. */
  instanceIdOr(fallback: InstanceId): InstanceId {
    const length = this.uint8();
    return length === 0 ? fallback : this.#name(length);
  }

  #name(length: number): InstanceId {
    const at = length === 0 || length > INSTANCE_BYTES_MAX ? -1 : this.#take(length);
    if (at < 0) {
      this.#isBroken = true;
      return NO_ID;
    }
    const id = parseInstanceBytes(this.#bytes, at, at + length);
    if (id === undefined) this.#isBroken = true;
    return id ?? NO_ID;
  }

  #take(count: number): number {
    const at = this.#offset;
    if (this.#isBroken || count > this.#end - at) {
      this.#isBroken = true;
      return -1;
    }
    this.#offset = at + count;
    return at;
  }
}

export class ByteWriter {
  #bytes: Uint8Array;
  /** Where the piece that is written begins: behind those that were cut off. */
  #from = 0;
  #length = 0;

  constructor(capacity = 256) {
    this.#bytes = new Uint8Array(capacity);
  }

  get length(): number {
    return this.#length - this.#from;
  }

  uint8(value: number): void {
    const at = this.#reserve(1);
    this.#bytes[at] = value;
  }

  uint16(value: number): void {
    const at = this.#reserve(2);
    this.#bytes[at] = value >>> 8;
    this.#bytes[at + 1] = value;
  }

  uint32(value: number): void {
    this.uint16(value >>> 16);
    this.uint16(value & 0xffff);
  }

  uint48(value: number): void {
    this.uint16(Math.floor(value / 0x1_0000_0000));
    this.uint32(value >>> 0);
  }

  uint64(value: bigint): void {
    this.uint32(Number(value >> 32n));
    this.uint32(Number(value & 0xffff_ffffn));
  }

  bytes(bytes: Uint8Array): void {
    const at = this.#reserve(bytes.length);
    this.#bytes.set(bytes, at);
  }

  /** An instance id (ASCII by construction) behind its length. */
  instanceId(id: InstanceId): void {
    assert(id.length <= INSTANCE_BYTES_MAX, 'gossip: instance id too long');
    this.uint8(id.length);
    const at = this.#reserve(id.length);
    for (let i = 0; i < id.length; i++) this.#bytes[at + i] = id.charCodeAt(i);
  }

  /** Appends bytes[from..to). */
  copyFrom(bytes: Uint8Array, from: number, to: number): void {
    const at = this.#reserve(to - from) - from;
    const target = this.#bytes;
    for (let i = from; i < to; i++) target[at + i] = bytes[i]!; // a call costs more than a claim
  }

  /** Moves what was written into `target`, from `offset` on, and begins again. */
  moveInto(target: Uint8Array, offset: number): void {
    const bytes = this.#bytes;
    for (let i = this.#from; i < this.#length; i++) target[offset + i - this.#from] = bytes[i]!;
    this.#length = this.#from;
  }

  /** What was written since the last cut, as a view; what comes is written behind it. */
  cut(): Uint8Array {
    const piece = this.#bytes.subarray(this.#from, this.#length);
    this.#from = this.#length;
    return piece;
  }

  /** Overwrites two bytes written before, for lengths known late. */
  patchUint16(offset: number, value: number): void {
    const at = this.#from + offset;
    this.#bytes[at] = value >>> 8;
    this.#bytes[at + 1] = value;
  }

  patchUint32(offset: number, value: number): void {
    this.patchUint16(offset, value >>> 16);
    this.patchUint16(offset + 2, value & 0xffff);
  }

  /** All of a writer that nothing was cut from. It may be its own bytes: patch nothing afterwards. */
  finish(): Uint8Array {
    assert(this.#from === 0, 'gossip: a writer is cut or finished');
    return this.#length === this.#bytes.length ? this.#bytes : this.#bytes.slice(0, this.#length);
  }

  /** Makes room and returns where; the buffer may be a new one afterwards. */
  #reserve(count: number): number {
    if (this.#length + count > this.#bytes.length) this.#grow(count);
    const at = this.#length;
    this.#length = at + count;
    return at;
  }

  /** Goes on in a new buffer, which has only the piece that is written. */
  #grow(count: number): void {
    const piece = this.#bytes.subarray(this.#from, this.#length);
    const factor = this.#from === 0 ? 2 : 1;
    const needed = piece.length + count;
    this.#bytes = new Uint8Array(Math.max(needed, this.#bytes.length * factor));
    this.#bytes.set(piece);
    this.#from = 0;
    this.#length = piece.length;
  }
}
