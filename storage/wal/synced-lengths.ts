/**
 * How far each segment of a log is durable, in a small file beside the log, so that a replay can tell
 * bytes that were promised and are gone from an unfinished end that nobody was promised.
 *
 *   wal.synced   slots of 16 bytes, segment N in slot N modulo 1024:
 *                segment + 1 u32 · length u32 · zero u32 · CRC32C of these 12 u32      (little endian)
 *
 * Invariant: a slot is written after the sync that it tells of, and synced itself only now and then: it may
 * be older than the truth, never newer. So a log that is shorter than its slot has lost something, and a log
 * that is not may still have, if the slot was lost with it. Writing it is an extra that may fail.
 */
import { crc32c } from '../../model/wire/crc32c.ts';
import type { Disk, DiskFile } from '../../platform/platform.ts';
import { attempt } from '../../platform/durable-file.ts';
import { parentPath } from '../filenames.ts';

export const SLOT_BYTES = 16;
/** More segments than this without a checkpoint: of the oldest nothing is known. */
export const SLOT_COUNT = 1024;
/** Writes under way on a slow disk: what does not fit is left out. */
const WRITES_MAX = 4;
/** The file is synced after so many notes; in between the system writes it back when it likes. */
const NOTES_PER_SYNC = 32;

/** What the file says. */
export interface SyncedSegments {
  /** Durable bytes by segment; none: nothing is known of it. */
  readonly lengths: ReadonlyMap<number, number>;
  /** It cannot be read in part: what was durable then is not known. */
  readonly isDamaged: boolean;
}

/** Reads the file of a log; one that does not exist says nothing. Throws `disk.failed`. */
export async function readSyncedSegments(disk: Disk, path: string): Promise<SyncedSegments> {
  const lengths = new Map<number, number>();
  if ((await attempt(path, () => disk.stat(path))) === undefined) {
    return { lengths, isDamaged: false };
  }
  const bytes = await attempt(path, () => disk.readFile(path));
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let isDamaged = bytes.length > SLOT_COUNT * SLOT_BYTES || bytes.length % SLOT_BYTES !== 0;
  for (let slot = 0; (slot + 1) * SLOT_BYTES <= bytes.length; slot++) {
    const at = slot * SLOT_BYTES;
    if (isEmpty(bytes, at)) continue;
    const segment = view.getUint32(at, true) - 1;
    const isWhole = crc32c(bytes, at, at + 12) === view.getUint32(at + 12, true);
    if (!isWhole || segment % SLOT_COUNT !== slot) isDamaged = true;
    else lengths.set(segment, view.getUint32(at + 4, true));
  }
  return { lengths, isDamaged };
}

function isEmpty(bytes: Uint8Array, at: number): boolean {
  for (let i = at; i < at + SLOT_BYTES; i++) if (bytes[i] !== 0) return false;
  return true;
}

function encodeSlot(segment: number, byteCount: number): Uint8Array {
  const bytes = new Uint8Array(SLOT_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, segment + 1, true);
  view.setUint32(4, byteCount, true);
  view.setUint32(12, crc32c(bytes, 0, 12), true);
  return bytes;
}

/** Writes the file of one log. Nothing here throws: a failure only makes it say less. */
export class SyncedLengths {
  readonly #disk: Disk;
  readonly #path: string;
  #file: DiskFile | undefined;
  #writeCount = 0;
  #noteCount = 0;
  /**
   * What belongs into slots whose write failed, as on a full disk: a part of it may be there, which the next
   * replay would take for damage. Each is written anew with a later note; it is old then, never too new.
   * No more than there are slots.
   */
  readonly #torn = new Map<number, Uint8Array>();

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

  /** Notes that so many bytes of a segment are durable now. The write is under way when it returns. */
  note(segment: number, byteCount: number): void {
    const file = this.#file;
    if (file === undefined || this.#writeCount >= WRITES_MAX) return;
    const slot = segment % SLOT_COUNT;
    this.#torn.delete(slot);
    const isSynced = ++this.#noteCount % NOTES_PER_SYNC === 0;
    this.#put(file, slot, encodeSlot(segment, byteCount), isSynced);
    const [torn] = this.#torn;
    if (torn === undefined || this.#writeCount >= WRITES_MAX) return;
    this.#torn.delete(torn[0]);
    this.#put(file, torn[0], torn[1], false);
  }

  #put(file: DiskFile, slot: number, bytes: Uint8Array, isSynced: boolean): void {
    this.#writeCount++;
    const done = (): void => {
      this.#writeCount--;
    };
    const failed = (): void => {
      this.#torn.set(slot, bytes);
    };
    file
      .write(bytes, slot * SLOT_BYTES)
      .then(() => (isSynced ? file.sync().catch(() => undefined) : undefined), failed)
      .then(done, done);
  }

  /** Says anew, durably, how long the segments are: after some were repaired. Throws `disk.failed`. */
  async replace(lengths: ReadonlyMap<number, number>): Promise<void> {
    await this.close();
    await attempt(this.#path, async () => {
      // Emptied first: a crash in between leaves a file that says nothing.
      if ((await this.#disk.stat(this.#path)) !== undefined) await this.#disk.remove(this.#path);
      const file = await this.#disk.open(this.#path, 'create');
      try {
        for (const [segment, byteCount] of lengths) {
          const slot = encodeSlot(segment, byteCount);
          await file.write(slot, (segment % SLOT_COUNT) * SLOT_BYTES);
        }
        await file.sync();
      } finally {
        await file.close();
      }
      await this.#disk.syncDirectory(parentPath(this.#path));
    });
  }

  async close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.close().catch(() => undefined); // its bytes are an optimisation
  }
}
