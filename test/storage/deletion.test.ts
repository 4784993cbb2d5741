/**
 * Goal: what was deleted is never read, and what was not always is.
 * Method: heads and blocks (with tombstones of their own) under random deletions against a naive filter.
 */
import fc from 'fast-check';
import t from 'tap';
import { type Matcher, compileMatcher } from '../../model/matchers.ts';
import type { TimeRange } from '../../model/sample.ts';
import { BlockReader, diskBlockFiles, mergeLabelSets } from '../../storage/index.ts';
import { encodeTombstones } from '../../storage/block/tombstones.ts';
import { writeFile } from '../../storage/block/block-writer.ts';
import type { Deletion } from '../../storage/deletion/deletion.ts';
import { deletionsTouching } from '../../storage/deletion/touching.ts';
import { testBlockId } from '../support/block-contents.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { EVERYTHING, batchOf, linesOf, metric, openTsdb, readAll } from '../support/toy-tsdb.ts';
import { MatchMemory } from '../../storage/deletion/verdicts.ts';

const memory = new MatchMemory();

const START = 1_699_999_200_000; // a two-hour border
const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));
t.comment(`SEED=${seed}`);

const matcher: fc.Arbitrary<Matcher> = fc
  .record({
    name: fc.constantFrom('__name__', 'job', 'i'),
    type: fc.constantFrom('=' as const, '!=' as const, '=~' as const, '!~' as const),
    value: fc.constantFrom('', 'a', 'b', '0', '1', 'a|b', '.+', 'm.*', 'm0'),
  })
  .map(({ name, type, value }) => ({ name, type, value }));
const selector = fc.array(matcher, { minLength: 1, maxLength: 3 });

function matchesLabels(matchers: readonly Matcher[], labels: readonly string[]): boolean {
  const values = new Map<string, string>();
  for (let i = 0; i < labels.length; i += 2) values.set(labels[i]!, labels[i + 1]!);
  return matchers.every((one) => compileMatcher(one).matches(values.get(one.name) ?? ''));
}

t.test('deletionsTouching() has all that a series of the read can match', (t) => {
  const labels = fc
    .record({
      name: fc.constantFrom('m0', 'm1', 'a'),
      job: fc.constantFrom('', 'a', 'b'),
      i: fc.constantFrom('', '0', '1'),
    })
    .map(({ i, job, name }) => ['__name__', name, 'i', i, 'job', job]);
  let excluded = 0;
  fc.assert(
    fc.property(selector, selector, labels, (a, b, set) => {
      const one = { id: 'a', selectors: [a], range: EVERYTHING };
      const could = deletionsTouching({ deletions: [one], memory }, [b], EVERYTHING).length > 0;
      if (!could) excluded++;
      return !(matchesLabels(a, set) && matchesLabels(b, set)) || could;
    }),
    { seed, numRuns: 2000 },
  );
  t.ok(excluded > 100, 'and false for many');
  t.end();
});

const only = (name: string, type: Matcher['type'], value: string): fc.Arbitrary<Matcher[]> =>
  fc.constant([{ name, type, value }]);
/** Of what is there. */
const likely: fc.Arbitrary<readonly Matcher[]> = fc.oneof(
  selector,
  only('__name__', '=', 'm0'),
  only('__name__', '=~', 'm.*'),
  only('job', '=', 'a'),
  only('job', '!~', 'b|c'),
  only('i', '!=', '0'),
);

const SERIES = ['m0', 'm1'].flatMap((name) =>
  ['a', 'b'].flatMap((job) => ['0', '1'].map((i) => metric(name, { job, i }))),
);
const SAMPLES = 300;
const STEP_MS = 60_000;

/** Five hours of samples in two blocks and a head; the deletions that hold are in `state`. */
async function filledTsdb() {
  const state: { hidden: readonly Deletion[]; gone: readonly Deletion[] } = {
    hidden: [],
    gone: [],
  };
  const disk = new MemoryDisk();
  const deletions = { hidden: () => state.hidden, gone: () => state.gone, memory };
  const opened = await openTsdb(disk, { deletions, outOfOrderMs: () => 30 * 60_000 });
  const { tsdb } = opened;
  for (let i = 0; i < SAMPLES; i++) {
    const timeMs = START + i * STEP_MS;
    tsdb.append(
      batchOf(SERIES.map((labels, s) => ({ labels, samples: [[timeMs, s * 1000 + i] as const] }))),
      timeMs,
    );
    if (i % 150 === 149 && i < 200) await tsdb.flush();
  }
  return { ...opened, state, disk };
}

const range: fc.Arbitrary<TimeRange> = fc
  .tuple(fc.integer({ min: -10, max: SAMPLES + 10 }), fc.integer({ min: 0, max: SAMPLES }))
  .map(([from, length]) => ({
    minTimeMs: START + from * STEP_MS,
    maxTimeMs: START + (from + length) * STEP_MS,
  }));
