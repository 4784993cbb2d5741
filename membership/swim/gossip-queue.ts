/**
 * Records waiting to be told to others; claims wait in their own table (claim-table.ts). Each has a key (a newer update of a key replaces the older
 * one) and its encoded bytes, made once. An update is transmitted a limited number of times,
 * mult x max(3, ceil(log10(N + 1))); those sent least go first.
 *
 *   buckets[t] = updates transmitted t times, in order of arrival; taking one moves it to t + 1
 *
 * So a packet costs what it carries, whatever the length of the queue. Both share a packet: when
 * claims wait too, records get at most half of the room.
 */

/** An update, its cached bytes, and where it stands: its bucket is a list. */
interface QueuedUpdate {
  readonly key: string;
  readonly bytes: Uint8Array;
  transmits: number;
  previous: QueuedUpdate | undefined;
  next: QueuedUpdate | undefined;
}

/** Those told equally often, in order of arrival. */
interface Bucket {
  first: QueuedUpdate | undefined;
  last: QueuedUpdate | undefined;
}

/** Updates looked at beyond the first that does not fit, so that a packet is filled but cheap. */
export const SKIPS_MAX = 8;
/** No message is smaller: a packet with less room is full. */
export const UPDATE_BYTES_MIN = 4;

export class UpdateQueue {
  readonly #byKey = new Map<string, QueuedUpdate>();
  readonly #buckets: Bucket[] = [];
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
    const update = { key, bytes, transmits: 0, previous: undefined, next: undefined };
    this.#byKey.set(key, update);
    append(this.#bucket(0), update);
  }

  remove(key: string): void {
    const update = this.#byKey.get(key);
    if (update === undefined) return;
    this.#byKey.delete(key);
    unlink(this.#bucket(update.transmits), update);
  }

  /**
   * Moves updates worth up to `bytesFree` into `into` and returns the bytes taken. An update that
   * has now been told `transmitsMax` times is forgotten.
   */
  take(bytesFree: number, transmitsMax: number, into: Uint8Array[]): number {
    let free = bytesFree;
    let skips = 0;
    const taken: QueuedUpdate[] = [];
    for (const { first } of this.#buckets) {
      for (let update = first; update !== undefined; update = update.next) {
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
    unlink(this.#bucket(update.transmits), update);
    update.transmits++;
    if (update.transmits >= transmitsMax) this.#byKey.delete(update.key);
    else append(this.#bucket(update.transmits), update);
  }

  #dropMostTold(): void {
    for (let transmits = this.#buckets.length - 1; transmits >= 0; transmits--) {
      const oldest = this.#buckets[transmits]!.first;
      if (oldest === undefined) continue;
      this.remove(oldest.key);
      return;
    }
  }

  #bucket(transmits: number): Bucket {
    while (this.#buckets.length <= transmits) {
      this.#buckets.push({ first: undefined, last: undefined });
    }
    return this.#buckets[transmits]!;
  }
}

function append(bucket: Bucket, update: QueuedUpdate): void {
  update.previous = bucket.last;
  if (bucket.last === undefined) bucket.first = update;
  else bucket.last.next = update;
  bucket.last = update;
}

function unlink(bucket: Bucket, update: QueuedUpdate): void {
  const { next, previous } = update;
  if (previous === undefined) bucket.first = next;
  else previous.next = next;
  if (next === undefined) bucket.last = previous;
  else next.previous = previous;
  update.previous = undefined;
  update.next = undefined;
}

/**
 * Fewer, and in a small cluster now and then somebody is told by nobody: of a thousand crashes among ten
 * the slowest was known to all after 25 s instead of 11.
 */
const ROUNDS_MIN = 3;

/** How often one update is sent by one node, in a cluster with `livingCount` members. */
export function transmitsMax(retransmitMult: number, livingCount: number): number {
  return retransmitMult * Math.max(ROUNDS_MIN, Math.ceil(Math.log10(livingCount + 1)));
}
