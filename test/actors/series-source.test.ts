// Goal: a read takes from the bucket what ingesters do not hold, as the bucket is now.
// Method: a source over an index that grew since it was last read, and instances that only note what they are asked.
import t from 'tap';
import { ClusterViews } from '../../actors/membership/cluster-view.ts';
import { NodeBytes } from '../../actors/querier/byte-budget.ts';
import { SeriesSource, type SeriesSourceDependencies } from '../../actors/querier/series-source.ts';
import { Ticket } from '../../actors/querier/ticket.ts';
import type { ActorRuntime } from '../../actors/runtime/index.ts';
import { StarlingError } from '../../model/errors.ts';
import { parseTenantId } from '../../model/ids.ts';
import type { BucketIndex, IndexedBlock } from '../../storage/index.ts';
import { testBlockId } from '../support/block-contents.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { refusal } from '../support/refusal.ts';
import { clusterOf } from '../support/registry-records.ts';

const DAY_MS = 86_400_000;
const NOW = 1_700_006_400_000;
const MINUTES_5 = 300_000;

const block = (number: number, fromDay: number): IndexedBlock => ({
  id: testBlockId(number),
  minTimeMs: NOW + fromDay * DAY_MS,
  maxTimeMs: NOW + (fromDay + 1) * DAY_MS,
  segmentCount: 1,
  uploadedAtMs: 0,
  sources: [testBlockId(number)],
  stores: [],
});

/** As it was when somebody read it, and as it is: one block more. */
const past: BucketIndex = {
  blocks: [block(1, -60)],
  downsampled: [
    { ...block(2, -60), sources: [testBlockId(1)], resolutionMs: MINUTES_5, isExact: true },
  ],
  deletions: new Map(),
  updatedAtMs: NOW - 59 * DAY_MS,
};
const present: BucketIndex = { ...past, blocks: [...past.blocks, block(3, -40)] };

/** Reads three days from `fromDay` on; returns the blocks that were asked for. */
async function read(fromDay: number, isBucketAway = false): Promise<readonly string[]> {
  const views = new ClusterViews();
  views.publish(clusterOf(1, 1));
  const asked: string[] = [];
  const runtime = {
    self: views.current.instances[0],
    ask: (_: unknown, message: { readonly scope: { readonly blocks?: readonly string[] } }) => {
      const { blocks } = message.scope;
      asked.push(...(blocks ?? []));
      const { digest } = views.current;
      const ofIngester = { digest, oldestTimeMs: NOW - 15 * DAY_MS, heldFromMs: NOW - DAY_MS };
      const answer = blocks === undefined ? ofIngester : { digest, blocks, failures: [] };
      return { done: Promise.resolve(answer), cancel: () => undefined };
    },
  };
  const clock = new FakeClock();
  const dependencies: SeriesSourceDependencies = {
    clock,
    runtime: () => runtime as unknown as ActorRuntime, // no more of it is used
    view: () => views.current,
    blocks: {
      isShared: true,
      indexes: {
        getKnown: async () => past,
        get: async () => {
          if (!isBucketAway) return present;
          throw new StarlingError('bucket.unavailable', { bucket: 'b', key: 'k', why: 'away' });
        },
      },
    },
  };
  const ticket = new Ticket({
    clock,
    timeoutMs: 1000,
    reply: { onCancel: () => undefined },
    nodeBytes: new NodeBytes(1e6),
    bytesMax: 1e6,
  });
  const range = { minTimeMs: NOW + fromDay * DAY_MS, maxTimeMs: NOW + (fromDay + 3) * DAY_MS };
  const scope = { tenant: parseTenantId('a'), selectors: [], range, limit: 0 };
  const message = { type: 'select', hints: { newestOnly: false, projection: undefined } } as const;
  const effort = { timeoutMs: 1000, ticket, mode: 'auto', resolutionMs: 0 } as const;
  await new SeriesSource(dependencies).gather(message, scope, effort);
  return asked;
}

t.test('a read of samples finds a block that came after the index was read', async (t) => {
  t.strictSame(await read(-41), [testBlockId(3)]);
  await t.rejects(read(-41, true), refusal('bucket.unavailable'));
});

t.test('what ingesters hold is read while the bucket is away', async (t) => {
  t.strictSame(await read(-3, true), []);
});
