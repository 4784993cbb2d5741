/** What the HTTP edge asks of a node, as asks to its actors. */
import { COMPACTOR_PATH } from '../actors/compactor/messages.ts';
import { DISTRIBUTOR_PATH } from '../actors/distributor/messages.ts';
import { type FlushAnswer, INGESTER_SHARDS } from '../actors/ingester/messages.ts';
import type { ClusterViews } from '../actors/membership/cluster-view.ts';
import { MEMBERSHIP_PATH } from '../actors/membership/messages.ts';
import { QUERIER_PATH } from '../actors/querier/messages.ts';
import { STORE_GATEWAY_PATH } from '../actors/store-gateway/messages.ts';
import type { ActorRuntime, OutgoingMessage } from '../actors/runtime/index.ts';
import type {
  Cancellation,
  DeletionsApi,
  MembersStatus,
  NodeApi,
  RingStatus,
} from '../http/api.ts';
import { type Gossip, type Identity, instancesById } from '../membership/index.ts';
import { StarlingError } from '../model/errors.ts';
import { parseInstanceId } from '../model/ids.ts';
import type { Log } from '../platform/platform.ts';
import type { BlockUploads, DeletionRequests, TenantDeletion } from '../storage/index.ts';
import { parse } from 'yaml';
import type { Config } from './config.ts';
import { printConfig } from './print-config.ts';
import type { NodeMetrics } from './node-metrics.ts';

const PUSH_TIMEOUT_MS = 10_000;
const TELL_DELETIONS = { timeoutMs: 3000, lane: 'control' } as const;
const FLUSH_TIMEOUT_MS = 30 * 60_000;
const FORGET_TIMEOUT_MS = 35_000;
/** Beyond the querier's own deadline: it answers first. */
const QUERY_SLACK_MS = 5000;
const NAMES_TIMEOUT_MS = 35_000;
/** Two small objects are written. */
const COMPACTOR_TIMEOUT_MS = 60_000;

export interface NodeApiDependencies {
  readonly blockUploads: BlockUploads;
  readonly config: Config;
  readonly deletions: DeletionRequests;
  /** False: each instance has a bucket of its own. */
  readonly hasSharedBucket: boolean;
  readonly gossip: Gossip;
  readonly identity: Identity;
  readonly log: Log;
  readonly metrics: NodeMetrics;
  readonly readiness: { reasons(): readonly string[] };
  readonly runtime: ActorRuntime;
  readonly views: ClusterViews;
}

/** What the querier is asked, and who may take the question back. */
interface Cancellable {
  readonly cancellation: Cancellation;
}

export function createNodeApi(dependencies: NodeApiDependencies): NodeApi {
  const { config, identity, log, metrics, readiness, runtime } = dependencies;
  const self = identity.instanceId;
  const ask = <Answer>(
    path: string,
    message: OutgoingMessage,
    timeoutMs: number,
    cancellation?: Cancellation,
  ): Promise<Answer> => {
    const call = runtime.ask<Answer>({ instance: self, path }, message, {
      timeoutMs,
      lane: 'control',
    });
    cancellation?.onCancel(call.cancel);
    call.done.catch((error: unknown) => {
      // Clients are told where the details are: here.
      if (error instanceof StarlingError && error.id === 'internal') {
        log.error('internal error', { path, message: message.type, cause: describe(error.cause) });
      }
    });
    return call.done;
  };
  const askNames = <Answer>(message: OutgoingMessage, request: Cancellable): Promise<Answer> => {
    const { cancellation, ...query } = request;
    return ask<Answer>(QUERIER_PATH, { ...message, query }, NAMES_TIMEOUT_MS, cancellation);
  };
  const flat = Object.fromEntries(flattened(parse(printConfig(config)), ''));
  return {
    push: (tenant, body) => ask(DISTRIBUTOR_PATH, { type: 'push', tenant, body }, PUSH_TIMEOUT_MS),
    query: ({ cancellation, ...query }) =>
      ask(
        QUERIER_PATH,
        { type: 'query', query },
        config.query.timeoutMs + QUERY_SLACK_MS,
        cancellation,
      ),
    series: (request) => askNames({ type: 'series' }, request),
    labelNames: (request) => askNames({ type: 'label-names' }, request),
    labelValues: (name, request) => askNames({ type: 'label-values', name }, request),
    exemplars: (request) => askNames({ type: 'exemplars' }, request),
    metadata: (request) => askNames({ type: 'metadata' }, request),
    cardinality: (request) => askNames({ type: 'cardinality' }, request),
    remoteRead: ({ cancellation, ...query }) =>
      ask(
        QUERIER_PATH,
        { type: 'remote-read', query },
        config.query.timeoutMs + QUERY_SLACK_MS,
        cancellation,
      ),
    notReady: () => readiness.reasons(),
    metrics: () => metrics.text(),
    ring: () => ringStatus(dependencies),
    members: () => membersStatus(dependencies),
    services: () =>
      runtime.statuses().map((status) => ({ name: status.path, state: status.state })),
    config: () => printConfig(config),
    flags: () => flat,
    flush: () => flushAll((path) => ask<FlushAnswer>(path, { type: 'flush' }, FLUSH_TIMEOUT_MS)),
    ...compactorApi((message) => ask(COMPACTOR_PATH, message, COMPACTOR_TIMEOUT_MS)),
    blockUploads: dependencies.blockUploads,
    deletions: deletionsApi(dependencies),
    forget: async (instance) => {
      await ask(
        MEMBERSHIP_PATH,
        { type: 'forget', instance: parseInstanceId(instance) },
        FORGET_TIMEOUT_MS,
      );
    },
  };
}

