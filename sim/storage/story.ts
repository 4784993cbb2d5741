/**
 * The storage story: one tenant's directory through every crash. A life writes, cuts blocks and shortens its
 * log; power goes at one disk call, the next run at the next one, until a life ends by itself. What is then found
 * must be what was acknowledged (I13), after that opening and after another loss of power. Then bits are
 * flipped, one a run, in what a whole life left: no answer may be wrong (I14).
 *
 *   live ──power at call k──► open, read ──power──► open, read           k = 1, 1 + stride, …
 *   live, close ──bit flips──► open, read                                as often as asked
 *
 * Before that the small files beside it go through every crash of theirs (kept-files.ts).
 */
import type { Ciphers } from '../../platform/platform.ts';
import type { Violation } from '../checkers/answer.ts';
import { checkRecoveredLog } from '../checkers/recovered-log.ts';
import { checkVerified } from '../checkers/verified.ts';
import { EPOCH_MS } from '../clock.ts';
import { History } from '../history.ts';
import type { Planted } from '../planted/index.ts';
import { SimRandom } from '../random.ts';
import { World } from '../world.ts';
import { crashKeptFiles } from './kept-files.ts';
import { type StorageNode, bootStorageNode } from './node.ts';

export interface StorageStoryOptions {
  readonly seed: number;
  readonly ciphers: Ciphers;
  /** Crash at every so many disk calls. */
  readonly stride: number;
  /** Runs with a flipped bit. */
  readonly flipCount: number;
  /** A bug of the disk that the checkers must find. */
  readonly planted?: Planted;
}

export interface StorageVerdict {
  readonly violations: readonly Violation[];
  readonly crashPoints: number;
  /** Those of the small files. */
  readonly keptCrashPoints: number;
  readonly flips: number;
  /** Flips after which the directory did not open, or did not answer. */
  readonly refusals: number;
  /** Flips after which a loss was told. */
  readonly losses: number;
}

const ROUNDS = 48;
const SERIES = 3;
const STEP_MS = 15 * 60_000;
/** What is due is cut this often; once all is. */
const CUT_EVERY = 4;
const FLUSH_ROUND = 35;
const TIMEOUT_MS = 600_000;

export async function runStorageStory(options: StorageStoryOptions): Promise<StorageVerdict> {
  const kept = await crashKeptFiles(options);
  const violations = [...kept.violations];
  let crashPoints = 0;
  for (let call = 1; ; call += options.stride) {
    const run = new StorageRun(options, `power lost at call ${call}`);
    const isOver = await run.crashAt(call);
    violations.push(...run.violations);
    if (isOver) break;
    crashPoints++;
  }
  const tally = { flips: 0, refusals: 0, losses: 0 };
  for (; tally.flips < options.flipCount; tally.flips++) {
    const run = new StorageRun({ ...options, seed: options.seed + tally.flips }, 'a bit flipped');
    const ended = await run.flip();
    if (ended === 'refused') tally.refusals++;
    if (ended === 'loss told') tally.losses++;
    violations.push(...run.violations);
  }
  return { violations, crashPoints, keptCrashPoints: kept.crashPoints, ...tally };
}

class StorageRun {
  readonly violations: Violation[] = [];
  readonly #what: string;
  readonly #history = new History();
  readonly #world: World<StorageNode>;
  /** The writing life is over, however it ended. */
  #isDead = false;

