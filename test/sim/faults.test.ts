/**
 * Goal: each fault of the simulator does what its namesake does to a real machine. Method: one small
 * world a fault; what must be repeatable is run twice, what is chance over several seeds.
 */
import { dispatch, spawn, start } from 'nact';
import t from 'tap';
import { createNodeCiphers } from '../../platform/node/ciphers.ts';
import type { Platform } from '../../platform/platform.ts';
import { CALM } from '../../sim/network.ts';
import { type Machine, World } from '../../sim/world.ts';

const A = '10.0.0.1';
const B = '10.0.0.2';

interface Scene {
  readonly world: World<Platform>;
  readonly machines: readonly [Machine<Platform>, Machine<Platform>];
  readonly a: Platform;
  readonly b: Platform;
}

function worldOf(seed: number): World<Platform> {
  return new World<Platform>({
    seed,
    machineCount: 2,
    ciphers: createNodeCiphers(),
    jobs: new Map(),
    bootNode: (platform) => Promise.resolve(platform),
    eventsMax: 200_000,
  });
}

async function boot(world: World<Platform>, machine: Machine<Platform>): Promise<Platform> {
  const outcome = await world.boot(machine);
  if (outcome.kind !== 'answer') throw new Error(`no boot: ${outcome.kind}`);
  return outcome.value;
}

/** Runs `story` in a calm world of two machines that are up. */
async function play(
  t: Tap,
  seed: number,
  story: (scene: Scene) => Promise<void>,
): Promise<World<Platform>> {
  const world = worldOf(seed);
  const [first, second] = world.machines;
  if (first === undefined || second === undefined) throw new Error('no machines');
  await world.run(async () => {
    const [a, b] = [await boot(world, first), await boot(world, second)];
    await story({ world, machines: [first, second], a, b });
  });
  t.strictSame(world.broken, []);
  return world;
}

type Tap = Pick<typeof t, 'strictSame'>;

t.test('World.pause(): nothing runs; then timers come first, and arrivals after', async (t) => {
  const order: string[] = [];
  await play(t, 1, async ({ a, b, machines, world }) => {
    const receiver = await a.datagrams.bind(`${A}:1`, () => order.push('datagram'));
    const sender = await b.datagrams.bind(`${B}:1`, () => undefined);
    a.clock.after(500, () => order.push('timer'));
    world.pause(machines[0]);
    sender.send(receiver.address, Buffer.from('x'));
    await world.sleep(1000);
    t.strictSame(order, []);
    const fromMs = a.clock.monotonicMs();
    t.ok(fromMs > 1000, 'time passes for a paused machine');
    world.resume(machines[0]);
    await world.sleep(1);
    t.strictSame(order, ['timer', 'datagram']);

    world.pause(machines[0]);
    sender.send(receiver.address, Buffer.from('lost'));
    a.clock.after(1, () => order.push('from the dead'));
    await world.sleep(10);
    world.kill(machines[0]);
    const next = await boot(world, machines[0]);
    next.clock.after(5, () => order.push('next life'));
    await world.sleep(10);
  });
  t.strictSame(order, ['timer', 'datagram', 'next life']);
});

t.test(
  'World.pause(): a held process pushes back, and its socket drops what is too much',
  async (t) => {
    await play(t, 2, async ({ a, b, machines, world }) => {
      let datagrams = 0;
      let frames = 0;
      const socket = await a.datagrams.bind(`${A}:1`, () => datagrams++);
      const sender = await b.datagrams.bind(`${B}:1`, () => undefined);
      await a.rpc.listen(`${A}:2`, (stream) => stream.onFrame(() => frames++));
      const stream = b.rpc.connect(`${A}:2`, 'write');
      await world.sleep(100);
      world.pause(machines[0]);
      for (let i = 0; i < 300; i++) sender.send(socket.address, new Uint8Array(1000));
      let isOpen = true;
      let isDrained = false;
      stream.onDrain(() => (isDrained = true));
      for (let i = 0; i < 100; i++) isOpen = stream.send(new Uint8Array(10_000));
      await world.sleep(1000);
      t.equal(isOpen, false);
      t.notOk(isDrained, 'the window stays shut while nobody reads');
      world.resume(machines[0]);
      await world.sleep(100);
      t.ok(isDrained);
      t.equal(frames, 100);
      t.equal(datagrams, 212, 'a socket holds 208 KiB');
    });
  },
);

t.test(
  'Machine.wall: the wall clock is off, drifts and steps; the monotonic one does not',
  async (t) => {
    await play(t, 3, async ({ a, b, machines, world }) => {
      const begunMs = a.clock.monotonicMs();
      machines[0].wall.offsetMs = -5000;
      t.equal(b.clock.wallMs() - a.clock.wallMs(), 5000);
      machines[0].wall.offsetMs = 0;
      machines[0].wall.driftPpm = 1000;
      await world.sleep(100_000);
      t.ok(Math.abs(a.clock.wallMs() - b.clock.wallMs() - 100) <= 2);
      t.ok(Math.abs(a.clock.monotonicMs() - begunMs - 100_000) < 1);
    });
  },
);

