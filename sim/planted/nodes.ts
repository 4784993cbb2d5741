/** Planted bugs of nodes: writes that are not kept, views that are wrong, nodes that do not recover. */
import type { NodeApi, RingRow, RingStatus } from '../../http/api.ts';
import { type PlantedBugs, RARE } from './planted.ts';

const STORED = { samplesStored: 1, refused: undefined };

function withRows(api: NodeApi, edit: (rows: readonly RingRow[]) => readonly RingRow[]): NodeApi {
  const ring = (): RingStatus => {
    const status = api.ring();
    return { ...status, instances: edit(status.instances) };
  };
  return { ...api, ring };
}

function isLater(api: NodeApi): boolean {
  return api.ring().instances.some(({ bootCounter }) => bootCounter > 1);
}

export const NODE_BUGS: PlantedBugs = {
  'deaf-gossip': {
    sentence: 'a node hears no datagrams but its first hundred',
    platform: (platform) => ({
      ...platform,
      datagrams: {
        bind: (address, onDatagram) => {
          let count = 0;
          return platform.datagrams.bind(address, (bytes, from) => {
            if (count++ < 100) onDatagram(bytes, from);
          });
        },
      },
      rpc: {
        ...platform.rpc,
        // The fallback over streams would hide it.
        connect: (address, lane) =>
          platform.rpc.connect(lane === 'control' ? '10.9.9.9:1' : address, lane),
      },
    }),
  },
  'dropped-retry': {
    sentence: 'a push that found no quorum is answered with success instead of a retry',
    api: (api) => ({ ...api, push: (tenant, body) => api.push(tenant, body).catch(() => STORED) }),
  },
  'early-ack': {
    sentence: 'a write is acknowledged before the log is on disk',
    flags: { 'wal.durability': 'os' },
  },
  'far-future': {
    sentence: 'samples that lie days ahead are taken',
    flags: { 'limits.creation-grace-period': '365d' },
  },
  'frozen-clock': {
    sentence: 'a node reads its wall clock once',
    platform: (platform) => {
      const wallMs = platform.clock.wallMs() - 3_600_000;
      const { clock } = platform;
      const frozen = {
        wallMs: () => wallMs,
        monotonicMs: () => clock.monotonicMs(),
        after: (delayMs: number, callback: () => void) => clock.after(delayMs, callback),
        nextTurn: (callback: () => void) => clock.nextTurn(callback),
        afterPromises: (callback: () => void) => clock.afterPromises(callback),
      };
      return { ...platform, clock: frozen };
    },
  },
  ghost: {
    sentence: 'an instance that never was is in the registry',
    api: (api) =>
      withRows(api, (rows) => [
        ...rows,
        ...rows.slice(0, 1).map((row) => ({ ...row, id: 'ghost' })),
      ]),
  },
  'hanging-push': {
    sentence: 'some pushes are never answered',
    api: (api, random) => ({
      ...api,
      push: (tenant, body) =>
        random.chance(RARE) ? new Promise(() => undefined) : api.push(tenant, body),
    }),
  },
  mistrust: {
    sentence: 'a node takes another for dead for ever',
    api: (api) =>
      withRows(api, (rows) => rows.map((row, i) => (i === 0 ? { ...row, liveness: 'DEAD' } : row))),
  },
  'never-recovers': {
    sentence: 'a node that was restarted refuses all writes, and says that it is ready',
    api: (api) => ({
      ...api,
      push: (tenant, body) =>
        isLater(api) ? Promise.reject(new Error('planted')) : api.push(tenant, body),
    }),
  },
  'nobody-home': {
    sentence: 'a node is never ready again after its second boot',
    api: (api) => ({
      ...api,
      notReady: () => {
        const reasons = api.notReady();
        return reasons.length === 0 && isLater(api) ? ['planted'] : reasons;
      },
    }),
  },
  'shared-tokens': {
    sentence: 'two instances own the same part of the ring',
    api: (api) =>
      withRows(api, (rows) => rows.map((row) => ({ ...row, ownership: row.ownership * 1.5 }))),
  },
  'stale-ring': {
    sentence: 'a node shows the first ring that it saw',
    api: (api) => {
      let first: RingStatus | undefined;
      return { ...api, ring: () => (first ??= api.ring()) };
    },
  },
  swallow: {
    sentence: 'some pushes are answered with success and never stored',
    api: (api, random) => ({
      ...api,
      push: (tenant, body) =>
        random.chance(RARE) ? Promise.resolve(STORED) : api.push(tenant, body),
    }),
  },
  unhandled: {
    sentence: 'an error that nobody handles, now and then',
    api: (api, random) => ({
      ...api,
      push: (tenant, body) => {
        if (random.chance(RARE / 10)) void Promise.reject(new Error('planted'));
        return api.push(tenant, body);
      },
    }),
  },
};
