/**
 * The actor runtime's vocabulary. A role is an object with `receive`; it owns its state, never awaits,
 * and replies exactly once to every ask. What is started completes as another message.
 */
import type { StarlingError } from '../../model/errors.ts';
import type { InstanceId } from '../../model/ids.ts';
import type { Lane } from '../../platform/platform.ts';

/** The answer to one ask. Exactly one of `ok` and `fail`, once; a second call is a programmer error. */
export interface Reply<Answer> {
  ok(answer: Answer): void;
  fail(error: StarlingError): void;
  /** True when nobody waits any more: cancelled, or the deadline passed. */
  readonly isCancelled: boolean;
  /** Fires at most once, also when it is cancelled already. */
  onCancel(callback: () => void): void;
}

/** An answer in frames. `frame` resolves when the asker has room for more; `end` or `fail` closes it. */
export interface StreamReply<Summary> {
  frame(bytes: Uint8Array): Promise<void>;
  end(summary: Summary): void;
  fail(error: StarlingError): void;
  readonly isCancelled: boolean;
  onCancel(callback: () => void): void;
}

/** Any message; asks carry `reply`, and `from`: the instance that the asker proved to be. */
export interface Message {
  readonly type: string;
}

/** A message to be sent, as a literal; the runtime adds `reply`. */
export type OutgoingMessage = { readonly type: string; readonly [field: string]: unknown };

export interface ActorContext<Own extends Message> {
  readonly path: string;
  /** Sends a message to this very actor: how completions come back. */
  tell(message: Own): void;
  /** Turns a promise into a message; a rejection too. */
  pipe<Value>(
    work: Promise<Value>,
    done: (value: Value) => Own,
    failed: (error: StarlingError) => Own,
  ): void;
  /** Tells the message every `intervalMs` until the actor stops or restarts. */
  every(intervalMs: number, message: () => Own): void;
}

export interface Actor<Own extends Message> {
  receive(message: Own): void;
  /** Releases what it owns; called on stop and before a restart. */
  stop?(): void;
}

export interface ActorOptions<Own extends Message> {
  /** '/role' or '/role/shard'. */
  readonly path: string;
  readonly create: (context: ActorContext<Own>) => Actor<Own>;
  /** Messages admitted and not yet handled, at most; over it an ask is `node.overloaded`. */
  readonly mailboxMax: number;
}

/** Where an actor lives. */
export interface ActorAddress {
  readonly instance: InstanceId;
  readonly path: string;
}

export interface AskOptions {
  readonly timeoutMs: number;
  readonly lane: Lane;
}

/** A call in flight. `cancel` makes `done` reject with `request.canceled` and reaches the handler. */
export interface Call<Answer> {
  readonly done: Promise<Answer>;
  readonly cancel: () => void;
}

/** How one message type crosses between nodes. Absent: msgpack of the message without `reply`. */
export interface PayloadCodec {
  readonly encodeMessage: (message: Message) => Uint8Array;
  readonly decodeMessage: (bytes: Uint8Array) => Message;
  readonly encodeAnswer: (answer: unknown) => Uint8Array;
  readonly decodeAnswer: (bytes: Uint8Array) => unknown;
}

export type EnvelopeKind =
  'answer' | 'ask' | 'cancel' | 'credit' | 'error' | 'frame' | 'hello' | 'stream' | 'tell';

/** One message between two nodes. */
export interface Envelope {
  readonly version: number;
  readonly kind: EnvelopeKind;
  /** Names the ask that this belongs to, unique per stream and direction. */
  readonly correlationId: number;
  /** Target path of an ask, stream or tell; else ''. */
  readonly path: string;
  /** Message type of an ask, stream or tell; error id of an error. */
  readonly type: string;
  /** Milliseconds the asker still waits; 0 for none. For credit: frames granted. */
  readonly remainingMs: number;
  readonly payload: Uint8Array;
}

export interface EnvelopeCodec {
  encode(envelopes: readonly Envelope[]): Uint8Array;
  /** Throws `protobuf.corrupt`. */
  decode(frame: Uint8Array): readonly Envelope[];
}

/** What one actor did, for metrics. */
export interface ActorStatus {
  readonly path: string;
  readonly depth: number;
  readonly handled: number;
  readonly failed: number;
  readonly shed: number;
  readonly restarts: number;
  readonly state: 'restarting' | 'running' | 'stopped';
}
