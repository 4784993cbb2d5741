/**
 * Links to other nodes: one per peer and lane, dialled when first needed or, in a small cluster, ahead; and
 * those that peers dialled to us. Both ends prove who they are before anything else passes; a link to an
 * instance opens only when that very instance answers, whoever listens at its address by now.
 */
import { assert } from '../../model/assert.ts';
import { StarlingError } from '../../model/errors.ts';
import type { InstanceId } from '../../model/ids.ts';
import type {
  Clock,
  Lane,
  Log,
  RpcListener,
  RpcStream,
  RpcStreams,
} from '../../platform/platform.ts';
import type { InboundAsk, InboundBudget } from './inbound.ts';
import { Link } from './link.ts';
import type { ReplyGate } from './reply.ts';
import type { EnvelopeCodec, Hellos, RefusedHello } from './types.ts';

export const HELLO_TIMEOUT_MS = 5000;
export const REDIAL_BACKOFF_MS = 250;
/** Streams that peers may hold open to us. */
export const INBOUND_STREAMS_MAX = 4096;
/** Of more instances a node needs the streams to some, which are dialled when they are. */
const DIALLED_AHEAD_MAX = 32;

export interface PeersOptions {
  readonly self: InstanceId;
  readonly clock: Clock;
  readonly log: Log;
  readonly rpc: RpcStreams;
  readonly codec: EnvelopeCodec;
  /** The gRPC address of an instance; undefined when it is not known. */
  readonly resolve: (instance: InstanceId) => string | undefined;
  readonly hellos: Hellos;
  readonly onAsk: (
    from: InstanceId,
    ask: InboundAsk,
    reply: ReplyGate,
  ) => (answer: unknown) => Uint8Array;
}

interface Dialled {
  readonly address: string;
  readonly link: Link;
  /** Somebody asked for it; until then it was dialled ahead. */
  isNeeded: boolean;
}

/** A link that ended, or never opened. */
interface Failure {
  readonly atMs: number;
  /** What was dialled ahead and failed keeps nobody from dialling who needs it: much may be true by now. */
  readonly wasNeeded: boolean;
}

export class Peers {
  readonly #options: PeersOptions;
  readonly #dialled = new Map<string, Dialled>();
  readonly #failures = new Map<string, Failure>();
  readonly #inbound = new Set<Link>();
  readonly #inboundBudget: InboundBudget = { usedBytes: 0 };
  #listener: RpcListener | undefined;
  #refusedHellos = 0;
  #isClosed = false;

  constructor(options: PeersOptions) {
    this.#options = options;
  }

  get refusedHellos(): number {
    return this.#refusedHellos;
  }

