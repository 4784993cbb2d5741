/** The offline tools' public face: apart from storage/index.ts, so that a node does not load them. */
export { removeMark, putMark } from '../bucket/marks.ts';
export type { MarkKind } from '../bucket/layout.ts';
export { listBucketTenants } from '../bucket/scan.ts';
export type { ByteSource } from '../block/byte-source.ts';
export { type BlockId, parseBlockId } from '../block/ulid.ts';
export { Pacer } from '../pacer.ts';
export { type Finding, FINDINGS, isFault } from './findings.ts';
export type { SourceSeries } from '../block/cut.ts';
export type { ChunkBytes } from '../block/format.ts';
export { exportFromBlocks } from './export/from-blocks.ts';
export type { ExportSource } from './export/source.ts';
export { exportBlocks } from './export/to-blocks.ts';
export { exportText } from './export/to-text.ts';
export { importBlock } from './import-block.ts';
export { importOpenMetrics } from './openmetrics/import.ts';
export {
  type BlockPlace,
  type ListedBlock,
  bucketPlace,
  directoryPlace,
  listPlace,
} from './place.ts';
export type { PlaceDeletions } from './place-deletions.ts';
export type { Repaired } from './repair.ts';
export { repairInBucket, repairInDirectory } from './replace.ts';
export { type BlockStatistics, blockStatistics } from './statistics.ts';
export { verifyBlock } from './verify.ts';
