/**
 * histogram_quantile and its kin over classic histograms: rows that differ in `le` only are the
 * buckets of one histogram.
 */
import { type Labels, labelsKey, labelValue, METRIC_NAME } from '../../model/labels.ts';
import {
  hasNaNObservations,
  nativeFraction,
  nativeQuantile,
} from '../functions/native-histogram.ts';
import type { Histogram as NativeHistogram } from '../../model/histogram.ts';
import { type Bucket, bucketFraction, bucketQuantile } from '../functions/histogram.ts';
import type { Call, Expr } from '../ast.ts';
import { formatGeneral, formatOpenMetrics } from '../../model/number-text.ts';
import { withLabel } from './aggregate.ts';
import { type Block, FLOAT, HISTOGRAM, setCell, withoutLabel, withoutName } from './block.ts';
import type { EvalContext } from './context.ts';
import { evaluateScalar, evaluateString, evaluateVector } from './arguments.ts';

interface Histogram {
  readonly labels: Labels;
  readonly name: string;
  readonly rows: { readonly row: number; readonly bound: number }[];
  /** Rows with native histograms under these labels. */
  readonly natives: number[];
}

export function histogramQuantile(node: Call, context: EvalContext): Block {
  const phi = evaluateScalar(node.args[0]!, context);
  const block = evaluateVector(node.args[1]!, context);
  return quantiles(block, [{ phi, node: node.args[0]!, label: undefined }], node.args[1]!, context);
}

export function histogramQuantiles(node: Call, context: EvalContext): Block {
  const block = evaluateVector(node.args[0]!, context);
  const name = evaluateString(node.args[1]!, context);
  const wanted = node.args.slice(2).map((arg) => {
    const phi = evaluateScalar(arg, context);
    return { phi, node: arg, label: [name, formatOpenMetrics(phi[0] ?? NaN)] as const };
  });
  return quantiles(block, wanted, node.args[0]!, context);
}

interface WantedQuantile {
  readonly phi: Float64Array;
  readonly node: Expr;
  readonly label: readonly [string, string] | undefined;
}

function quantiles(
  block: Block,
  wanted: readonly WantedQuantile[],
  bucketNode: Expr,
  context: EvalContext,
): Block {
  const histograms = histogramsOf(block, bucketNode, context);
  const labels = wanted.flatMap(({ label }) =>
    histograms.map((one) => (label === undefined ? one.labels : withLabel(one.labels, ...label))),
  );
  const out = context.block(labels, dropsFor(labels, context));
  for (let w = 0; w < wanted.length; w++) {
    const { phi, node } = wanted[w]!;
    for (const value of new Set(phi)) {
      if (value >= 0 && value <= 1) continue;
      const message = `quantile value should be between 0 and 1, got ${formatGeneral(value)}`;
      context.warn(node, message);
    }
    for (let h = 0; h < histograms.length; h++) {
      const { name } = histograms[h]!;
      fill(block, histograms[h]!, out, w * histograms.length + h, {
        ofBuckets: (buckets, t) => {
          const { value, isForced } = bucketQuantile(phi[t]!, buckets);
          if (isForced) informOfRepair(bucketNode, name, context);
          return value;
        },
        ofNative: (histogram, t) => {
          const { value, note } = nativeQuantile(phi[t]!, histogram);
          if (note !== undefined) informOfNaN(bucketNode, NAN_NOTES[note], name, context);
          return value;
        },
        onMix: () => warnOfMix(bucketNode, name, context),
      });
    }
  }
  return out;
}

export function histogramFraction(node: Call, context: EvalContext): Block {
  const lower = evaluateScalar(node.args[0]!, context);
  const upper = evaluateScalar(node.args[1]!, context);
  const block = evaluateVector(node.args[2]!, context);
  const histograms = histogramsOf(block, node.args[2]!, context);
  const labels = histograms.map((one) => one.labels);
  const out = context.block(labels, dropsFor(labels, context));
  for (let h = 0; h < histograms.length; h++) {
    const { name } = histograms[h]!;
    const bucketNode = node.args[2]!;
    fill(block, histograms[h]!, out, h, {
      ofBuckets: (buckets, t) => bucketFraction(lower[t]!, upper[t]!, buckets),
      ofNative: (histogram, t) => {
        if (hasNaNObservations(histogram)) {
          informOfNaN(bucketNode, NAN_NOTES.fraction, name, context);
        }
        return nativeFraction(lower[t]!, upper[t]!, histogram);
      },
      onMix: () => warnOfMix(bucketNode, name, context),
    });
  }
  return out;
}

