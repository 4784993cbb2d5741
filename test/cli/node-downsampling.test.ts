/**
 * Goal: a node downsamples what is in the bucket, answers the same from that, says so to who asks, reads samples where
 * it is told to, and tells when they are gone. Method: real nodes in this process, one after another, with one
 * directory as their bucket; samples of twelve days ago.
 */
import { readFile, readdir, rm } from 'node:fs/promises';
import t from 'tap';
import { ANONYMOUS_TENANT } from '../../model/ids.ts';
import { eventually } from '../support/cluster.ts';
import { type Started, start } from '../support/in-process-node.ts';
import { pushBody } from '../support/remote-write-bodies.ts';

const HOUR_MS = 3_600_000;
const startMs = (Math.floor(Date.now() / (24 * HOUR_MS)) - 12) * 24 * HOUR_MS;

interface Answer {
  readonly status: string;
  readonly data: unknown;
  readonly warnings?: readonly string[];
  readonly infos?: readonly string[];
  readonly explain?: { readonly fetches: readonly { readonly resolution?: string }[] };
}

async function ask(node: Started, query: string, more = ''): Promise<Answer> {
  const times = `start=${startMs / 1000}&end=${startMs / 1000 + 6 * 3600}&step=3600`;
  const url = `http://${node.http}/prometheus/api/v1/query_range?explain=1&${times}${more}`;
  const response = await fetch(`${url}&query=${encodeURIComponent(query)}`);
  return (await response.json()) as Answer; // checked field by field
}

const QUERIES = [
  'sum_over_time(m[1h])',
  'avg_over_time(m[1h])',
  'max_over_time(m[2h]) - min_over_time(m[2h])',
  'sum(rate(m[1h]))',
  'm',
];

t.test('a node downsamples, and queries read that where it is the same', async (t) => {
  t.testdir({});
  const flags = {
    bucket: [`file://${t.testdirName}/shared`],
    'compactor.compaction-interval': ['100ms'],
    'compactor.first-level-compaction-wait-period': ['1ms'],
  };
  const ready = (node: Started): Promise<void> =>
    eventually('ready', async () => (await fetch(`http://${node.http}/ready`)).ok);
  const tenant = `${t.testdirName}/shared/anonymous`;
  /** Names of blocks by resolution. */
  const blocks = async (): Promise<Map<number, string[]>> => {
    const found = new Map<number, string[]>();
    for (const name of await readdir(tenant).catch(() => [])) {
      const text = await readFile(`${tenant}/${name}/meta.json`, 'utf8').catch(() => undefined);
      const [, resolution] = /"resolution": (\d+)/.exec(text ?? '') ?? [];
      if (resolution === undefined) continue;
      found.set(Number(resolution), [...(found.get(Number(resolution)) ?? []), name]);
    }
    return found;
  };
  const first = await start(t, 'a', [], flags);
  await ready(first);
  const samples = Array.from({ length: 300 }, (_, i) => [startMs + i * 60_000, i % 100] as const);
  const labels = [['__name__', 'm']] as const;
  await first.api.push(ANONYMOUS_TENANT, pushBody([{ labels, samples }]));
  await first.api.flush();
  const fromHead = await Promise.all(QUERIES.map((query) => ask(first, query)));
  await eventually('downsampled', async () => (await blocks()).get(HOUR_MS) !== undefined);
  for (const [i, query] of QUERIES.entries()) {
    const { data, explain } = await ask(first, query);
    t.strictSame(data, fromHead[i]?.data);
    t.equal(explain?.fetches[0]?.resolution, undefined, 'it is on its disk as well');
  }
  await first.end();
  await rm(`${t.testdirName}/a`, { recursive: true });

  const second = await start(t, 'b', [], flags);
  await ready(second);
  for (const [i, query] of QUERIES.entries()) {
    const coarse = await ask(second, query);
    t.strictSame(coarse.data, fromHead[i]?.data, query);
    t.equal(coarse.explain?.fetches[0]?.resolution, '1h');
    t.strictSame([coarse.warnings, coarse.infos], [fromHead[i]?.warnings, fromHead[i]?.infos]);
    const fine = await ask(second, query, '&max_source_resolution=5m');
    t.strictSame(fine.data, fromHead[i]?.data, query);
    t.equal(fine.explain?.fetches[0]?.resolution, '5m');
    t.match(fine.infos?.join(), /aggregates of up to 5m were read/);
    for (const word of ['raw', '0s']) {
      const raw = await ask(second, query, `&max_source_resolution=${word}`);
      t.strictSame(raw.data, fromHead[i]?.data, query);
      t.equal(raw.explain?.fetches[0]?.resolution, undefined);
    }
  }
  const exact = await ask(second, 'quantile_over_time(0.5, m[1h])');
  t.equal(exact.explain?.fetches[0]?.resolution, undefined, 'needs all samples');
  t.match(await ask(second, 'm', '&max_source_resolution=2m'), { status: 'error' });

  const before = await blocks();
  for (const name of before.get(0) ?? []) await rm(`${tenant}/${name}`, { recursive: true });
  await second.end();
  await rm(`${tenant}/bucket-index.json.gz`);
  const last = await start(t, 'd', [], flags);
  await ready(last);
  const isIndexed = async (): Promise<boolean> =>
    (await readdir(tenant)).includes('bucket-index.json.gz');
  await eventually('a new index', isIndexed);
  const gone = await ask(last, 'sum_over_time(m[1h])');
  t.strictSame(gone.data, fromHead[0]?.data);
  t.equal(gone.explain?.fetches[0]?.resolution, '1h');
  const near = await ask(last, 'quantile_over_time(0.5, m[1h])');
  t.match(near.warnings?.join(), /gone.*cannot be told exactly/);
  const nothing = await ask(last, 'sum_over_time(m[1h])', '&max_source_resolution=raw');
  t.match(nothing.warnings?.join(), /gone.*leaves out/);
  t.match(nothing.data, { result: [] });
  const names = await fetch(
    `http://${last.http}/prometheus/api/v1/series?match[]=m&start=${startMs / 1000}&end=${startMs / 1000 + 3600}`,
  );
  t.match(await names.json(), { data: [{ __name__: 'm' }] });
  await last.end();
});
