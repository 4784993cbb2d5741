/** The functions that read one number from each native histogram; numbers have no answer. */
import type { Histogram } from '../../model/histogram.ts';
import type { Call } from '../ast.ts';
import { nativeVariance } from '../functions/native-histogram.ts';
import type { FunctionName } from '../functions-table.ts';
import { evaluateVector } from './arguments.ts';
import { type Block, FLOAT, HISTOGRAM } from './block.ts';
import type { EvalContext } from './context.ts';

const readings: Readonly<Partial<Record<FunctionName, (histogram: Histogram) => number>>> = {
  histogram_avg: ({ sum, count }) => sum / count,
  histogram_count: ({ count }) => count,
  histogram_stddev: (histogram) => Math.sqrt(nativeVariance(histogram)),
  histogram_stdvar: nativeVariance,
  histogram_sum: ({ sum }) => sum,
};

export function ofNatives(node: Call, context: EvalContext): Block {
  const read = readings[node.name];
  const block = evaluateVector(node.args[0]!, context);
  const out = context.block(block.labels, block.drop);
  for (let cell = 0; cell < out.values.length; cell++) {
    const histogram = block.histograms?.[cell];
    if (read === undefined || histogram === undefined || block.present[cell] !== HISTOGRAM)
      continue;
    out.present[cell] = FLOAT;
    out.values[cell] = read(histogram);
  }
  return context.droppingNames(out);
}
