/**
 * Goal: the ring is a pure, balanced function of the registry, replica sets obey zones and states,
 * and a read plan never calls an answer complete that may lack an acknowledged sample.
 * Method: properties against naive twins, and for reads a model that writes to replica sets and loses
 * instances.
 */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import {
  type InstanceRecord,
  type Registry,
  type RegistryRecord,
  recordsOf,
  votersOf,
  writeQuorum,
} from '../../membership/registry/index.ts';
import {
  READ_SLACK_MS,
  Ring,
  type RingOperation,
  TOKENS_PER_INSTANCE,
  readPlan,
  tokensOf,
} from '../../membership/ring/index.ts';
import { type InstanceId, parseInstanceId } from '../../model/ids.ts';
import {
  WALL_MS,
  clusterOf,
  instance,
  registryOf,
  rfStep,
  storeId,
} from '../support/registry-records.ts';

const GOLDEN_TOKENS: readonly number[] = [1191904340, 4108303724, 3577983866];

/** Ids of the replica set of one hash. */
function replicas(ring: Ring, hash: number, operation: RingOperation = 'write'): InstanceId[] {
  const out = new Uint16Array(64);
  const count = ring.replicaSet(hash, operation, out);
  return Array.from(out.subarray(0, count), (index) => ring.instances[index]!.id);
}

/** Hashes spread evenly, none of them on a token by design. */
function hashes(count: number): number[] {
  return Array.from({ length: count }, (_, i) => Math.imul(i + 1, 0x9e37_79b1) >>> 0);
}

/** Share of hashes that each instance holds a replica of. */
function loads(ring: Ring, sampleCount: number): number[] {
  const counts = new Map(ring.instances.map(({ id }) => [id, 0]));
  for (const hash of hashes(sampleCount)) {
    for (const id of replicas(ring, hash)) counts.set(id, (counts.get(id) ?? 0) + 1);
  }
  return [...counts.values()];
}

/** The naive twin of `replicaSet` for writes: sorts all tokens anew, no tables. */
function naiveWriteSet(registry: Registry, rf: number, hash: number): InstanceId[] {
  const voters = votersOf(registry);
  const tokens = voters
    .flatMap((record) =>
      Array.from(tokensOf(record.id, record.tokenSeed), (at) => ({ at, record })),
    )
    .sort((a, b) => a.at - b.at || (a.record.id < b.record.id ? -1 : 1))
    .filter(({ at }, i, all) => i === 0 || all[i - 1]!.at !== at);
  const clockwise = [...tokens.filter(({ at }) => at > hash), ...tokens];
  const zoneCount = new Set(voters.map(({ zone }) => zone)).size;
  const pick = (perZone: number): InstanceRecord[] => {
    const chosen: InstanceRecord[] = [];
    for (const { record } of clockwise) {
      if (record.state !== 'ACTIVE' || chosen.includes(record)) continue;
      if (chosen.filter(({ zone }) => zone === record.zone).length >= perZone) continue;
      if (chosen.length < rf) chosen.push(record);
    }
    return chosen;
  };
  const spread = pick(zoneCount >= rf ? 1 : Math.ceil(rf / zoneCount));
  const chosen = zoneCount < rf && spread.length < rf ? pick(rf) : spread;
  return chosen.map(({ id }) => id);
}

const anyCluster = fc
  .array(
    fc.record({
      state: fc.constantFrom(
        'ACTIVE',
        'ACTIVE',
        'ACTIVE',
        'LEAVING',
        'READONLY',
        'JOINING',
        'LEFT',
      ),
      zone: fc.constantFrom('x', 'y', 'z'),
      tokenSeed: fc.nat(3),
    }),
    { maxLength: 8 },
  )
  .map((list) => list.map((change, i) => instance(`i${i}`, { ...change, joinedRf: 1 })));

