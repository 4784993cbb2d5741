/** The querier's whole protocol: what the HTTP edge asks. Local only. */
import type { TenantId } from '../../model/ids.ts';
import type { Selectors } from '../../model/matchers.ts';
import type { TimeRange } from '../../model/sample.ts';
import type { Reply } from '../runtime/index.ts';

import type { SourceResolution } from './choose-blocks.ts';

export const QUERIER_PATH = '/querier';

export interface Query {
  readonly tenant: TenantId;
  readonly query: string;
  readonly startMs: number;
  readonly endMs: number;
  /** 0 for an instant query. */
  readonly stepMs: number;
  readonly lookbackMs: number | undefined;
  readonly timeoutMs: number | undefined;
  readonly limit: number;
  /** Which blocks may be read; undefined: as set for all queries. */
  readonly maxSourceResolution?: SourceResolution | undefined;
  readonly wants?: QueryWants;
}

/** What is told beside the result. */
export interface QueryWants {
  readonly explain?: boolean;
  /** In total, or by step too. */
  readonly stats?: 'all' | 'totals' | undefined;
}

export interface QueryOutcome {
  /** The JSON of the envelope's `data`. */
  readonly data: Uint8Array;
  readonly warnings: readonly string[];
  readonly infos: readonly string[];
  /** The JSON of the envelope's `explain`. */
  readonly explain?: string | undefined;
}

export interface SeriesQuery {
  readonly tenant: TenantId;
  readonly selectors: Selectors;
  readonly range: TimeRange;
  readonly limit: number;
}

export interface NamesOutcome {
  /** A JSON array: of names, or of label sets. */
  readonly data: Uint8Array;
  readonly warnings: readonly string[];
}

export interface MetadataQuery {
  readonly tenant: TenantId;
  /** Undefined: all metrics. */
  readonly metric: string | undefined;
  /** The most metrics, and the most of each; negative: no limit. */
  readonly limit: number;
  readonly limitPerMetric: number;
}

export interface ExemplarsQuery {
  readonly tenant: TenantId;
  /** An expression: its selectors count, and nothing else of it. */
  readonly query: string;
  readonly range: TimeRange;
}

export interface RemoteRead {
  readonly tenant: TenantId;
  /** A ReadRequest, decompressed. */
  readonly body: Uint8Array;
}

export interface RemoteReadOutcome {
  readonly data: Uint8Array;
  readonly kind: 'chunks' | 'samples';
}

export type QuerierMessage =
  | {
      readonly type: 'cardinality';
      readonly query: SeriesQuery;
      readonly reply: Reply<NamesOutcome>;
    }
  | {
      readonly type: 'exemplars';
      /** The answer has no data when the expression selects nothing. */
      readonly query: ExemplarsQuery;
      readonly reply: Reply<NamesOutcome>;
    }
  | {
      readonly type: 'label-names';
      readonly query: SeriesQuery;
      readonly reply: Reply<NamesOutcome>;
    }
  | {
      readonly type: 'label-values';
      readonly name: string;
      readonly query: SeriesQuery;
      readonly reply: Reply<NamesOutcome>;
    }
  | {
      readonly type: 'metadata';
      readonly query: MetadataQuery;
      readonly reply: Reply<NamesOutcome>;
    }
  | {
      readonly type: 'remote-read';
      readonly query: RemoteRead;
      readonly reply: Reply<RemoteReadOutcome>;
    }
  | { readonly type: 'query'; readonly query: Query; readonly reply: Reply<QueryOutcome> }
  | {
      readonly type: 'series';
      readonly query: SeriesQuery;
      readonly reply: Reply<NamesOutcome>;
    };
