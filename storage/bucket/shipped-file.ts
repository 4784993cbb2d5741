/**
 * Which local blocks are in the bucket, in the file that Thanos and Cortex keep beside the blocks:
 *
 *   thanos.shipper.json    {"version": 1, "uploaded": ["01HZ…", …]}
 *
 * It may say less than there is (then an upload finds everything there), never more: a block is written
 * down after all of it was found in the bucket. A file that cannot be read says nothing.
 */
import { readFileIfThere, replaceFile } from '../../platform/durable-file.ts';
import type { Disk } from '../../platform/platform.ts';
import { type BlockId, parseBlockId } from '../block/ulid.ts';
import { SHIPPED_FILE, joinPath } from '../filenames.ts';
import { BadDocument, JsonObject } from './json.ts';

const VERSION = 1;

/** Throws `disk.failed`. */
export async function readShipped(disk: Disk, directory: string): Promise<Set<BlockId>> {
  const path = joinPath(directory, SHIPPED_FILE);
  const bytes = await readFileIfThere(disk, path);
  if (bytes === undefined) return new Set();
  try {
    const root = JsonObject.parse(Buffer.from(bytes).toString());
    if (root.integer('version') !== VERSION) return new Set();
    return new Set(root.strings('uploaded').flatMap((text) => parseBlockId(text) ?? []));
  } catch (thrown) {
    if (thrown instanceof BadDocument) return new Set();
    throw thrown;
  }
}

/** Durable when it resolves. Throws `disk.failed`. */
export async function writeShipped(
  disk: Disk,
  directory: string,
  shipped: ReadonlySet<BlockId>,
): Promise<void> {
  const json = { version: VERSION, uploaded: [...shipped].sort() };
  const bytes = Buffer.from(`${JSON.stringify(json, undefined, '\t')}\n`);
  await replaceFile(disk, { directory, name: SHIPPED_FILE }, bytes);
}
