/**
 * What this node says of each instance, as bytes that are made once, and which of it waits to be told.
 *
 *   slot 0 = this node, slot i + 1 = the member at place i of the roster
 *   row of a slot = from | length | room | previous | next | transmits | accuser | hash of the id
 *   bytes         = the claims one after the other, without their message header
 *   index         = slot + 1 by the hash of the id, in open addressing
 *   buckets[t]    = the slots that were told t times, in order of arrival, as a list through the rows
 *
 * A claim that is put is told up to a limit of times, those told least first; a newer claim of a slot
 * replaces the older one. So a packet costs what it carries, whatever waits, a whole state is copied
 * and not encoded again, and a cluster of a thousand needs no object for each of them.
 */
import { assert } from '../../model/assert.ts';
import type { InstanceId } from '../../model/ids.ts';
import { ByteWriter } from './bytes.ts';
import { CLAIM_CODE, CLAIM_NUMBER_BYTES, MESSAGE_HEADER_BYTES, writeClaim } from './codec.ts';
import { SKIPS_MAX, UPDATE_BYTES_MIN, type UpdateQueue } from './gossip-queue.ts';
import { type Claim, MEMBER_STATES } from './types.ts';

/** This node's own. */
export const SELF_SLOT = 0;

const FROM = 0;
const LENGTH = 1;
const ROOM = 2;
const PREVIOUS = 3;
const NEXT = 4;
const TRANSMITS = 5;
/** Where the accuser stands in the claim: behind the addresses. */
const ACCUSER = 6;
const HASH = 7;
/** A power of two, so that a row does not cross a line of the cache. */
const ROW = 8;
const NONE = -1;

const ALIVE = MEMBER_STATES.indexOf('alive');
const LEFT = MEMBER_STATES.indexOf('left');

const SLOTS_MIN = 16;
const BYTES_MIN = 512;

export class ClaimTable {
  #rows = new Int32Array(SLOTS_MIN * ROW);
  #bytes = new Uint8Array(BYTES_MIN);
  #bytesUsed = 0;
  #bytesWasted = 0;
  #slotCount = 0;
  #index = new Int32Array(2 * SLOTS_MIN);
  #isIndexOld = false;
  /** First and last slot of each bucket. */
  readonly #firsts: number[] = [];
  readonly #lasts: number[] = [];
  #waitingCount = 0;
  /** One claim, while it is put. */
  readonly #scratchWriter = new ByteWriter();
  /** Slots of the packet that is filled. */
  readonly #scratchTaken: number[] = [];

  /** How many claims wait to be told. */
  get waitingCount(): number {
    return this.#waitingCount;
  }

  isWaiting(slot: number): boolean {
    return slot < this.#slotCount && this.#rows[slot * ROW + TRANSMITS] !== NONE;
  }

