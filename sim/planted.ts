/**
 * Planted bugs: nodes that break a promise on purpose, so that the simulator proves that it sees it.
 * They wrap what a node is given (its disk) or what it answers (its API), or start it with a setting
 * that promises less; nothing of the product knows of them.
 */
import type { NodeApi, QueryAnswer } from '../http/api.ts';
import type { Disk, DiskFile, Platform } from '../platform/platform.ts';
import type { SimRandom } from './random.ts';

export interface Planted {
  readonly sentence: string;
  readonly flags?: Readonly<Record<string, string>>;
  platform?(platform: Platform, random: SimRandom): Platform;
  api?(api: NodeApi, random: SimRandom): NodeApi;
}

const RARE = 0.02;

/** All planted bugs by name. */
export const PLANTED: Readonly<Record<string, Planted>> = {
  'altered-value': {
    sentence: 'some answers have another last digit in a value',
    api: (api, random) =>
      withAnswers(api, random, (text) => text.replace(/(\d)"\]/, (_, d) => `${9 - Number(d)}"]`)),
  },
  'early-ack': {
    sentence: 'a write is acknowledged before the log is on disk',
    flags: { 'wal.durability': 'os' },
  },
  'forgotten-boot': {
    sentence: 'renames are not made durable',
    platform: (platform) => withDisk(platform, { syncDirectory: () => Promise.resolve() }),
  },
  'lost-sample': {
    sentence: 'an answer lacks its last sample',
    api: (api, random) =>
      withAnswers(api, random, (text) => text.replace(/,\[[\d.]+,"[^"]*"\]\]/, ']')),
  },
  'lost-write': {
    sentence: 'some writes to files are dropped, and said to be done',
    platform: (platform, random) =>
      withFiles(platform, (file) => ({
        write: (bytes, offset) =>
          random.chance(RARE) ? Promise.resolve() : file.write(bytes, offset),
      })),
  },
  'lying-sync': {
    sentence: 'fsync answers at once and syncs nothing',
    platform: (platform) => withFiles(platform, () => ({ sync: () => Promise.resolve() })),
  },
  'nobody-home': {
    sentence: 'a node is never ready again after its second boot',
    api: (api) => ({
      ...api,
      notReady: () => {
        const reasons = api.notReady();
        const isLater = api.ring().instances.some(({ bootCounter }) => bootCounter > 1);
        return reasons.length === 0 && isLater ? ['planted'] : reasons;
      },
    }),
  },
  'silent-gap': {
    sentence: 'some answers are empty, without a warning',
    api: (api, random) =>
      withAnswers(api, random, (text) => text.replace(/"result":\[.*\]/s, '"result":[]')),
  },
  swallow: {
    sentence: 'some pushes are answered with success and never stored',
    api: (api, random) => ({
      ...api,
      push: (tenant, body) =>
        random.chance(RARE)
          ? Promise.resolve({ samplesStored: 1, refused: undefined })
          : api.push(tenant, body),
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
  'wrong-tenant': {
    sentence: 'some queries are answered from the data of another tenant',
    api: (api, random) => ({
      ...api,
      query: (request) =>
        api.query(
          random.chance(RARE)
            ? { ...request, tenant: 'tenant-0' as typeof request.tenant } // it is one of the load's
            : request,
        ),
    }),
  },
};

function withAnswers(api: NodeApi, random: SimRandom, edit: (text: string) => string): NodeApi {
  const spoil = (answer: QueryAnswer): QueryAnswer => {
    if (!random.chance(RARE)) return answer;
    return {
      ...answer,
      data: new TextEncoder().encode(edit(new TextDecoder().decode(answer.data))),
    };
  };
  return { ...api, query: async (request) => spoil(await api.query(request)) };
}

function withDisk(platform: Platform, changes: Partial<Disk>): Platform {
  return { ...platform, disk: { ...platform.disk, ...changes } };
}

function withFiles(platform: Platform, changesOf: (file: DiskFile) => Partial<DiskFile>): Platform {
  const { disk } = platform;
  return withDisk(platform, {
    open: async (path, mode) => {
      const file = await disk.open(path, mode);
      return { ...file, ...changesOf(file) };
    },
  });
}
