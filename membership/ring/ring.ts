/**
 * The ring: which instances hold a series. A pure function of the registry alone: the same records
 * in any order give the same ring, and nothing here can know who is alive.
 *
 *   tokens   [ 17 | 90 | 230 | ... ]   sorted, all registered instances' together
 *   owners   [  2 |  0 |   1 | ... ]   index into `instances` (sorted by id)
 *   a hash belongs to the first token greater than it; past the last token the first one follows
 *
 * Walking clockwise from there: RF distinct instances, no two in a zone while there are at least RF
 * zones. Writes pass over READONLY and LEAVING and take a substitute (in the same zone, when zones
 * bind); reads keep them and take the substitute as well.
 */
import { assert } from '../../model/assert.ts';
import type { InstanceId } from '../../model/ids.ts';
import {
  type InstanceRecord,
  type Registry,
  effectiveRf,
  votersOf,
  writeQuorum,
} from '../registry/index.ts';
import { TOKENS_PER_INSTANCE, tokensOf } from './tokens.ts';

export type RingOperation = 'read' | 'write';

/** A place in a memo table that nobody asked for yet. */
const UNKNOWN = 0xffff;
/** Owners are kept with their token in one double: 32 bits of token, 16 of owner. */
const OWNERS_MAX = 0xfffe;

/** Immutable to its users; inside it remembers replica sets once they were looked up. */
export class Ring {
  readonly instances: readonly InstanceRecord[];
  readonly rf: number;
  /** W: how many replicas must acknowledge a write. */
  readonly writeQuorum: number;
  /** The most indexes `replicaSet` can write. */
  readonly replicasMax: number;
  readonly tokens: Uint32Array;
  readonly owners: Uint16Array;
  readonly #zones: Uint16Array;
  readonly #takesWrites: Uint8Array;
  readonly #zoneCount: number;
  /** Per position: how many, then the members of its write set; filled when first asked for. */
  readonly #writeMemo: Uint16Array;
  readonly #scratchZoneUse: Uint16Array;
  /** How many ACTIVE members the last walk found. */
  #taken = 0;

