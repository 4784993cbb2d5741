/**
 * The life of one instance as a pure machine: `step(state, input, now) -> { state, effects }`.
 * It owns the node's registry: records come in, decisions and effects go out. There is no input for
 * liveness: no verdict about a peer can change the registry, hence none can change the ring (what forgets
 * the dead after a long time asks as an operator does, and a ballot decides).
 *
 *   idle -> pending -> joining -> active -> leaving          (lifecycle-types.ts has all phases)
 *
 *   - No seeds and an empty registry: a cluster of one, at once. With seeds: pending until another
 *     instance was met; among nodes that all know no cluster the lowest id begins one.
 *   - A persisted registry is resumed and never replaced by a new cluster.
 *   - Every change is persisted before anything is done with it: `persist` is the first effect.
 *   - Whatever changes replica sets or N waits for a majority (lifecycle-ballots.ts). JOINING is
 *     the announcement of ACTIVE: a majority knows whom to ask before the first write goes there.
 */
import { assert, assertNever } from '../model/assert.ts';
import { amendOwn, becomeUnready, end, write, writeOwn } from './lifecycle-draft.ts';
import { advance, becomeActive, beginCluster, knowsNoCluster } from './lifecycle-phases.ts';
import {
  acceptLoss,
  requestForget,
  requestLeave,
  setReadonly,
  stop,
} from './lifecycle-requests.ts';
import { answerAsk, askBallots, countAck, reviewBallots } from './lifecycle-ballots.ts';
import {
  type Ballot,
  type Draft,
  type LifecycleConfig,
  type LifecycleInput,
  type LifecycleState,
  type LifecycleStep,
  type Now,
  type Phase,
} from './lifecycle-types.ts';
import {
  activeRecord,
  forgottenRecord,
  pendingRecord,
  restartedRecord,
  sealedRecord,
} from './lifecycle-records.ts';
import {
  type InstanceRecord,
  type Registry,
  type RegistryRecord,
  compareInstances,
  effectiveRf,
  emptyRegistry,
  isVoter,
  votersOf,
} from './registry/index.ts';

export * from './lifecycle-types.ts';

/** Phases in which this process has not acted as its instance yet. */
const STARTING_PHASES: readonly Phase[] = ['joining', 'pending', 'resuming', 'returning'];
/** How often a starting instance outbids another holder of its id before it gives up. */
const CLAIMS_MAX = 3;

/** The machine before its 'started' input. */
export function createLifecycle(config: LifecycleConfig): LifecycleState {
  return {
    config,
    phase: 'idle',
    isReady: false,
    registry: emptyRegistry(),
    own: undefined,
    bootCounter: config.bootCounter,
    holdsData: config.holdsData,
    claimCount: 0,
    startedAtMs: 0,
    metAtMs: undefined,
    readyAtMs: 0,
    seenAtMs: new Map(),
    rfWantedSinceMs: undefined,
    sealWantedSinceMs: undefined,
    ballots: new Map(),
  };
}

/** Takes one input. Pure: the state given is not changed. */
export function step(state: LifecycleState, input: LifecycleInput, now: Now): LifecycleStep {
  if (state.phase === 'ended') return { state, effects: [] };
  assert((state.phase === 'idle') === (input.type === 'started'), 'lifecycle: start comes first');
  const draft: Draft = {
    ...state,
    now,
    seenAtMs: new Map(state.seenAtMs),
    ballots: new Map(state.ballots),
    changed: new Map(),
    effects: [],
  };
  takeInput(draft, input);
  settle(draft);
  if (input.type === 'asked') answerAsk(draft, input.record, input.from);
  return finish(state, draft);
}

/** Puts durability first: persist, use, tell; then everything that relies on it. */
function finish(before: LifecycleState, draft: Draft): LifecycleStep {
  const { changed, effects, now: _now, ...state } = draft;
  if (changed.size === 0) return { state, effects };
  const { registry } = draft;
  const first: LifecycleStep['effects'] = [
    ...(draft.bootCounter === before.bootCounter
      ? []
      : [{ type: 'save-boot-counter', bootCounter: draft.bootCounter } as const]),
    { type: 'persist', registry },
    { type: 'publish', registry },
    { type: 'broadcast', records: [...changed.values()] },
  ];
  const replaced = before.registry.cluster?.clusterId;
  if (replaced !== undefined && registry.cluster?.clusterId !== replaced) {
    effects.push({ type: 'cluster-replaced', clusterId: registry.cluster?.clusterId ?? '' });
  }
  return { state, effects: [...first, ...effects] };
}

