/**
 * The store-gateway of an instance: reads blocks of the bucket for whoever asks, several at a time, in slices
 * between turns of the loop, and stops where its reader gives no credit: frames leave one after another,
 * whichever block they are of. A block that cannot be read is named in the answer and keeps no other one; the
 * reader asks somebody else for it, or fails.
 */
import { StarlingError, toStarlingError } from '../../model/errors.ts';
import type { TenantId } from '../../model/ids.ts';
import type { Clock } from '../../platform/platform.ts';
import type { TurnQueue } from '../../platform/turn-queue.ts';
import {
  type BlockId,
  type BlockSelection,
  type BucketIndexCache,
  type BucketStore,
  Pacer,
  allBlocks,
  collectBlockNames,
  collectBlockValues,
  type TenantDeletions,
  deletionsTouching,
  parseBlockId,
  selectBlockFrames,
} from '../../storage/index.ts';
import { nameFrames } from '../ingester/name-frames.ts';
import type { Actor } from '../runtime/index.ts';
import { BlockLanes } from './block-lanes.ts';
import type { StoreGatewayMessage } from './messages.ts';

export const STORE_GATEWAY_READS_MAX = 200;
const FAILURES_MAX = 10;

export interface StoreGatewayDependencies {
  readonly clock: Clock;
  /** For each slice of an answer. */
  readonly turns: TurnQueue;
  readonly store: BucketStore;
  readonly indexes: BucketIndexCache;
  /** Whether this instance looks after a block. */
  readonly owns: (block: BlockId) => boolean;
  readonly digest: () => string;
  /** The tenant's fingerprint of canonical label bytes. Throws `node.not_ready` before the cluster is joined. */
  readonly fingerprintOf: (tenant: TenantId) => (labelBytes: Uint8Array, out: Uint32Array) => void;
  /** What of the tenant's samples is not there any more. Throws `node.not_ready` while that is not known. */
  readonly deletionsOf: (tenant: TenantId) => TenantDeletions;
  /** Reads what was deleted from the bucket again. */
  readonly readDeletions: () => Promise<void>;
  readonly onError: (what: string, error: StarlingError) => void;
}

type ReadMessage = Exclude<StoreGatewayMessage, { readonly type: 'read-deletions' | 'tick' }>;

/** What the blocks of one read share. */
interface Shared {
  /** Sends a frame when the one before it is sent. */
  readonly send: (frame: Uint8Array) => Promise<void>;
  readonly isOver: () => boolean;
  readonly names: Set<string>;
}

export class StoreGatewayActor implements Actor<StoreGatewayMessage> {
  readonly #dependencies: StoreGatewayDependencies;
  /** Tenants that were read since the start. */
  readonly #tenants = new Set<TenantId>();
  readonly #lanes = new BlockLanes();
  #readsNow = 0;

  constructor(dependencies: StoreGatewayDependencies) {
    this.#dependencies = dependencies;
  }

  receive(message: StoreGatewayMessage): void {
    if (message.type === 'tick') {
      this.#forgetOthers().catch((error: unknown) => {
        this.#dependencies.onError('forget blocks', toStarlingError(error));
      });
      return;
    }
    if (message.type === 'read-deletions') {
      this.#dependencies.readDeletions().then(
        () => message.reply.ok(null),
        (error: unknown) => message.reply.fail(toStarlingError(error)),
      );
      return;
    }
    const { reply } = message;
    if (this.#readsNow >= STORE_GATEWAY_READS_MAX) {
      const facts = { what: 'reads of blocks in flight', countMax: STORE_GATEWAY_READS_MAX };
      reply.fail(new StarlingError('node.overloaded', facts));
      return;
    }
    this.#readsNow++;
    this.#read(message)
      .catch((error: unknown) => {
        if (!reply.isCancelled) reply.fail(toStarlingError(error)); // else nobody waits
      })
      .finally(() => this.#readsNow--);
  }

  stop(): void {
    this.#dependencies.store.close();
  }

  async #read(message: ReadMessage): Promise<void> {
    const { reply, scope } = message;
    const blocks: string[] = [];
    const failures: string[] = [];
    let hasFailed = false;
    let sent = Promise.resolve();
    const shared: Shared = {
      send: (frame) => (sent = sent.then(() => reply.frame(frame))), // waits for credit
      isOver: () => reply.isCancelled || hasFailed,
      names: new Set(),
    };
    this.#tenants.add(scope.tenant);
    const readOne = async (id: string): Promise<void> => {
      try {
        await this.#readBlock(message, blockIdOf(id), shared);
        blocks.push(id);
      } catch (thrown) {
        const error = toStarlingError(thrown);
        if (shared.isOver()) return;
        if (!error.id.startsWith('block.')) {
          hasFailed = true; // the other blocks would fare the same
          throw error;
        }
        if (failures.length < FAILURES_MAX) failures.push(error.message);
      }
    };
    await this.#lanes.each(scope.blocks, readOne, shared.isOver);
    if (reply.isCancelled) return;
    for (const frame of nameFrames([...shared.names])) await reply.frame(frame);
    reply.end({ digest: this.#dependencies.digest(), blocks, failures });
  }

  /** Sends the frames of one block, or adds its names. */
  async #readBlock(
    message: ReadMessage,
    id: BlockId,
    { isOver, names, send }: Shared,
  ): Promise<void> {
    const { clock, deletionsOf, fingerprintOf, store, turns } = this.#dependencies;
    const { scope } = message;
    const { gone, hidden, memory } = deletionsOf(scope.tenant);
    const isCopied = message.type === 'blocks-select' && message.hints.part !== undefined;
    const deletions = isCopied ? gone() : hidden();
    const block = await store.use(scope.tenant, id);
    try {
      const { range, selectors } = scope;
      const selection: BlockSelection = {
        ...{
          reader: block.reader,
          selectors,
          range,
          pacer: new Pacer(clock, isOver),
        },
        deletions: deletionsTouching({ deletions, memory }, selectors, range),
        fingerprint: fingerprintOf(scope.tenant),
        prefetch: block.prefetch,
      };
      switch (message.type) {
        case 'blocks-label-names':
          await collectBlockNames(selection, names);
          return;
        case 'blocks-label-values':
          await collectBlockValues(selection, message.name, names);
          return;
        case 'blocks-select':
        case 'blocks-series': {
          const hints = message.type === 'blocks-select' ? message.hints : undefined;
          for await (const frame of selectBlockFrames(selection, hints)) {
            if (frame !== undefined) await send(frame);
            await turns.next();
            if (isOver()) return;
          }
          return;
        }
      }
    } finally {
      block.done();
    }
  }

  /** Of each tenant that was read only the blocks that this instance looks after stay on its disk. */
  async #forgetOthers(): Promise<void> {
    const { indexes, owns, store } = this.#dependencies;
    for (const tenant of this.#tenants) {
      const index = await indexes.get(tenant);
      const own = index && allBlocks(index).filter(({ id }) => owns(id));
      await store.retain(tenant, new Set(own?.map(({ id }) => id)));
    }
  }
}

/** Throws `request.parameter`: a peer's words are checked. */
function blockIdOf(text: string): BlockId {
  const id = parseBlockId(text);
  if (id !== undefined) return id;
  throw new StarlingError('request.parameter', {
    parameter: 'blocks',
    why: `${JSON.stringify(text.slice(0, 40))} is not a ULID`,
  });
}
