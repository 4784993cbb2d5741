/**
 * The refill's whole protocol: only time passes. What it asks of others is the ingesters' (`tenants`,
 * `select`), what it tells is the membership actor's (`refilled`).
 */
export const REFILL_PATH = '/refill';

export interface RefillMessage {
  readonly type: 'tick';
}
