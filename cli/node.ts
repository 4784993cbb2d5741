/**
 * The composition root of a node: wires roles, membership and edges on a given `Platform`. The real
 * command and the simulator both start nodes through here, so what is simulated is what ships.
 *
 *   identity -> registry -> runtime + streams -> gossip -> membership -> ingesters -> distributor, querier -> http
 *
 * Stopping goes the other way: LEAVING is told first, requests in flight finish, logs are closed last.
 */
import { MEMBERSHIP_PATH } from '../actors/membership/messages.ts';
import type { NodeApi } from '../http/api.ts';
import {
  type Identity,
  LossNote,
  REGISTRY_FILE,
  loadRegistry,
  openIdentity,
} from '../membership/index.ts';
import { StarlingError, toStarlingError } from '../model/errors.ts';
import type { InstanceId } from '../model/ids.ts';
import type { Platform } from '../platform/platform.ts';
import { probeBucket } from '../storage/index.ts';
import { createNodeApi } from './node-api.ts';
import { type NodeOptions, hasSharedBucket } from './node-options.ts';
import { type Parts, createParts } from './node-parts.ts';
import { spawnRoles } from './node-roles.ts';

export type { EndKind, NodeOptions } from './node-options.ts';

const LEAVE_TIMEOUT_MS = 3000;
const JOIN_LOOK_MS = 200;
const DRAIN_TIMEOUT_MS = 10_000;

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

async function startWithIdentity(options: NodeOptions, identity: Identity): Promise<RunningNode> {
  const { config, dataDirectory, platform } = options;
  const registry = await loadRegistry(platform.disk, dataDirectory);
  const note = await LossNote.open(platform.disk, dataDirectory, platform.clock.wallMs());
  const parts = createParts(options, identity, note);
  const { gossip, losses, metrics, readiness, runtime, tenants, views } = parts;
  const grpcAddress = await runtime.peers.listen(config.grpcListen);
  const grpc = withPort(options.advertise.grpc, grpcAddress);
  const { log } = platform;
  const { http } = options.advertise;
  const isRegistryLost = registry === undefined && !identity.isNew && (await tenants.hasExisting());
  const { blockUploads, deletions } = parts;
  const api = createNodeApi({
    ...{
      blockUploads,
      config,
      deletions,
      gossip,
      identity,
      log,
      metrics,
      readiness,
      runtime,
      views,
    },
    hasSharedBucket: hasSharedBucket(options),
  });
  let httpAddress = http;
  try {
    if (isRegistryLost) await noteLostRegistry(parts);
    await deletions.open(identity.isNew);
    await gossip.start({
      listenAddress: config.gossipListen,
      advertiseAddress: options.advertise.gossip,
      controlAddress: grpc,
    });
    if (registry !== undefined) views.publish(registry);
    // Data of earlier boots is read before this instance says that it is back.
    if (views.current.fingerprintSecret !== undefined) await tenants.openExisting();
    if (registry !== undefined) views.publish(losses.withLoss(registry, identity.instanceId));
    readiness.replay = isRegistryLost ? 'waiting for the registry that its disk lost' : '';
    if (options.serveHttp !== undefined) httpAddress = withPort(http, await options.serveHttp(api));
  } catch (error) {
    deletions.close();
    await Promise.allSettled([gossip.stop(), runtime.stop(), tenants.close()]);
    throw error;
  }
  const gossipAddress = gossip.self().address;
  spawnRoles(parts, { http: httpAddress, grpc, gossip: gossipAddress }, registry);
  gossip.join(config.join);
  if (isRegistryLost) openWhenJoined(parts);
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

/**
 * Data of tenants and no registry beside it: the disk lost a file that was durable, and may have lost others.
 * What the others know comes back from them; until they filled this node again it counts as missing.
 */
async function noteLostRegistry({ losses, options }: Parts): Promise<void> {
  const { config, dataDirectory, platform } = options;
  const path = `${dataDirectory}/${REGISTRY_FILE}`;
  if (config.join.length === 0) {
    const why =
      'the file is gone, and data of tenants is there: a node without it would begin a new cluster; restore it, or name another node of the cluster (--join), or, if this node was always alone, start it once without its tenants directory';
    throw new StarlingError('disk.failed', { path, why });
  }
  platform.log.error('the registry is gone from this disk: this node counts as missing', { path });
  await losses.note.add({ fromMs: 0, beforeMs: platform.clock.wallMs() });
}

/** Opens the data once the cluster's secret, which keys it, was heard again; not ready before. */
function openWhenJoined(parts: Parts): void {
  const { options, readiness, tenants, views } = parts;
  const { clock } = options.platform;
  if (readiness.stopping !== '') return;
  if (views.current.fingerprintSecret === undefined) {
    clock.after(JOIN_LOOK_MS, () => openWhenJoined(parts));
    return;
  }
  tenants.openExisting().then(
    () => (readiness.replay = ''),
    (error: unknown) => options.onEnd(toStarlingError(error).message, 'failed'),
  );
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
  parts.deletions.close();
  const failures = await Promise.allSettled([
    shipping.close(),
    parts.compactor.close(),
    parts.blockUploads.close(),
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