function deletionsApi({
  config,
  deletions,
  hasSharedBucket,
  identity,
  runtime,
  views,
}: NodeApiDependencies): DeletionsApi {
  const { cancelPeriodMs } = config.compactor;
  /** Others read the bucket now and not in a while; who cannot be told looks by itself. */
  const tellOthers = async (): Promise<void> => {
    const others = instancesById(views.current.registry).filter(
      ({ id }) => id !== identity.instanceId,
    );
    const told = others.map(({ id: instance }) => {
      const to = { instance, path: STORE_GATEWAY_PATH };
      return runtime.ask<null>(to, { type: 'read-deletions' }, TELL_DELETIONS).done;
    });
    await Promise.allSettled(told);
  };
  return {
    isEnabled: config.adminEnabled,
    add: async (tenant, wanted) => {
      const instances = instancesById(views.current.registry).length;
      if (!hasSharedBucket && instances > 1) {
        throw new StarlingError('deletion.not_shared', { instances });
      }
      await deletions.add(tenant, wanted);
      await tellOthers();
    },
    list: (tenant) =>
      deletions.list(tenant).map(({ request, state }) => {
        const cancelUntilMs = request.createdAtMs + cancelPeriodMs;
        return { ...request, cancelUntilMs, state };
      }),
    cancel: async (tenant, id) => {
      await deletions.cancel(tenant, id);
      await tellOthers();
    },
  };
}

function compactorApi(
  ask: <Answer>(message: OutgoingMessage) => Promise<Answer>,
): Pick<NodeApi, 'compactor' | 'deleteTenant' | 'tenantDeletion'> {
  return {
    compactor: () => ask({ type: 'status' }),
    deleteTenant: async (tenant) => {
      await ask<null>({ type: 'delete-tenant', tenant });
    },
    tenantDeletion: async (tenant) =>
      (await ask<TenantDeletion | null>({ type: 'tenant-deletion', tenant })) ?? undefined,
  };
}

/** What all shards of the ingester cut and shipped together. */
async function flushAll(flush: (path: string) => Promise<FlushAnswer>): Promise<FlushAnswer> {
  const answers = await Promise.all(
    Array.from({ length: INGESTER_SHARDS }, (_, shard) => flush(`/ingester/${shard}`)),
  );
  const sum = (count: (answer: FlushAnswer) => number): number =>
    answers.reduce((total, answer) => total + count(answer), 0);
  return {
    blocksCut: sum((answer) => answer.blocksCut),
    blocksShipped: sum((answer) => answer.blocksShipped),
  };
}

function ringStatus({ config, gossip, identity, views }: NodeApiDependencies): RingStatus {
  const self = identity.instanceId;
  const { digest, registry, ring } = views.current;
  const shares = ownership(ring.tokens, ring.owners);
  return {
    self,
    replicationFactor: ring.rf,
    configuredReplicationFactor: config.replicationFactor,
    digest,
    instances: instancesById(registry).map((record) => {
      const index = ring.indexOf(record.id);
      const liveness =
        record.id === self ? 'alive' : (gossip.member(record.id)?.state ?? 'unknown');
      return {
        id: record.id,
        zone: record.zone,
        state: record.state,
        liveness,
        httpAddress: record.addresses.http,
        grpcAddress: record.addresses.grpc,
        gossipAddress: record.addresses.gossip,
        bootCounter: record.bootCounter,
        tokens: index < 0 ? 0 : ring.owners.filter((owner) => owner === index).length,
        ownership: shares.get(index) ?? 0,
        missingBeforeMs: record.missingBeforeMs,
      };
    }),
  };
}

function membersStatus({ gossip, identity }: NodeApiDependencies): MembersStatus {
  const stats = gossip.stats();
  const drops = Object.entries(stats.drops).map(
    ([reason, count]) => [`dropped.${reason}`, count] as const,
  );
  const members = [gossip.self(), ...gossip.members()].map((member) => ({
    id: member.id,
    address: member.address,
    state: member.state,
    incarnation: member.incarnation,
    bootCounter: member.boot,
  }));
  const counters = { ...stats.counters, ...Object.fromEntries(drops) };
  return { self: identity.instanceId, healthScore: stats.healthScore, members, counters };
}

function describe(cause: unknown): string {
  return cause instanceof Error ? (cause.stack ?? cause.message) : String(cause);
}

/** Each owner's share of the 32-bit circle: a hash belongs to the first token above it. */
function ownership(tokens: Uint32Array, owners: Uint16Array): ReadonlyMap<number, number> {
  const shares = new Map<number, number>();
  for (let i = 0; i < tokens.length; i++) {
    const before = i === 0 ? tokens[tokens.length - 1]! - 2 ** 32 : tokens[i - 1]!;
    const share = (tokens[i]! - before) / 2 ** 32;
    shares.set(owners[i]!, (shares.get(owners[i]!) ?? 0) + share);
  }
  return shares;
}

/** `{ http: { listen: 'a' } }` as `http.listen: a`. */
function flattened(value: unknown, key: string): readonly (readonly [string, string])[] {
  if (value === null || value === undefined) return [[key, '']];
  if (typeof value === 'string') return [[key, value]];
  if (typeof value !== 'object') return [[key, JSON.stringify(value)]];
  return Object.entries(value).flatMap(([name, one]) =>
    flattened(one, key === '' ? name : `${key}.${name}`),
  );
}
