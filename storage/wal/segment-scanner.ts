/**
 * Finds the records of one segment, page by page, and everything that is wrong with it. Pure.
 *
 * Checksums do not cover a fragment's type, so the layout is checked too (storage/wal/frame.ts):
 * first and middle end with their page, middle and last start one. After a bad place reading goes on
 * at the next fragment if all fragments up to the page's end hold, else at the next page, with the
 * first record that begins there: never inside a record, so what is handed over was written so.
 *
 * A bad place is only a *suspect* until a whole record follows it. If none does, it is the tail: a
 * write that a crash interrupted, or zeros of a file that grew before its data arrived.
 */
import { StarlingError } from '../../model/errors.ts';
import { crc32c } from '../../model/wire/crc32c.ts';
import { snappyDecode } from '../../model/wire/snappy.ts';
import {
  FRAGMENT_FIRST,
  FRAGMENT_FULL,
  FRAGMENT_HEADER_BYTES,
  FRAGMENT_LAST,
  FRAGMENT_MIDDLE,
  FRAGMENT_PAGE_END,
  FRAGMENT_SNAPPY,
  FRAGMENT_TYPE_MASK,
  FRAGMENT_ZSTD,
  PAGE_BYTES,
} from './frame.ts';
import type { WalDamage } from './types.ts';

/** A larger record is not put together: no writer makes one. */
export const RECORD_BYTES_MAX = 128 * 1024 * 1024;

const ASSEMBLY_BYTES_MIN = 2 * PAGE_BYTES;
const ZSTD_MAGIC = [0x28, 0xb5, 0x2f, 0xfd];

export interface SegmentSink {
  /** A whole record; the view holds during the call. Returns why it does not decode, if so. */
  onRecord(record: Uint8Array): string | undefined;
  onDamage(damage: WalDamage): void;
}

/** Where whole records end, and what lies after them if it is not zeros. */
export interface SegmentEnd {
  readonly goodBytes: number;
  readonly torn: { readonly why: string } | undefined;
}

interface Suspect {
  readonly offset: number;
  why: string;
  /** Zeros only, so far: the end of the data, unless more follows. */
  isZeros: boolean;
}

export class SegmentScanner {
  readonly #file: string;
  readonly #sink: SegmentSink;
  #suspect: Suspect | undefined;
  #goodBytes = 0;
  /** The record being put together: its bytes so far, where it began, how it is compressed. */
  #assembly = new Uint8Array(0);
  #assembledBytes = 0;
  #recordOffset: number | undefined;
  #recordFlags = 0;
  /** After a bad place: middle and last fragments belong to what was lost. */
  #isResyncing = false;

  /** `file` is only for the reports. */
  constructor(file: string, sink: SegmentSink) {
    this.#file = file;
    this.#sink = sink;
  }

  /**
   * Scans the page at `pageOffset`: `PAGE_BYTES` bytes, fewer only at the end of the file. Throws
   * `wal.corrupt` for a log that is compressed with zstd.
   */
  scanPage(page: Uint8Array, pageOffset: number): void {
    for (let at = 0; at < page.length;) {
      if (page[at] === FRAGMENT_PAGE_END && isZero(page, at)) {
        this.#scanPageEnd(at, pageOffset);
        return;
      }
      const why = checkFragment(page, at);
      if (why === undefined) {
        this.#takeFragment(page, at, pageOffset);
        at += fragmentLength(page, at);
        continue;
      }
      this.#lose(pageOffset + at, why);
      const next = at + fragmentLength(page, at);
      if (!isChain(page, next)) return;
      at = next;
    }
  }

