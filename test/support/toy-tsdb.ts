/** A TSDB on a disk in memory, and batches for it: what the storage tests share. */
import { ANONYMOUS_TENANT } from '../../model/ids.ts';
import { type Labels, labelsFromPairs } from '../../model/labels.ts';
import type { Matcher } from '../../model/matchers.ts';
import type { TimeRange } from '../../model/sample.ts';
import type { SeriesColumns } from '../../model/series-columns.ts';
import { fingerprint, tenantFingerprintKey, viewOf } from '../../model/wire/fingerprint.ts';
import { encodeLabels } from '../../model/wire/labels-codec.ts';
import { type WriteBatch, allocateWriteBatch } from '../../model/wire/write-batch.ts';
import type { Disk } from '../../platform/platform.ts';
import {
  Committer,
  type SelectHints,
  Tsdb,
  type TsdbOptions,
  mergeSeriesFrames,
  selectFrames,
} from '../../storage/index.ts';
import { ReaderPool } from '../../storage/block/reader-pool.ts';
import { WorkQueue } from '../../storage/work-queue.ts';
import { FakeClock } from './fake-clock.ts';
import { randomSeam } from './random-seam.ts';

export const EVERYTHING: TimeRange = { minTimeMs: -(2 ** 52), maxTimeMs: 2 ** 52 };
const key = tenantFingerprintKey(Buffer.alloc(16, 1), ANONYMOUS_TENANT, 'series');
const silent = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};
export const silentLog = { ...silent, child: () => silentLog };

export interface BatchSeries {
  readonly labels: Labels;
  readonly samples: readonly (readonly [timeMs: number, value: number | bigint])[];
  readonly withLabels?: boolean;
}

export function metric(name: string, labels: Readonly<Record<string, string>> = {}): Labels {
  return labelsFromPairs([['__name__', name], ...Object.entries(labels)]);
}

export function fingerprintOf(labelBytes: Uint8Array, out: Uint32Array, offset = 0): void {
  fingerprint(key, viewOf(labelBytes), 0, labelBytes.length, out, offset);
}

/** Values given as bigints are bit patterns. */
export function batchOf(series: readonly BatchSeries[]): WriteBatch {
  const labelBytes = series.map(({ labels }) => encodeLabels(labels));
  const sent = series.map(({ withLabels }, i) =>
    withLabels === false ? new Uint8Array(0) : labelBytes[i]!,
  );
  const { batch } = allocateWriteBatch({
    tenant: ANONYMOUS_TENANT,
    seriesCount: series.length,
    sampleCount: series.reduce((sum, one) => sum + one.samples.length, 0),
    labelLength: sent.reduce((sum, bytes) => sum + bytes.length, 0),
  });
  const doubles = new DataView(batch.values.buffer, batch.values.byteOffset);
  let label = 0;
  let sample = 0;
  series.forEach((one, i) => {
    fingerprintOf(labelBytes[i]!, batch.fingerprints, i * 4);
    batch.labelBytes.set(sent[i]!, label);
    batch.labelEnds[i] = label += sent[i]!.length;
    for (const [timeMs, value] of one.samples) {
      batch.timestamps[sample] = timeMs;
      if (typeof value === 'bigint') doubles.setBigUint64(sample * 8, value, true);
      else doubles.setFloat64(sample * 8, value, true);
      sample++;
    }
    batch.sampleEnds[i] = sample;
  });
  return batch;
}

/** Numbers that differ from each other, the same in every run. */
class Sequence {
  #state = 1;

  uint32(): number {
    this.#state = (Math.imul(this.#state, 1664525) + 1013904223) >>> 0;
    return this.#state >>> 8;
  }

  float(): number {
    return this.uint32() / 2 ** 32;
  }
}

/** One for all: no two blocks get one name. */
const random = randomSeam(new Sequence());

/** What the options of every tenant's TSDB have in tests. */
export function toyOptions(): Pick<
  TsdbOptions,
  | 'outOfOrderMs'
  | 'cutJitterMs'
  | 'futureMaxMs'
  | 'isIndexed'
  | 'mayRemove'
  | 'random'
  | 'retentionBytesMax'
  | 'retentionMs'
  | 'seriesMax'
> & { readonly fingerprint: typeof fingerprintOf; readonly log: typeof silentLog } {
  return {
    log: silentLog,
    retentionMs: 15 * 24 * 3_600_000,
    retentionBytesMax: 0,
    mayRemove: () => true,
    isIndexed: () => true,
    random,
    cutJitterMs: 0,
    futureMaxMs: 600_000,
    outOfOrderMs: () => 0,
    seriesMax: () => 0,
    fingerprint: fingerprintOf,
  };
}

export interface ToyTsdb {
  readonly tsdb: Tsdb;
  readonly clock: FakeClock;
  readonly committer: Committer;
}

export async function openTsdb(
  disk: Disk,
  options: Partial<TsdbOptions> = {},
  clock = new FakeClock(),
): Promise<ToyTsdb> {
  const committer = new Committer({
    clock,
    log: silentLog,
    mode: 'batch',
    intervalMs: 1000,
    onFatal: () => undefined,
  });
  if (options.directory === undefined) await disk.makeDirectory('/data');
  const tsdb = await Tsdb.open({
    ...toyOptions(),
    clock,
    disk,
    committer,
    readers: new ReaderPool(),
    cuts: new WorkQueue(),
    directory: '/data/tenant',
    ...options,
  });
  return { tsdb, clock, committer };
}

/** What a reader gets of head and blocks. */
export async function readAll(
  tsdb: Tsdb,
  matchers: readonly Matcher[] = [],
  range = EVERYTHING,
  hints: SelectHints = { projection: undefined, newestOnly: false },
): Promise<SeriesColumns> {
  const frames: Uint8Array[] = [];
  const selectors = matchers.length === 0 ? [] : [matchers];
  for await (const frame of tsdb.select(selectors, range, hints)) {
    if (frame !== undefined) frames.push(frame);
  }
  return mergeSeriesFrames(frames, range);
}

/** What the head has. */
export function selectAll(
  tsdb: Tsdb,
  matchers: readonly Matcher[] = [],
  range = EVERYTHING,
): SeriesColumns {
  return mergeSeriesFrames(framesOf(tsdb, matchers, range), range);
}

export function framesOf(
  tsdb: Tsdb,
  matchers: readonly Matcher[] = [],
  range = EVERYTHING,
): Uint8Array[] {
  const selectors = matchers.length === 0 ? [] : [matchers];
  return [...selectFrames(tsdb.head, selectors, range)].filter((frame) => frame !== undefined);
}

/** `labels@time=bits` lines, for comparing. */
export function linesOf(columns: SeriesColumns): string[] {
  const bits = new BigUint64Array(columns.values.slice().buffer);
  return columns.labels.flatMap((labels, i) => {
    const lines: string[] = [];
    for (let at = i === 0 ? 0 : columns.ends[i - 1]!; at < columns.ends[i]!; at++) {
      lines.push(`${labels.join()}@${columns.timestamps[at]!}=${bits[at]!.toString(16)}`);
    }
    return lines;
  });
}
