/**
 * Real nodes in a simulated world: how one boots there, and how the load talks to it. Everything from
 * here inwards is the code that ships.
 */
import { readConfig } from '../cli/config.ts';
import { type RunningNode, startNode } from '../cli/node.ts';
import { assert } from '../model/assert.ts';
import { parseTenantId } from '../model/ids.ts';
import type { Matcher } from '../model/matchers.ts';
import type { QueryAnswer } from '../http/api.ts';
import { EPOCH_MS } from './clock.ts';
import type { BesideTarget, DeletionTarget, LoadTarget } from './load-target.ts';
import type { Planted } from './planted/index.ts';
import type { SimRandom } from './random.ts';
import type { OwedSince } from './said.ts';
import { SERIES_LABEL, selectorOf } from './texts.ts';
import type { BootNode, World } from './world.ts';

const GRPC_PORT = 9095;
const GOSSIP_PORT = 7946;
/** No flag of nodes: the version of what is booted. */
const VERSION_FLAG = 'sim.version';

/** Boots a node whose seeds are all machines of the world. */
export function bootStarling(
  machineCount: number,
  flags: ReadonlyMap<string, string> = new Map(),
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
        ...[...flags, ...Object.entries(planted?.bug.flags ?? {})]
          .filter(([flag]) => flag !== VERSION_FLAG)
          .map(([flag, value]) => [flag, value.split(' ')] as const),
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
      version: flags.get(VERSION_FLAG) ?? '0.0.0-sim',
      onEnd,
    });
    if (planted?.bug.api === undefined) return node;
    return { ...node, api: planted.bug.api(node.api, planted.random) };
  };
}

/** The load's view of a world of real nodes. */
export function loadTargetOf(
  world: World<RunningNode>,
  owedSince = whileAllLive(world),
): LoadTarget {
  const machineOf = (name: string): World<RunningNode>['machines'][number] => {
    const machine = world.machines.find((one) => one.name === name);
    assert(machine !== undefined, `sim: there is no machine ${name}`);
    return machine;
  };
  return {
    random: world.random.child('workload'),
    epochMs: EPOCH_MS,
    nowMs: () => world.loop.nowMs,
    sleep: (delayMs) => world.sleep(delayMs),
    note: (line) => world.note(line),
    readyNodes: () =>
      world.machines.filter((one) => isReady(one.life?.node)).map((one) => one.name),
    push: (node, tenant, body, timeoutMs) =>
      world.ask(machineOf(node), timeoutMs, async ({ api }) => {
        const { refused } = await api.push(parseTenantId(tenant), body);
        if (refused !== undefined) world.note(`${node} refuses a part: ${refused.message}`);
        return refused === undefined;
      }),
    query: (node, { endMs, startMs, stepMs, tenant, text }, timeoutMs) =>
      world.ask(machineOf(node), timeoutMs, async ({ api }) => {
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
        return wholeText(answer);
      }),
    series: (node, { fromMs, series, tenant, toMs }, timeoutMs) =>
      world.ask(machineOf(node), timeoutMs, async ({ api }) => {
        const answer = await api.series({
          tenant: parseTenantId(tenant),
          selectors: [[{ name: SERIES_LABEL, type: '=', value: String(series) }]],
          range: { minTimeMs: fromMs, maxTimeMs: toMs },
          limit: 0,
          cancellation: NEVER,
        });
        return wholeText(answer);
      }),
    deletions: deletionsOf(world, machineOf),
    beside: besideOf(world, machineOf, owedSince),
  };
}

type MachineOf = (name: string) => World<RunningNode>['machines'][number];

function besideOf(
  world: World<RunningNode>,
  machineOf: MachineOf,
  owedSince: OwedSince,
): BesideTarget {
  return {
    metadata: (node, tenant, metric, timeoutMs) =>
      world.ask(machineOf(node), timeoutMs, async ({ api }) => {
        const limits = { limit: -1, limitPerMetric: -1 };
        const asked = { tenant: parseTenantId(tenant), metric, cancellation: NEVER };
        return wholeText(await api.metadata({ ...asked, ...limits }));
      }),
    exemplars: (node, { fromMs, series, tenant, toMs }, timeoutMs) =>
      world.ask(machineOf(node), timeoutMs, async ({ api }) => {
        const answer = await api.exemplars({
          tenant: parseTenantId(tenant),
          query: selectorOf(series),
          range: { minTimeMs: fromMs, maxTimeMs: toMs },
          cancellation: NEVER,
        });
        return wholeText(answer);
      }),
    owedSince,
  };
}

function deletionsOf(world: World<RunningNode>, machineOf: MachineOf): DeletionTarget {
  return {
    add: (node, { fromMs, series, tenant, toMs }, timeoutMs) =>
      world.ask(machineOf(node), timeoutMs, async ({ api: { deletions } }) => {
        const id = parseTenantId(tenant);
        const before = new Set(deletions.list(id).map((one) => one.id));
        // Every other one by a regular expression, of which nodes remember what it accepts.
        const matcher: Matcher =
          fromMs % 2 === 0
            ? { name: SERIES_LABEL, type: '=', value: String(series) }
            : { name: SERIES_LABEL, type: '=~', value: `${series}|none.*` };
        await deletions.add(id, {
          selectors: [[matcher]],
          range: { minTimeMs: fromMs, maxTimeMs: toMs },
        });
        const request = deletions
          .list(id)
          .find((one) => !before.has(one.id) && one.range.minTimeMs === fromMs);
        assert(request !== undefined, `sim: ${node} took a request and does not list it`);
        return { id: request.id, toMs: request.range.maxTimeMs };
      }),
    cancel: (node, tenant, id, timeoutMs) =>
      world.ask(machineOf(node), timeoutMs, ({ api }) =>
        api.deletions.cancel(parseTenantId(tenant), id),
      ),
  };
}

/** What may be in memory only. */
function whileAllLive(world: World<RunningNode>): OwedSince {
  return { metadataMs: () => world.lastEndMs, exemplarsMs: () => world.lastEndMs };
}

const NEVER = { isCancelled: false, onCancel: (): void => undefined };

function wholeText({ data, warnings }: Pick<QueryAnswer, 'data' | 'warnings'>): string {
  if (warnings.length > 0) throw new Error(`partial: ${warnings.join('; ')}`);
  return new TextDecoder().decode(data);
}

export function isReady(node: RunningNode | undefined): boolean {
  return node?.api.notReady().length === 0;
}
