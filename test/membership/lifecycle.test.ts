/**
 * Goal: instances begin, join, restart, leave and are forgotten as the design says, a minority decides
 * nothing, and no verdict about a peer can touch the ring.
 * Method: dialogues in test/golden/membership/lifecycle-*.txt (commands, `----`, what happened), each
 * run against machines that talk to each other; then single machines with hostile inputs, and random
 * faults until everything heals. UPDATE_GOLDEN=1 rewrites the dialogues.
 */
import assert from 'node:assert/strict';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import fc from 'fast-check';
import t from 'tap';
import { type LifecycleInput, createLifecycle, step } from '../../membership/lifecycle.ts';
import {
  activeRecord,
  forgottenRecord,
  joiningRecord,
  sealedRecord,
} from '../../membership/lifecycle-records.ts';
import {
  type RegistryRecord,
  electorateDigest,
  encodeRegistry,
  recordsOf,
  registryDigest,
  votersOf,
} from '../../membership/registry/index.ts';
import { readPlan } from '../../membership/ring/index.ts';
import { parseInstanceId } from '../../model/ids.ts';
import { LifecycleWorld } from '../support/lifecycle-world.ts';
import { WriteModel } from '../support/write-model.ts';
import { WALL_MS, instance, registryOf, rfStep, storeId } from '../support/registry-records.ts';
import { checkout } from '../support/checkout.ts';

const golden = checkout('test/golden/membership/');

for (const name of readdirSync(golden).filter((file) => /^lifecycle-.*\.txt$/.test(file))) {
  t.test(`step() follows the dialogue ${name}`, (t) => {
    const path = new URL(name, golden);
    const expected = readFileSync(path, 'utf8');
    const actual = replay(expected);
    if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(path, actual);
    t.equal(actual, process.env['UPDATE_GOLDEN'] === '1' ? actual : expected);
    t.end();
  });
}

/** Runs the commands of a dialogue and writes it anew. Paragraphs: comments, commands, `----`, trace. */
function replay(text: string): string {
  const world = new LifecycleWorld();
  const paragraphs = text.trimEnd().split('\n\n');
  return paragraphs
    .map((paragraph) => {
      const head = paragraph.split('\n----')[0] ?? '';
      const commands = head.split('\n').filter((line) => !line.startsWith('#'));
      if (commands.length === 0) return head;
      const trace = commands.flatMap((command) => world.run(command));
      return [head, '----', ...trace].join('\n');
    })
    .join('\n\n')
    .concat('\n');
}

/** A cluster of three that has come to rest. */
function threeNodes(): LifecycleWorld {
  const world = new LifecycleWorld();
  for (const id of ['a', 'b', 'c']) world.run(`start ${id}`);
  world.run('run 8000');
  for (const id of ['a', 'b', 'c']) assert.equal(world.stateOf(id).phase, 'active');
  return world;
}

t.test('step() has no input by which a liveness verdict could change the ring', (t) => {
  const world = threeNodes();
  const before = world.ringOf('a');
  // What the detector's events could be turned into, by a shell that gets it wrong.
  for (let i = 0; i < 50; i++) {
    const id = parseInstanceId('bc'[i % 2]!);
    world.input('a', { type: 'met-instance', id, records: [] });
    world.input('a', { type: 'nack', stamp: 'i/b', from: id, why: 'dead' });
    world.input('a', { type: 'ack', stamp: 'i/b', from: id, electorate: '', isReturning: false });
    world.input('a', { type: 'tick' });
  }
  world.run('kill b');
  world.run('kill c');
  world.run('run 600000');
  t.same(world.ringOf('a').tokens, before.tokens);
  t.same(world.ringOf('a').owners, before.owners);
  t.equal(world.ringOf('a').rf, 3);
  t.equal(world.stateOf('a').isReady, true);
  t.end();
});

