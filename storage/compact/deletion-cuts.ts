/**
 * What deletions that are for good make of a tenant's plan: blocks are asked whether they have anything of them, those
 * that do are written anew without it, and of which no block has anything is told. Remembers what blocks answered.
 */
import { toStarlingError } from '../../model/errors.ts';
import type { TenantId } from '../../model/ids.ts';
import type { Bucket, Clock, Log } from '../../platform/platform.ts';
import type { BlockId } from '../block/ulid.ts';
import type { Deletion } from '../deletion/deletion.ts';
import { Pacer } from '../pacer.ts';
import type { CatalogueBlock, TenantCatalogue } from './catalogue.ts';
import { findDeleted } from './find-deleted.ts';
import {
  type CheckedBlock,
  cuttableBlocks,
  deletionKey,
  planDeletions,
  processedDeletions,
  uncheckedDeletions,
} from './plan-deletions.ts';
import type { Plan } from './plan.ts';
import { openRemoteBlock } from './remote-block.ts';

/** Blocks whose indexes are asked for deleted series in one round of a tenant. */
const CHECKS_PER_ROUND_MAX = 200;

export interface CompactedDeletions {
  /** Those that cannot be taken back. */
  readonly due: (tenant: TenantId) => readonly Deletion[];
  /** No block of the bucket has anything of it. */
  readonly processed: (tenant: TenantId, id: string) => Promise<void>;
}

export interface DeletionCutsOptions {
  readonly bucket: Bucket;
  readonly clock: Clock;
  readonly log: Log;
  readonly deletions?: CompactedDeletions | undefined;
  readonly ownsTenant: (tenant: TenantId) => boolean;
  readonly ownsJob: (tenant: TenantId, key: string) => boolean;
  readonly isClosed: () => boolean;
}

export class DeletionCuts {
  readonly #options: DeletionCutsOptions;
  readonly #tenant: TenantId;
  readonly #checked = new Map<BlockId, CheckedBlock>();

  constructor(tenant: TenantId, options: DeletionCutsOptions) {
    this.#tenant = tenant;
    this.#options = options;
  }

  /** The plan, and what is to be cut out of blocks that it has nothing to do with. */
  async planWith(plan: Plan, { blocks, broken, scan }: TenantCatalogue): Promise<Plan> {
    const { deletions, ownsTenant } = this.#options;
    const due = deletions?.due(this.#tenant) ?? [];
    if (due.length === 0) return plan;
    for (const id of this.#checked.keys()) if (!blocks.has(id)) this.#checked.delete(id);
    const deleted = new Set(scan.index.deletions.keys());
    const left = { deleted, noCompact: scan.noCompact };
    const cuttable = cuttableBlocks([...blocks.values()], plan, left);
    await this.#check(cuttable, due);
    const jobs = planDeletions(cuttable, due, this.#checked);
    if (ownsTenant(this.#tenant) && broken.size === 0) {
      const living = [...blocks.values()].filter(
        ({ id }) => !deleted.has(id) && !plan.redundant.has(id),
      );
      for (const id of processedDeletions(living, due, this.#checked)) {
        await deletions?.processed(this.#tenant, id);
      }
    }
    return { ...plan, jobs: [...plan.jobs, ...jobs] };
  }

  /** Asks blocks whether they have anything of deletions: their job's owner, and who tells that all is done. */
  async #check(blocks: readonly CatalogueBlock[], due: readonly Deletion[]): Promise<void> {
    const { log, ownsJob, ownsTenant } = this.#options;
    const tenant = this.#tenant;
    let count = 0;
    for (const block of blocks) {
      const asked = uncheckedDeletions(block, due, this.#checked);
      if (asked.length === 0 || count >= CHECKS_PER_ROUND_MAX) continue;
      if (!ownsTenant(tenant) && !ownsJob(tenant, deletionKey(block.id))) continue;
      count++;
      try {
        await this.#ask(block, asked);
      } catch (thrown) {
        const error = toStarlingError(thrown);
        if (!error.id.startsWith('block.')) throw error;
        const facts = { tenant, block: block.id, error: error.message };
        log.error('a block could not be asked for what was deleted', facts);
      }
    }
  }

  async #ask(block: CatalogueBlock, asked: readonly Deletion[]): Promise<void> {
    const { bucket, clock, isClosed } = this.#options;
    const reader = await openRemoteBlock(bucket, this.#tenant, block.id);
    try {
      const pacer = new Pacer(clock, isClosed);
      const found = await findDeleted(reader, asked, { pacer, reachMs: block.resolutionMs });
      const before = this.#checked.get(block.id);
      this.#checked.set(block.id, {
        asked: new Set([...(before?.asked ?? []), ...asked.map(({ id }) => id)]),
        found: new Set([...(before?.found ?? []), ...found]),
      });
    } finally {
      await reader.close();
    }
  }
}
