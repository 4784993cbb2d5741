/**
 * Goal: code that runs in the simulator meets the platform it will meet outside. Method: the suites of
 * `test/support/conformance` that the real platform passes, inside a calm world, by several seeds.
 */
import t, { type Test } from 'tap';
import { createNodeCiphers } from '../../platform/node/ciphers.ts';
import type { Platform } from '../../platform/platform.ts';
import { World } from '../../sim/world.ts';
import { checkClock } from '../support/conformance/clock.ts';
import { checkDatagrams } from '../support/conformance/datagrams.ts';
import { checkDisk, checkDiskAgainstModel } from '../support/conformance/disk.ts';
import { checkRpc } from '../support/conformance/rpc.ts';

const SEEDS = [1, 2, 3];

/** Runs `work` inside worlds of two machines. */
async function inWorlds(
  t: Test,
  work: (here: Platform, there: Platform, seed: number) => Promise<void>,
): Promise<void> {
  for (const seed of SEEDS) {
    const world = new World<Platform>({
      seed,
      machineCount: 2,
      ciphers: createNodeCiphers(),
      jobs: new Map(),
      bootNode: (platform) => Promise.resolve(platform),
      eventsMax: 1_000_000,
    });
    await world.run(async () => {
      const platforms: Platform[] = [];
      for (const machine of world.machines) {
        const booted = await world.boot(machine);
        if (booted.kind === 'answer') platforms.push(booted.value);
      }
      const [here, there] = platforms;
      if (here !== undefined && there !== undefined) await work(here, there, seed);
    });
    t.strictSame(world.broken, [], `seed ${seed}`);
  }
}

t.test('SimDisk is a Disk', (t) =>
  inWorlds(t, async ({ disk }, _there, seed) => {
    await disk.makeDirectory('/data');
    await checkDisk(t, disk, '/data');
    await checkDiskAgainstModel(disk, '/data/model', { seed, runs: 50 });
  }),
);

t.test('SimClock is a Clock', (t) => inWorlds(t, ({ clock }) => checkClock(t, clock)));

t.test('SimNetwork is a Datagrams', (t) =>
  inWorlds(t, (here, there) =>
    checkDatagrams(t, [here.datagrams, there.datagrams], ['10.0.0.1', '10.0.0.2']),
  ),
);

t.test('SimNetwork is an RpcStreams', (t) =>
  inWorlds(t, (here, there) =>
    checkRpc(t, [here.rpc, there.rpc], { listen: '10.0.0.2:0', nobody: '10.0.0.2:1' }),
  ),
);
