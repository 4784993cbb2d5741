/** Where the series of a tenant come from: the tables of `status/tsdb`, counted over its label sets. */
import { type Labels, METRIC_NAME, compareUtf8 } from '../../model/labels.ts';

const SETS_PER_CHECK = 1024;

interface Row {
  readonly name: string;
  readonly value: number;
}

/** `limit` rows of each table, the greatest first. `check` is called now and then. */
export function cardinalityOf(
  sets: readonly Labels[],
  limit: number,
  check: () => void,
): Readonly<Record<string, unknown>> {
  const seriesOfMetric = new Map<string, number>();
  const seriesOfPair = new Map<string, Map<string, number>>();
  for (let i = 0; i < sets.length; i++) {
    if (i % SETS_PER_CHECK === 0) check();
    const set = sets[i]!;
    for (let k = 0; k < set.length; k += 2) {
      const [name, value] = [set[k]!, set[k + 1]!];
      if (name === METRIC_NAME) add(seriesOfMetric, value);
      let values = seriesOfPair.get(name);
      if (values === undefined) seriesOfPair.set(name, (values = new Map<string, number>()));
      add(values, value);
    }
  }
  const pairs: Row[] = [];
  const valuesOfLabel: Row[] = [];
  const bytesOfLabel: Row[] = [];
  for (const [name, values] of seriesOfPair) {
    let bytes = 0;
    for (const [value, count] of values) {
      bytes += Buffer.byteLength(value);
      pairs.push({ name: `${name}=${value}`, value: count });
    }
    valuesOfLabel.push({ name, value: values.size });
    bytesOfLabel.push({ name, value: bytes });
  }
  const metrics = Array.from(seriesOfMetric, ([name, value]) => ({ name, value }));
  return {
    headStats: {
      numSeries: sets.length,
      numLabelPairs: pairs.length,
      chunkCount: 0,
      minTime: 0,
      maxTime: 0,
    },
    seriesCountByMetricName: top(metrics, limit),
    labelValueCountByLabelName: top(valuesOfLabel, limit),
    memoryInBytesByLabelName: top(bytesOfLabel, limit),
    seriesCountByLabelValuePair: top(pairs, limit),
  };
}

function add(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

function top(rows: Row[], limit: number): readonly Row[] {
  rows.sort((a, b) => b.value - a.value || compareUtf8(a.name, b.name));
  return rows.slice(0, limit);
}
