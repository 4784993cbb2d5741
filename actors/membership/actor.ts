/**
 * The membership actor: feeds the lifecycle machine and does what it asks, strictly in order. An effect
 * that must be durable is waited for before the next one; until then inputs queue. It also answers the
 * control-lane halves of gossip, and publishes the registry that the other roles use.
 */
import { StarlingError, toStarlingError } from '../../model/errors.ts';
import type { InstanceId } from '../../model/ids.ts';
import {
  type Gossip,
  type Identity,
  type LifecycleConfig,
  type LifecycleEffect,
  type LifecycleInput,
  type LifecycleState,
  type Registry,
  type RegistryFile,
  type RegistryRecord,
  createLifecycle,
  decodeRecords,
  encodeRecord,
  recordKey,
  recordsOf,
  stepLifecycle,
} from '../../membership/index.ts';
import type { Clock, Log } from '../../platform/platform.ts';
import type { Actor, ActorContext, ActorRuntime, Reply } from '../runtime/index.ts';
import type { ClusterViews } from './cluster-view.ts';
import {
  type BallotMessage,
  type ExchangeMessage,
  MEMBERSHIP_PATH,
  type MembershipMessage,
} from './messages.ts';

const TICK_MS = 200;
const CONTROL_TIMEOUT_MS = 2000;
/** Inputs that wait while a registry is written. */
const INPUTS_MAX = 10_000;

export interface MembershipDependencies {
  readonly clock: Clock;
  readonly log: Log;
  readonly runtime: () => ActorRuntime;
  readonly gossip: Pick<
    Gossip,
    'answerPing' | 'answerPushPull' | 'broadcast' | 'onEvent' | 'onRecord' | 'raiseBoot'
  >;
  readonly identity: Pick<Identity, 'raiseBootCounter'>;
  readonly registryFile: Pick<RegistryFile, 'save'>;
  readonly views: ClusterViews;
  readonly config: LifecycleConfig;
  /** What the data directory remembered. */
  readonly registry: Registry | undefined;
  readonly onReady: (isReady: boolean, why: string) => void;
  readonly onEnd: (why: string) => void;
  /**
   * This instance belongs to another cluster now, whose secret keys its fingerprints: what it holds in
   * memory goes by the old one. The registry is persisted, so a restart reads its data anew.
   */
  readonly onClusterReplaced: (clusterId: string) => void;
  readonly onStopped: () => void;
}

/** What one membership actor asks another; the runtime adds `reply`. */
type RemoteMessage =
  | { readonly type: 'ballot'; readonly ballot: BallotMessage }
  | { readonly type: 'exchange'; readonly exchange: ExchangeMessage };

interface WaitingInput {
  readonly input: LifecycleInput;
  readonly reply: Reply<null> | undefined;
}

export class MembershipActor implements Actor<MembershipMessage> {
  readonly #dependencies: MembershipDependencies;
  readonly #context: ActorContext<MembershipMessage>;
  readonly #inputs: WaitingInput[] = [];
  /** Ends the callbacks of gossip. */
  readonly #unsubscribe: readonly (() => void)[];
  readonly #forgets = new Map<InstanceId, Reply<null>[]>();
  #state: LifecycleState;
  #isRunning = false;
  #isStopped = false;

