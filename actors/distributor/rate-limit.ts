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
  /** From then on it is as good as new. */
  fullAtMs: number;
}

/** When there are this many buckets, those that are full again are dropped: they say nothing. */
const BUCKETS_REAPED_AT = 1024;

export class RateLimiter {
  readonly #buckets = new Map<TenantId, Bucket>();
  #reapAt = BUCKETS_REAPED_AT;

  get bucketCount(): number {
    return this.#buckets.size;
  }

  /** Takes `samples` from the tenant's bucket. Throws `limit.ingestion_rate` when it holds less. */
  admit(tenant: TenantId, samples: number, limits: Limits, nowMs: number): void {
    const samplesPerSecond = limits.ingestion_rate;
    if (samplesPerSecond === 0) return;
    const burst = Math.max(limits.ingestion_burst_size, 1);
    const bucket = this.#buckets.get(tenant) ?? {
      tokens: burst,
      filledAtMs: nowMs,
      fullAtMs: nowMs,
    };
    this.#buckets.set(tenant, bucket);
    if (this.#buckets.size >= this.#reapAt) this.#reap(nowMs);
    const filled = bucket.tokens + ((nowMs - bucket.filledAtMs) / 1000) * samplesPerSecond;
    bucket.tokens = Math.min(burst, Math.max(filled, 0));
    bucket.filledAtMs = nowMs;
    bucket.fullAtMs = nowMs + ((burst - bucket.tokens) / samplesPerSecond) * 1000;
    if (bucket.tokens < samples) {
      throw new StarlingError('limit.ingestion_rate', { samples, samplesPerSecond, burst });
    }
    bucket.tokens -= samples;
    bucket.fullAtMs += (samples / samplesPerSecond) * 1000;
  }

  /** Looks again only when there are twice as many as it left, so that its cost is spread. */
  #reap(nowMs: number): void {
    for (const [tenant, { fullAtMs }] of this.#buckets)
      if (fullAtMs < nowMs) this.#buckets.delete(tenant);
    this.#reapAt = Math.max(BUCKETS_REAPED_AT, this.#buckets.size * 2);
  }
}
