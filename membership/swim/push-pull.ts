/**
 * The full exchange over the control lane: everything the sender knows, both ways.
 *
 *   version u8 | sender claim (alive or left) | claim count u32 | claims
 *   | record count u32 | { length u16 | record }*
 *
 * Counts are checked against the bytes that are really there before anything is kept, so a header
 * cannot make the reader allocate. The sender's own claim comes first and names who is speaking.
 */
import { ByteReader, ByteWriter } from './bytes.ts';
import type { DigestSet } from './digest-set.ts';
import { findClaimEnd, type KnownInstances, readClaim, writeClaim } from './codec.ts';
import { RECORD_BYTES_MAX, type Claim } from './types.ts';

export const PUSH_PULL_VERSION = 1;
/** Largest exchange that is read, in bytes. */
export const PUSH_PULL_BYTES_MAX = 20 * 1024 * 1024;
/** state, protocol, boot, incarnation, 1-byte id, IPv4, same control address, no accuser. */
export const CLAIM_BYTES_MIN = 1 + 1 + 4 + 4 + 2 + 7 + 1 + 1;
/** The sender's claim and the counts; a guess, the buffer grows. */
const HEAD_BYTES_USUAL = 256;
const RECORD_ENTRY_BYTES_MIN = 3;
/** Claims of an exchange that are noted as told; more are told back. */
const TOLD_MAX = 16_384;

/** What a node says in an exchange; its claims are written by whoever has them as bytes. */
export interface PushPullSource {
  readonly sender: Claim;
  /** About as many as they will have. */
  readonly claimBytes: number;
  /** Says how many it wrote. */
  readonly writeClaims: (writer: ByteWriter) => number;
  readonly records: readonly Uint8Array[];
}

export interface PushPull {
  readonly sender: Claim;
  /** Without those that were seen. */
  readonly claims: readonly Claim[];
  /** Of the claims; empty where nothing is known as seen. */
  readonly digests: readonly number[];
  readonly records: readonly Uint8Array[];
}

export function encodePushPull(source: PushPullSource): Uint8Array {
  const recordBytes = source.records.reduce((sum, record) => sum + 2 + record.length, 0);
  const writer = new ByteWriter(HEAD_BYTES_USUAL + source.claimBytes + recordBytes);
  writer.uint8(PUSH_PULL_VERSION);
  writeClaim(writer, source.sender);
  const countAt = writer.length;
  writer.uint32(0);
  writer.patchUint32(countAt, source.writeClaims(writer));
  writer.uint32(source.records.length);
  for (const record of source.records) {
    writer.uint16(record.length);
    writer.bytes(record);
  }
  return writer.cut();
}

/**
 * The exchange, without claims that were seen; undefined when anything in it is wrong. Never throws. Puts
 * the digests of all its claims, seen or not, into `told`, the sender's own too.
 */
export function decodePushPull(
  bytes: Uint8Array,
  known?: KnownInstances,
  told?: DigestSet,
): PushPull | undefined {
  if (bytes.length > PUSH_PULL_BYTES_MAX) return undefined;
  const reader = new ByteReader(bytes);
  if (reader.uint8() !== PUSH_PULL_VERSION) return undefined;
  const senderFrom = reader.offset;
  const sender = readClaim(reader);
  if (sender.state !== 'alive' && sender.state !== 'left') return undefined;
  if (known !== undefined) told?.add(known.seen.digest(bytes, senderFrom, reader.offset));
  const { claims, digests } = readClaims(reader, known, told);
  const records: Uint8Array[] = [];
  let count = readCount(reader, RECORD_ENTRY_BYTES_MIN);
  for (; count > 0 && !reader.isBroken; count--) records.push(readRecord(reader));
  return reader.isWhole ? { sender, claims, digests, records } : undefined;
}

function readClaims(
  reader: ByteReader,
  known: KnownInstances | undefined,
  told: DigestSet | undefined,
): Pick<PushPull, 'claims' | 'digests'> {
  const bytes = reader.source;
  const claims: Claim[] = [];
  const digests: number[] = [];
  let count = readCount(reader, CLAIM_BYTES_MIN);
  for (; count > 0 && !reader.isBroken; count--) {
    if (known !== undefined) {
      const { seen } = known;
      const end = findClaimEnd(bytes, reader.offset, bytes.length);
      const digest = end < 0 ? 0 : seen.digest(bytes, reader.offset, end);
      if (told !== undefined && digest !== 0 && told.count < TOLD_MAX) told.add(digest);
      if (digest !== 0 && seen.has(digest)) {
        reader.skip(end - reader.offset);
        continue;
      }
      digests.push(digest);
    }
    claims.push(readClaim(reader, known));
  }
  return { claims, digests };
}

/** A count that the bytes have place for. */
function readCount(reader: ByteReader, itemBytesMin: number): number {
  const count = reader.uint32();
  if (count * itemBytesMin > reader.remaining) reader.refuse();
  return count;
}

function readRecord(reader: ByteReader): Uint8Array {
  const length = reader.uint16();
  if (length === 0 || length > RECORD_BYTES_MAX) reader.refuse();
  return reader.bytes(length);
}
