/**
 * histogram_quantile and its kin over classic histograms: rows that differ in `le` only are the
 * buckets of one histogram.
 */
import { type Labels, labelsKey, labelValue, METRIC_NAME } from '../../model/labels.ts';
import { type Bucket, bucketFraction, bucketQuantile } from '../functions/histogram.ts';
import type { Call, Expr } from '../ast.ts';
import { formatGeneral, formatOpenMetrics } from '../../model/number-text.ts';
import { withLabel } from './aggregate.ts';
import { type Block, withoutLabel, withoutName } from './block.ts';
import type { EvalContext } from './context.ts';
import { evaluateScalar, evaluateString, evaluateVector } from './arguments.ts';

interface Histogram {
  readonly labels: Labels;
  readonly name: string;
  readonly rows: { readonly row: number; readonly bound: number }[];
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
      fill(block, histograms[h]!, out, w * histograms.length + h, (buckets, t) => {
        const { value, isForced } = bucketQuantile(phi[t]!, buckets);
        if (isForced) informOfRepair(bucketNode, name, context);
        return value;
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
    fill(block, histograms[h]!, out, h, (buckets, t) =>
      bucketFraction(lower[t]!, upper[t]!, buckets),
    );
  }
  return out;
}

function dropsFor(labels: readonly Labels[], context: EvalContext): Uint8Array {
  return new Uint8Array(labels.length).fill(context.delaysNames ? 1 : 0);
}

function informOfRepair(node: Expr, name: string, context: EvalContext): void {
  context.info(
    node,
    `input to histogram_quantile needed to be fixed for monotonicity (see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile) for metric name ${JSON.stringify(name)}`,
  );
}

/** Groups rows by their labels without `le` (and without the name, unless removal is delayed). */
function histogramsOf(block: Block, node: Expr, context: EvalContext): Histogram[] {
  const byKey = new Map<string, Histogram>();
  for (let row = 0; row < block.labels.length; row++) {
    if (!block.present.subarray(row * block.steps, (row + 1) * block.steps).includes(1)) continue;
    const full = block.labels[row]!;
    const text = labelValue(full, 'le');
    const name = labelValue(full, METRIC_NAME);
    const bound = parseBound(text);
    if (bound === undefined) {
      const message = `bucket label "le" is missing or has a malformed value of ${JSON.stringify(text)} for metric name ${JSON.stringify(name)}`;
      context.warn(node, message);
      continue;
    }
    const rest = withoutLabel(full, 'le');
    const labels = context.delaysNames ? rest : withoutName(rest);
    const key = labelsKey(labels);
    const known = byKey.get(key);
    if (known === undefined) byKey.set(key, { labels, name, rows: [{ row, bound }] });
    else known.rows.push({ row, bound });
  }
  return [...byKey.values()];
}

function parseBound(text: string): number | undefined {
  if (/^[+]?inf(inity)?$/i.test(text)) return Infinity;
  if (/^-inf(inity)?$/i.test(text)) return -Infinity;
  if (!/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text)) return undefined;
  return Number(text);
}

function fill(
  block: Block,
  histogram: Histogram,
  out: Block,
  outRow: number,
  compute: (buckets: Bucket[], t: number) => number,
): void {
  const { steps } = block;
  for (let t = 0; t < steps; t++) {
    const buckets: Bucket[] = [];
    for (const { row, bound } of histogram.rows) {
      const cell = row * steps + t;
      if (block.present[cell] === 1) buckets.push({ bound, count: block.values[cell]! });
    }
    if (buckets.length === 0) continue;
    out.present[outRow * steps + t] = 1;
    out.values[outRow * steps + t] = compute(buckets, t);
  }
}
