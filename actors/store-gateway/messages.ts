/**
 * The store-gateway's whole protocol: reading blocks of the bucket. Answers are frames as the ingester's, so
 * that a reader merges both alike.
 *
 *   blocks-select        streams series with their chunks, as series frames
 *   blocks-series        streams label sets, as series frames without chunks
 *   blocks-label-names   streams names, as msgpack arrays; so does blocks-label-values
 *   read-deletions       the requests to delete series changed: answers when they were read again
 *   tick                 time passes: what this instance does not look after any more is forgotten
 *
 * A read names its blocks, and the answer says which were read: the reader compares.
 */
import type { SelectHints } from '../../storage/index.ts';
import type { ReadScope } from '../ingester/messages.ts';
import type { Reply, StreamReply } from '../runtime/index.ts';

export const STORE_GATEWAY_PATH = '/store-gateway';

/** What every read answer ends with. */
export interface BlocksSummary {
  readonly digest: string;
  /** The blocks that were read, each of them whole. */
  readonly blocks: readonly string[];
  /** Why others were not, for people. */
  readonly failures: readonly string[];
}

export interface BlocksScope extends ReadScope {
  /** ULIDs. */
  readonly blocks: readonly string[];
}

export type BlocksRead =
  | { readonly type: 'blocks-label-names' }
  | { readonly type: 'blocks-label-values'; readonly name: string }
  | { readonly type: 'blocks-select'; readonly hints: SelectHints }
  | { readonly type: 'blocks-series' };

export type StoreGatewayMessage =
  | (BlocksRead & { readonly scope: BlocksScope; readonly reply: StreamReply<BlocksSummary> })
  | { readonly type: 'read-deletions'; readonly reply: Reply<null> }
  | { readonly type: 'tick' };
