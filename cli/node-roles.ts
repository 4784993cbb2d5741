/**
 * The roles of a node: every node spawns all of them, as actors over the same parts.
 *
 *   membership   registry and ring          ingester/0..N   shards of the head
 *   distributor  writes to replica sets     store-gateway   blocks of the bucket
 *   querier      PromQL over all of them         compactor       blocks of the bucket become fewer
 */
import { AutoForgetActor } from '../actors/auto-forget/actor.ts';
import { autoForgetCodecs } from '../actors/auto-forget/codecs.ts';
import { AUTO_FORGET_PATH, type AutoForgetMessage } from '../actors/auto-forget/messages.ts';
import { ClockCheckActor } from '../actors/clock-check/actor.ts';
import { clockCheckCodecs } from '../actors/clock-check/codecs.ts';
import { CLOCK_CHECK_PATH, type ClockCheckMessage } from '../actors/clock-check/messages.ts';
import { CompactorActor } from '../actors/compactor/actor.ts';
import { COMPACTOR_PATH, type CompactorMessage } from '../actors/compactor/messages.ts';
import { DistributorActor } from '../actors/distributor/actor.ts';
import { DISTRIBUTOR_PATH } from '../actors/distributor/messages.ts';
import { IngesterActor } from '../actors/ingester/actor.ts';
import { ingesterCodecs } from '../actors/ingester/codecs.ts';
import { INGESTER_SHARDS, type IngesterMessage } from '../actors/ingester/messages.ts';
import { MembershipActor } from '../actors/membership/actor.ts';
import { membershipCodecs } from '../actors/membership/codecs.ts';
import { MEMBERSHIP_PATH } from '../actors/membership/messages.ts';
import { QuerierActor } from '../actors/querier/actor.ts';
import { QUERIER_PATH } from '../actors/querier/messages.ts';
import { RefillActor } from '../actors/refill/actor.ts';
import { refillCodecs } from '../actors/refill/codecs.ts';
import { REFILL_PATH, type RefillMessage } from '../actors/refill/messages.ts';
import { StoreGatewayActor } from '../actors/store-gateway/actor.ts';
import { storeGatewayCodecs } from '../actors/store-gateway/codecs.ts';
import { STORE_GATEWAY_PATH, type StoreGatewayMessage } from '../actors/store-gateway/messages.ts';
import { ownersOf } from '../actors/store-gateway/placement.ts';
import { RegistryFile, acceptsWritesFrom, type loadRegistry } from '../membership/index.ts';
import { StarlingError } from '../model/errors.ts';
import { BucketIndexCache, BucketStore } from '../storage/index.ts';
import { tenantDeletions } from './node-bucket.ts';
import { hasSharedBucket } from './node-options.ts';
import { type Parts, fingerprintOf, localLimit } from './node-parts.ts';

const INGESTER_TICK_MS = 60_000;
const REFILL_TICK_MS = 5000;
const CLOCK_CHECK_TICK_MS = 1000;
const AUTO_FORGET_TICK_MS = 10_000;
const STORE_GATEWAY_TICK_MS = 15 * 60_000;
const COMPACTOR_TICK_MS = 30_000;
const MAILBOX_MAX = 5000;
/** Where a simulator wants the unusual (`platform/rare.ts`). */
const TINY_TABLE = 16;
const TINY_CACHE_BYTES = 64 * 1024;
const SMALL_ANSWER_BYTES = 64 * 1024;
const LATE_HEDGE_MS = 3000;
/** Of a query's text, in a line of the log. */
const LOGGED_QUERY_MAX = 500;
const NOTE_WRITE = { timeoutMs: 2000, lane: 'control' } as const;

export function spawnRoles(
  parts: Parts,
  addresses: { readonly http: string; readonly grpc: string; readonly gossip: string },
  registry: Awaited<ReturnType<typeof loadRegistry>>,
): void {
  const { committer, compactor, gossip, identity, losses, metrics, options } = parts;
  const { readiness, runtime, tenants, views } = parts;
  losses.isMembershipRunning = true;
  const { config, platform } = options;
  const { clock, log, random } = platform;
  const hex = (bytes: number): string => Buffer.from(random.bytes(bytes)).toString('hex');
  runtime.spawn({
    path: MEMBERSHIP_PATH,
    mailboxMax: MAILBOX_MAX,
    remote: membershipCodecs,
    // Made anew it would begin with the registry of this boot's start, and lose what it heard since.
    canRestart: false,
    create: (context) =>
      new MembershipActor(context, {
        clock,
        log,
        runtime: () => runtime,
        gossip,
        identity,
        registryFile: new RegistryFile(platform.disk, options.dataDirectory),
        views,
        registry,
        config: {
          instanceId: identity.instanceId,
          storeId: identity.storeId,
          bootCounter: identity.bootCounter,
          zone: options.zone,
          addresses,
          softwareVersion: options.version,
          replicationFactor: config.replicationFactor,
          hasSeeds: config.join.length > 0,
          holdsData: tenants.knownCount > 0,
          lostBeforeMs: losses.note.current?.beforeMs ?? 0,
          draws: { tokenSeed: random.uint32(), clusterId: hex(16), fingerprintSecret: hex(16) },
        },
        onReady: (isReady, why) => {
          readiness.membership = isReady ? '' : why;
          log.info(isReady ? 'node ready' : 'node not ready', { why });
        },
        onEnd: (why) => options.onEnd(why, 'failed'),
        onClusterReplaced: (clusterId) =>
          options.onEnd(
            `two clusters met, and the other one (${clusterId}) stays: this node belongs to it now and must be started again on the same data directory, to read its data under that cluster's key`,
            'restart',
          ),
        onStopped: () => readiness.onStopped(),
      }),
  });
  spawnIngesters(parts);
  spawnEdges(parts);
  spawnCompactor(parts);
  spawnRefill(parts);
  spawnAutoForget(parts);
  spawnClockCheck(parts);
  const self = identity.instanceId;
  metrics.watchClock(() => parts.clockWatch.verdict);
  metrics.watchMetadata(() => parts.metadata.stats());
  const { deletions } = parts;
  metrics.watch({ committer, compactor, deletions, tenants, runtime, gossip, views, losses, self });
}

