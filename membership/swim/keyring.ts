/**
 * Who may speak in this cluster: its label and its keys. The first key seals, all of them open, so
 * a key is rotated in three steps without losing anybody: add the new one as second everywhere, make
 * it first everywhere, remove the old one everywhere.
 *
 * Without keys the label alone keys a checksum. That keeps two clusters apart and catches damaged
 * bytes; it proves nothing against somebody who knows the label.
 */
import { assert } from '../../model/assert.ts';
import type { Ciphers } from '../../platform/platform.ts';

const KEY_BYTES = 32;
const KEY_ID_BYTES = 4;
const LABEL_HASH_BYTES = 4;
export const LABEL_BYTES_MAX = 255;

export interface ClusterKey {
  /** Four bytes that name the key on the wire without revealing it. */
  readonly id: number;
  readonly secret: Uint8Array;
}

/** Labels and keys ready for use. Rotation makes a new ring. */
export interface Keyring {
  readonly label: string;
  readonly labelBytes: Uint8Array;
  readonly labelHash: number;
  /** The first one seals; empty = the cluster has no key. */
  readonly keys: readonly ClusterKey[];
  /** Keys the checksum of clusters without a key. */
  readonly checksumKey: Uint8Array;
}

/** Prepares a keyring; secrets are 16 to 64 bytes, the first one is the primary. */
export function createKeyring(
  ciphers: Ciphers,
  label: string,
  secrets: readonly Uint8Array[],
): Keyring {
  const labelBytes = new TextEncoder().encode(label);
  assert(
    labelBytes.length > 0 && labelBytes.length <= LABEL_BYTES_MAX,
    'gossip: the cluster label must have 1 to 255 bytes',
  );
  const empty = new Uint8Array(0);
  const checksumKey = ciphers.deriveKey(labelBytes, empty, 'starling gossip label', KEY_BYTES);
  return {
    label,
    labelBytes,
    labelHash: readUint32(ciphers.hmacSha256(checksumKey, labelBytes)),
    checksumKey,
    keys: secrets.map((secret) => {
      assert(secret.length >= 16 && secret.length <= 64, 'gossip: a cluster key has 16-64 bytes');
      const id = ciphers.deriveKey(secret, empty, 'starling gossip key id', KEY_ID_BYTES);
      return { id: readUint32(id), secret };
    }),
  };
}

/** The key of one boot of one node: what a nonce must never repeat under. */
export function deriveBootKey(
  ciphers: Ciphers,
  key: ClusterKey,
  salt: Uint8Array,
  purpose: 'packet' | 'stream',
): Uint8Array {
  return ciphers.deriveKey(key.secret, salt, `starling gossip ${purpose}`, KEY_BYTES);
}

/** Compares without telling by its time where the difference is. */
export function isEqualBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  let difference = 0;
  for (let i = 0; i < a.length; i++) difference |= a[i]! ^ b[i]!;
  return difference === 0;
}

function readUint32(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset, LABEL_HASH_BYTES).getUint32(0);
}
