/**
 * Real nodes in a simulated world: how one boots there, and how the load talks to it. Everything from
 * here inwards is the code that ships.
 */
import { readConfig } from '../cli/config.ts';
import { type RunningNode, startNode } from '../cli/node.ts';
import { assert } from '../model/assert.ts';
import { parseTenantId } from '../model/ids.ts';
import type { ReadSample } from './history.ts';
import type { Planted } from './planted.ts';
import type { SimRandom } from './random.ts';
import { type LoadTarget, METRIC_NAME, SERIES_LABEL } from './workload.ts';
import type { BootNode, Outcome, World } from './world.ts';

const GRPC_PORT = 9095;
const GOSSIP_PORT = 7946;

/** Boots a node whose seeds are all machines of the world. */
export function bootStarling(
  machineCount: number,
  flags: Readonly<Record<string, string>> = {},
  planted?: { readonly bug: Planted; readonly random: SimRandom },
): BootNode<RunningNode> {
  const seeds = Array.from({ length: machineCount }, (_, i) => `10.0.0.${i + 1}:${GRPC_PORT}`);
  return async (given, { ip, name, onEnd }) => {
    const platform = planted?.bug.platform?.(given, planted.random) ?? given;
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
        ...Object.entries({ ...flags, ...planted?.bug.flags }).map(
          ([flag, value]) => [flag, [value]] as const,
        ),
      ]),
    });
    assert('config' in read, `sim: the configuration is refused: ${JSON.stringify(read)}`);
    const node = await startNode({
      platform,
      config: read.config,
      dataDirectory: '/data',
      zone: name,
      advertise: { http: `${ip}:9009`, grpc, gossip },
      secrets: [],
      version: '0.0.0-sim',
      onEnd,
    });
    if (planted?.bug.api === undefined) return node;
    return { ...node, api: planted.bug.api(node.api, planted.random) };
  };
}

/** The load's view of a world of real nodes. */
export function loadTargetOf(world: World<RunningNode>): LoadTarget {
  const machineOf = (name: string): World<RunningNode>['machines'][number] => {
    const machine = world.machines.find((one) => one.name === name);
    assert(machine !== undefined, `sim: there is no machine ${name}`);
    return machine;
  };
  const ask = (
    node: string,
    query: TextQuery,
    timeoutMs: number,
  ): Promise<Outcome<readonly ReadSample[]>> =>
    world.ask(machineOf(node), timeoutMs, async ({ api }) => {
      const { endMs, startMs, stepMs, tenant, text } = query;
      const answer = await api.query({
        tenant: parseTenantId(tenant),
        query: text,
        startMs,
        endMs,
        stepMs,
        lookbackMs: undefined,
        timeoutMs,
        limit: 0,
        cancellation: NEVER,
      });
      refuseWarnings(answer.warnings);
      return readMatrix(answer.data);
    });
  return {
    random: world.random.child('workload'),
    nowMs: () => world.loop.nowMs,
    sleep: (delayMs) => world.sleep(delayMs),
    note: (line) => world.note(line),
    readyNodes: () =>
      world.machines.filter((one) => isReady(one.life?.node)).map((one) => one.name),
    push: (node, tenant, body, timeoutMs) =>
      world.ask(machineOf(node), timeoutMs, async ({ api }) => {
        const { refused } = await api.push(parseTenantId(tenant), body);
        return refused === undefined;
      }),
    read: (node, query, timeoutMs) =>
      ask(node, rangeQuery(selectorOf(query.series), query), timeoutMs),
    readAll: (node, query, timeoutMs) => ask(node, rangeQuery(METRIC_NAME, query), timeoutMs),
    points: (node, { endMs, series, startMs, stepMs, tenant }, timeoutMs) =>
      ask(node, { tenant, startMs, endMs, stepMs, text: selectorOf(series) }, timeoutMs),
    series: (node, { fromMs, series, tenant, toMs }, timeoutMs) =>
      world.ask(machineOf(node), timeoutMs, async ({ api }) => {
        const answer = await api.series({
          tenant: parseTenantId(tenant),
          selectors: [[{ name: SERIES_LABEL, type: '=', value: String(series) }]],
          range: { minTimeMs: fromMs, maxTimeMs: toMs },
          limit: 0,
          cancellation: NEVER,
        });
        refuseWarnings(answer.warnings);
        // The encoder under test wrote it; a field that is not there fails the read loudly.
        const found = JSON.parse(new TextDecoder().decode(answer.data)) as Record<string, string>[];
        return found.map((labels) => Number(labels[SERIES_LABEL]));
      }),
  };
}

const NEVER = { isCancelled: false, onCancel: (): void => undefined };

interface TextQuery {
  readonly tenant: string;
  readonly text: string;
  readonly startMs: number;
  readonly endMs: number;
  readonly stepMs: number;
}

/** A range selector reaches back from its time, its left edge is open. */
function rangeQuery(
  selector: string,
  {
    fromMs,
    tenant,
    toMs,
  }: { readonly fromMs: number; readonly tenant: string; readonly toMs: number },
): TextQuery {
  const text = `${selector}[${Math.max(1, toMs - fromMs + 1)}ms]`;
  return { tenant, text, startMs: toMs, endMs: toMs, stepMs: 0 };
}

function selectorOf(series: number): string {
  return `${METRIC_NAME}{${SERIES_LABEL}="${series}"}`;
}

function refuseWarnings(warnings: readonly string[]): void {
  if (warnings.length > 0) throw new Error(`partial: ${warnings.join('; ')}`);
}

export function isReady(node: RunningNode | undefined): boolean {
  return node?.api.notReady().length === 0;
}

type Point = readonly [seconds: number, value: string];

interface Matrix {
  readonly result: readonly {
    readonly metric: Readonly<Record<string, string>>;
    readonly values?: readonly Point[];
    /** Of an instant query. */
    readonly value?: Point;
  }[];
}

function readMatrix(data: Uint8Array): readonly ReadSample[] {
  // The encoder under test wrote it; a field that is not there fails the read loudly.
  const matrix = JSON.parse(new TextDecoder().decode(data)) as Matrix;
  return matrix.result.flatMap(({ metric, value, values }) =>
    (values ?? (value === undefined ? [] : [value])).map(([seconds, text]) => ({
      series: Number(metric[SERIES_LABEL]),
      timestampMs: Math.round(seconds * 1000),
      value: Number(text),
    })),
  );
}
