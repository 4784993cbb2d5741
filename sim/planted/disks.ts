/** Planted bugs of storage: a node whose calls of the disk are not what they say. */
import type { Disk, DiskFile, Platform } from '../../platform/platform.ts';
import { cutSilently } from './cut-log.ts';
import { type PlantedBugs, RARE } from './planted.ts';

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

export const DISK_BUGS: PlantedBugs = {
  'cut-log': {
    sentence: 'a damaged log is cut, and answers as if it were whole',
    swarm: { faults: ['lost-writes', 'kill'], replicationFactor: 2 },
    platform: (platform) =>
      withDisk(platform, {
        list: async (path) => {
          if (path.endsWith('/wal')) await cutSilently(platform.disk, path);
          return platform.disk.list(path);
        },
      }),
  },
  'dropped-byte': {
    sentence: 'some writes lack their last byte',
    platform: (platform, random) =>
      withFiles(platform, (file) => ({
        write: (bytes, offset) =>
          file.write(random.chance(RARE) ? bytes.subarray(0, bytes.length - 1) : bytes, offset),
      })),
  },
  'early-sync': {
    sentence: 'a sync is answered before it is done',
    platform: (platform) =>
      withFiles(platform, (file) => ({
        sync: () => {
          platform.clock.after(2000, () => void file.sync().catch(() => undefined));
          return Promise.resolve();
        },
      })),
  },
  'forgotten-boot': {
    sentence: 'renames are not made durable',
    platform: (platform) => withDisk(platform, { syncDirectory: () => Promise.resolve() }),
  },
  'ignored-sync-failure': {
    sentence: 'a failed sync is taken for a good one',
    swarm: { faults: ['failing-sync', 'power'] },
    platform: (platform) =>
      withFiles(platform, (file) => ({ sync: () => file.sync().catch(() => undefined) })),
  },
  'lost-rename': {
    sentence: 'some renames are not done, and said to be done',
    platform: (platform, random) =>
      withDisk(platform, {
        rename: (from, to) =>
          random.chance(0.1) ? Promise.resolve() : platform.disk.rename(from, to),
      }),
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
  'skipped-truncate': {
    sentence: 'files are never made shorter',
    platform: (platform) => withFiles(platform, () => ({ truncate: () => Promise.resolve() })),
  },
};