t.test('tokensOf() derives 128 distinct tokens from id and seed, the same for ever', (t) => {
  const tokens = tokensOf('a', 7);
  t.equal(new Set(tokens).size, TOKENS_PER_INSTANCE);
  t.same(tokensOf('a', 7), tokens);
  t.notSame(tokensOf('a', 8), tokens);
  t.notSame(tokensOf('b', 7), tokens, 'a copied seed claims nobody else’s tokens');
  t.same([...tokens.subarray(0, 3)], GOLDEN_TOKENS, 'changing them moves every series');
  t.end();
});

t.test(
  'Ring.replicaSet() agrees with its naive twin, allocates within rf, and names distinct instances',
  (t) => {
    fc.assert(
      fc.property(
        anyCluster,
        fc.integer({ min: 1, max: 5 }),
        fc.array(fc.nat(0xffff_ffff)),
        (list, rf, keys) => {
          const registry = registryOf(rfStep(rf), ...list);
          const ring = new Ring(registry);
          for (const hash of [0, 0xffff_ffff, ...keys, ...keys, ...ring.tokens.subarray(0, 4)]) {
            const write = replicas(ring, hash);
            assert.deepEqual(write, naiveWriteSet(registry, rf, hash));
            assert.equal(new Set(write).size, write.length);
            const read = replicas(ring, hash, 'read');
            assert.equal(new Set(read).size, read.length);
            assert.ok(
              write.every((id) => read.includes(id)),
              'reads see every write',
            );
            assert.ok(read.length <= ring.replicasMax);
          }
        },
      ),
    );
    t.end();
  },
);

t.test('new Ring() is the same ring for the same records in any order', (t) => {
  const shuffled = anyCluster.chain((list) =>
    fc.tuple(fc.constant(list), fc.shuffledSubarray(list, { minLength: list.length })),
  );
  fc.assert(
    fc.property(shuffled, ([list, other]) => {
      const [a, b] = [new Ring(registryOf(...list)), new Ring(registryOf(...other))];
      assert.deepEqual(a.tokens, b.tokens);
      assert.deepEqual(a.owners, b.owners);
      assert.deepEqual(a.instances, b.instances);
    }),
  );
  t.end();
});

t.test(
  'new Ring() gives a token drawn twice to the lower id, and an empty ring holds nothing',
  (t) => {
    // Two ids whose tokens collide are found by search over many instances.
    const many = registryOf(...Array.from({ length: 1500 }, (_, i) => instance(`m${i}`)));
    const ring = new Ring(many);
    const owners = new Map<number, string>();
    let collisions = 0;
    for (const { id, tokenSeed } of ring.instances) {
      for (const token of tokensOf(id, tokenSeed)) {
        const owner = owners.get(token);
        if (owner === undefined) owners.set(token, id);
        else collisions++;
      }
    }
    t.ok(collisions > 0, 'the search found some');
    t.equal(ring.tokens.length, 1500 * TOKENS_PER_INSTANCE - collisions);
    t.ok(
      ring.tokens.every((token, i) => ring.instances[ring.owners[i]!]?.id === owners.get(token)),
    );
    t.equal(new Ring(registryOf()).replicaSet(1, 'write', new Uint16Array(3)), 0);
    t.end();
  },
);

t.test('Ring.replicaSet() balances: no instance holds much more than another', (t) => {
  const check = (count: number, rf: number, ratioMax: number): void => {
    const shares = loads(new Ring(clusterOf(count, rf)), 20_000);
    const ratio = Math.max(...shares) / Math.min(...shares);
    t.comment(`${count} instances, RF ${rf}: max/min ${ratio.toFixed(2)}`);
    t.ok(ratio <= ratioMax, `${count} instances, RF ${rf}: ${ratio}`);
  };
  check(3, 1, 1.35);
  check(3, 3, 1);
  check(10, 1, 1.6);
  check(10, 3, 1.4);
  check(50, 1, 1.9);
  check(50, 3, 1.6);
  t.end();
});

