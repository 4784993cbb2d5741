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
  /**
   * The message types that other instances may send, with decoders that check every field. Any other
   * type is answered `node.unimplemented` and never reaches the actor.
   */
  readonly remote?: ReadonlyMap<string, PayloadCodec>;
  /** False: the first fault stops the actor for good and is escalated. */
  readonly canRestart?: boolean;
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

/** How one message type crosses between nodes. What arrives is hostile: decoders check all of it. */
export interface PayloadCodec {
  readonly encodeMessage: (message: Message) => Uint8Array;
  /** Throws `protobuf.corrupt`. */
  readonly decodeMessage: (bytes: Uint8Array) => Message;
  readonly encodeAnswer: (answer: unknown) => Uint8Array;
  /** Throws `protobuf.corrupt`. */
  readonly decodeAnswer: (bytes: Uint8Array) => unknown;
}

/** A hello that was not accepted: `why` for people, `reply` for the peer before the stream closes. */
export interface RefusedHello {
  readonly refused: string;
  readonly why: string;
  readonly reply: Uint8Array | undefined;
}

/** How two ends of a stream prove to each other who they are. None of the calls throws. */
export interface Hellos {
  /** The dialler's half, to one instance, or to whoever answers. */
  readonly dial: (target: InstanceId | undefined) => {
    readonly first: Uint8Array;
    receive(
      answer: Uint8Array,
    ): { readonly peer: { readonly id: InstanceId }; readonly last: Uint8Array } | RefusedHello;
  };
  /** The acceptor's half, for one stream. */
  readonly accept: () => {
    receive(
      message: Uint8Array,
    ):
      | { readonly reply: Uint8Array }
      | { readonly peer: { readonly id: InstanceId } }
      | RefusedHello;
  };
}

export type EnvelopeKind =
  'answer' | 'ask' | 'cancel' | 'credit' | 'error' | 'frame' | 'hello' | 'stream';

/** One message between two nodes. */
export interface Envelope {
  readonly version: number;
  readonly kind: EnvelopeKind;
  /** Names the ask that this belongs to, unique per stream and direction. */
  readonly correlationId: number;
  /** Target path of an ask or stream; else ''. */
  readonly path: string;
  /** Message type of an ask or stream; error id of an error. */
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
