/**
 * A bounded reader and a growing writer for the gossip formats: big-endian integers, short ASCII
 * names, raw bytes. The reader never throws: the first read past the end, or of a bad value, sets
 * `isBroken` for good and yields zeros, so a decoder checks once at its end.
 */
import { assert } from '../../model/assert.ts';
import { parseInstanceId, INSTANCE_BYTES_MAX, type InstanceId } from '../../model/ids.ts';

/** Stands for an id that could not be read; the reader is broken then, so it never escapes. */
const NO_ID = '' as InstanceId;

export class ByteReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #end: number;
  #offset: number;
  #isBroken = false;

  /** Reads `bytes[from..to)`. */
  constructor(bytes: Uint8Array, from = 0, to = bytes.length) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#offset = from;
    this.#end = to;
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

  uint8(): number {
    const at = this.#take(1);
    return at < 0 ? 0 : this.#view.getUint8(at);
  }

  uint16(): number {
    const at = this.#take(2);
    return at < 0 ? 0 : this.#view.getUint16(at);
  }

  uint32(): number {
    const at = this.#take(4);
    return at < 0 ? 0 : this.#view.getUint32(at);
  }

  uint48(): number {
    const high = this.uint16();
    return high * 0x1_0000_0000 + this.uint32();
  }

  uint64(): bigint {
    const at = this.#take(8);
    return at < 0 ? 0n : this.#view.getBigUint64(at);
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
    let text = '';
    for (let i = at; i < at + length; i++) {
      const code = this.#bytes[i]!;
      if (!isIdByte(code)) {
        this.#isBroken = true;
        return NO_ID;
      }
      text += String.fromCharCode(code);
    }
    return this.#parseName(text);
  }

  /** The bytes are of the right alphabet; what is left to refuse is a bad first or last one. */
  #parseName(text: string): InstanceId {
    if (!isAlphanumeric(text.charCodeAt(0)) || !isAlphanumeric(text.charCodeAt(text.length - 1))) {
      this.#isBroken = true;
      return NO_ID;
    }
    return parseInstanceId(text);
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

function isAlphanumeric(code: number): boolean {
  return (code >= 48 && code <= 57) || (code >= 65 && code <= 90) || (code >= 97 && code <= 122);
}

function isIdByte(code: number): boolean {
  return isAlphanumeric(code) || code === 45 || code === 46 || code === 95;
}

export class ByteWriter {
  #bytes: Uint8Array;
  #view: DataView;
  #length = 0;

  constructor(capacity = 256) {
    this.#bytes = new Uint8Array(capacity);
    this.#view = new DataView(this.#bytes.buffer);
  }

  get length(): number {
    return this.#length;
  }

  uint8(value: number): void {
    const at = this.#reserve(1);
    this.#view.setUint8(at, value);
  }

  uint16(value: number): void {
    const at = this.#reserve(2);
    this.#view.setUint16(at, value);
  }

  uint32(value: number): void {
    const at = this.#reserve(4);
    this.#view.setUint32(at, value);
  }

  uint48(value: number): void {
    this.uint16(Math.floor(value / 0x1_0000_0000));
    this.uint32(value >>> 0);
  }

  uint64(value: bigint): void {
    const at = this.#reserve(8);
    this.#view.setBigUint64(at, value);
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

  /** Overwrites two bytes written before, for lengths known late. */
  patchUint16(offset: number, value: number): void {
    this.#view.setUint16(offset, value);
  }

  /** A copy of what was written. */
  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  /** Makes room and returns where; buffer and view may be new ones afterwards. */
  #reserve(count: number): number {
    const at = this.#length;
    this.#length = at + count;
    if (this.#length > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(this.#length, this.#bytes.length * 2));
      grown.set(this.#bytes.subarray(0, at));
      this.#bytes = grown;
      this.#view = new DataView(grown.buffer);
    }
    return at;
  }
}
