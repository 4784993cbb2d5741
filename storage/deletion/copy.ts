/**
 * The copy of a bucket's requests on the local disk: lines that are only added, so that taking a request costs what the
 * request is long. Later lines of a request replace earlier ones; when most of the file is of no use any more it is
 * written anew.
 *
 *   <crc32c, 8 hex digits> {"version":2}
 *   <crc32c, 8 hex digits> {"tenant":…,"id":…,"marks":[…],"request":"…"}      without `request`: it is gone
 *
 * Invariants: what `put` was given is durable when it resolves, or was told in the log and goes with the next one. A
 * last line without an end was never told as taken, and is passed over; any other damage makes the whole copy unreadable.
 */
import { toStarlingError } from '../../model/errors.ts';
import { type TenantId, parseTenantId } from '../../model/ids.ts';
import { crc32c } from '../../model/wire/crc32c.ts';
import { attempt, readFileIfThere, replaceFile } from '../../platform/durable-file.ts';
import type { Disk, Log } from '../../platform/platform.ts';
import type { BlockId } from '../block/ulid.ts';
import { BadDocument, JsonObject } from '../bucket/json.ts';
import { joinPath } from '../filenames.ts';
import { type DeletionRequest, type RequestMark, encodeRequest, parseRequest } from './request.ts';

export interface CopiedRequest {
  readonly tenant: TenantId;
  readonly id: BlockId;
  readonly marks: Iterable<RequestMark>;
  /** Undefined: it is gone. */
  readonly request: DeletionRequest | undefined;
}

const COPY_FILE = 'deletions.log';
const COPY_VERSION = 2;
/** The file may have so much of no use beside as much as it has of use. */
const UNUSED_BYTES_MAX = 1024 * 1024;
const CRC_CHARS = 8;

export class RequestCopy {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #log: Log;
  /** Undefined: what the file holds is not known, and it is written anew. */
  #sizeBytes: number | undefined;
  /** Of the newest lines, when it was last read or written as a whole. */
  #usedBytes = 0;
  #saving: Promise<void> = Promise.resolve();

  constructor(disk: Disk, directory: string, log: Log) {
    this.#disk = disk;
    this.#directory = directory;
    this.#log = log;
  }

