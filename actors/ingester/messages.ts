/**
 * The ingester's whole protocol. One actor a shard (`/ingester/0` … `/ingester/15`); a tenant lives in
 * the shard that `ingesterShardOf` names, on every instance alike.
 *
 *   exemplars     streams exemplars by series, as msgpack arrays of [series, times, values, labels]
 *   flush         cuts what the heads of its tenants hold, and ships it
 *   metadata      streams what metrics are, as msgpack arrays of [name, type, help, unit, age in ms]
 *   push          appends a batch and answers when the log is durable
 *   push-metadata notes what metrics are
 *   select        streams series with their chunks, as series frames; or, of a small answer, tells their digest only
 *   series        streams label sets, as series frames without chunks
 *   label-names   streams names, as msgpack arrays; so does label-values
 *   tenants       streams who has data here and since when: msgpack arrays of '<oldest ms> <tenant>'
 *   tick          time passes: retention, counters
 */
import type { StarlingError } from '../../model/errors.ts';
import type { InstanceId, TenantId } from '../../model/ids.ts';
import type { Selectors } from '../../model/matchers.ts';
import type { MetricMetadata } from '../../model/metadata.ts';
import type { TimeRange } from '../../model/sample.ts';
import type { WriteBatch } from '../../model/wire/write-batch.ts';
import type { SelectHints } from '../../storage/index.ts';
import type { Reply, StreamReply } from '../runtime/index.ts';

export const INGESTER_SHARDS = 16;

/** Entries of one `push-metadata`. */
export const METADATA_PER_MESSAGE_MAX = 512;

export interface PushAnswer {
  /** Indexes of series that are unknown here: nothing of them was stored. Rising. */
  readonly unknown: Uint32Array;
  /** Indexes of series of which a sample was refused. Rising. */
  readonly rejected: Uint32Array;
  readonly errors: readonly StarlingError[];
}

/** What every read answer ends with. */
export interface ReadSummary {
  /** Digest of the responder's registry. */
  readonly digest: string;
  /** Data before this time is not held any more. */
  readonly oldestTimeMs: number;
  /**
   * Nothing older is held here, but for what was left out because it is settled. Told when something was to be left out;
   * absent: not known.
   */
  readonly heldFromMs?: number | undefined;
  /** Of the series of a small answer (model/wire/series-digest.ts), when it was asked for. Without frames: instead of them. */
  readonly content?: string | undefined;
}

/** What a select is to tell of its series, if they are few: their digest too, or nothing else. */
export type DigestWish = 'also' | 'instead';
/** Of answers up to so many bytes a digest is told. */
export const DIGEST_BYTES_MAX = 128 * 1024;

/** Which series and times a read asks for. */
export interface ReadScope {
  readonly tenant: TenantId;
  /** Each inner list is one selector; a series counts when any of them matches. None: all series. */
  readonly selectors: Selectors;
  readonly range: TimeRange;
  /** The most items to answer with; 0 is no limit. */
  readonly limit: number;
}

/** What a flush did. */
export interface FlushAnswer {
  readonly blocksCut: number;
  readonly blocksShipped: number;
}

export type IngesterMessage =
  | {
      readonly type: 'exemplars';
      readonly scope: ReadScope;
      readonly reply: StreamReply<ReadSummary>;
    }
  | { readonly type: 'flush'; readonly reply: Reply<FlushAnswer> }
  | {
      readonly type: 'label-names';
      readonly scope: ReadScope;
      readonly reply: StreamReply<ReadSummary>;
    }
  | {
      readonly type: 'label-values';
      readonly name: string;
      readonly scope: ReadScope;
      readonly reply: StreamReply<ReadSummary>;
    }
  | {
      readonly type: 'metadata';
      readonly tenant: TenantId;
      /** Only of this metric. */
      readonly metric?: string | undefined;
      /** The most metrics to tell, whichever; 0 is no limit. */
      readonly limit: number;
      readonly reply: StreamReply<ReadSummary>;
    }
  | {
      readonly type: 'push';
      readonly batch: WriteBatch;
      readonly from: InstanceId;
      readonly reply: Reply<PushAnswer>;
    }
  | {
      readonly type: 'push-metadata';
      readonly tenant: TenantId;
      readonly entries: readonly MetricMetadata[];
      readonly from: InstanceId;
      readonly reply: Reply<null>;
    }
  | {
      readonly type: 'select';
      readonly scope: ReadScope;
      readonly hints: SelectHints;
      readonly content?: DigestWish | undefined;
      readonly reply: StreamReply<ReadSummary>;
    }
  | { readonly type: 'series'; readonly scope: ReadScope; readonly reply: StreamReply<ReadSummary> }
  | { readonly type: 'tenants'; readonly reply: StreamReply<ReadSummary> }
  | { readonly type: 'tick'; readonly nowMs: number };

/** The shard of a tenant: FNV-1a over its characters, the same on every instance. */
export function ingesterShardOf(tenant: TenantId): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < tenant.length; i++) hash = Math.imul(hash ^ tenant.charCodeAt(i), 0x01000193);
  return (hash >>> 0) % INGESTER_SHARDS;
}

/** The shard that answers for the tenants of all shards. */
export const TENANTS_PATH = '/ingester/0';

export function ingesterPathOf(tenant: TenantId): string {
  return `/ingester/${ingesterShardOf(tenant)}`;
}