t.test('step() acknowledges only what it holds, and only as a voter', (t) => {
  const world = threeNodes();
  const { registry } = world.stateOf('a');
  const ask = (record: RegistryRecord): string => {
    const now = { monotonicMs: 1e6, wallMs: WALL_MS };
    const from = parseInstanceId('b');
    const { effects } = step(world.stateOf('a'), { type: 'asked', record, from }, now);
    const types = effects.map(({ type }) => type);
    const durable = types.indexOf('persist');
    const answer = types.findIndex((type) => type.startsWith('reply-'));
    assert.ok(durable < answer, 'persisted before it is acknowledged');
    return types[answer] ?? 'nothing';
  };
  const joiner = instance('d', { state: 'JOINING', joinedRf: 3, settledRf: 3 });
  t.equal(ask(joiner), 'reply-ack');
  t.equal(ask(rfStep(5, 0, false)), 'reply-ack');
  const b = votersOf(registry)[1]!;
  t.equal(ask({ ...b, version: b.version - 1 }), 'reply-nack', 'a newer record is known');
  const forgetUs: RegistryRecord = { ...votersOf(registry)[0]!, proposal: 'forget' };
  t.equal(ask(forgetUs), 'reply-nack', 'it answers for itself');
  const fresh = new LifecycleWorld();
  fresh.run('start z');
  const { effects } = step(
    fresh.stateOf('z'),
    { type: 'asked', record: joiner, from: parseInstanceId('b') },
    { monotonicMs: 0, wallMs: 0 },
  );
  t.match(effects.at(-1), { type: 'reply-nack', why: 'this instance has no vote' });
  t.end();
});

t.test('step() counts an acknowledgement only of the same electorate', (t) => {
  const world = threeNodes();
  world.run('kill c');
  world.run('cut a b');
  world.run('forget a c');
  const stamp = [...world.stateOf('a').ballots.keys()][0]!;
  const from = parseInstanceId('b');
  const electorate = electorateDigest(world.stateOf('a').registry);
  const ack = (change: object): string[] => {
    const input: LifecycleInput = {
      type: 'ack',
      stamp,
      from,
      electorate,
      isReturning: false,
      ...change,
    };
    const { effects } = step(world.stateOf('a'), input, { monotonicMs: 8001, wallMs: WALL_MS });
    return effects.map(({ type }) => type);
  };
  t.strictSame(ack({ electorate: 'other' }), ['sync-with']);
  t.strictSame(ack({ stamp: 'i/x' }), []);
  t.strictSame(ack({ isReturning: true }), []);
  t.strictSame(ack({ from: parseInstanceId('stranger') }), []);
  t.ok(ack({}).includes('forget-done'));
  t.end();
});

t.test('step() takes pieces of a registry only once it was told a whole one', (t) => {
  const world = threeNodes();
  const { config, registry } = world.stateOf('a');
  const records = recordsOf(registry);
  const own = registry.instances.get(config.instanceId);
  assert.ok(own !== undefined && registry.cluster !== undefined);
  const secrets = [registry.cluster, ...registry.rfSteps.values()];
  const others = records.filter((one) => one.kind === 'instance' && one.id !== own.id);
  const now = { monotonicMs: 9000, wallMs: WALL_MS };
  /** The phase of a machine with an empty disk after each list that gossip tells, and after an exchange. */
  const check = (id: string, lists: readonly (readonly RegistryRecord[])[], expected: string) => {
    const instanceId = parseInstanceId(id);
    const emptied = { ...config, instanceId, storeId: storeId('e'), hasSeeds: true };
    const begin: LifecycleInput = { type: 'started', registry: undefined };
    let { state } = step(createLifecycle(emptied), begin, now);
    const phases: string[] = [];
    const hear = (input: LifecycleInput): void => {
      ({ state } = step(state, input, now));
      phases.push(`${state.phase}${state.isReady ? '!' : ''}`);
    };
    for (const list of lists) hear({ type: 'registry-changed', records: list });
    hear({ type: 'met-instance', id: parseInstanceId('b'), records });
    t.equal(phases.join(' '), expected);
    t.equal(votersOf(state.registry).length, 3, 'who has to be asked');
  };
  // One that was wiped hears of itself before others: alone it would be a majority.
  check('a', [[own], secrets, others], 'pending pending pending returning');
  check('a', [secrets, [own]], 'pending pending returning');
  // A newcomer hears of the cluster before it hears of anybody in it.
  check('z', [secrets, [own]], 'pending pending joining');
  t.end();
});

