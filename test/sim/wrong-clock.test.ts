/**
 * Goal: samples with right times are never refused for good because a machine's clock is wrong: not by it, not
 * where one more machine is away; it says so loudly, and is one of them again when its clock was put right.
 * Method: a small cluster of real nodes in the simulator, under load.
 */
import t from 'tap';
import type { RunningNode } from '../../cli/node.ts';
import { createNodeCiphers } from '../../platform/node/ciphers.ts';
import { audit } from '../../sim/audit.ts';
import { bootStarling, isReady, loadTargetOf } from '../../sim/cluster.ts';
import { Workload } from '../../sim/workload.ts';
import { World } from '../../sim/world.ts';
import { jobs } from '../../cli/jobs.ts';

const DAY_MS = 24 * 3_600_000;
const WAIT_MS = 120_000;

async function tell(machineCount: number, offsetMs: number): Promise<void> {
  const flags = new Map([
    ['replication-factor', '3'],
    ['multitenancy', 'true'],
  ]);
  const world = new World<RunningNode>({
    seed: 21,
    machineCount,
    ciphers: createNodeCiphers(),
    jobs,
    bootNode: bootStarling(machineCount, flags),
  });
  const target = loadTargetOf(world);
  let refused = 0;
  const workload = new Workload(
    {
      ...target,
      push: async (...args) => {
        const outcome = await target.push(...args);
        if (outcome.kind === 'answer' && !outcome.value) refused++;
        return outcome;
      },
    },
    {
      writers: 4,
      seriesPerWriter: 3,
      everyMs: 400,
      tenantCount: 2,
      repeatChance: 0,
      lateChance: 0,
    },
  );
  const where = `${machineCount} machines, a clock off by ${offsetMs} ms`;
  await world.run(async () => {
    const [wrong, away] = world.machines;
    if (wrong === undefined || away === undefined) return;
    await Promise.all(world.machines.map((one) => world.boot(one)));
    await world.until(() => world.machines.every(({ life }) => isReady(life?.node)), WAIT_MS);
    workload.start();
    await world.sleep(15_000);
    wrong.wall.offsetMs = offsetMs;
    if (machineCount > 2) {
      const isTold = (): boolean =>
        (wrong.life?.node?.api.notReady() ?? []).join().includes('its clock is 86400 s');
      t.ok(await world.until(isTold, WAIT_MS), `${where}: it says so`);
      const others = world.machines.slice(1);
      t.ok(
        others.every(({ life }) => isReady(life?.node)),
        'the others are ready',
      );
    }
    await world.sleep(10_000);
    const acked = workload.history.ackedCount;
    await world.sleep(10_000);
    if (machineCount > 2) t.ok(workload.history.ackedCount > acked, 'and take what is written');
    // One that stops takes no writes, so there are two replicas and one of them is wrong.
    await world.ask(away, 20_000, (node) => node.stop());
    world.kill(away);
    await world.sleep(20_000);
    await world.boot(away);
    wrong.wall.offsetMs = 0;
    const isWell = (): boolean => world.machines.every(({ life }) => isReady(life?.node));
    t.ok(await world.until(isWell, WAIT_MS), 'it is one of them again');
    await world.sleep(5000);
    await workload.stop();
    await audit(
      workload,
      world.machines.map(({ name }) => name),
    );
  });
  t.equal(refused, 0, `${where}: nothing was refused for good`);
  t.strictSame([...workload.violations.map(({ what }) => what), ...world.broken], []);
}

t.test('a machine whose clock is a day behind or ahead refuses nothing for good', async () => {
  await tell(3, -DAY_MS);
  await tell(3, DAY_MS);
});

t.test('two machines that differ: nobody knows who is right, and nothing is dropped', async () => {
  await tell(2, -DAY_MS);
});
