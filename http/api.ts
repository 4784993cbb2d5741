/**
 * What the HTTP edge needs of a node: bytes and parameters in, answers out. The composition root
 * gives the real one (asks to actors); tests give a fake. Every method rejects with a StarlingError.
 */
import type { StarlingError } from '../model/errors.ts';
import type { TenantId } from '../model/ids.ts';
import type { Selectors } from '../model/matchers.ts';
import type { TimeRange } from '../model/sample.ts';
import type { BlockUploads, CompactorStatus, TenantDeletion } from '../storage/index.ts';

/** Tells a long answer that nobody waits for it any more. Fires at most once. */
export interface Cancellation {
  readonly isCancelled: boolean;
  onCancel(callback: () => void): void;
}

export interface PushOutcome {
  readonly samplesStored: number;
  /** Set when some series or samples were refused: the rest was stored. */
  readonly refused: StarlingError | undefined;
}

export interface QueryRequest {
  readonly tenant: TenantId;
  readonly query: string;
  readonly startMs: number;
  readonly endMs: number;
  /** 0 for an instant query. */
  readonly stepMs: number;
  readonly lookbackMs: number | undefined;
  readonly timeoutMs: number | undefined;
  readonly limit: number;
  /** Which blocks may be read; undefined: as configured. */
  readonly maxSourceResolution?: '1h' | '5m' | 'auto' | 'raw' | undefined;
  /** What the answer tells beside its result. */
  readonly wants?: { readonly explain?: boolean; readonly stats?: 'all' | 'totals' | undefined };
  readonly cancellation: Cancellation;
}

export interface QueryAnswer {
  /** The JSON of the envelope's `data`. */
  readonly data: Uint8Array;
  readonly warnings: readonly string[];
  readonly infos: readonly string[];
  /** The JSON of the envelope's `explain`, when it was asked for. */
  readonly explain?: string | undefined;
}

export interface FlushOutcome {
  readonly blocksCut: number;
  readonly blocksShipped: number;
}

export interface SeriesRequest {
  readonly tenant: TenantId;
  /** Each inner list is one `match[]`; none: everything. */
  readonly selectors: Selectors;
  readonly range: TimeRange;
  /** 0: no limit. */
  readonly limit: number;
  readonly cancellation: Cancellation;
}

export interface MetadataRequest {
  readonly tenant: TenantId;
  /** Undefined: all metrics. */
  readonly metric: string | undefined;
  /** The most metrics, and the most of each; negative: no limit. */
  readonly limit: number;
  readonly limitPerMetric: number;
  readonly cancellation: Cancellation;
}

export interface ExemplarsRequest {
  readonly tenant: TenantId;
  /** An expression: its selectors count, and nothing else of it. */
  readonly query: string;
  readonly range: TimeRange;
  readonly cancellation: Cancellation;
}

export interface NamesAnswer {
  /** The JSON of the envelope's `data`. */
  readonly data: Uint8Array;
  readonly warnings: readonly string[];
}

export interface RemoteReadRequest {
  readonly tenant: TenantId;
  readonly body: Uint8Array;
  readonly cancellation: Cancellation;
}

export interface RemoteReadAnswer {
  readonly data: Uint8Array;
  /** A stream of chunks, or samples compressed with snappy. */
  readonly kind: 'chunks' | 'samples';
}

export interface RingRow {
  readonly id: string;
  readonly zone: string;
  readonly state: string;
  readonly liveness: string;
  readonly httpAddress: string;
  readonly grpcAddress: string;
  readonly gossipAddress: string;
  readonly bootCounter: number;
  readonly tokens: number;
  /** Share of the key space this instance is the first replica of, 0 to 1. */
  readonly ownership: number;
  /** Its data of before this time is incomplete, and its answers do not count there; 0: it is whole. */
  readonly missingBeforeMs: number;
}

export interface RingStatus {
  readonly self: string;
  readonly replicationFactor: number;
  readonly configuredReplicationFactor: number;
  readonly digest: string;
  readonly instances: readonly RingRow[];
}

export interface MemberRow {
  readonly id: string;
  readonly address: string;
  readonly state: string;
  readonly incarnation: number;
  readonly bootCounter: number;
}

export interface MembersStatus {
  readonly self: string;
  readonly healthScore: number;
  readonly members: readonly MemberRow[];
  readonly counters: Readonly<Record<string, number>>;
}

export interface ServiceRow {
  readonly name: string;
  readonly state: string;
}

/** A request to delete series. */
export interface DeletionRow {
  readonly id: string;
  readonly selectors: Selectors;
  readonly range: TimeRange;
  readonly createdAtMs: number;
  readonly cancelUntilMs: number;
  readonly state: 'cancelled' | 'processed' | 'received';
}

/** Deleting series. */
export interface DeletionsApi {
  readonly isEnabled: boolean;
  /** Resolves when the request is in the bucket and in force here. */
  add(
    tenant: TenantId,
    wanted: { readonly selectors: DeletionRow['selectors']; readonly range: TimeRange },
  ): Promise<void>;
  /** Newest first. */
  list(tenant: TenantId): readonly DeletionRow[];
  cancel(tenant: TenantId, id: string): Promise<void>;
}

export interface NodeApi {
  push(tenant: TenantId, body: Uint8Array): Promise<PushOutcome>;
  query(request: QueryRequest): Promise<QueryAnswer>;
  series(request: SeriesRequest): Promise<NamesAnswer>;
  labelNames(request: SeriesRequest): Promise<NamesAnswer>;
  labelValues(name: string, request: SeriesRequest): Promise<NamesAnswer>;
  /** Exemplars of what an expression selects: the JSON of `query_exemplars`; empty: it selects nothing. */
  exemplars(request: ExemplarsRequest): Promise<NamesAnswer>;
  /** What metrics are: the JSON of `metadata`. */
  metadata(request: MetadataRequest): Promise<NamesAnswer>;
  /** Where a tenant's series come from: the JSON of `status/tsdb`; `limit` rows of each kind. */
  cardinality(request: SeriesRequest): Promise<NamesAnswer>;
  /** Answers a decompressed ReadRequest. */
  remoteRead(request: RemoteReadRequest): Promise<RemoteReadAnswer>;
  /** Why the node is not ready; empty: it is. */
  notReady(): readonly string[];
  metrics(): Promise<string>;
  ring(): RingStatus;
  members(): MembersStatus;
  services(): readonly ServiceRow[];
  /** The effective configuration as YAML, secrets masked. */
  config(): string;
  /** The same as flat texts by key, `head.retention: 3h`. */
  flags(): Readonly<Record<string, string>>;
  /** Cuts what the heads of this node hold into blocks and ships them; resolves when they are shipped. */
  flush(): Promise<FlushOutcome>;
  /** What this node's compactor does, and what is planned. */
  compactor(): Promise<CompactorStatus>;
  /** Has all blocks of a tenant deleted. */
  deleteTenant(tenant: TenantId): Promise<void>;
  /** How far that is; undefined: nobody asked for it. */
  tenantDeletion(tenant: TenantId): Promise<TenantDeletion | undefined>;
  /** Blocks that clients upload. */
  readonly blockUploads: Pick<BlockUploads, 'check' | 'finish' | 'putFile' | 'start'>;
  readonly deletions: DeletionsApi;
  forget(instance: string): Promise<void>;
}
