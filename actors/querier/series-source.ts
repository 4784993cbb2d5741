/**
 * Where a query's series come from: enough of the tenant's ingesters for a complete answer, and blocks of the bucket
 * for what these do not hold. An answer is whole or an error.
 *
 *   index of the bucket ─► what is settled there ─► ingesters leave it out ─► blocks to read ─► store-gateways
 */
import type { InstanceId, TenantId } from '../../model/ids.ts';
import { RESOLUTIONS_MS } from '../../model/window-value.ts';
import { instancesById } from '../../membership/index.ts';
import type { Downsampling } from '../../promql/index.ts';
import type { BucketIndex, BucketIndexCache, SelectHints } from '../../storage/index.ts';
import { type ReadScope, ingesterPathOf } from '../ingester/messages.ts';
import {
  type BlocksScope,
  type BlocksSummary,
  STORE_GATEWAY_PATH,
} from '../store-gateway/messages.ts';
import type { OutgoingMessage } from '../runtime/index.ts';
import { ownersOf } from '../store-gateway/placement.ts';
import { type SourceResolution, aggregatesEndMs } from './choose-blocks.ts';
import type { Gathered } from './gather.ts';
import { gatherBlocks } from './gather-blocks.ts';
import { type IngesterReaderDependencies, gatherIngesters } from './ingester-reader.ts';
import { type BlocksWish, NO_AGGREGATES, planBlocks, settledBeforeMs } from './plan-blocks.ts';
import type { ResolutionUse } from './resolution-notes.ts';
import type { Ticket } from './ticket.ts';

export interface SeriesSourceDependencies extends IngesterReaderDependencies {
  /** The blocks of the bucket. */
  readonly blocks: {
    readonly indexes: Pick<BucketIndexCache, 'get' | 'getKnown'>;
    /** Whether all instances have the same bucket. */
    readonly isShared: boolean;
  };
}

export type ReadMessage =
  | { readonly type: 'label-names' | 'series' }
  | { readonly type: 'select'; readonly hints: SelectHints }
  | { readonly type: 'label-values'; readonly name: string };

/** For how long and for whom it is read, and what of the bucket may be read instead of samples. */
export interface ReadEffort extends Omit<BlocksWish, 'range'> {
  readonly timeoutMs: number;
  readonly ticket: Ticket;
  /** Whether ingesters that hold the same are to say so only. */
  readonly digests?: boolean;
  /** Told of an ingester's whole answer while others are waited for. */
  readonly onEarly?: (frames: readonly Uint8Array[]) => void;
}

type RecentEffort = Pick<ReadEffort, 'digests' | 'onEarly' | 'ticket' | 'timeoutMs'>;

export interface GatheredAll extends Gathered {
  readonly use: ResolutionUse;
}

export class SeriesSource {
  readonly #dependencies: SeriesSourceDependencies;
  /** Turns with every gather, so that all instances get their share of reads. */
  #turn = 0;

  constructor(dependencies: SeriesSourceDependencies) {
    this.#dependencies = dependencies;
  }

  /** What a query may read of downsampled blocks; undefined: nothing, or there are none. */
  async downsamplingFor(
    tenant: TenantId,
    mode: SourceResolution,
  ): Promise<Downsampling | undefined> {
    if (mode === 'raw') return undefined;
    const index = await this.#dependencies.blocks.indexes.getKnown(tenant);
    if (index?.downsampled === undefined) return undefined;
    const maxResolutionMs = mode === '5m' ? RESOLUTIONS_MS[1] : RESOLUTIONS_MS[0];
    return { maxResolutionMs, isApproximate: mode !== 'auto', untilMs: aggregatesEndMs(index) };
  }

  /** Whole answers of enough ingesters, and of blocks what these do not hold; or an error. */
  async gather(message: ReadMessage, scope: ReadScope, effort: ReadEffort): Promise<GatheredAll> {
    const { blocks, view } = this.#dependencies;
    const { range, tenant } = scope;
    const { mode, resolutionMs } = effort;
    const wish: BlocksWish = { mode, range, resolutionMs };
    const first = await this.#aggregatesIndex(message, tenant, wish);
    const settledMs = first === undefined ? Number.NEGATIVE_INFINITY : settledBeforeMs(first, wish);
    const outgoing = withSettled(message, settledMs);
    const gathered = await this.gatherRecent({ ...outgoing, scope }, scope, effort);
    const oldestTimeMs = Math.max(gathered.oldestTimeMs, settledMs);
    // Recent data is with the ingesters: a bucket that is away keeps nobody from it.
    const isRecent = range.minTimeMs >= oldestTimeMs;
    const { indexes } = blocks;
    // The one before may be old: it says what ingesters may leave out, not all that they no longer hold.
    const index = await (isRecent ? indexes.getKnown(tenant) : indexes.get(tenant));
    // What ingesters promise goes by their clocks; none lets a block go before others can read it in the bucket.
    const promisedFromMs = this.#seesAllBlocks() ? Number.MIN_SAFE_INTEGER : oldestTimeMs;
    if (index === undefined) {
      // Nothing was ever shipped.
      return { ...gathered, oldestTimeMs: promisedFromMs, use: NO_AGGREGATES };
    }
    const stores = new Set(instancesById(view().registry).map(({ storeId }) => storeId));
    const { heldFromMs = Number.NEGATIVE_INFINITY } = gathered;
    const plan = planBlocks(index, { ...wish, heldFromMs, oldestTimeMs, stores });
    const ids = plan.needed.map(({ id }) => id);
    const fromBlocks = await this.#gatherBlocks(message, { ...scope, blocks: ids }, effort);
    return {
      frames: [...gathered.frames, ...fromBlocks],
      replicas: gathered.replicas,
      oldestTimeMs: promisedFromMs,
      use: plan.use,
    };
  }