t.test('Ring.replicaSet() moves few series when an instance joins or leaves', (t) => {
  const check = (count: number, rf: number): void => {
    const small = new Ring(clusterOf(count, rf));
    const large = new Ring(clusterOf(count + 1, rf));
    let moved = 0;
    const keys = hashes(10_000);
    for (const hash of keys) {
      const after = new Set(replicas(large, hash));
      const gone = replicas(small, hash).filter((id) => !after.has(id)).length;
      assert.ok(gone <= 1, 'at most one replica makes room');
      moved += gone;
    }
    const share = moved / (keys.length * rf);
    t.comment(`${count} -> ${count + 1} instances, RF ${rf}: ${(share * 100).toFixed(1)} % moved`);
    t.ok(share <= 1.5 / (count + 1), `${count} instances, RF ${rf}: ${share}`);
  };
  check(3, 1);
  check(4, 3);
  check(10, 3);
  check(50, 3);
  t.end();
});

t.test('Ring.replicaSet() puts replicas into distinct zones as long as there are RF zones', (t) => {
  const check = (count: number, zones: number, zonesOfSet: number): void => {
    const ring = new Ring(clusterOf(count, 3, zones));
    for (const hash of hashes(500)) {
      const set = replicas(ring, hash).map((id) => ring.instances[ring.indexOf(id)]!.zone);
      assert.equal(set.length, 3);
      assert.equal(new Set(set).size, zonesOfSet);
    }
  };
  check(3, 3, 3);
  check(12, 3, 3);
  check(12, 5, 3);
  check(6, 2, 2);
  check(5, 1, 1);
  t.end();
});

t.test('Ring.replicaSet() passes over READONLY and LEAVING for writes, in the same zone', (t) => {
  const records = recordsOf(clusterOf(9, 3, 3));
  const changed = records.map((record): RegistryRecord => {
    if (record.kind !== 'instance' || record.id !== 'n-00') return record;
    return { ...record, state: 'LEAVING' };
  });
  const before = new Ring(registryOf(...records));
  const after = new Ring(registryOf(...changed));
  const zoneOf = (id: InstanceId): string => after.instances[after.indexOf(id)]!.zone;
  const leaver = parseInstanceId('n-00');
  t.same(after.tokens, before.tokens, 'nobody’s tokens move');
  for (const hash of hashes(500)) {
    const old = replicas(before, hash);
    const set = replicas(after, hash);
    assert.ok(!set.includes(leaver));
    assert.deepEqual(set.map(zoneOf).sort(), old.map(zoneOf).sort());
    const kept = old.filter((id) => id !== leaver);
    assert.ok(
      kept.every((id) => set.includes(id)),
      'the others stay',
    );
    if (old.includes(leaver)) assert.ok(replicas(after, hash, 'read').includes(leaver));
  }
  t.end();
});

// --- reads ---

const range = (fromMs: number, toMs = fromMs + 1) => ({
  minTimeMs: WALL_MS + fromMs,
  maxTimeMs: WALL_MS + toMs,
});
const ids = (text: string) =>
  new Set(
    text
      .split(' ')
      .filter(Boolean)
      .map((id) => parseInstanceId(id)),
  );
const LATER = 2 * READ_SLACK_MS;

/** 'ok', or who is missing. */
function judge(registry: Registry, answered: string, from = LATER): string {
  const verdict = readPlan(registry, range(from)).isComplete(ids(answered));
  return verdict.ok ? 'ok' : `${verdict.missing} (${verdict.tolerated} tolerated)`;
}

t.test('readPlan() asks everyone who may hold data, and JOINING before its first write', (t) => {
  const states = [
    'PENDING',
    'JOINING',
    'ACTIVE',
    'READONLY',
    'LEAVING',
    'LEFT',
    'FORGOTTEN',
  ] as const;
  const registry = registryOf(...states.map((state) => instance(state.toLowerCase(), { state })));
  const asked = readPlan(registry, range(0)).instancesToAsk.map(({ id }) => id);
  t.strictSame(asked, ['active', 'joining', 'leaving', 'readonly']);
  t.end();
});

t.test('readPlan() tells whether each instance holds every series', (t) => {
  const check = (registry: Registry, expected: boolean, from = LATER): void => {
    t.equal(readPlan(registry, range(from)).areReplicas, expected);
  };
  check(clusterOf(3, 3), true);
  check(clusterOf(1, 3), true);
  check(clusterOf(1, 1), true);
  check(clusterOf(4, 3), false);
  check(clusterOf(3, 2), false);
  check(clusterOf(3, 1), false);
  t.end();
});

