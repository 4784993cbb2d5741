/** Planted bugs of compaction, for the story in `sim/compaction/`. */
import { encodeBucketIndex, parseBucketIndex } from '../../storage/bucket/bucket-index.ts';
import { blockKey } from '../../storage/bucket/layout.ts';
import { parseBlockId } from '../../storage/block/ulid.ts';
import { TENANT, WINDOW_MS } from '../compaction/node.ts';
import type { Bucket, Platform } from '../../platform/platform.ts';
import type { PlantedBugs } from './planted.ts';

function withPut(
  platform: Platform,
  put: (bucket: Bucket, key: string, body: Parameters<Bucket['put']>[1]) => Promise<void>,
): Platform {
  const { bucket } = platform;
  const changed: Bucket = {
    name: bucket.name,
    getRange: (...args) => bucket.getRange(...args),
    head: (...args) => bucket.head(...args),
    list: (...args) => bucket.list(...args),
    delete: (...args) => bucket.delete(...args),
    close: () => bucket.close(),
    put: (key, body) => put(bucket, key, body),
  };
  return { ...platform, bucket: changed };
}

export const COMPACTION_BUGS: PlantedBugs = {
  'early-deletion': {
    sentence: 'a block is deleted when it is marked, before every reader knows its replacement',
    platform: (platform) =>
      withPut(platform, async (bucket, key, body) => {
        await bucket.put(key, body);
        const id = parseBlockId(/([0-9A-Z]{26})\/deletion-mark\.json$/.exec(key)?.[1] ?? '');
        if (id === undefined) return;
        for (const file of ['meta.json', 'index', 'chunks/000001']) {
          await bucket.delete(blockKey(TENANT, id, file));
        }
      }),
  },
  'trusted-clocks': {
    sentence: 'retention goes by whatever the clock of a node says',
    trustsClocks: true,
  },
  'merge-border': {
    sentence: 'the bucket index says that a merged block ends a millisecond before its last sample',
    platform: (platform) =>
      withPut(platform, (bucket, key, body) => {
        if (!key.endsWith('/bucket-index.json.gz') || !(body instanceof Uint8Array)) {
          return bucket.put(key, body);
        }
        const index = parseBucketIndex(body);
        const blocks = index.blocks.map((block) =>
          block.sources.length > 1 && block.maxTimeMs % WINDOW_MS === 0
            ? { ...block, maxTimeMs: block.maxTimeMs - 1 }
            : block,
        );
        return bucket.put(key, encodeBucketIndex({ ...index, blocks }));
      }),
  },
};
