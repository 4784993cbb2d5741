/**
 * All tenants of a node: one TSDB a tenant, each in a directory of its own, opened at start when it
 * exists and made on the first write. One committer serves all their logs.
 *
 * Directory names are injective and safe on file systems that fold case: a-z, 0-9, '-' and '_' stand
 * for themselves, everything else is '%' and two capital hex digits, and names over 200 characters go
 * on in a subdirectory, the outer one marked with '+'.
 */
import type { StarlingError } from '../model/errors.ts';
import { type TenantId, parseTenantId } from '../model/ids.ts';
import { joinPath } from './filenames.ts';
import { Tsdb, type TsdbOptions } from './tsdb.ts';

const PART_CHARACTERS_MAX = 200;

/** What differs between tenants is asked per tenant. */
export interface TsdbManagerOptions {
  /** Holds a directory for each tenant. */
  readonly directory: string;
  readonly optionsOf: (tenant: TenantId) => Omit<TsdbOptions, 'directory'>;
}

export class TsdbManager {
  readonly #options: TsdbManagerOptions;
  readonly #open = new Map<TenantId, Tsdb>();
  readonly #opening = new Map<TenantId, Promise<Tsdb>>();

  constructor(options: TsdbManagerOptions) {
    this.#options = options;
  }

  /** Opens every tenant that has a directory. Throws what the first one that fails throws. */
  async openExisting(): Promise<void> {
    const { disk } = this.#options.optionsOf('a' as TenantId); // any tenant's: the disk is the node's
    for (const tenant of await listTenants(disk, this.#options.directory, ''))
      await this.open(tenant);
  }

  /** The tenant's TSDB, if it is open: what reads use, an unknown tenant has no data. */
  get(tenant: TenantId): Tsdb | undefined {
    return this.#open.get(tenant);
  }

  /** Opens the tenant's TSDB, making it when it does not exist. */
  open(tenant: TenantId): Promise<Tsdb> {
    const known = this.#open.get(tenant);
    if (known !== undefined) return Promise.resolve(known);
    let opening = this.#opening.get(tenant);
    if (opening === undefined) {
      const directory = joinPath(this.#options.directory, ...tenantPathParts(tenant));
      opening = Tsdb.open({ ...this.#options.optionsOf(tenant), directory })
        .then((tsdb) => {
          this.#open.set(tenant, tsdb);
          return tsdb;
        })
        .finally(() => this.#opening.delete(tenant));
      this.#opening.set(tenant, opening);
    }
    return opening;
  }

  all(): ReadonlyMap<TenantId, Tsdb> {
    return this.#open;
  }

  /** Closes every TSDB; the first failure is thrown after all were tried. */
  async close(): Promise<void> {
    let failure: unknown;
    for (const tsdb of this.#open.values()) {
      try {
        await tsdb.close();
      } catch (error) {
        failure ??= error;
      }
    }
    this.#open.clear();
    if (failure !== undefined) throw failure as StarlingError;
  }
}

/** The path parts of a tenant's directory. */
export function tenantPathParts(tenant: TenantId): readonly string[] {
  const encoded = tenant.replace(
    /[^a-z0-9_-]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
  );
  const parts = [''];
  for (const unit of encoded.match(/%..|./g) ?? []) {
    if ((parts.at(-1) ?? '').length >= PART_CHARACTERS_MAX) {
      parts.push(`${parts.pop() ?? ''}+`, '');
    }
    parts.push((parts.pop() ?? '') + unit);
  }
  return parts;
}

async function listTenants(
  disk: TsdbOptions['disk'],
  directory: string,
  prefix: string,
): Promise<readonly TenantId[]> {
  const tenants: TenantId[] = [];
  for (const name of await disk.list(directory)) {
    if (!/^(?:[a-z0-9_-]|%[0-9A-F]{2})+\+?$/.test(name)) continue; // not ours
    if (name.endsWith('+')) {
      tenants.push(
        ...(await listTenants(disk, joinPath(directory, name), prefix + name.slice(0, -1))),
      );
    } else {
      tenants.push(parseTenantId(decodeURIComponent(prefix + name)));
    }
  }
  return tenants;
}
