/**
 * npm run bench:storage -- [--rows memory,cut,…] [--series N] [--rounds N] [--days N]
 *
 * The numbers of storage: each row prints what we take, what Prometheus takes in the same run where it is the peer
 * (PROM_BIN), the ratio and the goal. Rows share what they can of their data. Without `--series` and the like a row
 * has the size that its goal speaks of; smaller ones are for trying.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { loadAverage } from '../cluster/meter.ts';
import { blockBytes, compactedBytes } from './block-bytes.ts';
import { blockQueries } from './block-queries.ts';
import { cutAndShip } from './cut.ts';
import { DataSets } from './data-sets.ts';
import { downsampling } from './downsampling.ts';
import { memory } from './memory.ts';
import { replay } from './replay.ts';
import { type Row, printFigure } from './row.ts';
import { year } from './year.ts';

const rows: Readonly<Record<string, Row>> = {
  bytes: blockBytes,
  compacted: compactedBytes,
  cut: cutAndShip,
  downsampling,
  memory,
  queries: blockQueries,
  replay,
  year,
};

const { values } = parseArgs({
  options: {
    days: { type: 'string' },
    rounds: { type: 'string' },
    rows: { type: 'string', default: Object.keys(rows).join(',') },
    series: { type: 'string' },
  },
});
const numberOf = (text: string | undefined): number | undefined =>
  text === undefined ? undefined : Number(text);
const [seriesCount, rounds, days] = [values.series, values.rounds, values.days].map(numberOf);
const directory = mkdtempSync(join(tmpdir(), 'starling-storage-bench-'));
const options = {
  ...{ directory, seriesCount, rounds, days, bin: process.env['PROM_BIN'] },
  data: new DataSets(directory, seriesCount, rounds),
};
console.log(`load average ${loadAverage()}`);
try {
  for (const name of values.rows.split(',')) {
    const row = rows[name];
    if (row === undefined) throw new Error(`no row ${name}: ${Object.keys(rows).join(', ')}`);
    for (const figure of await row(options)) console.log(printFigure(figure));
  }
} finally {
  rmSync(directory, { recursive: true, force: true });
}
