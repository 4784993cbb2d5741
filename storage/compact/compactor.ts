/**
 * The compactor of a node: goes over the tenants of the bucket in rounds. In a round each tenant is looked at,
 * cleaned (by its owner), and gets one job done (by the job's owner), so that none waits for another's backlog;
 * rounds go on until no own job is left.
 *
 *   look ─► clean ─► index written ─► plan ─► job ─► look ─► parents marked ─► index written
 *
 * Ownership only saves work: two nodes that both think they own a tenant or a job do no harm, because blocks
 * are never changed, a merged one is visible only when whole, and what is redundant is decided by what
 * the blocks say. A bad block is named and marked after its second failure; it halts nobody.
 * Invariant: one run at a time; on disk there is at most the one block that is being made.
 */
import { StarlingError, toStarlingError } from '../../model/errors.ts';
import type { TenantId } from '../../model/ids.ts';
import type { Bucket, Clock, Disk, Log, Random } from '../../platform/platform.ts';
import { type BlockId, parseBlockId } from '../block/ulid.ts';
import { writeBucketIndex } from '../bucket/bucket-index.ts';
import { readBucketMeta } from '../bucket/bucket-meta.ts';
import { putMark, readMark } from '../bucket/marks.ts';
import { listBucketTenants } from '../bucket/scan.ts';
import { joinPath } from '../filenames.ts';
import { Pacer } from '../pacer.ts';
import { tenantPathParts } from '../tsdb-manager.ts';
import { type CatalogueBlock, type TenantCatalogue, readCatalogue } from './catalogue.ts';
import { CleanMemory, cleanTenant, deleteBlock, markForDeletion } from './clean.ts';
import { type CompactedDeletions, DeletionCuts } from './deletion-cuts.ts';
import { type DownsamplingLevel, planDownsampling } from './plan-downsampling.ts';
import { type CompactionJob, type Plan, planCompaction } from './plan.ts';
import { runJob } from './run-job.ts';
import {
  CompactorCounts,
  type CompactorStatus,
  type RunningJob,
  type TenantStatus,
} from './status.ts';
import { deleteTenantBlocks, readTenantDeletion } from './tenant-deletion.ts';

/** A block that failed a job so often is left out from then on. */
const FAILURES_MAX = 2;
/** The most blocks one job merges: each takes a few MiB while it is read. */
const JOB_BLOCKS_MAX = 64;
const TENANTS_SHOWN_MAX = 10_000;
const CLOSE_WAIT_MS = 5000;

export interface CompactorOptions {
  readonly bucket: Bucket;
  readonly clock: Clock;
  readonly disk: Disk;
  readonly log: Log;
  readonly random: Random;
  /** For blocks being made. */
  readonly directory: string;
  readonly rangesMs: readonly number[];
  readonly waitMs: number;
  readonly deletionDelayMs: number;
  /** Whether this node's wall clock is known to be right. */
  readonly isClockRight: () => boolean;
  readonly jobBytesMax: number;
  readonly partialDelayMsOf: (tenant: TenantId) => number;
  /** 0: blocks are kept for ever. */
  readonly retentionMsOf: (tenant: TenantId, resolutionMs: number) => number;
  /** Which blocks of aggregates are made; none: no downsampling. */
  readonly downsampling: readonly DownsamplingLevel[];
  /** What was deleted for good, and how it is told that nothing is left of it; absent: nothing ever is. */
  readonly deletions?: CompactedDeletions | undefined;
  /** Whether this instance cleans up for the tenant. */
  readonly ownsTenant: (tenant: TenantId) => boolean;
  readonly ownsJob: (tenant: TenantId, key: string) => boolean;
}

/** What is remembered of a tenant from round to round. */
interface TenantState {
  blocks: ReadonlyMap<BlockId, CatalogueBlock>;
  readonly memory: CleanMemory;
  readonly cuts: DeletionCuts;
  status: TenantStatus;
}

export class Compactor {
  readonly counts = new CompactorCounts();
  readonly #options: CompactorOptions;
  readonly #states = new Map<TenantId, TenantState>();
  /** How often blocks failed a job. */
  readonly #failures = new Map<BlockId, number>();
  #running: Promise<void> | undefined;
  #job: RunningJob | undefined;
  #lastSuccessAtMs: number | undefined;
  #isClosed = false;

  constructor(options: CompactorOptions) {
    this.#options = options;
  }

