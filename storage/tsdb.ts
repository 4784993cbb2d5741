/**
 * One tenant's TSDB on one node: the head in memory with its write-ahead log, and the blocks that were cut
 * from it (tenant-blocks.ts). Invariant: every sample in the head is in the log, or in `#unlogged`, which
 * goes to the log before anything else is taken; so an acknowledgement that waits for `durable()` covers
 * also what an earlier, failed request left here.
 */
import { assert } from '../model/assert.ts';
import { StarlingError, toStarlingError } from '../model/errors.ts';
import { printLabels } from '../model/labels.ts';
import type { TimeRange } from '../model/sample.ts';
import { decodeLabels } from '../model/wire/labels-codec.ts';
import type { WriteBatch } from '../model/wire/write-batch.ts';
import { makeDurableDirectory } from '../platform/durable-directory.ts';
import type { Disk } from '../platform/platform.ts';
import type { BlockSource } from './block/cut.ts';
import type { BlockMeta } from './block/meta.ts';
import type { SampleColumns } from './chunk/xor-encode.ts';
import type { Committer } from './committer.ts';
import { FORMAT_FILE, WAL_DIRECTORY, joinPath } from './filenames.ts';
import { APPENDED, CONFLICT, DUPLICATE, Head, OUT_OF_ORDER } from './head/head.ts';
import { LogBuffer } from './head/log-buffer.ts';
import type { SelectHints, Selectors } from './head/select.ts';
import { readHorizon } from './horizon.ts';
import type { LocalBlock } from './local-blocks.ts';
import type { Pacer } from './pacer.ts';
import { TenantBlocks, type TenantBlocksOptions } from './tenant-blocks.ts';
import { type ReadSource, readFrames, readLabelNames, readLabelValues } from './tenant-read.ts';
import type { ReplaySummary } from './wal/types.ts';
import { Wal } from './wal/wal.ts';

export const TSDB_FORMAT = 1;
const ERRORS_KEPT_MAX = 10;

export interface TsdbOptions extends TenantBlocksOptions {
  readonly committer: Committer;
  /** How far ahead of `nowMs` a sample may be. */
  readonly futureMaxMs: number;
  /** How much older than the newest sample of the head one that comes out of order may be; 0: not at all. */
  readonly outOfOrderMs: () => number;
  /** 0: no limit. */
  readonly seriesMax: () => number;
  /**
   * The log lost something that was durable: samples from `fromMs` on may be gone; `newestMs` is the newest
   * that is left. Called, and waited for, before the log is repaired.
   */
  readonly onLoss?: (loss: { readonly fromMs: number; readonly newestMs: number }) => Promise<void>;
  /** The tenant's fingerprint of canonical label bytes, four words. */
  readonly fingerprint: (labelBytes: Uint8Array, out: Uint32Array) => void;
}

export interface AppendResult {
  /** Indexes of series that are unknown here and came without labels: nothing of them was taken. */
  readonly unknown: Uint32Array;
  /** Indexes of series of which a sample was refused. */
  readonly rejected: Uint32Array;
  /** The first few reasons. */
  readonly errors: readonly StarlingError[];
  readonly samplesAppended: number;
}

export interface TsdbStats {
  readonly seriesCount: number;
  readonly chunkCount: number;
  readonly blockCount: number;
  readonly blockBytes: number;
  /** Blocks cut since the start, and tries that failed. */
  readonly cutCount: number;
  readonly cutFailures: number;
  /** Samples that were taken out of order. */
  readonly outOfOrderCount: number;
  readonly arenaBytes: number;
  readonly samplesAppended: number;
  readonly maxTimeMs: number;
}

/** What one append collects. */
interface Outcome {
  /** The series appended to last, or -1. */
  previous: number;
  /** Samples older or newer than these are refused. */
  readonly minTimeMs: number;
  readonly maxTimeMs: number;
  /** Samples out of order are taken from here on. */
  readonly insertMinMs: number;
  readonly unknown: number[];
  readonly rejected: number[];
  readonly errors: StarlingError[];
  samplesAppended: number;
}

