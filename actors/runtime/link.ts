/**
 * A link: one stream to one peer, used by one lane, both ways. Outgoing envelopes that are ready
 * together travel together (one turn of the loop, at most about a megabyte a frame); asks are matched
 * by counter ids; answers in frames flow under credit, so a slow reader holds only its own answer.
 *
 *   ask     path, type, payload          -> answer | error
 *   stream  path, type, payload          -> frame* (each spends a credit) then answer | error
 *   credit  n more frames                cancel   nobody waits any more
 *
 * When the stream breaks, every ask over it fails at once with `node.unreachable`, and every ask it
 * carried in is cancelled.
 */
import {
  type ErrorFacts,
  type ErrorId,
  StarlingError,
  errorCatalogue,
} from '../../model/errors.ts';
import type { Clock, Log, RpcStream, Timer } from '../../platform/platform.ts';
import { packControl, unpackControl } from './payload.ts';
import { ReplyGate } from './reply.ts';
import type { Call, Envelope, EnvelopeCodec, EnvelopeKind } from './types.ts';

export const PROTOCOL_VERSION = 1;
export const FRAME_BYTES_MAX = 1024 * 1024;
/** Envelopes waiting for the stream, in bytes, before new asks are refused. */
export const LINK_PENDING_BYTES_MAX = 32 * 1024 * 1024;
/** Frames an answer may be ahead of its reader. */
export const STREAM_CREDIT = 4;
export const ASKS_PER_LINK_MAX = 10_000;
const NO_BYTES = new Uint8Array(0);

/** What a peer asks of us over a link. */
export interface InboundAsk {
  readonly kind: 'ask' | 'stream' | 'tell';
  readonly path: string;
  readonly type: string;
  readonly payload: Uint8Array;
}

export interface LinkOptions {
  readonly stream: RpcStream;
  readonly codec: EnvelopeCodec;
  readonly clock: Clock;
  readonly log: Log;
  readonly peer: string;
  /** Handles an ask; a throw becomes its error. `encodeAnswer` is returned for the answer's bytes. */
  readonly onAsk: (ask: InboundAsk, reply: ReplyGate) => (answer: unknown) => Uint8Array;
  readonly onHello: (payload: Uint8Array) => void;
  readonly onClose: (why: string) => void;
}

interface OutgoingAsk {
  readonly timer: Timer;
  readonly resolve: (payload: Uint8Array) => void;
  readonly reject: (error: StarlingError) => void;
  readonly onFrame: ((bytes: Uint8Array) => void) | undefined;
}

interface IncomingAsk {
  readonly gate: ReplyGate;
  readonly timer: Timer;
  credit: number;
  /** Frames that wait for credit: the handler awaits them, so there is one at a time. */
  readonly waiting: (() => void)[];
}

export class Link {
  readonly #options: LinkOptions;
  readonly #outgoing = new Map<number, OutgoingAsk>();
  readonly #incoming = new Map<number, IncomingAsk>();
  #ready: Envelope[] = [];
  #readyBytes = 0;
  #isFlushPlanned = false;
  #isBlocked = false;
  #isClosed = false;
  #nextId = 1;

