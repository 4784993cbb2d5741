/**
 * What scripts load: series in memory, with the histograms that `load_with_nhcb` makes of classic
 * ones, and the columns that a selection reads.
 */
import { compact, CUSTOM_SCHEMA, EMPTY_HISTOGRAM, type Histogram } from '../../model/histogram.ts';
import { compareLabels, type Labels, labelsKey, labelValue } from '../../model/labels.ts';
import { compileMatcher } from '../../model/matchers.ts';
import { STALE_NAN_HIGH, STALE_NAN_LOW } from '../../model/sample.ts';
import type { SeriesColumns } from '../../model/series-columns.ts';
import type { Selection } from '../../promql/index.ts';
import type { LoadCommand } from './script-parser.ts';
import { numberOf } from './script-series.ts';

type Sample = Histogram | number | 'stale';

interface StoredSeries {
  readonly labels: Labels;
  readonly samples: Map<number, Sample>;
  readonly startTimes: Map<number, number>;
}

export class ScriptStore {
  readonly #series = new Map<string, StoredSeries>();

  load({ gapMs, makesHistograms, series }: LoadCommand): void {
    const converted: ClassicHistograms = new Map();
    for (const { labels, items, startOffsets } of series) {
      const stored = this.#stored(labels);
      for (let i = 0; i < items.length; i++) {
        const item = items[i]!;
        if (item === 'gap') continue;
        const sample = typeof item === 'object' ? item.histogram : item;
        stored.samples.set(i * gapMs, sample);
        const offset = startOffsets?.[i];
        if (offset !== undefined) stored.startTimes.set(i * gapMs, i * gapMs + offset);
        if (makesHistograms && typeof sample === 'number') {
          collect(converted, labels, i * gapMs, sample);
        }
      }
    }
    for (const { labels, at } of converted.values()) {
      const { samples } = this.#stored(labels);
      for (const [timeMs, classic] of at) samples.set(timeMs, histogramFrom(classic));
    }
  }

  #stored(labels: Labels): StoredSeries {
    const key = labelsKey(labels);
    const stored = this.#series.get(key) ?? { labels, samples: new Map(), startTimes: new Map() };
    this.#series.set(key, stored);
    return stored;
  }

  /** The samples of a selection, as storage hands them to the engine. */
  columns({ matchers, minTimeMs, maxTimeMs }: Selection): SeriesColumns {
    const compiled = matchers.map(compileMatcher);
    const found = [...this.#series.values()].filter(({ labels }) =>
      compiled.every((one) => one.matches(labelValue(labels, one.matcher.name))),
    );
    found.sort((a, b) => compareLabels(a.labels, b.labels));
    const labels: Labels[] = [];
    const ends: number[] = [];
    const times: number[] = [];
    const samples: Sample[] = [];
    const starts: number[] = [];
    for (const series of found) {
      const kept = [...series.samples].filter(([at]) => at >= minTimeMs && at <= maxTimeMs);
      if (kept.length === 0) continue;
      kept.sort(([a], [b]) => a - b);
      for (const [at, sample] of kept) {
        times.push(at);
        samples.push(sample);
        starts.push(series.startTimes.get(at) ?? 0);
      }
      labels.push(series.labels);
      ends.push(times.length);
    }
    const startTimes = starts.some((at) => at !== 0) ? Float64Array.from(starts) : undefined;
    return { ...columnsOf(labels, ends, times, samples), startTimes };
  }
}

function columnsOf(
  labels: readonly Labels[],
  ends: readonly number[],
  times: readonly number[],
  samples: readonly Sample[],
): SeriesColumns {
  const values = Float64Array.from(samples, (one) => (typeof one === 'number' ? one : NaN));
  const words = new Uint32Array(values.buffer);
  for (let i = 0; i < samples.length; i++) {
    if (samples[i] !== 'stale') continue;
    words[i * 2] = STALE_NAN_LOW;
    words[i * 2 + 1] = STALE_NAN_HIGH;
  }
  const hasHistograms = samples.some((one) => typeof one === 'object');
  return {
    labels,
    ends: Uint32Array.from(ends),
    timestamps: Float64Array.from(times),
    values,
    histograms: hasHistograms
      ? samples.map((one) => (typeof one === 'object' ? one : undefined))
      : undefined,
  };
}

interface Classic {
  /** Cumulative counts by upper bound. */
  readonly buckets: Map<number, number>;
  count: number | undefined;
  sum: number;
}

type ClassicHistograms = Map<
  string,
  { readonly labels: Labels; readonly at: Map<number, Classic> }
>;

function collect(all: ClassicHistograms, labels: Labels, timeMs: number, value: number): void {
  const name = labelValue(labels, '__name__');
  const parts = /^(.*)_(bucket|count|sum)$/.exec(name);
  if (parts === null) return;
  const [, bare = '', kind] = parts;
  const bound = numberOf(labelValue(labels, 'le'));
  if (kind === 'bucket' && bound === undefined) return;
  const rest = labels.flatMap((text, i) => {
    if (labels[i - (i % 2)] === 'le') return [];
    return [i % 2 === 1 && labels[i - 1] === '__name__' ? bare : text];
  });
  const key = labelsKey(rest);
  const group = all.get(key) ?? { labels: rest, at: new Map<number, Classic>() };
  all.set(key, group);
  const classic = group.at.get(timeMs) ?? { buckets: new Map(), count: undefined, sum: 0 };
  group.at.set(timeMs, classic);
  if (kind === 'count') classic.count = value;
  else if (kind === 'sum') classic.sum = value;
  else if (bound !== undefined) classic.buckets.set(bound, value);
}

/** A classic histogram at one time as a native one with custom buckets. */
function histogramFrom({ buckets, count: written, sum }: Classic): Histogram {
  const sorted = [...buckets].sort(([a], [b]) => a - b);
  const count = written ?? sorted[sorted.length - 1]?.[1] ?? 0;
  if (sorted[sorted.length - 1]?.[0] !== Infinity) sorted.push([Infinity, count]);
  const counts = sorted.map(([, total], i) => total - (sorted[i - 1]?.[1] ?? 0));
  return compact({
    ...EMPTY_HISTOGRAM,
    schema: CUSTOM_SCHEMA,
    count,
    sum,
    positive: {
      indexes: Int32Array.from(counts.keys()),
      counts: Float64Array.from(counts),
    },
    customBounds: Float64Array.from(sorted.slice(0, -1), ([bound]) => bound),
  });
}