function spawnRefill({ losses, options, readiness, runtime, tenants, views }: Parts): void {
  const { clock, log, odd } = options.platform;
  runtime.spawn<RefillMessage>({
    path: REFILL_PATH,
    mailboxMax: MAILBOX_MAX,
    remote: refillCodecs,
    create: (context) => {
      context.every(REFILL_TICK_MS, () => ({ type: 'tick' }));
      return new RefillActor({
        clock,
        log,
        runtime: () => runtime,
        view: () => views.current,
        tenants,
        note: losses.note,
        retentionMs: options.config.blocksRetentionMs,
        isReady: () => readiness.reasons().length === 0,
        probe: log.probe,
        answerBytesMax: odd?.('refill.small-answers') === true ? SMALL_ANSWER_BYTES : undefined,
        onProgress: (progress) => {
          losses.refill = progress;
        },
      });
    },
  });
}

function spawnAutoForget({ gossip, options, readiness, runtime, views }: Parts): void {
  const { clock, log } = options.platform;
  const { autoForgetMs, blocksRetentionMs } = options.config;
  runtime.spawn<AutoForgetMessage>({
    path: AUTO_FORGET_PATH,
    mailboxMax: MAILBOX_MAX,
    remote: autoForgetCodecs,
    create: (context) => {
      context.every(AUTO_FORGET_TICK_MS, () => ({ type: 'tick' }));
      return new AutoForgetActor({
        clock,
        log,
        runtime: () => runtime,
        registry: () => views.current.registry,
        isDown: (id) => {
          const state = gossip.member(id)?.state ?? 'dead';
          return state === 'dead' || state === 'left';
        },
        isReady: () => readiness.reasons().length === 0,
        afterMs: autoForgetMs,
        retentionMs: blocksRetentionMs,
      });
    },
  });
}

function spawnClockCheck({ clockWatch, options, runtime, views }: Parts): void {
  const { clock, log, random } = options.platform;
  runtime.spawn<ClockCheckMessage>({
    path: CLOCK_CHECK_PATH,
    mailboxMax: MAILBOX_MAX,
    remote: clockCheckCodecs,
    create: (context) => {
      context.every(CLOCK_CHECK_TICK_MS, () => ({ type: 'tick' }));
      return new ClockCheckActor({
        ...{ clock, log, random },
        runtime: () => runtime,
        registry: () => views.current.registry,
        watch: clockWatch,
      });
    },
  });
}

function spawnIngesters(parts: Parts): void {
  const { clockWatch, deletions, identity, metadata, options, readiness } = parts;
  const { runtime, shipping } = parts;
  const { tenants, turns, views } = parts;
  const { limits } = options.config;
  const { clock, log, odd } = options.platform;
  let noted: Promise<void> | undefined;
  const noteWrite = (): Promise<void> => {
    noted ??= runtime
      .ask<null>({ instance: runtime.self, path: MEMBERSHIP_PATH }, { type: 'wrote' }, NOTE_WRITE)
      .done.then(
        () => undefined,
        (error: unknown) => {
          noted = undefined; // the next write tries again
          throw error;
        },
      );
    return noted;
  };
  for (let shard = 0; shard < INGESTER_SHARDS; shard++) {
    runtime.spawn<IngesterMessage>({
      path: `/ingester/${shard}`,
      mailboxMax: MAILBOX_MAX,
      remote: ingesterCodecs,
      create: (context) => {
        context.every(INGESTER_TICK_MS, () => ({ type: 'tick', nowMs: clock.wallMs() }));
        return new IngesterActor({
          clock,
          turns,
          shard,
          tenants,
          metadata: {
            store: metadata,
            limitsOf: () => ({
              metricsMax: localLimit(views, limits.max_global_metadata_per_user),
              perMetricMax: limits.max_global_metadata_per_metric,
            }),
          },
          digest: () => views.current.digest,
          checkWritable: (from) => {
            readiness.checkWritable();
            if (!acceptsWritesFrom(views.current.registry, from)) {
              throw new StarlingError('node.not_ready', {
                why: `it does not know ${from} as an instance`,
              });
            }
          },
          isClockRight: () => clockWatch.verdict.kind === 'right',
          checkReadable: () => {
            readiness.checkReplayed();
            deletions.checkKnown();
            const own = views.current.registry.instances.get(identity.instanceId);
            if (own?.storeId === identity.storeId && own.state !== 'PENDING') return;
            throw new StarlingError('node.not_ready', { why: 'it has not joined its cluster yet' });
          },
          noteWrite,
          ship: (tenant) => shipping.ship(tenant),
          odd,
          onError: (what, error) => log.error(what, { error: error.message }),
        });
      },
    });
  }
}

