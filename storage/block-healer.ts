/**
 * What becomes of a local block that cannot be read (bit rot, a lost file), without an operator:
 *
 *   in the bucket?        ─yes─► fetched, checked, put in its place
 *     │no, or damaged there
 *   can others fill it?   ─yes─► the loss is noted and told (reads do not count this node for that time),
 *     │no                        then it is set aside as <ULID>.damaged, and a refill follows
 *   it stays, and reads of its time fail by its name
 *
 * Invariant: at no moment does a read take this node for whole without the block: it fails by the block's name until
 * the block is back, or until this instance's record says what is missing.
 */
import { type StarlingError, toStarlingError } from '../model/errors.ts';
import type { TimeRange } from '../model/sample.ts';
import type { Clock, Log } from '../platform/platform.ts';
import type { BlockMeta } from './block/meta.ts';
import type { BlockId } from './block/ulid.ts';
import type { LocalBlocks, UnreadableBlock } from './local-blocks.ts';
import { Pacer } from './pacer.ts';

/** After a try that came to nothing. */
const RETRY_MS = 10 * 60_000;

export interface BlockHealing {
  /**
   * Fetches a block to where `LocalBlocks.replace` takes it from; undefined: the bucket has no such block. Pauses
   * by the pacer, which ends it when the tenant closes.
   */
  restore(id: BlockId, pacer: Pacer): Promise<BlockMeta | undefined>;
  /** Whether others could fill that time again. */
  canRefill(range: TimeRange): boolean;
  /** Whether nothing is missing on this node: what was set aside is filled again. */
  isWhole(): boolean;
}

export interface BlockHealerOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly blocks: LocalBlocks;
  readonly healing: BlockHealing;
  /** Runs what changes the tenant's directory; to fetch a block may take long and does not wait for its turn. */
  readonly exclusively: (change: () => Promise<void>) => Promise<void>;
  readonly isClosed: () => boolean;
  /** Resolves when this instance's record says that samples of that time are missing here. */
  readonly onLoss: (loss: { readonly fromMs: number; readonly beforeMs: number }) => Promise<void>;
}

export class BlockHealer {
  readonly #options: BlockHealerOptions;
  readonly #triedAtMs = new Map<BlockId, number>();

  constructor(options: BlockHealerOptions) {
    this.#options = options;
  }

  /** Tries each unreadable block, unless that was done a moment ago. Throws nothing. */
  async heal(): Promise<void> {
    const { blocks, clock, isClosed, log } = this.#options;
    for (const block of blocks.unreadable()) {
      if (isClosed()) return;
      const triedAtMs = this.#triedAtMs.get(block.id) ?? Number.NEGATIVE_INFINITY;
      if (clock.monotonicMs() - triedAtMs < RETRY_MS) continue;
      this.#triedAtMs.set(block.id, clock.monotonicMs());
      try {
        await this.#healOne(block);
      } catch (thrown) {
        const error = toStarlingError(thrown);
        log.warn('an unreadable block is not healed yet', { block: block.id, why: error.message });
      }
    }
  }

  async #healOne({ error, id, range }: UnreadableBlock): Promise<void> {
    const { blocks, exclusively, healing, isClosed, log, onLoss } = this.#options;
    const meta = await this.#restore(id, error);
    if (meta !== undefined) {
      await exclusively(() => blocks.replace(meta));
      log.probe?.('block.restored');
      log.warn('an unreadable block is back from the bucket', { block: id, why: error.message });
      this.#triedAtMs.delete(id);
      return;
    }
    if (isClosed() || !healing.canRefill(range)) return;
    await onLoss({ fromMs: range.minTimeMs, beforeMs: range.maxTimeMs + 1 });
    await exclusively(() => blocks.setAside(id));
    log.probe?.('block.set_aside');
    log.error('an unreadable block is set aside: others fill its time again', {
      ...{ block: id, ...range, why: error.message },
    });
    this.#triedAtMs.delete(id);
  }

  /** A bucket that cannot be asked now keeps nobody from asking the others. */
  async #restore(id: BlockId, error: StarlingError): Promise<BlockMeta | undefined> {
    const { clock, healing, isClosed, log } = this.#options;
    try {
      return await healing.restore(id, new Pacer(clock, isClosed));
    } catch (thrown) {
      const why = toStarlingError(thrown).message;
      log.warn('an unreadable block does not come back from the bucket', {
        ...{ block: id, why, unreadable: error.message },
      });
      return undefined;
    }
  }
}