t.test('SimNetwork: corruption changes one byte, a clog holds and lets go', async (t) => {
  await play(t, 4, async ({ a, b, world }) => {
    const got: Uint8Array[] = [];
    const socket = await a.datagrams.bind(`${A}:1`, (bytes) => got.push(bytes));
    const sender = await b.datagrams.bind(`${B}:1`, () => undefined);
    world.network.faults = { ...CALM, corruption: 0.5 };
    const sent = Buffer.from('as it was sent');
    for (let i = 0; i < 400; i++) sender.send(socket.address, sent);
    await world.sleep(100);
    const changed = got.map((bytes) => bytes.filter((byte, at) => byte !== sent[at]).length);
    t.strictSame(new Set(changed), new Set([0, 1]));
    const share = changed.filter((count) => count === 1).length / got.length;
    t.ok(share > 0.4 && share < 0.6, `${share} are changed`);

    world.network.heal();
    got.length = 0;
    world.network.clog(B, A, 5000);
    sender.send(socket.address, sent);
    await world.sleep(4990);
    t.equal(got.length, 0);
    await world.sleep(100);
    t.equal(got.length, 1);
  });
});

t.test('SimDisk.failWhen: a failed write leaves some prefix', async (t) => {
  const sizes = new Set<number>();
  for (let seed = 1; seed <= 20; seed++) {
    await play(t, seed, async ({ a, machines }) => {
      const file = await a.disk.open('/a', 'create');
      machines[0].disk.failWhen = (call) => (call === 'write' ? 'ENOSPC' : undefined);
      await t.rejects(file.write(Buffer.from('abc'), 0), { code: 'ENOSPC' });
      machines[0].disk.failWhen = () => undefined;
      const text = Buffer.from(await a.disk.readFile('/a')).toString();
      t.ok('abc'.startsWith(text));
      sizes.add(text.length);
    });
  }
  t.strictSame([...sizes].sort(), [0, 1, 2, 3]);
});

t.test(
  'SimDisk.failWhen: what a failed sync covered is lost, whatever later syncs say',
  async (t) => {
    for (let seed = 1; seed <= 10; seed++) {
      await play(t, seed, async ({ a, machines, world }) => {
        const file = await a.disk.open('/a', 'create');
        await a.disk.syncDirectory('/');
        await file.write(Buffer.from('old '), 0);
        await file.sync();
        await file.write(Buffer.from('lost'), 4);
        machines[0].disk.failWhen = (call) => (call === 'sync' ? 'EIO' : undefined);
        await t.rejects(file.sync(), { code: 'EIO' });
        machines[0].disk.failWhen = () => undefined;
        await file.write(Buffer.from('!'), 8);
        await file.sync();
        t.equal(Buffer.from(await a.disk.readFile('/a')).toString(), 'old lost!', 'reads see it');
        world.losePower(machines[0]);
        const { disk } = await boot(world, machines[0]);
        t.equal(Buffer.from(await disk.readFile('/a')).toString(), 'old \0\0\0\0!');
      });
    }
  },
);

/** A node of actors that tick, write what they hear to disk and tell the other machine. */
async function bootToy(platform: Platform, world: World<Platform>, ip: string): Promise<void> {
  const { clock, disk, random, rpc } = platform;
  const file = await disk.open('/log', 'create');
  let offset = 0;
  const name = `${ip}-${random.uint32()}`;
  const system = start({ name } as Parameters<typeof start>[0]); // its types forgot `name`
  const writer = spawn(system, async (_state: unknown, frame: Uint8Array) => {
    await file.write(frame, offset);
    offset += frame.length;
    if (random.float() < 0.1) await file.sync();
  });
  await rpc.listen(`${ip}:9`, (stream) => stream.onFrame((frame) => dispatch(writer, frame)));
  const peer = rpc.connect(`${ip === A ? B : A}:9`, 'write');
  const beat = (): void => {
    peer.send(random.bytes(1 + (random.uint32() % 100)));
    clock.after(random.float() * 20, beat);
  };
  beat();
  setInterval(() => world.note(`${ip} ${offset}`), 100);
}

t.test('World: actors, timers, disk and streams repeat to the bit, through crashes', async (t) => {
  const draw = async (seed: number): Promise<string> => {
    const world = await play(t, seed, async ({ machines, world }) => {
      const up = async (machine: Machine<Platform>): Promise<void> => {
        if (machine.life === undefined) await boot(world, machine);
        await world.ask(machine, 1000, (platform) => bootToy(platform, world, machine.ip));
      };
      for (const machine of machines) await up(machine);
      const random = world.random.child('test');
      for (let fault = 0; fault < 20; fault++) {
        await world.sleep(random.between(0, 500));
        const machine = machines[random.below(2)] ?? machines[0];
        world.network.faults = { ...CALM, latencyMs: random.between(0.1, 20) };
        machine.wall.offsetMs = random.between(-1e6, 1e6);
        world.pause(machine);
        await world.sleep(random.between(0, 100));
        if (random.chance(0.5)) world.resume(machine);
        else if (random.chance(0.5)) world.kill(machine);
        else world.losePower(machine);
        if (machine.life === undefined) await up(machine);
      }
    });
    t.ok(world.loop.eventCount > 2000, `${world.loop.eventCount} events`);
    return `${world.loop.eventCount} ${world.trace.hash}`;
  };
  const first = await draw(5);
  t.equal(await draw(5), first);
  t.not(await draw(6), first);
});