/** The store-gateway; returns the indexes it shares with the querier. */
function spawnStoreGateway(parts: Parts): BucketIndexCache {
  const { deletions, identity, options, runtime, turns, views } = parts;
  const { bucket, clock, disk, log, odd } = options.platform;
  const indexes = new BucketIndexCache(bucket, clock);
  const directory = `${options.dataDirectory}/store-gateway`;
  const isTiny = odd?.('bucket.tiny-cache') === true;
  const store = new BucketStore({
    ...{ bucket, disk, log, directory },
    ...(isTiny ? { cacheBytesMax: TINY_CACHE_BYTES } : {}),
  });
  runtime.spawn<StoreGatewayMessage>({
    path: STORE_GATEWAY_PATH,
    mailboxMax: MAILBOX_MAX,
    remote: storeGatewayCodecs,
    create: (context) => {
      context.every(STORE_GATEWAY_TICK_MS, () => ({ type: 'tick' }));
      return new StoreGatewayActor({
        clock,
        turns,
        store,
        indexes,
        owns: (block) =>
          !hasSharedBucket(options) ||
          ownersOf(views.current.ring, block).includes(identity.instanceId),
        digest: () => views.current.digest,
        fingerprintOf: (tenant) => fingerprintOf(views, tenant),
        readDeletions: () => deletions.refresh(),
        deletionsOf: (tenant) => {
          deletions.checkKnown();
          return tenantDeletions(options, deletions, tenant);
        },
        onError: (what, error) => log.error(what, { error: error.message }),
      });
    },
  });
  return indexes;
}

/** The compactor: a run now and then, one at a time. */
function spawnCompactor({ compactor, options, runtime }: Parts): void {
  const { bucket, clock, random } = options.platform;
  const { intervalMs } = options.config.compactor;
  runtime.spawn<CompactorMessage>({
    path: COMPACTOR_PATH,
    mailboxMax: MAILBOX_MAX,
    create: (context) => {
      const tickMs = Math.min(COMPACTOR_TICK_MS, intervalMs);
      context.every(tickMs, () => ({ type: 'tick', nowMs: clock.monotonicMs() }));
      return new CompactorActor(context, { bucket, clock, random, compactor, intervalMs });
    },
  });
}

function spawnEdges(parts: Parts): void {
  const { metrics, options, runtime, turns, views } = parts;
  const { config, platform } = options;
  const { clock, log, odd } = platform;
  const { probe } = log;
  const hedgeMs = odd?.('read.hedge-at-once') === true ? 0 : undefined;
  const isAlone = odd?.('query.one-at-a-time') === true;
  const indexes = spawnStoreGateway(parts);
  runtime.spawn({
    path: DISTRIBUTOR_PATH,
    mailboxMax: MAILBOX_MAX,
    create: () =>
      new DistributorActor({
        clock,
        turns,
        runtime: () => runtime,
        view: () => views.current,
        limitsOf: () => config.limits,
        probe,
        knownSeriesMax: odd?.('known-series.tiny') === true ? TINY_TABLE : undefined,
        onPush: (tenant, push) => metrics.onPush(tenant, push),
      }),
  });
  runtime.spawn({
    path: QUERIER_PATH,
    mailboxMax: MAILBOX_MAX,
    create: () =>
      new QuerierActor({
        clock,
        runtime: () => runtime,
        view: () => views.current,
        workers: platform.workers,
        settings: isAlone ? { ...config.query, concurrentMax: 1 } : config.query,
        probe,
        hedgeMs: odd?.('read.hedge-late') === true ? LATE_HEDGE_MS : hedgeMs,
        inlineBytesMax: odd?.('query.in-worker') === true ? 0 : undefined,
        blocks: { indexes, isShared: hasSharedBucket(options) },
        onQuery: (seconds, error) => metrics.onQuery(seconds, error),
        onDeath: ({ query, ...facts }) =>
          platform.log.warn('a query ended its worker', {
            ...facts,
            query: query.slice(0, LOGGED_QUERY_MAX),
          }),
      }),
  });
}
