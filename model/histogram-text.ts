/**
 * Native histograms as Prometheus writes them: one line of text, as label values and messages have
 * it, and the object of the HTTP API.
 *
 *   {count:12, sum:18.4, [-0.001,0.001]:2, (1,2]:3, (2,4]:7}
 *   {"count":"12","sum":"18.4","buckets":[[3,"-0.001","0.001","2"],[0,"1","2","3"],…]}
 */
import type { Histogram } from './histogram.ts';
import { bucketTable, inclusions } from './histogram-buckets.ts';
import { formatGeneral, formatSample } from './number-text.ts';

/** The one-line form. */
export function histogramText(histogram: Histogram): string {
  const { length, lowers, uppers, counts } = bucketTable(histogram);
  let text = `{count:${formatGeneral(histogram.count)}, sum:${formatGeneral(histogram.sum)}`;
  for (let i = 0; i < length; i++) {
    const inside = inclusions(histogram, lowers[i]!, uppers[i]!);
    const bounds = `${formatGeneral(lowers[i]!)},${formatGeneral(uppers[i]!)}`;
    const bracketed = `${inside.lower ? '[' : '('}${bounds}${inside.upper ? ']' : ')'}`;
    text += `, ${bracketed}:${formatGeneral(counts[i]!)}`;
  }
  return `${text}}`;
}

/** The JSON form. In it a bucket's first member tells which bounds belong to it. */
export function histogramJson(histogram: Histogram): string {
  const { length, lowers, uppers, counts } = bucketTable(histogram);
  const { count, sum } = histogram;
  let json = `{"count":"${formatSample(count)}","sum":"${formatSample(sum)}"`;
  for (let i = 0; i < length; i++) {
    const inside = inclusions(histogram, lowers[i]!, uppers[i]!);
    const edges = inside.lower ? (inside.upper ? 3 : 1) : inside.upper ? 0 : 2;
    const bounds = `"${formatSample(lowers[i]!)}","${formatSample(uppers[i]!)}"`;
    json += `${i === 0 ? ',"buckets":[' : ','}[${edges},${bounds},"${formatSample(counts[i]!)}"]`;
  }
  return `${json}${length > 0 ? ']' : ''}}`;
}
