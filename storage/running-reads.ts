/**
 * The reads that run on a head, so that nothing is dropped under one: what became a block is dropped
 * from the head only when every read that began before the block was listed has ended. A read that takes
 * longer than any query may is made to fail instead; it never sees less than it should.
 */
import { StarlingError } from '../model/errors.ts';
import type { Clock } from '../platform/platform.ts';

/** Longer than a query may take by default; a read that is older belongs to nobody any more. */
const READ_MS_MAX = 5 * 60_000;

/** One read. */
export class RunningRead {
  isExpired = false;
  readonly ended: Promise<void>;
  #resolve: () => void = () => undefined;

  constructor() {
    this.ended = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  /** Asked before each slice. Throws when the data under the read may be gone. */
  check(): void {
    if (!this.isExpired) return;
    throw new StarlingError('node.overloaded', {
      what: 'the milliseconds that one read may take',
      countMax: READ_MS_MAX,
    });
  }

  end(): void {
    this.#resolve();
  }
}

export class RunningReads {
  readonly #clock: Clock;
  readonly #reads = new Set<RunningRead>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  begin(): RunningRead {
    const read = new RunningRead();
    this.#reads.add(read);
    return read;
  }

  end(read: RunningRead): void {
    this.#reads.delete(read);
    read.end();
  }

  /** Resolves when all reads that run now have ended, or are expired after a while. */
  async drain(): Promise<void> {
    const reads = [...this.#reads];
    if (reads.length === 0) return;
    let expire = (): void => undefined;
    const late = new Promise<void>((resolve) => {
      expire = resolve;
    });
    const timer = this.#clock.after(READ_MS_MAX, expire);
    await Promise.race([Promise.all(reads.map((read) => read.ended)), late]);
    timer.cancel();
    for (const read of reads) if (this.#reads.has(read)) read.isExpired = true;
  }

  /** Expires what runs: the head goes. */
  expireAll(): void {
    for (const read of this.#reads) {
      read.isExpired = true;
      read.end();
    }
  }
}