export class Tsdb {
  readonly head = new Head();
  readonly #options: TsdbOptions;
  readonly #logBuffer = new LogBuffer();
  readonly #scratchFingerprint = new Uint32Array(4);
  /** The time of the last batch that had one for all samples, as often as it is needed. */
  #oneTime = new Float64Array(0);
  #wal: Wal | undefined;
  /** Records of the last append, in the log buffer: it does not begin anew while they wait. */
  #unlogged: Uint8Array[] = [];
  #nextRef = 1;
  #blocks: TenantBlocks | undefined;
  #outOfOrderCount = 0;
  replayed: ReplaySummary | undefined;

  private constructor(options: TsdbOptions) {
    this.#options = options;
  }

  /** Opens or makes the directory, replaying its log. Throws `disk.format_newer`, `wal.corrupt`, `disk.failed`. */
  static async open(options: TsdbOptions): Promise<Tsdb> {
    const { clock, committer, directory, disk, log } = options;
    await makeDurableDirectory(disk, directory, OWN_LEVELS);
    await checkFormat(disk, directory);
    const tsdb = new Tsdb(options);
    const blocks = await TenantBlocks.open(
      options,
      { head: tsdb.head, checkpoint: (minTimeMs, pacer) => tsdb.#checkpoint(minTimeMs, pacer) },
      await readHorizon(disk, directory),
    );
    tsdb.#blocks = blocks;
    const minTimeMs = blocks.appendMinMs; // what is older is in blocks, or was dropped
    const seriesOfRef = new Map<number, number>();
    const opened = await Wal.open({
      clock,
      committer,
      disk,
      log,
      directory: joinPath(directory, WAL_DIRECTORY),
      onLoss: async () => {
        await options.onLoss?.({ fromMs: minTimeMs, newestMs: tsdb.head.maxTimeMs });
      },
      handler: {
        onSeries: (ref, labelBytes) => seriesOfRef.set(ref, tsdb.#replaySeries(ref, labelBytes)),
        onSamples(count, refs, timestamps, values) {
          const samples = { timestamps, values };
          for (let i = 0; i < count; i++) {
            const s = seriesOfRef.get(refs[i]!);
            if (refs[i]! >= tsdb.#nextRef) tsdb.#nextRef = refs[i]! + 1; // its series record was lost
            if (s !== undefined && timestamps[i]! >= minTimeMs) {
              if (tsdb.head.append(s, samples, i) === OUT_OF_ORDER) tsdb.head.insert(s, samples, i);
            }
          }
        },
      },
    });
    tsdb.#wal = opened.wal;
    tsdb.replayed = opened.replayed;
    // Series that the log still names and that have no samples.
    for (const _ of tsdb.head.dropBefore(minTimeMs))
      await new Promise<void>((resolve) => clock.nextTurn(resolve));
    return tsdb;
  }

  /** The oldest time that this TSDB promises to hold now. */
  oldestTimeMs(nowMs: number): number {
    return this.#openBlocks.oldestTimeMs(nowMs);
  }

  /** Series with their chunks as frames. `undefined` is a pause: go on after a turn of the loop. */
  select(
    selectors: Selectors,
    range: TimeRange,
    hints: SelectHints,
  ): AsyncGenerator<Uint8Array | undefined, void> {
    return readFrames(this.#readSource, { selectors, range }, hints);
  }

  /** Label sets of series as frames without chunks. Pauses as `select`; so do the next two. */
  selectLabelSets(
    selectors: Selectors,
    range: TimeRange,
  ): AsyncGenerator<Uint8Array | undefined, void> {
    return readFrames(this.#readSource, { selectors, range }, undefined);
  }

  selectLabelNames(
    selectors: Selectors,
    range: TimeRange,
  ): AsyncGenerator<undefined, readonly string[]> {
    return readLabelNames(this.#readSource, { selectors, range });
  }

  selectLabelValues(
    name: string,
    selectors: Selectors,
    range: TimeRange,
  ): AsyncGenerator<undefined, readonly string[]> {
    return readLabelValues(this.#readSource, { selectors, range }, name);
  }

  /** The blocks in the tenant's directory, by their first time. */
  blocks(): readonly LocalBlock[] {
    return this.#openBlocks.list();
  }

  /** The oldest time of a sample that head or blocks may have; Infinity: there is none. */
  get oldestSampleMs(): number {
    const oldest = this.blocks()[0]?.meta.minTimeMs ?? Number.POSITIVE_INFINITY;
    return Math.min(oldest, this.head.minTimeMs);
  }

  /**
   * Adds a block of the closed range, of samples that others hold; they may overlap what is here. Nothing
   * is promised of before `promisedFromMs`, where the others promised nothing either.
   */
  fill(source: BlockSource, range: TimeRange, promisedFromMs: number): Promise<void> {
    return this.#openBlocks.fill(source, range, promisedFromMs);
  }

  /** Where the blocks are. */
  get directory(): string {
    return this.#options.directory;
  }

  /** Does what is due: cuts blocks, lets old ones go. One run at a time; cheap when nothing is. */
  maintain(nowMs: number): Promise<void> {
    return this.#openBlocks.maintain(nowMs);
  }

  /** Cuts everything the head holds now into blocks, due or not; returns them, oldest first. */
  flush(): Promise<readonly BlockMeta[]> {
    return this.#openBlocks.flush();
  }

  /**
   * Appends a batch to head and log. Synchronous; acknowledge only after `durable()`. Refused samples
   * are in the result. Throws `wal.write_failed`, `wal.sync_failed` or `node.overloaded` when the log
   * does not take it: then retry the same batch.
   */
  append(batch: WriteBatch, nowMs: number): AppendResult {
    this.#flushUnlogged();
    const blocks = this.#openBlocks;
    const outcome: Outcome = {
      previous: -1,
      minTimeMs: Math.max(blocks.oldestTimeMs(nowMs), blocks.appendMinMs),
      maxTimeMs: nowMs + this.#options.futureMaxMs,
      insertMinMs: this.head.maxTimeMs - this.#outOfOrderMs(),
      unknown: [],
      rejected: [],
      errors: [],
      samplesAppended: 0,
    };
    blocks.noteAppend();
    this.#logBuffer.begin(batch.sampleCount);
    const samples = this.#samplesOf(batch);
    try {
      for (let i = 0; i < batch.seriesCount; i++) this.#appendSeries(batch, i, samples, outcome);
    } finally {
      this.#unlogged.push(...this.#logBuffer.finish());
    }
    this.#flushUnlogged();
    return {
      unknown: Uint32Array.from(outcome.unknown),
      rejected: Uint32Array.from(outcome.rejected),
      errors: outcome.errors,
      samplesAppended: outcome.samplesAppended,
    };
  }

  /** Resolves when everything appended until now is durable, as the committer's mode defines it. */
  durable(): Promise<void> {
    try {
      this.#flushUnlogged();
    } catch (error) {
      return Promise.reject(toStarlingError(error));
    }
    return this.#openWal.durable();
  }

  /** True when closing now would leave nothing undone: all is in the log, nothing is being cut. */
  get isQuiet(): boolean {
    const hasWork = this.#openBlocks.isBusy || this.#unlogged.length > 0;
    return !hasWork && this.#openWal.isQuiet;
  }

  stats(): TsdbStats {
    const { head } = this;
    const blocks = this.#openBlocks;
    return {
      seriesCount: head.series.count,
      chunkCount: head.chunks.count,
      blockCount: blocks.list().length,
      blockBytes: blocks.sizeBytes,
      cutCount: blocks.cutCount,
      cutFailures: blocks.cutFailures,
      outOfOrderCount: this.#outOfOrderCount,
      arenaBytes: head.arena.usedBytes,
      samplesAppended: head.samplesAppended,
      maxTimeMs: head.maxTimeMs,
    };
  }

  async close(): Promise<void> {
    await this.#blocks?.close();
    await this.#wal?.close();
  }

  get #openBlocks(): TenantBlocks {
    assert(this.#blocks !== undefined, 'tsdb: used before it is open');
    return this.#blocks;
  }

  get #readSource(): ReadSource {
    const { clock, fingerprint } = this.#options;
    return { clock, fingerprint, head: this.head, blocks: this.#openBlocks };
  }

  /** The window for samples out of order; nothing, not even Infinity - 0, is in a window of 0. */
  #outOfOrderMs(): number {
    const windowMs = this.#options.outOfOrderMs();
    return windowMs > 0 ? windowMs : Number.NEGATIVE_INFINITY;
  }

  get #openWal(): Wal {
    assert(this.#wal !== undefined, 'tsdb: used before it is open');
    return this.#wal;
  }

  #replaySeries(ref: number, labelBytes: Uint8Array): number {
    this.#nextRef = Math.max(this.#nextRef, ref + 1);
    this.#options.fingerprint(labelBytes, this.#scratchFingerprint);
    const known = this.head.series.find(this.#scratchFingerprint, 0);
    return known >= 0 ? known : this.head.addSeries(this.#scratchFingerprint, 0, labelBytes, ref);
  }

  /** The samples of a batch with a time for each. */
  #samplesOf({ sampleCount, timestamps, values }: WriteBatch): SampleColumns {
    if (timestamps.length === sampleCount) return { timestamps, values };
    if (this.#oneTime.length < sampleCount) this.#oneTime = new Float64Array(sampleCount);
    this.#oneTime.fill(timestamps[0]!, 0, sampleCount);
    return { timestamps: this.#oneTime, values };
  }

  /** Hot: one series of a batch. */
  #appendSeries(batch: WriteBatch, i: number, samples: SampleColumns, outcome: Outcome): void {
    const { head } = this;
    const { maxTimeMs, minTimeMs } = outcome;
    const labelStart = i === 0 ? 0 : batch.labelEnds[i - 1]!;
    const labelEnd = batch.labelEnds[i]!;
    let s = head.series.find(batch.fingerprints, i * 4, outcome.previous);
    if (labelEnd > labelStart) {
      const verdict = this.#learn(batch, i, s, batch.labelBytes.subarray(labelStart, labelEnd));
      if (verdict instanceof StarlingError) {
        outcome.rejected.push(i);
        keep(outcome, verdict);
        return;
      }
      s = verdict;
    } else if (s < 0) {
      outcome.unknown.push(i);
      return;
    }
    outcome.previous = s;
    const { timestamps } = samples;
    let isRejected = false;
    for (let at = i === 0 ? 0 : batch.sampleEnds[i - 1]!; at < batch.sampleEnds[i]!; at++) {
      const timeMs = timestamps[at]!;
      const isInBounds = timeMs >= minTimeMs && timeMs <= maxTimeMs;
      let what = isInBounds ? head.append(s, samples, at) : -1;
      if (what === OUT_OF_ORDER && timeMs >= outcome.insertMinMs) {
        head.insert(s, samples, at);
        what = APPENDED;
        this.#outOfOrderCount++;
      }
      if (what === APPENDED) {
        this.#logBuffer.addSample(head.series.refs, s, samples, at);
        outcome.samplesAppended++;
      } else if (what !== DUPLICATE) {
        isRejected = true;
        if (outcome.errors.length < ERRORS_KEPT_MAX)
          keep(outcome, this.#refusal(s, what, timeMs, minTimeMs, maxTimeMs));
      }
    }
    if (isRejected) outcome.rejected.push(i);
  }

  /** The series that labels name, new or known, or why they cannot be taken. */
  #learn(
    batch: WriteBatch,
    i: number,
    known: number,
    labelBytes: Uint8Array,
  ): StarlingError | number {
    const describe = (): string => printLabels(decodeLabels(labelBytes));
    if (known >= 0) {
      if (Buffer.compare(this.head.labelBytesOf(known), labelBytes) === 0) return known;
      return new StarlingError('series.fingerprint_collision', { series: describe() });
    }
    this.#options.fingerprint(labelBytes, this.#scratchFingerprint);
    for (let w = 0; w < 4; w++) {
      if (this.#scratchFingerprint[w] !== batch.fingerprints[i * 4 + w]) {
        return new StarlingError('series.fingerprint_collision', { series: describe() });
      }
    }
    const countMax = this.#options.seriesMax();
    if (countMax > 0 && this.head.series.count >= countMax) {
      return new StarlingError('limit.series_per_tenant', { series: describe(), countMax });
    }
    const ref = this.#nextRef++;
    const s = this.head.addSeries(batch.fingerprints, i * 4, labelBytes, ref);
    this.#logBuffer.addSeries(ref, labelBytes);
    return s;
  }

  #refusal(
    s: number,
    what: number,
    timestampMs: number,
    minTimeMs: number,
    maxTimeMs: number,
  ): StarlingError {
    const series = printLabels(this.head.labelsOf(s));
    if (timestampMs > maxTimeMs)
      return new StarlingError('sample.too_far_in_future', { series, timestampMs, maxTimeMs });
    if (timestampMs < minTimeMs)
      return new StarlingError('sample.too_old', { series, timestampMs, minTimeMs });
    if (what === CONFLICT)
      return new StarlingError('sample.duplicate_timestamp', { series, timestampMs });
    const lastMs = this.head.series.recent.newestTime(s);
    const windowMs = this.#options.outOfOrderMs();
    return new StarlingError('sample.out_of_order', { series, timestampMs, lastMs, windowMs });
  }

  /** Records that the log did not take yet go first; while they cannot, nothing else is taken. */
  #flushUnlogged(): void {
    let done = 0;
    try {
      for (; done < this.#unlogged.length; done++) this.#openWal.append(this.#unlogged[done]!);
    } finally {
      this.#unlogged.splice(0, done);
    }
  }

  /** Shortens the log. A series stays in it while the head has it, or may have got it meanwhile. */
  async #checkpoint(minTimeMs: number, pacer: Pacer): Promise<void> {
    const { series } = this.head;
    const nextRef = this.#nextRef;
    const alive = new Set<number>();
    for (let s = 0; s < series.length; s++) {
      if (series.alive.has(s)) alive.add(series.refs[s]!);
      if (pacer.spend(1)) await pacer.pause();
    }
    await this.#openWal.checkpoint((ref) => ref >= nextRef || alive.has(ref), minTimeMs);
  }
}

function keep(outcome: Outcome, error: StarlingError): void {
  if (outcome.errors.length < ERRORS_KEPT_MAX) outcome.errors.push(error);
}

/** How many levels of directories this node makes itself: tenant, long names, tenants, data. */
const OWN_LEVELS = 4;

/** Reads or writes the FORMAT file. A newer format is refused before anything is written. */
async function checkFormat(disk: Disk, directory: string): Promise<void> {
  const path = joinPath(directory, FORMAT_FILE);
  if ((await disk.stat(path)) === undefined) {
    const file = await disk.open(path, 'create');
    await file.write(Buffer.from(`${TSDB_FORMAT}\n`), 0);
    await file.sync();
    await file.close();
    await disk.syncDirectory(directory);
    return;
  }
  const found = Buffer.from(await disk.readFile(path))
    .toString('latin1')
    .trim();
  if (found === '' || Number(found) <= TSDB_FORMAT) return; // empty: a crash while it was made
  const facts = { path: directory, found: found.slice(0, 20), supported: String(TSDB_FORMAT) };
  throw new StarlingError('disk.format_newer', facts);
}