t.test('step() starts as another process ends: twins do not act as one instance', (t) => {
  const world = threeNodes();
  const own = instance('a', world.stateOf('a').own);
  const now = { monotonicMs: 1e6, wallMs: WALL_MS };
  const hear = (change: object): string | undefined => {
    const records = [{ ...own, ...change }];
    const { effects } = step(world.stateOf('a'), { type: 'registry-changed', records }, now);
    const last = effects.at(-1);
    return last?.type === 'end' ? last.why : last?.type;
  };
  t.equal(hear({ bootCounter: own.bootCounter + 1 }), 'superseded');
  t.equal(hear({ version: own.version + 1, storeId: storeId('f') }), 'superseded');
  t.equal(hear({ state: 'FORGOTTEN' }), 'forgotten');
  t.equal(hear({ bootCounter: own.bootCounter - 1 }), undefined, 'old news');
  t.equal(hear({ proposal: 'forget' }), 'broadcast', 'refuted');
  t.end();
});

t.test('step() says what was lost until it is filled again, at once and over restarts', (t) => {
  let state = threeNodes().stateOf('a');
  const now = { monotonicMs: 1e6, wallMs: WALL_MS };
  const check = (input: LifecycleInput, missingBeforeMs: number, isTold = true): void => {
    const taken = step(state, input, now);
    ({ state } = taken);
    t.equal(state.own?.missingBeforeMs, missingBeforeMs);
    const types = taken.effects.map(({ type }) => type);
    t.strictSame(types.slice(0, 3), isTold ? ['persist', 'publish', 'broadcast'] : []);
    t.equal(state.phase, 'active', 'it goes on');
  };
  check({ type: 'lost', beforeMs: 500 }, 500);
  check({ type: 'lost', beforeMs: 400 }, 500, false);
  check({ type: 'refilled', beforeMs: 400, restMs: 0 }, 500, false);
  check({ type: 'refilled', beforeMs: 500, restMs: 100 }, 100);
  check({ type: 'refilled', beforeMs: 500, restMs: 0 }, 0);
  check({ type: 'lost', beforeMs: 700 }, 700);

  const restart = (lostBeforeMs: number): number | undefined => {
    const config = { ...state.config, bootCounter: state.bootCounter + 1, lostBeforeMs };
    const started = step(
      createLifecycle(config),
      { type: 'started', registry: state.registry },
      now,
    );
    t.equal(started.state.phase, 'resuming', 'it has lost data, not what it knew');
    return started.state.own?.missingBeforeMs;
  };
  t.equal(restart(0), 700);
  t.equal(restart(900), 900);
  t.end();
});

t.test('who had lost its disk when it was forgotten comes back as with an empty one', (t) => {
  const state = threeNodes().stateOf('a');
  const { config } = state;
  const now = { monotonicMs: 1e6, wallMs: WALL_MS + 50 };
  const check = (missingBeforeMs: number, expected: number): void => {
    const known = instance('a', { storeId: config.storeId, missingBeforeMs });
    const tombstone = sealedRecord(forgottenRecord(known, false), WALL_MS + 10);
    const registry = registryOf(tombstone, instance('b'));
    const back = joiningRecord({ ...state, own: undefined, registry, now });
    t.equal(back.missingBeforeMs, expected);
    t.equal(back.storeId, config.storeId);
  };
  check(0, 0);
  check(WALL_MS, WALL_MS + 50);
  t.end();
});

