/** What is to be read of one block. */
import type { Selectors } from '../../model/matchers.ts';
import type { TimeRange } from '../../model/sample.ts';
import type { Deletion } from '../deletion/deletion.ts';
import type { Pacer } from '../pacer.ts';
import type { BlockReader } from './block-reader.ts';
import type { SeriesEntry } from './series-reader.ts';

/** For blocks that are far away: gets what reading will need, in few requests. */
export interface BlockPrefetch {
  /** The entries of series, whose references rise. */
  entries(refs: Uint32Array): Promise<void>;
  /** The chunks that entries name. */
  chunks(entries: readonly SeriesEntry[]): Promise<void>;
}

export interface BlockSelection {
  readonly reader: BlockReader;
  readonly selectors: Selectors;
  readonly range: TimeRange;
  readonly pacer: Pacer;
  /** The tenant's fingerprint of canonical label bytes, four words. */
  readonly fingerprint: (labelBytes: Uint8Array, out: Uint32Array) => void;
  /** What of the tenant was deleted and can touch this read; absent: nothing. */
  readonly deletions?: readonly Deletion[] | undefined;
  /** Absent: all of the block is near. */
  readonly prefetch?: BlockPrefetch;
}
