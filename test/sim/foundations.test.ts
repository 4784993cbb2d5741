/**
 * Goal: what a simulated run stands on is exact and repeatable: time, chance, the process's globals,
 * the disk across a loss of power, datagrams and streams. Method: small worlds of toy nodes.
 */
import dns from 'node:dns';
import { createRequire } from 'node:module';
import { start } from 'nact';
import t from 'tap';
import { StarlingError } from '../../model/errors.ts';
import { createNodeCiphers } from '../../platform/node/ciphers.ts';
import type { Platform, RpcStream } from '../../platform/platform.ts';
import { SimRandom } from '../../sim/random.ts';
import { type Machine, World } from '../../sim/world.ts';

/** A world whose nodes are their platforms. */
function toyWorld(seed: number, machineCount = 2): World<Platform> {
  return new World<Platform>({
    seed,
    machineCount,
    ciphers: createNodeCiphers(),
    jobs: new Map([['double', (input) => ({ output: Number(input) * 2 })]]),
    bootNode: (platform) => Promise.resolve(platform),
    eventsMax: 200_000,
  });
}

async function platformOf(
  world: World<Platform>,
  machine: Machine<Platform> | undefined,
): Promise<Platform> {
  if (machine === undefined) throw new Error('no such machine');
  const outcome = await world.boot(machine);
  if (outcome.kind !== 'answer') throw new Error(`no boot: ${JSON.stringify(outcome)}`);
  return outcome.value;
}

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();

t.test('SimRandom: a child depends on its name, not on what was drawn', (t) => {
  const fresh = new SimRandom(7).child('disk');
  const parent = new SimRandom(7);
  parent.uint32();
  t.equal(parent.child('disk').uint32(), fresh.uint32());
  t.not(parent.child('disk').uint32(), parent.child('network').uint32());
  t.not(new SimRandom(8).uint32(), new SimRandom(9).uint32());
  let sum = 0;
  for (let i = 0; i < 10_000; i++) sum += parent.float();
  t.ok(Math.abs(sum / 10_000 - 0.5) < 0.02, 'floats are spread over [0, 1)');
  t.end();
});

t.test('World: timers, promises and ticks of a node run in order on virtual time', async (t) => {
  const world = toyWorld(1);
  const order: string[] = [];
  const before = Date.now();
  await world.run(async () => {
    const { clock } = await platformOf(world, world.machines[0]);
    clock.after(20, () => order.push(`20 at ${clock.monotonicMs().toFixed(0)}`));
    clock.after(10, () => {
      order.push('10');
      void Promise.resolve().then(() => order.push('10 promise'));
      process.nextTick(() => order.push('10 tick'));
      clock.nextTurn(() => order.push('10 turn'));
    });
    clock.after(10, () => order.push('10 second'));
    await world.sleep(86_400_000);
  });
  t.strictSame(order, ['10', '10 tick', '10 promise', '10 second', '10 turn', '20 at 20']);
  t.strictSame(world.broken, []);
  t.ok(Date.now() - before < 60_000, 'a virtual day is short');
});

t.test('World: globals are virtual inside, real after, and real I/O fails the run', async (t) => {
  const real = [Date, setTimeout, Math.random];
  const draw = async (): Promise<string> => {
    const world = toyWorld(3);
    const seen: unknown[] = [];
    await world.run(async () => {
      await platformOf(world, world.machines[0]);
      seen.push(Date.now(), new Date().toISOString(), performance.now(), Math.random());
      seen.push(crypto.randomUUID(), new Date(5).getTime());
      await new Promise<void>((resolve) => setTimeout(resolve, 1000));
      await new Promise<void>((resolve) => setImmediate(resolve));
      const interval = setInterval(() => seen.push('beat'), 100);
      await world.sleep(350);
      clearInterval(interval);
      await world.sleep(350);
      seen.push(Date.now());
    });
    t.strictSame(world.broken, []);
    return JSON.stringify(seen);
  };
  const first = await draw();
  t.equal(first, await draw());
  t.match(first, /2027-01-01T00:00:00/);
  t.equal(first.match(/beat/g)?.length, 3);
  t.strictSame([Date, setTimeout, Math.random], real, 'the real ones are back');

  const world = toyWorld(4);
  const { lookup } = dns;
  const asksDns = world.run(async () => {
    await platformOf(world, world.machines[0]);
    dns.lookup('localhost', () => undefined);
  });
  await t.rejects(asksDns, /inside the simulation/);
  t.match(world.broken[0], /real effect: dns.lookup/);
  t.equal(dns.lookup, lookup);
});

