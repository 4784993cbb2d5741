/** What tests write to a log and read back: records as plain lists, and a log on a chosen disk. */
import type { StarlingError } from '../../model/errors.ts';
import type { Labels } from '../../model/labels.ts';
import type { Disk, Log } from '../../platform/platform.ts';
import { type CommitMode, Committer } from '../../storage/committer.ts';
import type { WalHistogram } from '../../storage/wal/histogram-record.ts';
import { labelsFromBytes } from '../../storage/wal/label-bytes.ts';
import {
  type RecordHandler,
  type WalExemplar,
  type WalMetadata,
  encodeSamplesRecord,
  encodeSeriesRecord,
  samplesRecordBytesMax,
} from '../../storage/wal/record.ts';
import type { ReplaySummary, WalDamage } from '../../storage/wal/types.ts';
import { Wal } from '../../storage/wal/wal.ts';
import type { TimeRange } from '../../model/sample.ts';
import { FakeClock } from './fake-clock.ts';

export interface Sample {
  readonly ref: number;
  readonly timestampMs: number;
  /** The bits of the value. */
  readonly bits: bigint;
}

/** Collects what a log holds. */
export class WalContents implements RecordHandler {
  readonly series: { readonly ref: number; readonly labels: Labels }[] = [];
  readonly samples: Sample[] = [];
  readonly exemplars: WalExemplar[] = [];
  readonly metadata: WalMetadata[] = [];
  readonly histograms: WalHistogram[] = [];
  readonly tombstones: (TimeRange & { readonly ref: number })[] = [];
  readonly skipped: number[] = [];

  onSeries(ref: number, labelBytes: Uint8Array): void {
    this.series.push({ ref, labels: labelsFromBytes(labelBytes) ?? ['?', 'unreadable'] });
  }

  onSamples(count: number, refs: Float64Array, times: Float64Array, values: Uint32Array): void {
    for (let i = 0; i < count; i++) {
      const bits = (BigInt(values[2 * i + 1]!) << 32n) | BigInt(values[2 * i]!);
      this.samples.push({ ref: refs[i]!, timestampMs: times[i]!, bits });
    }
  }

  onExemplar(exemplar: WalExemplar): void {
    this.exemplars.push(exemplar);
  }

  onMetadata(metadata: WalMetadata): void {
    this.metadata.push(metadata);
  }

  onHistogram(histogram: WalHistogram): void {
    this.histograms.push(histogram);
  }

  onTombstone(ref: number, range: TimeRange): void {
    this.tombstones.push({ ref, ...range });
  }

  onSkipped(type: number): void {
    this.skipped.push(type);
  }
}

/** A samples record. */
export function samplesRecord(samples: readonly Sample[]): Uint8Array {
  const refs = Float64Array.from(samples, (sample) => sample.ref);
  const times = Float64Array.from(samples, (sample) => sample.timestampMs);
  const values = new Uint32Array(samples.length * 2);
  samples.forEach(({ bits }, i) => {
    values[2 * i] = Number(bits & 0xffff_ffffn);
    values[2 * i + 1] = Number(bits >> 32n);
  });
  const target = new Uint8Array(samplesRecordBytesMax(samples.length));
  return target.slice(0, encodeSamplesRecord(refs, times, values, 0, samples.length, target));
}

/** A record that says `id`: a series of that ref, with a label of about `bytes`. */
export function numberedRecord(id: number, bytes = 0): Uint8Array {
  return encodeSeriesRecord([{ ref: id, labels: ['padding', 'x'.repeat(bytes)] }]);
}

/** The ids of the numbered records in a log, in order. */
export function idsOf(contents: WalContents): number[] {
  return contents.series.map(({ ref }) => ref);
}

export const silentLog: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => silentLog,
};

export interface OpenedNode {
  readonly wal: Wal;
  readonly replayed: ReplaySummary;
  readonly contents: WalContents;
  readonly committer: Committer;
  readonly clock: FakeClock;
  /** What `onFatal` was called with. */
  readonly fatals: StarlingError[];
}

export interface NodeOptions {
  readonly mode?: CommitMode;
  readonly directory?: string;
  readonly segmentBytesMax?: number;
  readonly pendingBytesMax?: number;
  readonly onLoss?: (damage: readonly WalDamage[]) => Promise<void>;
}

export const WAL_PATH = '/wal';

/** Opens a log with a committer of its own. */
export async function openNode(disk: Disk, options: NodeOptions = {}): Promise<OpenedNode> {
  const { mode = 'batch', directory = WAL_PATH, ...sizes } = options;
  const clock = new FakeClock();
  const fatals: StarlingError[] = [];
  const onFatal = (error: StarlingError): void => void fatals.push(error);
  const committer = new Committer({ clock, log: silentLog, mode, intervalMs: 100, onFatal });
  const contents = new WalContents();
  const log = silentLog;
  const shared = { clock, disk, log, committer, directory, handler: contents };
  const { wal, replayed } = await Wal.open({ ...shared, ...sizes });
  return { wal, replayed, contents, committer, clock, fatals };
}

/** Opens another log under the same committer. */
export async function openBeside(node: OpenedNode, disk: Disk, directory: string): Promise<Wal> {
  const { clock, committer, contents: handler } = node;
  return (await Wal.open({ clock, disk, committer, log: silentLog, directory, handler })).wal;
}
