/** Nodes as `serve` starts them, in the process of a test. */
import type { Test } from 'tap';
import { type Config, readConfig } from '../../cli/config.ts';
import { type EndKind, type RunningNode, startNode } from '../../cli/node.ts';
import type { NodeApi } from '../../http/api.ts';
import { startHttpServer } from '../../http/server.ts';
import { parseBucketUrl } from '../../platform/bucket/url.ts';
import { createNodePlatform } from '../../platform/node/index.ts';
import { createGrpcStreams } from '../../proto/grpc-streams.ts';

const JOBS = new URL('../../cli/jobs.js', import.meta.url);
const ANY = '127.0.0.1:0';

export interface Started extends RunningNode {
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
export async function start(
  t: Test,
  name: string,
  join: readonly string[] = [],
  flags: Readonly<Record<string, readonly string[]>> = {},
): Promise<Started> {
  const config = configOf({
    'instance-id': [name],
    ...(join.length > 0 ? { join } : {}),
    ...flags,
  });
  const bucket = parseBucketUrl(config.bucket ?? `file://${t.testdirName}/bucket-${name}`);
  if (typeof bucket === 'string') throw new Error(bucket);
  const platform = await createNodePlatform({
    bucket,
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