const deletion = fc
  .record({ selectors: fc.array(likely, { minLength: 1, maxLength: 2 }), range })
  .map(({ range: times, selectors }): Omit<Deletion, 'id'> => ({ range: times, selectors }));

/** `labels time` of all samples, without those that deletions take. */
function expectedOf(
  deletions: readonly Omit<Deletion, 'id'>[],
  matchers: readonly Matcher[],
  { maxTimeMs, minTimeMs }: TimeRange,
): string[] {
  const lines: string[] = [];
  for (const labels of SERIES) {
    if (!matchesLabels(matchers, labels)) continue;
    const taken = deletions.filter(({ selectors }) =>
      selectors.some((one) => matchesLabels(one, labels)),
    );
    for (let i = 0; i < SAMPLES; i++) {
      const timeMs = START + i * STEP_MS;
      if (timeMs < minTimeMs || timeMs > maxTimeMs) continue;
      if (taken.some((one) => one.range.minTimeMs <= timeMs && timeMs <= one.range.maxTimeMs))
        continue;
      lines.push(`${labels.join()}@${timeMs}`);
    }
  }
  return lines.sort();
}

const withoutValues = (lines: readonly string[]): string[] =>
  lines.map((line) => line.slice(0, line.indexOf('=', line.indexOf('@')))).sort();

t.test('reads of head and blocks leave out what is deleted, and nothing else', async (t) => {
  const { state, tsdb } = await filledTsdb();
  let touched = 0;
  let deletionCount = 0; // a name is one deletion for ever
  await fc.assert(
    fc.asyncProperty(
      fc.array(deletion, { maxLength: 4 }),
      likely,
      range,
      fc.boolean(),
      async (deleted, matchers, times, isCopy) => {
        const named = deleted.map((one) => ({ ...one, id: testBlockId(++deletionCount) }));
        state.hidden = isCopy ? [] : named;
        state.gone = isCopy ? named : [];
        const part = isCopy ? { part: { index: 0, count: 1 } } : {};
        const hints = { projection: undefined, newestOnly: false, ...part };
        const lines = withoutValues(linesOf(await readAll(tsdb, matchers, times, hints)));
        const expected = expectedOf(named, matchers, times);
        t.strictSame(lines, expected);
        if (expected.length < expectedOf([], matchers, times).length) touched++;
        if (isCopy) return;
        // The newest sample of each series, and which series there are.
        const newest = await readAll(tsdb, matchers, times, { ...hints, newestOnly: true });
        const byLabels = new Map<string, string>();
        for (const line of expected) byLabels.set(line.slice(0, line.indexOf('@')), line);
        const newestLines = new Map<string, string>();
        for (const line of withoutValues(linesOf(newest))) {
          newestLines.set(line.slice(0, line.indexOf('@')), line);
        }
        t.strictSame(newestLines, byLabels);
        const frames: Uint8Array[] = [];
        for await (const frame of tsdb.selectLabelSets([matchers], times)) {
          if (frame !== undefined) frames.push(frame);
        }
        const sets = new Set(mergeLabelSets(frames).map((labels) => labels.join()));
        for (const labels of byLabels.keys()) t.ok(sets.has(labels));
      },
    ),
    { seed, numRuns: 60 },
  );
  t.ok(touched > 10, `${touched} runs deleted something`);
  state.hidden = [
    { id: 'x', selectors: [[{ name: 'job', type: '=', value: 'a' }]], range: EVERYTHING },
  ];
  const frames: Uint8Array[] = [];
  for await (const frame of tsdb.selectLabelSets([], EVERYTHING)) {
    if (frame !== undefined) frames.push(frame);
  }
  t.equal(mergeLabelSets(frames).length, 4, 'a series without any sample is not shown');
});

t.test('a block that comes with tombstones hides what they list', async (t) => {
  const { disk, state, tsdb } = await filledTsdb();
  const directory = '/data/tenant';
  const { id } = tsdb.blocks()[0]!.meta;
  const before = (await readAll(tsdb)).timestamps.length;
  const reader = await BlockReader.open(diskBlockFiles(disk, directory, id));
  const refs = await reader.select([{ name: 'job', type: '=', value: 'a' }]);
  await reader.close();
  const hidden = { minTimeMs: START, maxTimeMs: START + 9 * STEP_MS };
  await disk.remove(`${directory}/${id}/tombstones`);
  const bytes = encodeTombstones(new Map([...refs].map((ref) => [ref, [hidden]])));
  await writeFile(disk, `${directory}/${id}/tombstones`, bytes);
  await tsdb.close();
  const again = await openTsdb(disk, {
    deletions: { hidden: () => state.hidden, gone: () => [], memory },
  });
  t.equal((await readAll(again.tsdb)).timestamps.length, before - 4 * 10);
  state.hidden = [
    {
      id: 'x',
      selectors: [[{ name: 'job', type: '=', value: 'a' }]],
      range: { minTimeMs: START, maxTimeMs: START + 19 * STEP_MS },
    },
  ];
  t.equal((await readAll(again.tsdb)).timestamps.length, before - 4 * 20, 'together with requests');
});
