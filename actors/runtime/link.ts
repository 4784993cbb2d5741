/**
 * A link: one stream to one peer, used by one lane, both ways. Outgoing envelopes that are ready
 * together travel together (in one turn of the loop; of reads, in what one callback brings about; at most about a
 * megabyte a frame); asks are matched by counter ids; answers in frames flow under credit, so a slow reader holds only its own answer.
 *
 *   ask     path, type, payload          -> answer | error
 *   stream  path, type, payload          -> frame* (each spends a credit) then answer | error
 *   credit  n more frames                cancel   nobody waits any more
 *
 *   opening --hello accepted both ways--> open --> closed
 *
 * While it opens, nothing but hellos is read or sent, in small frames; asks wait, within their bounds
 * and deadlines. When the stream breaks, every ask over it fails at once with `node.unreachable`, and every ask it
 * carried in is cancelled.
 */
import {
  type ErrorFacts,
  type ErrorId,
  StarlingError,
  errorCatalogue,
} from '../../model/errors.ts';
import type { Clock, Log, RpcStream, Timer } from '../../platform/platform.ts';
import { Inbound, type InboundAsk, type InboundBudget, STREAM_CREDIT } from './inbound.ts';
import { unpackControl } from './payload.ts';
import type { ReplyGate } from './reply.ts';
import type { Call, Envelope, EnvelopeCodec, EnvelopeKind } from './types.ts';

export const PROTOCOL_VERSION = 1;
export const FRAME_BYTES_MAX = 1024 * 1024;
/** Envelopes waiting for the stream, in bytes, before new asks are refused. */
export const LINK_PENDING_BYTES_MAX = 32 * 1024 * 1024;
/** Envelopes waiting for the stream, in bytes, before a peer that does not read is cut off. */
export const LINK_QUEUE_BYTES_MAX = 256 * 1024 * 1024;
/** Envelopes of so many bytes are handled in one turn of the loop; what else arrived waits for the next. */
const RECEIVE_BYTES_PER_TURN = 128 * 1024;
/** Beyond so many that wait nothing waits: a peer cannot fill this node's memory. */
const RECEIVE_WAITING_BYTES_MAX = 8 * 1024 * 1024;
/** A frame before the hello. */
export const HELLO_FRAME_BYTES_MAX = 1024;
export const ASKS_PER_LINK_MAX = 10_000;
/** Credit is given for so many frames at once: a short answer needs none. */
const FRAMES_PER_CREDIT = STREAM_CREDIT / 2;
/** Correlation ids end here; a new stream begins again. */
const CORRELATION_ID_MAX = 0xffffffff;
const NO_BYTES = new Uint8Array(0);

export interface LinkOptions {
  readonly stream: RpcStream;
  readonly codec: EnvelopeCodec;
  readonly clock: Clock;
  readonly log: Log;
  /** Who is at the other end, as far as it is known. */
  readonly peer: string;
  readonly inboundBudget: InboundBudget;
  /** Handles an ask; a throw becomes its error. `encodeAnswer` is returned for the answer's bytes. */
  readonly onAsk: (ask: InboundAsk, reply: ReplyGate) => (answer: unknown) => Uint8Array;
  /** A message of the hello; `open` or `refuse` follow in time. */
  readonly onHello: (payload: Uint8Array) => void;
  /** The peer broke the rules before the link was open; the stream closes. */
  readonly onEarlyBreach: (why: string) => void;
  readonly onClose: (why: string) => void;
}

interface OutgoingAsk {
  readonly timer: Timer;
  readonly resolve: (payload: Uint8Array) => void;
  readonly reject: (error: StarlingError) => void;
  readonly onFrame: ((bytes: Uint8Array) => void) | undefined;
  /** Frames that came since the peer was last given credit. */
  framesUnpaid: number;
}

export class Link {
  readonly #options: LinkOptions;
  readonly #outgoing = new Map<number, OutgoingAsk>();
  readonly #inbound: Inbound;
  #peer: string;
  #isOpen = false;
  #ready: Envelope[] = [];
  #readyBytes = 0;
  #isFlushPlanned = false;
  /** What arrived and was not handled yet, in order. */
  #arrived: Envelope[] = [];
  #firstArrived = 0;
  #arrivedBytes = 0;
  #isHandlingPlanned = false;
  #isBlocked = false;
  #isBroken = false;
  #isClosed = false;
  #nextId = 1;

