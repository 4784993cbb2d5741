/**
 * Real nodes in a simulated world: how one boots there, and how the load talks to it. Everything from
 * here inwards is the code that ships.
 */
import { readConfig } from '../cli/config.ts';
import { type RunningNode, startNode } from '../cli/node.ts';
import { assert } from '../model/assert.ts';
import { ANONYMOUS_TENANT } from '../model/ids.ts';
import type { ReadSample } from './history.ts';
import { type LoadTarget, METRIC_NAME, SERIES_LABEL } from './workload.ts';
import type { BootNode, Outcome, World } from './world.ts';

const GRPC_PORT = 9095;
const GOSSIP_PORT = 7946;

/** Boots a node whose seeds are all machines of the world. */
export function bootStarling(
  machineCount: number,
  flags: Readonly<Record<string, string>> = {},
): BootNode<RunningNode> {
  const seeds = Array.from({ length: machineCount }, (_, i) => `10.0.0.${i + 1}:${GRPC_PORT}`);
  return (platform, { ip, name, onEnd }) => {
    const grpc = `${ip}:${GRPC_PORT}`;
    const gossip = `${ip}:${GOSSIP_PORT}`;
    const read = readConfig({
      environment: {},
      flags: new Map<string, readonly string[]>([
        ['grpc.listen', [grpc]],
        ['gossip.listen', [gossip]],
        ['join', seeds.filter((seed) => seed !== grpc)],
        ['insecure', ['true']],
        ['cluster.label', ['sim']],
        ['instance-id', [name]],
        ...Object.entries(flags).map(([flag, value]) => [flag, [value]] as const),
      ]),
    });
    assert('config' in read, `sim: the configuration is refused: ${JSON.stringify(read)}`);
    return startNode({
      platform,
      config: read.config,
      dataDirectory: '/data',
      zone: name,
      advertise: { http: `${ip}:9009`, grpc, gossip },
      secrets: [],
      version: '0.0.0-sim',
      onEnd,
    });
  };
}

/** The load's view of a world of real nodes. */
export function loadTargetOf(world: World<RunningNode>): LoadTarget {
  const machineOf = (name: string): World<RunningNode>['machines'][number] => {
    const machine = world.machines.find((one) => one.name === name);
    assert(machine !== undefined, `sim: there is no machine ${name}`);
    return machine;
  };
  return {
    random: world.random.child('workload'),
    nowMs: () => world.loop.nowMs,
    sleep: (delayMs) => world.sleep(delayMs),
    note: (line) => world.note(line),
    readyNodes: () =>
      world.machines.filter((one) => isReady(one.life?.node)).map((one) => one.name),
    push: (node, body, timeoutMs) =>
      world.ask(machineOf(node), timeoutMs, async ({ api }) => {
        const { refused } = await api.push(ANONYMOUS_TENANT, body);
        return refused === undefined;
      }),
    read: (node, query, timeoutMs): Promise<Outcome<readonly ReadSample[]>> =>
      world.ask(machineOf(node), timeoutMs, async ({ api }) => {
        // A range selector reaches back from its time, its left edge is open.
        const rangeMs = Math.max(1, query.toMs - query.fromMs + 1);
        const answer = await api.query({
          tenant: ANONYMOUS_TENANT,
          query: `${METRIC_NAME}{${SERIES_LABEL}="${query.series}"}[${rangeMs}ms]`,
          startMs: query.toMs,
          endMs: query.toMs,
          stepMs: 0,
          lookbackMs: undefined,
          timeoutMs,
          limit: 0,
          cancellation: { isCancelled: false, onCancel: () => undefined },
        });
        if (answer.warnings.length > 0) throw new Error(`partial: ${answer.warnings.join('; ')}`);
        return readMatrix(answer.data);
      }),
  };
}

export function isReady(node: RunningNode | undefined): boolean {
  return node?.api.notReady().length === 0;
}

interface Matrix {
  readonly result: readonly {
    readonly metric: Readonly<Record<string, string>>;
    readonly values: readonly (readonly [seconds: number, value: string])[];
  }[];
}

function readMatrix(data: Uint8Array): readonly ReadSample[] {
  // The encoder under test wrote it; a field that is not there fails the read loudly.
  const matrix = JSON.parse(new TextDecoder().decode(data)) as Matrix;
  return matrix.result.flatMap(({ metric, values }) =>
    values.map(([seconds, value]) => ({
      series: Number(metric[SERIES_LABEL]),
      timestampMs: Math.round(seconds * 1000),
      value: Number(value),
    })),
  );
}
