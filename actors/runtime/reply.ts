/**
 * The answering side of one ask: a small gate that opens once. It knows whether anybody still waits
 * (cancelled, deadline), lets the handler answer exactly once, and hands frames on under credit.
 */
import { assert } from '../../model/assert.ts';
import { StarlingError } from '../../model/errors.ts';
import type { Reply, StreamReply } from './types.ts';

/** Where an answer goes: the local asker, or a stream to another node. */
export interface ReplySink {
  answer(value: unknown): void;
  error(error: StarlingError): void;
  /** Resolves when another frame may follow. */
  frame(bytes: Uint8Array): Promise<void>;
}

export class ReplyGate implements Reply<unknown>, StreamReply<unknown> {
  readonly #sink: ReplySink;
  #isAnswered = false;
  #isCancelled = false;
  #onCancel: (() => void)[] = [];

  constructor(sink: ReplySink) {
    this.#sink = sink;
  }

  get isCancelled(): boolean {
    return this.#isCancelled;
  }

  get isAnswered(): boolean {
    return this.#isAnswered;
  }

  ok(value: unknown): void {
    this.#close();
    if (!this.#isCancelled) this.#sink.answer(value);
  }

  end(summary: unknown): void {
    this.ok(summary);
  }

  fail(error: StarlingError): void {
    this.#close();
    if (!this.#isCancelled) this.#sink.error(error);
  }

  /** For the runtime: fails the ask unless its handler answered before it broke. */
  failOnce(error: StarlingError): void {
    if (!this.#isAnswered) this.fail(error);
  }

  frame(bytes: Uint8Array): Promise<void> {
    assert(!this.#isAnswered, 'reply: a frame after the answer');
    if (this.#isCancelled) return Promise.reject(new StarlingError('request.canceled', undefined));
    return this.#sink.frame(bytes);
  }

  onCancel(callback: () => void): void {
    if (this.#isCancelled) callback();
    else this.#onCancel.push(callback);
  }

  /** Nobody waits any more. Idempotent. */
  cancel(): void {
    if (this.#isCancelled || this.#isAnswered) return;
    this.#isCancelled = true;
    const callbacks = this.#onCancel;
    this.#onCancel = [];
    for (const callback of callbacks) callback();
  }

  #close(): void {
    assert(!this.#isAnswered, 'reply: answered twice');
    this.#isAnswered = true;
    this.#onCancel = [];
  }
}
