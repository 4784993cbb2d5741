/**
 * One runtime per node: the tree of actors, asks with deadlines to any of them on any node, and the
 * streams between. Local messages are handed over by reference; remote ones travel in envelopes.
 */
import { start, spawn, stop } from 'nact';
import { assert } from '../../model/assert.ts';
import { StarlingError, toStarlingError } from '../../model/errors.ts';
import type { InstanceId } from '../../model/ids.ts';
import type { Clock, Log } from '../../platform/platform.ts';
import { Cell, type NactRef } from './cell.ts';
import type { InboundAsk } from './inbound.ts';
import { Peers, type PeersOptions } from './peers.ts';
import { ReplyGate } from './reply.ts';
import type {
  ActorAddress,
  ActorOptions,
  ActorStatus,
  AskOptions,
  Call,
  Message,
  OutgoingMessage,
  PayloadCodec,
} from './types.ts';

/** More children would slow their parent down: nact copies the map of them for every message. */
export const CHILDREN_MAX = 100;

export interface RuntimeOptions extends Omit<PeersOptions, 'onAsk'> {
  /** Unique per node and boot: nact's table of systems is global to the process. */
  readonly systemName: string;
  readonly onEscalate: (path: string, cause: unknown) => void;
  /** How the message types that may be sent to other instances travel, and what they answer. */
  readonly codecs: ReadonlyMap<string, PayloadCodec>;
}

export class ActorRuntime {
  readonly self: InstanceId;
  readonly clock: Clock;
  readonly #log: Log;
  readonly #options: RuntimeOptions;
  readonly #system: NactRef;
  readonly #parents = new Map<string, { readonly ref: NactRef; children: number }>();
  readonly #cells = new Map<string, Cell<Message>>();
  readonly peers: Peers;

  constructor(options: RuntimeOptions) {
    this.self = options.self;
    this.clock = options.clock;
    this.#log = options.log;
    this.#options = options;
    this.#system = start({ name: options.systemName } as Parameters<typeof start>[0]); // its types forgot `name`
    this.#parents.set('', { ref: this.#system, children: 0 });
    this.peers = new Peers({
      ...options,
      onAsk: (from, ask, reply) => this.#serve(from, ask, reply),
    });
  }

