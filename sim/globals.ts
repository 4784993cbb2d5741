/**
 * The process's globals while a run lasts: timers, dates and randomness that libraries use are
 * virtual, and anything that would reach the real world fails the run. A run is one macrotask: it
 * starts in a real `setImmediate`, drains microtasks itself and gives everything back at its end, so
 * the program around it never sees a virtual global.
 *
 * `process._tickCallback` runs next ticks and microtasks to exhaustion, but only inside a macrotask.
 * It is not documented, hence the self-test; without it each event takes a real turn.
 */
import { createRequire, syncBuiltinESMExports } from 'node:module';
import { EPOCH_MS, TIMER_MS_MIN, TURN_MS } from './clock.ts';
import type { Loop, Owner } from './loop.ts';
import type { SimRandom } from './random.ts';

const load = createRequire(import.meta.url);
const realSetImmediate = setImmediate;
const RealDate = Date;

type Members = Record<string, unknown>;

/** Undoes what was replaced, the last first. */
type Undo = () => void;

interface TickProcess {
  readonly _tickCallback?: () => void;
}

export interface VirtualWorld {
  readonly loop: Loop;
  readonly random: SimRandom;
  /** The run is broken: real I/O was asked for, or an error had no handler. */
  readonly onBroken: (why: string) => void;
}

/** Runs next ticks and microtasks to exhaustion, where Node can. */
export function drainMicrotasks(): void {
  (process as TickProcess)._tickCallback?.();
}

/** True when `drainMicrotasks` works here. Call it inside a macrotask. */
function canDrain(): boolean {
  const order: number[] = [];
  void Promise.resolve()
    .then(() => order.push(2))
    .then(() => order.push(3));
  process.nextTick(() => order.push(1));
  drainMicrotasks();
  return order.join() === '1,2,3';
}

/** Steps the loop until `isDone` or nothing is left, with virtual globals around it. */
export function runVirtually(
  world: VirtualWorld,
  begin: () => void,
  isDone: () => boolean,
): Promise<void> {
  return new Promise((resolve, reject) => {
    realSetImmediate(() => {
      const isSynchronous = canDrain();
      const undo = install(world);
      const end = (error?: unknown): void => {
        undo();
        if (error === undefined) resolve();
        else reject(error instanceof Error ? error : new Error(describe(error)));
      };
      const step = (): boolean => {
        try {
          return !isDone() && world.loop.step();
        } catch (error) {
          world.onBroken(`uncaught: ${describe(error)}`);
          return !isDone();
        }
      };
      try {
        begin();
        if (isSynchronous) {
          drainMicrotasks();
          while (step());
          end();
          return;
        }
      } catch (error) {
        end(error);
        return;
      }
      const turn = (): void => {
        if (step()) realSetImmediate(turn);
        else end();
      };
      realSetImmediate(turn);
    });
  });
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

function install(world: VirtualWorld): Undo {
  const undos: Undo[] = [];
  const replace = (target: object, name: string, value: unknown): void => {
    const before = Object.getOwnPropertyDescriptor(target, name);
    Object.defineProperty(target, name, { value, configurable: true, writable: true });
    undos.push(() => {
      if (before === undefined) Reflect.deleteProperty(target, name);
      else Object.defineProperty(target, name, before);
    });
  };
  replaceTimers(world, replace);
  replaceDates(world, replace);
  replaceRandomness(world, replace);
  undos.push(keepActorSystems(world, replace));
  setTripwires(world, replace);
  syncBuiltinESMExports();
  const onError = (error: unknown): void => world.onBroken(`unhandled: ${describe(error)}`);
  process.on('unhandledRejection', onError);
  process.on('uncaughtException', onError);
  return () => {
    for (const undo of undos.reverse()) undo();
    syncBuiltinESMExports();
    process.off('unhandledRejection', onError);
    process.off('uncaughtException', onError);
  };
}

type Replace = (target: object, name: string, value: unknown) => void;

/** What `setTimeout` and its kin answer: enough of Node's Timeout. */
class VirtualTimer {
  #cancel: () => void = () => undefined;
  readonly #arm: () => () => void;

  constructor(arm: () => () => void) {
    this.#arm = arm;
    this.refresh();
  }

  refresh(): this {
    this.#cancel();
    this.#cancel = this.#arm();
    return this;
  }

  cancel(): void {
    this.#cancel();
  }

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }

  hasRef(): boolean {
    return true;
  }
}

type Callback = (...values: unknown[]) => void;

function replaceTimers({ loop }: VirtualWorld, replace: Replace): void {
  const delayOf = (delayMs: unknown): number => Math.max(TIMER_MS_MIN, Number(delayMs) || 0);
  const once = (delayMs: number, callback: Callback, values: unknown[]): VirtualTimer => {
    const owner = loop.current;
    return new VirtualTimer(() => {
      const pending = loop.schedule(owner, delayMs, () => callback(...values));
      return () => pending.cancel();
    });
  };
  const virtualTimers = {
    setTimeout: (callback: Callback, delayMs?: unknown, ...values: unknown[]) =>
      once(delayOf(delayMs), callback, values),
    setImmediate: (callback: Callback, ...values: unknown[]) => once(TURN_MS, callback, values),
    setInterval: (callback: Callback, delayMs?: unknown, ...values: unknown[]) => {
      const timer: VirtualTimer = once(
        delayOf(delayMs),
        () => {
          timer.refresh();
          callback(...values);
        },
        [],
      );
      return timer;
    },
    clearTimeout: clear,
    clearInterval: clear,
    clearImmediate: clear,
  };
  for (const [name, value] of Object.entries(virtualTimers)) {
    replace(globalThis, name, value);
    replace(load('node:timers') as object, name, value);
  }
}

