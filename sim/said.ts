/**
 * What clients said beside samples: what metrics are, and exemplars. Both are injective, as samples are: a metric has one
 * thing said of it, and an exemplar has the time and the value of its sample and a label that names them.
 *
 * Neither is kept as samples are (ADR 14 and 15), so an acknowledgement is owed only from some time on, which the
 * story knows: `OwedSince`.
 */
export interface SaidMetadata {
  readonly tenant: string;
  readonly metric: string;
  readonly type: string;
  readonly help: string;
  readonly unit: string;
  /** Of the last one that was acknowledged; undefined: unknown. */
  acked: Acknowledged | undefined;
}

export interface SaidExemplar {
  readonly series: number;
  readonly timestampMs: number;
  readonly value: number;
  readonly trace: string;
  acked: Acknowledged | undefined;
}

/** True times of a request that was answered with success. */
export interface Acknowledged {
  readonly askedAtMs: number;
  readonly doneAtMs: number;
}

/** What was asked before these true times need not be there any more. */
export interface OwedSince {
  metadataMs(): number;
  exemplarsMs(): number;
}

/** By the numbers of remote write that are said here. */
const TYPES = ['unknown', 'counter', 'gauge'];

export class Said {
  readonly #metadata = new Map<string, SaidMetadata[]>();
  readonly #exemplars = new Map<number, Map<number, SaidExemplar>>();
  readonly #all: SaidExemplar[] = [];
  #metricCount = 0;

  /** A metric that nobody spoke of before. */
  newMetric(tenant: string, mark: string): SaidMetadata {
    const n = this.#metricCount++;
    const type = TYPES[n % TYPES.length]!;
    const said: SaidMetadata = {
      ...{ tenant, type, metric: `sim_metric_${n}`, unit: n % 2 === 0 ? '' : 'seconds' },
      ...{ help: `number ${n}, ${mark}`, acked: undefined },
    };
    this.#metadata.set(tenant, [...this.metadataOf(tenant), said]);
    return said;
  }

  metadataOf(tenant: string): readonly SaidMetadata[] {
    return this.#metadata.get(tenant) ?? [];
  }

  /** An exemplar of a sample that is about to be sent. */
  newExemplar(sample: Pick<SaidExemplar, 'series' | 'timestampMs' | 'value'>): SaidExemplar {
    const { series, timestampMs, value } = sample;
    const said = { series, timestampMs, value, trace: `trace-${value}`, acked: undefined };
    const ofSeries = this.#exemplars.get(series) ?? new Map<number, SaidExemplar>();
    this.#exemplars.set(series, ofSeries.set(timestampMs, said));
    this.#all.push(said);
    return said;
  }

  /** In the order of saying. */
  get exemplars(): readonly SaidExemplar[] {
    return this.#all;
  }

  exemplarsOf(series: number): ReadonlyMap<number, SaidExemplar> {
    return this.#exemplars.get(series) ?? new Map<number, SaidExemplar>();
  }
}

/** A metric's type as remote write numbers it. */
export function typeNumber(type: string): number {
  return TYPES.indexOf(type);
}

/** Whether an acknowledgement must be seen by a reader who asked at a time. */
export function isOwed(
  acked: Acknowledged | undefined,
  askedAtMs: number,
  owedSinceMs: number,
): boolean {
  return acked !== undefined && acked.askedAtMs > owedSinceMs && acked.doneAtMs < askedAtMs;
}
