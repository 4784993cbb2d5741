/**
 * One shard of the ingester: appends batches to the TSDBs of its tenants and streams what they hold.
 * Both work in slices between turns of the loop: a batch is appended in parts, and acknowledged when the log
 * has them all; a read stops where its reader gives no credit.
 */
import { StarlingError, toStarlingError } from '../../model/errors.ts';
import type { InstanceId, TenantId } from '../../model/ids.ts';
import type { Clock } from '../../platform/platform.ts';
import type { Odd } from '../../platform/rare.ts';
import type { TurnQueue } from '../../platform/turn-queue.ts';
import {
  type AppendResult,
  type SelectHints,
  type SeriesExemplars,
  type Tsdb,
  type TsdbManager,
  batchPart,
  joinResults,
} from '../../storage/index.ts';
import type { Actor, Reply, StreamReply } from '../runtime/index.ts';
import { AnswerSender } from './answer-sender.ts';
import {
  type DigestWish,
  type FlushAnswer,
  type IngesterMessage,
  type PushAnswer,
  type ReadScope,
  type ReadSummary,
  ingesterShardOf,
} from './messages.ts';
import type { MetadataLimits, MetadataStore } from './metadata-store.ts';
import { EXEMPLARS_PER_FRAME, exemplarFrames, metadataFrames, nameFrames } from './name-frames.ts';

export interface IngesterDependencies {
  readonly clock: Clock;
  /** For each append, and each slice of a read. */
  readonly turns: TurnQueue;
  /** Which of `INGESTER_SHARDS` this is: it looks after the tenants of this shard. */
  readonly shard: number;
  readonly tenants: TsdbManager;
  /** What metrics are, of all tenants of the node. */
  readonly metadata: {
    readonly store: MetadataStore;
    readonly limitsOf: (tenant: TenantId) => MetadataLimits;
  };
  readonly digest: () => string;
  /** Throws when this node must not take writes, or not from that instance. */
  readonly checkWritable: (from: InstanceId) => void;
  /** Whether this node's clock is known to be right: what it refuses by it, writers drop for good. */
  readonly isClockRight: () => boolean;
  /** Throws while this node's record does not say yet what its disk holds: others know an older one. */
  readonly checkReadable: () => void;
  /** Resolves once the cluster may count on it that this instance holds data: before the first ack. */
  readonly noteWrite: () => Promise<void>;
  /** Takes what the tenant's blocks are to the bucket; how many it were. */
  readonly ship: (tenant: TenantId) => Promise<number>;
  readonly onError: (what: string, error: StarlingError) => void;
  readonly odd?: Odd;
}

type Frames = AsyncGenerator<Uint8Array | undefined, void>;
/** The same, of what takes no waiting. */
type ReadyFrames = Generator<Uint8Array | undefined, void>;
/** What the end of a read is to tell besides. */
interface AnswerWish {
  readonly settledBeforeMs?: number | undefined;
  readonly content?: DigestWish | undefined;
}

type PushMessage = Extract<IngesterMessage, { readonly type: 'push' }>;
type PushMetadata = Extract<IngesterMessage, { readonly type: 'push-metadata' }>;
type ReadMetadata = Extract<IngesterMessage, { readonly type: 'metadata' }>;

export class IngesterActor implements Actor<IngesterMessage> {
  readonly #dependencies: IngesterDependencies;

  constructor(dependencies: IngesterDependencies) {
    this.#dependencies = dependencies;
  }