  /** What there is; undefined: there is no copy, or none that holds. Throws `disk.failed`. */
  async read(): Promise<readonly CopiedRequest[] | undefined> {
    const path = joinPath(this.#directory, COPY_FILE);
    const bytes = await readFileIfThere(this.#disk, path);
    if (bytes === undefined) return undefined;
    try {
      const { copied, isTorn, usedBytes } = decodeCopy(bytes);
      this.#sizeBytes = isTorn ? undefined : bytes.length;
      this.#usedBytes = usedBytes;
      return copied;
    } catch (thrown) {
      this.#log.error('deletions.copy_unreadable', { path, why: String(thrown) }); // the bucket has them
      return undefined;
    }
  }

  /** Adds what changed; `all` is asked where the file is written anew. One after another. Never rejects. */
  put(changed: readonly CopiedRequest[], all: () => Iterable<CopiedRequest>): Promise<void> {
    this.#saving = this.#saving.then(() => this.#write(changed, all));
    return this.#saving;
  }

  async #write(
    changed: readonly CopiedRequest[],
    all: () => Iterable<CopiedRequest>,
  ): Promise<void> {
    const sizeBytes = this.#sizeBytes;
    if (changed.length === 0 && sizeBytes !== undefined) return; // fast path
    this.#sizeBytes = undefined; // until all is well
    try {
      const added = Buffer.concat(changed.map(encodeLine));
      const isFull =
        sizeBytes === undefined ||
        sizeBytes + added.length > 2 * this.#usedBytes + UNUSED_BYTES_MAX;
      this.#sizeBytes = isFull ? await this.#replace(all()) : await this.#append(added, sizeBytes);
    } catch (thrown) {
      // It only costs a start without a bucket.
      this.#log.error('deletions.copy_not_written', { error: toStarlingError(thrown).message });
    }
  }

  async #replace(all: Iterable<CopiedRequest>): Promise<number> {
    const bytes = encodeCopy(all);
    await replaceFile(this.#disk, { directory: this.#directory, name: COPY_FILE }, bytes);
    this.#usedBytes = bytes.length;
    return bytes.length;
  }

  #append(added: Uint8Array, at: number): Promise<number> {
    const path = joinPath(this.#directory, COPY_FILE);
    return attempt(path, async () => {
      const file = await this.#disk.open(path, 'read-write');
      try {
        await file.write(added, at);
        await file.sync();
      } finally {
        await file.close();
      }
      return at + added.length;
    });
  }
}

export function encodeCopy(all: Iterable<CopiedRequest>): Uint8Array {
  return Buffer.concat([line({ version: COPY_VERSION }), ...[...all].map(encodeLine)]);
}

function encodeLine({ id, marks, request, tenant }: CopiedRequest): Uint8Array {
  const text = request === undefined ? undefined : Buffer.from(encodeRequest(request)).toString();
  return line({ tenant, id, marks: [...marks], request: text });
}

function line(value: object): Uint8Array {
  const text = Buffer.from(JSON.stringify(value)); // has no line feed
  return Buffer.concat([Buffer.from(`${checksumOf(text)} `), text, Buffer.from('\n')]);
}

function checksumOf(text: Uint8Array): string {
  return crc32c(text, 0, text.length).toString(16).padStart(CRC_CHARS, '0');
}

/** The newest line of each request that is not gone. Throws `BadDocument`. */
export function decodeCopy(bytes: Uint8Array): {
  readonly copied: readonly CopiedRequest[];
  readonly isTorn: boolean;
  /** What a file of nothing else would take. */
  readonly usedBytes: number;
} {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const found = new Map<string, { readonly one: CopiedRequest; readonly byteCount: number }>();
  let usedBytes = 0;
  let at = 0;
  let isTorn = false;
  for (let number = 1; at < buffer.length; number++) {
    const end = buffer.indexOf('\n', at);
    if (end < 0 && number > 1) {
      isTorn = true;
      break;
    }
    const text = end < 0 ? undefined : checkedText(buffer.subarray(at, end));
    if (text === undefined) throw new BadDocument(`line ${number} of the copy does not hold`);
    const root = JsonObject.parse(text);
    const byteCount = end + 1 - at;
    if (number === 1) {
      checkVersion(root.integer('version'));
      usedBytes += byteCount;
    } else {
      const one = parseLine(root);
      const name = `${one.tenant}/${one.id}`;
      usedBytes -= found.get(name)?.byteCount ?? 0;
      found.delete(name);
      if (one.request !== undefined) {
        found.set(name, { one, byteCount });
        usedBytes += byteCount;
      }
    }
    at = end + 1;
  }
  if (at === 0) throw new BadDocument('the copy is empty');
  return { copied: [...found.values()].map(({ one }) => one), isTorn, usedBytes };
}

/** The text of a line; undefined: its checksum is wrong. */
function checkedText(bytes: Buffer): string | undefined {
  const text = bytes.subarray(CRC_CHARS + 1);
  const start = bytes.subarray(0, CRC_CHARS + 1).toString('latin1');
  return start === `${checksumOf(text)} ` ? text.toString() : undefined;
}

function checkVersion(version: number): void {
  if (version !== COPY_VERSION) throw new BadDocument(`version ${version} of the copy`);
}

function parseLine(root: JsonObject): CopiedRequest {
  const id = root.blockId('id');
  const text = root.text('request', '');
  return {
    tenant: parseTenantId(root.text('tenant')),
    id,
    marks: root
      .strings('marks')
      .flatMap((mark) => KNOWN_MARKS.find((known) => known === mark) ?? []),
    request: text === '' ? undefined : parseRequest(Buffer.from(text), id),
  };
}

const KNOWN_MARKS = ['cancelled', 'processed'] as const;