  /** Does all that is to be done now; one run at a time. Failures are logged and counted, not thrown. */
  run(): Promise<void> {
    if (this.#isClosed) return Promise.resolve();
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  status(): CompactorStatus {
    return {
      isRunning: this.#running !== undefined,
      lastSuccessAtMs: this.#lastSuccessAtMs,
      job: this.#job,
      tenants: [...this.#states.values()].map(({ status }) => status).slice(0, TENANTS_SHOWN_MAX),
    };
  }

  /** Ends what runs as soon as it pauses, and waits for that a while: what is cut off does no harm. */
  async close(): Promise<void> {
    this.#isClosed = true;
    const running = this.#running;
    if (running === undefined) return;
    await new Promise<void>((resolve) => {
      const timer = this.#options.clock.after(CLOSE_WAIT_MS, resolve);
      void running.then(() => {
        timer.cancel();
        resolve();
      });
    });
  }

  async #run(): Promise<void> {
    const { bucket, clock, log } = this.#options;
    this.counts.runsStarted++;
    try {
      let tenants = await listBucketTenants(bucket);
      const listed = new Set(tenants);
      for (const tenant of this.#states.keys()) {
        if (!listed.has(tenant)) this.#states.delete(tenant);
      }
      let failureCount = 0;
      const tried = new Set<string>();
      const jobsFailedBefore = this.counts.jobsFailed;
      while (tenants.length > 0) {
        const again: TenantId[] = [];
        for (const tenant of tenants) {
          if (this.#isClosed) return;
          const outcome = await this.#round(tenant, tried);
          if (outcome === 'more') again.push(tenant);
          if (outcome === 'failed') failureCount++;
        }
        tenants = again;
      }
      if (failureCount > 0 || this.counts.jobsFailed > jobsFailedBefore) this.counts.runsFailed++;
      else {
        this.counts.runsCompleted++;
        this.#lastSuccessAtMs = clock.wallMs();
      }
    } catch (thrown) {
      if (this.#isClosed) return;
      this.counts.runsFailed++;
      log.error('compaction failed', { error: toStarlingError(thrown).message });
    }
  }

  /** `more`: a job was done, there may be another. */
  async #round(tenant: TenantId, tried: Set<string>): Promise<'done' | 'failed' | 'more'> {
    try {
      return (await this.#doTenant(tenant, tried)) ? 'more' : 'done';
    } catch (thrown) {
      if (this.#isClosed) return 'done';
      const error = toStarlingError(thrown);
      this.#options.log.error('compaction of a tenant failed', { tenant, error: error.message });
      const state = this.#states.get(tenant);
      if (state !== undefined) state.status = { ...state.status, failure: error.message };
      return 'failed';
    }
  }

  /** True when a job was done, or failed, and there may be others. `tried`: what is not tried again now. */
  async #doTenant(tenant: TenantId, tried: Set<string>): Promise<boolean> {
    const { bucket, clock, ownsJob, ownsTenant } = this.#options;
    const state = this.#stateOf(tenant);
    await this.#removeLeftovers(tenant);
    const deletion = await readTenantDeletion(bucket, tenant);
    let catalogue = await this.#look(tenant, state);
    if (deletion !== undefined) {
      if (!ownsTenant(tenant)) return false;
      const count = await deleteTenantBlocks(
        bucket,
        tenant,
        catalogue.scan,
        deletion,
        clock.wallMs(),
      );
      this.counts.blocksDeleted += count;
      return false;
    }
    if (ownsTenant(tenant)) catalogue = await this.#clean(tenant, state, catalogue);
    const plan = await state.cuts.planWith(this.#plan(catalogue), catalogue);
    state.status = this.#statusOf(tenant, catalogue, plan);
    const nameOf = ({ key }: CompactionJob): string => `${tenant}/${key}`;
    const job = plan.jobs.find((one) => !tried.has(nameOf(one)) && ownsJob(tenant, one.key));
    if (job === undefined) return false;
    // Once a run: where a listing lags, the job would look as if it were still to be done.
    tried.add(nameOf(job));
    await this.#runJob(tenant, state, job);
    return true;
  }

  async #look(tenant: TenantId, state: TenantState): Promise<TenantCatalogue> {
    const catalogue = await readCatalogue(this.#options, tenant, state.blocks);
    state.blocks = catalogue.blocks;
    return catalogue;
  }

  /** Marks, deletes, and writes the index of what there is then. */
  async #clean(
    tenant: TenantId,
    state: TenantState,
    catalogue: TenantCatalogue,
  ): Promise<TenantCatalogue> {
    const { bucket, clock, deletionDelayMs, log, partialDelayMsOf, retentionMsOf } = this.#options;
    const cleaned = await cleanTenant(
      {
        ...{ bucket, clock, log, deletionDelayMs },
        partialDelayMs: partialDelayMsOf(tenant),
        isClockRight: this.#options.isClockRight(),
        retentionMsOf: (resolutionMs) => retentionMsOf(tenant, resolutionMs),
      },
      tenant,
      catalogue,
      state.memory,
    );
    for (const reason of cleaned.marked.values()) this.counts.noteMarked(reason);
    this.counts.blocksDeleted += cleaned.deleted.length;
    const isChanged = cleaned.marked.size + cleaned.deleted.length + cleaned.corrected.length > 0;
    const current = isChanged ? await this.#look(tenant, state) : catalogue;
    await this.#writeIndex(tenant, current);
    return current;
  }

  async #writeIndex(tenant: TenantId, { blocks, broken, scan }: TenantCatalogue): Promise<void> {
    // What vanished since the listing is not there to be read. What was indexed and cannot be read any more
    // stays, so that a query which needs it is an error and no silent gap.
    const isPresent = ({ id }: { readonly id: BlockId }): boolean =>
      blocks.has(id) || broken.has(id);
    const present = scan.index.blocks.filter(isPresent);
    const downsampled = scan.index.downsampled?.filter(isPresent);
    const index = { ...scan.index, blocks: present, downsampled };
    await writeBucketIndex(this.#options, tenant, { index, scannedAtMs: scan.scannedAtMs });
  }

  #plan({ blocks, scan }: TenantCatalogue): Plan {
    const { clock, jobBytesMax, rangesMs, waitMs } = this.#options;
    const unfit = [...blocks.values()].filter((block) => block.unfit !== undefined);
    const nowMs = clock.wallMs();
    const deleted = new Set(scan.index.deletions.keys());
    const plan = planCompaction([...blocks.values()], {
      ...{ rangesMs, waitMs, jobBytesMax, jobBlocksMax: JOB_BLOCKS_MAX, nowMs, deleted },
      noCompact: new Set([...scan.noCompact, ...unfit.map(({ id }) => id)]),
    });
    const { downsampling: levels } = this.#options;
    const options = { levels, nowMs, deleted, noCompact: scan.noCompact };
    const downsampling = planDownsampling([...blocks.values()], plan, options);
    return { ...plan, jobs: [...plan.jobs, ...downsampling] };
  }

  /** Whatever fails is thrown, but a block that is bad: that is noted. */
  async #runJob(tenant: TenantId, state: TenantState, job: CompactionJob): Promise<void> {
    const { bucket, clock, disk, log, random } = this.#options;
    const blocks = job.blocks.flatMap(({ id }) => state.blocks.get(id) ?? []);
    const ids = blocks.map(({ id }) => id);
    const { key, kind, resolutionMs } = job;
    const startedAtMs = clock.wallMs();
    const startedMs = clock.monotonicMs();
    const note = (phase: RunningJob['phase'], seriesCount: number): void => {
      this.#job = { tenant, key, kind, blocks: ids, startedAtMs, phase, seriesCount };
    };
    const pacer = new Pacer(clock, () => this.#isClosed);
    const directory = this.#directoryOf(tenant);
    const deletions = this.#options.deletions?.due(tenant) ?? [];
    try {
      const meta = await runJob({
        ...{ bucket, clock, disk, random, pacer, directory, tenant, blocks, resolutionMs },
        deletions,
        onProgress: note,
      });
      this.counts.jobsDone++;
      this.counts.blocksCompacted += ids.length;
      for (const id of ids) this.#failures.delete(id);
      const tookMs = Math.round(clock.monotonicMs() - startedMs);
      log.info('blocks compacted', { tenant, key, kind, blocks: ids, block: meta?.id, tookMs });
      if (meta === undefined) log.probe?.('compact.emptied');
      else if (kind === 'deletion') log.probe?.('compact.cut');
      else if ((meta.deletions ?? []).length > 0) log.probe?.('compact.merged_without');
      if (meta === undefined) await this.#markEmpty(tenant, ids);
      else await this.#markReplaced(tenant, state, new Set(ids));
    } catch (thrown) {
      if (this.#isClosed) throw thrown;
      this.counts.jobsFailed++;
      const error = toStarlingError(thrown);
      log.error('a compaction failed', { tenant, key, blocks: ids, error: error.message });
      if (!(await this.#noteBad(tenant, ids, error))) throw error;
    } finally {
      this.#job = undefined;
    }
  }

  /** All samples of these blocks were deleted. */
  async #markEmpty(tenant: TenantId, ids: readonly BlockId[]): Promise<void> {
    for (const id of ids) {
      await markForDeletion(this.#options, tenant, id, 'all of its samples were deleted');
      this.counts.noteMarked('empty');
    }
  }

  /**
   * Readers are told of the merged block, and what it replaces is marked once a listing shows it. When that
   * lags, the tenant's owner does it later.
   */
  async #markReplaced(
    tenant: TenantId,
    state: TenantState,
    parents: ReadonlySet<BlockId>,
  ): Promise<void> {
    const catalogue = await this.#look(tenant, state);
    await this.#writeIndex(tenant, catalogue);
    for (const [id, keeper] of this.#plan(catalogue).redundant) {
      if (!parents.has(id)) continue;
      await markForDeletion(this.#options, tenant, id, `all of it is in the block ${keeper}`);
      this.counts.noteMarked('compacted');
    }
  }

  /** False: it was none of the blocks. A block that fails again is marked and left out. */
  async #noteBad(
    tenant: TenantId,
    ids: readonly BlockId[],
    error: StarlingError,
  ): Promise<boolean> {
    const { bucket, clock, log } = this.#options;
    const named = blockOf(error);
    const id = ids.find((one) => one === named);
    if (id === undefined) return false;
    const isGone = (await readBucketMeta(bucket, tenant, id).catch(() => null)) === undefined;
    const mark = await readMark(bucket, tenant, { id, kind: 'deletion' });
    if (isGone || mark !== undefined) return true; // somebody else did the job meanwhile
    const count = (this.#failures.get(id) ?? 0) + 1;
    this.#failures.set(id, count);
    if (count < FAILURES_MAX) return true;
    const details = error.message.slice(0, 1000);
    const timeMs = clock.wallMs();
    await putMark(bucket, tenant, { id, kind: 'no-compact', timeMs, details, reason: error.id });
    this.#failures.delete(id);
    this.counts.blocksQuarantined++;
    log.error('a block is left out of compaction', { tenant, block: id, error: error.message });
    return true;
  }

  /** What a job that was killed left: its local files, and what it had uploaded of a block. */
  async #removeLeftovers(tenant: TenantId): Promise<void> {
    const { bucket, disk } = this.#options;
    const directory = this.#directoryOf(tenant);
    const names = await disk.list(directory);
    if (names.length === 0) return;
    for (const name of names) {
      const id = parseBlockId(name);
      if (id === undefined) continue; // it was never begun to be uploaded
      const isWhole = (await readBucketMeta(bucket, tenant, id)) !== undefined;
      if (!isWhole) await deleteBlock(bucket, tenant, id); // nobody else puts this block
    }
    await disk.removeTree(directory);
  }

  #directoryOf(tenant: TenantId): string {
    return joinPath(this.#options.directory, ...tenantPathParts(tenant));
  }

  #stateOf(tenant: TenantId): TenantState {
    let state = this.#states.get(tenant);
    if (state === undefined) {
      const status: TenantStatus = {
        ...{ tenant, lookedAtMs: this.#options.clock.wallMs(), failure: '' },
        ...{ blockCount: 0, markedCount: 0, noCompactCount: 0, partialCount: 0 },
        ...{ jobs: [], held: [], broken: [] },
      };
      const cuts = new DeletionCuts(tenant, { ...this.#options, isClosed: () => this.#isClosed });
      state = { blocks: new Map(), memory: new CleanMemory(), cuts, status };
      this.#states.set(tenant, state);
    }
    return state;
  }

  #statusOf(tenant: TenantId, { blocks, broken, scan }: TenantCatalogue, plan: Plan): TenantStatus {
    const { clock, ownsJob } = this.#options;
    return {
      tenant,
      lookedAtMs: clock.wallMs(),
      blockCount: blocks.size,
      markedCount: scan.index.deletions.size,
      noCompactCount: scan.noCompact.size,
      partialCount: scan.partial.length,
      jobs: plan.jobs.map(({ blocks: parts, key, kind, range }) => ({
        ...{ key, kind, ...range },
        blocks: parts.map(({ id }) => id),
        isOwn: ownsJob(tenant, key),
      })),
      held: plan.held.map(({ key, why }) => ({ key, why })),
      broken: [...broken].map(([block, { message }]) => ({ block, why: message })),
      failure: '',
    };
  }
}

/** The block that an error is about. */
function blockOf(error: StarlingError): string | undefined {
  const facts: unknown = error.facts;
  if (typeof facts !== 'object' || facts === null || !('block' in facts)) return undefined;
  return typeof facts.block === 'string' ? facts.block : undefined;
}
