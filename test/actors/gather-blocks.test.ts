/**
 * Goal: a read asks for the blocks it needs and no others, and is whole or an error. Method: a toy index,
 * and store-gateways that answer, fail, or leave blocks out.
 */
import t from 'tap';
import { NodeBytes, QueryBytes } from '../../actors/querier/byte-budget.ts';
import { gatherBlocks } from '../../actors/querier/gather-blocks.ts';
import { neededBlocks } from '../../actors/querier/needed-blocks.ts';
import type { BlocksSummary } from '../../actors/store-gateway/messages.ts';
import { StarlingError } from '../../model/errors.ts';
import { parseInstanceId } from '../../model/ids.ts';
import type { IndexedBlock } from '../../storage/index.ts';
import { testBlockId } from '../support/block-contents.ts';
import { refusal } from '../support/refusal.ts';

const A: string = testBlockId(1);
const B: string = testBlockId(2);
const C: string = testBlockId(3);
const x = parseInstanceId('x');
const y = parseInstanceId('y');

t.test('neededBlocks() takes what ingesters do not hold, once', (t) => {
  const block = (n: number, from: number, rest: Partial<IndexedBlock> = {}): IndexedBlock => ({
    ...{ id: testBlockId(n), minTimeMs: from, maxTimeMs: from + 10, segmentCount: 1 },
    ...{ uploadedAtMs: 0, sources: [testBlockId(n)], stores: ['here'], ...rest },
  });
  const check = (
    blocks: readonly IndexedBlock[],
    expected: readonly number[],
    marks: readonly (readonly [number, number])[] = [],
  ): void => {
    const deletions = new Map(marks.map(([n, timeMs]) => [testBlockId(n), timeMs]));
    const index = { blocks, deletions, updatedAtMs: 100 * 60_000 };
    const range = { minTimeMs: 5, maxTimeMs: 60 };
    const needed = neededBlocks(index, { range, oldestTimeMs: 40, stores: new Set(['here']) });
    t.strictSame(
      needed.map(({ id }) => id),
      expected.map(testBlockId),
    );
  };
  check([block(1, 0), block(2, 10), block(3, 70)], [1, 2]);
  check([block(1, 35), block(2, 40), block(3, 50)], [1]);
  check([block(1, 50, { stores: ['lost'] }), block(2, 50, { stores: [] })], [1, 2]);
  check([block(1, 10), block(2, 10)], [2], [[1, 60 * 60_000]]);
  check([block(1, 10)], [1], [[1, 90 * 60_000]]);
  const both = [testBlockId(1), testBlockId(2)];
  check([block(1, 10), block(2, 10), block(3, 10, { sources: both })], [3]);
  t.end();
});

t.test('gatherBlocks() asks on until all were read, or fails', async (t) => {
  type Behaviour = (blocks: readonly string[]) => readonly string[] | StarlingError;
  const run = async (
    behaviours: Readonly<Record<string, Behaviour>>,
    bytesMax = 1000,
  ): Promise<{ readonly frames: number; readonly asked: readonly string[] }> => {
    const asked: string[] = [];
    const frames = await gatherBlocks({
      blocks: [A, B, C],
      candidates: (block) => (block === C ? [y, x] : [x, y]),
      bytes: new QueryBytes(new NodeBytes(10_000), bytesMax),
      ask: (instance, blocks, onFrame) => {
        asked.push(`${instance}:${blocks.map((id) => id.at(-1)).join('')}`);
        const read = behaviours[instance]?.(blocks) ?? [];
        const answer = async (): Promise<BlocksSummary> => {
          await Promise.resolve();
          if (read instanceof StarlingError) throw read;
          for (const _ of read) onFrame(new Uint8Array(100));
          return { digest: '', blocks: read, failures: read.length < blocks.length ? ['bad'] : [] };
        };
        return { done: answer(), cancel: () => undefined };
      },
    });
    return { frames: frames.flat().length, asked };
  };
  const all: Behaviour = (blocks) => blocks;
  const down: Behaviour = () =>
    new StarlingError('node.unreachable', { instance: 'x', why: 'down' });
  t.strictSame(await run({ x: all, y: all }), { frames: 3, asked: ['x:12', 'y:3'] });
  t.strictSame(await run({ x: down, y: all }), { frames: 3, asked: ['x:12', 'y:3', 'y:12'] });
  t.strictSame(await run({ x: (blocks) => blocks.filter((id) => id !== B), y: all }), {
    frames: 3,
    asked: ['x:12', 'y:3', 'y:2'],
  });
  const never: Behaviour = (blocks) => blocks.filter((id) => id !== B);
  await t.rejects(
    run({ x: never, y: never }),
    refusal('read.incomplete', new RegExp(`${B} \\(bad`)),
  );
  await t.rejects(run({ x: down, y: down }), refusal('read.incomplete', /x: .*down/));
  await t.rejects(run({ x: all, y: all }, 150), refusal('query.too_large'));
  const wrong: Behaviour = () => new StarlingError('query.parse', { text: 'no' });
  await t.rejects(run({ x: wrong, y: all }), refusal('query.parse'));
});
