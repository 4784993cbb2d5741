/**
 * Identities. Each is a branded string made only by its parsing function, so that a tenant can
 * never be passed where an instance is meant, and nothing unchecked becomes a path or a key.
 */
import { StarlingError } from './errors.ts';

export type TenantId = string & { readonly __brand: 'TenantId' };
export type InstanceId = string & { readonly __brand: 'InstanceId' };

/** The tenant of a cluster without multi-tenancy. */
export const ANONYMOUS_TENANT = 'anonymous' as TenantId;

const TENANT_PATTERN = /^[A-Za-z0-9!\-_.*'()]+$/;
const INSTANCE_PATTERN = /^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$/;
/** Cortex and Mimir keep the last two for objects that are no tenant's. */
const RESERVED_TENANTS: readonly string[] = ['.', '..', '__markers__', '__mimir_cluster'];
export const TENANT_BYTES_MAX = 150;
export const INSTANCE_BYTES_MAX = 63;

/**
 * Parses a tenant id: Cortex's character set (letters, digits, `!-_.*'()`), at most 150 bytes, not
 * `.`, `..` or a name that buckets keep for other things. Throws `tenant.invalid`.
 */
export function parseTenantId(text: string): TenantId {
  if (text.length > TENANT_BYTES_MAX) {
    throw new StarlingError('tenant.invalid', {
      tenant: text.slice(0, 32),
      why: `is ${text.length} bytes long, the limit is ${TENANT_BYTES_MAX}`,
    });
  }
  if (RESERVED_TENANTS.includes(text) || !TENANT_PATTERN.test(text)) {
    throw new StarlingError('tenant.invalid', {
      tenant: text,
      why: "may hold only letters, digits and !-_.*'() and must not be . or ..",
    });
  }
  return text as TenantId;
}

/**
 * Parses an instance id: letters, digits, `.`, `_`, `-`, at most 63 bytes, starting and ending with
 * a letter or digit. Throws `instance.invalid`.
 */
export function parseInstanceId(text: string): InstanceId {
  if (text.length > INSTANCE_BYTES_MAX || !INSTANCE_PATTERN.test(text)) {
    throw new StarlingError('instance.invalid', { instance: text.slice(0, 80) });
  }
  return text as InstanceId;
}

/** The same of ASCII bytes `[from, to)`; undefined for what `parseInstanceId` refuses. */
export function parseInstanceBytes(
  bytes: Uint8Array,
  from: number,
  to: number,
): InstanceId | undefined {
  if (to <= from || to - from > INSTANCE_BYTES_MAX) return undefined;
  if (!isAlphanumeric(bytes[from]!) || !isAlphanumeric(bytes[to - 1]!)) return undefined;
  let text = '';
  for (let i = from; i < to; i++) {
    const code = bytes[i]!;
    if (!isInstanceByte(code)) return undefined;
    text += String.fromCharCode(code);
  }
  return text as InstanceId; // as the pattern has it
}

function isAlphanumeric(code: number): boolean {
  return (code >= 48 && code <= 57) || (code >= 65 && code <= 90) || (code >= 97 && code <= 122);
}

/** Also `-`, `.` and `_`. */
function isInstanceByte(code: number): boolean {
  return isAlphanumeric(code) || code === 45 || code === 46 || code === 95;
}
