/**
 * The asks that one stream carried in, from admission to their answer. A peer may have only so many
 * open, of only so many bytes, for only so long; its correlation ids rise, so none is ever mistaken
 * for another. Frames of an answer leave under credit.
 *
 *   ask -> admitted -> answer | error           over a bound: error `node.overloaded`, nothing is kept
 *                   -> cancelled                (by the peer, its deadline, or the end of the stream)
 */
import { StarlingError, toStarlingError } from '../../model/errors.ts';
import type { Clock, Timer } from '../../platform/platform.ts';
import { packControl } from './payload.ts';
import { ReplyGate } from './reply.ts';
import type { Envelope, EnvelopeKind } from './types.ts';

/** Asks of one stream that may be open. */
export const INBOUND_ASKS_MAX = 10_000;
/** Bytes of them; a single ask over it is still admitted when it is alone. */
export const INBOUND_BYTES_MAX = 64 * 1024 * 1024;
/** Bytes of the asks of all streams of this node. */
export const NODE_INBOUND_BYTES_MAX = 512 * 1024 * 1024;
/** No handler works longer for a peer, whatever the peer says. */
export const INBOUND_TIMEOUT_MAX_MS = 10 * 60_000;
/** Frames an answer may be ahead of its reader. */
export const STREAM_CREDIT = 4;

/** What a peer asks of us over a link. */
export interface InboundAsk {
  readonly kind: 'ask' | 'stream';
  readonly path: string;
  readonly type: string;
  readonly payload: Uint8Array;
}

/** What the streams of one node share: bytes of asks that are open. */
export interface InboundBudget {
  usedBytes: number;
}

export interface InboundOptions {
  readonly budget: InboundBudget;
  readonly clock: Clock;
  readonly peer: () => string;
  /** Handles an ask; a throw becomes its error. What it returns encodes the answer. */
  readonly onAsk: (ask: InboundAsk, reply: ReplyGate) => (answer: unknown) => Uint8Array;
  readonly post: (kind: EnvelopeKind, parts: Partial<Envelope>) => void;
  /** The peer broke the protocol. */
  readonly onBreach: (why: string) => void;
}

interface OpenAsk {
  readonly gate: ReplyGate;
  readonly timer: Timer;
  readonly byteCount: number;
  credit: number;
  /** Frames that wait for credit: the handler awaits them, so there is one at a time. */
  readonly waiting: (() => void)[];
}

/** Owns the asks of one stream. */
export class Inbound {
  readonly #options: InboundOptions;
  readonly #open = new Map<number, OpenAsk>();
  #byteCount = 0;
  #lastId = 0;

  constructor(options: InboundOptions) {
    this.#options = options;
  }

  /** Asks that are open. */
  get openCount(): number {
    return this.#open.size;
  }

  serve(envelope: Envelope, kind: InboundAsk['kind']): void {
    const { correlationId: id, path, payload, type } = envelope;
    if (id <= this.#lastId) {
      this.#options.onBreach(`correlation id ${id} after ${this.#lastId}`);
      return;
    }
    this.#lastId = id;
    const refusal = this.#refusal(payload.length);
    if (refusal !== undefined) {
      this.#postError(id, refusal);
      return;
    }
    let encodeAnswer: ((answer: unknown) => Uint8Array) | undefined;
    const gate = new ReplyGate({
      answer: (value) => this.#answer(id, value, encodeAnswer),
      error: (error) => {
        this.#forget(id);
        this.#postError(id, error);
      },
      frame: (bytes) => this.#sendFrame(id, bytes),
    });
    this.#admit(envelope, gate);
    try {
      encodeAnswer = this.#options.onAsk({ kind, path, type, payload }, gate);
    } catch (error) {
      gate.failOnce(toStarlingError(error));
    }
  }

  /** Nobody waits for the ask any more. */
  cancel(id: number): void {
    this.#open.get(id)?.gate.cancel();
    this.#forget(id);
  }

  grant(id: number, frames: number): void {
    const ask = this.#open.get(id);
    if (ask === undefined) return;
    ask.credit = Math.min(ask.credit + frames, STREAM_CREDIT);
    while (ask.credit > 0 && ask.waiting.length > 0) ask.waiting.shift()?.();
  }

  /** The stream ended. */
  cancelAll(): void {
    for (const id of [...this.#open.keys()]) this.cancel(id);
  }

  #refusal(byteCount: number): StarlingError | undefined {
    const peer = this.#options.peer();
    if (this.#open.size >= INBOUND_ASKS_MAX) {
      const what = `asks from ${peer}`;
      return new StarlingError('node.overloaded', { what, countMax: INBOUND_ASKS_MAX });
    }
    if (this.#byteCount > 0 && this.#byteCount + byteCount > INBOUND_BYTES_MAX) {
      const what = `bytes of asks from ${peer}`;
      return new StarlingError('node.overloaded', { what, countMax: INBOUND_BYTES_MAX });
    }
    if (this.#options.budget.usedBytes + byteCount > NODE_INBOUND_BYTES_MAX) {
      const what = 'bytes of asks from other instances';
      return new StarlingError('node.overloaded', { what, countMax: NODE_INBOUND_BYTES_MAX });
    }
    return undefined;
  }

  #admit({ correlationId: id, payload, remainingMs }: Envelope, gate: ReplyGate): void {
    const timeoutMs = Math.min(Math.max(1, remainingMs), INBOUND_TIMEOUT_MAX_MS);
    const timer = this.#options.clock.after(timeoutMs, () => this.cancel(id));
    const byteCount = payload.length;
    this.#byteCount += byteCount;
    this.#options.budget.usedBytes += byteCount;
    this.#open.set(id, { gate, timer, byteCount, credit: STREAM_CREDIT, waiting: [] });
  }

  #answer(id: number, value: unknown, encode: ((answer: unknown) => Uint8Array) | undefined): void {
    this.#forget(id);
    try {
      this.#options.post('answer', {
        correlationId: id,
        payload: encode === undefined ? packControl(value) : encode(value),
      });
    } catch (error) {
      this.#postError(id, toStarlingError(error)); // an answer that cannot be encoded is answered too
    }
  }

  #postError(id: number, error: StarlingError): void {
    const facts: unknown = error.facts;
    this.#options.post('error', {
      correlationId: id,
      type: error.id,
      payload: packControl(facts ?? {}),
    });
  }

  #sendFrame(id: number, payload: Uint8Array): Promise<void> {
    const ask = this.#open.get(id);
    if (ask === undefined) return Promise.reject(new StarlingError('request.canceled', undefined));
    ask.credit--;
    this.#options.post('frame', { correlationId: id, payload });
    if (ask.credit > 0) return Promise.resolve();
    return new Promise((resolve) => ask.waiting.push(resolve));
  }

  /** Drops an ask; a handler that waits for credit goes on and finds it cancelled. */
  #forget(id: number): void {
    const ask = this.#open.get(id);
    if (ask === undefined) return;
    this.#open.delete(id);
    this.#byteCount -= ask.byteCount;
    this.#options.budget.usedBytes -= ask.byteCount;
    ask.timer.cancel();
    for (const resume of ask.waiting) resume();
  }
}
