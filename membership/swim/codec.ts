/**
 * Gossip messages <-> bytes. A payload is a plain list of messages, each behind its type and
 * length; there is no compound type, so nothing can nest.
 *
 *   payload = { type u8 | length u16 | body }*
 *   ping     1  nonce u64 | target id | source id
 *   ping-req 2  nonce u64 | target id | source id
 *   ack      3  nonce u64 | responder id
 *   nack     4  nonce u64
 *   claim    5  state u8 | protocol u8 | boot u32 | incarnation u32 | id | address
 *               | control address (0 = same) | accuser id (empty = the member itself)
 *   record   6  1..512 opaque bytes
 *
 * Decoding is all or nothing: a payload with one bad message is dropped whole, so a reader of the
 * result never sees a half-trusted packet. Unknown types are skipped by their length and counted:
 * they are how newer versions speak past older ones. Format: docs/format/gossip.md.
 */
import type { InstanceId } from '../../model/ids.ts';
import { addressLength, readAddress, writeAddress } from './address.ts';
import { ByteReader, ByteWriter } from './bytes.ts';
import type { SeenClaims } from './seen-claims.ts';
import { MEMBER_STATES, RECORD_BYTES_MAX, type Claim, type DropReason } from './types.ts';

export type Message =
  | { readonly type: 'ack'; readonly nonce: bigint; readonly responder: InstanceId }
  | { readonly type: 'claim'; readonly claim: Claim }
  | { readonly type: 'nack'; readonly nonce: bigint }
  | {
      readonly type: 'ping';
      readonly nonce: bigint;
      readonly target: InstanceId;
      readonly source: InstanceId;
    }
  | {
      readonly type: 'ping_req';
      readonly nonce: bigint;
      readonly target: InstanceId;
      readonly source: InstanceId;
    }
  | { readonly type: 'record'; readonly bytes: Uint8Array };

const MESSAGE_CODES = { ping: 1, ping_req: 2, ack: 3, nack: 4, claim: 5, record: 6 } as const;
/** Type and length. */
export const MESSAGE_HEADER_BYTES = 3;
export const CLAIM_CODE = MESSAGE_CODES.claim;
/** More messages than the smallest ones that fit a datagram; a bound for hostile payloads. */
const MESSAGES_MAX = 1_024;

/** One message with its header: what the gossip queue keeps and packets are glued from. */
export function encodeMessage(message: Message): Uint8Array {
  const writer = new ByteWriter(64);
  writeMessage(writer, message);
  return writer.finish();
}

/** Appends one message with its header. */
export function writeMessage(writer: ByteWriter, message: Message): void {
  const from = writer.length;
  writer.uint8(MESSAGE_CODES[message.type]);
  writer.uint16(0);
  writeBody(writer, message);
  writer.patchUint16(from + 1, writer.length - from - MESSAGE_HEADER_BYTES);
}

function writeBody(writer: ByteWriter, message: Message): void {
  switch (message.type) {
    case 'ack':
      writer.uint64(message.nonce);
      writer.instanceId(message.responder);
      return;
    case 'claim':
      writeClaim(writer, message.claim);
      return;
    case 'nack':
      writer.uint64(message.nonce);
      return;
    case 'ping':
    case 'ping_req':
      writer.uint64(message.nonce);
      writer.instanceId(message.target);
      writer.instanceId(message.source);
      return;
    case 'record':
      writer.bytes(message.bytes);
  }
}

/** Appends a claim; push/pull uses the same bytes. */
export function writeClaim(writer: ByteWriter, claim: Claim): void {
  writer.uint8(MEMBER_STATES.indexOf(claim.state));
  writer.uint8(claim.protocol);
  writer.uint32(claim.boot);
  writer.uint32(claim.incarnation);
  writer.instanceId(claim.id);
  writeAddress(writer, claim.address);
  if (claim.controlAddress === claim.address) writer.uint8(0);
  else writeAddress(writer, claim.controlAddress);
  if (claim.accuser === claim.id) writer.uint8(0);
  else writer.instanceId(claim.accuser);
}

/** Reads a claim; breaks the reader when any part is out of its range. */
export function readClaim(reader: ByteReader, known?: KnownInstances): Claim {
  const state = MEMBER_STATES[reader.uint8()];
  if (state === undefined) reader.refuse();
  const protocol = reader.uint8();
  if (protocol === 0) reader.refuse();
  const boot = reader.uint32();
  const incarnation = reader.uint32();
  const slot = known === undefined ? -1 : findNext(reader, known);
  const instance = slot < 0 ? undefined : known?.instanceAt(slot);
  const id = instance === undefined ? reader.instanceId() : instance.id;
  if (instance !== undefined) reader.skip(1 + id.length);
  const same =
    slot < 0 ? 0 : (known?.claims.matchAddresses(slot, reader.source, reader.offset) ?? 0);
  const isSame = instance !== undefined && same > 0 && same <= reader.remaining;
  if (isSame) reader.skip(same);
  const address = isSame ? instance.address : readAddress(reader);
  const controlAddress = isSame ? instance.controlAddress : readAddress(reader, address);
  const accuser = readAccuser(reader, id, known);
  // Alive and left are statements of the member itself; nobody else can make them.
  if ((state === 'alive' || state === 'left') && accuser !== id) reader.refuse();
  return {
    state: state ?? 'alive',
    protocol,
    boot,
    incarnation,
    id,
    address,
    controlAddress,
    accuser,
  };
}

