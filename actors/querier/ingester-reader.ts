/**
 * Asking ingesters on behalf of a query or of a refill: the plan of the registry, the digests that give away
 * strangers, and hedging, around `gather`.
 */
import { decodeRecords, mergeRecords, readPlan, registryDigest } from '../../membership/index.ts';
import type { InstanceId } from '../../model/ids.ts';
import type { TimeRange } from '../../model/sample.ts';
import type { Clock } from '../../platform/platform.ts';
import type { Probe } from '../../platform/rare.ts';
import type { ReadSummary } from '../ingester/messages.ts';
import type { ClusterView } from '../membership/cluster-view.ts';
import { type ExchangeMessage, MEMBERSHIP_PATH } from '../membership/messages.ts';
import type { ActorRuntime, OutgoingMessage } from '../runtime/index.ts';
import { type GatheredFrom, gather } from './gather.ts';
import type { Ticket } from './ticket.ts';

const PULL_TIMEOUT_MS = 3000;
/** An answer later than this is not waited for alone: the instances that were spared are asked too. */
const HEDGE_MS = 250;

export interface IngesterReaderDependencies {
  readonly clock: Clock;
  readonly runtime: () => ActorRuntime;
  readonly view: () => ClusterView;
  readonly probe?: Probe;
  /** How late an answer is; the usual when not said. */
  readonly hedgeMs?: number | undefined;
}

/** One read of enough ingesters. */
export interface IngesterRead {
  /** The ingester's. */
  readonly path: string;
  readonly message: OutgoingMessage;
  readonly range: TimeRange;
  readonly timeoutMs: number;
  readonly ticket: Ticket;
  /** Who to ask first, of all that may be asked; who is left out is not asked. */
  readonly order: (instances: readonly InstanceId[]) => readonly InstanceId[];
  /** Whether replicas are compared by digests: of a select. */
  readonly digests?: boolean | undefined;
  /** Told of a whole answer while others are waited for. */
  readonly onEarly?: ((frames: readonly Uint8Array[]) => void) | undefined;
}

/** Whole answers of enough instances, or an error. Cancelled when the ticket ends. */
export function gatherIngesters(
  dependencies: IngesterReaderDependencies,
  { digests = false, message, onEarly, order, path, range, ticket, timeoutMs }: IngesterRead,
): Promise<GatheredFrom> {
  const { clock, hedgeMs = HEDGE_MS, probe, view } = dependencies;
  const runtime = dependencies.runtime();
  return gather({
    digest: () => view().digest,
    plan: () => readPlan(view().registry, clampRange(range)),
    order,
    hedge: (callback) => {
      const timer = clock.after(hedgeMs, callback);
      return () => timer.cancel();
    },
    digests,
    ask: (instance, onFrame, content) => {
      ticket.check();
      const options = { timeoutMs, lane: 'read' } as const;
      const asked = content === undefined ? message : { ...message, content };
      const call = runtime.ask<ReadSummary>({ instance, path }, asked, options, onFrame);
      ticket.onStop(call.cancel);
      return call;
    },
    pullRegistry: async (instance) => {
      const to = { instance: runtime.self, path: MEMBERSHIP_PATH };
      const pull = { type: 'pull', peer: instance };
      await runtime.ask<null>(to, pull, { timeoutMs: PULL_TIMEOUT_MS, lane: 'control' }).done;
    },
    knowsRegistryOf: (instance) => knowsRegistryOf(dependencies, instance),
    bytes: ticket.bytes,
    onEarly,
    probe,
  });
}

/** Whether the registry of an instance would change nothing here that matters to reads. */
async function knowsRegistryOf(
  dependencies: IngesterReaderDependencies,
  instance: InstanceId,
): Promise<boolean> {
  const runtime = dependencies.runtime();
  const to = { instance, path: MEMBERSHIP_PATH };
  const exchange: ExchangeMessage = { from: runtime.self, records: [] };
  const ask = { type: 'exchange', exchange };
  const options = { timeoutMs: PULL_TIMEOUT_MS, lane: 'control' } as const;
  const { records } = await runtime.ask<ExchangeMessage>(to, ask, options).done;
  const { records: theirs, rejected } = decodeRecords(records);
  const { digest, registry } = dependencies.view();
  return (
    rejected.length === 0 && registryDigest(mergeRecords(registry, theirs).registry) === digest
  );
}

/** Open ends mean all that there is. */
function clampRange({ maxTimeMs, minTimeMs }: TimeRange): TimeRange {
  return { minTimeMs: Math.max(minTimeMs, 0), maxTimeMs };
}
