/**
 * Goal: OpenMetrics text becomes the blocks that promtool makes of it, in bounded memory, and what is wrong with a
 * text is said with line and column, and leaves nothing behind.
 * Method: texts and the samples they mean; random texts against a naive reading of them, with tiny bounds; promtool
 * with PROM_BIN=<directory>.
 */
import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import fc from 'fast-check';
import t from 'tap';
import { createNodeDisk } from '../../platform/node/disk.ts';
import { Pacer } from '../../storage/pacer.ts';
import { diskBlockFiles } from '../../storage/block/byte-source.ts';
import { parseBlockId } from '../../storage/block/ulid.ts';
import { importOpenMetrics, verifyBlock } from '../../storage/tools/index.ts';
import { dumpLines, readTestBlock, type TestSeries } from '../support/block-contents.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { dump, promtool } from '../support/prometheus-tools.ts';
import { randomSeam } from '../support/random-seam.ts';
import { refusal } from '../support/refusal.ts';

const clock = new FakeClock();
const pacer = new Pacer(clock);
let state = 1;
const random = randomSeam({
  uint32: () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0),
  float: () => 0.5,
});

const sourceOf = (bytes: Uint8Array) => ({
  sizeBytes: bytes.length,
  read: async (from: number, count: number) => bytes.slice(from, from + count),
  close: async () => undefined,
});

async function linesOf(
  text: string,
  bounds?: { bufferedRecordsMax: number; partSamplesMax: number },
) {
  const disk = new MemoryDisk();
  const source = sourceOf(Buffer.from(text));
  const options = { clock, disk, random, pacer, source, directory: '/out' };
  await disk.makeDirectory('/out');
  try {
    const { blocks } = await importOpenMetrics(
      bounds === undefined ? options : { ...options, bounds },
    );
    const all: TestSeries[] = [];
    for (const { id } of blocks) all.push(...(await readTestBlock(disk, '/out', id)));
    return { blockCount: blocks.length, lines: dumpLines(all) };
  } catch (thrown) {
    t.strictSame(await disk.list('/out'), [], 'nothing is left behind');
    throw thrown;
  }
}

t.test('importOpenMetrics() reads every form of a sample', async (t) => {
  const check = async (line: string, expected: string): Promise<void> => {
    t.strictSame((await linesOf(`${line}\n# EOF\n`)).lines, [expected], line);
  };
  await check('up 1 1.5', '{__name__="up"} 1 1500');
  await check('a:b{} -Inf 0', '{__name__="a:b"} -Inf 0');
  await check(
    'up{b="x",a="",c="\\"\\\\\\n"} 1e3 2',
    '{__name__="up", b="x", c="\\"\\\\\\n"} 1000 2000',
  );
  await check('{"a b","c.d"="é"} .5e-1 -3.25', '{__name__="a b", "c.d"="é"} 0.05 -3250');
  await check('up{a="} 1 1"} nan 4', '{__name__="up", a="} 1 1"} NaN 4000');
  await check('up{a="x",} +infinity 1565133713.989', '{__name__="up", a="x"} +Inf 1565133713989');
  await check(
    'x_bucket{le="1"} 1 1 # {trace_id="q"} 0.5 1',
    '{__name__="x_bucket", le="1"} 1 1000',
  );
  await check('# HELP up text\n# TYPE up gauge\n# UNIT up s\nup 1 1', '{__name__="up"} 1 1000');
  await check('up 1 1\nup 1 1', '{__name__="up"} 1 1000');
});

