// Goal: a node on this machine starts on ports the system chooses, comes back on its directory, and ends
// cleanly when it finds itself in another cluster. Method: real nodes in this process, on loopback.
import { mkdirSync, rmSync } from 'node:fs';
import t from 'tap';
import { eventually } from '../support/cluster.ts';
import { type Started, start } from '../support/in-process-node.ts';
import { refusal } from '../support/refusal.ts';

const isReady = (node: Started): Promise<boolean> =>
  fetch(`http://${node.http}/ready`).then((response) => response.ok);

t.test('port 0: the bound ports are registered, and the directory opens again', async (t) => {
  t.testdir();
  for (let boot = 1; boot <= 3; boot++) {
    const node = await start(t, 'a');
    await eventually('ready', () => isReady(node));
    const [own] = node.api.ring().instances;
    t.match(own, { id: 'a', bootCounter: boot, httpAddress: node.http });
    t.match(own, { grpcAddress: node.grpcAddress, gossipAddress: node.gossipAddress });
    for (const address of [node.http, node.grpcAddress, node.gossipAddress])
      t.match(address, /^127\.0\.0\.1:[1-9]\d*$/);
    t.strictSame(node.ends, []);
    await node.end();
  }
});

t.test('two clusters meet: the one that loses ends with "restart", and then belongs', async (t) => {
  t.testdir();
  const a = await start(t, 'a');
  const alone = await start(t, 'b');
  await eventually('two clusters', async () => (await isReady(a)) && (await isReady(alone)));
  await alone.end();
  const b = await start(t, 'b', [a.grpcAddress]);
  await eventually('one was replaced', async () => a.ends.length + b.ends.length > 0);
  const [loser, winner, name] = a.ends.length > 0 ? [a, b, 'a'] : ([b, a, 'b'] as const);
  t.match(loser.ends[0], [/two clusters met.*started again/, 'restart']);
  t.strictSame(winner.ends, [], 'the other goes on');
  await loser.end();
  const again = await start(t, name, [winner.grpcAddress]);
  await eventually('both are ready', async () => (await isReady(again)) && isReady(winner));
  t.same(new Set(again.api.ring().instances.map(({ id }) => id)), new Set(['a', 'b']));
  t.strictSame([...again.ends, ...winner.ends], []);
  await again.end();
  await winner.end();
});

t.test('a lost registry beside data: alone, a node does not begin a new cluster', async (t) => {
  t.testdir();
  const first = await start(t, 'c');
  await eventually('ready', () => isReady(first));
  await first.end();
  const directory = `${t.testdirName}/c`;
  rmSync(`${directory}/registry`);
  const empty = await start(t, 'c'); // nothing was promised yet
  await eventually('ready', () => isReady(empty));
  await empty.end();
  mkdirSync(`${directory}/tenants/anonymous`, { recursive: true });
  rmSync(`${directory}/registry`);
  await t.rejects(start(t, 'c'), refusal('disk.failed', /registry.*gone.*restore it/));
});