  /** Starts an actor. Its path must be free; parents are made as needed. */
  spawn<Own extends Message>(options: ActorOptions<Own>): void {
    const { path } = options;
    assert(/^(\/[a-z0-9-]+){1,2}$/.test(path), `runtime: bad path ${path}`);
    assert(!this.#cells.has(path), `runtime: ${path} exists`);
    const parent = this.#parent(path.slice(0, path.lastIndexOf('/')));
    parent.children++;
    assert(parent.children <= CHILDREN_MAX, `runtime: too many children of the parent of ${path}`);
    const { clock } = this;
    const seams = { clock, log: this.#log, onEscalate: this.#options.onEscalate };
    const cell = new Cell<Own>(parent.ref, options, seams);
    this.#cells.set(path, cell); // only messages of `Own` are sent to this path
  }

  /** Sends a message to a local actor. Throws `node.overloaded` when it cannot be admitted. */
  tell(path: string, message: OutgoingMessage): void {
    this.#cell(path).send(message);
  }

  /** Asks an actor anywhere. `message` has no `reply` yet; with `onFrame` the answer is a stream. */
  ask<Answer>(
    to: ActorAddress,
    message: OutgoingMessage,
    options: AskOptions,
    onFrame?: (bytes: Uint8Array) => void,
  ): Call<Answer> {
    try {
      return to.instance === this.self
        ? this.#askHere(to.path, message, options, onFrame)
        : this.#askThere(to, message, options, onFrame);
    } catch (error) {
      return { done: Promise.reject(toStarlingError(error)), cancel: () => undefined };
    }
  }

  /** Asks over the control lane by address alone: for seeds, and probes of a certain address. */
  askAddress<Answer>(
    address: string,
    path: string,
    message: OutgoingMessage,
    timeoutMs: number,
  ): Promise<Answer> {
    try {
      const codec = this.#codec(message.type);
      const link = this.peers.linkToAddress(address, 'control');
      const call = link.call({
        path,
        type: message.type,
        payload: codec.encodeMessage(message),
        timeoutMs,
      });
      return call.done.then((bytes) => decodeAnswer(codec, bytes, address) as Answer);
    } catch (error) {
      return Promise.reject(toStarlingError(error));
    }
  }

  statuses(): readonly ActorStatus[] {
    return [...this.#cells.values()].map((cell) => cell.status);
  }

  /** Stops the actors and cuts the streams. */
  async stop(): Promise<void> {
    await this.peers.close();
    for (const cell of this.#cells.values()) cell.stop();
    stop(this.#system);
  }

  #parent(path: string): { readonly ref: NactRef; children: number } {
    const known = this.#parents.get(path);
    if (known !== undefined) return known;
    const made = { ref: spawn(this.#system, () => 0, path.slice(1)), children: 0 };
    this.#parents.set(path, made);
    return made;
  }

  #cell(path: string): Cell<Message> {
    const cell = this.#cells.get(path);
    if (cell === undefined)
      throw new StarlingError('node.unimplemented', { what: `the actor ${path}` });
    return cell;
  }

  #codec(type: string): PayloadCodec {
    const codec = this.#options.codecs.get(type);
    if (codec === undefined)
      throw new StarlingError('node.unimplemented', { what: `sending ${type} to an instance` });
    return codec;
  }

  #askHere<Answer>(
    path: string,
    message: OutgoingMessage,
    { timeoutMs }: AskOptions,
    onFrame?: (bytes: Uint8Array) => void,
  ): Call<Answer> {
    const cell = this.#cell(path);
    let cancel: () => void = () => undefined;
    const done = new Promise<Answer>((resolve, reject) => {
      const settle = (action: () => void): void => {
        timer.cancel();
        action();
      };
      const gate = new ReplyGate({
        answer: (value) => settle(() => resolve(value as Answer)),
        error: (error) => settle(() => reject(error)),
        frame: (bytes) => {
          onFrame?.(bytes);
          return Promise.resolve();
        },
      });
      const abandon = (errorOf: () => StarlingError): void => {
        if (gate.isAnswered || gate.isCancelled) return;
        gate.cancel();
        settle(() => reject(errorOf()));
      };
      const timer = this.clock.after(timeoutMs, () => {
        const what = `${message.type} at ${path}`;
        abandon(() => new StarlingError('request.deadline', { what, timeoutMs }));
      });
      cancel = () => abandon(() => new StarlingError('request.canceled', undefined));
      try {
        cell.send({ ...message, reply: gate, from: this.self } as Message);
      } catch (error) {
        settle(() => reject(toStarlingError(error)));
      }
    });
    return { done, cancel };
  }

  #askThere<Answer>(
    to: ActorAddress,
    message: OutgoingMessage,
    { lane, timeoutMs }: AskOptions,
    onFrame?: (bytes: Uint8Array) => void,
  ): Call<Answer> {
    const codec = this.#codec(message.type);
    const link = this.peers.linkTo(to.instance, lane);
    const payload = codec.encodeMessage(message);
    const call = link.call({ path: to.path, type: message.type, payload, timeoutMs }, onFrame);
    return {
      done: call.done.then((bytes) => decodeAnswer(codec, bytes, to.instance) as Answer),
      cancel: call.cancel,
    };
  }

  /** A peer's ask: only a declared type, decoded and checked, is admitted. */
  #serve(from: InstanceId, ask: InboundAsk, reply: ReplyGate): (answer: unknown) => Uint8Array {
    const cell = this.#cell(ask.path);
    const codec = cell.options.remote?.get(ask.type);
    if (codec === undefined) {
      const what = `${ask.type.slice(0, 64)} from another instance at ${ask.path}`;
      throw new StarlingError('node.unimplemented', { what });
    }
    const message = decodeMessage(codec, ask.payload);
    cell.send({ ...message, type: ask.type, reply, from } as Message);
    return (answer) => codec.encodeAnswer(answer);
  }
}

/** Whatever a decoder throws about bytes from outside is about the bytes. */
function decodeMessage(codec: PayloadCodec, bytes: Uint8Array): Message {
  try {
    return codec.decodeMessage(bytes);
  } catch (error) {
    if (error instanceof StarlingError) throw error;
    throw new StarlingError('protobuf.corrupt', { why: 'a malformed payload', offset: 0 }, error);
  }
}

/** A malformed answer is a failure of the peer, not of the request. */
function decodeAnswer(codec: PayloadCodec, bytes: Uint8Array, instance: string): unknown {
  try {
    return codec.decodeAnswer(bytes);
  } catch (error) {
    const why = 'its answer is malformed';
    throw new StarlingError('node.unreachable', { instance, why }, error);
  }
}