t.test('importOpenMetrics() says what is wrong and where', async (t) => {
  const check = async (text: string, place: string, why: RegExp): Promise<void> => {
    const message = new RegExp(`^line ${place}: .*${why.source}`);
    await t.rejects(linesOf(text), refusal('openmetrics.invalid', message), text);
  };
  const end = '\n# EOF\n';
  await check('up 1 1\n', '2, column 1', /does not end with # EOF/);
  await check(`up 1${end}`, '1, column 5', /has no timestamp/);
  await check(`up 1 # {a="b"} 1${end}`, '1, column 5', /has no timestamp/);
  await check(`up one 1${end}`, '1, column 4', /'one' is not a value/);
  await check(`up 0x10 1${end}`, '1, column 4', /'0x10' is not a value/);
  await check(`up 1e999 1${end}`, '1, column 4', /'1e999' is not a value/);
  await check(`up 1 now${end}`, '1, column 6', /'now' is not a timestamp/);
  await check(`up 1 1e300${end}`, '1, column 6', /'1e300' is not a timestamp/);
  await check(`up 1 1 1${end}`, '1, column 7', /only an exemplar/);
  await check(`up  1 1${end}`, '1, column 4', /'' is not a value/);
  await check(`up{a="b" 1 1${end}`, '1, column 9', /',' or '}'|a space and a value/);
  await check(`up{a="b}1 1${end}`, '1, column 12', /a space and a value/);
  await check(`up{a=b} 1 1${end}`, '1, column 6', /a label value in quotes/);
  await check(`up{a="\\t"} 1 1${end}`, '1, column 7', /escapes/);
  await check(`up{a="1",a="2"} 1 1${end}`, '1, column 1', /the label 'a' is there twice/);
  await check(`{a="1"} 1 1${end}`, '1, column 1', /no metric name/);
  await check(`1up 1 1${end}`, '1, column 1', /"1up" does not belong/);
  await check(`up 1 1\n\n# EOF\n`, '2, column 1', /empty/);
  await check(`# about up\nup 1 1${end}`, '1, column 1', /# HELP, # TYPE/);
  await check(`up 1 1${end}up 1 2\n`, '3, column 1', /behind # EOF/);
  const both = refusal('openmetrics.duplicate', /up\{\} has two values at 1000 ms: 1 and 2/);
  await t.rejects(linesOf(`up 1 1\nup 2 1${end}`), both);
});

t.test('importOpenMetrics() keeps all samples of any text, whatever its bounds', async () => {
  const sample = fc.record({
    series: fc.nat(4),
    minute: fc.integer({ min: -200, max: 400 }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(sample, { maxLength: 60 }), fc.nat(9), async (samples, bound) => {
      const text = samples.map(
        ({ minute, series }) => `m{s="${series}"} ${minute} ${minute * 60}\n`,
      );
      const bounds = { bufferedRecordsMax: bound + 1, partSamplesMax: bound + 1 };
      const expected = new Set(
        samples.map(
          ({ minute, series }) => `{__name__="m", s="${series}"} ${minute} ${minute * 60_000}`,
        ),
      );
      const { blockCount, lines } = await linesOf(`${text.join('')}# EOF\n`, bounds);
      const windows = new Set(samples.map(({ minute }) => Math.floor(minute / 120)));
      return (
        blockCount === windows.size &&
        JSON.stringify(lines) === JSON.stringify([...expected].sort())
      );
    }),
    { numRuns: 40 },
  );
});

t.test('importOpenMetrics() leaves all blocks or none, whichever disk call fails', async (t) => {
  const source = sourceOf(Buffer.from('m 1 0\nm 2 9000\nm 3 18000\n# EOF\n'));
  const bounds = { bufferedRecordsMax: 1, partSamplesMax: 1 };
  for (let n = 1; ; n++) {
    const disk = new MemoryDisk();
    await disk.makeDirectory('/out');
    disk.failWhen = ({ number }) => number === n;
    const options = { clock, disk, random, pacer, source, directory: '/out', bounds };
    const outcome = await importOpenMetrics(options).catch((thrown: unknown) => thrown);
    const hasFailed = disk.calls.length >= n;
    disk.failWhen = () => false;
    const blocks = (await disk.list('/out')).filter((name) => parseBlockId(name) !== undefined);
    if (outcome instanceof Error) t.match(outcome, { id: 'disk.failed' }, `call ${n}`);
    t.equal(blocks.length, outcome instanceof Error ? 0 : 3, `call ${n}`);
    if (!hasFailed) break;
  }
});

const programs = process.env['PROM_BIN'];
if (programs === undefined) {
  t.comment('skipped: PROM_BIN is not set, nothing to compare with');
} else {
  t.test('importOpenMetrics() makes the blocks that promtool makes', async (t) => {
    const root = t.testdir({ ours: {}, theirs: {} });
    const lines: string[] = [];
    for (let s = 0; s < 30; s++) {
      for (let i = 0; i < 300; i++) {
        const value = s % 7 === 0 ? 'NaN' : String(Math.cos(i) * s);
        lines.push(`m${s % 3}{s="${s}",name="ü${s % 9}"} ${value} ${1_699_999_200 + i * 60}`);
      }
    }
    lines.sort((a, b) => (a.slice(0, 2) < b.slice(0, 2) ? -1 : 1));
    await writeFile(`${root}/in.om`, `# TYPE m0 gauge\n${lines.join('\n')}\n# EOF\n`);
    const words = ['tsdb', 'create-blocks-from', 'openmetrics', `${root}/in.om`];
    await promtool(programs, ...words, `${root}/theirs`);
    const source = sourceOf(await readFile(`${root}/in.om`));
    const disk = createNodeDisk();
    await mkdir(`${root}/ours`, { recursive: true });
    const directory = `${root}/ours`;
    const { blocks } = await importOpenMetrics({ clock, disk, random, pacer, source, directory });
    t.strictSame(await dump(programs, directory), await dump(programs, `${root}/theirs`));
    const listed = (await promtool(programs, 'tsdb', 'list', `${root}/theirs`)).trim().split('\n');
    t.equal(blocks.length, listed.length - 1);
    const times = listed.slice(1).map((row) => row.split(/\s+/).slice(1, 3).map(Number));
    const ours = blocks.map(({ maxTimeMs, minTimeMs }) => [minTimeMs, maxTimeMs]);
    t.strictSame(ours, times, 'of the same times');
    for (const name of await readdir(`${root}/theirs`)) {
      const id = parseBlockId(name);
      if (id === undefined) continue;
      const files = diskBlockFiles(disk, `${root}/theirs`, id);
      const report = await verifyBlock({ files, pacer });
      t.strictSame(report.findings.kept, [], 'verification finds nothing in theirs');
    }
  });
}
