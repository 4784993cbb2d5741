/**
 * The composition root of a node: wires roles, membership and edges on a given `Platform`. The real
 * command and the simulator both start nodes through here, so what is simulated is what ships.
 *
 *   identity -> registry -> runtime + streams -> gossip -> membership -> ingesters -> distributor, querier -> http
 *
 * Stopping goes the other way: LEAVING is told first, requests in flight finish, logs are closed last.
 */
import { DistributorActor } from '../actors/distributor/actor.ts';
import { DISTRIBUTOR_PATH } from '../actors/distributor/messages.ts';
import { IngesterActor } from '../actors/ingester/actor.ts';
import { ingesterCodecs } from '../actors/ingester/codecs.ts';
import { INGESTER_SHARDS, type IngesterMessage } from '../actors/ingester/messages.ts';
import { StoreGatewayActor } from '../actors/store-gateway/actor.ts';
import { storeGatewayCodecs } from '../actors/store-gateway/codecs.ts';
import { STORE_GATEWAY_PATH, type StoreGatewayMessage } from '../actors/store-gateway/messages.ts';
import { ownersOf } from '../actors/store-gateway/placement.ts';
import { MembershipActor, gossipRecords } from '../actors/membership/actor.ts';
import { ClusterViews } from '../actors/membership/cluster-view.ts';
import { membershipCodecs } from '../actors/membership/codecs.ts';
import { MEMBERSHIP_PATH } from '../actors/membership/messages.ts';
import { QuerierActor } from '../actors/querier/actor.ts';
import { QUERIER_PATH } from '../actors/querier/messages.ts';
import { ActorRuntime } from '../actors/runtime/index.ts';
import type { NodeApi } from '../http/api.ts';
import {
  Gossip,
  type Identity,
  RegistryFile,
  acceptsWritesFrom,
  loadRegistry,
  openIdentity,
} from '../membership/index.ts';
import { StarlingError, toStarlingError } from '../model/errors.ts';
import type { InstanceId, TenantId } from '../model/ids.ts';
import { fingerprint, tenantFingerprintKey, viewOf } from '../model/wire/fingerprint.ts';
import type { Platform } from '../platform/platform.ts';
import { createEnvelopeCodec } from '../proto/envelope-codec.ts';
import {
  BucketIndexCache,
  BucketStore,
  Committer,
  Shipping,
  TsdbManager,
  cutJitterMs,
  probeBucket,
  tenantPathParts,
} from '../storage/index.ts';
import type { Config } from './config.ts';
import { createNodeApi } from './node-api.ts';
import { type LoopFigures, NodeMetrics } from './node-metrics.ts';

const INGESTER_TICK_MS = 60_000;
const STORE_GATEWAY_TICK_MS = 15 * 60_000;
const LEAVE_TIMEOUT_MS = 3000;
const DRAIN_TIMEOUT_MS = 10_000;
const MAILBOX_MAX = 5000;
const NOTE_WRITE = { timeoutMs: 2000, lane: 'control' } as const;

/** `restart`: the same command on the same directory goes on well; `failed`: somebody should look. */
export type EndKind = 'failed' | 'restart';

export interface NodeOptions {
  readonly platform: Platform;
  readonly config: Config;
  /** Absolute. */
  readonly dataDirectory: string;
  readonly zone: string;
  /** Where others reach this node; a port of 0 becomes the bound one. */
  readonly advertise: { readonly http: string; readonly grpc: string; readonly gossip: string };
  /** Cluster keys, the primary first; empty: no encryption. */
  readonly secrets: readonly Uint8Array[];
  readonly version: string;
  /** What the loop of this process did since it was last asked; a simulated node has no loop of its own. */
  readonly readLoop?: () => LoopFigures;
  /**
   * Serves the API over HTTP; the bound address out. Called before the instance is registered, so that
   * others are told the port that the system chose. A simulated node has no HTTP.
   */
  readonly serveHttp?: (api: NodeApi) => Promise<string>;
  /** This process must not go on: it was superseded, forgotten, or lost its disk. */
  readonly onEnd: (why: string, kind: EndKind) => void;
}

export interface RunningNode {
  readonly instanceId: InstanceId;
  readonly api: NodeApi;
  readonly grpcAddress: string;
  readonly gossipAddress: string;
  /** Tells that it leaves, waits for `drained`, closes the logs. */
  stop(drained?: () => Promise<void>): Promise<void>;
}

