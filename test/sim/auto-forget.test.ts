/**
 * Goal: an instance that is gone for good is forgotten by the others, who then hold what it held: after that
 * another one may be lost and nothing acknowledged is missing. A minority forgets nobody, and one that was
 * forgotten and comes back is one of them again. Method: small clusters of real nodes in the simulator.
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
const FORGET_MS = 30_000;

type NodeMachine = Machine<RunningNode>;

interface Scene {
  readonly world: World<RunningNode>;
  readonly workload: Workload;
  readonly boot: (machine: NodeMachine) => Promise<void>;
  /** What a machine's registry says of another one; undefined: nothing, or it is not up. */
  readonly recordOf: (
    machine: NodeMachine,
    name: string,
  ) => { readonly state: string; readonly missingBeforeMs: number } | undefined;
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
    ['membership.auto-forget-after', `${FORGET_MS}ms`],
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
  const recordOf: Scene['recordOf'] = (machine, name) =>
    machine.life?.node?.api.ring().instances.find(({ id }) => id === name);
  await world.run(async () => {
    await Promise.all(world.machines.map(boot));
    for (const machine of world.machines) world.kill(machine);
    await world.sleep(YOUNG_MS); // without events
    await Promise.all(world.machines.map(boot));
    workload.start();
    await world.sleep(5000);
    // Each of the others misses some samples: these are on the first machine and on one more.
    for (const machine of world.machines.slice(1)) {
      world.kill(machine);
      await world.sleep(5000);
      await boot(machine);
      await world.sleep(1500);
    }
    await story({ world, workload, boot, recordOf });
  });
  t.ok(workload.history.ackedCount > 300, `${workload.history.ackedCount} acknowledged`);
  return [...workload.violations.map(({ what }) => what), ...world.broken];
}

t.test('one that is gone for good is forgotten, and then another may be lost', async (t) => {
  const found = await tell(4, 11, async ({ boot, recordOf, workload, world }) => {
    const [gone, ...others] = world.machines;
    if (gone === undefined) return;
    world.wipe(gone);
    await world.sleep(FORGET_MS / 2);
    await workload.stop(); // what is waited for now needs none
    t.ok(
      others.every((one) => recordOf(one, gone.name)?.state === 'ACTIVE'),
      'not at once',
    );
    const isForgotten = (): boolean =>
      others.every((one) => recordOf(one, gone.name)?.state === 'FORGOTTEN');
    t.ok(await world.until(isForgotten, FORGET_MS * 3), 'it is forgotten');
    const isTakenOver = (): boolean =>
      others.every((one) => recordOf(one, gone.name)?.missingBeforeMs === 0);
    t.ok(await world.until(isTakenOver, 10 * WAIT_MS), 'what it held is taken over');
    for (const down of others) {
      world.kill(down);
      const up = others.filter((machine) => machine !== down);
      await audit(
        workload,
        up.map(({ name }) => name),
      );
      await boot(down);
    }
  });
  t.strictSame(found, []);
});

t.test('with as many machines as copies nobody is forgotten', async (t) => {
  const found = await tell(3, 12, async ({ recordOf, workload, world }) => {
    const [gone, ...others] = world.machines;
    if (gone === undefined) return;
    world.kill(gone);
    await workload.stop();
    await world.sleep(FORGET_MS * 5);
    t.ok(others.every((one) => recordOf(one, gone.name)?.state === 'ACTIVE'));
  });
  t.strictSame(found, []);
});

t.test('a minority forgets nobody; who was forgotten comes back with what it holds', async (t) => {
  const found = await tell(5, 13, async ({ boot, recordOf, workload, world }) => {
    const [alone, ...others] = world.machines;
    if (alone === undefined) return;
    world.network.partition(
      [alone.ip],
      others.map(({ ip }) => ip),
    );
    await world.sleep(10_000);
    await workload.stop();
    const isForgotten = (): boolean =>
      others.every((one) => recordOf(one, alone.name)?.state === 'FORGOTTEN');
    t.ok(await world.until(isForgotten, FORGET_MS * 4), 'the others forget it');
    await world.sleep(FORGET_MS * 2);
    for (const { name } of others) {
      t.equal(recordOf(alone, name)?.state, 'ACTIVE', `${name}: it forgets none of them`);
    }
    world.network.heal();
    await world.until(() => alone.life === undefined, WAIT_MS);
    world.kill(alone);
    await boot(alone);
    const isBack = (): boolean =>
      world.machines.every((one) => recordOf(one, alone.name)?.state === 'ACTIVE');
    t.ok(await world.until(isBack, WAIT_MS), 'it is one of them again');
    const [down, ...up] = others;
    if (down === undefined) return;
    world.kill(down);
    await audit(
      workload,
      [alone, ...up].map(({ name }) => name),
    );
  });
  t.strictSame(found, []);
});

t.test('two against three: neither side forgets, for what two hold others may lack', async (t) => {
  const found = await tell(5, 14, async ({ recordOf, workload, world }) => {
    const few = world.machines.slice(0, 2);
    const many = world.machines.slice(2);
    world.network.partition(
      few.map(({ ip }) => ip),
      many.map(({ ip }) => ip),
    );
    await world.sleep(10_000);
    await workload.stop();
    await world.sleep(FORGET_MS * 4);
    for (const one of world.machines) {
      for (const { name } of world.machines) t.equal(recordOf(one, name)?.state, 'ACTIVE');
    }
    world.network.heal();
    await world.sleep(30_000);
    await audit(
      workload,
      world.machines.map(({ name }) => name),
    );
  });
  t.strictSame(found, []);
});
