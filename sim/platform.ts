/** The simulated `Platform`: what one life of one node is given. The code above cannot tell. */
import type { Ciphers, Log, LogFacts, Platform } from '../platform/platform.ts';
import type { Oddity, ProbeName } from '../platform/rare.ts';
import type { SimBucketStore } from './bucket.ts';
import { SimClock, type WallError } from './clock.ts';
import type { SimDisk } from './disk.ts';
import type { Loop, Owner } from './loop.ts';
import type { SimNetwork } from './network.ts';
import type { SimRandom } from './random.ts';
import type { Trace } from './trace.ts';
import { type SimJobs, createSimWorkers } from './workers.ts';

/** How often a place of those that the seed drew is unusual. */
const ODD_CHANCE = 0.5;

export interface SimPlatformOptions {
  readonly loop: Loop;
  readonly trace: Trace;
  readonly owner: Owner;
  readonly ip: string;
  readonly network: SimNetwork;
  readonly disk: SimDisk;
  readonly bucket: SimBucketStore;
  readonly random: SimRandom;
  readonly ciphers: Ciphers;
  readonly jobs: SimJobs;
  readonly wall: Readonly<WallError>;
  readonly oddities: ReadonlySet<Oddity>;
}

export function createSimPlatform(options: SimPlatformOptions): Platform {
  const { disk, jobs, loop, network, owner, random, trace } = options;
  const clock = new SimClock(loop, owner, options.wall);
  return {
    clock,
    random: random.child('node'),
    ciphers: options.ciphers,
    disk: disk.sideOf(owner),
    ...network.sideOf(owner, options.ip),
    workers: createSimWorkers(loop, owner, { jobs, random: random.child('workers') }),
    bucket: options.bucket.sideOf(clock),
    log: createSimLog(loop, trace, owner.name),
    odd: oddOf(options.oddities, random.child('odd')),
  };
}

/** Those that the seed drew are unusual now and then. */
function oddOf(oddities: ReadonlySet<Oddity>, random: SimRandom): (oddity: Oddity) => boolean {
  return (oddity) => oddities.has(oddity) && random.chance(ODD_CHANCE);
}

/** Log lines go to the trace. Facts are printed, not hashed by identity; stacks are left out. */
function createSimLog(loop: Loop, trace: Trace, name: string, base: LogFacts = {}): Log {
  const write = (level: string) => (event: string, facts?: LogFacts) => {
    const all = { ...base, ...facts };
    const text = Object.entries(all)
      .map(([key, value]) => ` ${key}=${print(value)}`)
      .join('');
    trace.probe(`log ${event}`);
    trace.line(`${loop.nowMs.toFixed(2)} ${name} ${level} ${event}${text}`);
  };
  const probe = (probed: ProbeName): void => trace.probe(probed);
  return {
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
    probe,
    child: (facts) => createSimLog(loop, trace, name, { ...base, ...facts }),
  };
}

function print(value: unknown): string {
  if (value instanceof Error) return value.message;
  if (typeof value === 'string') return value;
  return value === undefined ? '' : JSON.stringify(value);
}