function dropsFor(labels: readonly Labels[], context: EvalContext): Uint8Array {
  return new Uint8Array(labels.length).fill(context.delaysNames ? 1 : 0);
}

function informOfRepair(node: Expr, name: string, context: EvalContext): void {
  context.info(
    node,
    `input to histogram_quantile needed to be fixed for monotonicity (see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)${forMetric(name)}`,
  );
}

const NAN_NOTES = {
  fraction:
    'input to histogram_fraction has NaN observations, which are excluded from all fractions',
  nan_result: 'input to histogram_quantile has NaN observations, result is NaN',
  nan_skew: 'input to histogram_quantile has NaN observations, result is skewed higher',
} as const;

function informOfNaN(node: Expr, note: string, name: string, context: EvalContext): void {
  context.info(node, note + forMetric(name));
}

function warnOfMix(node: Expr, name: string, context: EvalContext): void {
  context.warn(node, `vector contains a mix of classic and native histograms${forMetric(name)}`);
}

function forMetric(name: string): string {
  return name === '' ? '' : ` for metric name ${JSON.stringify(name)}`;
}

/** Groups rows by their labels without `le` (and without the name, unless removal is delayed). */
function histogramsOf(block: Block, node: Expr, context: EvalContext): Histogram[] {
  const byKey = new Map<string, Histogram>();
  for (let row = 0; row < block.labels.length; row++) {
    const full = block.labels[row]!;
    const cells = block.present.subarray(row * block.steps, (row + 1) * block.steps);
    if (cells.includes(HISTOGRAM)) group(full).natives.push(row);
    if (!cells.includes(FLOAT)) continue;
    const text = labelValue(full, 'le');
    const name = labelValue(full, METRIC_NAME);
    const bound = parseBound(text);
    if (bound === undefined) {
      const message = `bucket label "le" is missing or has a malformed value of ${JSON.stringify(text)}${forMetric(name)}`;
      context.warn(node, message);
      continue;
    }
    group(full).rows.push({ row, bound });
  }
  return [...byKey.values()];

  function group(full: Labels): Histogram {
    const rest = withoutLabel(full, 'le');
    const labels = context.delaysNames ? rest : withoutName(rest);
    const key = labelsKey(labels);
    let known = byKey.get(key);
    if (known === undefined) {
      known = { labels, name: labelValue(full, METRIC_NAME), rows: [], natives: [] };
      byKey.set(key, known);
    }
    return known;
  }
}

function parseBound(text: string): number | undefined {
  if (/^[+]?inf(inity)?$/i.test(text)) return Infinity;
  if (/^-inf(inity)?$/i.test(text)) return -Infinity;
  if (!/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text)) return undefined;
  return Number(text);
}

/** How a histogram of either kind is answered for. */
interface Answers {
  readonly ofBuckets: (buckets: Bucket[], t: number) => number;
  readonly ofNative: (histogram: NativeHistogram, t: number) => number;
  /** Both kinds under one name at one step: neither is answered for. */
  readonly onMix: () => void;
}

function fill(
  block: Block,
  { rows, natives }: Histogram,
  out: Block,
  outRow: number,
  { ofBuckets, ofNative, onMix }: Answers,
): void {
  const { present, steps, values } = block;
  // By bound, so that no step has to sort; the same objects in every step.
  const ordered = rows.toSorted((a, b) => (a.bound < b.bound ? -1 : a.bound > b.bound ? 1 : 0));
  const all = ordered.map(({ bound }): Bucket => ({ bound, count: 0 }));
  const buckets: Bucket[] = [];
  for (let t = 0; t < steps; t++) {
    buckets.length = 0;
    for (let i = 0; i < ordered.length; i++) {
      const cell = ordered[i]!.row * steps + t;
      if (present[cell] !== FLOAT) continue;
      all[i]!.count = values[cell]!;
      buckets.push(all[i]!);
    }
    for (const row of natives) {
      const histogram = block.histograms?.[row * steps + t];
      if (histogram === undefined || block.present[row * steps + t] !== HISTOGRAM) continue;
      if (buckets.length > 0) {
        onMix();
        buckets.length = 0;
        continue;
      }
      setCell(out, outRow * steps + t, ofNative(histogram, t));
    }
    if (buckets.length > 0) setCell(out, outRow * steps + t, ofBuckets(buckets, t));
  }
}