/** Starts a node. Rejects with a plain error, and holds no lock then. */
export async function startNode(options: NodeOptions): Promise<RunningNode> {
  const { config, dataDirectory, platform } = options;
  const { disk, random } = platform;
  const wanted = {
    // Without a label a node is on loopback only: trying things out names no cluster.
    ...(config.clusterLabel === undefined ? {} : { clusterLabel: config.clusterLabel }),
    ...(config.instanceId === undefined ? {} : { instanceId: config.instanceId }),
  };
  const identity = await openIdentity({ disk, random, dataDirectory, ...wanted });
  try {
    return await startWithIdentity(options, identity);
  } catch (error) {
    await identity.close();
    throw error;
  }
}

/** Everything that lives as long as the node. */
interface Parts {
  readonly options: NodeOptions;
  readonly identity: Identity;
  readonly views: ClusterViews;
  readonly metrics: NodeMetrics;
  readonly committer: Committer;
  readonly tenants: TsdbManager;
  readonly shipping: Shipping;
  readonly gossip: Gossip;
  readonly runtime: ActorRuntime;
  readonly readiness: Readiness;
}

/** Why the node is not ready, and whether it may take writes. */
class Readiness {
  membership = 'joining the cluster';
  replay = 'replaying the log';
  stopping = '';
  fatal: StarlingError | undefined;
  onStopped: () => void = () => undefined;

  reasons(): readonly string[] {
    const fatal = this.fatal === undefined ? '' : this.fatal.message;
    return [this.membership, this.replay, this.stopping, fatal].filter((reason) => reason !== '');
  }

  checkWritable(): void {
    if (this.fatal !== undefined) throw this.fatal;
    if (this.replay !== '') throw new StarlingError('node.not_ready', { why: this.replay });
  }
}

async function startWithIdentity(options: NodeOptions, identity: Identity): Promise<RunningNode> {
  const { config, dataDirectory, platform } = options;
  const registry = await loadRegistry(platform.disk, dataDirectory);
  const parts = createParts(options, identity);
  const { gossip, metrics, readiness, runtime, tenants, views } = parts;
  const grpcAddress = await runtime.peers.listen(config.grpcListen);
  const grpc = withPort(options.advertise.grpc, grpcAddress);
  const { log } = platform;
  const { http } = options.advertise;
  const api = createNodeApi({ config, gossip, identity, log, metrics, readiness, runtime, views });
  let httpAddress = http;
  try {
    await gossip.start({
      listenAddress: config.gossipListen,
      advertiseAddress: options.advertise.gossip,
      controlAddress: grpc,
    });
    if (registry !== undefined) views.publish(registry);
    // Data of earlier boots is read before this instance says that it is back.
    if (views.current.fingerprintSecret !== undefined) await tenants.openExisting();
    readiness.replay = '';
    if (options.serveHttp !== undefined) httpAddress = withPort(http, await options.serveHttp(api));
  } catch (error) {
    await Promise.allSettled([gossip.stop(), runtime.stop(), tenants.close()]);
    throw error;
  }
  const gossipAddress = gossip.self().address;
  spawnRoles(parts, { http: httpAddress, grpc, gossip: gossipAddress }, registry);
  gossip.join(config.join);
  void tryBucket(platform, `${identity.instanceId}-${identity.bootCounter}`);
  log.info('node started', {
    instance: identity.instanceId,
    boot: identity.bootCounter,
    grpc: grpcAddress,
    gossip: gossipAddress,
  });
  return {
    instanceId: identity.instanceId,
    grpcAddress,
    gossipAddress,
    api,
    stop: (drained) => stopNode(parts, drained),
  };
}

/** Says what is wrong with the bucket. Writes and reads of recent data go on without it. */
async function tryBucket({ bucket, log }: Platform, name: string): Promise<void> {
  const facts = { bucket: bucket.name };
  try {
    const problems = await probeBucket(bucket, name);
    if (problems.length === 0) log.info('the bucket works', facts);
    else log.error('the bucket does not keep its promises', { ...facts, problems });
  } catch (thrown) {
    log.error('the bucket cannot be used', { ...facts, error: toStarlingError(thrown).message });
  }
}

