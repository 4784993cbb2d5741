/**
 * How far each segment of a log is durable, in a small file beside the log, so that a replay can tell
 * bytes that were promised and are gone from an unfinished end that nobody was promised.
 *
 *   wal.synced   pairs of slots of 16 bytes, segment N in pair N modulo 512; a slot is
 *                segment + 1 u32 · length u32 · zero u32 · CRC32C of these 12 u32      (little endian)
 *
 * Invariants: a slot is written after the sync that it tells of, and synced itself only now and then: it may
 * be older than the truth, never newer. So a log that is shorter than its slot has lost something, and a log
 * that is not may still have, if the slot was lost with it. The slots of a pair are written by turns, one
 * write at a time; one whose write failed, which a full disk may have done in part, is written again and
 * synced before it is the other's turn. So a process that ends and a machine without power leave one of a pair
 * whole, or as it was before; only a disk that does not keep what it has damages both. Writing is an extra that may fail.
 */
import { crc32c } from '../../model/wire/crc32c.ts';
import { attempt, replaceFile } from '../../platform/durable-file.ts';
import type { Disk, DiskFile } from '../../platform/platform.ts';
import { fileName, parentPath } from '../filenames.ts';

export const SLOT_BYTES = 16;
const PAIR_BYTES = 2 * SLOT_BYTES;
/** More segments than this without a checkpoint: of the oldest nothing is known. */
export const PAIR_COUNT = 512;
/** Segments whose length waits for a slow disk: what does not fit is left out. */
const WAITING_MAX = 4;
/** The file is synced after so many notes; in between the system writes it back when it likes. */
const NOTES_PER_SYNC = 32;

/** What the file says. */
export interface SyncedSegments {
  /** Durable bytes by segment; none: nothing is known of it. */
  readonly lengths: ReadonlyMap<number, number>;
  /** It cannot be read in part: what was durable then is not known. */
  readonly isDamaged: boolean;
  /** Slots were written in part, as on a full disk; the others of their pairs are as they were. */
  readonly isTorn: boolean;
}

/** Reads the file of a log; one that does not exist says nothing. Throws `disk.failed`. */
export async function readSyncedSegments(disk: Disk, path: string): Promise<SyncedSegments> {
  const lengths = new Map<number, number>();
  if ((await attempt(path, () => disk.stat(path))) === undefined) {
    return { lengths, isDamaged: false, isTorn: false };
  }
  const bytes = await attempt(path, () => disk.readFile(path));
  let isDamaged = bytes.length > PAIR_COUNT * PAIR_BYTES;
  let isTorn = false;
  for (let pair = 0; pair < PAIR_COUNT && pair * PAIR_BYTES < bytes.length; pair++) {
    let badCount = 0;
    for (const at of slotsOf(pair)) {
      const slot = bytes.subarray(at, at + SLOT_BYTES);
      if (slot.every((byte) => byte === 0)) continue;
      const { byteCount, segment } = decodeSlot(slot) ?? { segment: -1, byteCount: 0 };
      if (segment % PAIR_COUNT !== pair) badCount++;
      else lengths.set(segment, Math.max(byteCount, lengths.get(segment) ?? 0));
    }
    isDamaged ||= badCount === 2;
    isTorn ||= badCount === 1;
  }
  return { lengths, isDamaged, isTorn };
}

/** Where the two slots of a pair begin. */
function slotsOf(pair: number): readonly [number, number] {
  return [pair * PAIR_BYTES, pair * PAIR_BYTES + SLOT_BYTES];
}

function decodeSlot(
  slot: Uint8Array,
): { readonly segment: number; readonly byteCount: number } | undefined {
  if (slot.length < SLOT_BYTES) return undefined;
  const view = new DataView(slot.buffer, slot.byteOffset, SLOT_BYTES);
  if (crc32c(slot, 0, 12) !== view.getUint32(12, true)) return undefined;
  return { segment: view.getUint32(0, true) - 1, byteCount: view.getUint32(4, true) };
}

function encodeSlot(segment: number, byteCount: number): Uint8Array {
  const bytes = new Uint8Array(SLOT_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, segment + 1, true);
  view.setUint32(4, byteCount, true);
  view.setUint32(12, crc32c(bytes, 0, 12), true);
  return bytes;
}

/** Writes the file of one log. Nothing here throws but `replace`: a failure only makes it say less. */
export class SyncedLengths {
  readonly #disk: Disk;
  readonly #path: string;
  #file: DiskFile | undefined;
  #noteCount = 0;
  /** The segment of the last write, which of its slots is next, and whether a write of that one failed. */
  #turn = { segment: -1, slot: 0, isTorn: false };
  /** The newest length of each segment that the write under way does not have. */
  readonly #waiting = new Map<number, number>();
  #writing: Promise<void> | undefined;

  constructor(disk: Disk, path: string) {
    this.#disk = disk;
    this.#path = path;
  }

  /** Opens the file, making it when there is none. */
  async open(): Promise<void> {
    if (this.#file !== undefined) return;
    try {
      if ((await this.#disk.stat(this.#path)) === undefined) {
        this.#file = await this.#disk.open(this.#path, 'create');
        await this.#disk.syncDirectory(parentPath(this.#path));
      } else this.#file = await this.#disk.open(this.#path, 'read-write');
    } catch {
      // It says nothing of what comes; the next segment tries again.
    }
  }

  /** Notes that so many bytes of a segment are durable now. It is written soon, or when the writes before it are done. */
  note(segment: number, byteCount: number): void {
    const file = this.#file;
    if (file === undefined) return;
    if (this.#waiting.size >= WAITING_MAX && !this.#waiting.has(segment)) return;
    this.#waiting.set(segment, byteCount);
    this.#writing ??= this.#writeWaiting(file);
  }

  async #writeWaiting(file: DiskFile): Promise<void> {
    for (const [segment, byteCount] of this.#waiting) {
      this.#waiting.delete(segment); // what is noted while it is written comes behind it
      await this.#write(file, segment, byteCount);
    }
    this.#writing = undefined;
  }

  async #write(file: DiskFile, segment: number, byteCount: number): Promise<void> {
    if (segment !== this.#turn.segment) this.#turn = { segment, slot: 0, isTorn: false };
    const turn = this.#turn;
    const at = slotsOf(segment % PAIR_COUNT)[turn.slot]!;
    const isSynced = ++this.#noteCount % NOTES_PER_SYNC === 0 || turn.isTorn;
    try {
      await file.write(encodeSlot(segment, byteCount), at);
      if (isSynced) await file.sync();
      turn.isTorn = false;
      turn.slot = 1 - turn.slot;
    } catch {
      turn.isTorn = true;
    }
  }

  /** Says anew, durably, how long the segments are: after some were repaired. Throws `disk.failed`. */
  async replace(lengths: ReadonlyMap<number, number>): Promise<void> {
    await this.close();
    const bytes = new Uint8Array(PAIR_COUNT * PAIR_BYTES);
    let size = 0;
    for (const [segment, byteCount] of lengths) {
      const pair = segment % PAIR_COUNT;
      for (const at of slotsOf(pair)) bytes.set(encodeSlot(segment, byteCount), at);
      size = Math.max(size, (pair + 1) * PAIR_BYTES);
    }
    const directory = parentPath(this.#path);
    const place = { directory, name: fileName(this.#path) };
    await replaceFile(this.#disk, place, bytes.subarray(0, size));
  }

  async close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await this.#writing;
    await file?.close().catch(() => undefined); // its bytes are an optimisation
  }
}