t.test('readPlan() tolerates W-1 missing instances, whatever N is', (t) => {
  const flat = (count: number, rf: number) => clusterOf(count, rf, 1);
  t.equal(judge(flat(1, 1), 'n-00'), 'ok');
  t.equal(judge(flat(1, 1), ''), 'n-00 (0 tolerated)');
  t.equal(judge(flat(3, 3), 'n-00 n-02'), 'ok');
  t.equal(judge(flat(3, 3), 'n-02'), 'n-00, n-01 (1 tolerated)');
  t.equal(judge(flat(3, 3), 'n-02 stranger other'), 'n-00, n-01 (1 tolerated)');
  t.equal(judge(flat(5, 5), 'n-00 n-01 n-02'), 'ok');
  t.equal(judge(flat(9, 3), 'n-00 n-01'), 'n-02, n-03, n-04, n-05, n-06 and 2 more (1 tolerated)');
  t.equal(judge(flat(1, 3), ''), 'n-00 (0 tolerated)', 'half of the registered answer at least');
  t.end();
});

t.test(
  'readPlan() tolerates whole zones only where replicas were in distinct zones all along',
  (t) => {
    const threeZones = clusterOf(9, 3, 3);
    const zoneGone = 'n-01 n-02 n-04 n-05 n-07 n-08';
    t.equal(judge(threeZones, zoneGone), 'ok');
    t.match(judge(threeZones, 'n-02 n-04 n-05 n-07 n-08'), /n-00, n-01, n-03, n-06 \(1/);
    t.match(judge(clusterOf(9, 3, 2), 'n-01 n-03 n-05 n-07'), /n-00/, 'two zones are too few');
    const late = instance('n-02', { zone: 'zone-2', joinedRf: 3, activeSinceMs: WALL_MS + LATER });
    const third = registryOf(
      ...recordsOf(clusterOf(2, 3)),
      instance('n-03', { zone: 'zone-0' }),
      late,
    );
    t.match(judge(third, 'n-01 n-02', LATER), /n-00, n-03/, 'the third zone came later');
    t.equal(judge(third, 'n-01 n-02', 2 * LATER), 'ok');
    const moved = instance('n-00', { ...votersOf(threeZones)[0], version: 2 });
    const relabelled = registryOf(...recordsOf(threeZones), {
      ...moved,
      zoneChangedAtMs: WALL_MS + LATER,
    });
    t.match(judge(relabelled, zoneGone, LATER), /n-00/, 'an instance changed its zone');
    t.equal(judge(relabelled, zoneGone, 2 * LATER), 'ok');
    t.end();
  },
);

t.test('readPlan() keeps the rule of each step that the range touches until it is settled', (t) => {
  const a = instance('a', { joinedRf: 1, settledRf: 1 });
  const grown = [
    instance('b', { joinedRf: 2, settledRf: 2 }),
    instance('c', { joinedRf: 3, settledRf: 3 }),
  ];
  const steps = [rfStep(1, -9), rfStep(2, 0), rfStep(3, 1)];
  const registry = registryOf(a, ...grown, ...steps);
  t.equal(judge(registry, 'b c', 0), 'a (0 tolerated)');
  t.equal(
    judge(registry, 'b c', READ_SLACK_MS),
    'a (0 tolerated)',
    'samples may lie in the future',
  );
  t.equal(judge(registry, 'a c', 0), 'ok');
  t.equal(judge(registry, 'b c', LATER), 'ok');
  const settled = registryOf({ ...a, settledRf: 3 }, ...grown, ...steps);
  t.equal(judge(settled, 'b c', 0), 'ok');
  const unheard = registryOf(a, ...grown, rfStep(1, -9));
  t.equal(judge(unheard, 'b c', LATER), 'a (0 tolerated)', 'the end of the step is not known here');
  t.end();
});

t.test('readPlan() counts a joining instance under the factor that it brings', (t) => {
  const joining = instance('b', { state: 'JOINING', joinedRf: 2, settledRf: 2 });
  const registry = registryOf(instance('a'), rfStep(1), joining);
  t.equal(judge(registry, 'a'), 'ok');
  t.equal(judge(registry, 'b'), 'a (0 tolerated)');
  t.end();
});

t.test(
  'readPlan() counts wiped and forgotten instances as missing for the history they lost',
  (t) => {
    const base = clusterOf(3, 3, 1);
    const n0 = votersOf(base)[0]!;
    const wiped = {
      ...n0,
      bootCounter: 2,
      storeId: storeId('2'),
      missingBeforeMs: WALL_MS + LATER,
    };
    const withWiped = registryOf(...recordsOf(base), wiped);
    t.equal(judge(withWiped, 'n-00 n-01 n-02', LATER), 'ok');
    t.equal(judge(withWiped, 'n-00 n-01', LATER), 'n-00 (its disk lost data), n-02 (1 tolerated)');
    t.equal(judge(withWiped, 'n-00 n-01', 3 * LATER), 'ok', 'new data is on the new disk');
    const refilled = registryOf(...recordsOf(withWiped), {
      ...wiped,
      version: 2,
      missingBeforeMs: 0,
    });
    t.equal(judge(refilled, 'n-00 n-01', LATER), 'ok');
    const tombstone: InstanceRecord = {
      ...n0,
      state: 'FORGOTTEN',
      missingBeforeMs: WALL_MS + LATER,
    };
    const forgotten = registryOf(...recordsOf(base), tombstone);
    t.strictSame(
      readPlan(forgotten, range(0)).instancesToAsk.map(({ id }) => id),
      ['n-01', 'n-02'],
    );
    t.equal(judge(forgotten, 'n-01', LATER), 'n-00 (forgotten), n-02 (1 tolerated)');
    t.equal(judge(forgotten, 'n-01 n-02', LATER), 'ok');
    t.equal(judge(forgotten, 'n-01', 3 * LATER), 'ok');
    const accepted = registryOf(...recordsOf(forgotten), {
      ...tombstone,
      version: 2,
      missingBeforeMs: 0,
    });
    t.equal(judge(accepted, 'n-01', LATER), 'ok');
    t.end();
  },
);

t.test('readPlan() never calls complete what lacks a sample that W replicas acknowledged', (t) => {
  const scenario = fc.record({
    count: fc.integer({ min: 1, max: 9 }),
    zones: fc.integer({ min: 1, max: 4 }),
    rf: fc.integer({ min: 1, max: 5 }),
    leaving: fc.nat(8),
    hash: fc.nat(0xffff_ffff),
    answering: fc.array(fc.boolean(), { minLength: 9, maxLength: 9 }),
    ackers: fc.array(fc.nat(4), { minLength: 5, maxLength: 5 }),
  });
  let completeCount = 0;
  fc.assert(
    fc.property(scenario, ({ ackers, answering, count, hash, leaving, rf, zones }) => {
      const records = recordsOf(clusterOf(count, rf, zones)).map((record): RegistryRecord => {
        const isLeaving = record.kind === 'instance' && record.id === `n-0${leaving}`;
        return isLeaving ? { ...record, state: 'LEAVING' } : record;
      });
      const registry = registryOf(...records);
      const set = replicas(new Ring(registry), hash);
      const quorum = writeQuorum(rf);
      if (set.length < quorum) return; // such a write is refused
      const byPreference = set.map((id, i) => ({ id, rank: ackers[i]! * 10 + i }));
      byPreference.sort((a, b) => a.rank - b.rank);
      const holders = byPreference.slice(0, quorum).map(({ id }) => id);
      const answered = new Set(
        votersOf(registry)
          .filter((_, i) => answering[i])
          .map(({ id }) => id),
      );
      if (!readPlan(registry, range(LATER)).isComplete(answered).ok) return;
      completeCount++;
      assert.ok(
        holders.some((id) => answered.has(id)),
        `${holders.join()} not in the answers`,
      );
    }),
    { numRuns: 3000 },
  );
  t.ok(completeCount > 200, 'the model met complete reads');
  t.end();
});
