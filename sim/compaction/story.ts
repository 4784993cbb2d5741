/**
 * The compaction story: for a day and a half of virtual time three nodes ship the blocks of their replicas and all
 * of them compact, while processes die, machines lose power, wall clocks jump and the bucket fails; a fourth
 * node reads ranges that begin and end at borders. Then the faults end, and after a calm the work must be done.
 *
 *   ship, compact, read, faults ───────────────────────► calm ──► all read once more, nothing left to do
 */
import type { TimeRange } from '../../model/sample.ts';
import { toStarlingError } from '../../model/errors.ts';
import type { Ciphers } from '../../platform/platform.ts';
import type { Violation } from '../checkers/answer.ts';
import { type ShippedSample, checkCompacted } from '../checkers/compacted.ts';
import { EPOCH_MS } from '../clock.ts';
import type { Planted } from '../planted/index.ts';
import type { SimRandom } from '../random.ts';
import { type Machine, World } from '../world.ts';
import {
  type CompactionNode,
  type Contents,
  HOUR_MS,
  WINDOW_MS,
  bootCompactionNode,
} from './node.ts';

export interface CompactionStoryOptions {
  readonly seed: number;
  readonly ciphers: Ciphers;
  /** Windows of two hours that are shipped. */
  readonly windowCount: number;
  readonly planted?: Planted;
}

export interface CompactionVerdict {
  readonly violations: readonly Violation[];
  readonly hash: string;
  readonly events: number;
  readonly reads: number;
  readonly readErrors: number;
  /** Whole blocks in the bucket at the end. */
  readonly blocksLeft: number;
  readonly jobsDone: number;
  readonly lastLines: readonly string[];
}

const REPLICAS = 3;
const SERIES = 2;
const SAMPLES = 6;
const MINUTE_MS = 60_000;
/** After that every index that a reader may use has what was shipped. */
const INDEXED_MS = 100 * MINUTE_MS;
const CALM_MS = 96 * HOUR_MS;
/** Often enough that some reads use an index that was read before. */
const READ_EVERY_MS = 2 * MINUTE_MS;
const CALM_READ_EVERY_MS = 20 * MINUTE_MS;
const CALL_MS = 10 * MINUTE_MS;
const VIOLATIONS_MAX = 10;
const LINES_KEPT = 40;

type NodeMachine = Machine<CompactionNode>;

/** Runs the story of a seed to its verdict. */
export async function runCompactionStory(
  options: CompactionStoryOptions,
): Promise<CompactionVerdict> {
  const story = new CompactionStory(options);
  return story.run();
}

class CompactionStory {
  readonly #options: CompactionStoryOptions;
  readonly #world: World<CompactionNode>;
  readonly #random: SimRandom;
  readonly #shipped: ShippedSample[] = [];
  readonly #violations: Violation[] = [];
  #isCalm = false;
  #isOver = false;
  #reads = 0;
  #readErrors = 0;
  #jobsDone = 0;

