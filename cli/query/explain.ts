/**
 * The `explain` of an answer as rows: the plan as an indented tree with the figures of each node, then
 * what was fetched, the passes that changed the plan, and how long each phase took.
 *
 *   series  samples  ms     own ms  plan
 *   1       60       0.41   0.05    #0 sum
 *   12      720      0.36   0.30      #1 rate
 *   12      2880     0.06   0.06        #2 x_total[5m] <- fetch 0
 */
import type { Explanation, ExplainedNode } from '../../promql/index.ts';
import type { Rows } from './output.ts';

/** What a node answers with. */
export interface ExplainedQuery extends Explanation {
  readonly timings: Readonly<Record<string, number>>;
}

export function rowsOfPlan({ fetches, passes, plan, timings }: ExplainedQuery): Rows {
  const rows: (readonly string[])[] = [['series', 'samples', 'ms', 'own ms', 'plan']];
  addNode(rows, plan, '');
  fetches.forEach((fetch, i) => {
    const { endMs, labels, matchers, newestOnly, samples, series, startMs } = fetch;
    const shown = labels ? `, ${labels.kind} labels: ${labels.names.join(', ') || '(none)'}` : '';
    const newest = newestOnly ? ', newest samples' : '';
    const text = `{${matchers.join(', ')}} ${startMs / 1000}..${endMs / 1000}${shown}${newest}`;
    rows.push([String(series), String(samples), '', '', `fetch ${i}: ${text}`]);
  });
  for (const { changes, name } of passes) rows.push(['', '', '', '', `pass ${name}: ${changes}`]);
  for (const [name, ms] of Object.entries(timings))
    rows.push(['', '', String(ms), '', `time: ${name.replace(/Ms$/, '')}`]);
  return rows;
}

function addNode(rows: (readonly string[])[], node: ExplainedNode, indent: string): void {
  const { children, fetch, id, ms, samples, selfMs, series, sharedWith, text } = node;
  const figures = [series, samples, ms, selfMs].map((one) =>
    one === undefined ? '' : String(one),
  );
  const shared = sharedWith === undefined ? '' : ` <- #${sharedWith}`;
  const source = fetch === undefined ? '' : ` <- fetch ${fetch}`;
  rows.push([...figures, `${indent}#${id} ${text}${shared}${source}`]);
  for (const child of children) addNode(rows, child, `${indent}  `);
}
