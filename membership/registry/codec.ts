/**
 * Bytes of one registry record, at most 512, as gossip carries them and the registry file holds
 * them (docs/format/registry.md). Strict: unknown kinds, values outside their range, bad characters
 * and trailing bytes are refused. Decoding never throws: hostile bytes give a `DecodeFailure`.
 *
 *   u8 format = 1 | u8 kind | fields of the kind, integers little-endian, strings u8 length + ASCII
 */
import { assert } from '../../model/assert.ts';
import { type InstanceId, parseInstanceId } from '../../model/ids.ts';
import {
  ADDRESS_BYTES_MAX,
  COUNTER_MAX,
  type ClusterRecord,
  type InstanceRecord,
  type InstanceState,
  type Proposal,
  RECORD_BYTES_MAX,
  RF_MAX,
  type RegistryRecord,
  type RfStepRecord,
  SOFTWARE_VERSION_BYTES_MAX,
  type StoreId,
  TIME_MS_MAX,
  ZONE_BYTES_MAX,
} from './records.ts';

export const RECORD_FORMAT = 1;
const KIND_INSTANCE = 1;
const KIND_RF_STEP = 2;
const KIND_CLUSTER = 3;

/** Positions are the bytes on the wire: never reorder, only append. */
const STATES: readonly InstanceState[] = [
  'PENDING',
  'JOINING',
  'ACTIVE',
  'READONLY',
  'LEAVING',
  'LEFT',
  'FORGOTTEN',
];
const PROPOSALS: readonly Proposal[] = ['none', 'leave', 'forget'];

const ZONE_PATTERN = /^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$/;
const ADDRESS_PATTERN = /^([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]):(\d{1,5})$/;
const SOFTWARE_VERSION_PATTERN = /^[A-Za-z0-9.+_-]+$/;

export interface DecodeFailure {
  readonly kind: 'failure';
  readonly why: string;
}

/** True for a name that may be a zone: letters, digits, '.', '_', '-', at most 63. */
export function isZone(text: string): boolean {
  return text.length <= ZONE_BYTES_MAX && ZONE_PATTERN.test(text);
}

/** True for 'host:port' or '[v6]:port' with a port from 1 to 65535. */
export function isAddress(text: string): boolean {
  if (text.length > ADDRESS_BYTES_MAX) return false;
  const port = Number(ADDRESS_PATTERN.exec(text)?.[3] ?? 0);
  return port >= 1 && port <= 65_535;
}

/** True for a printable version as package managers write it. */
export function isSoftwareVersion(text: string): boolean {
  return text.length <= SOFTWARE_VERSION_BYTES_MAX && SOFTWARE_VERSION_PATTERN.test(text);
}

/** Encodes a valid record into a fresh array of at most 512 bytes. */
export function encodeRecord(record: RegistryRecord): Uint8Array {
  const writer = new RecordWriter();
  writer.u8(RECORD_FORMAT);
  switch (record.kind) {
    case 'cluster':
      writer.u8(KIND_CLUSTER);
      writer.hex(record.clusterId);
      writer.hex(record.fingerprintSecret);
      writer.u32(record.membersMax);
      break;
    case 'instance':
      writer.u8(KIND_INSTANCE);
      encodeInstance(record, writer);
      break;
    case 'rf-step':
      writer.u8(KIND_RF_STEP);
      writer.u8(record.rf);
      writer.u8(record.isCommitted ? 1 : 0);
      writer.time(record.atMs);
      break;
  }
  return writer.take();
}

function encodeInstance(record: InstanceRecord, writer: RecordWriter): void {
  writer.text(record.id);
  writer.u8(STATES.indexOf(record.state));
  writer.u8(PROPOSALS.indexOf(record.proposal));
  writer.u32(record.generation);
  writer.u32(record.bootCounter);
  writer.u32(record.version);
  writer.u32(record.tokenSeed);
  writer.hex(record.storeId);
  writer.u8(record.joinedRf);
  writer.u8(record.settledRf);
  writer.time(record.missingBeforeMs);
  writer.time(record.activeSinceMs);
  writer.time(record.zoneChangedAtMs);
  writer.time(record.registeredAtMs);
  writer.text(record.zone);
  writer.text(record.addresses.http);
  writer.text(record.addresses.grpc);
  writer.text(record.addresses.gossip);
  writer.text(record.softwareVersion);
}

/** Decodes one record. Keeps nothing of `bytes`. */
export function decodeRecord(bytes: Uint8Array): DecodeFailure | RegistryRecord {
  if (bytes.length > RECORD_BYTES_MAX) return fail('is too long');
  const reader = new RecordReader(bytes);
  const format = reader.u8();
  if (format !== RECORD_FORMAT) return fail(`has the unknown format ${format}`);
  const record = decodeBody(reader, reader.u8());
  if (reader.why === undefined && !reader.isAtEnd()) reader.refuse('has trailing bytes');
  return reader.why === undefined ? record : fail(reader.why);
}

function decodeBody(reader: RecordReader, kind: number): DecodeFailure | RegistryRecord {
  switch (kind) {
    case KIND_CLUSTER:
      return decodeCluster(reader);
    case KIND_INSTANCE:
      return decodeInstance(reader);
    case KIND_RF_STEP:
      return decodeRfStep(reader);
    default:
      return fail(`has the unknown kind ${kind}`);
  }
}

