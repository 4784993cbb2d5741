/**
 * Goal: a machine that lost its disk, or a part of its log, is filled again by the others, says that it is
 * whole only then, and is: with any one other machine it answers for everything acknowledged. Method: small
 * clusters of real nodes in the simulator; the loss, the wait for the word, then the audit of each pair.
 */
import t from 'tap';
import type { RunningNode } from '../../cli/node.ts';
import { createNodeCiphers } from '../../platform/node/ciphers.ts';
import { audit } from '../../sim/audit.ts';
import { bootStarling, isReady, loadTargetOf } from '../../sim/cluster.ts';
import { Workload } from '../../sim/workload.ts';
import { type Machine, World } from '../../sim/world.ts';
import { jobs } from '../../cli/jobs.ts';

/** Reads mind for so long that a cluster once had fewer copies. */
const YOUNG_MS = 17 * 60_000;
const WAIT_MS = 120_000;

type NodeMachine = Machine<RunningNode>;

interface Scene {
  readonly world: World<RunningNode>;
  readonly workload: Workload;
  readonly boot: (machine: NodeMachine) => Promise<void>;
  /** Until all machines see the first one as whole; false: never. */
  readonly untilWhole: () => Promise<boolean>;
}

/** A cluster that is not young any more, with a load on it; returns what was violated. */
async function tell(
  machineCount: number,
  seed: number,
  story: (scene: Scene) => Promise<void>,
): Promise<readonly string[]> {
  const flags = new Map([
    ['replication-factor', '3'],
    ['multitenancy', 'true'],
  ]);
  const world = new World<RunningNode>({
    seed,
    machineCount,
    ciphers: createNodeCiphers(),
    jobs,
    bootNode: bootStarling(machineCount, flags),
  });
  const workload = new Workload(loadTargetOf(world), {
    writers: 4,
    seriesPerWriter: 5,
    everyMs: 400,
    tenantCount: 2,
    repeatChance: 0.1,
    lateChance: 0.1,
  });
  const boot = async (machine: NodeMachine): Promise<void> => {
    await world.boot(machine);
    await world.until(() => isReady(machine.life?.node), WAIT_MS);
  };
  const untilWhole = (): Promise<boolean> =>
    world.until(
      () =>
        world.machines.every(({ life }) =>
          life?.node?.api.ring().instances.every(({ missingBeforeMs }) => missingBeforeMs === 0),
        ),
      WAIT_MS,
    );
  await world.run(async () => {
    await Promise.all(world.machines.map(boot));
    for (const machine of world.machines) world.kill(machine);
    await world.sleep(YOUNG_MS); // without events
    await Promise.all(world.machines.map(boot));
    workload.start();
    await world.sleep(5000);
    // Each of the others misses some samples: these are on the first machine and one more.
    for (const machine of world.machines.slice(1)) {
      world.kill(machine);
      await world.sleep(5000);
      await boot(machine);
      await world.sleep(1500);
    }
    await story({ world, workload, boot, untilWhole });
  });
  t.ok(workload.history.ackedCount > 300, `${workload.history.ackedCount} acknowledged`);
  return [...workload.violations.map(({ what }) => what), ...world.broken];
}

/** Asks for everything while one of the others is down, each in turn. */
async function auditWithoutEach({ boot, workload, world }: Scene): Promise<void> {
  await workload.stop();
  const [first, ...others] = world.machines;
  for (const down of others) {
    world.kill(down);
    const up = others.filter((machine) => machine !== down);
    await audit(workload, [first?.name ?? '', ...up.map(({ name }) => name)]);
    await boot(down);
  }
}

t.test('a machine with an empty disk is filled again, and then counts', async (t) => {
  const found = await tell(3, 1, async (scene) => {
    const { boot, untilWhole, world } = scene;
    const [first] = world.machines;
    if (first === undefined) return;
    world.wipe(first);
    await boot(first);
    t.ok(first.life?.node?.api.ring().instances.some((one) => one.missingBeforeMs > 0));
    t.ok(await untilWhole(), 'it says that it is whole');
    world.losePower(first); // what was filled stands beside the log, and hides nothing of it
    await boot(first);
    t.ok(await untilWhole(), 'it still is');
    await auditWithoutEach(scene);
  });
  t.strictSame(found, []);
});

t.test(
  'with more machines than copies it holds its share and what it took for others, and counts',
  async (t) => {
    const found = await tell(5, 4, async (scene) => {
      const { boot, untilWhole, world } = scene;
      const [first, ...others] = world.machines;
      if (first === undefined) return;
      for (const [i, leaving] of others.entries()) {
        // The first machine takes some series for the one that leaves, and one more misses them.
        const dead = others[(i + 1) % others.length] ?? leaving;
        await world.ask(leaving, 10_000, (node) => node.stop());
        world.kill(dead);
        await world.sleep(3000);
        world.kill(leaving);
        await Promise.all([boot(leaving), boot(dead)]);
      }
      world.wipe(first);
      await boot(first);
      t.ok(await untilWhole(), 'it says that it is whole');
      await auditWithoutEach(scene);
    });
    t.strictSame(found, []);
  },
);