  constructor(options: LinkOptions) {
    this.#options = options;
    this.#peer = options.peer;
    const { clock, inboundBudget, onAsk, stream } = options;
    this.#inbound = new Inbound({
      budget: inboundBudget,
      clock,
      peer: () => this.#peer,
      onAsk,
      post: (kind, parts) => this.#post(kind, parts),
      onBreach: (why) => this.#breach(why),
    });
    stream.onFrame((frame) => this.#receive(frame));
    stream.onDrain(() => {
      this.#isBlocked = false;
      this.#flush();
    });
    stream.onClose((why) => this.#closed(why));
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  get isOpen(): boolean {
    return this.#isOpen && !this.#isClosed;
  }

  /** Asks that the peer has open here. */
  get inboundCount(): number {
    return this.#inbound.openCount;
  }

  /** Sends a message of the hello at once, in a frame of its own. */
  sendHello(payload: Uint8Array): void {
    if (this.#isClosed || this.#isOpen) return;
    this.#options.stream.send(this.#options.codec.encode([envelopeOf('hello', { payload })]));
  }

  /** The hello is done: what waits may leave. */
  open(peer: string): void {
    this.#peer = peer;
    this.#isOpen = true;
    this.#flush();
  }

  /** Asks; with `onFrame` the answer may come in frames first. */
  call(
    ask: {
      readonly path: string;
      readonly type: string;
      readonly payload: Uint8Array;
      readonly timeoutMs: number;
    },
    onFrame?: (bytes: Uint8Array) => void,
  ): Call<Uint8Array> {
    const refusal = this.#refusal();
    if (refusal !== undefined) return { done: Promise.reject(refusal), cancel: () => undefined };
    const id = this.#nextId++;
    const { timeoutMs, ...target } = ask;
    const done = new Promise<Uint8Array>((resolve, reject) => {
      const timer = this.#options.clock.after(timeoutMs, () => {
        const what = `${ask.type} at ${this.#peer}`;
        this.#options.log.probe?.('link.deadline');
        this.#abandon(id, new StarlingError('request.deadline', { what, timeoutMs }));
      });
      this.#outgoing.set(id, { timer, resolve, reject, onFrame, framesUnpaid: 0 });
    });
    const kind = onFrame === undefined ? 'ask' : 'stream';
    this.#post(kind, {
      ...target,
      correlationId: id,
      remainingMs: Math.max(1, Math.ceil(timeoutMs)),
    });
    return {
      done,
      cancel: () => {
        if (this.#outgoing.has(id))
          this.#abandon(id, new StarlingError('request.canceled', undefined));
      },
    };
  }

  close(why: string): void {
    this.#flush();
    this.#options.stream.close(why);
  }

  #refusal(): StarlingError | undefined {
    const peer = this.#peer;
    if (this.#nextId > CORRELATION_ID_MAX) this.close('its correlation ids are used up');
    if (this.#isClosed)
      return new StarlingError('node.unreachable', { instance: peer, why: 'the stream is closed' });
    if (this.#readyBytes >= LINK_PENDING_BYTES_MAX) {
      return new StarlingError('node.overloaded', {
        what: `bytes waiting for ${peer}`,
        countMax: LINK_PENDING_BYTES_MAX,
      });
    }
    if (this.#outgoing.size >= ASKS_PER_LINK_MAX) {
      return new StarlingError('node.overloaded', {
        what: `asks to ${peer}`,
        countMax: ASKS_PER_LINK_MAX,
      });
    }
    return undefined;
  }

  /** Gives an ask up and tells the peer. */
  #abandon(id: number, error: StarlingError): void {
    const ask = this.#outgoing.get(id);
    if (ask === undefined) return;
    this.#outgoing.delete(id);
    ask.timer.cancel();
    this.#post('cancel', { correlationId: id });
    ask.reject(error);
  }

  #post(kind: EnvelopeKind, parts: Partial<Envelope>): void {
    if (this.#isClosed) return;
    const envelope = envelopeOf(kind, parts);
    this.#ready.push(envelope);
    this.#readyBytes += bytesOf(envelope);
    if (this.#readyBytes > LINK_QUEUE_BYTES_MAX) {
      this.#breach('it does not read its answers');
      return;
    }
    if (this.#isFlushPlanned) return;
    this.#isFlushPlanned = true;
    const { clock, stream } = this.#options;
    // Who reads waits for each message; writes are many, and take less when more of them leave together.
    if (stream.lane === 'read') clock.afterPromises(() => this.#flush());
    else clock.nextTurn(() => this.#flush());
  }

  #flush(): void {
    this.#isFlushPlanned = false;
    if (!this.#isOpen) return;
    let from = 0;
    while (from < this.#ready.length && !this.#isBlocked && !this.#isClosed) {
      let to = from;
      let bytes = 0;
      while (to < this.#ready.length && (to === from || bytes < FRAME_BYTES_MAX)) {
        bytes += bytesOf(this.#ready[to]!);
        to++;
      }
      this.#readyBytes -= bytes;
      this.#isBlocked = !this.#options.stream.send(
        this.#options.codec.encode(this.#ready.slice(from, to)),
      );
      if (this.#isBlocked) this.#options.log.probe?.('link.pushed_back');
      from = to;
    }
    this.#ready = from === this.#ready.length ? [] : this.#ready.slice(from);
  }

  #receive(frame: Uint8Array): void {
    if (!this.#isOpen && frame.length > HELLO_FRAME_BYTES_MAX) {
      this.#breach(`a frame of ${frame.length} bytes before the hello`);
      return;
    }
    let envelopes: readonly Envelope[];
    try {
      envelopes = this.#options.codec.decode(frame);
    } catch (error) {
      this.#breach(`a malformed frame: ${String(error)}`);
      return;
    }
    const isWaiting = this.#firstArrived < this.#arrived.length;
    for (const envelope of envelopes) {
      this.#arrived.push(envelope);
      this.#arrivedBytes += bytesOf(envelope);
    }
    const isTooMuch = this.#arrivedBytes > RECEIVE_WAITING_BYTES_MAX;
    if (isTooMuch) this.#handleArrived(Infinity);
    else if (!isWaiting) this.#handleArrived(RECEIVE_BYTES_PER_TURN);
  }

  /** Handles what arrived, as much as one turn may hold. */
  #handleArrived(bytesMax: number): void {
    let bytes = 0;
    while (this.#firstArrived < this.#arrived.length && bytes < bytesMax) {
      const envelope = this.#arrived[this.#firstArrived++]!; // counted first: to handle it may end the stream
      bytes += bytesOf(envelope);
      this.#arrivedBytes -= bytesOf(envelope);
      this.#handle(envelope);
    }
    if (this.#firstArrived < this.#arrived.length) this.#planHandling();
    else {
      this.#arrived = [];
      this.#firstArrived = 0;
    }
  }

  #planHandling(): void {
    if (this.#isHandlingPlanned) return;
    this.#isHandlingPlanned = true;
    this.#options.clock.nextTurn(() => {
      this.#isHandlingPlanned = false;
      this.#handleArrived(RECEIVE_BYTES_PER_TURN);
    });
  }

  #handle(envelope: Envelope): void {
    if (this.#isClosed || this.#isBroken) return; // what came with a refused hello, say
    if (Math.abs(envelope.version - PROTOCOL_VERSION) > 1)
      this.#breach(`an envelope of protocol ${envelope.version}, this node ${PROTOCOL_VERSION}`);
    else if ((envelope.kind === 'hello') === this.#isOpen)
      this.#breach(this.#isOpen ? 'another hello' : `an ${envelope.kind} before the hello`);
    else this.#dispatch(envelope);
  }

  /** The peer does not keep to the protocol. */
  #breach(why: string): void {
    if (this.#isClosed || this.#isBroken) return;
    this.#isBroken = true;
    if (this.#isOpen) this.#options.log.warn('stream closed', { peer: this.#peer, why });
    else this.#options.onEarlyBreach(why);
    this.#options.stream.close(why);
  }

  #dispatch(envelope: Envelope): void {
    const { correlationId, payload } = envelope;
    switch (envelope.kind) {
      case 'answer':
        this.#settle(correlationId)?.resolve(payload);
        break;
      case 'ask':
      case 'stream':
        this.#inbound.serve(envelope, envelope.kind);
        break;
      case 'cancel':
        this.#inbound.cancel(correlationId);
        break;
      case 'credit':
        this.#inbound.grant(correlationId, envelope.remainingMs);
        break;
      case 'error':
        this.#settle(correlationId)?.reject(decodeError(envelope.type, payload));
        break;
      case 'frame': {
        const ask = this.#outgoing.get(correlationId);
        if (ask?.onFrame === undefined) break;
        ask.onFrame(payload);
        ask.framesUnpaid++;
        if (ask.framesUnpaid < FRAMES_PER_CREDIT) break;
        this.#post('credit', { correlationId, remainingMs: ask.framesUnpaid });
        ask.framesUnpaid = 0;
        break;
      }
      case 'hello':
        this.#options.onHello(payload);
        break;
    }
  }

  #settle(id: number): OutgoingAsk | undefined {
    const ask = this.#outgoing.get(id);
    this.#outgoing.delete(id);
    ask?.timer.cancel();
    return ask;
  }

  #closed(why: string): void {
    if (this.#isOpen) this.#handleArrived(Infinity); // what came before the end counts
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#ready = [];
    this.#readyBytes = 0;
    const peer = this.#peer;
    if (this.#outgoing.size > 0) this.#options.log.probe?.('link.asks_lost');
    for (const ask of this.#outgoing.values()) {
      ask.timer.cancel();
      ask.reject(new StarlingError('node.unreachable', { instance: peer, why }));
    }
    this.#outgoing.clear();
    this.#inbound.cancelAll();
    this.#options.onClose(why);
  }
}

/** Roughly what an envelope takes, here and on its way. */
function bytesOf({ path, payload, type }: Envelope): number {
  return payload.length + path.length + type.length + 64;
}

function envelopeOf(kind: EnvelopeKind, parts: Partial<Envelope>): Envelope {
  return {
    correlationId: 0,
    path: '',
    type: '',
    remainingMs: 0,
    payload: NO_BYTES,
    ...parts,
    version: PROTOCOL_VERSION,
    kind,
  };
}

/** An id this version does not know becomes `internal`. */
function decodeError(id: string, payload: Uint8Array): StarlingError {
  if (!Object.hasOwn(errorCatalogue, id)) return new StarlingError('internal', undefined, id);
  try {
    return new StarlingError(id as ErrorId, unpackControl(payload) as ErrorFacts<ErrorId>);
  } catch (error) {
    return new StarlingError('internal', undefined, error);
  }
}