function clear(timer: unknown): void {
  if (timer instanceof VirtualTimer) timer.cancel();
}

function replaceDates({ loop }: VirtualWorld, replace: Replace): void {
  const nowMs = (): number => Math.floor(EPOCH_MS + loop.nowMs);
  const VirtualDate = new Proxy(RealDate, {
    construct: (target, values: unknown[], newTarget: new () => Date) =>
      Reflect.construct(target, values.length === 0 ? [nowMs()] : values, newTarget) as Date,
    apply: () => new RealDate(nowMs()).toString(),
    get: (target, name, receiver) =>
      name === 'now' ? nowMs : (Reflect.get(target, name, receiver) as unknown),
  });
  replace(globalThis, 'Date', VirtualDate);
  replace(performance, 'now', () => loop.nowMs);
  const nanoseconds = (): bigint => BigInt(Math.floor(loop.nowMs * 1e6));
  const hrtime = (before: readonly [number, number] = [0, 0]): [number, number] => {
    const past = nanoseconds() - BigInt(before[0]) * 1_000_000_000n - BigInt(before[1]);
    return [Number(past / 1_000_000_000n), Number(past % 1_000_000_000n)];
  };
  replace(process, 'hrtime', Object.assign(hrtime, { bigint: nanoseconds }));
  replace(process, 'uptime', () => loop.nowMs / 1000);
}

function replaceRandomness({ random }: VirtualWorld, replace: Replace): void {
  const fill = (target: ArrayBufferView): ArrayBufferView => {
    new Uint8Array(target.buffer, target.byteOffset, target.byteLength).set(
      random.bytes(target.byteLength),
    );
    return target;
  };
  const uuid = (): string => {
    const hex = Buffer.from(random.bytes(16)).toString('hex');
    return hex.replace(/^(.{8})(.{4}).(.{3}).(.{3})(.{12})$/, '$1-$2-4$3-a$4-$5');
  };
  replace(Math, 'random', () => random.float());
  const nodeCrypto = load('node:crypto') as Members;
  replace(nodeCrypto, 'randomBytes', (count: number) => Buffer.from(random.bytes(count)));
  replace(nodeCrypto, 'randomFillSync', fill);
  replace(nodeCrypto, 'randomUUID', uuid);
  replace(nodeCrypto, 'randomInt', (a: number, b?: number) =>
    b === undefined ? random.below(a) : a + random.below(b - a),
  );
  replace(globalThis.crypto, 'getRandomValues', fill);
  replace(globalThis.crypto, 'randomUUID', uuid);
}

/** What nact keeps of each system that was started in this process, by its name. */
interface SystemMap {
  readonly add: (system: { readonly name: string }) => void;
  readonly remove: (name: string) => void;
}

/**
 * A node that is killed stops no actors, so nact would keep it and its whole world for good: systems of dead lives are
 * forgotten when the next life begins, all others when the run ends.
 */
function keepActorSystems({ loop }: VirtualWorld, replace: Replace): Undo {
  const systems = load('nact/lib/system-map') as SystemMap;
  const { add, remove } = systems;
  const owners = new Map<string, Owner>();
  const forget = (isForgotten: (owner: Owner) => boolean): void => {
    for (const [name, owner] of owners) {
      if (!isForgotten(owner)) continue;
      remove(name);
      owners.delete(name);
    }
  };
  replace(systems, 'add', (system: { readonly name: string }): void => {
    forget((owner) => !owner.isAlive);
    owners.set(system.name, loop.current);
    add(system);
  });
  return () => forget(() => true);
}

/** Module, optional member, and the functions that reach the world. Reads in step load modules. */
const TRIPWIRES: readonly (readonly [module: string, path: readonly string[], names: string])[] = [
  ['fs', [], 'open read write readFile writeFile appendFile readdir stat lstat mkdir rename rm'],
  ['fs', [], 'unlink access truncate watch createReadStream createWriteStream writeFileSync'],
  ['fs', ['promises'], 'open readFile writeFile appendFile readdir stat mkdir rename rm unlink'],
  ['net', ['Socket', 'prototype'], 'connect'],
  ['net', ['Server', 'prototype'], 'listen'],
  ['dgram', [], 'createSocket'],
  ['dgram', ['Socket', 'prototype'], 'bind send'],
  ['dns', [], 'lookup resolve'],
  ['child_process', [], 'spawn exec execFile fork'],
  ['worker_threads', [], 'Worker'],
  ['zlib', [], 'gzip gunzip deflate inflate deflateRaw inflateRaw brotliCompress brotliDecompress'],
  ['crypto', [], 'pbkdf2 scrypt hkdf randomFill generateKeyPair'],
  ['timers/promises', [], 'setTimeout setImmediate setInterval'],
];

function setTripwires({ onBroken }: VirtualWorld, replace: Replace): void {
  const trip = (what: string) =>
    function tripwire(): never {
      onBroken(`real effect: ${what}`);
      throw new Error(`${what} was called inside the simulation`);
    };
  for (const [module, path, names] of TRIPWIRES) {
    let target = load(`node:${module}`) as Members;
    for (const member of path) target = target[member] as Members;
    for (const name of names.split(' ')) {
      replace(target, name, trip([module, ...path, name].join('.')));
    }
  }
  replace(AbortSignal, 'timeout', trip('AbortSignal.timeout'));
  replace(globalThis, 'fetch', trip('fetch'));
}