t.test('who comes back from being forgotten is in its zone from then on', (t) => {
  const hourMs = 3_600_000;
  const state = threeNodes().stateOf('a');
  const now = { monotonicMs: 1e6, wallMs: WALL_MS };
  const old = { joinedRf: 3, settledRf: 3, activeSinceMs: WALL_MS - 1000 * hourMs };
  const known = instance('a', { ...old, zone: 'z3', storeId: state.config.storeId });
  const others = ['z1', 'z1', 'z2'].map((zone, i) => instance(`b${i}`, { ...old, zone }));
  const world = [rfStep(3, -1000 * hourMs), ...others];
  const tombstone = { ...forgottenRecord(known, false), missingBeforeMs: 0 }; // taken over
  const registry = registryOf(...world, tombstone);
  const config = { ...state.config, zone: 'z3' };
  const context = { ...state, config, own: undefined, registry, now };
  const back = activeRecord({ ...context, own: joiningRecord(context) });
  t.equal(back.activeSinceMs, old.activeSinceMs, 'it keeps its history');
  const isWhole = (members: readonly RegistryRecord[], hoursAgo: number, answered: string) => {
    const range = {
      minTimeMs: WALL_MS - hoursAgo * hourMs,
      maxTimeMs: WALL_MS - (hoursAgo - 1) * hourMs,
    };
    const ids = new Set(answered.split(' ').map(parseInstanceId));
    return readPlan(registryOf(...world, ...members), range).isComplete(ids).ok;
  };
  // Two zones took three copies while it was away: two of them may be in z1.
  t.equal(isWhole([tombstone], 5, 'b2'), false);
  t.equal(isWhole([back], 5, 'b2 a'), false);
  t.equal(isWhole([back], 5, 'b1 b2 a'), true);
  t.equal(isWhole([back], -30, 'b2 a'), true, 'long after');
  t.end();
});

t.test('step() gives up an id that another starting process outbids', (t) => {
  let state = createLifecycle(threeNodes().stateOf('a').config);
  const now = { monotonicMs: 0, wallMs: WALL_MS };
  ({ state } = step(state, { type: 'started', registry: undefined }, now));
  const met: LifecycleInput = { type: 'met-instance', id: parseInstanceId('b'), records: [] };
  ({ state } = step(state, met, now));
  let rounds = 0;
  while (state.phase !== 'ended') {
    const twin = instance('a', { bootCounter: state.bootCounter + 1, storeId: storeId('e') });
    ({ state } = step(state, { type: 'registry-changed', records: [twin] }, now));
    assert.ok(++rounds < 10, 'they would duel for ever');
  }
  t.ok(rounds > 1);
  t.end();
});

/** Random commands for a cluster of the given ids; parts are separated by ';'. */
function arbitraryCommands(ids: readonly string[]): fc.Arbitrary<string[]> {
  const someone = fc.constantFrom(...ids);
  const everyOther = ids.filter((_, i) => i % 2 === 0).join();
  const others = ids.filter((_, i) => i % 2 === 1).join();
  const cuts = [
    `cut ${ids.slice(0, 2).join()} ${ids.slice(2).join()}`,
    `cut ${everyOther} ${others}`,
  ];
  const command = fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom('run 500', 'run 2000', 'run 6000') },
    { weight: 2, arbitrary: someone.map((id) => `kill ${id}`) },
    { weight: 1, arbitrary: someone.map((id) => `stop ${id}`) },
    { weight: 1, arbitrary: someone.map((id) => `wipe ${id}`) },
    { weight: 2, arbitrary: someone.map((id) => `wipe ${id};start ${id};run 3000`) },
    { weight: 3, arbitrary: someone.map((id) => `start ${id}`) },
    {
      weight: 2,
      arbitrary: fc.tuple(someone, someone).map(([a, b]) => `forget ${a} ${b};run 500`),
    },
    { weight: 2, arbitrary: fc.constantFrom(...cuts) },
    { weight: 1, arbitrary: fc.constant('heal') },
  );
  return fc.array(command, { maxLength: 25 });
}