  constructor(registry: Registry) {
    this.instances = votersOf(registry);
    this.rf = effectiveRf(registry);
    this.writeQuorum = writeQuorum(this.rf);
    assert(this.instances.length <= OWNERS_MAX, 'ring: too many instances');
    const { owners, tokens } = placeTokens(this.instances);
    this.tokens = tokens;
    this.owners = owners;
    const zoneIndexes = new Map<string, number>();
    this.#zones = Uint16Array.from(this.instances, ({ zone }) => {
      if (!zoneIndexes.has(zone)) zoneIndexes.set(zone, zoneIndexes.size);
      return zoneIndexes.get(zone) ?? 0;
    });
    this.#zoneCount = zoneIndexes.size;
    this.#takesWrites = Uint8Array.from(this.instances, ({ state }) =>
      state === 'ACTIVE' ? 1 : 0,
    );
    const passedOver = this.instances.filter(({ state }) => state !== 'ACTIVE').length;
    this.replicasMax = Math.min(this.rf + passedOver, this.instances.length);
    this.#writeMemo = new Uint16Array(tokens.length * (this.rf + 1)).fill(UNKNOWN);
    this.#scratchZoneUse = new Uint16Array(this.#zoneCount);
  }

  /** The index of an instance, or -1 when it is not registered. */
  indexOf(id: InstanceId): number {
    return this.instances.findIndex((record) => record.id === id);
  }

  /** The position in `tokens` that owns `hash`; meaningless on an empty ring. */
  positionOf(hash: number): number {
    const { tokens } = this;
    let low = 0;
    let high = tokens.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (tokens[middle]! > hash) high = middle;
      else low = middle + 1;
    }
    return low === tokens.length ? 0 : low;
  }

  /**
   * Hot: writes the replica set of an unsigned 32-bit hash into `out` as indexes of `instances`,
   * the nearest first, and returns how many: fewer than W means that the write cannot be accepted.
   * A 'write' set has at most `rf` members, a 'read' set at most `replicasMax`. Allocates nothing.
   */
  replicaSet(hash: number, operation: RingOperation, out: Uint16Array): number {
    if (this.tokens.length === 0) return 0;
    const position = this.positionOf(hash);
    if (operation === 'read') return this.#find(position, true, out);
    return this.writeReplicasAt(position, out);
  }

  /** Hot: the 'write' set of all hashes that `positionOf` maps to `position`; 0 on an empty ring. */
  writeReplicasAt(position: number, out: Uint16Array): number {
    if (this.tokens.length === 0) return 0;
    const memo = this.#writeMemo;
    const from = position * (this.rf + 1);
    if (memo[from] === UNKNOWN) {
      // Slow path, once a position.
      const members = memo.subarray(from + 1, from + 1 + this.rf);
      memo[from] = this.#find(position, false, members);
    }
    const count = memo[from]!;
    for (let i = 0; i < count; i++) out[i] = memo[from + 1 + i]!;
    return count;
  }

  /** Walks from one position into `out` and returns how many members there are. */
  #find(position: number, keepsAll: boolean, out: Uint16Array): number {
    if (this.#zoneCount >= this.rf) return this.#walk({ position, keepsAll, perZoneMax: 1 }, out);
    // With fewer zones than RF they cannot be distinct, so they are used as evenly as they allow.
    const perZoneMax = Math.ceil(this.rf / this.#zoneCount);
    const count = this.#walk({ position, keepsAll, perZoneMax }, out);
    if (this.#taken >= this.rf) return count;
    return this.#walk({ position, keepsAll, perZoneMax: this.rf }, out);
  }

  #walk(
    walk: { readonly position: number; readonly keepsAll: boolean; readonly perZoneMax: number },
    out: Uint16Array,
  ): number {
    const { owners } = this;
    const zoneUse = this.#scratchZoneUse.fill(0);
    let count = 0;
    this.#taken = 0;
    for (let step = 0; step < owners.length && this.#taken < this.rf; step++) {
      const owner = owners[(walk.position + step) % owners.length]!;
      const isActive = this.#takesWrites[owner] === 1;
      if (!isActive && !walk.keepsAll) continue;
      if (contains(out, count, owner)) continue;
      const zone = this.#zones[owner]!;
      if (zoneUse[zone]! >= walk.perZoneMax) continue;
      out[count] = owner;
      count++;
      if (!isActive) continue; // its substitute is still to come
      zoneUse[zone] = zoneUse[zone]! + 1;
      this.#taken++;
    }
    return count;
  }
}

function contains(out: Uint16Array, count: number, owner: number): boolean {
  for (let i = 0; i < count; i++) if (out[i] === owner) return true;
  return false;
}

/** Sorts all tokens. A token drawn by two instances stays with the lower id. */
function placeTokens(instances: readonly InstanceRecord[]): {
  readonly tokens: Uint32Array;
  readonly owners: Uint16Array;
} {
  const packed = new Float64Array(instances.length * TOKENS_PER_INSTANCE);
  instances.forEach(({ id, tokenSeed }, owner) => {
    const own = tokensOf(id, tokenSeed);
    for (let i = 0; i < own.length; i++) {
      packed[owner * TOKENS_PER_INSTANCE + i] = own[i]! * 0x1_0000 + owner;
    }
  });
  packed.sort();
  const tokens = new Uint32Array(packed.length);
  const owners = new Uint16Array(packed.length);
  let count = 0;
  for (let i = 0; i < packed.length; i++) {
    const token = Math.floor(packed[i]! / 0x1_0000);
    if (count > 0 && tokens[count - 1] === token) continue;
    tokens[count] = token;
    owners[count] = packed[i]! % 0x1_0000;
    count++;
  }
  return { tokens: tokens.slice(0, count), owners: owners.slice(0, count) };
}
