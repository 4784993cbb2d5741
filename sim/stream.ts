/**
 * One simulated stream: two ends, and a line of parcels each way that keeps its order however long
 * each parcel takes. A parcel is a frame or the end of the stream.
 *
 *   near ──[frame][frame][end]──> far       an end reports its close once, after what arrived before
 *
 * `send` answers false while more than `WINDOW_BYTES` wait to arrive; `onDrain` follows at half of it.
 */
import type { Lane, RpcStream } from '../platform/platform.ts';
import type { Loop, Owner } from './loop.ts';
import type { Trace } from './trace.ts';

const WINDOW_BYTES = 256 * 1024;

export interface StreamPairOptions {
  readonly loop: Loop;
  readonly trace: Trace;
  readonly lane: Lane;
  /** Who dials. */
  readonly owner: Owner;
  readonly localAddress: string;
  /** Who is dialled. */
  readonly address: string;
  readonly latencyMs: (isForward: boolean, byteCount: number) => number;
  readonly onGone: (end: StreamEnd) => void;
}

/** The dialling end, and the end that a listener will be given. */
export function createStreamPair(options: StreamPairOptions): readonly [StreamEnd, StreamEnd] {
  const { address, localAddress } = options;
  const near = new StreamEnd(options, { local: localAddress, remote: address, isForward: true });
  const far = new StreamEnd(options, { local: address, remote: localAddress, isForward: false });
  near.peer = far;
  far.peer = near;
  return [near, far];
}

interface Ends {
  readonly local: string;
  readonly remote: string;
  readonly isForward: boolean;
}

type Parcel = { readonly frame: Uint8Array } | { readonly end: string };

export class StreamEnd implements RpcStream {
  readonly lane: Lane;
  readonly remoteAddress: string;
  readonly listenAddress: string;
  readonly localIp: string;
  readonly remoteIp: string;
  peer: StreamEnd | undefined;
  owner: Owner;
  readonly #options: StreamPairOptions;
  readonly #ends: Ends;
  readonly #outbox: Parcel[] = [];
  readonly #early: Uint8Array[] = [];
  #isConnected = false;
  #isStalled = false;
  #closedWhy: string | undefined;
  #bytesInFlight = 0;
  #isOverfull = false;
  #lastArrivalMs = 0;
  #onFrame: ((frame: Uint8Array) => void) | undefined;
  #onDrain: (() => void) | undefined;
  #onClose: ((why: string) => void) | undefined;

  constructor(options: StreamPairOptions, ends: Ends) {
    const ipOf = (address: string): string => address.slice(0, address.lastIndexOf(':'));
    this.#options = options;
    this.#ends = ends;
    this.owner = options.owner;
    this.lane = options.lane;
    this.remoteAddress = ends.remote;
    this.listenAddress = ends.isForward ? '' : ends.local;
    this.localIp = ipOf(ends.local);
    this.remoteIp = ipOf(ends.remote);
  }

  get isOpen(): boolean {
    return this.#closedWhy === undefined;
  }

  send(frame: Uint8Array): boolean {
    if (!this.isOpen) return false;
    const copy = new Uint8Array(frame); // a slice of a Buffer would share its memory
    this.#options.trace.bytes(copy);
    this.#bytesInFlight += copy.length;
    this.#post({ frame: copy });
    this.#isOverfull ||= this.#bytesInFlight > WINDOW_BYTES;
    return !this.#isOverfull;
  }

  onFrame(callback: (frame: Uint8Array) => void): void {
    this.#onFrame = callback;
    if (this.#early.length > 0) {
      this.#options.loop.schedule(this.owner, 0, () => this.#deliverEarly());
    }
  }

  onDrain(callback: () => void): void {
    this.#onDrain = callback;
  }

  onClose(callback: (why: string) => void): void {
    this.#onClose = callback;
    if (this.#closedWhy !== undefined) callback(this.#closedWhy);
  }

  close(why: string): void {
    if (!this.isOpen) return;
    this.#post({ end: 'the peer ended the stream' });
    this.break(why);
  }

  /** The listener's life takes this end. */
  accept(owner: Owner): void {
    this.owner = owner;
    this.connected();
  }

  /** The way is open: what was queued leaves. */
  connected(): void {
    this.#isConnected = true;
    for (const parcel of this.#outbox.splice(0)) this.#dispatch(parcel);
  }

  /** Nothing more passes, and nobody is told. */
  stall(): void {
    this.#isStalled = true;
  }

  /** This end closes; the other is not told. */
  break(why: string): void {
    if (!this.isOpen) return;
    this.#closedWhy = why;
    this.#options.onGone(this);
    this.#onClose?.(why);
  }

  /** The process of this end is gone: the other end hears it from the kernel. */
  die(why: string): void {
    if (!this.isOpen) return;
    this.#post({ end: why });
    this.#closedWhy = why;
    this.#options.onGone(this);
  }

  #post(parcel: Parcel): void {
    if (this.#isConnected) this.#dispatch(parcel);
    else this.#outbox.push(parcel);
  }

  /** Parcels arrive in order: none before the one that left earlier. */
  #dispatch(parcel: Parcel): void {
    const { loop, latencyMs } = this.#options;
    const byteCount = 'frame' in parcel ? parcel.frame.length : 0;
    const atMs = loop.nowMs + latencyMs(this.#ends.isForward, byteCount);
    this.#lastArrivalMs = Math.max(this.#lastArrivalMs + 1e-6, atMs);
    loop.schedule(loop.world, this.#lastArrivalMs - loop.nowMs, () => this.#arrive(parcel));
  }

  #arrive(parcel: Parcel): void {
    const { peer } = this;
    if (peer === undefined || this.#isStalled) return;
    const { loop } = this.#options;
    if ('end' in parcel) {
      loop.schedule(peer.owner, 0, () => peer.break(parcel.end), 'arrival');
      return;
    }
    // The window opens when the process took the frame: one that is held pushes back.
    const receive = (): void => {
      peer.#receive(parcel.frame);
      this.#received(parcel.frame.length);
    };
    loop.schedule(peer.owner, 0, receive, 'arrival');
  }

  #received(byteCount: number): void {
    const { loop } = this.#options;
    this.#bytesInFlight -= byteCount;
    if (this.#isOverfull && this.#bytesInFlight <= WINDOW_BYTES / 2) {
      this.#isOverfull = false;
      loop.schedule(this.owner, 0, () => {
        if (this.isOpen) this.#onDrain?.();
      });
    }
  }

  #receive(frame: Uint8Array): void {
    if (!this.isOpen) return;
    if (this.#onFrame === undefined || this.#early.length > 0) this.#early.push(frame);
    else this.#onFrame(frame);
  }

  #deliverEarly(): void {
    for (const frame of this.#early.splice(0)) {
      if (this.isOpen) this.#onFrame?.(frame);
    }
  }
}
