/**
 * The simulator's command: seeds in, one line a verdict out.
 *
 *   node dist/sim/main.js --seed 7 [--minutes 5] [--trace]
 *   node dist/sim/main.js --seeds 1..100 --swarm --until 30     at most 30 minutes of the wall
 *   node dist/sim/main.js --seeds 1..2000 --stop                 no further than the first seed that fails
 *   node dist/sim/main.js --seeds 1..20 --planted swallow        stops at the seed that finds it
 *   node dist/sim/main.js --seeds 1..20 --planted all            seeds to detection of each
 *   node dist/sim/main.js --seeds 1..2000 --all-probes           a rare branch that never ran is a failure
 *   node dist/sim/main.js --seeds 1..2000 --mixed                one seed in eight is a story of deletions
 *   node dist/sim/main.js --seed 1 --shape hour --minutes 60     how fast: an ordinary cluster, no faults
 *   node dist/sim/main.js --membership 50 [--only join]          what membership does, in numbers
 *   node dist/sim/main.js --compaction --seeds 1..20 [--planted NAME]   blocks in a bucket, days of them
 *   node dist/sim/main.js --compaction --ages --seeds 1..20      the same; blocks are downsampled, and go by age
 *   node dist/sim/main.js --storage --seeds 1..5                 every crash of a tenant's directory, flipped bits
 *   node dist/sim/main.js --seeds 1..20 --twice                  each twice: the hashes must be equal
 *   node dist/sim/main.js --seed 7 --shrink                      a smaller story that fails, as a command
 *   node dist/sim/main.js --replay 7                             the command, then the run and its trace
 *
 * Exit code 1 when a seed failed; its line is followed by what was violated and how to replay it.
 */
import { parseArgs } from 'node:util';
import { jobs } from '../cli/jobs.ts';
import { PROBES } from '../platform/rare.ts';
import { createNodeCiphers } from '../platform/node/ciphers.ts';
import { checkRepeatable } from './checkers/repeatable.ts';
import { runCompactionStory } from './compaction/story.ts';
import { MEASUREMENTS, measure } from './membership/measure.ts';
import { COMPACTION_BUGS } from './planted/compaction.ts';
import { PLANTED } from './planted/index.ts';
import { runStorageStory } from './storage/story.ts';
import { type Verdict, runStory } from './story.ts';
import { FAULTS } from './faults/index.ts';
import { shrink } from './shrink.ts';
import { SHAPES, type Swarm, describeSwarm } from './swarm.ts';

const MINUTES = 5;
/** Blocks of two hours: a day and a little. */
const COMPACTION_WINDOWS = 13;
const LINES_ON_FAILURE = 40;
const STORAGE_FLIPS = 200;
/** Of mixed stories one in so many is of a shape that seeds do not draw. */
const MIXED_EVERY = 8;

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    seeds: { type: 'string' },
    compaction: { type: 'boolean', default: false },
    ages: { type: 'boolean', default: false },
    membership: { type: 'string' },
    mixed: { type: 'boolean', default: false },
    storage: { type: 'boolean', default: false },
    twice: { type: 'boolean', default: false },
    only: { type: 'string', default: '' },
    minutes: { type: 'string', default: String(MINUTES) },
    planted: { type: 'string' },
    stop: { type: 'boolean', default: false },
    'all-probes': { type: 'boolean', default: false },
    replay: { type: 'string' },
    faults: { type: 'string' },
    nodes: { type: 'string' },
    shape: { type: 'string' },
    shrink: { type: 'boolean', default: false },
    tenants: { type: 'string' },
    swarm: { type: 'boolean', default: false },
    trace: { type: 'boolean', default: false },
    until: { type: 'string' },
  },
});

const [first, last] = readSeeds(values.replay ?? values.seed ?? values.seeds ?? '1');
const minutes = readNumber(values.minutes, '--minutes');
const bugs = values.compaction ? COMPACTION_BUGS : PLANTED;
const bug = values.planted === undefined ? undefined : bugs[values.planted];
if (values.planted !== undefined && values.planted !== 'all' && bug === undefined) {
  process.stderr.write(`--planted: one of ${Object.keys(bugs).join(', ')}\n`);
  process.exit(2);
}
if (values.shape !== undefined && !(values.shape in SHAPES)) {
  process.stderr.write(`--shape: one of ${Object.keys(SHAPES).join(', ')}\n`);
  process.exit(2);
}
if (values.replay !== undefined) process.stdout.write(`${commandOf(first)}\n`);
const endMs =
  values.until === undefined
    ? Infinity
    : performance.now() + readNumber(values.until, '--until') * 60_000;
if (values.compaction) await runCompaction();
else if (values.storage) await runStorage();
else if (values.planted === 'all') await runPlanted();
else if (values.membership === undefined) await runAll();
else measureMembership(readNumber(values.membership, '--membership'));