function fail(why: string): DecodeFailure {
  return { kind: 'failure', why: `the record ${why}` };
}

function decodeCluster(reader: RecordReader): ClusterRecord {
  const clusterId = reader.hex();
  const fingerprintSecret = reader.hex();
  return { kind: 'cluster', clusterId, fingerprintSecret, membersMax: reader.counter() };
}

function decodeRfStep(reader: RecordReader): RfStepRecord {
  const rf = reader.oneOf(RF_MAX + 1);
  if (rf === 0) reader.refuse('has a replication factor of 0');
  const isCommitted = reader.oneOf(2) === 1;
  return { kind: 'rf-step', rf, isCommitted, atMs: reader.time() };
}

function decodeInstance(reader: RecordReader): InstanceRecord {
  const id = reader.instanceId();
  const record: InstanceRecord = {
    kind: 'instance',
    id,
    state: STATES[reader.oneOf(STATES.length)]!,
    proposal: PROPOSALS[reader.oneOf(PROPOSALS.length)]!,
    generation: reader.counter(),
    bootCounter: reader.counter(),
    version: reader.counter(),
    tokenSeed: reader.u32(),
    storeId: reader.hex() as StoreId, // `hex` made sure of the 32 digits
    joinedRf: reader.oneOf(RF_MAX + 1),
    settledRf: reader.oneOf(RF_MAX + 1),
    missingBeforeMs: reader.time(),
    activeSinceMs: reader.time(),
    zoneChangedAtMs: reader.time(),
    registeredAtMs: reader.time(),
    zone: reader.text(isZone, 'zone'),
    addresses: {
      http: reader.text(isAddress, 'http address'),
      grpc: reader.text(isAddress, 'grpc address'),
      gossip: reader.text(isAddress, 'gossip address'),
    },
    softwareVersion: reader.text(isSoftwareVersion, 'software version'),
  };
  if (isRegistered(record.state) && record.joinedRf === 0) {
    reader.refuse('holds data but names no replication factor');
  }
  return record;
}

function isRegistered(state: InstanceState): boolean {
  return state === 'ACTIVE' || state === 'READONLY' || state === 'LEAVING';
}

/** Appends fields; a value outside its range is a programmer error. */
class RecordWriter {
  readonly #bytes = Buffer.alloc(RECORD_BYTES_MAX);
  #length = 0;

  u8(value: number): void {
    assert(value >= 0 && value <= 0xff, 'registry codec: a byte out of range');
    this.#length = this.#bytes.writeUInt8(value, this.#length);
  }

  u32(value: number): void {
    this.#length = this.#bytes.writeUInt32LE(value, this.#length);
  }

  time(value: number): void {
    this.#length = this.#bytes.writeUIntLE(value, this.#length, 6);
  }

  hex(value: string): void {
    assert(/^[0-9a-f]{32}$/.test(value), 'registry codec: not 32 hex digits');
    this.#length += this.#bytes.write(value, this.#length, 'hex');
  }

  text(value: string): void {
    this.u8(value.length);
    this.#length += this.#bytes.write(value, this.#length, 'latin1');
  }

  take(): Uint8Array {
    return Uint8Array.from(this.#bytes.subarray(0, this.#length));
  }
}

/** Takes fields; the first bad one is remembered in `why` and everything after it reads as zero. */
class RecordReader {
  readonly #bytes: Buffer;
  #offset = 0;
  why: string | undefined;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  isAtEnd(): boolean {
    return this.#offset === this.#bytes.length;
  }

  refuse(why: string): void {
    this.why ??= why;
  }

  /** Moves over `count` bytes and returns where they began, or -1 when they are not there. */
  #take(count: number): number {
    const from = this.#offset;
    if (this.why !== undefined || from + count > this.#bytes.length) {
      this.refuse('is cut short');
      return -1;
    }
    this.#offset = from + count;
    return from;
  }

  u8(): number {
    const at = this.#take(1);
    return at < 0 ? 0 : this.#bytes.readUInt8(at);
  }

  /** A byte below `end`. */
  oneOf(end: number): number {
    const value = this.u8();
    if (value < end) return value;
    this.refuse(`has the value ${value} where less than ${end} is allowed`);
    return 0;
  }

  u32(): number {
    const at = this.#take(4);
    return at < 0 ? 0 : this.#bytes.readUInt32LE(at);
  }

  counter(): number {
    const value = this.u32();
    if (value > COUNTER_MAX) this.refuse('has a counter out of range');
    return value;
  }

  time(): number {
    const at = this.#take(6);
    const value = at < 0 ? 0 : this.#bytes.readUIntLE(at, 6);
    if (value >= TIME_MS_MAX) this.refuse('has a time out of range');
    return value;
  }

  hex(): string {
    const at = this.#take(16);
    return at < 0 ? '' : this.#bytes.toString('hex', at, at + 16);
  }

  text(isValid: (text: string) => boolean, what: string): string {
    const length = this.u8();
    const at = this.#take(length);
    const text = at < 0 ? '' : this.#bytes.toString('latin1', at, at + length);
    if (!isValid(text)) this.refuse(`has an invalid ${what}`);
    return text;
  }

  instanceId(): InstanceId {
    const text = this.text(() => true, 'id');
    try {
      return parseInstanceId(text);
    } catch {
      this.refuse('has an invalid id');
      return '' as InstanceId; // never leaves: the record is refused
    }
  }
}
