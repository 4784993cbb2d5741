/**
 * A body of any size on its way into the bucket: written to the disk as it comes, because a store may ask for
 * its bytes twice. Nothing here is durable; what a killed process left is removed before the first use.
 */
import { StarlingError } from '../../model/errors.ts';
import { attempt } from '../../platform/durable-file.ts';
import type { BucketBody, Disk } from '../../platform/platform.ts';
import type { BlockFile } from '../bucket/bucket-meta.ts';
import { joinPath } from '../filenames.ts';

/** A request's body as it comes. */
export type BodyParts = AsyncIterable<Uint8Array>;

const FILES_MAX = 4;

export class FileSpool {
  readonly #disk: Disk;
  readonly #directory: string;
  #prepared: Promise<void> | undefined;
  #count = 0;
  #next = 0;

  constructor({ directory, disk }: { readonly disk: Disk; readonly directory: string }) {
    this.#disk = disk;
    this.#directory = directory;
  }

  /**
   * Gives the body to `use` once all of it is here with the size that was told. Throws `upload.busy`,
   * `upload.file`, `disk.failed`.
   */
  async through(
    file: BlockFile & { readonly block: string },
    body: BodyParts,
    use: (source: BucketBody) => Promise<void>,
  ): Promise<void> {
    if (this.#count >= FILES_MAX) {
      throw new StarlingError('upload.busy', { what: 'files being uploaded', countMax: FILES_MAX });
    }
    this.#count++;
    try {
      this.#prepared ??= this.#prepare();
      await this.#prepared;
      await this.#take(joinPath(this.#directory, `file-${this.#next++}`), file, body, use);
    } finally {
      this.#count--;
    }
  }

  async #prepare(): Promise<void> {
    const directory = this.#directory;
    await attempt(directory, () => this.#disk.removeTree(directory));
    await attempt(directory, () => this.#disk.makeDirectory(directory));
  }

  async #take(
    path: string,
    { block, path: name, sizeBytes }: BlockFile & { readonly block: string },
    body: BodyParts,
    use: (source: BucketBody) => Promise<void>,
  ): Promise<void> {
    const refuse = (bytes: string): StarlingError => {
      const why = `meta.json says ${sizeBytes} bytes, the body has ${bytes}`;
      return new StarlingError('upload.file', { block, path: name, why });
    };
    const opened = await attempt(path, () => this.#disk.open(path, 'create'));
    try {
      let size = 0;
      for await (const part of body) {
        if (size + part.length > sizeBytes) throw refuse('more');
        const at = size;
        await attempt(path, () => opened.write(part, at));
        size += part.length;
      }
      if (size < sizeBytes) throw refuse(String(size));
      const read = (offset: number, byteCount: number) =>
        attempt(path, () => opened.read(offset, byteCount));
      await use({ sizeBytes, read });
    } finally {
      await opened.close().catch(() => undefined); // scratch
      await this.#disk.remove(path).catch(() => undefined); // removed at the next start
    }
  }
}