/** What a reader knows already, so that texts need not be made again; what is taken for a claim does not depend on it. */
export interface KnownInstances {
  readonly seen: SeenClaims;
  readonly claims: {
    /** The slot of the instance whose id is bytes[from..to); -1: it has none. */
    find(bytes: Uint8Array, from: number, to: number): number;
    /** How many bytes at `from` are the addresses of the slot's instance; 0: others are there. */
    matchAddresses(slot: number, bytes: Uint8Array, from: number): number;
  };
  instanceAt(slot: number): Pick<Claim, 'address' | 'controlAddress' | 'id'>;
}

/** The slot of the id that stands next; nothing is read. */
function findNext(reader: ByteReader, { claims }: KnownInstances): number {
  const { offset, remaining, source } = reader;
  const length = remaining > 0 ? source[offset]! : 0;
  if (length === 0 || length >= remaining) return -1;
  return claims.find(source, offset + 1, offset + 1 + length);
}

function readAccuser(reader: ByteReader, id: InstanceId, known?: KnownInstances): InstanceId {
  const length = reader.remaining > 0 ? reader.source[reader.offset]! : 0;
  if (known === undefined || length === 0 || length + 1 > reader.remaining) {
    return reader.instanceIdOr(id);
  }
  const from = reader.offset + 1;
  const slot = known.claims.find(reader.source, from, from + length);
  if (slot < 0) return reader.instanceIdOr(id);
  reader.skip(1 + length);
  return known.instanceAt(slot).id;
}

/** State, protocol, boot, incarnation: what stands before the id. */
export const CLAIM_NUMBER_BYTES = 10;

/** Where the claim that begins at `from` ends by its lengths, whether or not it is one; -1 beyond `to`. */
export function findClaimEnd(bytes: Uint8Array, from: number, to: number): number {
  let at = from + CLAIM_NUMBER_BYTES;
  if (at < to) at += 1 + bytes[at]!; // id
  if (at < to) at += addressLength(bytes[at]!);
  if (at < to) at += addressLength(bytes[at]!); // control address
  if (at >= to) return -1;
  at += 1 + bytes[at]!; // accuser
  return at <= to ? at : -1;
}

/** A decoded payload, or why it was dropped. */
export interface DecodedPayload {
  /** Without claims that were seen. */
  readonly messages: readonly Message[];
  /** Of the claims among the messages, in their order; empty where nothing is known as seen. */
  readonly digests: readonly number[];
  readonly unknownTypes: number;
  readonly dropped: DropReason | undefined;
}

/** Decodes a payload. Never throws. */
export function decodePayload(payload: Uint8Array, known?: KnownInstances): DecodedPayload {
  const messages: Message[] = [];
  const digests: number[] = [];
  let unknownTypes = 0;
  let count = 0;
  let offset = 0;
  while (offset < payload.length) {
    if (payload.length - offset < MESSAGE_HEADER_BYTES) return refused('message_truncated');
    const code = payload[offset]!;
    const bodyLength = (payload[offset + 1]! << 8) | payload[offset + 2]!;
    const from = offset + MESSAGE_HEADER_BYTES;
    offset = from + bodyLength;
    if (offset > payload.length) return refused('message_truncated');
    if (code === CLAIM_CODE && known !== undefined) {
      const { seen } = known;
      const digest = seen.digest(payload, from, offset);
      if (seen.has(digest)) {
        if (count++ >= MESSAGES_MAX) return refused('message_malformed');
        continue;
      }
      digests.push(digest);
    }
    const reader = new ByteReader(payload, from, offset);
    const message = readBody(code, reader, known);
    if (message === undefined) {
      unknownTypes++;
      continue;
    }
    if (!reader.isWhole || count++ >= MESSAGES_MAX) return refused('message_malformed');
    messages.push(message);
  }
  return { messages, digests, unknownTypes, dropped: undefined };
}

function refused(dropped: DropReason): DecodedPayload {
  return { messages: [], digests: [], unknownTypes: 0, dropped };
}

function readBody(
  code: number,
  reader: ByteReader,
  known: KnownInstances | undefined,
): Message | undefined {
  switch (code) {
    case MESSAGE_CODES.ack:
      return { type: 'ack', nonce: reader.uint64(), responder: reader.instanceId() };
    case MESSAGE_CODES.claim:
      return { type: 'claim', claim: readClaim(reader, known) };
    case MESSAGE_CODES.nack:
      return { type: 'nack', nonce: reader.uint64() };
    case MESSAGE_CODES.ping:
    case MESSAGE_CODES.ping_req:
      return {
        type: code === MESSAGE_CODES.ping ? 'ping' : 'ping_req',
        nonce: reader.uint64(),
        target: reader.instanceId(),
        source: reader.instanceId(),
      };
    case MESSAGE_CODES.record:
      if (reader.remaining === 0 || reader.remaining > RECORD_BYTES_MAX) reader.refuse();
      return { type: 'record', bytes: reader.bytes(reader.remaining) };
    default:
      return undefined;
  }
}
