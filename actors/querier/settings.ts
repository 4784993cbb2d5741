/** What an operator can set about queries; the keys of the configuration are in cli/settings.ts. */
export interface QuerySettings {
  readonly timeoutMs: number;
  readonly samplesMax: number;
  /** How old a sample may be to stand for a step, unless the query says otherwise. */
  readonly lookbackMs: number;
  readonly concurrentMax: number;
  readonly concurrentPerTenantMax: number;
  readonly queuedPerTenantMax: number;
  /** Experimental functions, modifiers and operators may be used. */
  readonly isExperimental: boolean;
  readonly delayedNameRemoval: boolean;
}
