/**
 * Updates waiting to be told to others. Each has a key (a newer update of a key replaces the older
 * one) and its encoded bytes, made once. An update is transmitted a limited number of times,
 * mult x ceil(log10(N + 1)); those sent least go first.
 *
 *   buckets[t] = updates transmitted t times, in order of arrival; taking one moves it to t + 1
 *
 * So a packet costs what it carries, whatever the length of the queue. Two queues share a packet:
 * claims (who lives) and user records; when both wait, records get at most half of the room.
 */

/** An update, where it stands, and its cached bytes. */
interface QueuedUpdate {
  readonly key: string;
  readonly bytes: Uint8Array;
  transmits: number;
}

/** Updates looked at beyond the first that does not fit, so that a packet is filled but cheap. */
const SKIPS_MAX = 8;
/** No message is smaller: a packet with less room is full. */
const UPDATE_BYTES_MIN = 4;

export class UpdateQueue {
  readonly #byKey = new Map<string, QueuedUpdate>();
  readonly #buckets: Map<string, QueuedUpdate>[] = [];
  readonly #countMax: number;

  constructor(countMax: number) {
    this.#countMax = countMax;
  }

  get count(): number {
    return this.#byKey.size;
  }

  has(key: string): boolean {
    return this.#byKey.has(key);
  }

  /** Adds an update, replacing an older one of the same key. A full queue drops the most told. */
  put(key: string, bytes: Uint8Array): void {
    this.remove(key);
    if (this.#byKey.size >= this.#countMax) this.#dropMostTold();
    const update: QueuedUpdate = { key, bytes, transmits: 0 };
    this.#byKey.set(key, update);
    this.#bucket(0).set(key, update);
  }

  remove(key: string): void {
    const update = this.#byKey.get(key);
    if (update === undefined) return;
    this.#byKey.delete(key);
    this.#bucket(update.transmits).delete(key);
  }

  /**
   * Moves updates worth up to `bytesFree` into `into` and returns the bytes taken. An update that
   * has now been told `transmitsMax` times is forgotten.
   */
  take(bytesFree: number, transmitsMax: number, into: Uint8Array[]): number {
    let free = bytesFree;
    let skips = 0;
    const taken: QueuedUpdate[] = [];
    for (const bucket of this.#buckets) {
      for (const update of bucket.values()) {
        if (free < UPDATE_BYTES_MIN || skips > SKIPS_MAX) break;
        if (update.bytes.length > free) {
          skips++;
          continue;
        }
        free -= update.bytes.length;
        taken.push(update);
      }
    }
    for (const update of taken) {
      into.push(update.bytes);
      this.#markTold(update, transmitsMax);
    }
    return bytesFree - free;
  }

  #markTold(update: QueuedUpdate, transmitsMax: number): void {
    this.#bucket(update.transmits).delete(update.key);
    update.transmits++;
    if (update.transmits >= transmitsMax) this.#byKey.delete(update.key);
    else this.#bucket(update.transmits).set(update.key, update);
  }

  #dropMostTold(): void {
    for (let transmits = this.#buckets.length - 1; transmits >= 0; transmits--) {
      const oldest = this.#buckets[transmits]!.keys().next();
      if (oldest.done === true) continue;
      this.remove(oldest.value);
      return;
    }
  }

  #bucket(transmits: number): Map<string, QueuedUpdate> {
    while (this.#buckets.length <= transmits) this.#buckets.push(new Map());
    return this.#buckets[transmits]!;
  }
}

/** How often one update is sent by one node, in a cluster with `livingCount` members. */
export function transmitsMax(retransmitMult: number, livingCount: number): number {
  return retransmitMult * Math.ceil(Math.log10(livingCount + 1));
}

/** Fills the rest of a packet from both queues. */
export function takeUpdates(
  claims: UpdateQueue,
  records: UpdateQueue,
  bytesFree: number,
  limit: number,
): Uint8Array[] {
  const updates: Uint8Array[] = [];
  const recordBytesFree = claims.count > 0 ? bytesFree >> 1 : bytesFree;
  const recordBytes = records.count > 0 ? records.take(recordBytesFree, limit, updates) : 0;
  if (claims.count > 0) claims.take(bytesFree - recordBytes, limit, updates);
  return updates;
}
