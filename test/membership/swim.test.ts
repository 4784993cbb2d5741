// Goal: the membership core keeps its promises as a cluster: joins, verdicts, no false verdicts,
// healing. Method: up to 50 cores on a virtual network with seeded loss, cuts, stalls and time; the
// stories test/golden/membership/swim-*.txt are replayed and compared line by line (UPDATE_GOLDEN=1).
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { parseInstanceId } from '../../model/ids.ts';
import { decodePayload, encodeMessage } from '../../membership/swim/codec.ts';
import { suspicionLimits, suspicionTimeoutMs } from '../../membership/swim/suspicion.ts';
import { ByteWriter } from '../../membership/swim/bytes.ts';
import { ClaimTable, takeUpdates } from '../../membership/swim/claim-table.ts';
import { UpdateQueue, transmitsMax } from '../../membership/swim/gossip-queue.ts';
import { VirtualCluster, type VirtualNode } from '../../sim/membership/cluster.ts';
import { checkout } from '../support/checkout.ts';

const GOLDEN = checkout('test/golden/membership/');
type TapTest = Pick<typeof t, 'ok'>;
const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[values.length >> 1]!;

/** A converged cluster that fails the test at any death or suspicion nobody earned. */
function calmCluster(test: TapTest, count: number, seed: number): VirtualCluster {
  const cluster = new VirtualCluster({ seed });
  test.ok(cluster.startAll(count) < Infinity, `${count} nodes join`);
  return cluster;
}

function countStates(cluster: VirtualCluster, state: string): number {
  let count = 0;
  for (const node of cluster.nodes) {
    if (!node.isUp) continue;
    for (const member of node.core.roster) count += Number(member.state === state);
  }
  return count;
}

t.test('join: 50 nodes that know one seed all see each other within 3 s', async (test) => {
  for (const seed of [1, 2, 3]) {
    const tookMs = new VirtualCluster({ seed }).startAll(50);
    test.comment(`join of 50, seed ${seed}: ${tookMs} ms`);
    test.ok(tookMs <= 3_000, `seed ${seed}: ${tookMs} ms`);
  }
});

t.test(
  'crash: 50 nodes all know within 8.7 s in the median, 1.3 times that at worst',
  async (test) => {
    const times: number[] = [];
    for (let seed = 1; seed <= 9; seed++) {
      const cluster = calmCluster(test, 50, seed);
      cluster.run(20_000 + seed * 311);
      const victim = cluster.nodes[seed * 5]!;
      cluster.crash(victim);
      times.push(cluster.until(60_000, () => cluster.countSeeing(victim.id, 'dead') === 49));
    }
    test.comment(`crash seen by all 50: ${times.join(' ')} ms`);
    test.ok(median(times) <= 8_700, `median ${median(times)} ms`);
    test.ok(Math.max(...times) <= 8_700 * 1.3, `worst ${Math.max(...times)} ms`);
  },
);

t.test('crash: once one of ten knows of a death, all do soon; nobody is left out', async (test) => {
  for (const seed of [29, 34, 36, 91, 175]) {
    const cluster = calmCluster(test, 10, seed);
    cluster.run(60_000);
    for (const victim of cluster.nodes.slice(1, 5)) {
      cluster.crash(victim);
      cluster.until(60_000, () => cluster.countSeeing(victim.id, 'dead') > 0);
      const upCount = cluster.nodes.filter(({ isUp }) => isUp).length;
      const allKnow = (): boolean => cluster.countSeeing(victim.id, 'dead') === upCount;
      const tookMs = cluster.until(60_000, allKnow);
      test.ok(tookMs <= 2_000, `seed ${seed}, ${victim.id}: ${tookMs} ms after the first`);
      cluster.run(10_000);
    }
  }
});

t.test('calm: nobody is suspected in an hour of 20 nodes', async (test) => {
  const cluster = calmCluster(test, 20, 7);
  cluster.run(3_600_000);
  test.ok(cluster.isConverged());
  for (const node of cluster.nodes) test.equal(node.core.counters.suspicions_started, 0);
});

t.test('calm: a node of 50 sends at most 300 bytes a second', async (test) => {
  const cluster = calmCluster(test, 50, 4);
  cluster.run(30_000);
  const before = cluster.nodes.reduce((sum, node) => sum + node.bytesSent, 0);
  cluster.run(120_000);
  const after = cluster.nodes.reduce((sum, node) => sum + node.bytesSent, 0);
  const bytesPerSecond = (after - before) / 120 / 50;
  test.comment(`idle: ${bytesPerSecond.toFixed(0)} B/s a node`);
  test.ok(bytesPerSecond <= 300);
});