  receive(message: IngesterMessage): void {
    switch (message.type) {
      case 'exemplars': {
        const { reply, scope } = message;
        const { range, selectors } = scope;
        const start = (tsdb: Tsdb): ReadyFrames =>
          exemplars(tsdb.selectExemplars(selectors, range));
        this.#stream(scope, reply, start);
        break;
      }
      case 'flush':
        answerWith(message.reply, this.#flush());
        break;
      case 'label-names': {
        const { selectors, range } = message.scope;
        this.#stream(message.scope, message.reply, (tsdb) =>
          names(tsdb.selectLabelNames(selectors, range)),
        );
        break;
      }
      case 'label-values': {
        const { selectors, range } = message.scope;
        this.#stream(message.scope, message.reply, (tsdb) =>
          names(tsdb.selectLabelValues(message.name, selectors, range)),
        );
        break;
      }
      case 'metadata':
        endWith(message.reply, this.#sendMetadata(message));
        break;
      case 'push':
        answerWith(message.reply, this.#store(message));
        break;
      case 'push-metadata':
        answerWith(message.reply, this.#noteMetadata(message));
        break;
      case 'select': {
        const { content, hints, reply, scope } = message;
        // Who reads parts fills its disk again, and counts on it that what is here stays here.
        const isForFill = hints.part !== undefined;
        const start = (tsdb: Tsdb): Frames => select(tsdb, scope, hints, isForFill);
        this.#stream(scope, reply, start, { settledBeforeMs: hints.settledBeforeMs, content });
        break;
      }
      case 'series': {
        const { reply, scope } = message;
        this.#stream(scope, reply, (tsdb) => tsdb.selectLabelSets(scope.selectors, scope.range));
        break;
      }
      case 'tenants':
        endWith(message.reply, this.#sendTenants(message.reply));
        break;
      case 'tick':
        for (const [tenant, tsdb] of this.#own()) {
          this.#maintain(tenant, tsdb, message.nowMs).catch((error: unknown) => {
            this.#dependencies.onError('maintain blocks', toStarlingError(error));
          });
        }
        if (this.#dependencies.shard === 0) {
          void this.#expireMetadata();
          this.#dependencies.tenants.closeIdle().catch((error: unknown) => {
            this.#dependencies.onError('close idle tenants', toStarlingError(error));
          });
        }
        break;
    }
  }

  /** The open tenants of this shard. */
  #own(): readonly (readonly [TenantId, Tsdb])[] {
    const { shard, tenants } = this.#dependencies;
    return [...tenants.all()].filter(([tenant]) => ingesterShardOf(tenant) === shard);
  }

  /** Cuts, ships and lets go what is due. A bucket that fails keeps no head from being cut. */
  async #maintain(tenant: TenantId, tsdb: Tsdb, nowMs: number): Promise<void> {
    const { odd, onError, ship } = this.#dependencies;
    if (odd?.('blocks.late-cut') === true) return;
    if (odd?.('blocks.early-cut') === true) await tsdb.flush();
    await tsdb.maintain(nowMs);
    if (tsdb.blocks().length === 0) return;
    await ship(tenant).catch((error: unknown) => {
      onError('ship blocks', toStarlingError(error));
    });
  }

  async #flush(): Promise<FlushAnswer> {
    let blocksCut = 0;
    let blocksShipped = 0;
    for (const [tenant, tsdb] of this.#own()) {
      blocksCut += (await tsdb.flush()).length;
      blocksShipped += await this.#dependencies.ship(tenant);
    }
    return { blocksCut, blocksShipped };
  }

  /** Appends a batch, each part in a turn of its own; resolves when it is durable. */
  async #store({ batch, from }: PushMessage): Promise<PushAnswer> {
    const { checkWritable, clock, isClockRight, noteWrite, tenants, turns } = this.#dependencies;
    // A turn after it is open, because others may have waited for it as well.
    if (tenants.get(batch.tenant) === undefined) await tenants.open(batch.tenant);
    await turns.next();
    const tsdb = tenants.get(batch.tenant) ?? (await tenants.open(batch.tenant));
    const results: AppendResult[] = [];
    let at = 0;
    do {
      if (at > 0) await turns.again();
      checkWritable(from);
      const part = batchPart(batch, at);
      results.push(tsdb.append(batch, clock.wallMs(), part));
      at = part.to;
    } while (at < batch.seriesCount);
    if (batch.exemplarCount > 0) tsdb.appendExemplars(batch, clock.wallMs());
    await Promise.all([tsdb.durable(), noteWrite()]);
    if (!isClockRight() && results.some(isAheadOfClock)) {
      const why = 'samples are ahead of its clock, which is not known to be right';
      throw new StarlingError('node.not_ready', { why }); // to be sent again, not dropped
    }
    return results.length === 1 ? results[0]! : joinResults(results);
  }

  /** In a turn of its own. */
  async #noteMetadata({ entries, from, tenant }: PushMetadata): Promise<null> {
    const { checkWritable, clock, metadata, turns } = this.#dependencies;
    await turns.next();
    checkWritable(from);
    metadata.store.note(tenant, entries, metadata.limitsOf(tenant), clock.monotonicMs());
    return null;
  }

  async #expireMetadata(): Promise<void> {
    const { clock, metadata, turns } = this.#dependencies;
    for (const _ of metadata.store.expire(clock.monotonicMs())) await turns.again();
  }

  async #sendMetadata({ limit, metric, reply, tenant }: ReadMetadata): Promise<void> {
    const { checkReadable, clock, digest, metadata, turns } = this.#dependencies;
    checkReadable();
    const lists = metadata.store.select(tenant, { limit, metric }, clock.monotonicMs());
    for (const list of lists) {
      for (const frame of metadataFrames(list)) await reply.frame(frame);
      await turns.next();
      if (reply.isCancelled) return;
    }
    reply.end({ digest: digest(), oldestTimeMs: Number.MIN_SAFE_INTEGER });
  }

  /** All tenants with data here, each with its oldest time; 0 when that cannot be told now. */
  async #sendTenants(reply: StreamReply<ReadSummary>): Promise<void> {
    const { checkReadable, digest, tenants } = this.#dependencies;
    checkReadable();
    const texts: string[] = [];
    for (const tenant of tenants.known()) {
      const tsdb = await tenants.find(tenant).catch(() => undefined); // no place for it just now
      const oldestMs = Math.floor(tsdb?.oldestSampleMs ?? 0);
      if (Number.isFinite(oldestMs)) texts.push(`${oldestMs} ${tenant}`);
    }
    for (const frame of nameFrames(texts)) await reply.frame(frame);
    reply.end({ digest: digest(), oldestTimeMs: Number.MIN_SAFE_INTEGER });
  }

  /** Sends what `start` yields as frames; `undefined` is a pause. A tenant without data has none. */
  #stream(
    scope: ReadScope,
    reply: StreamReply<ReadSummary>,
    start: (tsdb: Tsdb) => Frames | ReadyFrames,
    wish: AnswerWish = {},
  ): void {
    endWith(reply, this.#send(scope, reply, start, wish));
  }

  async #send(
    scope: ReadScope,
    reply: StreamReply<ReadSummary>,
    start: (tsdb: Tsdb) => Frames | ReadyFrames,
    { content: contentWish, settledBeforeMs }: AnswerWish,
  ): Promise<void> {
    const { checkReadable, clock, digest, tenants, turns } = this.#dependencies;
    await turns.next();
    checkReadable();
    const tsdb = tenants.get(scope.tenant) ?? (await tenants.find(scope.tenant));
    // In the turn in which the read takes its view.
    const heldFromMs =
      settledBeforeMs === undefined
        ? undefined
        : (tsdb?.heldFromMs(settledBeforeMs) ?? Number.POSITIVE_INFINITY);
    const answer = new AnswerSender(reply, turns, contentWish);
    for await (const frame of tsdb === undefined ? [] : start(tsdb)) {
      await answer.send(frame); // waits for credit and turns; rejects when cancelled
      if (reply.isCancelled) return; // what is open in head and blocks is given back
    }
    const oldestTimeMs = tsdb?.oldestTimeMs(clock.wallMs()) ?? Number.MIN_SAFE_INTEGER;
    const content = answer.contentDigest();
    reply.end({
      digest: digest(),
      oldestTimeMs,
      ...(heldFromMs !== undefined && { heldFromMs }),
      ...(content !== undefined && { content }),
    });
  }
}

