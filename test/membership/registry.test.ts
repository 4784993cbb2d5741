/**
 * Goal: the registry merges to the same result on every node, its bytes are strict, and its file
 * survives crashes. Method: the three laws as properties over records with many ties, hostile bytes,
 * and a disk whose n-th call fails.
 */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import {
  COUNTER_MAX,
  INSTANCES_MAX,
  RECORD_BYTES_MAX,
  RegistryFile,
  type Registry,
  type RegistryRecord,
  decodeRecord,
  decodeRecords,
  decodeRegistry,
  effectiveRf,
  electorateDigest,
  emptyRegistry,
  encodeRecord,
  encodeRegistry,
  hasMajority,
  isAddress,
  loadRegistry,
  mergeRecords,
  mergeRegistries,
  recordKey,
  recordsOf,
  registryDigest,
  rfHistory,
} from '../../membership/registry/index.ts';
import { parseInstanceId } from '../../model/ids.ts';
import { refusal } from '../support/refusal.ts';
import {
  arbitraryRecord,
  clusterOf,
  instance,
  registryOf,
  rfStep,
  storeId,
} from '../support/registry-records.ts';
import { TinyDisk } from '../support/tiny-disk.ts';

const records = fc.array(arbitraryRecord, { maxLength: 12 });
const registries = records.map((list) => registryOf(...list));
/** Equal bytes are equal registries: `recordsOf` has one order. */
const bytesOf = (registry: Registry): string =>
  Buffer.from(encodeRegistry(registry)).toString('hex');
const merged = (a: Registry, b: Registry): Registry => mergeRegistries(a, b).registry;

t.test('mergeRegistries() is idempotent, commutative and associative', (t) => {
  fc.assert(
    fc.property(registries, registries, registries, (a, b, c) => {
      assert.equal(merged(a, a), a);
      assert.equal(bytesOf(merged(a, b)), bytesOf(merged(b, a)));
      assert.equal(bytesOf(merged(merged(a, b), c)), bytesOf(merged(a, merged(b, c))));
    }),
  );
  t.end();
});

t.test(
  'mergeRecords() gives the same registry and digests in any order, and says what changed',
  (t) => {
    const shuffled = records.chain((list) =>
      fc.tuple(fc.constant(list), fc.shuffledSubarray(list, { minLength: list.length })),
    );
    fc.assert(
      fc.property(shuffled, ([list, other]) => {
        const a = mergeRecords(emptyRegistry(), list);
        const b = mergeRecords(emptyRegistry(), [...other, ...list]).registry;
        assert.equal(bytesOf(a.registry), bytesOf(b));
        assert.equal(registryDigest(a.registry), registryDigest(b));
        assert.equal(electorateDigest(a.registry), electorateDigest(b));
        assert.equal(
          bytesOf(registryOf(...a.changed)),
          bytesOf(a.registry),
          'the delta is sufficient',
        );
        assert.equal(new Set(a.changed.map(recordKey)).size, a.changed.length, 'one record a key');
      }),
    );
    t.end();
  },
);

t.test('mergeRecords() orders by membership, boot and version, never by time', (t) => {
  const wins = (winner: object, loser: object): void => {
    const a = instance('a', winner);
    const b = instance('a', loser);
    assert.deepEqual(registryOf(a, b).instances.get(a.id), a);
    assert.deepEqual(registryOf(b, a).instances.get(a.id), a);
  };
  wins({ bootCounter: 3, version: 0 }, { bootCounter: 2, version: 9, registeredAtMs: 2 ** 40 });
  wins({ version: 3, state: 'LEAVING' }, { version: 2 });
  wins({ state: 'FORGOTTEN', bootCounter: 2 }, { bootCounter: 2, version: 99 });
  wins({ state: 'FORGOTTEN', bootCounter: 2 }, { bootCounter: 1, version: 99 });
  wins({ state: 'JOINING', generation: 1, bootCounter: 3 }, { state: 'FORGOTTEN', bootCounter: 2 });
  // A restart that has not heard of its tombstone does not undo it, it has to join again.
  wins({ state: 'FORGOTTEN', bootCounter: 2 }, { state: 'ACTIVE', bootCounter: 3 });
  // A node that lost its disk and its memory cannot unregister itself.
  wins({ state: 'ACTIVE', bootCounter: 1 }, { state: 'PENDING', bootCounter: 50 });
  wins({ state: 'ACTIVE', bootCounter: 1 }, { state: 'JOINING', bootCounter: 50 });
  wins({ proposal: 'forget' }, { proposal: 'none' });
  wins({ proposal: 'none', version: 2 }, { proposal: 'forget', version: 1 });
  t.end();
});

