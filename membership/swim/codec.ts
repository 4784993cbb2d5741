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
import { assert } from '../../model/assert.ts';
import type { InstanceId } from '../../model/ids.ts';
import { type KnownAddress, readAddress, writeAddress } from './address.ts';
import { ByteReader, ByteWriter } from './bytes.ts';
import {
  MEMBER_STATES,
  RECORD_BYTES_MAX,
  type Claim,
  type DropReason,
  type MemberState,
} from './types.ts';

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
const MESSAGE_HEADER_BYTES = 3;
/** More messages than the smallest ones that fit a datagram; a bound for hostile payloads. */
const MESSAGES_MAX = 1_024;

/** One message with its header: what the gossip queue keeps and packets are glued from. */
export function encodeMessage(message: Message): Uint8Array {
  const writer = new ByteWriter(bytesExpected(message));
  writer.uint8(MESSAGE_CODES[message.type]);
  writer.uint16(0);
  writeBody(writer, message);
  writer.patchUint16(1, writer.length - MESSAGE_HEADER_BYTES);
  return writer.finish();
}

/** The length of most messages with its header, so that the writer's bytes are the message. */
function bytesExpected(message: Message): number {
  switch (message.type) {
    case 'ack':
      return MESSAGE_HEADER_BYTES + 9 + message.responder.length;
    case 'claim':
      return MESSAGE_HEADER_BYTES + claimBytesExpected(message.claim);
    case 'nack':
      return MESSAGE_HEADER_BYTES + 8;
    case 'ping':
    case 'ping_req':
      return MESSAGE_HEADER_BYTES + 10 + message.target.length + message.source.length;
    case 'record':
      return MESSAGE_HEADER_BYTES + message.bytes.length;
  }
}

/** With addresses of IPv4; longer ones make the writer grow. */
function claimBytesExpected({ accuser, address, controlAddress, id }: Claim): number {
  const controlBytes = controlAddress === address ? 1 : 7;
  return 10 + 1 + id.length + 7 + controlBytes + 1 + (accuser === id ? 0 : accuser.length);
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

/** What a reader knows already of an instance. */
export interface KnownInstance {
  readonly id: InstanceId;
  readonly boot: number;
  readonly incarnation: number;
  readonly address: string;
  readonly controlAddress: string;
  readonly knownAddress: KnownAddress;
  readonly knownControlAddress: KnownAddress;
}

/** Who is known by an id; whether bytes are taken for a claim does not depend on it. */
export type FindKnown = (id: InstanceId) => KnownInstance | undefined;

/** Reads a claim; breaks the reader when any part is out of its range. */
export function readClaim(reader: ByteReader): Claim {
  const claim = readNews(reader);
  assert(claim !== undefined, 'gossip: where nobody is known, all is news');
  return claim;
}

/**
 * As `readClaim`; undefined for a claim that changes nothing of what is known, which nearly all are while many join.
 * Nothing is made of such a one.
 */
export function readNews(reader: ByteReader, findKnown?: FindKnown): Claim | undefined {
  const state = MEMBER_STATES[reader.uint8()];
  if (state === undefined) reader.refuse();
  const protocol = reader.uint8();
  if (protocol === 0) reader.refuse();
  const boot = reader.uint32();
  const incarnation = reader.uint32();
  const readId = reader.instanceId();
  const known = findKnown?.(readId);
  const id = known?.id ?? readId;
  const address = readAddress(reader, known?.knownAddress);
  const controlAddress = readAddress(reader, known?.knownControlAddress, address);
  const accuser = reader.instanceIdOr(id);
  // Alive and left are statements of the member itself; nobody else can make them.
  if ((state === 'alive' || state === 'left') && accuser !== id) reader.refuse();
  if (
    known !== undefined &&
    isStale(known, boot, incarnation, state) &&
    (boot < known.boot || (address === known.address && controlAddress === known.controlAddress))
  ) {
    return undefined;
  }
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

/** What `mergeClaim` would leave as it is: word of the past, or that somebody lives who is known to, or is known for worse. */
function isStale(
  known: KnownInstance,
  boot: number,
  incarnation: number,
  state: MemberState | undefined,
): boolean {
  if (boot !== known.boot) return boot < known.boot;
  if (incarnation !== known.incarnation) return incarnation < known.incarnation;
  return state === 'alive';
}

/** A decoded payload, or why it was dropped. */
export interface DecodedPayload {
  /** Without claims that change nothing. */
  readonly messages: readonly Message[];
  readonly unknownTypes: number;
  readonly dropped: DropReason | undefined;
}

/** Decodes a payload. Never throws. */
export function decodePayload(payload: Uint8Array, findKnown?: FindKnown): DecodedPayload {
  const messages: Message[] = [];
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
    const reader = new ByteReader(payload, from, offset);
    const message = readBody(code, reader, findKnown);
    if (message === undefined) {
      unknownTypes++;
      continue;
    }
    if (!reader.isWhole || count++ >= MESSAGES_MAX) return refused('message_malformed');
    if (message !== 'known') messages.push(message);
  }
  return { messages, unknownTypes, dropped: undefined };
}

function refused(dropped: DropReason): DecodedPayload {
  return { messages: [], unknownTypes: 0, dropped };
}

function readBody(
  code: number,
  reader: ByteReader,
  findKnown: FindKnown | undefined,
): Message | 'known' | undefined {
  switch (code) {
    case MESSAGE_CODES.ack:
      return { type: 'ack', nonce: reader.uint64(), responder: reader.instanceId() };
    case MESSAGE_CODES.claim: {
      const claim = readNews(reader, findKnown);
      return claim === undefined ? 'known' : { type: 'claim', claim };
    }
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