/** What the core of membership does in a cluster of that many, a line a measurement. */
function measureMembership(count: number): void {
  for (const measurement of MEASUREMENTS) {
    if (count > (measurement.countMax ?? Infinity)) continue;
    if (!measurement.what.includes(values.only)) continue;
    const startedMs = performance.now();
    const { eventCount, value, virtualMs, what } = measure(measurement, first, count);
    const times = virtualMs / (performance.now() - startedMs);
    process.stdout.write(`nodes=${count} seed=${first} ${what}: ${value}\n`);
    process.stderr.write(`  ${eventCount} events, ${times.toFixed(1)} times real time\n`);
  }
}

/** The story of blocks in a bucket, a line a seed. */
async function runCompaction(): Promise<void> {
  let failures = 0;
  for (let seed = first; seed <= last && performance.now() < endMs; seed++) {
    const hasAges = values.ages || bug?.trustsClocks === true;
    const told = { windowCount: COMPACTION_WINDOWS, hasAges };
    const base = { seed, ciphers: createNodeCiphers(), ...told };
    const verdict = await runCompactionStory(bug === undefined ? base : { ...base, planted: bug });
    const { lastLines, violations, ...counts } = verdict;
    const isOk = violations.length === 0;
    if (!isOk) failures++;
    const facts = Object.entries(counts).map(([key, value]) => `${key}=${value}`);
    const lines = [`seed=${seed} verdict=${isOk ? 'ok' : 'violated'} ${facts.join(' ')}`];
    if (values.trace) lines.push(...lastLines.map((line) => `  ${line}`));
    for (const { invariant, what } of violations) lines.push(`  violated ${invariant}: ${what}`);
    process.stdout.write(`${lines.join('\n')}\n`);
    if (bug !== undefined && !isOk) {
      process.stdout.write(`planted ${values.planted}: found after ${seed - first + 1} seeds\n`);
      break;
    }
    if (!isOk && values.stop) break;
  }
  process.exitCode = failures > 0 || bug !== undefined ? 1 : 0;
}

/** Every crash of one tenant's directory, and flipped bits in it, a line a seed. */
async function runStorage(): Promise<void> {
  for (let seed = first; seed <= last && performance.now() < endMs; seed++) {
    const ciphers = createNodeCiphers();
    const { violations, ...counts } = await runStorageStory({
      ...{ seed, ciphers, stride: 1, flipCount: STORAGE_FLIPS },
    });
    const isOk = violations.length === 0;
    const facts = Object.entries(counts).map(([key, value]) => `${key}=${value}`);
    process.stdout.write(`seed=${seed} verdict=${isOk ? 'ok' : 'violated'} ${facts.join(' ')}\n`);
    for (const { invariant, what } of violations) {
      process.stdout.write(`  violated ${invariant}: ${what}\n`);
    }
    if (!isOk) process.exitCode = 1;
    if (!isOk && values.stop) break;
  }
}

async function runAll(): Promise<void> {
  let failures = 0;
  const probes = new Map<string, number>();
  for (let seed = first; seed <= last && performance.now() < endMs; seed++) {
    const startedMs = performance.now();
    const base = { seed, minutes, ciphers: createNodeCiphers(), jobs, swarm: swarmOf(seed) };

    const told = await runStory(bug === undefined ? base : { ...base, planted: bug });
    const again = values.twice ? await runStory(base) : told;
    const violations = [...told.violations, ...checkRepeatable(told, again)];
    const verdict = { ...told, violations };
    const seconds = (performance.now() - startedMs) / 1000;
    if (verdict.violations.length > 0) failures++;
    print(verdict, seconds);
    for (const [name, count] of verdict.probes) probes.set(name, (probes.get(name) ?? 0) + count);
    if (values.shrink && verdict.violations.length > 0) await printShrunk(verdict);
    if (values.stop && failures > 0) break;
    if (bug !== undefined && failures > 0) {
      process.stdout.write(`planted ${values.planted}: found after ${seed - first + 1} seeds\n`);
      return;
    }
  }
  if (bug !== undefined) process.stdout.write(`planted ${values.planted}: not found\n`);
  if (last > first) failures += printProbes(probes);
  // A planted bug must be found, a real one must not be there.
  process.exitCode = failures > 0 || bug !== undefined ? 1 : 0;
}

/** How often each probe came up over all seeds. Returns how many must have and did not. */
function printProbes(probes: ReadonlyMap<string, number>): number {
  const never = PROBES.filter((name) => !probes.has(name));
  const hits = PROBES.filter((name) => probes.has(name)).map((name) => {
    return `${name}=${probes.get(name) ?? 0}`;
  });
  process.stdout.write(`probes: ${hits.join(' ')}\n`);
  if (never.length > 0) process.stdout.write(`probes never hit: ${never.join(' ')}\n`);
  return values['all-probes'] ? never.length : 0;
}