  /** Whole answers of enough ingesters: of what only they have. */
  gatherRecent(
    message: OutgoingMessage,
    { range, tenant }: Pick<ReadScope, 'range' | 'tenant'>,
    { digests, onEarly, ticket, timeoutMs }: RecentEffort,
  ): Promise<Gathered> {
    return gatherIngesters(this.#dependencies, {
      path: ingesterPathOf(tenant),
      message,
      range,
      timeoutMs,
      ticket,
      digests,
      onEarly,
      order: (instances) => this.#order(instances),
    });
  }

  /** The index, for reads that may take aggregates: undefined where there are none, or they are of no use. */
  async #aggregatesIndex(
    { type }: ReadMessage,
    tenant: TenantId,
    { mode, resolutionMs }: BlocksWish,
  ): Promise<BucketIndex | undefined> {
    if (type !== 'select' || mode === 'raw' || !this.#seesAllBlocks()) return undefined;
    const { indexes } = this.#dependencies.blocks;
    const known = await indexes.getKnown(tenant);
    if (known?.downsampled === undefined || resolutionMs === 0) return known?.downsampled && known;
    return indexes.get(tenant).catch(() => undefined); // then samples are read
  }

  #gatherBlocks(
    message: ReadMessage,
    scope: BlocksScope,
    { ticket, timeoutMs }: ReadEffort,
  ): Promise<readonly (readonly Uint8Array[])[]> {
    const { probe, view } = this.#dependencies;
    const { ring } = view();
    const runtime = this.#dependencies.runtime();
    return gatherBlocks({
      blocks: scope.blocks,
      candidates: (block) => this.#candidates(ownersOf(ring, block)),
      ask: (instance, blocks, onFrame) => {
        ticket.check();
        const call = runtime.ask<BlocksSummary>(
          { instance, path: STORE_GATEWAY_PATH },
          { ...withValue(message), type: `blocks-${message.type}`, scope: { ...scope, blocks } },
          { timeoutMs, lane: 'read' },
          onFrame,
        );
        ticket.onStop(call.cancel);
        return call;
      },
      bytes: ticket.bytes,
      probe,
    });
  }

  /** The bucket has the blocks of all instances. */
  #seesAllBlocks(): boolean {
    const { blocks, view } = this.#dependencies;
    return blocks.isShared || instancesById(view().registry).length <= 1;
  }

  /** Those who look after a block: this instance first, then whoever is not known to be down. */
  #candidates(owners: readonly InstanceId[]): readonly InstanceId[] {
    const { blocks, runtime } = this.#dependencies;
    const { self } = runtime();
    if (!blocks.isShared) return [self];
    const order = (id: InstanceId): number => (id === self ? 0 : 1);
    const inOrder = [...owners].sort((a, b) => order(a) - order(b));
    return inOrder.includes(self) ? inOrder : [...inOrder, self];
  }

  /** This instance first, whose answer crosses no network; then the others in turn. */
  #order(instances: readonly InstanceId[]): readonly InstanceId[] {
    const { self } = this.#dependencies.runtime();
    const others = instances.filter((id) => id !== self);
    const start = others.length === 0 ? 0 : this.#turn++ % others.length;
    const here = instances.includes(self) ? [self] : [];
    return [...here, ...others.slice(start), ...others.slice(0, start)];
  }
}

/** With the word to ingesters to leave out what is settled by then. */
function withSettled(message: ReadMessage, settledBeforeMs: number): ReadMessage {
  if (message.type !== 'select' || !Number.isFinite(settledBeforeMs)) return message;
  return { ...message, hints: { ...message.hints, settledBeforeMs } };
}

/** Where samples are gone, kept ones are better than nothing. */
function withValue(message: ReadMessage): ReadMessage {
  if (message.type !== 'select') return message;
  return { ...message, hints: { ...message.hints, value: message.hints.value ?? 'kept' } };
}
