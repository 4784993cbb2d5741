/** What the routes share: the node behind them and how requests are read. */
import type { Clock } from '../platform/platform.ts';
import type { NodeApi } from './api.ts';

export interface AppOptions {
  readonly api: NodeApi;
  readonly clock: Clock;
  readonly multitenancy: boolean;
  /** Parses RFC 3339; NaN when it cannot. */
  readonly parseDate: (text: string) => number;
  readonly version: string;
}
