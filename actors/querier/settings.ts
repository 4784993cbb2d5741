/**
 * What an operator can set about queries. Values only: the keys of the configuration, their defaults and
 * what is refused are in cli/settings.ts.
 */
import type { SourceResolution } from './choose-blocks.ts';

/** Bounds and defaults of queries on this node. */
export interface QuerySettings {
  readonly timeoutMs: number;
  readonly samplesMax: number;
  /** How old a sample may be to stand for a step, unless the query says otherwise. */
  readonly lookbackMs: number;
  readonly concurrentMax: number;
  readonly concurrentPerTenantMax: number;
  readonly queuedPerTenantMax: number;
  /** Which blocks may be read where a query does not say. */
  readonly maxSourceResolution: SourceResolution;
  /** Experimental functions, modifiers and operators may be used. */
  readonly isExperimental: boolean;
  readonly delayedNameRemoval: boolean;
}
