/**
 * The rules for blocks that others made and that are to become blocks of a tenant, by import or upload. Each
 * refusal names the rule and both values. Pure.
 *
 *   time.order       minTime >= 0, and before maxTime
 *   time.future      the block does not end in the future
 *   time.retention   the block does not end before what the tenant keeps
 *   resolution       all its samples: not downsampled
 *   tenant           the block does not say that it is another tenant's
 *   files            index and chunks/000001, 000002, … without a gap; no other files
 *   size             all its files together
 */
import { StarlingError } from '../../model/errors.ts';
import type { TenantId } from '../../model/ids.ts';
import type { BlockFile, BucketMeta } from '../bucket/bucket-meta.ts';
import { BLOCK_INDEX_FILE, BLOCK_TOMBSTONES_FILE, blockChunksName } from '../filenames.ts';

/** Clocks differ a little. */
const FUTURE_MS_MAX = 10 * 60_000;
const TENANT_LABELS = ['__org_id__', '__tenant_id__'];

export interface RuleFacts {
  readonly tenant: TenantId;
  readonly nowMs: number;
  /** 0: for ever. */
  readonly retentionMs: number;
  /** 0: any. */
  readonly sizeBytesMax: number;
}

/** Throws `block.refused`, `block.too_old`. */
export function checkBlockMeta({ labels, meta, resolutionMs }: BucketMeta, facts: RuleFacts): void {
  const refuse = (rule: string, why: string): never => {
    throw new StarlingError('block.refused', { block: meta.id, rule, why });
  };
  const { maxTimeMs, minTimeMs } = meta;
  if (minTimeMs < 0 || minTimeMs >= maxTimeMs) {
    refuse('time.order', `its minTime is ${minTimeMs}, its maxTime ${maxTimeMs}`);
  }
  if (maxTimeMs > facts.nowMs + FUTURE_MS_MAX) {
    refuse('time.future', `its maxTime is ${maxTimeMs}, now is ${facts.nowMs}`);
  }
  const oldestMs = facts.nowMs - facts.retentionMs;
  if (facts.retentionMs > 0 && maxTimeMs <= oldestMs) {
    const why = `its maxTime is ${maxTimeMs}, the retention begins at ${oldestMs}`;
    throw new StarlingError('block.too_old', { block: meta.id, rule: 'time.retention', why });
  }
  if (resolutionMs > 0) {
    refuse('resolution', `its resolution is ${resolutionMs} ms, only 0 (all samples) is taken`);
  }
  for (const name of TENANT_LABELS) {
    const stated = labels.get(name) ?? facts.tenant;
    if (stated === facts.tenant) continue;
    refuse(
      'tenant',
      `its label ${name} is ${JSON.stringify(stated)}, the tenant is ${facts.tenant}`,
    );
  }
}

/** Throws `block.refused`, `block.too_large`. */
export function checkBlockFiles(
  block: string,
  files: readonly BlockFile[],
  { sizeBytesMax }: Pick<RuleFacts, 'sizeBytesMax'>,
): void {
  const refuse = (rule: string, why: string): never => {
    throw new StarlingError('block.refused', { block, rule, why });
  };
  const paths = new Set<string>();
  let [sizeBytes, segmentCount] = [0, 0];
  for (const { path, sizeBytes: own } of files) {
    if (paths.has(path)) refuse('files', `${shown(path)} is named twice`);
    paths.add(path);
    sizeBytes += own;
    if (/^chunks\/\d{6}$/.test(path)) segmentCount++;
    else if (path !== BLOCK_INDEX_FILE && path !== BLOCK_TOMBSTONES_FILE) {
      refuse('files', `${shown(path)} is none of index, tombstones and chunks/000001, …`);
    }
  }
  if (!paths.has(BLOCK_INDEX_FILE)) refuse('files', 'it has no index');
  for (let segment = 1; segment <= Math.max(1, segmentCount); segment++) {
    const name = blockChunksName(segment);
    if (!paths.has(name)) refuse('files', `it has ${segmentCount} files of chunks and no ${name}`);
  }
  if (sizeBytesMax > 0 && sizeBytes > sizeBytesMax) {
    const why = `its files have ${sizeBytes} bytes, the limit is ${sizeBytesMax}`;
    throw new StarlingError('block.too_large', { block, rule: 'size', why });
  }
}

function shown(path: string): string {
  return JSON.stringify(path.slice(0, 100));
}
