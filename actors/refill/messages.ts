/**
 * The refill's whole protocol: time passes, and another instance asks whether this one covered what forgotten
 * instances held (cover.ts). What it asks of others besides is the ingesters' (`tenants`, `select`), what
 * it tells is the membership actor's (`refilled`, `loss-accepted`).
 */
import type { Reply } from '../runtime/index.ts';

export const REFILL_PATH = '/refill';

export type RefillMessage =
  | { readonly type: 'covered'; readonly key: string; readonly reply: Reply<boolean> }
  | { readonly type: 'tick' };
