/**
 * The life of one instance as a pure machine: `step(state, input, now) -> { state, effects }`.
 * It owns the node's registry: records come in, decisions and effects go out. There is no input for
 * liveness: no verdict about a peer can change the registry, hence none can change the ring.
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
import { amendOwn, becomeReady, becomeUnready, end, write, writeOwn } from './lifecycle-draft.ts';
import {
  acceptLoss,
  requestForget,
  requestLeave,
  setReadonly,
  stop,
} from './lifecycle-requests.ts';
import { answerAsk, askBallots, countAck, openBallot, reviewBallots } from './lifecycle-ballots.ts';
import {
  BEGIN_WAIT_MS,
  BOOTSTRAP_WAIT_MS,
  type Ballot,
  type BallotPurpose,
  CANDIDATE_WINDOW_MS,
  type Draft,
  type LifecycleConfig,
  type LifecycleInput,
  type LifecycleState,
  type LifecycleStep,
  type Now,
  type Phase,
  RESUME_WAIT_MS,
  STAGGER_MS,
} from './lifecycle-types.ts';
import {
  activeRecord,
  firstRecord,
  forgottenRecord,
  isUnsealed,
  joiningRecord,
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
  recordStamp,
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

function beginCluster(draft: Draft): void {
  const { clusterId, fingerprintSecret } = draft.config.draws;
  write(draft, [
    { kind: 'cluster', clusterId, fingerprintSecret, membersMax: 1 },
    { kind: 'rf-step', rf: 1, atMs: draft.now.wallMs, isCommitted: true },
  ]);
  writeOwn(draft, firstRecord(draft));
  // Those it met are about to join: better than to acknowledge samples with a quorum of one.
  if (draft.config.hasSeeds) draft.readyAtMs = draft.now.monotonicMs + BEGIN_WAIT_MS;
  becomeActive(draft);
}

// --- moving on ---

function advance(draft: Draft): void {
  switch (draft.phase) {
    case 'active': {
      advanceActive(draft);
      return;
    }
    case 'pending': {
      advancePending(draft);
      return;
    }
    case 'resuming': {
      advanceResuming(draft);
      return;
    }
    case 'joining': {
      ensureBallot(draft, 'join');
      return;
    }
    case 'retiring': {
      ensureBallot(draft, 'leave');
      return;
    }
    case 'returning': {
      ensureBallot(draft, 'return');
      return;
    }
    case 'ended':
    case 'idle':
    case 'leaving':
      return;
    default:
      return assertNever(draft.phase);
  }
}

/** Keeps a ballot on the own record open until it is won, also after the record had to change. */
function ensureBallot(draft: Draft, purpose: BallotPurpose): void {
  const { own } = draft;
  if (own === undefined || draft.ballots.has(recordStamp(own))) return;
  openBallot(draft, purpose, { record: own });
}

function advancePending(draft: Draft): void {
  const { metAtMs, now, registry } = draft;
  if (metAtMs === undefined && draft.config.hasSeeds) return;
  if (registry.cluster !== undefined) {
    if (metAtMs === undefined && votersOf(registry).length > 0) return;
    writeOwn(draft, joiningRecord(draft));
    draft.phase = 'joining';
    return;
  }
  if (metAtMs === undefined || now.monotonicMs - metAtMs < BOOTSTRAP_WAIT_MS) return;
  if (knowsNoCluster(registry) && isLowestCandidate(draft)) beginCluster(draft);
}

/** Nobody that was heard of lately, and that knows no cluster either, has a lower id. */
function isLowestCandidate(draft: Draft): boolean {
  for (const { id } of draft.registry.instances.values()) {
    const seenAtMs = draft.seenAtMs.get(id) ?? draft.now.monotonicMs;
    const isRecent = draft.now.monotonicMs - seenAtMs < CANDIDATE_WINDOW_MS;
    if (id < draft.config.instanceId && isRecent) return false;
  }
  return true;
}

function knowsNoCluster(registry: Registry): boolean {
  if (registry.cluster !== undefined || registry.rfSteps.size > 0) return false;
  return [...registry.instances.values()].every(({ state }) => state === 'PENDING');
}

/** Ready on its own and one other's account: a dead peer keeps nobody from coming back. */
function advanceResuming(draft: Draft): void {
  const isAlone = votersOf(draft.registry).length === 1;
  const waitedMs = draft.now.monotonicMs - draft.startedAtMs;
  if (isAlone || draft.metAtMs !== undefined || waitedMs >= RESUME_WAIT_MS) becomeActive(draft);
}

function advanceActive(draft: Draft): void {
  const rf = effectiveRf(draft.registry);
  // An instance that never had a sample has nothing that only a smaller quorum protects.
  const { own } = draft;
  const isEmpty = !draft.holdsData && own?.missingBeforeMs === 0;
  if (isEmpty && own.settledRf < rf) amendOwn(draft, { settledRf: rf });
  const wished = draft.config.replicationFactor;
  const mayWait = rf < Math.min(wished, countCandidates(draft));
  if (!mayWait || draft.now.monotonicMs >= draft.readyAtMs) becomeReady(draft);
  raiseFactor(draft, rf);
  sealTombstones(draft);
}

/** Proposes the next step of the replication factor when there are instances enough. */
function raiseFactor(draft: Draft, rf: number): void {
  const target = Math.min(draft.config.replicationFactor, votersOf(draft.registry).length);
  draft.rfWantedSinceMs =
    target <= rf ? undefined : (draft.rfWantedSinceMs ?? draft.now.monotonicMs);
  if (!isMyTurn(draft, draft.rfWantedSinceMs) || draft.ballots.has(`rf/${target}`)) return;
  const record = {
    kind: 'rf-step',
    rf: target,
    atMs: draft.now.wallMs,
    isCommitted: false,
  } as const;
  write(draft, [record]);
  openBallot(draft, 'rf', { record });
}

/** Asks everybody whether they have heard of a tombstone. */
function sealTombstones(draft: Draft): void {
  const unsealed = [...draft.registry.instances.values()].filter(isUnsealed);
  draft.sealWantedSinceMs =
    unsealed.length === 0 ? undefined : (draft.sealWantedSinceMs ?? draft.now.monotonicMs);
  if (!isMyTurn(draft, draft.sealWantedSinceMs)) return;
  for (const record of unsealed) {
    if (!draft.ballots.has(recordStamp(record))) openBallot(draft, 'seal', { record });
  }
}

/** The first of the voters acts at once, the others one after the other if it did not. */
function isMyTurn(draft: Draft, sinceMs: number | undefined): boolean {
  if (sinceMs === undefined) return false;
  const rank = votersOf(draft.registry).findIndex(({ id }) => id === draft.config.instanceId);
  return draft.now.monotonicMs - sinceMs >= rank * STAGGER_MS;
}

/** Instances that are registered or about to be. */
function countCandidates({ registry }: Draft): number {
  const states = [...registry.instances.values()].map(({ state }) => state);
  return states.filter((state) => state !== 'LEFT' && state !== 'FORGOTTEN').length;
}

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

function becomeActive(draft: Draft): void {
  draft.phase = 'active';
  if (draft.now.monotonicMs >= draft.readyAtMs) becomeReady(draft);
}

// --- records ---

function receive(draft: Draft, records: readonly RegistryRecord[]): void {
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
