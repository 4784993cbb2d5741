/**
 * The ingestion rate of each tenant: a token bucket that fills at `ingestion_rate` samples a second up to
 * `ingestion_burst_size`. A request is admitted whole or not at all.
 */
import { StarlingError } from '../../model/errors.ts';
import type { TenantId } from '../../model/ids.ts';
import type { Limits } from '../../model/limits.ts';

interface Bucket {
  tokens: number;
  filledAtMs: number;
}

export class RateLimiter {
  readonly #buckets = new Map<TenantId, Bucket>();

  /** Takes `samples` from the tenant's bucket. Throws `limit.ingestion_rate` when it holds less. */
  admit(tenant: TenantId, samples: number, limits: Limits, nowMs: number): void {
    const samplesPerSecond = limits.ingestion_rate;
    if (samplesPerSecond === 0) return;
    const burst = Math.max(limits.ingestion_burst_size, 1);
    const bucket = this.#buckets.get(tenant) ?? { tokens: burst, filledAtMs: nowMs };
    this.#buckets.set(tenant, bucket);
    const filled = bucket.tokens + ((nowMs - bucket.filledAtMs) / 1000) * samplesPerSecond;
    bucket.tokens = Math.min(burst, Math.max(filled, 0));
    bucket.filledAtMs = nowMs;
    if (bucket.tokens < samples) {
      throw new StarlingError('limit.ingestion_rate', { samples, samplesPerSecond, burst });
    }
    bucket.tokens -= samples;
  }
}
