/**
 * The envelope of every gossip datagram. Nothing of a datagram is believed before `open` returned
 * its payload; the rest of the membership code sees only such payloads.
 *
 *   0         1        2              6            10          22           28
 *   version 1 | mode 1 | label hash 4 | key id 4 | boot salt 12 | counter 6 | sealed payload | tag 16
 *
 *   mode 1 (cluster key): AES-256-GCM; key = HKDF(cluster key, salt), nonce = 0^6 | counter,
 *           associated data = the header and the whole label
 *   mode 0 (no key):      the payload is plain and the tag is a checksum over header and payload,
 *           keyed by the label
 *
 * A salt is drawn at every start and a counter never repeats under it, so a nonce never repeats
 * under a key, and the same counter is the replay check. Whether a cluster has a key is a fact of
 * the receiver: a plain datagram is never accepted while a key is set.
 */
import type { Ciphers, Random } from '../../platform/platform.ts';
import { deriveBootKey, isEqualBytes, type ClusterKey, type Keyring } from './keyring.ts';
import { ReplayWindow } from './replay.ts';
import type { DropReason } from './types.ts';

export const PACKET_VERSION = 1;
export const SALT_BYTES = 12;
const HEADER_BYTES = 28;
const TAG_BYTES = 16;
/** What the envelope adds to a payload. */
export const PACKET_OVERHEAD_BYTES = HEADER_BYTES + TAG_BYTES;
/** No datagram is longer; a longer one was not ours. */
const PACKET_BYTES_MAX = 65_507;
const COUNTER_MAX = 2 ** 48 - 1;
/** Sender boots remembered; the longest silent one makes room. */
const SENDERS_MAX = 16_384;
/** Unknown salts that may be tried in one second: each costs a key derivation. */
const NEW_SALTS_PER_SECOND_MAX = 2_000;

interface Sender {
  readonly keyId: number;
  readonly key: Uint8Array;
  readonly window: ReplayWindow;
}

export type Opened = { readonly payload: Uint8Array } | { readonly dropped: DropReason };

/** Seals and opens datagrams. Owns the counter and the replay windows. */
export class PacketCipher {
  readonly #ciphers: Ciphers;
  readonly #salt: Uint8Array;
  #ring: Keyring;
  #sealKey: Uint8Array | undefined;
  #aad: Uint8Array;
  #counter = 0;
  /** By key id and salt; in order of last use. */
  readonly #senders = new Map<string, Sender>();
  #newSaltsSecond = -1;
  #newSalts = 0;

  constructor(ciphers: Ciphers, random: Random, ring: Keyring) {
    this.#ciphers = ciphers;
    this.#salt = random.bytes(SALT_BYTES);
    this.#ring = ring;
    this.#sealKey = this.#deriveSealKey();
    this.#aad = makeAad(ring);
  }

  /** Takes a rotated ring. The counter goes on, so a key used again never repeats a nonce. */
  setKeyring(ring: Keyring): void {
    this.#ring = ring;
    this.#sealKey = this.#deriveSealKey();
    this.#aad = makeAad(ring);
    // Senders of the keys that stay keep their windows: a rotation must not open a replay.
    for (const [name, sender] of this.#senders) {
      if (!ring.keys.some((key) => key.id === sender.keyId)) this.#senders.delete(name);
    }
  }

