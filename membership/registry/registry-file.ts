/**
 * The registry on disk (docs/format/registry.md). It is written before it is acted on, replaced as a
 * whole, and checked as a whole: a damaged file stops the start, because a node that forgot its
 * cluster would begin a new one.
 *
 *   "STRG" | u16 format | u32 count | count x (u16 length | record) | 16 bytes checksum of all before
 */
import { StarlingError } from '../../model/errors.ts';
import { fingerprint, fingerprintKey, viewOf } from '../../model/wire/fingerprint.ts';
import { readFileIfThere, replaceFile } from '../../platform/durable-file.ts';
import type { Disk } from '../../platform/platform.ts';
import { decodeRecord, encodeRecord } from './codec.ts';
import { mergeRecords } from './merge.ts';
import { type Registry, type RegistryRecord, emptyRegistry, recordsOf } from './records.ts';

export const REGISTRY_FILE = 'registry';
export const REGISTRY_FORMAT = 1;
const MAGIC = 'STRG';
const HEADER_BYTES = 10;
const CHECKSUM_BYTES = 16;

/** The file's bytes; equal registries give equal bytes. */
export function encodeRegistry(registry: Registry): Uint8Array {
  const records = recordsOf(registry);
  const header = Buffer.alloc(HEADER_BYTES);
  header.write(MAGIC, 'latin1');
  header.writeUInt16LE(REGISTRY_FORMAT, 4);
  header.writeUInt32LE(records.length, 6);
  const parts: Uint8Array[] = [header];
  for (const record of records) {
    const bytes = encodeRecord(record);
    const length = Buffer.alloc(2);
    length.writeUInt16LE(bytes.length);
    parts.push(length, bytes);
  }
  const body = Buffer.concat(parts);
  return Buffer.concat([body, checksum(body)]);
}

/** Reads the file's bytes. `path` is for the error: `disk.format_newer` or `disk.failed`. */
export function decodeRegistry(bytes: Uint8Array, path: string): Registry {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  if (file.length < HEADER_BYTES + CHECKSUM_BYTES || file.toString('latin1', 0, 4) !== MAGIC) {
    throw damaged(path, 'it is not a registry file');
  }
  const format = file.readUInt16LE(4);
  if (format > REGISTRY_FORMAT) {
    throw new StarlingError('disk.format_newer', {
      path,
      found: String(format),
      supported: String(REGISTRY_FORMAT),
    });
  }
  const body = file.subarray(0, file.length - CHECKSUM_BYTES);
  if (!checksum(body).equals(file.subarray(body.length))) {
    throw damaged(path, 'the checksum is wrong');
  }
  return mergeRecords(emptyRegistry(), decodeRecordList(body, path)).registry;
}

function decodeRecordList(body: Buffer, path: string): RegistryRecord[] {
  const count = body.readUInt32LE(6);
  const records: RegistryRecord[] = [];
  let offset = HEADER_BYTES;
  while (offset < body.length) {
    if (offset + 2 > body.length) throw damaged(path, 'a record is cut short');
    const end = offset + 2 + body.readUInt16LE(offset);
    if (end > body.length) throw damaged(path, 'a record is cut short');
    const record = decodeRecord(body.subarray(offset + 2, end));
    if (record.kind === 'failure') throw damaged(path, record.why);
    records.push(record);
    offset = end;
  }
  if (records.length !== count) throw damaged(path, 'the number of records is wrong');
  return records;
}

function checksum(body: Buffer): Buffer {
  const words = new Uint32Array(4);
  fingerprint(fingerprintKey(new Uint8Array(16)), viewOf(body), 0, body.length, words, 0);
  const bytes = Buffer.alloc(CHECKSUM_BYTES);
  words.forEach((word, i) => bytes.writeUInt32LE(word, i * 4));
  return bytes;
}

function damaged(path: string, why: string): StarlingError {
  return new StarlingError('disk.failed', {
    path,
    why: `${why}; restore the file, or wipe the whole data directory to come back empty`,
  });
}

/** The persisted registry, or undefined when this directory never had one. */
export async function loadRegistry(disk: Disk, directory: string): Promise<Registry | undefined> {
  const path = `${directory}/${REGISTRY_FILE}`;
  const bytes = await readFileIfThere(disk, path);
  return bytes === undefined ? undefined : decodeRegistry(bytes, path);
}

/**
 * Writes registries, one at a time. Those that arrive while a write is running are merged into one
 * next write (the newest wins: a later registry contains every earlier one).
 */
export class RegistryFile {
  readonly #disk: Disk;
  readonly #directory: string;
  #running: Promise<void> | undefined;
  #waiting: { registry: Registry; done: Promise<void> } | undefined;
  writeCount = 0;

  constructor(disk: Disk, directory: string) {
    this.#disk = disk;
    this.#directory = directory;
  }

  /** Resolves when `registry`, or a later one, is durable. Throws `disk.failed`. */
  save(registry: Registry): Promise<void> {
    if (this.#waiting !== undefined) {
      this.#waiting.registry = registry;
      return this.#waiting.done;
    }
    if (this.#running === undefined) {
      this.#running = this.#write(registry);
      return this.#running;
    }
    const waiting = { registry, done: this.#running };
    waiting.done = this.#after(this.#running, waiting);
    this.#waiting = waiting;
    return waiting.done;
  }

  async #after(running: Promise<void>, waiting: { registry: Registry }): Promise<void> {
    await running.catch(() => undefined); // its own caller hears of that failure
    this.#waiting = undefined;
    this.#running = this.#write(waiting.registry);
    await this.#running;
  }

  async #write(registry: Registry): Promise<void> {
    try {
      this.writeCount++;
      const place = { directory: this.#directory, name: REGISTRY_FILE };
      await replaceFile(this.#disk, place, encodeRegistry(registry));
    } finally {
      if (this.#waiting === undefined) this.#running = undefined;
    }
  }
}
