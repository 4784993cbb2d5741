/**
 * What a metric is, as its senders say: its type, its help text, its unit. A metric may have several, when
 * senders do not agree. Nothing is computed from it; editors show it to people.
 */

export interface MetricMetadata {
  /** Of the metric family: what `_bucket`, `_sum` and `_count` share. */
  readonly name: string;
  /** An index of `METRIC_TYPES`. */
  readonly type: number;
  readonly help: string;
  readonly unit: string;
}

/** By their numbers in remote write and in write-ahead logs. */
export const METRIC_TYPES: readonly string[] = [
  'unknown',
  'counter',
  'gauge',
  'histogram',
  'gaugehistogram',
  'summary',
  'info',
  'stateset',
];
