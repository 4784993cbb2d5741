/** What a node is started with, and where in its data directory what lies. */
import type { NodeApi } from '../http/api.ts';
import type { TenantId } from '../model/ids.ts';
import type { Platform } from '../platform/platform.ts';
import { tenantPathParts } from '../storage/index.ts';
import type { Config } from './config.ts';
import type { LoopFigures } from './node-metrics.ts';

/** `restart`: the same command on the same directory goes on well; `failed`: somebody should look. */
export type EndKind = 'failed' | 'restart';

export interface NodeOptions {
  readonly platform: Platform;
  readonly config: Config;
  /** Absolute. */
  readonly dataDirectory: string;
  readonly zone: string;
  /** Where others reach this node; a port of 0 becomes the bound one. */
  readonly advertise: { readonly http: string; readonly grpc: string; readonly gossip: string };
  /** Cluster keys, the primary first; empty: no encryption. */
  readonly secrets: readonly Uint8Array[];
  readonly version: string;
  /** What the loop of this process did since it was last asked; a simulated node has no loop of its own. */
  readonly readLoop?: () => LoopFigures;
  /**
   * Serves the API over HTTP; the bound address out. Called before the instance is registered, so that
   * others are told the port that the system chose. A simulated node has no HTTP.
   */
  readonly serveHttp?: (api: NodeApi) => Promise<string>;
  /** This process must not go on: it was superseded, forgotten, or lost its disk. */
  readonly onEnd: (why: string, kind: EndKind) => void;
}

/** False: the bucket is a directory of this node alone. */
export function hasSharedBucket({ config }: NodeOptions): boolean {
  return config.bucket !== undefined;
}

export function tenantsDirectory({ dataDirectory }: NodeOptions): string {
  return `${dataDirectory}/tenants`;
}

export function tenantDirectory(options: NodeOptions, tenant: TenantId): string {
  return [tenantsDirectory(options), ...tenantPathParts(tenant)].join('/');
}