t.test('mergeRecords() keeps the larger cluster’s secret, and the lower id among equals', (t) => {
  const cluster = (digit: string, membersMax: number) =>
    ({
      kind: 'cluster',
      clusterId: digit.repeat(32),
      fingerprintSecret: digit.repeat(32),
      membersMax,
    }) as const;
  const winner = (...list: readonly ReturnType<typeof cluster>[]) =>
    registryOf(...list).cluster?.clusterId[0];
  assert.equal(winner(cluster('a', 1), cluster('b', 3)), 'b');
  assert.equal(winner(cluster('b', 1), cluster('a', 1)), 'a');
  t.end();
});

t.test('mergeRecords() holds at most INSTANCES_MAX instances', (t) => {
  const flood = Array.from({ length: INSTANCES_MAX + 5 }, (_, i) => instance(`f${i}`));
  const { registry } = mergeRecords(emptyRegistry(), flood);
  assert.equal(registry.instances.size, INSTANCES_MAX);
  const known = instance('f0', { version: 2 });
  assert.equal(mergeRecords(registry, [known]).changed.length, 1, 'known ones still move on');
  t.end();
});

t.test('effectiveRf() takes the maximum and never falls by a merge', (t) => {
  const twoSteps = registryOf(instance('a'), rfStep(1), rfStep(3), rfStep(5, 0, false));
  assert.equal(effectiveRf(twoSteps), 3, 'a proposed step has no effect');
  assert.equal(
    effectiveRf(registryOf(instance('a', { joinedRf: 2 }))),
    2,
    'an instance brings it along',
  );
  fc.assert(
    fc.property(registries, registries, (a, b) => {
      const committed = (r: Registry): number =>
        Math.max(1, ...[...r.rfSteps.values()].filter((s) => s.isCommitted).map(({ rf }) => rf));
      assert.ok(effectiveRf(merged(a, b)) >= Math.max(committed(a), committed(b)));
    }),
  );
  t.end();
});

t.test('rfHistory() keeps each step with its instances until they are settled', (t) => {
  const a = instance('a', { joinedRf: 1, settledRf: 1 });
  const b = instance('b', { joinedRf: 2, settledRf: 2 });
  const c = instance('c', { joinedRf: 3, settledRf: 3, state: 'JOINING' });
  const picture = (registry: Registry) =>
    rfHistory(registry).map(
      ({ endsAtMs, instances, isSettled, rf }) =>
        `${rf} ${instances.map(({ id }) => id).join('')} ${isSettled ? 'settled' : 'open'} ` +
        (endsAtMs === Infinity ? '-' : 'ended'),
    );
  t.strictSame(picture(registryOf(a, rfStep(1))), ['1 a open -']);
  t.strictSame(picture(registryOf(a, b, rfStep(1))), ['1 a open -', '2 ab open -']);
  const all = registryOf(a, b, c, rfStep(1), rfStep(2, 5));
  t.strictSame(picture(all), ['1 a open ended', '2 ab open -', '3 abc open -']);
  const settled = merged(all, registryOf({ ...a, version: 2, settledRf: 2 }));
  t.strictSame(picture(settled), ['1 a settled ended', '2 ab open -', '3 abc open -']);
  t.end();
});

