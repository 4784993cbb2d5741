/**
 * The first frame of a stream: proof that the dialler holds a cluster key, and who it is.
 *
 *   version 1 | mode 1 | label hash 4 | key id 4 | boot salt 12 | counter 6 | boot u32
 *   | protocol u8 | instance id | HMAC-SHA256 32
 *
 * The HMAC key is HKDF(cluster key, salt) (its own purpose, so a packet key is never used here), the
 * label is part of what it covers, and the counter rises with every hello of a boot: a recorded
 * hello is refused by every node that saw that one or a later one. It needs no challenge, so it
 * costs no round trip; against a recorder who redirects it to a node that never saw it, only TLS
 * helps. Without a cluster key the proof is the label's checksum, as in cipher.ts.
 */
import type { InstanceId } from '../../model/ids.ts';
import type { Ciphers, Random } from '../../platform/platform.ts';
import { ByteReader, ByteWriter } from './bytes.ts';
import { SALT_BYTES } from './cipher.ts';
import { deriveBootKey, isEqualBytes, type Keyring } from './keyring.ts';
import { ReplayWindow } from './replay.ts';
import { GOSSIP_PROTOCOL } from './types.ts';

const HELLO_VERSION = 1;
const PROOF_BYTES = 32;
/** No hello is longer. */
export const HELLO_BYTES_MAX = 256;
/** Sender boots whose counters are remembered. */
const SENDERS_MAX = 16_384;

/** Who is at the other end of a stream. */
export interface Hello {
  readonly id: InstanceId;
  readonly boot: number;
  readonly protocol: number;
}

export type HelloRefusal = 'key_unknown' | 'label' | 'malformed' | 'mode' | 'proof' | 'replayed';
export type VerifiedHello = { readonly hello: Hello } | { readonly refused: HelloRefusal };

/** Makes and checks hellos. Owns the counter of this boot and the windows of the others. */
export class HelloCipher {
  readonly #ciphers: Ciphers;
  readonly #salt: Uint8Array;
  readonly #self: { readonly id: InstanceId; readonly boot: number };
  #ring: Keyring;
  #counter = 0;
  readonly #windows = new Map<string, ReplayWindow>();

  constructor(
    ciphers: Ciphers,
    random: Random,
    options: { readonly ring: Keyring; readonly id: InstanceId; readonly boot: number },
  ) {
    this.#ciphers = ciphers;
    this.#salt = random.bytes(SALT_BYTES);
    this.#self = { id: options.id, boot: options.boot };
    this.#ring = options.ring;
  }

  setKeyring(ring: Keyring): void {
    this.#ring = ring;
  }

  /** A hello for one new stream. */
  makeHello(): Uint8Array {
    const writer = new ByteWriter(HELLO_BYTES_MAX);
    const key = this.#ring.keys[0];
    writer.uint8(HELLO_VERSION);
    writer.uint8(Number(key !== undefined));
    writer.uint32(this.#ring.labelHash);
    writer.uint32(key?.id ?? 0);
    writer.bytes(this.#salt);
    writer.uint48(this.#counter++);
    writer.uint32(this.#self.boot);
    writer.uint8(GOSSIP_PROTOCOL);
    writer.instanceId(this.#self.id);
    const body = writer.finish();
    const secret =
      key === undefined
        ? this.#ring.checksumKey
        : deriveBootKey(this.#ciphers, key, this.#salt, 'stream');
    writer.bytes(this.#prove(secret, body));
    return writer.finish();
  }

  /** Checks a first frame. Never throws. */
  verifyHello(frame: Uint8Array): VerifiedHello {
    if (frame.length > HELLO_BYTES_MAX || frame.length <= PROOF_BYTES) return refuse('malformed');
    const body = frame.subarray(0, frame.length - PROOF_BYTES);
    const reader = new ByteReader(body);
    if (reader.uint8() !== HELLO_VERSION) return refuse('malformed');
    const hasKey = this.#ring.keys.length > 0;
    if (reader.uint8() !== Number(hasKey)) return refuse('mode');
    if (reader.uint32() !== this.#ring.labelHash) return refuse('label');
    const keyId = reader.uint32();
    const salt = reader.bytes(SALT_BYTES);
    const counter = reader.uint48();
    const hello = { boot: reader.uint32(), protocol: reader.uint8(), id: reader.instanceId() };
    if (!reader.isWhole) return refuse('malformed');
    const key = this.#ring.keys.find((candidate) => candidate.id === keyId);
    if (hasKey && key === undefined) return refuse('key_unknown');
    const secret =
      key === undefined
        ? this.#ring.checksumKey
        : deriveBootKey(this.#ciphers, key, salt, 'stream');
    const proof = frame.subarray(frame.length - PROOF_BYTES);
    if (!isEqualBytes(this.#prove(secret, body), proof)) return refuse('proof');
    return this.#isReplayed(salt, counter) ? refuse('replayed') : { hello };
  }

  #prove(secret: Uint8Array, body: Uint8Array): Uint8Array {
    const covered = new Uint8Array(body.length + this.#ring.labelBytes.length);
    covered.set(body);
    covered.set(this.#ring.labelBytes, body.length);
    return this.#ciphers.hmacSha256(secret, covered);
  }

  /** Marks the counter of a proved hello as used. */
  #isReplayed(salt: Uint8Array, counter: number): boolean {
    const name = salt.join('.');
    const window = this.#windows.get(name) ?? new ReplayWindow();
    if (!window.isFresh(counter)) return true;
    window.accept(counter);
    this.#windows.delete(name);
    this.#windows.set(name, window);
    if (this.#windows.size > SENDERS_MAX) {
      const oldest = this.#windows.keys().next();
      if (oldest.done !== true) this.#windows.delete(oldest.value);
    }
    return false;
  }
}

function refuse(refused: HelloRefusal): VerifiedHello {
  return { refused };
}
