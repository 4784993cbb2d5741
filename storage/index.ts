/** The storage engine's public face. */
export { Committer, type CommitMode } from './committer.ts';
export {
  selectFrames,
  selectLabelNames,
  selectLabelSets,
  selectLabelValues,
  type SelectHints,
  type Selectors,
} from './head/select.ts';
export { mergeLabelSets, mergeSeriesFrames } from './merge/merge.ts';
export { Tsdb, type AppendResult, type TsdbOptions, type TsdbStats } from './tsdb.ts';
export { TsdbManager, type TsdbManagerOptions } from './tsdb-manager.ts';
