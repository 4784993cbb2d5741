/**
 * Which tenant a request speaks for. With multi-tenancy off the header is ignored; with it on the
 * header is required, exactly once, and checked.
 */
import { StarlingError } from '../model/errors.ts';
import { ANONYMOUS_TENANT, type TenantId, parseTenantId } from '../model/ids.ts';

/** `header` is what X-Scope-OrgID holds; several headers arrive joined by ', '. */
export function tenantOf(multitenancy: boolean, header: string | undefined): TenantId {
  if (!multitenancy) return ANONYMOUS_TENANT;
  if (header === undefined || header === '') throw new StarlingError('tenant.missing', undefined);
  return parseTenantId(header);
}
