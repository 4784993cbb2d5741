/** The texts of the load: the queries it asks, the series it writes, and how answers are read. */
import type { ToldExemplar } from './checkers/exemplars.ts';
import type { ToldMetadata } from './checkers/metadata.ts';
import type { ReadSample, SentSample } from './history.ts';
import type { SeriesSpan, TextQuery } from './load-target.ts';
import type { WriteExemplar, WriteSeries } from './remote-write.ts';

export const SERIES_LABEL = 'series';
export const METRIC_NAME = 'sim_samples';
const OWNER_LABEL = 'owner';

/** The value of a label that every series of a tenant bears, so that a leak is seen in any answer. */
export function ownerMark(tenant: string): string {
  return `owned-by-${tenant}`;
}

export function writeSeriesOf(
  sample: SentSample,
  tenant: string,
  exemplar?: WriteExemplar,
): WriteSeries {
  return {
    ...(exemplar === undefined ? {} : { exemplars: [exemplar] }),
    labels: [
      ['__name__', METRIC_NAME],
      [OWNER_LABEL, ownerMark(tenant)],
      [SERIES_LABEL, String(sample.series)],
    ],
    samples: [[sample.timestampMs, sample.value]],
  };
}

export function selectorOf(series: number): string {
  return `${METRIC_NAME}{${SERIES_LABEL}="${series}"}`;
}

/** `before[range]after` over a span. A range selector's left edge is open. */
export function overSpan(
  { fromMs, tenant, toMs }: Omit<SeriesSpan, 'series'>,
  [before, after]: readonly [before: string, after: string] = [METRIC_NAME, ''],
): TextQuery {
  const text = `${before}[${Math.max(1, toMs - fromMs + 1)}ms]${after}`;
  return { tenant, text, startMs: toMs, endMs: toMs, stepMs: 0 };
}

type Point = readonly [seconds: number, value: string];

interface Matrix {
  readonly result: readonly {
    readonly metric: Readonly<Record<string, string>>;
    readonly values?: readonly Point[];
    /** Of an instant query. */
    readonly value?: Point;
  }[];
}

/** The samples of an answer. The encoder under test wrote it; a missing field fails the run loudly. */
export function readSamples(text: string): readonly ReadSample[] {
  const matrix = JSON.parse(text) as Matrix;
  return matrix.result.flatMap(({ metric, value, values }) =>
    (values ?? (value === undefined ? [] : [value])).map(([seconds, text]) => ({
      series: Number(metric[SERIES_LABEL]),
      timestampMs: Math.round(seconds * 1000),
      value: Number(text),
    })),
  );
}

/** The numbers of the series that an answer names. */
export function readSeriesNumbers(text: string): readonly number[] {
  const found = JSON.parse(text) as Record<string, string>[];
  return found.map((labels) => Number(labels[SERIES_LABEL]));
}

interface ExemplarRow {
  readonly seriesLabels: Readonly<Record<string, string>>;
  readonly exemplars: readonly {
    readonly labels: Readonly<Record<string, string>>;
    readonly value: string;
    readonly timestamp: number;
  }[];
}

/** The exemplars of an answer, in its order. */
export function readExemplars(text: string): readonly ToldExemplar[] {
  const rows = JSON.parse(text) as readonly ExemplarRow[];
  return rows.flatMap(({ exemplars, seriesLabels }) =>
    exemplars.map(({ labels, timestamp, value }) => ({
      series: Number(seriesLabels[SERIES_LABEL]),
      timestampMs: Math.round(timestamp * 1000),
      value: Number(value),
      trace: labels['trace_id'] ?? '',
    })),
  );
}

/** What an answer says of metrics. */
export function readMetadata(text: string): readonly ToldMetadata[] {
  const byMetric = JSON.parse(text) as Record<string, readonly Omit<ToldMetadata, 'metric'>[]>;
  return Object.entries(byMetric).flatMap(([metric, entries]) =>
    entries.map((entry) => ({ metric, ...entry })),
  );
}

/** Samples by the number of their series. */
export function groupBySeries(samples: readonly ReadSample[]): Map<number, ReadSample[]> {
  const bySeries = new Map<number, ReadSample[]>();
  for (const sample of samples) {
    const group = bySeries.get(sample.series);
    if (group === undefined) bySeries.set(sample.series, [sample]);
    else group.push(sample);
  }
  return bySeries;
}
