/**
 * How many blocks are read at once. A block that is not at hand costs a dozen round trips to the bucket, one
 * after another, so a read of many blocks reads several of them at a time:
 *
 *   one read alone      ████████████████   BLOCKS_PER_READ_MAX
 *   n reads             a share of BLOCKS_AT_ONCE_MAX each, and never less than one block
 *
 * Bound: at no time more blocks than BLOCKS_AT_ONCE_MAX and one for each read beyond; a block that is read
 * holds its reader (some 100 KiB and a few pages) and one frame.
 */
export const BLOCKS_PER_READ_MAX = 16;
export const BLOCKS_AT_ONCE_MAX = 64;

export class BlockLanes {
  #readsNow = 0;
  #blocksNow = 0;

  /** Blocks that are read now. */
  get blocksNow(): number {
    return this.#blocksNow;
  }

  /**
   * Works on each item, begun in their order, several at a time. Resolves when all that was begun has
   * ended; after the first failure, which is thrown then, and once `isOver`, nothing more is begun.
   */
  async each<Item>(
    items: readonly Item[],
    work: (item: Item) => Promise<void>,
    isOver: () => boolean,
  ): Promise<void> {
    const running = new Set<Promise<void>>();
    const failures: unknown[] = [];
    let next = 0;
    const mayBegin = (): boolean =>
      next < items.length && failures.length === 0 && !isOver() && this.#hasRoom(running.size);
    this.#readsNow++;
    try {
      for (;;) {
        while (mayBegin()) {
          const one: Promise<void> = this.#run(work, items[next++]!, failures).finally(() =>
            running.delete(one),
          );
          running.add(one);
        }
        if (running.size === 0) break;
        await Promise.race(running);
      }
    } finally {
      this.#readsNow--;
    }
    if (failures.length > 0) throw failures[0];
  }

  async #run<Item>(
    work: (item: Item) => Promise<void>,
    item: Item,
    failures: unknown[],
  ): Promise<void> {
    this.#blocksNow++;
    try {
      await work(item);
    } catch (thrown) {
      failures.push(thrown);
    } finally {
      this.#blocksNow--;
    }
  }

  /** Whether a read that has this many blocks under way may begin another one. */
  #hasRoom(runningCount: number): boolean {
    if (runningCount === 0) return true;
    const share = Math.floor(BLOCKS_AT_ONCE_MAX / this.#readsNow);
    return (
      runningCount < Math.min(share, BLOCKS_PER_READ_MAX) && this.#blocksNow < BLOCKS_AT_ONCE_MAX
    );
  }
}
