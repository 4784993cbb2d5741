/**
 * What this data directory is known to have lost, in a small file, from before anything is repaired until
 * the lost part is filled again.
 *
 *   <data directory>/LOSS     JSON: samples of [fromMs, beforeMs) may be missing; no file: it is whole
 *
 * Invariant: the note is durable before the traces of a loss are removed from disk, and goes only after the
 * registry says that the instance is whole again. Until then the instance's record has `missingBeforeMs`,
 * so reads do not count its answers for older times. What a refill has filled counts only as long as no loss was
 * added since it began: one that came meanwhile may be of times that it was done with. A note that cannot be read stands for everything.
 */
import { attempt, readFileIfThere, replaceFile } from '../platform/durable-file.ts';
import type { Disk } from '../platform/platform.ts';
import { TIME_MS_MAX } from './registry/index.ts';

export const LOSS_FILE = 'LOSS';

export interface Loss {
  /** Nothing before it is missing, or it is filled again. */
  readonly fromMs: number;
  readonly beforeMs: number;
}

export class LossNote {
  readonly #disk: Disk;
  readonly #directory: string;
  #current: Loss | undefined;
  #addedCount = 0;
  /** One change of the file after the other. */
  #work: Promise<void> = Promise.resolve();

  private constructor(disk: Disk, directory: string, current: Loss | undefined) {
    this.#disk = disk;
    this.#directory = directory;
    this.#current = current;
  }

  /** Reads the note of a data directory. `wallMs` bounds what an unreadable one stands for. */
  static async open(disk: Disk, directory: string, wallMs: number): Promise<LossNote> {
    const bytes = await readFileIfThere(disk, `${directory}/${LOSS_FILE}`);
    if (bytes === undefined) return new LossNote(disk, directory, undefined);
    const loss = parseLoss(bytes) ?? { fromMs: 0, beforeMs: wallMs };
    return new LossNote(disk, directory, loss);
  }

  get current(): Loss | undefined {
    return this.#current;
  }

  /** Adds a loss; durable when it resolves. Throws `disk.failed`. */
  add({ beforeMs, fromMs }: Loss): Promise<void> {
    const wider = (known: Loss | undefined): Loss => ({
      fromMs: clamp(Math.min(fromMs, known?.fromMs ?? fromMs)),
      beforeMs: clamp(Math.max(beforeMs, known?.beforeMs ?? beforeMs)),
    });
    return this.#change(wider, () => this.#addedCount++);
  }

  /** Raised by each loss that is added, in the moment that `current` has it. */
  get addedCount(): number {
    return this.#addedCount;
  }

  /** Everything before `fromMs` is filled, unless a loss was added after `addedCount` was read. */
  fill(fromMs: number, addedCount: number): Promise<void> {
    return this.#change((known) => {
      if (known === undefined || this.#addedCount !== addedCount) return known;
      return { ...known, fromMs: Math.max(known.fromMs, fromMs) };
    });
  }

  /** Forgets the loss, unless one was added after `addedCount` was read. */
  clear(addedCount: number): Promise<void> {
    return this.#change((known) => (this.#addedCount === addedCount ? undefined : known));
  }

  #change(next: (known: Loss | undefined) => Loss | undefined, onDone?: () => void): Promise<void> {
    const work = this.#work.then(async () => {
      const loss = next(this.#current);
      if (!isSame(loss, this.#current)) await this.#save(loss);
      this.#current = loss;
      onDone?.();
    });
    this.#work = work.catch(() => undefined); // told to who asked for it
    return work;
  }

  async #save(loss: Loss | undefined): Promise<void> {
    const directory = this.#directory;
    if (loss !== undefined) {
      const bytes = Buffer.from(`${JSON.stringify(loss)}\n`);
      await replaceFile(this.#disk, { directory, name: LOSS_FILE }, bytes);
      return;
    }
    await attempt(directory, async () => {
      await this.#disk.remove(`${directory}/${LOSS_FILE}`);
      await this.#disk.syncDirectory(directory);
    });
  }
}

function isSame(a: Loss | undefined, b: Loss | undefined): boolean {
  return a?.fromMs === b?.fromMs && a?.beforeMs === b?.beforeMs;
}

/** A time that a registry record may hold; an open start is 0. */
function clamp(timeMs: number): number {
  return Math.min(Math.max(0, Math.ceil(timeMs)), TIME_MS_MAX - 2);
}

function parseLoss(bytes: Uint8Array): Loss | undefined {
  const text = Buffer.from(bytes.subarray(0, 200)).toString('latin1');
  const match = /^\{"fromMs":(\d{1,15}),"beforeMs":(\d{1,15})\}\n$/.exec(text);
  if (match === null) return undefined;
  return { fromMs: clamp(Number(match[1])), beforeMs: clamp(Number(match[2])) };
}