t.test('World: the same story without _tickCallback, one real turn an event', async (t) => {
  const tell = async (): Promise<string> => {
    const world = toyWorld(8);
    await world.run(async () => {
      const { clock, disk } = await platformOf(world, world.machines[0]);
      for (let i = 0; i < 20; i++) {
        await new Promise<void>((resolve) => setTimeout(resolve, Math.random() * 10));
        await disk.makeDirectory(`/${clock.monotonicMs()}`);
      }
    });
    t.strictSame(world.broken, []);
    return world.trace.hash;
  };
  const hash = await tell();
  const before = Object.getOwnPropertyDescriptor(process, '_tickCallback');
  Object.defineProperty(process, '_tickCallback', { value: undefined, configurable: true });
  t.teardown(() => {
    if (before !== undefined) Object.defineProperty(process, '_tickCallback', before);
  });
  t.equal(await tell(), hash);
});

t.test('World: an error that nobody handles, and a story without end, break the run', async (t) => {
  const world = toyWorld(5);
  await world.run(async () => {
    void Promise.reject(new Error('left alone'));
    await world.sleep(1);
    await world.sleep(1);
  });
  t.match(world.broken[0], /left alone/);
  const stuck = toyWorld(6);
  await stuck.run(() => new Promise<void>(() => undefined));
  t.match(stuck.broken[0], /stuck/);
});

t.test('World.kill(): nothing of a dead life runs any more', async (t) => {
  const world = toyWorld(7);
  const seen: string[] = [];
  await world.run(async () => {
    const machine = world.machines[0]!;
    const first = await platformOf(world, machine);
    first.clock.after(100, () => seen.push('first'));
    await first.disk.lock('/data');
    const hanging = world.ask(machine, 500, () => new Promise<void>(() => undefined));
    world.kill(machine);
    const second = await platformOf(world, machine);
    second.clock.after(100, () => seen.push('second'));
    await second.disk.lock('/data');
    await t.rejects(second.disk.lock('/data'), new StarlingError('disk.locked', { path: '/data' }));
    t.equal((await hanging).kind, 'timeout');
  });
  t.strictSame(seen, ['second']);
});

t.test(
  'World: what nact keeps of killed lives is forgotten, and all of it when a run ends',
  async (t) => {
    const world = toyWorld(8);
    const systems = createRequire(import.meta.url)('nact/lib/system-map') as {
      readonly find: (name: string) => unknown;
    };
    const isKept = (name: string): boolean => systems.find(name) !== undefined;
    const startIn = async (machine: Machine<Platform>, name: string): Promise<void> => {
      await platformOf(world, machine);
      const begin = (): unknown => start({ name } as Parameters<typeof start>[0]); // its types forgot `name`
      await world.ask(machine, 100, () => Promise.resolve(begin()));
    };
    await world.run(async () => {
      const [first, second] = world.machines as [Machine<Platform>, Machine<Platform>];
      await startIn(first, 'killed');
      await startIn(second, 'alive');
      world.kill(first);
      await startIn(first, 'next');
      t.strictSame(['killed', 'alive', 'next'].map(isKept), [false, true, true]);
    });
    t.strictSame(['killed', 'alive', 'next'].map(isKept), [false, false, false]);
  },
);

t.test('SimDisk: what was synced survives a power loss, what was not may be lost', async (t) => {
  const outcomes = new Set<string>();
  for (let seed = 1; seed <= 60; seed++) {
    const world = toyWorld(seed);
    await world.run(async () => {
      const machine = world.machines[0]!;
      const { disk } = await platformOf(world, machine);
      await disk.makeDirectory('/data/wal');
      for (const path of ['/', '/data', '/data/wal']) await disk.syncDirectory(path);
      const file = await disk.open('/data/wal/0', 'create');
      await disk.syncDirectory('/data/wal');
      await file.write(Buffer.from('safe'), 0);
      await file.sync();
      await file.write(Buffer.alloc(1024, 'x'), 4);
      const renamed = await disk.open('/data/new', 'create');
      await renamed.close();
      await disk.rename('/data/new', '/data/old');
      world.losePower(machine);
      const after = await platformOf(world, machine);
      const bytes = await after.disk.readFile('/data/wal/0');
      const names = (await after.disk.list('/data')).join();
      t.equal(text(bytes.subarray(0, 4)), 'safe');
      // Of a torn write each sector of the file came down, or did not.
      t.match(text(bytes.subarray(4)), /^(x{508}|\0{508})?(x{512}|\0{512})?(x{4})?$/);
      outcomes.add(String(bytes.length)).add(names);
      if (bytes.includes(0)) outcomes.add('a hole');
    });
    t.strictSame(world.broken, []);
  }
  const expected = ['4', '512', '1024', '1028', 'a hole', 'wal', 'old,wal', 'new,wal'];
  for (const outcome of expected) {
    t.ok(outcomes.has(outcome), `some seed leaves ${outcome}`);
  }
});