t.test('loss: with 30 % of datagrams lost and the control lane alive nobody dies', async (test) => {
  let deaths = 0;
  const onEvent = (_now: number, _node: VirtualNode, event: { type: string }): void => {
    deaths += Number(event.type === 'dead');
  };
  const cluster = new VirtualCluster({ seed: 11, lossShare: 0.3, onEvent });
  test.ok(cluster.startAll(50) < 10_000, 'they even join');
  cluster.run(1_200_000);
  test.equal(deaths, 0);
  const victim = cluster.nodes[17]!;
  cluster.crash(victim);
  const tookMs = cluster.until(60_000, () => cluster.countSeeing(victim.id, 'dead') === 49);
  test.comment(`crash seen by all 50 under 30 % loss: ${tookMs} ms`);
  test.ok(tookMs < 15_000, 'and yet a real death is seen');
});

t.test('stall: a loop blocked for 2 s kills nobody, in either direction', async (test) => {
  let deaths = 0;
  const onEvent = (_now: number, _node: VirtualNode, event: { type: string }): void => {
    deaths += Number(event.type === 'dead');
  };
  const cluster = new VirtualCluster({ seed: 5, onEvent });
  cluster.startAll(20);
  for (let turn = 0; turn < 100; turn++) {
    cluster.nodes[turn % 20]!.stalledUntilMs = cluster.nowMs + 2_000;
    cluster.run(3_000);
  }
  test.equal(deaths, 0);
  cluster.run(20_000);
  test.ok(cluster.isConverged());
});

t.test(
  'pause: a node that slept for a minute is dead, returns, and blames nobody',
  async (test) => {
    const blamed: string[] = [];
    const cluster = new VirtualCluster({
      seed: 6,
      onEvent: (_now, node, event) => {
        if (event.type === 'dead' && node.id === 'n5') blamed.push(event.member.id);
      },
    });
    cluster.startAll(10);
    const sleeper = cluster.nodes[4]!;
    sleeper.stalledUntilMs = cluster.nowMs + 60_000;
    cluster.run(59_000);
    test.equal(cluster.countSeeing(sleeper.id, 'dead'), 9);
    test.ok(cluster.until(5_000, () => cluster.isConverged()) < 5_000);
    test.same(blamed, []);
  },
);

t.test('partition: halves of 50 find each other within 15 s of the heal', async (test) => {
  for (const [seed, lossShare] of [
    [1, 0],
    [2, 0],
    [3, 0],
    [4, 0.3],
  ] as const) {
    const cluster = calmCluster(test, 50, seed);
    cluster.run(10_000);
    cluster.nodes.forEach((node, index) => {
      node.side = (index * 7 + seed) % 2;
    });
    cluster.run(300_000);
    test.equal(countStates(cluster, 'alive'), 50 * 24, 'each half sees itself');
    cluster.lossShare = lossShare;
    for (const node of cluster.nodes) node.side = 0;
    const tookMs = cluster.until(60_000, () => cluster.isConverged());
    test.comment(`heal of 25 + 25, loss ${lossShare}, seed ${seed}: ${tookMs} ms`);
    test.ok(tookMs <= 15_000, `${tookMs} ms`);
    cluster.lossShare = 0;
    cluster.run(60_000);
    test.ok(cluster.isConverged(), 'and stay together');
  }
});

t.test('partition: one node cut off for an hour returns within 15 s', async (test) => {
  const cluster = calmCluster(test, 20, 8);
  const lonely = cluster.nodes[9]!;
  lonely.side = 1;
  cluster.run(3_600_000);
  test.equal(lonely.core.livingCount, 1);
  lonely.side = 0;
  const tookMs = cluster.until(60_000, () => cluster.isConverged());
  test.ok(tookMs <= 15_000, `${tookMs} ms`);
});

t.test('leave: 50 nodes know within 1.5 s, and nobody is suspected', async (test) => {
  const cluster = calmCluster(test, 50, 9);
  cluster.run(30_000);
  const leaver = cluster.nodes[20]!;
  cluster.input(leaver, { type: 'leave' });
  const tookMs = cluster.until(10_000, () => cluster.countSeeing(leaver.id, 'left') === 49);
  test.comment(`leave seen by all 50: ${tookMs} ms`);
  test.ok(tookMs <= 1_500);
  cluster.crash(leaver);
  cluster.run(30_000);
  test.equal(countStates(cluster, 'suspect') + countStates(cluster, 'dead'), 0);
});

