/**
 * Virtual time. A heap of events ordered by (time, tie, sequence): events of one owner at one instant
 * keep their order, as timers and turns of a real process do; owners are ordered by a tie drawn from
 * the seed, so that seeds explore orders. An event whose owner died is dropped, never run: that is
 * how a crash silences a node. An owner that is held (a long pause of its process) runs nothing until
 * it is released. After each event `drain` empties the microtask queue.
 */
import { assert } from '../model/assert.ts';
import { mix32 } from './random.ts';
import type { Trace } from './trace.ts';

/** Who an event belongs to: one life of a node, or the world around the nodes. */
export interface Owner {
  /** Distinct for each life. */
  readonly id: number;
  readonly name: string;
  isAlive: boolean;
}

/** What an event is: only how a pause ends depends on it. */
export type EventKind = 'arrival' | 'timer';

/** An event that waits. */
export interface Pending {
  cancel(): void;
}

interface Event extends Pending {
  atMs: number;
  tie: number;
  sequence: number;
  readonly owner: Owner;
  readonly kind: EventKind;
  callback: (() => void) | undefined;
}

export interface LoopOptions {
  readonly seed: number;
  readonly trace: Trace;
  /** Runs next ticks and microtasks to exhaustion. */
  readonly drain: () => void;
}

export class Loop {
  readonly world: Owner = { id: 0, name: 'world', isAlive: true };
  readonly #options: LoopOptions;
  readonly #heap: Event[] = [];
  #nowMs = 0;
  #sequence = 0;
  #eventCount = 0;
  #ownerCount = 1;
  #current: Owner = this.world;
  /** What the event that runs has still to do, once what it resolved was followed. */
  readonly #afterPromises: { readonly owner: Owner; readonly callback: () => void }[] = [];
  /** Due events of owners that are held. */
  readonly #held = new Map<Owner, Event[]>();

  constructor(options: LoopOptions) {
    this.#options = options;
  }

  /** Milliseconds since the run began: true time, which no node sees. */
  get nowMs(): number {
    return this.#nowMs;
  }

  get eventCount(): number {
    return this.#eventCount;
  }

  /** Whose event ran last, or runs now, with what it resolved: globals that a library calls belong to it. */
  get current(): Owner {
    return this.#current;
  }

  /** A new life. */
  createOwner(name: string): Owner {
    return { id: this.#ownerCount++, name, isAlive: true };
  }

  /** Runs `callback` once, `delayMs` from now, unless its owner is dead by then. */
  schedule(
    owner: Owner,
    delayMs: number,
    callback: () => void,
    kind: EventKind = 'timer',
  ): Pending {
    assert(delayMs >= 0, 'sim: an event in the past');
    const atMs = this.#nowMs + delayMs;
    const event: Event = {
      atMs,
      tie: this.#tieOf(owner, atMs),
      sequence: this.#sequence++,
      owner,
      kind,
      callback,
      cancel: () => {
        event.callback = undefined;
      },
    };
    push(this.#heap, event);
    return event;
  }

  /** Runs `callback` in the event that runs now, once the microtask queue is empty, unless its owner is dead by then. */
  afterPromises(owner: Owner, callback: () => void): void {
    this.#afterPromises.push({ owner, callback });
  }

  /** From now on no event of `owner` runs; due ones wait. */
  hold(owner: Owner): void {
    if (!this.#held.has(owner)) this.#held.set(owner, []);
  }

  isHeld(owner: Owner): boolean {
    return this.#held.has(owner);
  }

  /** What waited is due now: timers first, then arrivals, each in their order. */
  release(owner: Owner): void {
    const events = this.#held.get(owner) ?? [];
    this.#held.delete(owner);
    const isTimer = (event: Event): boolean => event.kind === 'timer';
    for (const event of [...events.filter(isTimer), ...events.filter((one) => !isTimer(one))]) {
      event.atMs = this.#nowMs;
      event.tie = this.#tieOf(owner, event.atMs);
      event.sequence = this.#sequence++;
      push(this.#heap, event);
    }
  }

  #tieOf(owner: Owner, atMs: number): number {
    return mix32(this.#options.seed ^ mix32(owner.id) ^ Math.imul(Math.floor(atMs * 1000), 31));
  }

  /** Runs the next event and what it resolves. False: nothing is left to run. */
  step(): boolean {
    for (;;) {
      const event = pop(this.#heap);
      if (event === undefined) return false;
      const { callback } = event;
      if (callback === undefined || !event.owner.isAlive) continue;
      const held = this.#held.size > 0 ? this.#held.get(event.owner) : undefined;
      if (held !== undefined) {
        held.push(event);
        continue;
      }
      this.#nowMs = event.atMs;
      this.#eventCount++;
      const { trace } = this.#options;
      trace.number(event.atMs);
      trace.number(event.owner.id);
      this.#current = event.owner;
      callback();
      this.#options.drain();
      for (let next = this.#afterPromises.shift(); next; next = this.#afterPromises.shift()) {
        if (next.owner.isAlive) next.callback();
        this.#options.drain();
      }
      return true;
    }
  }
}

function isBefore(a: Event, b: Event): boolean {
  if (a.atMs !== b.atMs) return a.atMs < b.atMs;
  return a.tie === b.tie ? a.sequence < b.sequence : a.tie < b.tie;
}

function push(heap: Event[], event: Event): void {
  let at = heap.length;
  heap.push(event);
  while (at > 0) {
    const above = (at - 1) >> 1;
    if (!isBefore(event, heap[above]!)) break;
    heap[at] = heap[above]!;
    at = above;
  }
  heap[at] = event;
}

function pop(heap: Event[]): Event | undefined {
  const first = heap[0];
  const last = heap.pop();
  if (first === undefined || last === undefined || heap.length === 0) return first;
  let at = 0;
  for (;;) {
    let below = 2 * at + 1;
    if (below >= heap.length) break;
    if (below + 1 < heap.length && isBefore(heap[below + 1]!, heap[below]!)) below++;
    if (!isBefore(heap[below]!, last)) break;
    heap[at] = heap[below]!;
    at = below;
  }
  heap[at] = last;
  return first;
}
