/**
 * Deletions that are for good: the time to cancel passes while all machines are off, which costs no events, and
 * compaction must then cut what was deleted out of the blocks of the bucket, and nothing else.
 *
 *   heads shipped ─► all off ─► boot ─► requests processed, nothing of them in any block ─► nothing else is missing
 */
import type { RunningNode } from '../cli/node.ts';
import { parseTenantId } from '../model/ids.ts';
import { scanTenant } from '../storage/bucket/scan.ts';
import { openRemoteBlock } from '../storage/compact/remote-block.ts';
import { addBlockSamples } from './block-samples.ts';
import { type BlockSamples, checkKeptInBlocks, countUncut } from './checkers/cut.ts';
import { SimClock } from './clock.ts';
import type { StoryOperator } from './operator.ts';
import type { Workload } from './workload.ts';
import type { World } from './world.ts';

export interface CutScene {
  readonly world: World<RunningNode>;
  readonly workload: Workload;
  readonly operator: StoryOperator;
  /** All are well again after the machines were off. */
  readonly settle: () => Promise<void>;
}

/** From the last moment at which a request could be cancelled, by whatever clock, to when it is for good. */
export const OFF_MS = 12 * 60_000;
/** The plan, the cut, and blocks that wait for their replicas. */
const CUT_TIMEOUT_MS = 20 * 60_000;
const LOOK_EVERY_MS = 30_000;
const STATUS_TIMEOUT_MS = 10_000;
const SHIP_ATTEMPTS_MAX = 5;
const SHIP_RETRY_MS = 10_000;
const ALL_TIMES = { minTimeMs: 0, maxTimeMs: Number.MAX_SAFE_INTEGER };

/** All machines are off for so long that requests to delete become final. */
export async function powerOff({ operator, settle, world }: CutScene): Promise<void> {
  for (const machine of operator.members()) world.kill(machine);
  await world.sleep(OFF_MS);
  await operator.bootDead();
  await settle();
}

/** At the end, when nobody writes any more. */
export async function checkCuts(scene: CutScene): Promise<void> {
  const { operator, workload, world } = scene;
  for (const machine of operator.members()) {
    for (let i = 0; i < SHIP_ATTEMPTS_MAX && !(await operator.flush(machine)); i++) {
      await world.sleep(SHIP_RETRY_MS);
    }
  }
  await powerOff(scene);
  const endMs = world.loop.nowMs + CUT_TIMEOUT_MS;
  let found = await readBlocks(scene);
  while (openRequests(scene) + countUncut(workload.history, found) > 0) {
    if (world.loop.nowMs >= endMs) {
      const uncut = countUncut(workload.history, found);
      const what = `${openRequests(scene)} requests to delete are not processed, ${uncut} of their samples are in blocks`;
      operator.report([{ invariant: 'cut', what }]);
      await noteCompactors(scene);
      return;
    }
    await world.sleep(LOOK_EVERY_MS);
    found = await readBlocks(scene);
  }
  operator.report(checkKeptInBlocks(workload.history, found));
}

/** For who reads the trace: what each compactor would do. */
async function noteCompactors({ operator, world }: CutScene): Promise<void> {
  for (const machine of operator.members()) {
    const outcome = await world.ask(machine, STATUS_TIMEOUT_MS, ({ api }) => api.compactor());
    const status = outcome.kind === 'answer' ? JSON.stringify(outcome.value) : outcome.kind;
    world.note(`the compactor of ${machine.name}: ${status}`);
  }
}

/** Requests that a node knows and that are neither cancelled nor processed. */
function openRequests({ operator, workload }: CutScene): number {
  const lists = operator.members().flatMap(({ life }) => {
    const deletions = life?.node?.api.deletions;
    return workload.tenants.map((tenant) => deletions?.list(parseTenantId(tenant)) ?? []);
  });
  return lists.flat().filter(({ state }) => state === 'received').length;
}

/** All that is in blocks of the bucket which are not marked for deletion. */
async function readBlocks({ workload, world }: CutScene): Promise<BlockSamples> {
  const { loop } = world;
  const clock = new SimClock(loop, loop.world, { offsetMs: 0, driftPpm: 0 });
  const bucket = world.bucket.sideOf(clock);
  const found = new Map<number, Map<number, number>>();
  for (const name of workload.tenants) {
    const tenant = parseTenantId(name);
    const { index } = await scanTenant(bucket, tenant, { clock, previous: undefined });
    for (const { id } of index.blocks) {
      if (index.deletions.has(id)) continue;
      const block = await openRemoteBlock(bucket, tenant, id);
      try {
        await addBlockSamples(block, ALL_TIMES, found);
      } finally {
        await block.close();
      }
    }
  }
  return found;
}
