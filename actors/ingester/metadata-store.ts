/**
 * What senders said of metrics, in memory, for all tenants of a node. An entry is one thing that was said of
 * one metric; it goes when nobody repeated it for a while, and it is lost with the process: senders repeat
 * metadata every minute, and other replicas have it meanwhile (docs/adr/0014).
 *
 *   tenant -> metric name -> entries { type, help, unit, when it was said last }
 *
 * Invariant: `bytes` is the sum over all entries, and never above the bound; a tenant sees its own only.
 */
import type { TenantId } from '../../model/ids.ts';
import type { MetricMetadata } from '../../model/metadata.ts';

/** Of all tenants together. */
export const METADATA_BYTES_MAX = 64 * 1024 * 1024;
/** What an entry and a name cost beside their texts, about. */
const ENTRY_BYTES = 200;
/** `expire` and `select` pause after so many entries. */
const ENTRIES_PER_SLICE = 1024;
/** Of one metric, where no limit is set. */
const ENTRIES_PER_METRIC_MAX = 1000;

export interface MetadataLimits {
  /** Metrics of a tenant that have metadata here, and entries of one metric; 0: as many as there is room for. */
  readonly metricsMax: number;
  readonly perMetricMax: number;
}

/** An entry as it is told. */
export interface ToldMetadata extends MetricMetadata {
  /** How long ago it was said last. */
  readonly ageMs: number;
}

interface Entry {
  readonly type: number;
  readonly help: string;
  readonly unit: string;
  seenMs: number;
}

type Metrics = Map<string, Entry[]>;

/** Counts since the start; `dropped` by reason. */
export interface MetadataStats {
  readonly entryCount: number;
  readonly bytes: number;
  readonly receivedCount: number;
  readonly createdCount: number;
  readonly removedCount: number;
  readonly dropped: ReadonlyMap<string, number>;
}

export class MetadataStore {
  readonly #retainMs: number;
  readonly #bytesMax: number;
  readonly #tenants = new Map<TenantId, Metrics>();
  readonly #dropped = new Map<string, number>();
  #bytes = 0;
  #entryCount = 0;
  #receivedCount = 0;
  #createdCount = 0;
  #removedCount = 0;

  constructor(options: { readonly retainMs: number; readonly bytesMax?: number | undefined }) {
    this.#retainMs = options.retainMs;
    this.#bytesMax = options.bytesMax ?? METADATA_BYTES_MAX;
  }

  /** Takes entries of a tenant, as far as its limits and the node's bound allow. */
  note(
    tenant: TenantId,
    entries: readonly MetricMetadata[],
    limits: MetadataLimits,
    nowMs: number,
  ): void {
    const metrics = this.#tenants.get(tenant) ?? new Map<string, Entry[]>();
    for (const entry of entries) {
      this.#receivedCount++;
      const known = metrics.get(entry.name);
      const same = known?.find((one) => isSame(one, entry));
      if (same !== undefined) {
        same.seenMs = nowMs;
        continue;
      }
      const why = this.#refusal(metrics, known, entry, limits);
      if (why !== undefined) {
        this.#dropped.set(why, (this.#dropped.get(why) ?? 0) + 1);
        continue;
      }
      const { help, name, type, unit } = entry;
      if (known === undefined) metrics.set(name, [{ type, help, unit, seenMs: nowMs }]);
      else known.push({ type, help, unit, seenMs: nowMs });
      this.#bytes += bytesOf(name, entry);
      this.#entryCount++;
      this.#createdCount++;
    }
    if (metrics.size > 0) this.#tenants.set(tenant, metrics);
  }

  #refusal(
    metrics: ReadonlyMap<string, readonly Entry[]>,
    known: readonly Entry[] | undefined,
    entry: MetricMetadata,
    { metricsMax, perMetricMax }: MetadataLimits,
  ): string | undefined {
    if (known === undefined && metricsMax > 0 && metrics.size >= metricsMax)
      return 'max_metadata_per_user';
    const countMax = perMetricMax > 0 ? perMetricMax : ENTRIES_PER_METRIC_MAX;
    if (known !== undefined && known.length >= countMax) return 'max_metadata_per_metric';
    if (this.#bytes + bytesOf(entry.name, entry) > this.#bytesMax) return 'max_metadata_bytes';
    return undefined;
  }

  /**
   * What is known of the tenant's metrics, or of one of them; of at most `limit` metrics (0: all). Yields lists,
   * each the work of one slice.
   */
  *select(
    tenant: TenantId,
    { limit, metric }: { readonly limit: number; readonly metric?: string | undefined },
    nowMs: number,
  ): Generator<readonly ToldMetadata[], void> {
    const metrics = this.#tenants.get(tenant);
    if (metrics === undefined) return;
    if (metric !== undefined) {
      yield told(metric, metrics.get(metric) ?? [], nowMs);
      return;
    }
    let slice: ToldMetadata[] = [];
    let count = 0;
    for (const [name, entries] of metrics) {
      if (limit > 0 && count++ >= limit) break;
      slice.push(...told(name, entries, nowMs));
      if (slice.length < ENTRIES_PER_SLICE) continue;
      yield slice;
      slice = [];
    }
    yield slice;
  }

  /** Drops what nobody repeated. Yields where the loop may have a turn. */
  *expire(nowMs: number): Generator<undefined, void> {
    const seenSinceMs = nowMs - this.#retainMs;
    let work = 0;
    for (const [tenant, metrics] of this.#tenants) {
      for (const [name, entries] of metrics) {
        work += entries.length;
        for (let i = entries.length - 1; i >= 0; i--) {
          if (entries[i]!.seenMs >= seenSinceMs) continue;
          const [gone] = entries.splice(i, 1);
          if (gone !== undefined) this.#forget(name, gone);
        }
        if (entries.length === 0) metrics.delete(name);
        if (work < ENTRIES_PER_SLICE) continue;
        work = 0;
        yield undefined;
      }
      if (metrics.size === 0) this.#tenants.delete(tenant);
    }
  }

  stats(): MetadataStats {
    return {
      entryCount: this.#entryCount,
      bytes: this.#bytes,
      receivedCount: this.#receivedCount,
      createdCount: this.#createdCount,
      removedCount: this.#removedCount,
      dropped: this.#dropped,
    };
  }

  #forget(name: string, entry: Entry): void {
    this.#bytes -= bytesOf(name, entry);
    this.#entryCount--;
    this.#removedCount++;
  }
}

type Said = Pick<MetricMetadata, 'help' | 'type' | 'unit'>;

function isSame(a: Said, b: Said): boolean {
  return a.type === b.type && a.help === b.help && a.unit === b.unit;
}

/** In memory: a unit of a text takes a byte or two. */
function bytesOf(name: string, { help, unit }: Said): number {
  return ENTRY_BYTES + 2 * (name.length + help.length + unit.length);
}

function told(name: string, entries: readonly Entry[], nowMs: number): readonly ToldMetadata[] {
  return entries.map(({ help, seenMs, type, unit }) => ({
    ...{ name, type, help, unit },
    ageMs: Math.max(0, nowMs - seenMs),
  }));
}
