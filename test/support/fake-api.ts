/** A NodeApi that records what it was asked and answers what a test says. */
import type { NodeApi, QueryRequest, SeriesRequest } from '../../http/api.ts';

export interface FakeApi extends NodeApi {
  readonly pushes: { readonly tenant: string; readonly body: Uint8Array }[];
  readonly queries: QueryRequest[];
  readonly seriesRequests: SeriesRequest[];
  readonly forgotten: string[];
}

export function createFakeApi(overrides: Partial<NodeApi> = {}): FakeApi {
  const pushes: FakeApi['pushes'] = [];
  const queries: QueryRequest[] = [];
  const seriesRequests: SeriesRequest[] = [];
  const forgotten: string[] = [];
  const data = Buffer.from('{"resultType":"vector","result":[]}');
  return {
    pushes,
    queries,
    seriesRequests,
    forgotten,
    push: async (tenant, body) => {
      pushes.push({ tenant, body });
      return { samplesStored: 1, refused: undefined };
    },
    query: async (request) => {
      queries.push(request);
      return { data, warnings: [], infos: [] };
    },
    series: async (request) => {
      seriesRequests.push(request);
      return { data: Buffer.from('[{"__name__":"up","__proto__":"x"}]'), warnings: [] };
    },
    labelNames: async (request) => {
      seriesRequests.push(request);
      return { data: Buffer.from('["__name__"]'), warnings: [] };
    },
    labelValues: async (name, request) => {
      seriesRequests.push(request);
      return {
        data: Buffer.from(JSON.stringify([name])),
        warnings: ['results truncated due to limit'],
      };
    },
    exemplars: async () => ({ data: Buffer.from('[]'), warnings: [] }),
    metadata: async () => ({ data: Buffer.from('{}'), warnings: [] }),
    cardinality: async (request) => {
      seriesRequests.push(request);
      return { data: Buffer.from('{"headStats":{"numSeries":1}}'), warnings: [] };
    },
    remoteRead: async () => ({ data: Buffer.from('chunks'), kind: 'chunks' }),
    blockUploads: {
      start: async () => undefined,
      putFile: async () => undefined,
      finish: async () => undefined,
      check: async () => ({ result: 'complete' }),
    },
    deletions: {
      isEnabled: false,
      add: async () => undefined,
      list: () => [],
      cancel: async () => undefined,
    },
    notReady: () => [],
    metrics: async () => 'up 1\n',
    ring: () => ({
      self: 'a',
      replicationFactor: 1,
      configuredReplicationFactor: 3,
      digest: 'd1',
      instances: [
        {
          id: '<b>',
          zone: 'z',
          state: 'ACTIVE',
          liveness: 'alive',
          httpAddress: '127.0.0.1:9009',
          grpcAddress: '127.0.0.1:9095',
          gossipAddress: '127.0.0.1:7946',
          bootCounter: 1,
          tokens: 128,
          ownership: 0.5,
          missingBeforeMs: 0,
        },
      ],
    }),
    members: () => ({ self: 'a', healthScore: 0, members: [], counters: { 'dropped.label': 2 } }),
    services: () => [{ name: 'ingester', state: 'Running' }],
    config: () => 'http: {}\n',
    flags: () => ({ 'head.retention': '3h' }),
    flush: async () => ({ blocksCut: 2, blocksShipped: 1 }),
    compactor: async () => ({
      isRunning: false,
      lastSuccessAtMs: undefined,
      job: undefined,
      tenants: [],
    }),
    deleteTenant: async () => undefined,
    tenantDeletion: async () => undefined,
    forget: async (instance) => {
      forgotten.push(instance);
    },
    ...overrides,
  };
}
