/**
 * Addresses on the wire: a family byte, the raw address, a port. Only literals exist here, so no
 * gossip message can ever reach DNS, and only unicast targets with a real port are accepted, so no
 * message can make a node send to a broadcast or multicast group.
 *
 *   4 | a b c d | port u16            6 | 8 x u16 | port u16
 */
import type { ByteReader, ByteWriter } from './bytes.ts';

const IPV4_PATTERN = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3}):(\d{1,5})$/;
const IPV6_PATTERN = /^\[([0-9a-f:]{2,39})\]:(\d{1,5})$/i;

interface Address {
  readonly family: 4 | 6;
  /** Four bytes or eight 16-bit groups. */
  readonly parts: readonly number[];
  readonly port: number;
}

/** The canonical text of an 'ip:port' or '[v6]:port' literal; undefined when it is not usable. */
export function canonicalAddress(text: string): string | undefined {
  const address = parseAddress(text);
  return address === undefined ? undefined : formatAddress(address);
}

/** Appends a canonical address. */
export function writeAddress(writer: ByteWriter, text: string): void {
  if (writeIpv4(writer, text)) return;
  const address = parseAddress(text);
  if (address === undefined) throw new TypeError(`gossip: not a usable address: ${text}`);
  writer.uint8(address.family);
  for (const part of address.parts) {
    if (address.family === 4) writer.uint8(part);
    else writer.uint16(part);
  }
  writer.uint16(address.port);
}

/** Reads an address; family 0 stands for `fallback`. Breaks the reader when it is not usable. */
export function readAddress(reader: ByteReader, fallback?: string): string {
  const family = reader.uint8();
  if (family === 0 && fallback !== undefined) return fallback;
  if (family === 4) return readIpv4(reader);
  if (family !== 6) {
    reader.refuse();
    return '';
  }
  const parts = Array.from({ length: 8 }, () => reader.uint16());
  const address: Address = { family, parts, port: reader.uint16() };
  if (reader.isBroken || !isUsable(address)) {
    reader.refuse();
    return '';
  }
  return formatAddress(address);
}

/** The most frequent kind, without a list of its parts. */
function readIpv4(reader: ByteReader): string {
  const high = reader.uint16();
  const low = reader.uint16();
  const port = reader.uint16();
  if (!reader.isBroken && isUsableIpv4(high >> 8, port)) {
    return `${high >> 8}.${high & 255}.${low >> 8}.${low & 255}:${port}`;
  }
  reader.refuse();
  return '';
}

/** The bytes of an address with its family; what is of another family has no more. */
export function addressLength(family: number): number {
  if (family === 4) return 7;
  return family === 6 ? 19 : 1;
}

const DOT = 46;
const COLON = 58;

/**
 * Writes a canonical IPv4 address; false, and nothing is written, for any other text. Digits are counted
 * and leading zeros refused, so that what is not canonical takes the other way.
 */
function writeIpv4(writer: ByteWriter, text: string): boolean {
  let high = 0; // the first two numbers, then the other two
  let low = 0;
  let number = 0;
  let digits = 0;
  let count = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code >= 48 && code <= 57) {
      if (digits > 0 && number === 0) return false;
      number = number * 10 + code - 48;
      if (++digits > 5) return false;
      continue;
    }
    if (code !== (count < 3 ? DOT : COLON) || digits === 0 || number > 255) return false;
    if (count < 2) high = (high << 8) | number;
    else low = (low << 8) | number;
    if (++count > 4) return false;
    number = 0;
    digits = 0;
  }
  if (count !== 4 || digits === 0 || !isUsableIpv4(high >> 8, number)) return false;
  writer.uint8(4);
  writer.uint16(high);
  writer.uint16(low);
  writer.uint16(number);
  return true;
}

function parseAddress(text: string): Address | undefined {
  const v4 = IPV4_PATTERN.exec(text);
  if (v4 !== null) {
    const numbers = v4.slice(1).map(Number);
    const address: Address = { family: 4, parts: numbers.slice(0, 4), port: numbers[4]! };
    return numbers.slice(0, 4).every((n) => n <= 255) && isUsable(address) ? address : undefined;
  }
  const v6 = IPV6_PATTERN.exec(text);
  const parts = v6 === null ? undefined : parseGroups(v6[1]!);
  if (v6 === null || parts === undefined) return undefined;
  const address: Address = { family: 6, parts, port: Number(v6[2]!) };
  return isUsable(address) ? address : undefined;
}

function parseGroups(text: string): readonly number[] | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const groups = halves.map((half) => (half === '' ? [] : half.split(':')));
  const head = groups[0]!;
  const tail = groups[1] ?? [];
  const missing = 8 - head.length - tail.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const all = [...head, ...Array.from({ length: missing }, () => '0'), ...tail];
  if (!all.every((group) => /^[0-9a-f]{1,4}$/i.test(group))) return undefined;
  return all.map((group) => Number.parseInt(group, 16));
}

/** Unspecified, multicast, broadcast and port 0 are never a member. */
function isUsable(address: Address): boolean {
  const first = address.parts[0]!;
  if (address.family === 4) return isUsableIpv4(first, address.port);
  if (address.port < 1 || address.port > 65_535) return false;
  return first < 0xff00 && address.parts.some((part) => part !== 0);
}

function isUsableIpv4(first: number, port: number): boolean {
  return port >= 1 && port <= 65_535 && first !== 0 && first < 224;
}

/** IPv6 groups are written in full (no '::'): one address, one text. */
function formatAddress(address: Address): string {
  if (address.family === 4) return `${address.parts.join('.')}:${address.port}`;
  return `[${address.parts.map((part) => part.toString(16)).join(':')}]:${address.port}`;
}
