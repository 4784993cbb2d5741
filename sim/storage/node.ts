/** A node of the storage story: one tenant's TSDB with its committer, on a simulated disk. */
import { ANONYMOUS_TENANT } from '../../model/ids.ts';
import { labelsFromPairs, labelValue } from '../../model/labels.ts';
import { fingerprint, tenantFingerprintKey, viewOf } from '../../model/wire/fingerprint.ts';
import { encodeLabels } from '../../model/wire/labels-codec.ts';
import { type WriteBatch, allocateWriteBatch } from '../../model/wire/write-batch.ts';
import type { Platform } from '../../platform/platform.ts';
import { ReaderPool } from '../../storage/block/reader-pool.ts';
import { Committer, Tsdb, mergeSeriesFrames } from '../../storage/index.ts';
import { WorkQueue } from '../../storage/work-queue.ts';
import type { ReadSample, SentSample } from '../history.ts';
import { METRIC_NAME, SERIES_LABEL } from '../texts.ts';

const DAY_MS = 24 * 3_600_000;
/** Many segments, so that there are checkpoints. */
const SEGMENT_BYTES = 32 * 1024;
const EVERYTHING = { minTimeMs: 0, maxTimeMs: 2 ** 52 };
const key = tenantFingerprintKey(new Uint8Array(16), ANONYMOUS_TENANT, 'series');

export interface StorageNode {
  readonly tsdb: Tsdb;
  readonly isLossTold: boolean;
  /** Appends; resolves once they are acknowledged, rejects when they are not. */
  put(samples: readonly SentSample[], nowMs: number): Promise<void>;
  /** All samples. */
  read(): Promise<readonly ReadSample[]>;
  close(): Promise<void>;
}

export async function bootStorageNode(platform: Platform): Promise<StorageNode> {
  const { clock, disk, log, random } = platform;
  const committer = new Committer({
    clock,
    log,
    mode: 'batch',
    intervalMs: 1000,
    onFatal: () => undefined,
  });
  await disk.makeDirectory('/data');
  const tsdb = await Tsdb.open({
    ...{ clock, disk, log, random, committer },
    directory: '/data/t',
    readers: new ReaderPool(),
    cuts: new WorkQueue(),
    cutJitterMs: 0,
    retentionMs: DAY_MS,
    retentionBytesMax: 0,
    mayRemove: () => false,
    isIndexed: () => false,
    futureMaxMs: DAY_MS,
    outOfOrderMs: () => DAY_MS,
    seriesMax: () => 0,
    walSegmentBytesMax: SEGMENT_BYTES,
    fingerprint: fingerprintOf,
  });
  return {
    tsdb,
    isLossTold: (tsdb.replayed?.lossCount ?? 0) > 0,
    async put(samples, nowMs) {
      const { errors } = tsdb.append(batchOf(samples), nowMs);
      if (errors[0] !== undefined) throw errors[0];
      await tsdb.durable();
    },
    read: () => readAll(tsdb),
    async close() {
      await tsdb.close();
      await committer.close();
    },
  };
}

function fingerprintOf(labelBytes: Uint8Array, out: Uint32Array, offset = 0): void {
  fingerprint(key, viewOf(labelBytes), 0, labelBytes.length, out, offset);
}

/** One sample a series; labels go with each. */
function batchOf(samples: readonly SentSample[]): WriteBatch {
  const labelBytes = samples.map(({ series }) =>
    encodeLabels(
      labelsFromPairs([
        ['__name__', METRIC_NAME],
        [SERIES_LABEL, String(series)],
      ]),
    ),
  );
  const { batch } = allocateWriteBatch({
    tenant: ANONYMOUS_TENANT,
    seriesCount: samples.length,
    sampleCount: samples.length,
    labelLength: labelBytes.reduce((sum, bytes) => sum + bytes.length, 0),
  });
  const values = new DataView(batch.values.buffer, batch.values.byteOffset);
  let end = 0;
  for (const [i, { timestampMs, value }] of samples.entries()) {
    fingerprintOf(labelBytes[i]!, batch.fingerprints, i * 4);
    batch.labelBytes.set(labelBytes[i]!, end);
    end += labelBytes[i]!.length;
    batch.labelEnds[i] = end;
    batch.timestamps[i] = timestampMs;
    values.setFloat64(i * 8, value, true);
    batch.sampleEnds[i] = i + 1;
  }
  return batch;
}

async function readAll(tsdb: Tsdb): Promise<readonly ReadSample[]> {
  const frames: Uint8Array[] = [];
  const hints = { newestOnly: false, projection: undefined };
  for await (const frame of tsdb.select([], EVERYTHING, hints)) {
    if (frame !== undefined) frames.push(frame.slice());
  }
  const { ends, labels, timestamps, values } = mergeSeriesFrames(frames, EVERYTHING);
  const found: ReadSample[] = [];
  for (const [row, one] of labels.entries()) {
    const series = Number(labelValue(one, SERIES_LABEL));
    for (let i = row === 0 ? 0 : ends[row - 1]!; i < ends[row]!; i++) {
      found.push({ series, timestampMs: timestamps[i]!, value: values[i]! });
    }
  }
  return found;
}