  constructor(context: ActorContext<MembershipMessage>, dependencies: MembershipDependencies) {
    this.#dependencies = dependencies;
    this.#context = context;
    this.#state = createLifecycle(dependencies.config);
    const { gossip } = dependencies;
    this.#unsubscribe = [
      gossip.onRecord((record) => context.tell({ type: 'records', records: [record] })),
      gossip.onEvent((event) => {
        if (event.type === 'alive') this.#exchangeWith(event.member.id);
      }),
    ];
    this.#enqueue({ type: 'started', registry: dependencies.registry });
    context.every(TICK_MS, () => ({ type: 'tick' }));
  }

  get phase(): string {
    return this.#state.phase;
  }

  stop(): void {
    this.#isStopped = true;
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
  }

  receive(message: MembershipMessage): void {
    switch (message.type) {
      case 'ballot':
        if (!isFrom(message.ballot.from, message)) break;
        this.#receiveBallot(message.ballot);
        message.reply.ok(null);
        break;
      case 'exchange':
        if (!isFrom(message.exchange.from, message)) break;
        this.#receiveExchange(message.exchange);
        message.reply.ok(this.#exchangeMessage());
        break;
      case 'exchanged':
        this.#receiveExchange(message.answer, message.pull);
        this.#dialAhead();
        break;
      case 'forget':
        this.#forgets.set(message.instance, [
          ...(this.#forgets.get(message.instance) ?? []),
          message.reply,
        ]);
        this.#enqueue({ type: 'forget-requested', id: message.instance, acceptsLoss: false });
        break;
      case 'input':
        this.#enqueue(message.input);
        break;
      case 'lost':
        this.#enqueue({ type: 'lost', beforeMs: message.beforeMs }, message.reply);
        break;
      case 'loss-accepted':
        this.#enqueue({ type: 'loss-accepted', id: message.instance }, message.reply);
        break;
      case 'ping':
        message.reply.ok(this.#dependencies.gossip.answerPing(message.target));
        break;
      case 'pull':
        this.#pull(message.peer, message.reply);
        break;
      case 'push-pull':
        this.#answerPushPull(message.bytes, message.reply);
        break;
      case 'records':
        this.#receiveRecords(message.records);
        break;
      case 'refilled': {
        const { beforeMs, reply, restMs } = message;
        this.#enqueue({ type: 'refilled', beforeMs, restMs }, reply);
        break;
      }
      case 'tick':
        this.#enqueue({ type: 'tick' });
        break;
      case 'wrote':
        this.#enqueue({ type: 'wrote' }, message.reply);
        break;
    }
  }

  #answerPushPull(bytes: Uint8Array, reply: Reply<Uint8Array>): void {
    const answer = this.#dependencies.gossip.answerPushPull(bytes);
    if (answer !== undefined) reply.ok(answer);
    else
      reply.fail(
        new StarlingError('protobuf.corrupt', { why: 'a malformed push/pull', offset: 0 }),
      );
  }

  #receiveRecords(bytes: readonly Uint8Array[]): void {
    const { records } = decodeRecords(bytes);
    if (records.length > 0) this.#enqueue({ type: 'registry-changed', records });
  }

  /** Merges the whole registry of a peer; `pull` is answered once that is durable and published. */
  #receiveExchange(exchange: ExchangeMessage, pull?: Reply<null>): void {
    const { records } = decodeRecords(exchange.records);
    this.#enqueue({ type: 'met-instance', id: exchange.from, records }, pull);
  }

  #receiveBallot(ballot: BallotMessage): void {
    const { electorate, from, isReturning, stamp, why } = ballot;
    if (ballot.kind === 'ack') this.#enqueue({ type: 'ack', stamp, from, electorate, isReturning });
    else if (ballot.kind === 'nack') this.#enqueue({ type: 'nack', stamp, from, why });
    else if (ballot.record !== null) {
      const record = decodeRecords([ballot.record]).records[0];
      if (record !== undefined) this.#enqueue({ type: 'asked', record, from });
    }
  }

  #exchangeMessage(): ExchangeMessage {
    const records = recordsOf(this.#state.registry).map(encodeRecord);
    return { from: this.#dependencies.config.instanceId, records };
  }

  /** To all, because in a large cluster to none: to whom streams are open they stay. */
  #dialAhead(): void {
    const { runtime, views } = this.#dependencies;
    runtime().peers.dialAhead(views.current.instances);
  }

  /** Exchanges all records with a peer; the answer comes back as a message. */
  #exchangeWith(peer: InstanceId): void {
    this.#ask<ExchangeMessage>(peer, { type: 'exchange', exchange: this.#exchangeMessage() }).then(
      (answer) => this.#context.tell({ type: 'exchanged', with: peer, answer }),
      (error: unknown) =>
        this.#dependencies.log.debug('exchange failed', { peer, error: String(error) }),
    );
  }

  #pull(peer: InstanceId, reply: Reply<null>): void {
    this.#ask<ExchangeMessage>(peer, { type: 'exchange', exchange: this.#exchangeMessage() }).then(
      (answer) => this.#context.tell({ type: 'exchanged', with: peer, answer, pull: reply }),
      (error: unknown) => reply.fail(toStarlingError(error)),
    );
  }

  #ask<Answer>(peer: InstanceId, message: RemoteMessage): Promise<Answer> {
    const options = { timeoutMs: CONTROL_TIMEOUT_MS, lane: 'control' } as const;
    const runtime = this.#dependencies.runtime();
    return runtime.ask<Answer>({ instance: peer, path: MEMBERSHIP_PATH }, message, options).done;
  }

  /** Queues an input. `reply` is answered when everything that followed from it was done, in order. */
  #enqueue(input: LifecycleInput, reply?: Reply<null>): void {
    if (this.#inputs.length >= INPUTS_MAX) {
      this.#dependencies.log.warn('membership input dropped', { input: input.type });
      const facts = { what: 'inputs of membership', countMax: INPUTS_MAX };
      reply?.fail(new StarlingError('node.overloaded', facts));
      return; // repaired by the next exchange
    }
    this.#inputs.push({ input, reply });
    if (!this.#isRunning) void this.#run();
  }

  /** Steps through what waits. Effects run in order; durable ones are waited for. */
  async #run(): Promise<void> {
    this.#isRunning = true;
    try {
      for (
        let next = this.#inputs.shift();
        next !== undefined && !this.#isStopped;
        next = this.#inputs.shift()
      ) {
        const { clock } = this.#dependencies;
        const now = { monotonicMs: clock.monotonicMs(), wallMs: clock.wallMs() };
        const { effects, state } = stepLifecycle(this.#state, next.input, now);
        this.#state = state;
        for (const effect of effects) await this.#perform(effect);
        next.reply?.ok(null);
      }
    } catch (error) {
      this.#dependencies.log.error('membership failed', { error: String(error) });
      this.#dependencies.onEnd(`membership failed: ${String(error)}`);
    } finally {
      this.#isRunning = false;
    }
  }

  async #perform(effect: LifecycleEffect): Promise<void> {
    const { gossip, identity, log, onClusterReplaced, onEnd } = this.#dependencies;
    const { onReady, onStopped, registryFile, views } = this.#dependencies;
    switch (effect.type) {
      case 'ask-ack':
        this.#sendBallots(effect.peers, {
          ...NO_BALLOT,
          kind: 'ask',
          stamp: effect.stamp,
          record: encodeRecord(effect.record),
        });
        break;
      case 'become-ready':
        onReady(true, '');
        break;
      case 'become-unready':
        log.probe?.('membership.unready');
        onReady(false, effect.why);
        break;
      case 'broadcast':
        for (const record of effect.records)
          gossip.broadcast(recordKey(record), encodeRecord(record));
        break;
      case 'cluster-replaced':
        log.warn('two clusters met; the other one stays', { cluster: effect.clusterId });
        onClusterReplaced(effect.clusterId);
        break;
      case 'end':
        onEnd(effect.why);
        break;
      case 'forget-done':
        log.probe?.('membership.forgot');
        this.#settleForget(effect.id, (reply) => reply.ok(null));
        break;
      case 'forget-failed':
        log.probe?.('membership.forget_refused');
        this.#settleForget(effect.id, (reply) =>
          reply.fail(new StarlingError('node.not_ready', { why: effect.why })),
        );
        break;
      case 'persist':
        await registryFile.save(effect.registry);
        break;
      case 'publish':
        views.publish(effect.registry);
        this.#dialAhead();
        break;
      case 'reply-ack':
        this.#sendBallots([effect.to], { ...NO_BALLOT, ...effect, kind: 'ack' });
        break;
      case 'reply-nack':
        log.probe?.('membership.nacked');
        this.#sendBallots([effect.to], { ...NO_BALLOT, ...effect, kind: 'nack' });
        break;
      case 'save-boot-counter':
        log.probe?.('membership.boot_raised');
        await identity.raiseBootCounter(effect.bootCounter);
        gossip.raiseBoot(effect.bootCounter);
        break;
      case 'stopped':
        onStopped();
        break;
      case 'sync-with':
        log.probe?.('membership.synced_for_ballot');
        this.#exchangeWith(effect.peer);
        break;
    }
  }

  #sendBallots(peers: readonly InstanceId[], parts: Omit<BallotMessage, 'from'>): void {
    const { electorate, isReturning, kind, record, stamp, why } = parts;
    const from = this.#dependencies.config.instanceId;
    const ballot: BallotMessage = { kind, from, stamp, record, electorate, isReturning, why };
    for (const peer of peers) {
      this.#ask<null>(peer, { type: 'ballot', ballot }).catch((error: unknown) => {
        this.#dependencies.log.debug('ballot not delivered', {
          peer,
          kind,
          error: String(error),
        }); // asked again
      });
    }
  }

  #settleForget(id: InstanceId, settle: (reply: Reply<null>) => void): void {
    for (const reply of this.#forgets.get(id) ?? []) settle(reply);
    this.#forgets.delete(id);
  }
}

/** Whether a sender is who it says in the message; the stream proved who it is. */
function isFrom(
  claimed: InstanceId,
  { from, reply }: { readonly from: InstanceId; readonly reply: Pick<Reply<null>, 'fail'> },
): boolean {
  if (claimed === from) return true;
  const why = `a message of ${claimed} from ${from}`;
  reply.fail(new StarlingError('protobuf.corrupt', { why, offset: 0 }));
  return false;
}

const NO_BALLOT = { stamp: '', record: null, electorate: '', isReturning: false, why: '' } as const;

/** The records that gossip's own exchanges carry. */
export function gossipRecords(registry: Registry): readonly Uint8Array[] {
  return recordsOf(registry).map((record: RegistryRecord) => encodeRecord(record));
}
