/**
 * Ships the blocks of one tenant's directory to the bucket.
 *
 *   block on disk ─► read from end to end (check-block.ts) ─► uploaded (upload.ts) ─► written down
 *                        └─ a checksum does not hold ─► told (`BlockDamage`), and healed elsewhere
 *
 * In the bucket a damaged block would stand in the way of the whole ones that other instances have of its time.
 * Invariant: `isShipped` is true only once everything was found in the bucket with its size and that is
 * durable here. Whatever fails, doing it again goes on: what is there with its size is not sent again.
 */
import { type StarlingError, toStarlingError } from '../../model/errors.ts';
import type { TenantId } from '../../model/ids.ts';
import { attempt } from '../../platform/durable-file.ts';
import type { Bucket, Clock, Disk, Log } from '../../platform/platform.ts';
import { diskBlockFiles } from '../block/byte-source.ts';
import { checkBlock } from '../block/check-block.ts';
import { type BlockId, parseBlockId } from '../block/ulid.ts';
import { parseRestoredBlockName } from '../filenames.ts';
import { Pacer } from '../pacer.ts';
import { type BlockFile, encodeBucketMeta } from './bucket-meta.ts';
import { uploadBlock } from './upload.ts';
import { readShipped, writeShipped } from './shipped-file.ts';

/** What is known of blocks whose files do not hold what was written. */
export interface BlockDamage {
  of(id: BlockId): StarlingError | undefined;
  note(id: BlockId, error: StarlingError): void;
}

export interface ShipperOptions {
  readonly disk: Disk;
  readonly bucket: Bucket;
  readonly log: Log;
  readonly tenant: TenantId;
  /** Of this instance's disk. */
  readonly storeId: string;
  /** The tenant's: blocks are directories in it. */
  readonly directory: string;
  readonly clock: Clock;
  /** Ends the check of a block. */
  readonly isClosed?: (() => boolean) | undefined;
  /** Absent: damage is only told in the log, and found anew each time. */
  readonly damage?: BlockDamage | undefined;
}

export class Shipper {
  readonly #options: ShipperOptions;
  readonly #shipped: Set<BlockId>;
  #running: Promise<number> | undefined;

  private constructor(options: ShipperOptions, shipped: Set<BlockId>) {
    this.#options = options;
    this.#shipped = shipped;
  }

  /** Reads what was shipped before. Throws `disk.failed`. */
  static async open(options: ShipperOptions): Promise<Shipper> {
    return new Shipper(options, await readShipped(options.disk, options.directory));
  }

  /** True once all of a block is in the bucket for sure: only then may it be deleted here. */
  isShipped(id: BlockId): boolean {
    return this.#shipped.has(id);
  }

  /** The local blocks that are shipped. */
  shipped(): ReadonlySet<BlockId> {
    return this.#shipped;
  }

  /**
   * Ships all blocks that are not in the bucket, oldest name first; returns how many. A call while one
   * runs begins after it, so that what is on disk at the call is shipped when it resolves. A block that
   * cannot be read keeps no other one; after all were tried the first failure is thrown.
   */
  async ship(): Promise<number> {
    while (this.#running !== undefined) await this.#running.catch(() => undefined); // told to its caller
    this.#running = this.#shipAll().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  async #shipAll(): Promise<number> {
    const { directory, disk, log, tenant } = this.#options;
    const names = await attempt(directory, () => disk.list(directory));
    const local = new Set(names.flatMap((name) => parseBlockId(name) ?? []));
    // One that is put in the place of a bad copy is on its way back: shipped anew, it would be in the bucket again
    // after compaction took it away.
    const swapped = new Set(names.map(parseRestoredBlockName));
    for (const id of this.#shipped) {
      if (!local.has(id) && !swapped.has(id)) this.#shipped.delete(id);
    }
    let failure: StarlingError | undefined;
    let count = 0;
    for (const id of local) {
      if (this.#shipped.has(id)) continue;
      try {
        const files = await this.#shipBlock(id);
        const shipped = new Set(this.#shipped).add(id);
        await writeShipped(disk, directory, shipped);
        this.#shipped.add(id);
        count++;
        const sizeBytes = files.reduce((sum, file) => sum + file.sizeBytes, 0);
        log.probe?.('ship.done');
        log.info('block shipped', { tenant, block: id, sizeBytes });
      } catch (thrown) {
        const error = toStarlingError(thrown);
        if (await this.#isGone(id)) continue; // removed while it was read
        failure ??= error;
        log.probe?.('ship.failed');
        log.warn('block not shipped', { tenant, block: id, error: error.message });
        if (error.id === 'block.corrupt') this.#noteDamage(id, error);
        if (error.id.startsWith('bucket.')) break; // the next block would fare the same
      }
    }
    if (failure !== undefined) throw failure;
    return count;
  }

  /** Puts what is missing of a block into the bucket. Returns its files. */
  async #shipBlock(id: BlockId): Promise<readonly BlockFile[]> {
    const { bucket, clock, damage, directory, disk, isClosed, storeId, tenant } = this.#options;
    const known = damage?.of(id);
    if (known !== undefined) throw known;
    const source = diskBlockFiles(disk, directory, id);
    const meta = await checkBlock(source, new Pacer(clock, isClosed));
    return uploadBlock({ bucket, tenant, source }, (files) =>
      encodeBucketMeta(meta, tenant, { origin: 'receive', files, stores: [storeId] }),
    );
  }

  #noteDamage(id: BlockId, error: StarlingError): void {
    const { damage, log } = this.#options;
    if (damage === undefined || damage.of(id) !== undefined) return;
    log.probe?.('ship.damaged');
    damage.note(id, error);
  }

  async #isGone(id: BlockId): Promise<boolean> {
    const { directory, disk } = this.#options;
    const names = await disk.list(directory).catch(() => [id]);
    return !names.includes(id);
  }
}
