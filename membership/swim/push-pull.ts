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
import { type FindKnown, readClaim, readNews, writeClaim } from './codec.ts';
import { RECORD_BYTES_MAX, type Claim } from './types.ts';

export const PUSH_PULL_VERSION = 1;
/** Largest exchange that is read, in bytes. */
export const PUSH_PULL_BYTES_MAX = 20 * 1024 * 1024;
/** state, protocol, boot, incarnation, 1-byte id, IPv4, same control address, no accuser. */
const CLAIM_BYTES_MIN = 1 + 1 + 4 + 4 + 2 + 7 + 1 + 1;
const RECORD_ENTRY_BYTES_MIN = 3;

export interface PushPull {
  readonly sender: Claim;
  readonly claims: readonly Claim[];
  readonly records: readonly Uint8Array[];
}

export function encodePushPull(exchange: PushPull): Uint8Array {
  const writer = new ByteWriter(1_024);
  writer.uint8(PUSH_PULL_VERSION);
  writeClaim(writer, exchange.sender);
  writer.uint32(exchange.claims.length);
  for (const claim of exchange.claims) writeClaim(writer, claim);
  writer.uint32(exchange.records.length);
  for (const record of exchange.records) {
    writer.uint16(record.length);
    writer.bytes(record);
  }
  return writer.finish();
}

/** The exchange, without claims that change nothing; undefined when anything in it is wrong. Never throws. */
export function decodePushPull(bytes: Uint8Array, findKnown?: FindKnown): PushPull | undefined {
  if (bytes.length > PUSH_PULL_BYTES_MAX) return undefined;
  const reader = new ByteReader(bytes);
  if (reader.uint8() !== PUSH_PULL_VERSION) return undefined;
  const sender = readClaim(reader);
  if (sender.state !== 'alive' && sender.state !== 'left') return undefined;
  const claims = readList(reader, CLAIM_BYTES_MIN, (one) => readNews(one, findKnown));
  const records = readList(reader, RECORD_ENTRY_BYTES_MIN, readRecord);
  return reader.isWhole ? { sender, claims, records } : undefined;
}

function readList<Item>(
  reader: ByteReader,
  itemBytesMin: number,
  readItem: (reader: ByteReader) => Item | undefined,
): readonly Item[] {
  const count = reader.uint32();
  const items: Item[] = [];
  if (count * itemBytesMin > reader.remaining) reader.refuse();
  for (let i = 0; i < count && !reader.isBroken; i++) {
    const item = readItem(reader);
    if (item !== undefined) items.push(item);
  }
  return items;
}

function readRecord(reader: ByteReader): Uint8Array {
  const length = reader.uint16();
  if (length === 0 || length > RECORD_BYTES_MAX) reader.refuse();
  return reader.bytes(length);
}