t.test(
  'SimDisk: a killed process loses nothing that was written, and errors carry codes',
  async (t) => {
    const world = toyWorld(11);
    await world.run(async () => {
      const machine = world.machines[0]!;
      const { disk } = await platformOf(world, machine);
      await t.rejects(disk.open('/none', 'read'), { code: 'ENOENT' });
      await t.rejects(disk.remove('/none'), { code: 'ENOENT' });
      const file = await disk.open('/a', 'create');
      await file.write(Buffer.from('hello world'), 0);
      await file.truncate(5);
      world.kill(machine);
      const after = await platformOf(world, machine);
      t.equal(text(await after.disk.readFile('/a')), 'hello');
      t.strictSame(await after.disk.stat('/a'), { kind: 'file', sizeBytes: 5 });
      machine.disk.failWhen = (call) => (call === 'readFile' ? 'EIO' : undefined);
      await t.rejects(after.disk.readFile('/a'), { code: 'EIO' });
      machine.disk.wipe();
      t.strictSame(await after.disk.list('/'), []);
    });
    t.strictSame(world.broken, []);
  },
);

t.test('SimNetwork: datagrams are copied, lost, doubled and cut one way', async (t) => {
  const world = toyWorld(12);
  const got = { a: 0, b: 0 };
  let firstText = '';
  await world.run(async () => {
    const [a, b] = [
      await platformOf(world, world.machines[0]),
      await platformOf(world, world.machines[1]),
    ];
    const left = await a.datagrams.bind('10.0.0.1:7946', () => got.a++);
    const right = await b.datagrams.bind('10.0.0.2:7946', (bytes) => {
      if (got.b++ === 0) firstText = text(bytes);
    });
    await t.rejects(
      a.datagrams.bind('10.0.0.1:7946', () => undefined),
      { code: 'EADDRINUSE' },
    );
    const bytes = Buffer.from('ping');
    left.send('10.0.0.2:7946', bytes);
    bytes.fill(0);
    left.send('10.0.0.9:1', bytes);
    await world.sleep(100);
    t.equal(firstText, 'ping');
    world.network.cut('10.0.0.1', '10.0.0.2');
    left.send('10.0.0.2:7946', bytes);
    right.send('10.0.0.1:7946', bytes);
    await world.sleep(100);
    t.strictSame(got, { a: 1, b: 1 });
    world.network.heal();
    world.network.faults = { latencyMs: 1, tailMs: 1, loss: 0.3, duplication: 0.2 };
    for (let i = 0; i < 1000; i++) left.send('10.0.0.2:7946', bytes);
    await world.sleep(100);
    t.ok(got.b > 700 && got.b < 1000, `${got.b} of 1000 arrive`);
  });
  t.strictSame(world.broken, []);
});

t.test(
  'SimNetwork: streams keep order, push back, and close once on every kind of end',
  async (t) => {
    const world = toyWorld(13);
    await world.run(async () => {
      const [a, b] = [
        await platformOf(world, world.machines[0]),
        await platformOf(world, world.machines[1]),
      ];
      const accepted: RpcStream[] = [];
      const frames: number[] = [];
      await b.rpc.listen('10.0.0.2:9095', (stream) => {
        accepted.push(stream);
        stream.onFrame((frame) => frames.push(Buffer.from(frame).readUInt32LE(0)));
      });
      const closed: string[] = [];
      const dial = (address: string, name: string): RpcStream => {
        const stream = a.rpc.connect(address, 'write');
        stream.onClose((why) => closed.push(`${name}: ${why}`));
        return stream;
      };
      const stream = dial('10.0.0.2:9095', 'first');
      let drains = 0;
      stream.onDrain(() => drains++);
      let refusals = 0;
      for (let i = 0; i < 100; i++) {
        const frame = Buffer.alloc(8192);
        frame.writeUInt32LE(i);
        if (!stream.send(frame)) refusals++;
        frame.fill(0xff);
      }
      await world.sleep(1000);
      t.strictSame(
        frames,
        Array.from({ length: 100 }, (_, i) => i),
      );
      t.ok(refusals > 50);
      t.equal(drains, 1);
      accepted[0]?.close('enough');
      dial('10.0.0.2:1', 'refused');
      await world.sleep(1000);
      t.strictSame(closed.splice(0).sort(), [
        'first: the peer ended the stream',
        'refused: connection refused',
      ]);
      dial('10.0.0.2:9095', 'cut');
      await world.sleep(100);
      world.network.partition(['10.0.0.1'], ['10.0.0.2']);
      dial('10.0.0.2:9095', 'blocked');
      await world.sleep(20_000);
      t.strictSame(closed.splice(0).sort(), [
        'blocked: connecting timed out',
        'cut: the keepalive timed out',
      ]);
      world.network.heal();
      dial('10.0.0.2:9095', 'crash');
      await world.sleep(100);
      world.kill(world.machines[1]!);
      await world.sleep(100);
      t.strictSame(closed.splice(0), ['crash: the peer process died']);
      t.equal(await a.workers.run('double', 21), 42);
      await t.rejects(a.workers.run('none', 1), /internal error/);
    });
    t.strictSame(world.broken, []);
  },
);
