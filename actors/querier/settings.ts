import { type SourceResolution } from './choose-blocks.ts';

/** What an operator can set about queries; the keys of the configuration are in cli/settings.ts. */
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
