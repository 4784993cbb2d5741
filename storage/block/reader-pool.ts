/**
 * Open blocks of a node: a bounded number of readers stays open after use, so that a query finds its
 * blocks open and years of blocks do not hold files open each.
 *
 *   use(key, open) ─► reader, in use ─► `done()` ─► idle, oldest use first ─► closed when too many
 *
 * Invariant: a reader is closed only when nobody uses it.
 */
import type { BlockReader } from './block-reader.ts';

/** Idle readers that stay open. Each holds two files or more and some 100 KiB. */
const IDLE_MAX = 128;

/** A reader while it is used. */
export interface ReaderUse {
  readonly reader: BlockReader;
  /** Gives it back. Once. */
  readonly done: () => void;
}

interface Slot {
  readonly opening: Promise<BlockReader>;
  useCount: number;
  /** Closed when the last use ends. */
  isForgotten: boolean;
}

export class ReaderPool {
  readonly #slots = new Map<string, Slot>();
  readonly #idleMax: number;

  constructor(idleMax = IDLE_MAX) {
    this.#idleMax = idleMax;
  }

  /** The reader of this key, opened if need be. Throws what `open` throws. */
  async use(key: string, open: () => Promise<BlockReader>): Promise<ReaderUse> {
    const slot = this.#slots.get(key) ?? { opening: open(), useCount: 0, isForgotten: false };
    this.#slots.delete(key); // used last: to the end
    this.#slots.set(key, slot);
    slot.useCount++;
    try {
      const reader = await slot.opening;
      return { reader, done: () => this.#done(slot) };
    } catch (thrown) {
      if (this.#slots.get(key) === slot) this.#slots.delete(key);
      throw thrown;
    }
  }

  /** Closes the reader as soon as nobody uses it; its key may then mean another block. */
  forget(key: string): void {
    const slot = this.#slots.get(key);
    if (slot === undefined) return;
    this.#slots.delete(key);
    slot.isForgotten = true;
    if (slot.useCount === 0) closeSlot(slot);
  }

  #done(slot: Slot): void {
    slot.useCount--;
    if (slot.useCount > 0) return;
    if (slot.isForgotten) closeSlot(slot);
    else if (this.#slots.size > this.#idleMax) this.#closeOldest();
  }

  #closeOldest(): void {
    for (const [key, slot] of this.#slots) {
      if (this.#slots.size <= this.#idleMax) return;
      if (slot.useCount === 0) this.forget(key);
    }
  }
}

function closeSlot(slot: Slot): void {
  slot.opening.then(
    (reader) => reader.close(),
    () => undefined, // told to who asked for it
  );
}
