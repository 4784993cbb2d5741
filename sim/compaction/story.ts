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
import { scanTenant } from '../../storage/bucket/scan.ts';
import { openRemoteBlock } from '../../storage/compact/remote-block.ts';
import type { Violation } from '../checkers/answer.ts';
import { type ShippedSample, checkCompacted } from '../checkers/compacted.ts';
import { AGED_FUNCTIONS, checkAged, checkAggregated } from '../checkers/aged.ts';
import { EPOCH_MS, SimClock } from '../clock.ts';
import type { Planted } from '../planted/index.ts';
import type { SimRandom } from '../random.ts';
import { type Machine, World } from '../world.ts';
import { COARSE_MS, FINE_MS, FINE_RETENTION_MS, RULE_MATCHER, RULE_SERIES } from './ages.ts';
import {
  type CompactionNode,
  type Contents,
  HOUR_MS,
  TENANT,
  WINDOW_MS,
  bootCompactionNode,
} from './node.ts';

export interface CompactionStoryOptions {
  readonly seed: number;
  readonly ciphers: Ciphers;
  /** Windows of two hours that are shipped. */
  readonly windowCount: number;
  /** Blocks are downsampled, and go by age (`ages.ts`). */
  readonly hasAges?: boolean;
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
  /** Queries that were answered, and how many of them from aggregates. */
  readonly queries: number;
  readonly aggregated: number;
  readonly lastLines: readonly string[];
}