/** Answers what `work` comes to, whatever that is. */
function answerWith<Answer>(reply: Reply<Answer>, work: Promise<Answer>): void {
  work.then(
    (answer) => reply.ok(answer),
    (error: unknown) => reply.fail(toStarlingError(error)),
  );
}

/** Ends a stream that `work` does not end, because it failed. */
function endWith(reply: StreamReply<ReadSummary>, work: Promise<void>): void {
  work.catch((error: unknown) => {
    if (!reply.isCancelled) reply.fail(toStarlingError(error)); // else nobody waits
  });
}

/** `isDurable`: ends only when all that it told is durable; throws what the log does not take. */
async function* select(
  tsdb: Tsdb,
  { range, selectors }: ReadScope,
  hints: SelectHints,
  isDurable: boolean,
): Frames {
  yield* tsdb.select(selectors, range, hints);
  if (isDurable) await tsdb.durable();
}

/** Series with their exemplars as frames of a few. */
function* exemplars(found: ReturnType<Tsdb['selectExemplars']>): ReadyFrames {
  let batch: SeriesExemplars[] = [];
  let count = 0;
  for (const one of found) {
    if (one === undefined) {
      yield undefined;
      continue;
    }
    batch.push(one);
    count += one.labels.length;
    if (count < EXEMPLARS_PER_FRAME) continue;
    yield* exemplarFrames(batch);
    batch = [];
    count = 0;
  }
  yield* exemplarFrames(batch);
}

/** A list of names as frames, once it is complete. */
async function* names(work: AsyncGenerator<undefined, readonly string[]>): Frames {
  yield* nameFrames(yield* work);
}

function isAheadOfClock({ errors }: AppendResult): boolean {
  return errors.some(({ id }) => id === 'sample.too_far_in_future');
}
