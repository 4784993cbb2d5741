/**
 * The part of a block's index that is read whenever the block is opened, kept on the local disk: its head
 * with the symbols, and its tail with the postings offset table. The middle (series, postings) stays in
 * the bucket and is read by ranges.
 *
 *   index in the bucket    [ head, symbols │ series … postings │ offset table, TOC ]
 *   file on disk           magic 'SIH1' │ u64 index size │ u64 head size │ u64 tail offset │ head │ tail
 *
 * All integers little-endian. What is in the file is checked like any index when it is opened, by the
 * checksums of the index itself.
 */
import { readUint64, byteReader } from '../../model/wire/varint.ts';
import { makeDurableDirectory } from '../../platform/durable-directory.ts';
import { attempt } from '../../platform/durable-file.ts';
import type { Disk } from '../../platform/platform.ts';
import type { ByteSource } from '../block/byte-source.ts';
import { CRC_BYTES, INDEX_HEADER_BYTES, INDEX_TOC_BYTES } from '../block/format.ts';
import { parentPath, temporaryName } from '../filenames.ts';

const MAGIC = 0x31484953;
const FILE_HEADER_BYTES = 28;
const COPY_BYTES = 1024 * 1024;
/** Where the TOC has the offset of the postings offset table. */
const TOC_POSTINGS_TABLE_AT = 40;

/** Which bytes of an index the file has: `[0, headEnd)` and `[tailStart, sizeBytes)`. */
interface HeaderLayout {
  readonly sizeBytes: number;
  readonly headEnd: number;
  readonly tailStart: number;
}

/**
 * The index as a source whose head and tail come from `path`, which is made from the index when there is
 * none that fits. Closing it closes `index`. Throws `disk.failed`, and what reading the index throws.
 */
export async function openIndexHeader(
  disk: Disk,
  path: string,
  index: ByteSource,
): Promise<ByteSource> {
  let layout = await readLayout(disk, path, index.sizeBytes);
  if (layout === undefined) {
    layout = await layoutOf(index);
    if (layout === undefined) return index; // too broken to be kept: whoever opens it says what is wrong
    await writeHeader(disk, path, index, layout);
  }
  return headerSource(disk, path, index, layout);
}

/** Takes the file away: the next opening makes it anew. */
export async function removeIndexHeader(disk: Disk, path: string): Promise<void> {
  if ((await attempt(path, () => disk.stat(path))) === undefined) return;
  await attempt(path, () => disk.remove(path));
}

async function headerSource(
  disk: Disk,
  path: string,
  index: ByteSource,
  { headEnd, sizeBytes, tailStart }: HeaderLayout,
): Promise<ByteSource> {
  const file = await attempt(path, () => disk.open(path, 'read'));
  return {
    sizeBytes,
    read: (offset, byteCount) => {
      const end = Math.min(offset + byteCount, sizeBytes);
      const isHead = end <= headEnd;
      if (!isHead && offset < tailStart) return index.read(offset, byteCount);
      const at = FILE_HEADER_BYTES + (isHead ? offset : headEnd + offset - tailStart);
      return attempt(path, () => file.read(at, end - offset));
    },
    close: async () => {
      await file.close().catch(() => undefined); // nothing was written
      await index.close();
    },
  };
}

/** The layout of a file that is whole and of an index of this size. */
async function readLayout(
  disk: Disk,
  path: string,
  sizeBytes: number,
): Promise<HeaderLayout | undefined> {
  const found = await attempt(path, () => disk.stat(path));
  if (found === undefined || found.sizeBytes < FILE_HEADER_BYTES) return undefined;
  const file = await attempt(path, () => disk.open(path, 'read'));
  try {
    const bytes = await attempt(path, () => file.read(0, FILE_HEADER_BYTES));
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const [size, headEnd, tailStart] = [4, 12, 20].map((at) => Number(view.getBigUint64(at, true)));
    if (view.getUint32(0, true) !== MAGIC || size !== sizeBytes) return undefined;
    if (headEnd === undefined || tailStart === undefined) return undefined;
    const isWhole = found.sizeBytes === FILE_HEADER_BYTES + headEnd + (sizeBytes - tailStart);
    return isWhole && headEnd <= tailStart ? { sizeBytes, headEnd, tailStart } : undefined;
  } finally {
    await file.close();
  }
}

/** What to keep of an index, by its own table of contents. Undefined when that points nowhere. */
async function layoutOf(index: ByteSource): Promise<HeaderLayout | undefined> {
  const { sizeBytes } = index;
  const tocAt = sizeBytes - INDEX_TOC_BYTES;
  if (tocAt < INDEX_HEADER_BYTES + 4) return undefined;
  const toc = byteReader(await index.read(tocAt, INDEX_TOC_BYTES));
  const symbolsAt = readUint64(toc);
  toc.offset = TOC_POSTINGS_TABLE_AT;
  const tailStart = readUint64(toc);
  if (symbolsAt !== INDEX_HEADER_BYTES || tailStart > tocAt) return undefined;
  const length = await index.read(symbolsAt, 4);
  const view = new DataView(length.buffer, length.byteOffset, length.length);
  const headEnd = symbolsAt + 4 + view.getUint32(0) + CRC_BYTES;
  return headEnd <= tailStart ? { sizeBytes, headEnd, tailStart } : undefined;
}

async function writeHeader(
  disk: Disk,
  path: string,
  index: ByteSource,
  { headEnd, sizeBytes, tailStart }: HeaderLayout,
): Promise<void> {
  const temporary = temporaryName(path);
  const header = new Uint8Array(FILE_HEADER_BYTES);
  const view = new DataView(header.buffer);
  view.setUint32(0, MAGIC, true);
  view.setBigUint64(4, BigInt(sizeBytes), true);
  view.setBigUint64(12, BigInt(headEnd), true);
  view.setBigUint64(20, BigInt(tailStart), true);
  await attempt(path, () => makeDurableDirectory(disk, parentPath(path), 1));
  const file = await attempt(temporary, () => disk.open(temporary, 'create'));
  try {
    await attempt(temporary, () => file.write(header, 0));
    let at = FILE_HEADER_BYTES;
    for (const [from, to] of [
      [0, headEnd],
      [tailStart, sizeBytes],
    ] as const) {
      for (let offset = from; offset < to; offset += COPY_BYTES) {
        const bytes = await index.read(offset, Math.min(COPY_BYTES, to - offset));
        await attempt(temporary, () => file.write(bytes, at));
        at += bytes.length;
      }
    }
    await attempt(temporary, () => file.sync());
  } finally {
    await file.close();
  }
  await attempt(path, () => disk.rename(temporary, path));
}
