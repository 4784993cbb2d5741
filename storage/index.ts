/** The storage engine's public face. */
export { BlockReader, readBlockMeta } from './block/block-reader.ts';
export { removeBlock, removeTemporaryBlocks } from './block/block-writer.ts';
export { type BlockFiles, type ByteSource, diskBlockFiles } from './block/byte-source.ts';
export type { BlockSelection } from './block/block-selection.ts';
export { collectBlockNames, collectBlockValues, selectBlockFrames } from './block/select-block.ts';
export { type BlockSource, type SourceSeries, cutBlock } from './block/cut.ts';
export { type ChunkBytes, isDecodable } from './block/format.ts';
export { SeriesSamples } from './block/series-samples.ts';
export { createSeriesEntry } from './block/series-reader.ts';
export type { BlockMeta } from './block/meta.ts';
export { type BlockId, blockIdTimeMs, newBlockId, parseBlockId } from './block/ulid.ts';
export { BucketStore } from './bucket/bucket-store.ts';
export {
  type BucketIndex,
  type DownsampledBlock,
  type IndexedBlock,
  allBlocks,
} from './bucket/bucket-index.ts';
export { BucketIndexCache } from './bucket/index-cache.ts';
export { probeBucket } from './bucket/probe.ts';
export { restoreBlock } from './bucket/restore.ts';
export { Shipping } from './bucket/shipping.ts';
export { Compactor } from './compact/compactor.ts';
export { downsamplingLevels } from './compact/plan-downsampling.ts';
export type { CompactorCounts, CompactorStatus, TenantStatus } from './compact/status.ts';
export {
  type TenantDeletion,
  putTenantDeletion,
  readTenantDeletion,
} from './compact/tenant-deletion.ts';
export { type Deletion, NO_DELETIONS } from './deletion/deletion.ts';
export { deletionsTouching } from './deletion/touching.ts';
export { DeletionRequests, type KnownRequest } from './deletion/requests.ts';
export { type RetentionRule, retentionDeletions } from './deletion/retention.ts';
export type { TenantDeletions } from './tenant-read.ts';
export { BlockUploads } from './upload/block-uploads.ts';
export { Committer, type CommitMode } from './committer.ts';
export {
  selectFrames,
  selectLabelNames,
  selectLabelSets,
  selectLabelValues,
  type SelectHints,
} from './head/select.ts';
export { cutJitterMs } from './cut-plan.ts';
export type { LocalBlock } from './local-blocks.ts';
export { Head } from './head/head.ts';
export { joinSeriesFrames, mergeLabelSets, mergeSeriesFrames } from './merge/merge.ts';
export { Pacer, sortPaced } from './pacer.ts';
export { histogramChunksOf } from './chunk/histogram-pieces.ts';
export { xorChunksOf } from './chunk/xor-chunks.ts';
export { type AppendResult, batchPart, joinResults } from './batch-appender.ts';
export type { TenantExemplarStats } from './exemplar-appender.ts';
export { type SeriesExemplars, type StoredExemplar, compareExemplars } from './exemplars.ts';
export { FILING_ALL } from './head/chunk-files.ts';
export { Tsdb, type TsdbOptions, type TsdbStats } from './tsdb.ts';
export type { FoundLoss } from './tenant-blocks.ts';
export { TsdbManager, type TsdbManagerOptions, tenantPathParts } from './tsdb-manager.ts';