  constructor(options: CompactionStoryOptions) {
    const { ciphers, planted, seed } = options;
    this.#options = options;
    // Some seeds have owners, some have none who agree: both must be safe.
    const sharesWork = seed % 2 === 0;
    this.#world = new World<CompactionNode>({
      seed,
      machineCount: REPLICAS + 1,
      ciphers,
      jobs: new Map(),
      bootNode: (given, { name }) => {
        const platform = planted?.platform?.(given, this.#random) ?? given;
        const index = Number(name.slice('node-'.length)) - 1;
        const isReader = index === REPLICAS;
        const owns = (key: string): boolean =>
          !isReader && (!sharesWork || key.length % REPLICAS === index);
        return bootCompactionNode(isReader ? given : platform, `store-${index}`, owns);
      },
    });
    this.#random = this.#world.random.child('story');
    const { bucket } = this.#world;
    const latency = this.#random.child('latency');
    bucket.latencyMs = () => latency.between(5, 40);
  }

  async run(): Promise<CompactionVerdict> {
    const world = this.#world;
    try {
      await world.run(() => this.#tell());
    } catch (error) {
      world.broken.push(error instanceof Error ? (error.stack ?? error.message) : String(error));
    }
    const broken = world.broken.map((what) => ({ invariant: 'I32', what }));
    return {
      violations: [...this.#violations, ...broken],
      hash: world.trace.hash,
      events: world.loop.eventCount,
      reads: this.#reads,
      readErrors: this.#readErrors,
      blocksLeft: this.#blocks().length,
      jobsDone: this.#jobsDone,
      lastLines: world.trace.lastLines(LINES_KEPT),
    };
  }

  async #tell(): Promise<void> {
    const world = this.#world;
    await Promise.all(world.machines.map((machine) => world.boot(machine)));
    const faults = this.#breakThings(this.#random.child('faults'));
    const reads = this.#readOn(this.#random.child('reads'));
    const ships: Promise<void>[] = [];
    for (let window = 0; window < this.#options.windowCount; window++) {
      await world.sleep(WINDOW_MS);
      for (let replica = 0; replica < REPLICAS; replica++) {
        ships.push(this.#ship(window, replica, this.#random.child(`ship ${window} ${replica}`)));
      }
    }
    await Promise.all(ships);
    this.#isCalm = true;
    await faults;
    await world.sleep(CALM_MS);
    this.#isOver = true;
    await reads;
    await this.#audit();
  }

  get #reader(): NodeMachine {
    return this.#world.machines[REPLICAS]!;
  }

  /** One replica's block of a window, until it is in the bucket. */
  async #ship(window: number, replica: number, random: SimRandom): Promise<void> {
    const world = this.#world;
    const machine = world.machines[replica]!;
    await world.sleep(random.between(0, 40 * MINUTE_MS));
    const range = rangeOf(window);
    const contents = contentsOf(window, replica);
    const samples = samplesOf(contents);
    const at = this.#shipped.length;
    this.#shipped.push(...samples.map((one) => ({ ...one, owedSinceMs: undefined })));
    for (;;) {
      const outcome = await world.ask(machine, CALL_MS, (node) => node.ship(range, contents));
      if (outcome.kind === 'answer') break;
      await world.sleep(random.between(MINUTE_MS, 10 * MINUTE_MS));
    }
    const owedSinceMs = world.loop.nowMs + INDEXED_MS;
    for (let i = 0; i < samples.length; i++)
      this.#shipped[at + i] = { ...samples[i]!, owedSinceMs };
  }

  async #breakThings(random: SimRandom): Promise<void> {
    const world = this.#world;
    const { bucket } = world;
    const nodes = world.machines.slice(0, REPLICAS);
    while (!this.#isCalm) {
      await world.sleep(random.between(5 * MINUTE_MS, 90 * MINUTE_MS));
      const machine = random.pick(nodes);
      if (machine === undefined) continue;
      this.#countJobs(machine);
      const kind = random.below(6);
      if (kind === 0) world.kill(machine);
      else if (kind === 1) world.losePower(machine);
      else if (kind === 2) machine.wall.offsetMs = random.between(-24, 24) * HOUR_MS;
      else if (kind === 3) {
        world.pause(machine);
        await world.sleep(random.between(MINUTE_MS, 3 * HOUR_MS));
        world.resume(machine);
      } else {
        const chance = random.between(0.01, 0.3);
        bucket.failWhen = () =>
          random.chance(chance) ? random.pick(['refused', 'lost', 'hang'] as const) : undefined;
        await world.sleep(random.between(MINUTE_MS, 60 * MINUTE_MS));
        bucket.failWhen = () => undefined;
      }
      if (machine.life !== undefined) continue;
      await world.sleep(random.between(0, 30 * MINUTE_MS));
      await world.boot(machine);
    }
    for (const machine of nodes) machine.wall.offsetMs = 0;
  }

  async #readOn(random: SimRandom): Promise<void> {
    const { windowCount } = this.#options;
    while (!this.#isOver) {
      const everyMs = this.#isCalm ? CALM_READ_EVERY_MS : READ_EVERY_MS;
      await this.#world.sleep(random.between(0.5, 1.5) * everyMs);
      const border = rangeOf(random.below(windowCount + 1)).minTimeMs;
      const from = border + random.below(3) - 1;
      const length = random.pick([0, 1, WINDOW_MS - 1, 6 * WINDOW_MS, 30 * WINDOW_MS]) ?? 0;
      await this.#read({ minTimeMs: from, maxTimeMs: from + length });
    }
  }

  /** False: no answer. */
  async #read(range: TimeRange): Promise<boolean> {
    const world = this.#world;
    const readAtMs = world.loop.nowMs;
    this.#reads++;
    const outcome = await world.ask(this.#reader, CALL_MS, (node) => node.read(range));
    if (outcome.kind === 'answer') {
      this.#report(checkCompacted(this.#shipped, { range, readAtMs }, outcome.value));
      return true;
    }
    this.#readErrors++;
    const error = outcome.kind === 'error' ? toStarlingError(outcome.error) : undefined;
    if (error?.id.startsWith('block.') === true) {
      this.#report([{ invariant: 'I15', what: `a read fails: ${error.message}` }]);
    }
    return false;
  }

  /** Everything is there, and nothing is left to do. */
  async #audit(): Promise<void> {
    const { windowCount } = this.#options;
    const range = { minTimeMs: 0, maxTimeMs: rangeOf(windowCount).maxTimeMs };
    if (!(await this.#read(range))) this.#report([{ invariant: 'I15', what: 'the audit fails' }]);
    for (const machine of this.#world.machines.slice(0, REPLICAS)) {
      this.#countJobs(machine);
      for (const one of machine.life?.node?.compactor.status().tenants ?? []) {
        if (one.jobs.length + one.partialCount + one.markedCount === 0 && one.failure === '')
          continue;
        const what = `${machine.name} has not done all: ${JSON.stringify(one)}`;
        this.#report([{ invariant: 'I15', what }]);
      }
    }
    const days = Math.ceil(windowCount / 12);
    const left = this.#blocks();
    if (left.length <= days) return;
    this.#report([{ invariant: 'I15', what: `${left.length} blocks for ${days} days` }]);
  }

  #blocks(): readonly string[] {
    return this.#world.bucket.keys().filter((key) => key.endsWith('/meta.json'));
  }

  #countJobs(machine: NodeMachine): void {
    this.#jobsDone += machine.life?.node?.compactor.counts.jobsDone ?? 0;
  }

  #report(violations: readonly Violation[]): void {
    for (const violation of violations) {
      this.#world.note(`VIOLATION ${violation.invariant}: ${violation.what}`);
      if (this.#violations.length < VIOLATIONS_MAX) this.#violations.push(violation);
    }
  }
}

