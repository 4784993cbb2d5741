/** The Ciphers seam over node:crypto, for tests that need the real algorithms. */
import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from 'node:crypto';
import type { Ciphers, Random } from '../../platform/platform.ts';

const TAG_BYTES = 16;
const CIPHER_OPTIONS = { authTagLength: TAG_BYTES };

export const nodeCiphers: Ciphers = {
  seal(key, nonce, aad, plain) {
    const cipher = createCipheriv('aes-256-gcm', key, nonce, CIPHER_OPTIONS);
    cipher.setAAD(aad);
    return new Uint8Array(
      Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()]),
    );
  },
  open(key, nonce, aad, sealed) {
    if (sealed.length < TAG_BYTES) return undefined;
    const decipher = createDecipheriv('aes-256-gcm', key, nonce, CIPHER_OPTIONS);
    decipher.setAAD(aad);
    decipher.setAuthTag(sealed.subarray(sealed.length - TAG_BYTES));
    try {
      const plain = decipher.update(sealed.subarray(0, sealed.length - TAG_BYTES));
      return new Uint8Array(Buffer.concat([plain, decipher.final()]));
    } catch {
      return undefined; // the tag does not verify
    }
  },
  deriveKey(secret, salt, info, byteCount) {
    return new Uint8Array(hkdfSync('sha256', secret, salt, info, byteCount));
  },
  hmacSha256(key, data) {
    return new Uint8Array(createHmac('sha256', key).update(data).digest());
  },
};

/** Random over a seeded source, as the seam wants it. */
export function randomSeam(source: { float(): number; uint32(): number }): Random {
  return {
    float: () => source.float(),
    uint32: () => source.uint32(),
    bytes: (count) => Uint8Array.from({ length: count }, () => source.uint32() & 255),
  };
}

/** Unpredictable bytes, for keys. */
export function randomSecret(): Uint8Array {
  return new Uint8Array(randomBytes(32));
}