  constructor({ ciphers, planted, seed }: StorageStoryOptions, what: string) {
    this.#what = what;
    const random = new SimRandom(seed).child('planted');
    this.#world = new World<StorageNode>({
      seed,
      machineCount: 1,
      ciphers,
      jobs: new Map(),
      bootNode: (given) => bootStorageNode(planted?.platform?.(given, random) ?? given),
    });
  }

  /** True: the life ended before it came to that call. */
  async crashAt(call: number): Promise<boolean> {
    let count = 0;
    let isCrashed = false;
    const machine = this.#machine();
    await this.#run(async () => {
      machine.disk.failWhen = () => {
        if (++count === call) {
          isCrashed = true;
          const { loop } = this.#world;
          this.#isDead = true;
          loop.schedule(loop.world, 0, () => this.#world.losePower(machine));
        }
        return undefined;
      };
      const life = this.#live();
      const isOver = life.then(() => true);
      await Promise.race([isOver, this.#world.until(() => isCrashed, TIMEOUT_MS, 1)]);
      machine.disk.failWhen = () => undefined;
      if (!isCrashed) return;
      await this.#world.sleep(1);
      await this.#lookAfterCrash('after it');
      await this.#writeOnceMore();
      this.#world.losePower(machine);
      await this.#lookAfterCrash('after another loss of power');
    });
    return !isCrashed;
  }

  async flip(): Promise<'loss told' | 'refused' | 'whole'> {
    let ended: 'loss told' | 'refused' | 'whole' = 'refused';
    const machine = this.#machine();
    await this.#run(async () => {
      await this.#live();
      this.#world.kill(machine);
      const [path = 'nothing'] = machine.disk.rot(1);
      const outcome = await this.#world.boot(machine);
      if (outcome.kind !== 'answer') return;
      const { isLossTold } = outcome.value;
      const read = await this.#world.ask(machine, TIMEOUT_MS, (node) => node.read());
      const found = read.kind === 'answer' ? read.value : undefined;
      if (found !== undefined) ended = isLossTold ? 'loss told' : 'whole';
      const where = `${this.#what} in ${path}`;
      this.violations.push(...checkVerified(this.#history, { where, found, isLossTold }));
    });
    return ended;
  }

  #machine(): World<StorageNode>['machines'][number] {
    return this.#world.machines[0]!;
  }

  async #run(story: () => Promise<void>): Promise<void> {
    await this.#world.run(story);
    for (const what of this.#world.broken) this.violations.push({ invariant: 'I32', what });
  }

  /** Writes, some of it late, cuts, and closes. */
  async #live(): Promise<void> {
    const machine = this.#machine();
    const world = this.#world;
    if ((await world.boot(machine)).kind !== 'answer') return;
    for (let round = 0; round < ROUNDS; round++) {
      const nowMs = EPOCH_MS + (round + 1) * STEP_MS;
      const lateMs = round % 3 === 2 ? STEP_MS / 2 : 0;
      const samples = Array.from({ length: SERIES }, (_, series) =>
        this.#history.send(series, nowMs - lateMs),
      );
      const put = await world.ask(machine, TIMEOUT_MS, (node) => node.put(samples, nowMs));
      if (this.#isDead) return; // what was in flight got no answer
      if (put.kind === 'answer') this.#history.acknowledge(samples, world.loop.nowMs);
      if (round % CUT_EVERY === CUT_EVERY - 1) {
        const isFlush = round === FLUSH_ROUND;
        await world.ask<unknown>(machine, TIMEOUT_MS, ({ tsdb }) =>
          isFlush ? tsdb.flush() : tsdb.maintain(nowMs),
        );
      }
    }
    await world.ask(machine, TIMEOUT_MS, (node) => node.close());
  }

  /** What was recovered is gone on with. */
  async #writeOnceMore(): Promise<void> {
    const nowMs = EPOCH_MS + (ROUNDS + 1) * STEP_MS;
    const samples = [this.#history.send(0, nowMs)];
    const machine = this.#machine();
    const put = await this.#world.ask(machine, TIMEOUT_MS, (node) => node.put(samples, nowMs));
    if (put.kind === 'answer') this.#history.acknowledge(samples, this.#world.loop.nowMs);
  }

  async #lookAfterCrash(when: string): Promise<void> {
    const machine = this.#machine();
    const where = `${this.#what}, ${when}`;
    const outcome = await this.#world.boot(machine);
    if (outcome.kind !== 'answer') {
      const why = outcome.kind === 'error' ? String(outcome.error) : outcome.kind;
      this.violations.push({ invariant: 'I13', what: `${where}: it does not open: ${why}` });
      return;
    }
    const read = await this.#world.ask(machine, TIMEOUT_MS, (node) => node.read());
    if (read.kind !== 'answer') {
      this.violations.push({ invariant: 'I13', what: `${where}: it does not answer` });
      return;
    }
    const { isLossTold } = outcome.value;
    const recovered = { where, found: read.value, isLossTold };
    this.violations.push(...checkRecoveredLog(this.#history, recovered));
  }
}