  /** Asks that peers have open here, and their bytes. */
  get inboundLoad(): { readonly asks: number; readonly bytes: number } {
    let asks = 0;
    for (const { inboundCount } of this.#inbound) asks += inboundCount;
    return { asks, bytes: this.#inboundBudget.usedBytes };
  }

  get linkCount(): number {
    return this.#dialled.size + this.#inbound.size;
  }

  async listen(address: string): Promise<string> {
    this.#listener = await this.#options.rpc.listen(address, (stream) => this.#accept(stream));
    return this.#listener.address;
  }

  /** The link to an instance. Throws `node.unreachable` when it cannot even be dialled. */
  linkTo(instance: InstanceId, lane: Lane): Link {
    const address = this.#options.resolve(instance);
    if (address === undefined) throw unreachable(instance, 'its address is not known');
    return this.#link(address, lane, { instance, isNeeded: true });
  }

  /** A link by address alone, to whoever proves the cluster there: for seeds and probes. */
  linkToAddress(address: string, lane: Lane): Link {
    return this.#link(address, lane, { instance: undefined, isNeeded: true });
  }

  #link(
    address: string,
    lane: Lane,
    {
      instance,
      isNeeded,
    }: { readonly instance: InstanceId | undefined; readonly isNeeded: boolean },
  ): Link {
    const name = instance ?? address;
    if (this.#isClosed) throw unreachable(name, 'this node is stopping');
    const key = `${lane} ${name}`;
    const known = this.#dialled.get(key);
    if (known !== undefined) {
      if (known.address === address && !known.link.isClosed) {
        known.isNeeded ||= isNeeded;
        return known.link;
      }
      this.#dialled.delete(key); // first, so that its end is no failure of the new address
      known.link.close('the address changed');
    }
    const nowMs = this.#options.clock.monotonicMs();
    const failure = this.#failures.get(key);
    const isRecent = failure !== undefined && nowMs - failure.atMs < REDIAL_BACKOFF_MS;
    if (isRecent && (failure.wasNeeded || !isNeeded)) {
      throw unreachable(name, 'it was not reachable a moment ago');
    }
    const link = this.#dial(address, lane, instance, key);
    this.#dialled.set(key, { address, link, isNeeded });
    return link;
  }

  /**
   * Opens the streams of queries and writes to all instances of a small cluster, so that the first ones do not wait for
   * them. What fails is dialled when it is needed, at once.
   */
  dialAhead(instances: readonly InstanceId[]): void {
    if (instances.length > DIALLED_AHEAD_MAX) return;
    for (const instance of instances) {
      if (instance === this.#options.self) continue;
      for (const lane of ['read', 'write'] as const) {
        const address = this.#options.resolve(instance);
        if (address === undefined) continue;
        try {
          this.#link(address, lane, { instance, isNeeded: false });
        } catch {
          // not reachable a moment ago
        }
      }
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    for (const { link } of this.#dialled.values()) link.close('this node is stopping');
    for (const link of this.#inbound) link.close('this node is stopping');
    await this.#listener?.close();
  }

  #dial(address: string, lane: Lane, instance: InstanceId | undefined, key: string): Link {
    const { clock, codec, hellos, log, rpc } = this.#options;
    const hello = hellos.dial(instance);
    const stream = rpc.connect(address, lane);
    const timer = clock.after(HELLO_TIMEOUT_MS, () => stream.close('no hello'));
    const refuse = (why: string): void => this.#refused({ remote: address, lane, instance, why });
    const link: Link = new Link({
      stream,
      codec,
      clock,
      log,
      inboundBudget: this.#inboundBudget,
      peer: instance ?? address,
      // A peer never asks over a stream that we dialled.
      onAsk: () => {
        throw new StarlingError('node.unimplemented', { what: 'asks over a dialled stream' });
      },
      onHello: (message) => {
        const verdict = hello.receive(message);
        if ('refused' in verdict) {
          refuse(verdict.why);
          shut(link, verdict);
          return;
        }
        timer.cancel();
        this.#failures.delete(key);
        link.sendHello(verdict.last);
        link.open(verdict.peer.id);
      },
      onEarlyBreach: refuse,
      onClose: () => {
        timer.cancel();
        const dialled = this.#dialled.get(key);
        if (dialled?.link !== link) return;
        this.#dialled.delete(key);
        this.#failures.set(key, { atMs: clock.monotonicMs(), wasNeeded: dialled.isNeeded });
      },
    });
    link.sendHello(hello.first);
    return link;
  }

  #accept(stream: RpcStream): void {
    const { clock, codec, hellos, log, onAsk } = this.#options;
    if (this.#inbound.size >= INBOUND_STREAMS_MAX || this.#isClosed) {
      stream.close('too many streams');
      return;
    }
    const hello = hellos.accept();
    let from: InstanceId | undefined;
    const timer = clock.after(HELLO_TIMEOUT_MS, () => stream.close('no hello'));
    const refuse = (why: string): void =>
      this.#refused({ remote: stream.remoteAddress, lane: stream.lane, why });
    const link: Link = new Link({
      stream,
      codec,
      clock,
      log,
      inboundBudget: this.#inboundBudget,
      peer: stream.remoteAddress,
      onAsk: (ask, reply) => {
        assert(from !== undefined, 'peers: an ask on a link that is not open');
        return onAsk(from, ask, reply);
      },
      onHello: (message) => {
        const verdict = hello.receive(message);
        if ('refused' in verdict) {
          refuse(verdict.why);
          shut(link, verdict);
        } else if ('reply' in verdict) link.sendHello(verdict.reply);
        else {
          timer.cancel();
          from = verdict.peer.id;
          link.open(from);
        }
      },
      onEarlyBreach: refuse,
      onClose: () => {
        timer.cancel();
        this.#inbound.delete(link);
      },
    });
    this.#inbound.add(link);
  }

  #refused(facts: Readonly<Record<string, unknown>>): void {
    this.#refusedHellos++;
    this.#options.log.warn('stream refused', facts);
  }
}

/** Tells the peer why, then closes. */
function shut(link: Link, { reply, why }: RefusedHello): void {
  if (reply !== undefined) link.sendHello(reply);
  link.close(why);
}

function unreachable(instance: string, why: string): StarlingError {
  return new StarlingError('node.unreachable', { instance, why });
}
