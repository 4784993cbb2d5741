/**
 * Goal: what a Prometheus deleted in a directory that is opened here stays deleted: tombstones of its log and blocks.
 * Method: tombstone records in logs of a disk in memory; and a real Prometheus that writes, deletes series through
 * its admin API and is stopped: its directory gives the same answers here. PROM_BIN=<directory of the programs>.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import t from 'tap';
import { encodeHistogramMessage } from '../../model/wire/histogram-encode.ts';
import { VARINT_BYTES_MAX, putInt64, putVarint } from '../../model/wire/varint.ts';
import { createNodeDisk } from '../../platform/node/disk.ts';
import type { Disk } from '../../platform/platform.ts';
import type { Deletion } from '../../storage/deletion/deletion.ts';
import { RECORD_TOMBSTONES } from '../../storage/wal/record.ts';
import { histogramSeries } from '../support/histograms.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { promtool, startServer } from '../support/prometheus-tools.ts';
import { pushBody } from '../support/remote-write-bodies.ts';
import { EVERYTHING, batchOf, linesOf, metric, openTsdb, readAll } from '../support/toy-tsdb.ts';
import { openNode } from '../support/wal-contents.ts';
import { MatchMemory } from '../../storage/deletion/verdicts.ts';

const START = 1_699_999_200_000; // a two-hour border
const STEP_MS = 15_000;
const HOUR_MS = 3_600_000;

interface Stone {
  readonly ref: number;
  readonly from: number;
  readonly to: number;
}

function tombstones(stones: readonly Stone[]): Uint8Array {
  const target = new Uint8Array(1 + stones.length * 3 * VARINT_BYTES_MAX);
  target[0] = RECORD_TOMBSTONES;
  let at = 1;
  for (const { from, ref, to } of stones) {
    at = putInt64(target, at, ref);
    at = putVarint(target, at, from);
    at = putVarint(target, at, to);
  }
  return target.subarray(0, at);
}

async function addRecords(disk: Disk, records: readonly Uint8Array[]): Promise<void> {
  const { wal } = await openNode(disk, { directory: '/data/tenant/wal' });
  for (const record of records) wal.append(record);
  await wal.close();
}

t.test('tombstones of the log hide samples, and are cut out with them', async (t) => {
  const disk = new MemoryDisk();
  const first = await openTsdb(disk);
  const labels = ['a', 'b', 'c'].map((name) => metric(name));
  for (let i = 0; i < 480; i++) {
    const timeMs = START + i * STEP_MS;
    first.tsdb.append(
      batchOf(labels.map((one) => ({ labels: one, samples: [[timeMs, i] as const] }))),
      timeMs,
    );
  }
  const all = linesOf(await readAll(first.tsdb));
  await first.tsdb.close();
  const at = (i: number): number => START + i * STEP_MS;
  await addRecords(disk, [
    tombstones([
      { ref: 1, from: at(10), to: at(19) },
      { ref: 1, from: at(15), to: at(29) },
      { ref: 2, from: at(0), to: at(479) },
      { ref: 77, from: at(0), to: at(479) }, // of no series
    ]),
    tombstones([{ ref: 3, from: at(470), to: at(600) }]),
  ]);
  const left = all.filter((line) => {
    const [, name, timeMs] = /__name__,(\w)@(\d+)/.exec(line) ?? [];
    const i = (Number(timeMs) - START) / STEP_MS;
    return name === 'a' ? i < 10 || i > 29 : name === 'c' && i < 470;
  });
  t.equal(left.length, 460 + 470);
  const requested: Deletion[] = [];
  const deletions = { hidden: () => requested, gone: () => [], memory: new MatchMemory() };
  const second = await openTsdb(disk, { deletions });
  t.strictSame(linesOf(await readAll(second.tsdb)), left, 'a replay');
  const newest = { projection: undefined, newestOnly: true };
  const newestOf = new Map<string, string>();
  for (const line of linesOf(await readAll(second.tsdb, [], EVERYTHING, newest))) {
    newestOf.set(line.slice(0, line.indexOf('@')), line.slice(0, line.indexOf('=')));
  }
  t.strictSame([...newestOf.values()], [`__name__,a@${at(479)}`, `__name__,c@${at(469)}`]);
  const hidden = [
    {
      id: 'x',
      selectors: [[{ name: '__name__', type: '=', value: 'a' } as const]],
      range: { minTimeMs: at(0), maxTimeMs: at(4) },
    },
  ];
  requested.push(...hidden);
  t.equal(
    (await readAll(second.tsdb)).timestamps.length,
    left.length - 5,
    'together with requests',
  );
  requested.length = 0;
  await second.tsdb.flush();
  t.equal(second.tsdb.blocks()[0]?.meta.stats.sampleCount, left.length, 'cut out');
  t.strictSame(linesOf(await readAll(second.tsdb)), left, 'a block');
  await second.tsdb.close();
  const third = await openTsdb(disk);
  t.strictSame(linesOf(await readAll(third.tsdb)), left, 'a block and a replay');
  const later = batchOf([{ labels: labels[1]!, samples: [[at(700), 1]] }]);
  third.tsdb.append(later, at(700));
  t.equal(linesOf(await readAll(third.tsdb)).length, left.length + 1, 'what comes later is shown');
  await third.tsdb.close();
});

t.test('a tombstone record that does not hold is told, and what is before it counts', async (t) => {
  const whole = tombstones([
    { ref: 1, from: START, to: START },
    { ref: 1, from: START + 2, to: START + 2 },
  ]);
  for (let length = 1; length <= whole.length; length++) {
    const disk = new MemoryDisk();
    const { tsdb } = await openTsdb(disk);
    const samples = [0, 1, 2].map((i) => [START + i, i] as const);
    tsdb.append(batchOf([{ labels: metric('a'), samples }]), START);
    await tsdb.close();
    await addRecords(disk, [whole.subarray(0, length)]);
    const again = await openTsdb(disk);
    const count = (await readAll(again.tsdb)).timestamps.length;
    const isWhole =
      length === 1 || length === 1 + (whole.length - 1) / 2 || length === whole.length;
    t.equal(again.tsdb.replayed?.damage.length, isWhole ? 0 : 1, `${length} bytes`);
    t.equal(count, 3 - Math.floor((length - 1) / ((whole.length - 1) / 2)));
    await again.tsdb.close();
  }
});

const programs = process.env['PROM_BIN'] ?? '';

/** `name timestamp` of all that a Prometheus answers, in order. */
async function askAll(url: string): Promise<string[]> {
  const params = new URLSearchParams({
    query: '{__name__=~".+"}[1d]',
    time: String((START + 12 * HOUR_MS) / 1000),
  });
  const answer = await fetch(`${url}/api/v1/query?${params.toString()}`);
  const body = (await answer.json()) as {
    data: {
      result: {
        metric: { __name__: string };
        values?: [number, string][];
        histograms?: [number, unknown][];
      }[];
    };
  };
  return body.data.result
    .flatMap(({ histograms = [], metric: { __name__: name }, values = [] }) =>
      [...values, ...histograms].map(([at]) => `${name} ${Math.round(at * 1000)}`),
    )
    .sort();
}