t.test('a machine whose log is damaged is filled again, and then counts', async (t) => {
  const found = await tell(3, 2, async (scene) => {
    const { boot, untilWhole, world } = scene;
    const [first] = world.machines;
    if (first === undefined) return;
    world.kill(first);
    const disk = first.disk.sideOf(world.loop.world);
    const file = await disk.open('/data/tenants/tenant-0/wal/00000000', 'read-write');
    await file.write(new Uint8Array(3000).fill(7), 500);
    await file.close();
    await boot(first);
    t.ok(first.life?.node?.api.ring().instances.some((one) => one.missingBeforeMs > 0));
    t.ok(await untilWhole(), 'it says that it is whole');
    await auditWithoutEach(scene);
  });
  t.strictSame(found, []);
});

t.test(
  'a machine that lost its registry and nothing else does not count until it is filled',
  async (t) => {
    const found = await tell(3, 6, async (scene) => {
      const { boot, untilWhole, workload, world } = scene;
      const [first] = world.machines;
      if (first === undefined) return;
      await workload.stop();
      world.kill(first);
      const disk = first.disk.sideOf(world.loop.world);
      await disk.remove('/data/registry');
      await disk.syncDirectory('/data');
      await boot(first);
      t.ok(first.life?.node?.api.ring().instances.some((one) => one.missingBeforeMs > 0));
      t.ok(await untilWhole(), 'it says that it is whole');
      await auditWithoutEach(scene);
    });
    t.strictSame(found, []);
  },
);

/** Whether the end of a block's chunks is as `rotBlock` left it. */
async function isRotten({ world }: Scene, machine: NodeMachine, id: string): Promise<boolean> {
  const disk = machine.disk.sideOf(world.loop.world);
  const bytes = await disk.readFile(`/data/tenants/tenant-0/${id}/chunks/000001`);
  return bytes.subarray(-20).every((byte) => byte === 7);
}

/** Rots a chunk of the first block of a tenant on a machine; returns the block's name. */
async function rotBlock({ world }: Scene, machine: NodeMachine): Promise<string> {
  const disk = machine.disk.sideOf(world.loop.world);
  const directory = '/data/tenants/tenant-0';
  const id = (await disk.list(directory)).find((name) => /^[0-9A-Z]{26}$/.test(name)) ?? '';
  const file = await disk.open(`${directory}/${id}/chunks/000001`, 'read-write');
  const { sizeBytes } = (await disk.stat(`${directory}/${id}/chunks/000001`)) ?? { sizeBytes: 0 };
  await file.write(new Uint8Array(20).fill(7), sizeBytes - 20);
  await file.close();
  return id;
}

t.test('a block that rots comes back from the bucket, or from the others', async (t) => {
  const found = await tell(3, 5, async (scene) => {
    const { boot, untilWhole, workload, world } = scene;
    const [first, second] = world.machines;
    if (first === undefined || second === undefined) return;
    await workload.stop();
    for (const machine of world.machines) {
      await world.ask(machine, WAIT_MS, async ({ api }) => {
        await api.flush();
      });
    }
    const names = world.machines.map(({ name }) => name);
    const disk = first.disk.sideOf(world.loop.world);
    const isSetAside = async (id: string): Promise<boolean> =>
      (await disk.list('/data/tenants/tenant-0')).includes(`${id}.damaged`);
    const restored = await rotBlock(scene, first);
    t.ok(await isRotten(scene, first, restored));
    await audit(workload, names); // somebody reads it
    await world.sleep(WAIT_MS);
    t.notOk(await isSetAside(restored));
    t.notOk(await isRotten(scene, first, restored), 'it came from the bucket');
    const id = await rotBlock(scene, first);
    world.kill(first); // what it holds open is whole
    await boot(first);
    world.bucket.put(`tenant-0/${id}/meta.json`, undefined);
    await audit(workload, names);
    await world.sleep(WAIT_MS);
    t.ok(await isSetAside(id), 'nobody else has this very block');
    t.ok(await untilWhole(), 'the others filled its time');
    await auditWithoutEach(scene);
  });
  t.strictSame(found, []);
});

t.test(
  'a refill that is interrupted goes on: by a kill, and by the loss of another one',
  async (t) => {
    const found = await tell(3, 3, async (scene) => {
      const { boot, untilWhole, world } = scene;
      const [first, second] = world.machines;
      if (first === undefined || second === undefined) return;
      world.wipe(first);
      await boot(first);
      world.kill(second); // nobody can say any more that an answer is complete
      await world.sleep(20_000);
      t.ok(
        first.life?.node?.api.ring().instances.some((one) => one.missingBeforeMs > 0),
        'it waits',
      );
      await boot(second);
      world.kill(first);
      await boot(first);
      t.ok(await untilWhole(), 'it says that it is whole');
      await auditWithoutEach(scene);
    });
    t.strictSame(found, []);
  },
);
