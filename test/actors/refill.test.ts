/**
 * Goal: what a refill keeps and how it joins. Method: rings with and without a newcomer, frames of two
 * instances made by hand; the refill as a whole is `test/sim/refill.test.ts`.
 */
import t from 'tap';
import { holdersOf } from '../../actors/refill/holders.ts';
import { joinWindow } from '../../actors/refill/window-join.ts';
import { Ring } from '../../membership/index.ts';
import { parseInstanceId } from '../../model/ids.ts';
import { encodeLabels } from '../../model/wire/labels-codec.ts';
import { SeriesFrameWriter } from '../../model/wire/series-frame.ts';
import { isInPart } from '../../storage/head/select.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { WALL_MS, instance, registryOf, rfStep } from '../support/registry-records.ts';

const HASHES = Array.from({ length: 400 }, (_, i) => (i * 0x9e37_79b1) >>> 0);
const HOUR_MS = 3_600_000;
const ids = ['a', 'b', 'c', 'd', 'e'];
const self = parseInstanceId('a');

t.test('holdersOf() keeps what the ring gives, now or then, and what too few others have', (t) => {
  const old = ids.map((id) => instance(id, { activeSinceMs: WALL_MS - 10 * HOUR_MS, zone: id }));
  const newcomer = instance('f', { activeSinceMs: WALL_MS, zone: 'f' });
  const before = registryOf(rfStep(3), ...old);
  const now = registryOf(rfStep(3), ...old, newcomer);
  const isReplica = (registry: typeof now, hash: number): boolean => {
    const ring = new Ring(registry);
    const members = new Uint16Array(ring.replicasMax);
    const count = ring.replicaSet(hash, 'read', members);
    return members.subarray(0, count).includes(ring.indexOf(self));
  };
  const window = { minTimeMs: WALL_MS - 4 * HOUR_MS, maxTimeMs: WALL_MS - 2 * HOUR_MS };
  const keeps = holdersOf(now, self, window);
  const lost = HASHES.filter((hash) => isReplica(before, hash) && !isReplica(now, hash));
  t.ok(lost.length > 0, 'the newcomer took some over');
  for (const hash of HASHES) {
    const expected = isReplica(before, hash) || isReplica(now, hash);
    t.equal(keeps({ hash, instanceCount: 2 }), expected);
    t.ok(keeps({ hash, instanceCount: 1 }), 'it may have been one of the quorum');
  }
  t.ok(HASHES.some((hash) => !keeps({ hash, instanceCount: 3 })));
  const small = holdersOf(registryOf(rfStep(3), ...old.slice(0, 3)), self, window);
  t.ok(HASHES.every((hash) => small({ hash, instanceCount: 3 })));
  t.end();
});

t.test('joinWindow() joins by fingerprint, drops equal chunks, sorts by labels', async (t) => {
  const frameOf = (...series: readonly (readonly [string, readonly number[]])[]): Uint8Array => {
    const writer = new SeriesFrameWriter();
    for (const [name, chunks] of series) {
      const labels = encodeLabels(['name', name]);
      const print = Uint32Array.of(name.charCodeAt(0), 1, 2, 3);
      writer.putSeries(print, 0, labels, 0, labels.length, chunks.length);
      for (const at of chunks) writer.putChunk(at, at + 5, Uint8Array.of(at, 7), 0, 2);
    }
    return writer.finish();
  };
  const frames = [
    [frameOf(['z', [10]], ['b', [10, 20]]), frameOf(['b', [30]])],
    [frameOf(['b', [10, 40]])],
  ];
  const seen: unknown[] = [];
  const source = await joinWindow(new FakeClock(), frames, (series) => {
    seen.push([String.fromCharCode(series.hash), series.instanceCount]);
    return true;
  });
  t.strictSame(seen, [
    ['z', 1],
    ['b', 2],
  ]);
  const found: unknown[] = [];
  for await (const { chunks, labels } of source?.series() ?? []) {
    found.push([labels[1], chunks.map(({ minTimeMs }) => minTimeMs)]);
  }
  t.strictSame(found, [
    ['b', [10, 20, 30, 40]],
    ['z', [10]],
  ]);
  t.ok([...(source?.symbols() ?? [])].includes('name'));
  t.equal(await joinWindow(new FakeClock(), frames, () => false), undefined);
});

t.test('isInPart() puts each series in one part, and halves of a part are parts', (t) => {
  for (const word of [0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, ...HASHES]) {
    for (let count = 1; count <= 64; count *= 2) {
      const parts = Array.from({ length: count }, (_, index) => index);
      const own = parts.filter((index) => isInPart(word, { index, count }));
      t.equal(own.length, 1);
      const half = [0, 1].filter((i) =>
        isInPart(word, { index: own[0]! * 2 + i, count: count * 2 }),
      );
      t.equal(half.length, 1);
    }
  }
  t.end();
});