t.test(
  'a directory in which a Prometheus deleted series answers as that Prometheus did',
  { skip: programs === '' ? 'no PROM_BIN' : false },
  async (t) => {
    const work = t.testdir({ data: {} });
    const lines: string[] = [];
    for (const name of ['a', 'b']) {
      lines.push(`# TYPE ${name} gauge`);
      for (let i = 0; i < 200; i++) lines.push(`${name} ${i} ${(START + i * STEP_MS) / 1000}`);
    }
    await writeFile(`${work}/old.om`, `${lines.join('\n')}\n# EOF\n`);
    await mkdir(`${work}/data`, { recursive: true });
    await promtool(
      programs,
      'tsdb',
      'create-blocks-from',
      'openmetrics',
      `${work}/old.om`,
      `${work}/data`,
    );
    const server = await startServer(programs, work, [
      '--web.enable-remote-write-receiver',
      '--web.enable-admin-api',
      '--enable-feature=native-histograms',
    ]);
    t.teardown(() => server.stop());
    const headMs = START + 4 * HOUR_MS;
    const histograms = histogramSeries('integer', { startMs: headMs, count: 200, seed: 5 }).filter(
      ({ sample }) => !sample.isStale,
    );
    const named = (name: string) => [['__name__', name] as const];
    const push = async (series: Parameters<typeof pushBody>[0]): Promise<void> => {
      const body = new Uint8Array(pushBody(series));
      const answer = await fetch(`${server.url}/api/v1/write`, { method: 'POST', body });
      if (answer.status !== 204) t.fail(await answer.text());
    };
    for (const name of ['a', 'b', 'c']) {
      const samples = Array.from({ length: 200 }, (_, i) => [headMs + i * STEP_MS, i] as const);
      await push([{ labels: named(name), samples }]);
    }
    for (const { sample, timeMs } of histograms)
      await push([{ labels: named('h'), histograms: [encodeHistogramMessage(timeMs, sample)] }]);
    const before = await askAll(server.url);
    const remove = async (match: string, from: number, to: number): Promise<void> => {
      const params = new URLSearchParams({
        'match[]': match,
        start: String((START + from) / 1000),
        end: String((START + to) / 1000),
      });
      const url = `${server.url}/api/v1/admin/tsdb/delete_series?${params.toString()}`;
      t.equal((await fetch(url, { method: 'POST' })).status, 204);
    };
    await remove('a', 10 * STEP_MS, 20 * STEP_MS); // in the block
    await remove('a', 4 * HOUR_MS + 5 * STEP_MS, 4 * HOUR_MS + 8 * STEP_MS); // in the head
    await remove('b', 100 * STEP_MS, 4 * HOUR_MS + 100 * STEP_MS); // in both
    await remove('c', 0, 12 * HOUR_MS);
    await remove('h', 4 * HOUR_MS, 4 * HOUR_MS + 50 * STEP_MS);
    const after = await askAll(server.url);
    t.ok(after.length > 500 && after.length < before.length - 300);
    await server.stop();
    const told = async (): Promise<readonly string[]> => {
      const columns = await readAll(tsdb);
      return columns.labels
        .flatMap((labels, i) =>
          [...columns.timestamps.slice(i === 0 ? 0 : columns.ends[i - 1]!, columns.ends[i])].map(
            (timeMs) => `${labels[1]!} ${timeMs}`,
          ),
        )
        .sort();
    };
    const { tsdb } = await openTsdb(createNodeDisk(), { directory: `${work}/data` });
    t.strictSame(await told(), after, 'opened');
    await tsdb.flush();
    t.strictSame(await told(), after, 'cut');
    await tsdb.close();
  },
);