  /** Keeps the claim in its slot, which is one that is taken or the next free one. */
  put(slot: number, claim: Claim): void {
    assert(slot <= this.#slotCount, 'gossip: slots are taken in turn');
    const isNew = slot === this.#slotCount;
    if (isNew) this.#addSlot();
    const writer = this.#scratchWriter;
    writeClaim(writer, claim);
    const at = slot * ROW;
    if (writer.length > this.#rows[at + ROOM]!) this.#makeRoom(at, writer.length);
    this.#rows[at + LENGTH] = writer.length;
    const accuserBytes = claim.accuser === claim.id ? 1 : 1 + claim.accuser.length;
    this.#rows[at + ACCUSER] = writer.length - accuserBytes;
    writer.moveInto(this.#bytes, this.#rows[at + FROM]!);
    if (isNew) this.#addToIndex(slot, hashOfText(claim.id));
  }

  /** The slot of the instance whose id is bytes[from..to); -1: it has none. */
  find(bytes: Uint8Array, from: number, to: number): number {
    if (this.#isIndexOld) this.#makeIndex();
    let hash = HASH_START;
    for (let i = from; i < to; i++) hash = Math.imul(hash ^ bytes[i]!, HASH_STEP);
    for (let place = this.#placeOf(hash); ; place = (place + 1) & (this.#index.length - 1)) {
      const slot = this.#index[place]! - 1;
      if (slot < 0 || this.#hasId(slot, bytes, from, to)) return slot;
    }
  }

  /** The same of an id as text. */
  findText(id: string): number {
    if (this.#isIndexOld) this.#makeIndex();
    for (
      let place = this.#placeOf(hashOfText(id));
      ;
      place = (place + 1) & (this.#index.length - 1)
    ) {
      const slot = this.#index[place]! - 1;
      if (slot < 0 || this.#hasText(slot, id)) return slot;
    }
  }

  /** How many bytes at `from` are the addresses of the slot's claim; 0: others are there. */
  matchAddresses(slot: number, bytes: Uint8Array, from: number): number {
    const at = this.#idFrom(slot);
    const addressFrom = at + 1 + this.#bytes[at]!;
    const length = this.#rows[slot * ROW + FROM]! + this.#rows[slot * ROW + ACCUSER]! - addressFrom;
    if (from + length > bytes.length) return 0;
    for (let i = 0; i < length; i++) {
      if (this.#bytes[addressFrom + i] !== bytes[from + i]) return 0;
    }
    return length;
  }

  /** From now on the slot's claim waits to be told, as if it never was. */
  tell(slot: number): void {
    if (this.isWaiting(slot)) this.#unlink(slot);
    else this.#waitingCount++;
    this.#append(slot, 0);
  }

  /** Forgets a slot; the last one takes its place. */
  remove(slot: number): void {
    const last = this.#slotCount - 1;
    const rows = this.#rows;
    if (this.isWaiting(slot)) {
      this.#unlink(slot);
      this.#waitingCount--;
    }
    this.#bytesWasted += rows[slot * ROW + ROOM]!;
    if (slot !== last) this.#renumber(last, slot);
    this.#slotCount = last;
    this.#isIndexOld = true;
  }

  /** The bytes of all claims, and of the holes between them. */
  get byteCount(): number {
    return this.#bytesUsed;
  }

  /**
   * Appends the claims of all members, neighbours at once. What is no statement of the member itself
   * (it is suspect or dead) is said in this node's own name; of the others, those that `isTold` are left
   * out. Returns how many were written.
   */
  writeMembers(
    writer: ByteWriter,
    self: InstanceId,
    isTold?: (bytes: Uint8Array, from: number, to: number) => boolean,
  ): number {
    const rows = this.#rows;
    let count = Math.max(0, this.#slotCount - 1);
    let from = 0;
    let to = 0; // bytes[from..to) are to be written
    for (let slot = SELF_SLOT + 1; slot < this.#slotCount; slot++) {
      const at = rows[slot * ROW + FROM]!;
      const state = this.#bytes[at]!;
      const end = at + rows[slot * ROW + LENGTH]!;
      const isOwn = state === ALIVE || state === LEFT;
      const isLeftOut = isOwn && isTold?.(this.#bytes, at, end) === true;
      if (isLeftOut) count--;
      if (at !== to || !isOwn || isLeftOut) {
        if (from < to) writer.bytes(this.#bytes.subarray(from, to));
        from = at;
        to = at;
      }
      if (isLeftOut) continue;
      if (isOwn) to = end;
      else this.#writeAccused(slot, self, writer);
    }
    if (from < to) writer.bytes(this.#bytes.subarray(from, to));
    return count;
  }

  /**
   * Appends messages worth up to `bytesFree` of what waits. A claim that has now been told
   * `transmitsMax` times waits no longer.
   */
  take(bytesFree: number, transmitsMax: number, writer: ByteWriter): void {
    const rows = this.#rows;
    const taken = this.#scratchTaken;
    taken.length = 0;
    let free = bytesFree;
    let skips = 0;
    for (let transmits = 0; transmits < this.#firsts.length; transmits++) {
      let slot = this.#firsts[transmits]!;
      while (slot !== NONE && free >= UPDATE_BYTES_MIN && skips <= SKIPS_MAX) {
        const length = MESSAGE_HEADER_BYTES + rows[slot * ROW + LENGTH]!;
        if (length > free) {
          skips++;
        } else {
          free -= length;
          taken.push(slot);
        }
        slot = rows[slot * ROW + NEXT]!;
      }
    }
    for (const slot of taken) {
      writer.uint8(CLAIM_CODE);
      writer.uint16(rows[slot * ROW + LENGTH]!);
      const from = rows[slot * ROW + FROM]!;
      writer.copyFrom(this.#bytes, from, from + rows[slot * ROW + LENGTH]!);
      this.#markTold(slot, transmitsMax);
    }
  }

  #writeAccused(slot: number, accuser: InstanceId, writer: ByteWriter): void {
    const from = this.#rows[slot * ROW + FROM]!;
    writer.copyFrom(this.#bytes, from, from + this.#rows[slot * ROW + ACCUSER]!);
    writer.instanceId(accuser);
  }

  #idFrom(slot: number): number {
    return this.#rows[slot * ROW + FROM]! + CLAIM_NUMBER_BYTES;
  }

  #hasId(slot: number, bytes: Uint8Array, from: number, to: number): boolean {
    const at = this.#idFrom(slot);
    if (this.#bytes[at] !== to - from) return false;
    for (let i = from; i < to; i++) if (this.#bytes[at + 1 + i - from] !== bytes[i]) return false;
    return true;
  }

  #hasText(slot: number, id: string): boolean {
    const at = this.#idFrom(slot);
    if (this.#bytes[at] !== id.length) return false;
    for (let i = 0; i < id.length; i++) {
      if (this.#bytes[at + 1 + i] !== id.charCodeAt(i)) return false;
    }
    return true;
  }

  #placeOf(hash: number): number {
    return (hash ^ (hash >>> 15)) & (this.#index.length - 1);
  }

  #addToIndex(slot: number, hash: number): void {
    this.#rows[slot * ROW + HASH] = hash;
    if (this.#slotCount * 2 > this.#index.length) this.#isIndexOld = true;
    else if (!this.#isIndexOld) this.#index[this.#freePlace(hash)] = slot + 1;
  }

  #makeIndex(): void {
    let length = this.#index.length;
    while (length < this.#slotCount * 2) length *= 2;
    this.#index = new Int32Array(length);
    this.#isIndexOld = false;
    for (let slot = 0; slot < this.#slotCount; slot++) {
      this.#index[this.#freePlace(this.#rows[slot * ROW + HASH]!)] = slot + 1;
    }
  }

  #freePlace(hash: number): number {
    let place = this.#placeOf(hash);
    while (this.#index[place] !== 0) place = (place + 1) & (this.#index.length - 1);
    return place;
  }

  #markTold(slot: number, transmitsMax: number): void {
    const transmits = this.#rows[slot * ROW + TRANSMITS]! + 1;
    this.#unlink(slot);
    if (transmits < transmitsMax) {
      this.#append(slot, transmits);
    } else {
      this.#rows[slot * ROW + TRANSMITS] = NONE;
      this.#waitingCount--;
    }
  }

  #addSlot(): void {
    const at = this.#slotCount * ROW;
    if (at === this.#rows.length) {
      const grown = new Int32Array(this.#rows.length * 2);
      grown.set(this.#rows);
      this.#rows = grown;
    }
    this.#rows[at + ROOM] = 0;
    this.#rows[at + TRANSMITS] = NONE;
    this.#slotCount++;
  }

  /** A place for a claim that is longer than the one before. */
  #makeRoom(at: number, length: number): void {
    this.#bytesWasted += this.#rows[at + ROOM]!;
    this.#rows[at + ROOM] = 0;
    if (this.#bytesWasted * 2 > this.#bytes.length) this.#compact();
    if (this.#bytesUsed + length > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(this.#bytes.length * 2, this.#bytesUsed + length));
      grown.set(this.#bytes.subarray(0, this.#bytesUsed));
      this.#bytes = grown;
    }
    this.#rows[at + FROM] = this.#bytesUsed;
    this.#rows[at + ROOM] = length;
    this.#bytesUsed += length;
  }

  /** Copies what is in use to a new array, without the holes. */
  #compact(): void {
    const rows = this.#rows;
    const bytes = new Uint8Array(this.#bytes.length);
    let used = 0;
    for (let at = 0; at < this.#slotCount * ROW; at += ROW) {
      const from = rows[at + FROM]!;
      bytes.set(this.#bytes.subarray(from, from + rows[at + ROOM]!), used);
      rows[at + FROM] = used;
      used += rows[at + ROOM]!;
    }
    this.#bytes = bytes;
    this.#bytesUsed = used;
    this.#bytesWasted = 0;
  }

  #renumber(slot: number, to: number): void {
    const rows = this.#rows;
    rows.copyWithin(to * ROW, slot * ROW, slot * ROW + ROW);
    const transmits = rows[to * ROW + TRANSMITS]!;
    if (transmits === NONE) return;
    const previous = rows[to * ROW + PREVIOUS]!;
    const next = rows[to * ROW + NEXT]!;
    if (previous === NONE) this.#firsts[transmits] = to;
    else rows[previous * ROW + NEXT] = to;
    if (next === NONE) this.#lasts[transmits] = to;
    else rows[next * ROW + PREVIOUS] = to;
  }

  #append(slot: number, transmits: number): void {
    while (this.#firsts.length <= transmits) {
      this.#firsts.push(NONE);
      this.#lasts.push(NONE);
    }
    const rows = this.#rows;
    const last = this.#lasts[transmits]!;
    if (last === NONE) this.#firsts[transmits] = slot;
    else rows[last * ROW + NEXT] = slot;
    rows[slot * ROW + PREVIOUS] = last;
    rows[slot * ROW + NEXT] = NONE;
    rows[slot * ROW + TRANSMITS] = transmits;
    this.#lasts[transmits] = slot;
  }

  #unlink(slot: number): void {
    const rows = this.#rows;
    const at = slot * ROW;
    const transmits = rows[at + TRANSMITS]!;
    const previous = rows[at + PREVIOUS]!;
    const next = rows[at + NEXT]!;
    if (previous === NONE) this.#firsts[transmits] = next;
    else rows[previous * ROW + NEXT] = next;
    if (next === NONE) this.#lasts[transmits] = previous;
    else rows[next * ROW + PREVIOUS] = previous;
  }
}

const HASH_START = 0x811c_9dc5 | 0;
const HASH_STEP = 0x0100_0193;

function hashOfText(id: string): number {
  let hash = HASH_START;
  for (let i = 0; i < id.length; i++) hash = Math.imul(hash ^ id.charCodeAt(i), HASH_STEP);
  return hash;
}

/** Appends what waits, claims and records, to a packet that has `bytesFree` left. */
export function takeUpdates(
  claims: ClaimTable,
  records: UpdateQueue,
  { bytesFree, transmitsMax, writer }: PacketRest,
): void {
  let free = bytesFree;
  if (records.count > 0) {
    const taken: Uint8Array[] = [];
    free -= records.take(claims.waitingCount > 0 ? free >> 1 : free, transmitsMax, taken);
    for (const record of taken) writer.bytes(record);
  }
  if (claims.waitingCount > 0) claims.take(free, transmitsMax, writer);
}

export interface PacketRest {
  readonly bytesFree: number;
  readonly transmitsMax: number;
  readonly writer: ByteWriter;
}