function takeInput(draft: Draft, input: LifecycleInput): void {
  switch (input.type) {
    case 'ack': {
      countAck(draft, input);
      return;
    }
    case 'asked': {
      receive(draft, [input.record]);
      return;
    }
    case 'forget-requested': {
      requestForget(draft, input.id, input.acceptsLoss);
      return;
    }
    case 'leave-requested': {
      requestLeave(draft);
      return;
    }
    case 'lost': {
      const missingBeforeMs = Math.max(draft.own?.missingBeforeMs ?? 0, input.beforeMs);
      amendOwn(draft, { missingBeforeMs });
      return;
    }
    case 'loss-accepted': {
      acceptLoss(draft, input.id);
      return;
    }
    case 'met-instance':
      draft.metAtMs ??= draft.now.monotonicMs;
      draft.seenAtMs.set(input.id, draft.now.monotonicMs);
      receive(draft, input.records);
      return;
    case 'nack':
      if (draft.ballots.has(input.stamp)) {
        draft.effects.push({ type: 'sync-with', peer: input.from });
      }
      return;
    case 'readonly-requested': {
      setReadonly(draft, input.isReadonly);
      return;
    }
    case 'refilled':
      if ((draft.own?.missingBeforeMs ?? 0) > input.beforeMs) return;
      amendOwn(draft, { missingBeforeMs: input.restMs });
      return;
    case 'registry-changed': {
      receive(draft, input.records);
      return;
    }
    case 'settled':
      amendOwn(draft, { settledRf: Math.max(draft.own?.settledRf ?? 0, input.rf) });
      return;
    case 'started': {
      start(draft, input.registry);
      return;
    }
    case 'stop-requested': {
      stop(draft);
      return;
    }
    case 'tick':
      return;
    case 'wrote':
      draft.holdsData = true;
      return;
    default:
      return assertNever(input);
  }
}

/** Follows the consequences until nothing moves: each round is one decision. */
function settle(draft: Draft): void {
  for (let round = 0; draft.phase !== 'ended'; round++) {
    assert(round < 100, 'lifecycle: the machine does not come to rest');
    const { phase, registry } = draft;
    const ballotCount = draft.ballots.size;
    guardOwn(draft);
    for (const ballot of reviewBallots(draft)) commit(draft, ballot);
    advance(draft);
    const isSame = draft.registry === registry && draft.phase === phase;
    if (isSame && draft.ballots.size === ballotCount) break;
  }
  askBallots(draft);
}

// --- starting ---

function start(draft: Draft, persisted: Registry | undefined): void {
  draft.startedAtMs = draft.now.monotonicMs;
  draft.registry = persisted ?? emptyRegistry();
  const known = draft.registry.instances.get(draft.config.instanceId);
  for (const { id } of draft.registry.instances.values()) {
    draft.seenAtMs.set(id, draft.now.monotonicMs);
  }
  if (known !== undefined && (isVoter(known) || known.state === 'JOINING')) {
    comeBack(draft, known);
  } else if (knowsNoCluster(draft.registry) && !draft.config.hasSeeds) {
    beginCluster(draft);
  } else {
    draft.phase = 'pending';
    writeOwn(draft, pendingRecord(draft, known));
  }
}

/** Takes up a registered place again, with the same tokens: after a restart or with a new disk. */
function comeBack(draft: Draft, known: InstanceRecord): void {
  const isSameStore = known.storeId === draft.config.storeId;
  const isNextBoot = known.bootCounter < draft.bootCounter;
  const isRestart = draft.phase === 'idle' && isSameStore && isNextBoot;
  claim(draft, known);
  if (draft.phase === 'ended') return;
  const record = writeOwn(draft, restartedRecord(draft, known));
  if (record.state === 'PENDING') draft.phase = 'pending';
  else if (record.state === 'JOINING') draft.phase = 'joining';
  else draft.phase = isRestart ? 'resuming' : 'returning';
}