  seal(payload: Uint8Array): Uint8Array {
    const key = this.#ring.keys[0];
    const counter = this.#counter++;
    const packet = new Uint8Array(HEADER_BYTES + payload.length + TAG_BYTES);
    this.#writeHeader(packet, key?.id ?? 0, counter);
    if (this.#sealKey === undefined) {
      packet.set(payload, HEADER_BYTES);
      const tagged = packet.subarray(0, HEADER_BYTES + payload.length);
      packet.set(this.#checksum(tagged), tagged.length);
      return packet;
    }
    const aad = this.#fillAad(packet);
    packet.set(this.#ciphers.seal(this.#sealKey, nonceOf(packet), aad, payload), HEADER_BYTES);
    return packet;
  }

  /** The payload of a genuine datagram, or why it was dropped. Never throws. */
  open(packet: Uint8Array, nowMs: number): Opened {
    if (packet.length <= PACKET_OVERHEAD_BYTES || packet.length > PACKET_BYTES_MAX) {
      return { dropped: 'cipher_length' };
    }
    if (packet[0] !== PACKET_VERSION) return { dropped: 'cipher_version' };
    const hasKey = this.#ring.keys.length > 0;
    if (packet[1] !== Number(hasKey)) return { dropped: 'cipher_mode' };
    const view = new DataView(packet.buffer, packet.byteOffset, packet.length);
    if (view.getUint32(2) !== this.#ring.labelHash) return { dropped: 'cipher_label' };
    return hasKey ? this.#openSealed(packet, view, nowMs) : this.#openPlain(packet);
  }

  #openPlain(packet: Uint8Array): Opened {
    const tagged = packet.subarray(0, packet.length - TAG_BYTES);
    const tag = packet.subarray(packet.length - TAG_BYTES);
    if (!isEqualBytes(this.#checksum(tagged), tag)) return { dropped: 'cipher_tag' };
    return { payload: tagged.slice(HEADER_BYTES) };
  }

  #openSealed(packet: Uint8Array, view: DataView, nowMs: number): Opened {
    const keyId = view.getUint32(6);
    const salt = packet.subarray(10, 10 + SALT_BYTES);
    const name = senderName(view);
    let sender = this.#senders.get(name);
    const isNew = sender === undefined;
    if (sender === undefined) {
      const key = this.#ring.keys.find((candidate) => candidate.id === keyId);
      if (key === undefined) return { dropped: 'cipher_key_unknown' };
      if (!this.#admitsSalt(nowMs)) return { dropped: 'cipher_salt_rate' };
      sender = this.#newSender(key, salt);
    }
    const counter = view.getUint16(22) * 0x1_0000_0000 + view.getUint32(24);
    if (!sender.window.isFresh(counter)) return { dropped: 'cipher_counter_replayed' };
    const aad = this.#fillAad(packet);
    const sealed = packet.subarray(HEADER_BYTES);
    const payload = this.#ciphers.open(sender.key, nonceOf(packet), aad, sealed);
    if (payload === undefined) return { dropped: 'cipher_tag' };
    sender.window.accept(counter);
    this.#remember(name, sender, isNew);
    return { payload };
  }

  /** Forgeries with fresh salts may cost this node a bounded time, no more. */
  #admitsSalt(nowMs: number): boolean {
    const second = Math.floor(nowMs / 1_000);
    if (second !== this.#newSaltsSecond) {
      this.#newSaltsSecond = second;
      this.#newSalts = 0;
    }
    this.#newSalts++;
    return this.#newSalts <= NEW_SALTS_PER_SECOND_MAX;
  }

  #newSender(key: ClusterKey, salt: Uint8Array): Sender {
    return {
      keyId: key.id,
      key: deriveBootKey(this.#ciphers, key, salt, 'packet'),
      window: new ReplayWindow(),
    };
  }

  /** Only a sender that proved itself takes a place. */
  #remember(name: string, sender: Sender, isNew: boolean): void {
    if (isNew && this.#senders.size >= SENDERS_MAX) {
      const oldest = this.#senders.keys().next();
      if (oldest.done !== true) this.#senders.delete(oldest.value);
    }
    this.#senders.delete(name);
    this.#senders.set(name, sender);
  }

  #writeHeader(packet: Uint8Array, keyId: number, counter: number): void {
    const view = new DataView(packet.buffer);
    if (counter > COUNTER_MAX) throw new RangeError('gossip: the packet counter is exhausted');
    view.setUint8(0, PACKET_VERSION);
    view.setUint8(1, Number(this.#sealKey !== undefined));
    view.setUint32(2, this.#ring.labelHash);
    view.setUint32(6, keyId);
    packet.set(this.#salt, 10);
    view.setUint16(22, Math.floor(counter / 0x1_0000_0000));
    view.setUint32(24, counter >>> 0);
  }

  /** The associated data: this packet's header, then the label. Reused by the next call. */
  #fillAad(packet: Uint8Array): Uint8Array {
    this.#aad.set(packet.subarray(0, HEADER_BYTES));
    return this.#aad;
  }

  #checksum(tagged: Uint8Array): Uint8Array {
    return this.#ciphers.hmacSha256(this.#ring.checksumKey, tagged).subarray(0, TAG_BYTES);
  }

  #deriveSealKey(): Uint8Array | undefined {
    const key = this.#ring.keys[0];
    return key === undefined ? undefined : deriveBootKey(this.#ciphers, key, this.#salt, 'packet');
  }
}

function makeAad(ring: Keyring): Uint8Array {
  const aad = new Uint8Array(HEADER_BYTES + ring.labelBytes.length);
  aad.set(ring.labelBytes, HEADER_BYTES);
  return aad;
}

function nonceOf(packet: Uint8Array): Uint8Array {
  const nonce = new Uint8Array(12);
  nonce.set(packet.subarray(22, 28), 6);
  return nonce;
}

function senderName(view: DataView): string {
  return `${view.getUint32(6)}.${view.getUint32(10)}.${view.getUint32(14)}.${view.getUint32(18)}`;
}