function createParts(options: NodeOptions, identity: Identity): Parts {
  const { config, platform } = options;
  const { ciphers, clock, datagrams, log, random, rpc } = platform;
  const views = new ClusterViews();
  const metrics = new NodeMetrics(options.version);
  if (options.readLoop !== undefined) metrics.watchLoop(options.readLoop);
  const readiness = new Readiness();
  const committer = new Committer({
    clock,
    log,
    mode: config.walDurability,
    intervalMs: config.walSyncIntervalMs,
    onSync: (seconds) => metrics.onWalSync(seconds),
    onFatal: (error) => {
      readiness.fatal = error;
      log.error('the log could not be synced: this node stops', { error: error.message });
      options.onEnd(error.message, 'failed');
    },
  });
  const { instanceId } = identity;
  const gossip: Gossip = new Gossip(
    {
      id: instanceId,
      boot: identity.bootCounter,
      label: config.clusterLabel ?? 'local',
      secrets: options.secrets,
      localRecords: () => gossipRecords(views.current.registry),
    },
    { ciphers, clock, datagrams, log, random, channel: controlChannel(() => runtime, clock) },
  );
  const runtime: ActorRuntime = new ActorRuntime({
    self: instanceId,
    systemName: `${instanceId}-${identity.bootCounter}-${random.uint32()}`,
    clock,
    log,
    rpc,
    codec: createEnvelopeCodec(),
    codecs: new Map([...ingesterCodecs, ...membershipCodecs, ...storeGatewayCodecs]),
    resolve: (instance) =>
      views.current.registry.instances.get(instance)?.addresses.grpc ??
      gossip.member(instance)?.controlAddress,
    hellos: {
      dial: (target) => gossip.dialHello(target),
      accept: () => gossip.acceptHello(),
    },
    onEscalate: (path, cause) =>
      options.onEnd(`the actor ${path} failed for good: ${String(cause)}`, 'failed'),
  });
  const { bucket, disk } = platform;
  const shipping = new Shipping({
    ...{ bucket, clock, disk, log, storeId: identity.storeId },
    directoryOf: (tenant) => [tenantsDirectory(options), ...tenantPathParts(tenant)].join('/'),
    ownsIndex: (tenant) => ownersOf(views.current.ring, tenant)[0] === instanceId,
  });
  const tenants = createTenants(options, { views, committer, shipping, instanceId });
  return {
    ...{ options, identity, views, metrics, committer },
    ...{ tenants, shipping, gossip, runtime, readiness },
  };
}

function tenantsDirectory({ dataDirectory }: NodeOptions): string {
  return `${dataDirectory}/tenants`;
}

function createTenants(
  options: NodeOptions,
  {
    committer,
    instanceId,
    shipping,
    views,
  }: {
    readonly committer: Committer;
    readonly instanceId: InstanceId;
    readonly shipping: Shipping;
    readonly views: ClusterViews;
  },
): TsdbManager {
  const { config, platform } = options;
  const { clock, disk, log, random } = platform;
  return new TsdbManager({
    clock,
    disk,
    directory: tenantsDirectory(options),
    openMax: config.tenantsOpenMax,
    optionsOf: (tenant) => {
      return {
        log,
        committer,
        random,
        cutJitterMs: cutJitterMs(`${instanceId}/${tenant}`),
        retentionMs: config.blocksRetentionMs,
        retentionBytesMax: config.blocksRetentionBytes,
        mayRemove: (id) => shipping.mayRemove(tenant, id),
        futureMaxMs: config.limits.creation_grace_period_ms,
        outOfOrderMs: () => config.limits.out_of_order_time_window_ms,
        seriesMax: () => config.limits.max_series_per_user,
        fingerprint: fingerprintOf(views, tenant),
      };
    },
  });
}

/** The tenant's fingerprint of canonical label bytes. Throws `node.not_ready` before there is a cluster. */
function fingerprintOf(
  views: ClusterViews,
  tenant: TenantId,
): (bytes: Uint8Array, out: Uint32Array) => void {
  const secret = views.current.fingerprintSecret;
  if (secret === undefined)
    throw new StarlingError('node.not_ready', { why: 'it has not joined a cluster yet' });
  const key = tenantFingerprintKey(secret, tenant, 'series');
  return (bytes, out) => fingerprint(key, viewOf(bytes), 0, bytes.length, out, 0);
}

/** Gossip's calls over the control lane. */
function controlChannel(
  runtime: () => ActorRuntime,
  clock: Platform['clock'],
): ConstructorParameters<typeof Gossip>[1]['channel'] {
  const remaining = (deadlineMs: number): number => Math.max(1, deadlineMs - clock.monotonicMs());
  return {
    ping: ({ address, deadlineMs, target }) =>
      runtime().askAddress<boolean>(
        address,
        MEMBERSHIP_PATH,
        { type: 'ping', target },
        remaining(deadlineMs),
      ),
    pushPull: ({ address, bytes, deadlineMs }) =>
      runtime().askAddress<Uint8Array>(
        address,
        MEMBERSHIP_PATH,
        { type: 'push-pull', bytes },
        remaining(deadlineMs),
      ),
  };
}

