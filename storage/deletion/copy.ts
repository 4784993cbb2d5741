/**
 * The copy of a bucket's requests on the local disk: lines that are only added, so that taking a request costs what the
 * request is long. Later lines of a request replace earlier ones; when most of the file is of no use any more it is
 * written anew.
 *
 *   <crc32c, 8 hex digits> {"version":3,"bytes":…}                            of the lines that were written with it
 *   <crc32c, 8 hex digits> {"tenant":…,"id":…,"marks":[…],"request":"…"}      without `request`: it is gone
 *   <crc32c, 8 hex digits> {"added":…}                                        where it begins: all before it is durable
 *
 * Invariants: what `put` was given is durable when it resolves, or was told in the log and goes with the next one. Each
 * addition begins with a line that says where; it is only made when what is before it is durable. So what does not
 * hold after the last such line may be what a loss of power left of an addition that was never told as taken, and is
 * passed over, whichever of its sectors came down; any other damage makes the whole copy unreadable.
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
const COPY_VERSION = 3;
/** The file may have so much of no use beside as much as it has of use. */
const UNUSED_BYTES_MAX = 1024 * 1024;
const CRC_CHARS = 8;

export class RequestCopy {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #log: Log;
  /** Undefined: what the file holds is not known, and it is written anew. */
  #sizeBytes: number | undefined;
  /** Of the newest lines, about, when it was last read or written as a whole. */
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
      const added = encodeAddition(changed, sizeBytes ?? 0);
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
  const lines = Buffer.concat([...all].map(encodeLine));
  return Buffer.concat([line({ version: COPY_VERSION, bytes: lines.length }), lines]);
}

/** What is added to a file that has so many bytes, all of them durable. */
export function encodeAddition(changed: readonly CopiedRequest[], at: number): Uint8Array {
  return Buffer.concat([line({ added: at }), ...changed.map(encodeLine)]);
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
  /** What a file of nothing else would take, but for the first line. */
  readonly usedBytes: number;
} {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const head = readLine(buffer, 0);
  if (head === undefined) throw new BadDocument('the first line of the copy does not hold');
  checkVersion(head.root.integer('version'));
  const wholeBytes = head.end + head.root.integer('bytes');
  const found = new Map<string, { readonly one: CopiedRequest; readonly byteCount: number }>();
  let at = head.end;
  while (at < buffer.length) {
    const next = readLine(buffer, at);
    if (next === undefined) break;
    if (next.root.integer('added', -1) < 0) {
      const one = parseLine(next.root);
      const name = `${one.tenant}/${one.id}`;
      if (one.request === undefined) found.delete(name);
      else found.set(name, { one, byteCount: next.end - at });
    }
    at = next.end;
  }
  const isTorn = at < buffer.length;
  if (at < wholeBytes || (isTorn && isAddedAfter(buffer, at))) {
    throw new BadDocument(`the copy does not hold at byte ${at}`);
  }
  const newest = [...found.values()];
  const usedBytes = newest.reduce((sum, { byteCount }) => sum + byteCount, 0);
  return { copied: newest.map(({ one }) => one), isTorn, usedBytes };
}

/** Undefined: none that holds begins there. Throws `BadDocument`. */
function readLine(
  buffer: Buffer,
  at: number,
): { readonly root: JsonObject; readonly end: number } | undefined {
  const end = buffer.indexOf('\n', at);
  const text = end < 0 ? undefined : checkedText(buffer.subarray(at, end));
  return text === undefined ? undefined : { root: JsonObject.parse(text), end: end + 1 };
}

/** No request's line has it: quotes in texts are escaped. */
const ADDED = ' {"added":';

/** Whether an addition began after `at`, so that what is there was durable once. */
function isAddedAfter(buffer: Buffer, at: number): boolean {
  for (let mark = at; (mark = buffer.indexOf(ADDED, mark)) >= 0; mark++) {
    const start = mark - CRC_CHARS;
    if (start > at && readLine(buffer, start)?.root.integer('added') === start) return true;
  }
  return false;
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
