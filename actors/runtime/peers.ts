/**
 * Links to other nodes: one per peer and lane, dialled when first needed, and those that peers dialled
 * to us. The first frame either way is a hello that names the instance and proves the cluster's key;
 * until it arrived nothing else is read from a stream.
 */
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
import { type InboundAsk, Link } from './link.ts';
import type { ReplyGate } from './reply.ts';
import type { EnvelopeCodec } from './types.ts';

export const HELLO_TIMEOUT_MS = 5000;
export const REDIAL_BACKOFF_MS = 250;
/** Streams that peers may hold open to us. */
export const INBOUND_STREAMS_MAX = 4096;

export interface PeersOptions {
  readonly self: InstanceId;
  readonly clock: Clock;
  readonly log: Log;
  readonly rpc: RpcStreams;
  readonly codec: EnvelopeCodec;
  /** The gRPC address of an instance; undefined when it is not known. */
  readonly resolve: (instance: InstanceId) => string | undefined;
  readonly makeHello: () => Uint8Array;
  /** The instance that a hello proves, or why it does not. */
  readonly verifyHello: (
    hello: Uint8Array,
  ) => { readonly instance: InstanceId } | { readonly why: string };
  readonly onAsk: (
    from: InstanceId,
    ask: InboundAsk,
    reply: ReplyGate,
  ) => (answer: unknown) => Uint8Array;
}

interface Dialled {
  readonly address: string;
  readonly link: Link;
}

export class Peers {
  readonly #options: PeersOptions;
  readonly #dialled = new Map<string, Dialled>();
  readonly #failedAtMs = new Map<string, number>();
  readonly #inbound = new Set<Link>();
  #listener: RpcListener | undefined;
  #refusedHellos = 0;
  #isClosed = false;

  constructor(options: PeersOptions) {
    this.#options = options;
  }

  get refusedHellos(): number {
    return this.#refusedHellos;
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
    return this.linkToAddress(address, lane, instance);
  }

  /** A link by address alone: for seeds whose identity is not known yet. */
  linkToAddress(address: string, lane: Lane, instance: string = address): Link {
    if (this.#isClosed) throw unreachable(instance, 'this node is stopping');
    const key = `${lane} ${instance}`;
    const known = this.#dialled.get(key);
    if (known?.address === address && !known.link.isClosed) return known.link;
    known?.link.close('the address changed');
    const nowMs = this.#options.clock.monotonicMs();
    if (nowMs - (this.#failedAtMs.get(key) ?? Number.NEGATIVE_INFINITY) < REDIAL_BACKOFF_MS) {
      throw unreachable(instance, 'it was not reachable a moment ago');
    }
    const link = this.#dial(address, lane, instance, key);
    this.#dialled.set(key, { address, link });
    return link;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    for (const { link } of this.#dialled.values()) link.close('this node is stopping');
    for (const link of this.#inbound) link.close('this node is stopping');
    await this.#listener?.close();
  }

  #dial(address: string, lane: Lane, instance: string, key: string): Link {
    const { clock, codec, log, makeHello, rpc } = this.#options;
    const link: Link = new Link({
      stream: rpc.connect(address, lane),
      codec,
      clock,
      log,
      peer: instance,
      // A peer never asks over a stream that we dialled.
      onAsk: () => {
        throw new StarlingError('node.unimplemented', { what: 'asks over a dialled stream' });
      },
      onHello: () => undefined,
      onClose: () => {
        this.#failedAtMs.set(key, clock.monotonicMs());
        if (this.#dialled.get(key)?.link === link) this.#dialled.delete(key);
      },
    });
    link.sendHello(makeHello());
    return link;
  }

  #accept(stream: RpcStream): void {
    const { clock, codec, log, onAsk, verifyHello } = this.#options;
    if (this.#inbound.size >= INBOUND_STREAMS_MAX || this.#isClosed) {
      stream.close('too many streams');
      return;
    }
    let from: InstanceId | undefined;
    const timer = clock.after(HELLO_TIMEOUT_MS, () => stream.close('no hello'));
    const link: Link = new Link({
      stream,
      codec,
      clock,
      log,
      peer: stream.remoteAddress,
      onAsk: (ask, reply) => {
        if (from !== undefined) return onAsk(from, ask, reply);
        this.#refusedHellos++;
        stream.close('an ask before the hello');
        throw new StarlingError('request.canceled', undefined);
      },
      onHello: (hello) => {
        timer.cancel();
        const verdict = verifyHello(hello);
        if ('instance' in verdict) {
          from = verdict.instance;
          return;
        }
        this.#refusedHellos++;
        log.warn('stream refused', { remote: stream.remoteAddress, why: verdict.why });
        stream.close('refused');
      },
      onClose: () => {
        timer.cancel();
        this.#inbound.delete(link);
      },
    });
    this.#inbound.add(link);
  }
}

function unreachable(instance: string, why: string): StarlingError {
  return new StarlingError('node.unreachable', { instance, why });
}