t.test('hasMajority() wants both the voters and those left after pending removals', (t) => {
  const ids = (text: string) => new Set(Array.from(text, (id) => parseInstanceId(id)));
  const check = (
    registry: Registry,
    acked: string,
    expected: boolean,
    excluding?: string,
  ): void => {
    const without = excluding === undefined ? undefined : parseInstanceId(excluding);
    t.equal(hasMajority(registry, ids(acked), without), expected, acked);
  };
  const five = Array.from('abcde', (id) => instance(id));
  check(emptyRegistry(), '', true);
  check(registryOf(...five), 'ab', false);
  check(registryOf(...five), 'abc', true);
  check(registryOf(...five, instance('x', { state: 'JOINING' })), 'abx', false);
  const removed = five.slice(3).map((record) => ({ ...record, proposal: 'forget' as const }));
  check(registryOf(...five, ...removed), 'cde', false);
  check(registryOf(...five, ...removed), 'abc', true);
  check(registryOf(instance('a'), instance('b')), 'a', false);
  check(registryOf(instance('a'), instance('b')), 'a', true, 'b');
  t.end();
});

t.test('registryDigest() sees what matters for reads and writes, and nothing else', (t) => {
  const base = [instance('a'), instance('b')];
  const digest = (...more: readonly RegistryRecord[]) =>
    registryDigest(registryOf(...base, ...more));
  const same = (change: object): unknown =>
    t.equal(digest(instance('b', { bootCounter: 2, ...change })), digest());
  const differs = (change: object): unknown =>
    t.not(digest(instance('b', { bootCounter: 2, ...change })), digest(), JSON.stringify(change));
  t.match(digest(), /^[0-9a-f]{16}$/);
  same({});
  same({ softwareVersion: '9', addresses: { http: 'x:1', grpc: 'x:1', gossip: 'x:1' } });
  t.equal(digest(instance('c', { state: 'PENDING' })), digest());
  for (const state of ['JOINING', 'READONLY', 'LEAVING', 'LEFT', 'FORGOTTEN'] as const) {
    t.not(digest(instance('c', { state })), digest(state === 'LEFT' ? instance('c') : rfStep(1)));
  }
  differs({ storeId: storeId('2') });
  differs({ missingBeforeMs: 1 });
  differs({ joinedRf: 2 });
  differs({ tokenSeed: 8 });
  differs({ zone: 'other' });
  differs({ state: 'READONLY' });
  t.not(digest(rfStep(2)), digest());
  t.end();
});

t.test(
  'decodeRecord() undoes encodeRecord() within 512 bytes, and refuses every other byte',
  (t) => {
    fc.assert(
      fc.property(arbitraryRecord, fc.nat(), fc.nat(255), (record, where, byte) => {
        const bytes = encodeRecord(record);
        assert.ok(bytes.length <= RECORD_BYTES_MAX);
        assert.deepEqual(decodeRecord(bytes), record);
        const cut = where % bytes.length;
        assert.equal(decodeRecord(bytes.subarray(0, cut)).kind, 'failure', `cut at ${cut}`);
        assert.equal(decodeRecord(Buffer.concat([bytes, Buffer.of(0)])).kind, 'failure');
        const damaged = Uint8Array.from(bytes);
        damaged[cut] = byte;
        const decoded = decodeRecord(damaged);
        // What is accepted is a valid record: it encodes to the very bytes it came from.
        if (decoded.kind !== 'failure') assert.deepEqual(encodeRecord(decoded), damaged);
      }),
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), (bytes) => {
        decodeRecord(bytes); // does not throw
      }),
    );
    const longest = instance(`a${'b'.repeat(62)}`, {
      zone: 'z'.repeat(63),
      addresses: {
        http: `${'h'.repeat(84)}:65535`,
        grpc: `${'h'.repeat(84)}:65535`,
        gossip: `${'h'.repeat(84)}:65535`,
      },
      softwareVersion: '1'.repeat(32),
      bootCounter: COUNTER_MAX,
    });
    assert.ok(encodeRecord(longest).length <= RECORD_BYTES_MAX);
    assert.deepEqual(decodeRecord(encodeRecord(longest)), longest);
    t.end();
  },
);

