/**
 * npm run bench:queries -- [--rows range,series,beside-writes]
 *
 * What the six queries of the cluster benchmark do not tell: how cost grows, and whether heavy queries keep the loop from
 * its other work. Prometheus is the peer where PROM_BIN says where it is.
 */
import { parseArgs } from 'node:util';
import { loadAverage } from '../cluster/meter.ts';
import { type Figure, printFigure } from '../storage/row.ts';
import { besideWrites } from './beside-writes.ts';
import { rangeGrowth, seriesGrowth } from './growth.ts';

const bin = process.env['PROM_BIN'];
const rows: Readonly<Record<string, () => Promise<readonly Figure[]>>> = {
  range: () => rangeGrowth(bin),
  series: () => seriesGrowth(bin),
  'beside-writes': besideWrites,
};

const { values } = parseArgs({
  options: { rows: { type: 'string', default: Object.keys(rows).join(',') } },
});
console.log(`load average ${loadAverage()}`);
for (const name of values.rows.split(',')) {
  const row = rows[name];
  if (row === undefined) throw new Error(`no row ${name}: ${Object.keys(rows).join(', ')}`);
  for (const figure of await row()) console.log(printFigure(figure));
}
