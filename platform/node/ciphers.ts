/** Ciphers from node:crypto. The tag length is always given: without it Node accepts cut tags. */
import { createCipheriv, createDecipheriv, createHmac, hkdfSync } from 'node:crypto';
import type { Ciphers } from '../platform.ts';

const TAG_BYTES = 16;

export function createNodeCiphers(): Ciphers {
  return {
    seal(key, nonce, aad, plain) {
      const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES });
      cipher.setAAD(aad);
      const body = cipher.update(plain);
      return Buffer.concat([body, cipher.final(), cipher.getAuthTag()]);
    },
    open(key, nonce, aad, sealed) {
      if (sealed.length < TAG_BYTES) return undefined;
      const at = sealed.length - TAG_BYTES;
      try {
        const cipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES });
        cipher.setAAD(aad);
        cipher.setAuthTag(sealed.subarray(at));
        return Buffer.concat([cipher.update(sealed.subarray(0, at)), cipher.final()]);
      } catch {
        return undefined; // the tag does not verify: the caller counts it
      }
    },
    deriveKey: (secret, salt, info, byteCount) =>
      new Uint8Array(hkdfSync('sha256', secret, salt, info, byteCount)),
    hmacSha256: (key, data) => createHmac('sha256', key).update(data).digest(),
  };
}