/** Runs the commands with a model of acknowledged samples, heals everything, and checks it all. */
function runFaults(ids: readonly string[], commands: readonly string[]): number {
  const world = new LifecycleWorld();
  for (const id of ids) world.run(`start ${id}`);
  world.run('run 10000');
  const model = new WriteModel(world, ids);
  const rfSeen = new Map<string, number>();
  let readCount = 0;
  for (const line of commands.flatMap((command) => command.split(';'))) {
    if (!isPossible(world, line)) continue;
    world.run(line);
    for (const id of ids.filter((each) => world.isRunning(each))) {
      const { rf } = world.ringOf(id);
      const disk = `${id} ${world.storeOf(id)}`;
      assert.ok(rf >= (rfSeen.get(disk) ?? 1), `the factor of ${id} fell to ${rf}`);
      rfSeen.set(disk, rf);
    }
    model.write();
    readCount += model.read();
  }
  world.run('heal');
  // Whoever was forgotten while it ran ends when it hears of it, and may be started again.
  for (const forMs of [60_000, 30_000]) {
    for (const id of ids) if (!world.isRunning(id)) world.run(`start ${id}`);
    world.run(`run ${forMs}`);
  }
  readCount += model.read();
  const digests = new Set(ids.map((id) => registryDigest(world.stateOf(id).registry)));
  assert.equal(digests.size, 1, ids.map((id) => world.run(`show ${id}`).join('\n')).join('\n'));
  for (const id of ids) assert.equal(world.stateOf(id).phase, 'active', id);
  assert.equal(world.ringOf('a').instances.length, ids.length);
  assert.equal(world.ringOf('a').rf, 3);
  return readCount;
}

t.test('step() passes the fault runs that once failed', (t) => {
  const check = (ids: string, ...commands: readonly string[]): unknown =>
    t.doesNotThrow(() => runFaults(ids.split(' '), commands), commands.join('; '));
  // Three of five lost their disks: none of them has a vote on the others' return.
  check('a b c d e', 'wipe a', 'wipe c', 'wipe b');
  // A peer that was returning when it was asked must be asked again when it is back.
  check('a b c', 'wipe a', 'forget c a;run 500', 'wipe c');
  // Forgotten while it was cut off and alive, an instance keeps taking writes on its side.
  check('a b c d e', 'cut a,b c,d,e', 'forget c a');
  // A forgotten instance meets one that knows it before it knows it itself.
  check('a b c', 'cut a,b c', 'forget a c;run 500', 'cut a,c b');
  t.end();
});

t.test('step() after any faults: one registry, and no complete read lacks an acked sample', (t) => {
  for (const ids of [
    ['a', 'b', 'c'],
    ['a', 'b', 'c', 'd', 'e'],
  ]) {
    let readCount = 0;
    fc.assert(
      fc.property(arbitraryCommands(ids), (commands) => {
        readCount += runFaults(ids, commands);
      }),
      { numRuns: Number(process.env['RUNS'] ?? 20) },
    );
    t.ok(readCount > 100, `the model of ${ids.length} met ${readCount} complete reads`);
  }
  t.end();
});

function isPossible(world: LifecycleWorld, line: string): boolean {
  const [command = '', id = ''] = line.split(' ');
  if (command === 'start') return !world.isRunning(id);
  if (command === 'forget' || command === 'stop' || command === 'kill') return world.isRunning(id);
  return true;
}

t.test('step() is pure: the same inputs give the same bytes', (t) => {
  const bytes = (world: LifecycleWorld): string =>
    ['a', 'b', 'c']
      .map((id) => Buffer.from(encodeRegistry(world.stateOf(id).registry)).toString('hex'))
      .join();
  t.equal(bytes(threeNodes()), bytes(threeNodes()));
  const state = threeNodes().stateOf('a');
  const now = { monotonicMs: 1e6, wallMs: WALL_MS };
  const frozen = encodeRegistry(state.registry);
  const records = [...registryOf(instance('q', { state: 'JOINING' })).instances.values()];
  step(state, { type: 'registry-changed', records }, now);
  t.same(encodeRegistry(state.registry), frozen, 'the state given is not changed');
  t.end();
});