  constructor(options: LinkOptions) {
    this.#options = options;
    const { stream } = options;
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

  get pendingBytes(): number {
    return this.#readyBytes;
  }

  sendHello(payload: Uint8Array): void {
    this.#post('hello', { payload });
  }

  tell(path: string, type: string, payload: Uint8Array): void {
    if (!this.#isClosed && this.#readyBytes < LINK_PENDING_BYTES_MAX)
      this.#post('tell', { path, type, payload });
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
        const what = `${ask.type} at ${this.#options.peer}`;
        this.#abandon(id, new StarlingError('request.deadline', { what, timeoutMs }));
      });
      this.#outgoing.set(id, { timer, resolve, reject, onFrame });
    });
    const kind = onFrame === undefined ? 'ask' : 'stream';
    this.#post(kind, {
      ...target,
      correlationId: id,
      remainingMs: Math.max(1, Math.ceil(timeoutMs)),
    });
    return {
      done,
      cancel: () => this.#abandon(id, new StarlingError('request.canceled', undefined)),
    };
  }

  close(why: string): void {
    this.#flush();
    this.#options.stream.close(why);
  }

  #refusal(): StarlingError | undefined {
    const { peer } = this.#options;
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
    const envelope: Envelope = {
      correlationId: 0,
      path: '',
      type: '',
      remainingMs: 0,
      payload: NO_BYTES,
      ...parts,
      version: PROTOCOL_VERSION,
      kind,
    };
    this.#ready.push(envelope);
    this.#readyBytes += envelope.payload.length + 64;
    if (this.#isFlushPlanned) return;
    this.#isFlushPlanned = true;
    this.#options.clock.nextTurn(() => this.#flush());
  }

  #flush(): void {
    this.#isFlushPlanned = false;
    let from = 0;
    while (from < this.#ready.length && !this.#isBlocked && !this.#isClosed) {
      let to = from;
      let bytes = 0;
      while (to < this.#ready.length && (to === from || bytes < FRAME_BYTES_MAX)) {
        bytes += this.#ready[to]!.payload.length + 64;
        to++;
      }
      this.#readyBytes -= bytes;
      this.#isBlocked = !this.#options.stream.send(
        this.#options.codec.encode(this.#ready.slice(from, to)),
      );
      from = to;
    }
    this.#ready = from === this.#ready.length ? [] : this.#ready.slice(from);
  }

  #receive(frame: Uint8Array): void {
    let envelopes: readonly Envelope[];
    try {
      envelopes = this.#options.codec.decode(frame);
    } catch (error) {
      this.#options.stream.close(`a malformed frame: ${String(error)}`);
      return;
    }
    for (const envelope of envelopes) {
      if (this.#isClosed) return; // a refused hello, say: what came with it is not looked at
      this.#dispatch(envelope);
    }
  }

  #dispatch(envelope: Envelope): void {
    const { correlationId, payload } = envelope;
    switch (envelope.kind) {
      case 'answer':
        this.#settle(correlationId)?.resolve(payload);
        break;
      case 'ask':
      case 'stream':
      case 'tell':
        this.#serve(envelope, envelope.kind);
        break;
      case 'cancel':
        this.#incoming.get(correlationId)?.gate.cancel();
        this.#forget(correlationId);
        break;
      case 'credit':
        this.#grant(correlationId, envelope.remainingMs);
        break;
      case 'error':
        this.#settle(correlationId)?.reject(decodeError(envelope.type, payload));
        break;
      case 'frame': {
        const ask = this.#outgoing.get(correlationId);
        if (ask?.onFrame === undefined) break;
        ask.onFrame(payload);
        this.#post('credit', { correlationId, remainingMs: 1 });
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

  #serve(envelope: Envelope, kind: InboundAsk['kind']): void {
    const { correlationId: id, path, payload, remainingMs, type } = envelope;
    let encodeAnswer: (answer: unknown) => Uint8Array = () => NO_BYTES;
    const gate = new ReplyGate({
      answer: (value) => {
        this.#forget(id);
        if (kind !== 'tell')
          this.#post('answer', { correlationId: id, payload: encodeAnswer(value) });
      },
      error: (error) => {
        this.#forget(id);
        if (kind !== 'tell') this.#post('error', { correlationId: id, ...encodeError(error) });
      },
      frame: (bytes) => this.#sendFrame(id, bytes),
    });
    if (kind !== 'tell') {
      const timer = this.#options.clock.after(Math.max(1, remainingMs), () => {
        gate.cancel();
        this.#forget(id);
      });
      this.#incoming.set(id, { gate, timer, credit: STREAM_CREDIT, waiting: [] });
    }
    try {
      encodeAnswer = this.#options.onAsk({ kind, path, type, payload }, gate);
    } catch (error) {
      gate.failOnce(
        error instanceof StarlingError
          ? (error as StarlingError)
          : new StarlingError('internal', undefined, error),
      );
    }
  }

  #sendFrame(id: number, payload: Uint8Array): Promise<void> {
    const ask = this.#incoming.get(id);
    if (ask === undefined) return Promise.reject(new StarlingError('request.canceled', undefined));
    ask.credit--;
    this.#post('frame', { correlationId: id, payload });
    if (ask.credit > 0) return Promise.resolve();
    return new Promise((resolve) => ask.waiting.push(resolve));
  }

  #grant(id: number, frames: number): void {
    const ask = this.#incoming.get(id);
    if (ask === undefined) return;
    ask.credit = Math.min(ask.credit + frames, STREAM_CREDIT);
    while (ask.credit > 0 && ask.waiting.length > 0) ask.waiting.shift()?.();
  }

  /** Drops an incoming ask; a handler that waits for credit goes on and finds it cancelled. */
  #forget(id: number): void {
    const ask = this.#incoming.get(id);
    if (ask === undefined) return;
    this.#incoming.delete(id);
    ask.timer.cancel();
    for (const resume of ask.waiting) resume();
  }

  #closed(why: string): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#ready = [];
    this.#readyBytes = 0;
    const { peer } = this.#options;
    for (const ask of this.#outgoing.values()) {
      ask.timer.cancel();
      ask.reject(new StarlingError('node.unreachable', { instance: peer, why }));
    }
    this.#outgoing.clear();
    for (const [id, ask] of [...this.#incoming]) {
      ask.gate.cancel();
      this.#forget(id);
    }
    this.#options.onClose(why);
  }
}

function encodeError(error: StarlingError): {
  readonly type: string;
  readonly payload: Uint8Array;
} {
  const facts: unknown = error.facts;
  return { type: error.id, payload: packControl(facts ?? {}) };
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