/** Raises the boot counter over whoever else used this id; gives up when that one does the same. */
function claim(draft: Draft, known: InstanceRecord): void {
  if (known.bootCounter >= draft.bootCounter) {
    draft.bootCounter = known.bootCounter + 1;
    draft.claimCount++;
  }
  draft.ballots.clear();
  if (draft.claimCount > CLAIMS_MAX) end(draft, 'superseded');
}

// --- ballots won ---

/** A majority holds the record: now it takes effect. */
function commit(draft: Draft, { acceptsLoss, purpose, record }: Ballot): void {
  switch (purpose) {
    case 'forget':
      if (record.kind !== 'instance') return;
      write(draft, [forgottenRecord(record, acceptsLoss)]);
      draft.effects.push({ type: 'forget-done', id: record.id });
      return;
    case 'join': {
      commitJoin(draft);
      return;
    }
    case 'leave':
      amendOwn(draft, { state: 'LEFT', proposal: 'none' });
      {
        end(draft, 'left');
        return;
      }
    case 'return': {
      becomeActive(draft);
      return;
    }
    case 'rf':
      if (record.kind !== 'rf-step') return;
      write(draft, [{ ...record, atMs: draft.now.wallMs, isCommitted: true }]);
      return;
    case 'seal':
      if (record.kind === 'instance') write(draft, [sealedRecord(record, draft.now.wallMs)]);
      return;
    default:
      return assertNever(purpose);
  }
}

function commitJoin(draft: Draft): void {
  const record = writeOwn(draft, activeRecord(draft));
  const { registry } = draft;
  const atMs = draft.now.wallMs;
  const rf = effectiveRf(registry);
  if (registry.rfSteps.get(rf)?.isCommitted !== true) {
    write(draft, [{ kind: 'rf-step', rf, atMs, isCommitted: true }]);
  }
  const members = votersOf(registry).length;
  if (registry.cluster !== undefined && registry.cluster.membersMax < members) {
    write(draft, [{ ...registry.cluster, membersMax: members }]);
  }
  assert(record.state === 'ACTIVE', 'lifecycle: joined but not active');
  becomeActive(draft);
}

// --- records ---

/**
 * What gossip tells comes in pieces: a node whose disk was replaced could meet its own old place before it knows anybody
 * else, return with nobody to ask, and answer reads alone. So the first to be heard is a whole registry.
 */
function receive(draft: Draft, records: readonly RegistryRecord[]): void {
  if (draft.phase === 'pending' && draft.metAtMs === undefined) return;
  write(draft, records);
  for (const record of draft.changed.values()) {
    if (record.kind === 'instance') draft.seenAtMs.set(record.id, draft.now.monotonicMs);
  }
}

/**
 * Only the owner decides about its record. What else the registry says under this id is a proposal
 * to refute, a verdict to obey, an own place that this node did not remember, or a twin.
 */
function guardOwn(draft: Draft): void {
  const { own, phase } = draft;
  const known = draft.registry.instances.get(draft.config.instanceId);
  if (own === undefined || known === undefined || compareInstances(known, own) <= 0) return;
  const isStarting = STARTING_PHASES.includes(phase);
  if (known.proposal === 'forget' && isSameVersion(known, own)) {
    writeOwn(draft, { ...own, version: own.version + 1 });
  } else if (known.state === 'LEFT' || known.state === 'FORGOTTEN') {
    if (!isStarting && known.bootCounter >= own.bootCounter) {
      end(draft, 'forgotten');
      return;
    }
    becomeUnready(draft, 'it was forgotten before it started and joins again');
    draft.own = known;
    draft.phase = 'pending';
    draft.ballots.clear();
  } else if (isStarting) {
    comeBack(draft, known);
  } else {
    end(draft, 'superseded');
  }
}

function isSameVersion(a: InstanceRecord, b: InstanceRecord): boolean {
  return (
    a.generation === b.generation &&
    a.state === b.state &&
    a.bootCounter === b.bootCounter &&
    a.version === b.version
  );
}
