/**
 * Which tenant a request speaks for. With multi-tenancy off the header is ignored; with it on the
 * header is required, exactly once, and checked. Reads may list tenants as Cortex does, `a|b`: repetitions
 * count once, one bad id refuses the whole list, and more than one tenant is refused, because
 * answers are of one tenant here.
 */
import { StarlingError } from '../model/errors.ts';
import { ANONYMOUS_TENANT, type TenantId, parseTenantId } from '../model/ids.ts';

/** A longer list is refused before its ids are looked at. */
export const TENANTS_MAX = 100;

/** `header` is what X-Scope-OrgID holds; several headers arrive joined by ', '. */
export function tenantOf(multitenancy: boolean, header: string | undefined): TenantId {
  if (!multitenancy) return ANONYMOUS_TENANT;
  if (header === undefined || header === '') throw new StarlingError('tenant.missing', undefined);
  return parseTenantId(header);
}

/** The same for a request that only reads. Throws `tenant.federation_off` for several tenants. */
export function readTenantOf(multitenancy: boolean, header: string | undefined): TenantId {
  if (!multitenancy || header?.includes('|') !== true) return tenantOf(multitenancy, header);
  const listed = header.split('|');
  if (listed.length > TENANTS_MAX) {
    throw new StarlingError('tenant.invalid', {
      tenant: header.slice(0, 32),
      why: `lists ${listed.length} tenants, the limit is ${TENANTS_MAX}`,
    });
  }
  const [first, ...others] = new Set(listed.map(parseTenantId));
  if (first === undefined || others.length > 0) {
    throw new StarlingError('tenant.federation_off', { count: others.length + 1 });
  }
  return first;
}