t.test('leave: under 30 % loss 50 nodes still know within 1.5 s', async (test) => {
  const cluster = calmCluster(test, 50, 10);
  cluster.run(30_000);
  cluster.lossShare = 0.3;
  const leaver = cluster.nodes[20]!;
  cluster.input(leaver, { type: 'leave' });
  const tookMs = cluster.until(10_000, () => cluster.countSeeing(leaver.id, 'left') === 49);
  test.ok(tookMs <= 1_500, `${tookMs} ms`);
});

t.test(
  'restart: a higher boot at another address replaces the old one within 2 s',
  async (test) => {
    const cluster = calmCluster(test, 50, 12);
    cluster.run(10_000);
    const old = cluster.nodes[30]!;
    cluster.crash(old);
    const again = cluster.start(old.id, { boot: 2 });
    cluster.input(again, { type: 'join', seeds: [cluster.nodes[0]!.address] });
    const isSeen = (): boolean =>
      cluster.nodes.every((node) => {
        const member = node.core.members.get(old.id);
        return !node.isUp || node === again || (member?.boot === 2 && member.state === 'alive');
      });
    const tookMs = cluster.until(10_000, isSeen);
    test.comment(`restart seen by all 50: ${tookMs} ms`);
    test.ok(tookMs < 2_000);
    cluster.run(60_000);
    test.ok(isSeen(), 'the old address is forgotten');
  },
);

t.test(
  'conflict: a twin with the same boot at another address is refused and told',
  async (test) => {
    const conflicts: string[] = [];
    const cluster = new VirtualCluster({
      seed: 13,
      onEvent: (_now, node, event) => {
        if (event.type === 'conflict') conflicts.push(`${node.id} ${event.why} ${event.member.id}`);
      },
    });
    cluster.startAll(3);
    const twin = cluster.start('n2');
    cluster.input(twin, { type: 'join', seeds: [cluster.nodes[0]!.address] });
    cluster.run(3_000);
    test.equal(cluster.nodes[0]!.core.members.get(twin.id)?.address, cluster.nodes[1]!.address);
    test.ok(conflicts.includes('n1 identity n2'), 'the asked one tells');
    test.ok(conflicts.includes('n2 identity n2'), 'the twin learns it itself');
  },
);

t.test(
  'refute: an accusation is answered with a higher incarnation, at a bounded rate',
  async (test) => {
    const cluster = calmCluster(test, 5, 14);
    const accused = cluster.nodes[3]!;
    for (let round = 0; round < 50; round++) {
      const { id, boot, address, controlAddress, incarnation } = accused.core.self;
      const payload = encodeMessage({
        type: 'claim',
        claim: {
          state: 'dead',
          id,
          boot,
          address,
          controlAddress,
          incarnation,
          protocol: 1,
          accuser: cluster.nodes[0]!.id,
        },
      });
      const from = cluster.nodes[0]!.address;
      cluster.input(accused, { type: 'packet', payload, from });
      cluster.run(10);
    }
    test.ok(accused.core.self.incarnation >= 1);
    test.ok(accused.core.self.incarnation <= 6, 'at most one in 100 ms');
    test.ok(accused.core.healthScore > 0, 'and its health counts as worse');
    cluster.run(20_000);
    test.ok(cluster.isConverged());
  },
);

t.test(
  'wipe: an instance whose disk forgot its boots is alive again once it learnt them',
  async (test) => {
    const cluster = calmCluster(test, 5, 1);
    const victim = cluster.nodes[2]!;
    cluster.crash(victim);
    const seen = (state: string): boolean => cluster.countSeeing(victim.id, state) === 4;
    test.ok(cluster.until(60_000, () => seen('dead')) < Infinity);
    const next = cluster.start(victim.id, { address: victim.address, boot: 0 });
    cluster.input(next, { type: 'join', seeds: [cluster.nodes[0]!.address] });
    cluster.run(10_000);
    test.ok(seen('dead'), 'an earlier boot is not believed');
    cluster.input(next, { type: 'raise_boot', boot: 2 });
    test.ok(cluster.until(2_000, () => seen('alive')) < Infinity);
    cluster.input(next, { type: 'raise_boot', boot: 1 });
    test.equal(next.core.self.boot, 2, 'it never falls');
  },
);