/** The shape of a seed's story; undefined: that is left to the seed. */
function shapeOf(seed: number): string | undefined {
  return values.shape ?? (values.mixed && seed % MIXED_EVERY === 0 ? 'deletion' : undefined);
}

/** What is not left to the seed. */
function swarmOf(seed: number): Partial<Swarm> {
  return { ...SHAPES[shapeOf(seed) ?? ''], ...bug?.swarm, ...readSwarm() };
}

/** What of the swarm the flags fix. */
function readSwarm(): Partial<Swarm> {
  const { faults, nodes, tenants } = values;
  return {
    ...(faults === undefined ? {} : { faults: faults.split(',').filter((name) => name in FAULTS) }),
    ...(nodes === undefined ? {} : { machineCount: readNumber(nodes, '--nodes') }),
    ...(tenants === undefined ? {} : { tenantCount: readNumber(tenants, '--tenants') }),
  };
}

/** The smallest story that still breaks one of the same promises, as a command. */
async function printShrunk({ seed, swarm, violations }: Verdict): Promise<void> {
  const broken = new Set(violations.map(({ invariant }) => invariant));
  const least = await shrink({ minutes, swarm }, async (plot) => {
    const base = { seed, ...plot, ciphers: createNodeCiphers(), jobs };
    const verdict = await runStory(bug === undefined ? base : { ...base, planted: bug });
    return verdict.violations.some(({ invariant }) => broken.has(invariant));
  });
  const { faults, machineCount, tenantCount } = least.swarm;
  const flags = `--faults ${faults.join(',')} --nodes ${machineCount} --tenants ${tenantCount}`;
  process.stdout.write(`  shrunk: ${commandOf(seed, least.minutes)} ${flags}\n`);
}

/** Every planted bug, and the seeds until it is found; 1 when one is not. */
async function runPlanted(): Promise<void> {
  for (const [name, planted] of Object.entries(PLANTED)) {
    let found: string | undefined;
    let seed = first;
    for (; found === undefined && seed <= last && performance.now() < endMs; seed++) {
      const ciphers = createNodeCiphers();
      const swarm = { ...planted.swarm, ...readSwarm() };
      const { violations } = await runStory({ seed, minutes, ciphers, jobs, planted, swarm });
      found = violations[0]?.invariant;
    }
    const isCut = performance.now() >= endMs;
    const seeds = seed - first;
    const missed = isCut ? `not found in ${seeds} seeds, the time was over` : 'not found';
    const verdict = found === undefined ? missed : `${found} after ${seeds} seeds`;
    process.stdout.write(`planted ${name}: ${verdict}\n`);
    if (found === undefined) process.exitCode = 1;
  }
}

function commandOf(seed: number, forMinutes = minutes): string {
  const planted = values.planted === undefined ? '' : ` --planted ${values.planted}`;
  const shape = shapeOf(seed);
  const shaped = shape === undefined ? '' : ` --shape ${shape}`;
  return `npm run sim -- --seed ${seed} --minutes ${forMinutes}${shaped}${planted} --trace`;
}

function print(verdict: Verdict, seconds: number): void {
  const { acked, counts, events, hash, lastLines, readErrorsBy, seed, sent, swarm, violations } =
    verdict;
  const isOk = violations.length === 0;
  const facts = Object.entries({ events, sent, acked, ...counts, hash });
  const text = facts.map(([key, value]) => `${key}=${value}`).join(' ');
  const lines = [`seed=${seed} verdict=${isOk ? 'ok' : 'violated'} ${text}`];
  if (values.swarm) lines.push(`  ${describeSwarm(swarm)}`);
  for (const [why, count] of readErrorsBy) lines.push(`  read error ${why}: ${count}`);
  const linesShown = values.trace || values.replay !== undefined ? lastLines.length : 0;
  const linesMin = isOk || bug !== undefined ? 0 : LINES_ON_FAILURE;
  const shown = Math.max(linesShown, linesMin);
  if (shown > 0) lines.push(...lastLines.slice(-shown).map((line) => `  ${line}`));
  for (const { invariant, what } of violations) lines.push(`  violated ${invariant}: ${what}`);
  if (!isOk) lines.push(`  replay: ${commandOf(seed)}`);
  process.stdout.write(`${lines.join('\n')}\n`);
  process.stderr.write(`  ${seconds.toFixed(1)} s, ${Math.round(events / seconds)} events/s\n`);
}

function readSeeds(text: string): readonly [first: number, last: number] {
  const [from = '', to = from] = text.split('..');
  return [readNumber(from, '--seeds'), readNumber(to, '--seeds')];
}

function readNumber(text: string, name: string): number {
  const number = Number(text);
  if (text !== '' && Number.isFinite(number) && number >= 0) return number;
  process.stderr.write(`${name} ${text}: is not a number\n`);
  process.exit(2);
}