const REPLICAS = 3;
const SERIES = 2;
const SAMPLES = 6;
/** Of ages: some in each window of aggregates. */
const AGED_SAMPLES = 40;
const CLOCK_LIMIT_MS = 5 * 60_000;
const MINUTE_MS = 60_000;
/** After that every index that a reader may use has what was shipped. */
const INDEXED_MS = 100 * MINUTE_MS;
const CALM_MS = 20 * HOUR_MS;
/** Until samples and their first aggregates are past their retention. */
const AGES_CALM_MS = 96 * HOUR_MS;
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
  #queries = 0;
  #aggregated = 0;

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
        const { hasAges = false } = options;
        const { wall } = this.#world.machines[index]!;
        // The others tell a node that its clock is wrong.
        const isClockRight = (): boolean =>
          planted?.trustsClocks === true || Math.abs(wall.offsetMs) <= CLOCK_LIMIT_MS;
        return bootCompactionNode(isReader ? given : platform, {
          ...{ storeId: `store-${index}`, ownsJob: owns, hasAges, isClockRight },
        });
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
      queries: this.#queries,
      aggregated: this.#aggregated,
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
    await world.sleep(this.#options.hasAges === true ? AGES_CALM_MS : CALM_MS);
    this.#isOver = true;
    await reads;
    await this.#audit();
  }

  get #reader(): NodeMachine {
    return this.#world.machines[REPLICAS]!;
  }

  /** Nearly as long as samples stay, where they do not stay for ever. */
  get #clockErrorMs(): number {
    return (this.#options.hasAges === true ? 40 : 24) * HOUR_MS;
  }

  /** One replica's block of a window, until it is in the bucket. */
  async #ship(window: number, replica: number, random: SimRandom): Promise<void> {
    const world = this.#world;
    const machine = world.machines[replica]!;
    await world.sleep(random.between(0, 40 * MINUTE_MS));
    const range = rangeOf(window);
    const contents = contentsOf(
      window,
      replica,
      this.#options.hasAges === true ? AGED_SAMPLES : SAMPLES,
    );
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
      else if (kind === 2) machine.wall.offsetMs = random.between(-1, 1) * this.#clockErrorMs;
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
      if (this.#options.hasAges === true) await this.#query(random);
    }
  }

  /** False: no answer. */
  async #read(range: TimeRange): Promise<boolean> {
    const world = this.#world;
    const readAtMs = world.loop.nowMs;
    this.#reads++;
    const outcome = await world.ask(this.#reader, CALL_MS, (node) => node.read(range));
    if (outcome.kind === 'answer') {
      const times = {
        ...{ range, readAtMs, askedWallMs: EPOCH_MS + readAtMs },
        answeredWallMs: EPOCH_MS + world.loop.nowMs,
      };
      const check = this.#options.hasAges === true ? checkAged : checkCompacted;
      this.#report(check(this.#shipped, times, outcome.value));
      return true;
    }
    this.#readErrors++;
    const error = outcome.kind === 'error' ? toStarlingError(outcome.error) : undefined;
    if (error?.id.startsWith('block.') === true) {
      this.#report([{ invariant: 'I15', what: `a read fails: ${error.message}` }]);
    }
    return false;
  }

  /** A function over windows that aggregates answer, once all of it was shipped, and while it is kept. */
  async #query(random: SimRandom): Promise<void> {
    const world = this.#world;
    const resolutionMs = random.pick([FINE_MS, COARSE_MS]) ?? FINE_MS;
    const name = random.pick(AGED_FUNCTIONS) ?? 'sum';
    const rangeMs = resolutionMs * (1 + random.below(4));
    const stepMs = resolutionMs * (1 + random.below(3));
    const window = random.below(this.#options.windowCount);
    const startMs = rangeOf(window).minTimeMs + rangeMs + resolutionMs * random.below(3);
    const endMs = startMs + stepMs * random.below(12);
    const readAtMs = world.loop.nowMs;
    const span = this.#shipped.filter(
      ({ timeMs }) => timeMs > startMs - rangeMs && timeMs <= endMs,
    );
    const isWhole = span.every(({ owedSinceMs = Infinity }) => owedSinceMs <= readAtMs);
    const isShipped = endMs < EPOCH_MS + readAtMs - WINDOW_MS;
    const isKept =
      resolutionMs > FINE_MS ||
      startMs - rangeMs > EPOCH_MS + readAtMs + CALL_MS - FINE_RETENTION_MS;
    if (!isWhole || !isShipped || !isKept) return;
    const series = 0; // the rule has none of it
    const text = `${name}_over_time(sim{series="${series}"}[${rangeMs}ms])`;
    const asked = { text, startMs, endMs, stepMs };
    const outcome = await world.ask(this.#reader, CALL_MS, (node) => node.query(asked));
    if (outcome.kind !== 'answer' || outcome.value === undefined) {
      this.#readErrors++;
      return;
    }
    const { points, resolutionMs: usedMs, warnings } = outcome.value;
    this.#queries++;
    if (usedMs > 0) this.#aggregated++;
    const what = { function: name, series, startMs, endMs, stepMs, rangeMs };
    this.#report(checkAggregated(this.#shipped, what, points.get(series) ?? new Map()));
    if (warnings.length === 0) return;
    this.#report([{ invariant: 'I16', what: `${text} is answered with ${warnings.join('; ')}` }]);
  }

  /** Everything is there, and nothing is left to do. */
  async #audit(): Promise<void> {
    const { windowCount } = this.#options;
    const range = { minTimeMs: 0, maxTimeMs: rangeOf(windowCount).maxTimeMs };
    if (!(await this.#read(range))) this.#report([{ invariant: 'I15', what: 'the audit fails' }]);
    if (this.#options.hasAges === true) this.#report(await this.#auditAges());
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

  /** What is left is an hour's aggregates, of the series that have no shorter retention. */
  async #auditAges(): Promise<readonly Violation[]> {
    const { loop, bucket: store } = this.#world;
    const clock = new SimClock(loop, loop.world, { offsetMs: 0, driftPpm: 0 });
    const bucket = store.sideOf(clock);
    const { index } = await scanTenant(bucket, TENANT, { clock, previous: undefined });
    const wrong: string[] = index.blocks.map(({ id }) => `${id} has samples`);
    for (const { id, resolutionMs } of index.downsampled ?? []) {
      if (resolutionMs < COARSE_MS) wrong.push(`${id} has aggregates of ${resolutionMs} ms`);
      const reader = await openRemoteBlock(bucket, TENANT, id);
      const ruled = await reader.select([RULE_MATCHER]);
      if (ruled.length > 0) wrong.push(`${id} has series ${RULE_SERIES}`);
      await reader.close();
    }
    return wrong.map((what) => ({ invariant: 'I16', what: `at the end ${what}` }));
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
function contentsOf(window: number, replica: number, count: number): Contents {
  const { minTimeMs } = rangeOf(window);
  const contents = new Map<number, Map<number, number>>();
  for (let series = 0; series < SERIES; series++) {
    const samples = new Map<number, number>();
    for (let i = 0; i < count; i++) {
      if ((i + series + window) % (REPLICAS + 1) === replica) continue;
      const timeMs = minTimeMs + Math.round((i * (WINDOW_MS - 1)) / (count - 1));
      samples.set(timeMs, (window * count + i) * 10 + series);
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