function spawnRoles(
  parts: Parts,
  addresses: { readonly http: string; readonly grpc: string; readonly gossip: string },
  registry: Awaited<ReturnType<typeof loadRegistry>>,
): void {
  const { committer, gossip, identity, metrics, options, readiness, runtime, tenants, views } =
    parts;
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
  metrics.watch({ committer, tenants, runtime, gossip, views });
}

function spawnIngesters({ options, readiness, runtime, shipping, tenants, views }: Parts): void {
  const { clock, log } = options.platform;
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
          shard,
          tenants,
          digest: () => views.current.digest,
          checkWritable: (from) => {
            readiness.checkWritable();
            if (!acceptsWritesFrom(views.current.registry, from)) {
              throw new StarlingError('node.not_ready', {
                why: `it does not know ${from} as an instance`,
              });
            }
          },
          noteWrite,
          ship: (tenant) => shipping.ship(tenant),
          onError: (what, error) => log.error(what, { error: error.message }),
        });
      },
    });
  }
}

/** The store-gateway; returns the indexes it shares with the querier. */
function spawnStoreGateway({ identity, options, runtime, views }: Parts): BucketIndexCache {
  const { bucket, clock, disk, log } = options.platform;
  const indexes = new BucketIndexCache(bucket, clock);
  const directory = `${options.dataDirectory}/store-gateway`;
  const store = new BucketStore({ bucket, disk, log, directory });
  runtime.spawn<StoreGatewayMessage>({
    path: STORE_GATEWAY_PATH,
    mailboxMax: MAILBOX_MAX,
    remote: storeGatewayCodecs,
    create: (context) => {
      context.every(STORE_GATEWAY_TICK_MS, () => ({ type: 'tick' }));
      return new StoreGatewayActor({
        ...{ clock, store, indexes },
        owns: (block) =>
          !hasSharedBucket(options) ||
          ownersOf(views.current.ring, block).includes(identity.instanceId),
        digest: () => views.current.digest,
        fingerprintOf: (tenant) => fingerprintOf(views, tenant),
        onError: (what, error) => log.error(what, { error: error.message }),
      });
    },
  });
  return indexes;
}

/** False: the bucket is a directory of this node alone. */
function hasSharedBucket({ config }: NodeOptions): boolean {
  return config.bucket !== undefined;
}

function spawnEdges(parts: Parts): void {
  const { metrics, options, runtime, views } = parts;
  const { config, platform } = options;
  const { clock } = platform;
  const indexes = spawnStoreGateway(parts);
  runtime.spawn({
    path: DISTRIBUTOR_PATH,
    mailboxMax: MAILBOX_MAX,
    create: () =>
      new DistributorActor({
        clock,
        runtime: () => runtime,
        view: () => views.current,
        limitsOf: () => config.limits,
        onPush: (tenant, samples, refused) => metrics.onPush(tenant, samples, refused),
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
        settings: config.query,
        blocks: { indexes, isShared: hasSharedBucket(options) },
        onQuery: (seconds, error) => metrics.onQuery(seconds, error),
      }),
  });
}

/** Says goodbye, lets gossip tell it, and closes what it opened. */
async function stopNode(parts: Parts, drained?: () => Promise<void>): Promise<void> {
  const { committer, gossip, identity, options, readiness, runtime, shipping, tenants } = parts;
  const { clock, log } = options.platform;
  readiness.stopping = 'stopping';
  await new Promise<void>((resolve) => {
    const timer = clock.after(DRAIN_TIMEOUT_MS, resolve);
    readiness.onStopped = () => {
      timer.cancel();
      resolve();
    };
    try {
      runtime.tell(MEMBERSHIP_PATH, { type: 'input', input: { type: 'stop-requested' } });
    } catch {
      timer.cancel();
      resolve();
    }
  });
  await gossip.leave(LEAVE_TIMEOUT_MS);
  await drained?.();
  await runtime.stop();
  await gossip.stop();
  const failures = await Promise.allSettled([
    shipping.close(),
    tenants.close().then(() => committer.close()),
  ]);
  for (const failure of failures) {
    if (failure.status === 'rejected')
      log.error('closing failed', { error: String(failure.reason) });
  }
  await options.platform.bucket.close();
  await identity.close();
}

/** An advertised address whose port is 0 takes the bound port. */
function withPort(address: string, bound: string): string {
  return address.replace(/:0$/, bound.slice(bound.lastIndexOf(':')));
}