const FIRST_MS = Math.ceil(EPOCH_MS / (12 * WINDOW_MS)) * 12 * WINDOW_MS;

function rangeOf(window: number): TimeRange {
  const minTimeMs = FIRST_MS + window * WINDOW_MS;
  return { minTimeMs, maxTimeMs: minTimeMs + WINDOW_MS - 1 };
}

/** A replica's samples of a window: first and last are at its borders, each replica lacks some. */
function contentsOf(window: number, replica: number): Contents {
  const { minTimeMs } = rangeOf(window);
  const contents = new Map<number, Map<number, number>>();
  for (let series = 0; series < SERIES; series++) {
    const samples = new Map<number, number>();
    for (let i = 0; i < SAMPLES; i++) {
      if ((i + series + window) % (REPLICAS + 1) === replica) continue;
      const timeMs = minTimeMs + Math.round((i * (WINDOW_MS - 1)) / (SAMPLES - 1));
      samples.set(timeMs, (window * SAMPLES + i) * 10 + series);
    }
    contents.set(series, samples);
  }
  return contents;
}

function samplesOf(contents: Contents): readonly Omit<ShippedSample, 'owedSinceMs'>[] {
  return [...contents].flatMap(([series, samples]) =>
    [...samples].map(([timeMs, value]) => ({ series, timeMs, value })),
  );
}
