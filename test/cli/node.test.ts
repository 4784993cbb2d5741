// Goal: a node on this machine starts on ports the system chooses, comes back on its directory, and ends
// cleanly when it finds itself in another cluster. Method: real nodes in this process, on loopback.
import t, { type Test } from 'tap';
import { type Config, readConfig } from '../../cli/config.ts';
import { type EndKind, type RunningNode, startNode } from '../../cli/node.ts';
import type { NodeApi } from '../../http/api.ts';
import { startHttpServer } from '../../http/server.ts';
import { createNodePlatform } from '../../platform/node/index.ts';
import { createGrpcStreams } from '../../proto/grpc-streams.ts';
import { eventually } from '../support/cluster.ts';

const JOBS = new URL('../../cli/jobs.ts', import.meta.url);
const ANY = '127.0.0.1:0';

interface Started extends RunningNode {
  readonly http: string;
  readonly ends: readonly (readonly [why: string, kind: EndKind])[];
  readonly end: () => Promise<void>;
}

function configOf(flags: Readonly<Record<string, readonly string[]>>): Config {
  const listen = { 'http.listen': [ANY], 'grpc.listen': [ANY], 'gossip.listen': [ANY] };
  const result = readConfig({
    environment: {},
    flags: new Map(Object.entries({ ...listen, ...flags })),
  });
  if ('problems' in result) throw new Error(JSON.stringify(result.problems));
  return result.config;
}

/** A node as `serve` starts it, in this process. */
async function start(t: Test, name: string, join: readonly string[] = []): Promise<Started> {
  const config = configOf({ 'instance-id': [name], ...(join.length > 0 ? { join } : {}) });
  const platform = await createNodePlatform({
    bucket: { kind: 'file', directory: `${t.testdirName}/bucket` },
    logLevel: 'error',
    rpc: createGrpcStreams(),
    workers: { threads: 1, jobsModule: JOBS, queueMax: 10 },
  });
  const ends: [string, EndKind][] = [];
  const servers: Awaited<ReturnType<typeof startHttpServer>>[] = [];
  const node = await startNode({
    platform,
    config,
    dataDirectory: `${t.testdirName}/${name}`,
    zone: name,
    advertise: { http: ANY, grpc: ANY, gossip: ANY },
    secrets: [],
    version: '0.0.0-test',
    serveHttp: async (api: NodeApi) => {
      const server = await startHttpServer({
        api,
        clock: platform.clock,
        listen: ANY,
        multitenancy: false,
        parseDate: Date.parse,
        version: '0.0.0-test',
      });
      servers.push(server);
      return server.address;
    },
    onEnd: (why, kind) => void ends.push([why, kind]),
  });
  let isEnded = false;
  const end = async (): Promise<void> => {
    if (isEnded) return;
    isEnded = true;
    await node.stop();
    for (const server of servers) {
      server.destroy();
      await server.close();
    }
    await platform.workers.close();
  };
  t.teardown(end);
  return { ...node, http: servers[0]?.address ?? '', ends, end };
}

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