t.test(
  'decodeRecord() refuses names, addresses and numbers that are not what they should be',
  (t) => {
    const check = (change: object, why: RegExp): unknown =>
      t.match(decodeRecord(encodeRecord({ ...instance('a'), ...change })), {
        kind: 'failure',
        why,
      });
    for (const id of ['', '__proto__', 'a b', 'a\0', 'é', '-a', 'a'.repeat(64), '../a', 'a\n']) {
      check({ id }, /invalid id/);
    }
    for (const zone of ['', '__proto__', 'a/b', 'z'.repeat(64)]) check({ zone }, /invalid zone/);
    const at = (http: string): object => ({ addresses: { ...instance('a').addresses, http } });
    for (const address of ['', 'a', 'a:', 'a:0', 'a:65536', 'a b:1', ':80', 'a:-1', '[x]:1']) {
      check(at(address), /invalid http address/);
      t.notOk(isAddress(address));
    }
    for (const address of ['a:1', '10.0.0.1:65535', '[::1]:9095', 'my_host.example.com:80']) {
      assert.ok(isAddress(address), address);
    }
    check({ softwareVersion: 'a b' }, /invalid software version/);
    check({ bootCounter: COUNTER_MAX + 1 }, /counter out of range/);
    check({ generation: 0xffff_ffff }, /counter out of range/);
    check({ missingBeforeMs: 2 ** 47 }, /time out of range/);
    check({ joinedRf: 16 }, /less than 16/);
    check({ joinedRf: 0 }, /no replication factor/);
    const rfZero = decodeRecord(
      encodeRecord({ kind: 'rf-step', rf: 0, atMs: 0, isCommitted: true }),
    );
    t.match(rfZero, { kind: 'failure', why: /factor of 0/ });
    const frames = [
      encodeRecord(instance('a')),
      Buffer.of(1, 9),
      Buffer.of(2),
      new Uint8Array(513),
    ];
    const { records: good, rejected } = decodeRecords(frames);
    assert.deepEqual(good, [instance('a')]);
    assert.deepEqual(
      rejected.map(({ why }) => why.replace('the record ', '')),
      ['has the unknown kind 9', 'has the unknown format 2', 'is too long'],
    );
    t.end();
  },
);

t.test('decodeRegistry() refuses every damaged file and a newer format', (t) => {
  const registry = registryOf(instance('a'), rfStep(1));
  const bytes = encodeRegistry(registry);
  assert.deepEqual(recordsOf(decodeRegistry(bytes, 'f')), recordsOf(registry));
  for (let i = 0; i < bytes.length; i++) {
    const damaged = Uint8Array.from(bytes);
    damaged[i] = bytes[i]! ^ 0x10;
    const id = i === 4 || i === 5 ? 'disk.format_newer' : 'disk.failed';
    t.throws(() => decodeRegistry(damaged, 'f'), refusal(id), `byte ${i}`);
    t.throws(() => decodeRegistry(bytes.subarray(0, i), 'f'), refusal('disk.failed'));
  }
  t.end();
});

t.test('RegistryFile.save() leaves the old or the new registry whatever call fails', async (t) => {
  const disk = new TinyDisk();
  const first = clusterOf(2, 2);
  const second = clusterOf(3, 3);
  assert.equal(await loadRegistry(disk, '/data'), undefined);
  let didFinish = false;
  for (let call = 1; !didFinish; call++) {
    await new RegistryFile(disk, '/data').save(first);
    disk.failAtCall = call;
    try {
      await new RegistryFile(disk, '/data').save(second);
      didFinish = true;
    } catch (error) {
      t.match(error, refusal('disk.failed', /injected/));
    }
    disk.crash({ keepsUnsynced: call % 2 === 0 });
    const loaded = await loadRegistry(disk, '/data');
    const size = loaded?.instances.size ?? 0;
    assert.ok(didFinish ? size === 3 : size === 2 || size === 3);
  }
});

t.test(
  'RegistryFile.save() writes one at a time and lets later registries stand for earlier ones',
  async (t) => {
    const disk = new TinyDisk();
    const file = new RegistryFile(disk, '/data');
    await Promise.all([1, 2, 3, 4].map((count) => file.save(clusterOf(count, 1))));
    assert.equal(file.writeCount, 2);
    assert.equal((await loadRegistry(disk, '/data'))?.instances.size, 4);
    disk.put('/data/registry.tmp', 'torn');
    disk.failAtCall = 2;
    const failing = file.save(clusterOf(5, 1));
    const next = file.save(clusterOf(6, 1));
    await t.rejects(failing, refusal('disk.failed'));
    await next;
    assert.equal((await loadRegistry(disk, '/data'))?.instances.size, 6);
  },
);
