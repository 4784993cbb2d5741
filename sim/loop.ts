/**
 * Virtual time. A heap of events ordered by (time, tie, sequence): events of one owner at one instant
 * keep their order, as timers and turns of a real process do; owners are ordered by a tie drawn from
 * the seed, so that seeds explore orders. An event whose owner died is dropped, never run: that is
 * how a crash silences a node. After each event `drain` empties the microtask queue.
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

/** An event that waits. */
export interface Pending {
  cancel(): void;
}

interface Event extends Pending {
  readonly atMs: number;
  readonly tie: number;
  readonly sequence: number;
  readonly owner: Owner;
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
  schedule(owner: Owner, delayMs: number, callback: () => void): Pending {
    assert(delayMs >= 0, 'sim: an event in the past');
    const atMs = this.#nowMs + delayMs;
    const event: Event = {
      atMs,
      tie: mix32(this.#options.seed ^ mix32(owner.id) ^ Math.imul(Math.floor(atMs * 1000), 31)),
      sequence: this.#sequence++,
      owner,
      callback,
      cancel: () => {
        event.callback = undefined;
      },
    };
    push(this.#heap, event);
    return event;
  }

  /** Runs the next event and what it resolves. False: nothing is left to run. */
  step(): boolean {
    for (;;) {
      const event = pop(this.#heap);
      if (event === undefined) return false;
      const { callback } = event;
      if (callback === undefined || !event.owner.isAlive) continue;
      this.#nowMs = event.atMs;
      this.#eventCount++;
      const { trace } = this.#options;
      trace.number(event.atMs);
      trace.number(event.owner.id);
      this.#current = event.owner;
      callback();
      this.#options.drain();
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