t.test('claims: an incarnation far ahead of the known one is refused', async (test) => {
  const cluster = calmCluster(test, 3, 15);
  const [judge, target] = [cluster.nodes[0]!, cluster.nodes[1]!];
  const { id, boot, address, controlAddress } = target.core.self;
  const claim = { id, boot, address, controlAddress, protocol: 1, accuser: id } as const;
  const payload = encodeMessage({
    type: 'claim',
    claim: { ...claim, state: 'left', incarnation: 0xffffffff },
  });
  cluster.input(judge, { type: 'packet', payload, from: target.address });
  test.equal(judge.core.members.get(id)?.state, 'alive');
  test.equal(judge.core.drops.claim_incarnation_jump, 1);
});

t.test('ping: a stranger gets less than it sent, and a wrong target nothing', async (test) => {
  const sent: number[] = [];
  const cluster = new VirtualCluster({
    seed: 16,
    onOutput: (_now, node, output) => {
      if (output.type === 'send' && output.address === '192.0.2.1:9' && node.id === 'n1') {
        sent.push(output.payload.length);
      }
    },
  });
  cluster.startAll(30);
  const judge = cluster.nodes[0]!;
  const source = parseInstanceId('n2');
  const ask = (type: 'ping' | 'ping_req', target: string): number => {
    const message = { type, nonce: 5n, target: parseInstanceId(target), source } as const;
    const payload = encodeMessage(message);
    sent.length = 0;
    cluster.input(judge, { type: 'broadcast', key: 'k', bytes: new Uint8Array(500) });
    cluster.input(judge, { type: 'packet', payload, from: '192.0.2.1:9' });
    cluster.run(1_000);
    return sent.reduce((sum, bytes) => sum + bytes, 0) / payload.length;
  };
  test.ok(ask('ping', 'n1') <= 1, 'an ack is no longer than its ping');
  test.ok(ask('ping', 'n1') > 0, 'but it comes');
  test.equal(ask('ping', 'other'), 0);
  test.equal(ask('ping_req', 'n3'), 0, 'helpers work for members only');
  test.equal(judge.core.drops.source_unproven, 1);
});

t.test(
  'records: a broadcast reaches all 50, and push/pull carries the local ones',
  async (test) => {
    const record = new Uint8Array([1, 2, 3]);
    const cluster = calmCluster(test, 50, 17);
    cluster.run(5_000);
    cluster.input(cluster.nodes[3]!, { type: 'broadcast', key: 'n4', bytes: record });
    cluster.run(5_000);
    const heard = cluster.nodes.filter((node) => node.records > 0).length;
    test.ok(heard >= 3 && heard < 50, `the core does not pass records on: heard by ${heard}`);
    const late = cluster.start('late', { localRecords: () => [record, record] });
    cluster.nodes[0]!.records = 0;
    cluster.input(late, { type: 'join', seeds: [cluster.nodes[0]!.address] });
    cluster.run(50);
    test.equal(cluster.nodes[0]!.records, 2);
  },
);

t.test(
  'UpdateQueue sends the least told first, replaces by key and stops at the limit',
  async (test) => {
    const queue = new UpdateQueue(3);
    const bytes = (value: number): Uint8Array => new Uint8Array(10).fill(value);
    const take = (free: number): number[] => {
      const taken: Uint8Array[] = [];
      queue.take(free, 2, taken);
      return taken.map((update) => update[0]!);
    };
    queue.put('a', bytes(1));
    queue.put('b', bytes(2));
    test.same(take(10), [1]);
    test.same(take(10), [2], 'b was told less often');
    queue.put('a', bytes(3));
    test.same(take(30), [3, 2], 'the new a replaced the old one');
    test.same(take(30), [3], 'b was told twice');
    test.equal(queue.count, 0);
    for (const key of ['a', 'b', 'c', 'd']) queue.put(key, bytes(7));
    test.equal(queue.count, 3, 'the bound holds');
    for (const count of [1, 9, 50, 999]) test.equal(transmitsMax(4, count), 12);
    test.equal(transmitsMax(4, 1_000), 16);
    const [claims, records] = [new ClaimTable(), new UpdateQueue(9)];
    for (let i = 0; i < 9; i++) {
      const id = parseInstanceId(`c${i}`);
      const address = '10.0.0.1:1';
      claims.put(i, { state: 'alive', id, boot: 1, incarnation: 0, address, controlAddress: address, protocol: 1, accuser: id }); // prettier-ignore
      claims.tell(i);
      const record = encodeMessage({ type: 'record', bytes: new Uint8Array(22) });
      records.put(`r${i}`, record); // 25 bytes, as a claim has
    }
    const writer = new ByteWriter();
    takeUpdates(claims, records, { bytesFree: 200, transmitsMax: 4, writer });
    const types = decodePayload(writer.finish())
      .messages.map(({ type }) => type[0])
      .join('');
    test.equal(types, 'rrrrcccc', 'records get half of a contested packet');
  },
);