  /** Tells where the segment ends, after its last page. */
  finish(): SegmentEnd {
    if (this.#recordOffset !== undefined) this.#lose(this.#recordOffset, 'an unfinished record');
    const suspect = this.#suspect;
    const torn = suspect === undefined || suspect.isZeros ? undefined : { why: suspect.why };
    return { goodBytes: this.#goodBytes, torn };
  }

  #scanPageEnd(at: number, pageOffset: number): void {
    if (this.#recordOffset !== undefined) this.#lose(this.#recordOffset, 'an unfinished record');
    if (at > 0) return;
    this.#suspect ??= { offset: pageOffset, why: 'a page of zeros', isZeros: true };
  }

  /** A fragment whose checksum and place hold. */
  #takeFragment(page: Uint8Array, at: number, pageOffset: number): void {
    const header = page[at]!;
    const type = header & FRAGMENT_TYPE_MASK;
    const flags = header & ~FRAGMENT_TYPE_MASK;
    const offset = pageOffset + at;
    const end = at + fragmentLength(page, at);
    const data = page.subarray(at + FRAGMENT_HEADER_BYTES, end);
    const begins = type === FRAGMENT_FULL || type === FRAGMENT_FIRST;
    if (begins && this.#recordOffset !== undefined) {
      // It may be the next part of that record with a damaged type: not used.
      this.#lose(this.#recordOffset, 'an unfinished record');
      return;
    }
    if (begins) {
      this.#refuseZstd(flags, data, offset);
      this.#isResyncing = false;
      this.#recordOffset = offset;
      this.#recordFlags = flags;
      this.#assembledBytes = 0;
    } else if (this.#recordOffset === undefined) {
      if (!this.#isResyncing) this.#lose(offset, 'the middle of a record without its beginning');
      return;
    } else if (flags !== this.#recordFlags) {
      this.#lose(this.#recordOffset, 'a record compressed in part');
      return;
    }
    if (type === FRAGMENT_FULL) this.#finishRecord(data, pageOffset + end);
    else if (this.#assemble(data) && type === FRAGMENT_LAST) {
      this.#finishRecord(this.#assembly.subarray(0, this.#assembledBytes), pageOffset + end);
    }
  }

  /** Adds a part to the record. False when it grew over the bound. */
  #assemble(data: Uint8Array): boolean {
    const size = this.#assembledBytes + data.length;
    if (size > RECORD_BYTES_MAX) {
      this.#lose(this.#recordOffset ?? 0, `a record over ${RECORD_BYTES_MAX} bytes`);
      return false;
    }
    if (size > this.#assembly.length) {
      const grown = new Uint8Array(Math.max(size, this.#assembly.length * 2, ASSEMBLY_BYTES_MIN));
      grown.set(this.#assembly.subarray(0, this.#assembledBytes));
      this.#assembly = grown;
    }
    this.#assembly.set(data, this.#assembledBytes);
    this.#assembledBytes = size;
    return true;
  }

  #finishRecord(stored: Uint8Array, end: number): void {
    const offset = this.#recordOffset ?? 0;
    const record = uncompressed(stored, this.#recordFlags);
    if (record === undefined) {
      this.#lose(offset, 'a record that does not uncompress');
      return;
    }
    this.#recordOffset = undefined;
    this.#confirmSuspect(offset);
    this.#goodBytes = end;
    if (record.length === 0) return;
    const why = this.#sink.onRecord(record);
    if (why === undefined) return;
    this.#sink.onDamage({ file: this.#file, offset, why, bytesLost: record.length });
  }

  /** Gives up the record in progress and marks a bad place. */
  #lose(offset: number, why: string): void {
    const start = this.#recordOffset ?? offset;
    this.#recordOffset = undefined;
    this.#isResyncing = true;
    if (this.#suspect === undefined) this.#suspect = { offset: start, why, isZeros: false };
    else if (this.#suspect.isZeros) {
      this.#suspect.why = why;
      this.#suspect.isZeros = false;
    }
  }

  /** A whole record follows the suspect at `offset`: it was damage, not the end. */
  #confirmSuspect(offset: number): void {
    const suspect = this.#suspect;
    if (suspect === undefined) return;
    this.#suspect = undefined;
    const bytesLost = offset - suspect.offset;
    this.#sink.onDamage({ file: this.#file, offset: suspect.offset, why: suspect.why, bytesLost });
  }

  /** Not damage but a choice of its writer, and all records will have it: refused as a whole. */
  #refuseZstd(flags: number, data: Uint8Array, offset: number): void {
    if (flags !== FRAGMENT_ZSTD || !ZSTD_MAGIC.every((byte, i) => data[i] === byte)) return;
    const why =
      'its records are compressed with zstd, which is not supported: let Prometheus write it with --storage.tsdb.wal-compression-type=snappy';
    throw new StarlingError('wal.corrupt', { file: this.#file, offset, why });
  }
}

/** The length of the fragment at `at`, header included; nonsense when the header is cut off. */
function fragmentLength(page: Uint8Array, at: number): number {
  return FRAGMENT_HEADER_BYTES + ((page[at + 1]! << 8) | page[at + 2]!);
}

/** What is wrong with the fragment at `at`, seen alone. */
function checkFragment(page: Uint8Array, at: number): string | undefined {
  if (at + FRAGMENT_HEADER_BYTES > page.length) return 'a fragment header cut off';
  const type = page[at]! & FRAGMENT_TYPE_MASK;
  const flags = page[at]! & ~FRAGMENT_TYPE_MASK;
  const end = at + fragmentLength(page, at);
  if (type > FRAGMENT_LAST || type === FRAGMENT_PAGE_END) return `a fragment of type ${type}`;
  if (flags !== 0 && flags !== FRAGMENT_SNAPPY && flags !== FRAGMENT_ZSTD) return 'unknown flags';
  if (end > page.length) return 'a fragment longer than its page';
  const endsPage = type === FRAGMENT_FIRST || type === FRAGMENT_MIDDLE;
  if (endsPage && end !== PAGE_BYTES) return 'a split record that does not fill its page';
  const startsPage = type === FRAGMENT_MIDDLE || type === FRAGMENT_LAST;
  if (startsPage && at !== 0) return 'a split record that does not go on at a page start';
  const header = new DataView(page.buffer, page.byteOffset + at, FRAGMENT_HEADER_BYTES);
  const checksum = crc32c(page, at + FRAGMENT_HEADER_BYTES, end);
  return checksum === header.getUint32(3) ? undefined : 'a wrong checksum';
}

/** True when at least one fragment follows and all of them hold up to the end of the page. */
function isChain(page: Uint8Array, from: number): boolean {
  let at = from;
  while (at < page.length && page[at] !== FRAGMENT_PAGE_END) {
    if (checkFragment(page, at) !== undefined) return false;
    at += fragmentLength(page, at);
  }
  return at > from && isZero(page, at);
}

function isZero(page: Uint8Array, from: number): boolean {
  for (let i = from; i < page.length; i++) if (page[i] !== 0) return false;
  return true;
}

function uncompressed(stored: Uint8Array, flags: number): Uint8Array | undefined {
  if (flags === 0 || stored.length === 0) return stored;
  if (flags !== FRAGMENT_SNAPPY) return undefined;
  try {
    return snappyDecode(stored, RECORD_BYTES_MAX);
  } catch (thrown) {
    if (thrown instanceof StarlingError && thrown.http < 500) return undefined; // the record's fault
    throw thrown;
  }
}