t.test('suspicionTimeoutMs() shrinks from max to min with confirmations', async (test) => {
  const settings = { suspicionMult: 4, suspicionMaxMult: 6, probeIntervalMs: 1_000 };
  const check = (livingCount: number, expected: readonly number[]): void => {
    const limits = suspicionLimits(settings, livingCount);
    const found = expected.map((_, count) => Math.round(suspicionTimeoutMs(limits, count)));
    test.same(found, expected, `${livingCount} members`);
  };
  check(2, [4_000]);
  check(3, [4_000]);
  check(4, [24_000, 11_381, 4_000]);
  check(100, [48_000, 22_763, 8_000]);
});

/** Runs one command of a story; the trace of it is collected by the cluster's callbacks. */
function runCommand(cluster: VirtualCluster, words: readonly string[]): string[] {
  const named = (name: string): VirtualNode => {
    const node = cluster.nodes.findLast((candidate) => candidate.id === name);
    if (node === undefined) throw new Error(`no node ${name}`);
    return node;
  };
  const [verb = '', ...names] = words;
  switch (verb) {
    case 'crash':
      for (const name of names) cluster.crash(named(name));
      return [];
    case 'cut':
      for (const name of names) named(name).side = 1;
      return [];
    case 'heal':
      for (const node of cluster.nodes) node.side = 0;
      return [];
    case 'join':
      cluster.input(named(names[0]!), { type: 'join', seeds: [named(names[1]!).address] });
      return [];
    case 'leave':
      cluster.input(named(names[0]!), { type: 'leave' });
      return [];
    case 'members':
      return named(names[0]!)
        .core.roster.map((m) => `${m.id} boot ${m.boot} ${m.state}@${m.incarnation} ${m.address}`)
        .sort();
    case 'run':
      cluster.run(Number(names[0]));
      return [];
    case 'start':
      cluster.start(names[0]!, { boot: Number(names[1] ?? 1) });
      return [];
    default:
      throw new Error(`unknown command ${verb}`);
  }
}

/** A story is blocks of commands, `----` and the trace they leave; blank lines part the blocks. */
function replayStory(text: string): string {
  const trace: string[] = [];
  const say = (nowMs: number, line: string): void => {
    trace.push(`${nowMs.toFixed(1).padStart(9)}  ${line}`);
  };
  const cluster = new VirtualCluster({
    seed: 1,
    onEvent: (nowMs, node, event) => {
      const { id, state, incarnation } = event.member;
      const extra = event.type === 'conflict' ? ` ${event.why} with ${event.claim.address}` : '';
      say(nowMs, `${node.id}: ${event.type} ${id} (${state}@${incarnation})${extra}`);
    },
    onOutput: (nowMs, node, output) => {
      if (output.type === 'push_pull') {
        say(nowMs, `${node.id}: push/pull with ${output.address} (${output.reason})`);
      } else if (output.type === 'reliable_ping') {
        say(nowMs, `${node.id}: asks ${output.target} over the control lane`);
      }
    },
  });
  const blocks = text
    .trimEnd()
    .split(/\n\n+/)
    .map((block) => {
      const commands = block.split('\n----')[0]!;
      if (commands.startsWith('#')) return commands;
      const said: string[] = [];
      for (const line of commands.split('\n')) said.push(...runCommand(cluster, line.split(' ')));
      return [commands, '----', ...trace.splice(0), ...said].join('\n');
    });
  return `${blocks.join('\n\n')}\n`;
}

t.test(
  'G7, G8 stories: suspicion refuted, identities in conflict: each golden trace is what the core does',
  async (test) => {
    const names = readdirSync(GOLDEN).filter((name) => name.startsWith('swim-'));
    test.ok(names.length >= 6);
    for (const name of names.sort()) {
      const file = new URL(name, GOLDEN);
      const expected = readFileSync(file, 'utf8');
      const found = replayStory(expected);
      if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(file, found);
      else test.equal(found, expected, name);
    }
  },
);
