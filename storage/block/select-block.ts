/**
 * Reading a block as a head is read: series that match, with their chunks, as series frames. `undefined`
 * is a pause: the caller lets the loop turn. What was deleted is left out.
 */
import { type CompiledMatcher, compileMatcher } from '../../model/matchers.ts';
import type { TimeRange } from '../../model/sample.ts';
import { SERIES_FRAME_BYTES_TARGET } from '../../model/wire/series-frame.ts';
import { compiledSelector } from '../deletion/compiled.ts';
import { DeletedRefs, type Deletion } from '../deletion/deletion.ts';
import { matchKey } from '../head/match-cache.ts';
import type { SelectHints } from '../head/select.ts';
import type { Pacer } from '../pacer.ts';
import type { BlockReader } from './block-reader.ts';
import type { BlockSelection } from './block-selection.ts';
import { BATCH_SERIES_MAX, SeriesBatch } from './series-batch.ts';
import { BlockSeriesPutter } from './series-putter.ts';
import { type SeriesEntry, createSeriesEntry } from './series-reader.ts';

/** What writing one series costs, roughly, in units of the pacer. */
const SERIES_UNITS = 14;
/** And looking for one deletion, at least. */
const DELETION_UNITS = 200;

/** Frames with chunks; without `hints`, of label sets only. */
export async function* selectBlockFrames(
  selection: BlockSelection,
  hints: SelectHints | undefined,
): AsyncGenerator<Uint8Array | undefined, void> {
  const { pacer, prefetch, range, reader } = selection;
  const refs = await matchingRefs(selection);
  if (refs.length === 0) return;
  const deleted = await deletedRefs(reader, selection.deletions, pacer);
  const putter = new BlockSeriesPutter(selection, hints, deleted);
  const takes = (entry: SeriesEntry): boolean => putter.takes(entry);
  const batch = new SeriesBatch({ reader, pacer, range, takes });
  const entries: SeriesEntry[] = [];
  for (let i = 0; i < refs.length; i += BATCH_SERIES_MAX) {
    const group = refs.subarray(i, i + BATCH_SERIES_MAX);
    await prefetch?.entries(group);
    for (let k = 0; k < group.length;) {
      k += await batch.read(group, k, entries);
      if (hints !== undefined) await prefetch?.chunks(entries);
      for (const entry of entries) {
        if (!putter.tryPut(entry)) await putter.put(entry);
        if (putter.writer.length >= SERIES_FRAME_BYTES_TARGET) yield putter.writer.finish();
        else if (pacer.spend(SERIES_UNITS)) {
          await pacer.pause();
          yield undefined;
        }
      }
    }
  }
  if (putter.writer.seriesCount > 0) yield putter.writer.finish();
  putter.writer.close();
}

/** Adds the names of labels that matching series have. */
export async function collectBlockNames(
  selection: BlockSelection,
  names: Set<string>,
): Promise<void> {
  const { reader, selectors } = selection;
  if (selectors.length === 0) for (const name of reader.labelNames()) names.add(name);
  else
    await eachSymbols(selection, async (symbol, i) => {
      if (i % 2 === 0) names.add(await textOf(reader, symbol));
    });
}

/** Adds the values of one label that matching series have. */
export async function collectBlockValues(
  selection: BlockSelection,
  name: string,
  values: Set<string>,
): Promise<void> {
  const { reader, selectors } = selection;
  if (selectors.length === 0) {
    for (const value of await reader.labelValues(name)) values.add(value);
    return;
  }
  let isWanted = false;
  await eachSymbols(selection, async (symbol, i) => {
    if (i % 2 === 0) isWanted = (await textOf(reader, symbol)) === name;
    else if (isWanted) values.add(await textOf(reader, symbol));
  });
}

/** Calls back for each name and value, in turn, of each series that matches. */
async function eachSymbols(
  selection: BlockSelection,
  use: (symbol: number, index: number) => Promise<void>,
): Promise<void> {
  const { pacer, reader } = selection;
  const entry = createSeriesEntry();
  const refs = await matchingRefs(selection);
  for (let at = 0; at < refs.length; at++) {
    if (at % BATCH_SERIES_MAX === 0)
      await selection.prefetch?.entries(refs.subarray(at, at + BATCH_SERIES_MAX));
    await reader.index.readSeries(refs[at]!, entry);
    for (let i = 0; i < entry.symbols.length; i++) await use(entry.symbols[i]!, i);
    if (pacer.spend(SERIES_UNITS)) await pacer.pause();
  }
}

async function textOf(reader: BlockReader, symbol: number): Promise<string> {
  const { symbols } = reader.index;
  return symbols.peekText(symbol) ?? symbols.text(symbol);
}

/** Series that any of the selectors matches, rising. Not to be written to. */
async function matchingRefs({ reader, selectors }: BlockSelection): Promise<Uint32Array> {
  if (selectors.length === 0) return reader.select([]);
  const key = matchKey(selectors);
  const known = reader.matches.find(key);
  if (known !== undefined) return known;
  const compiled = selectors.map((matchers) => matchers.map(compileMatcher));
  const refs = await selectAny(reader, compiled);
  reader.matches.note(key, refs);
  return refs;
}

async function selectAny(
  reader: BlockReader,
  selectors: readonly (readonly CompiledMatcher[])[],
): Promise<Uint32Array> {
  if (selectors.length === 1) return reader.selectCompiled(selectors[0]!);
  const found = new Set<number>();
  for (const matchers of selectors) {
    for (const ref of await reader.selectCompiled(matchers)) found.add(ref);
  }
  return Uint32Array.from(found).sort();
}

const NONE_DELETED = new DeletedRefs([]);

/** What deletions take of a block's series; those that the block was made without have nothing in it. */
export async function deletedRefs(
  reader: BlockReader,
  deletions: readonly Deletion[] = [],
  pacer?: Pacer,
): Promise<DeletedRefs> {
  const { deletions: applied = [], maxTimeMs, minTimeMs } = reader.meta;
  const parts: { readonly refs: Uint32Array; readonly range: TimeRange }[] = [];
  for (const { id, range, selectors } of deletions) {
    if (range.minTimeMs >= maxTimeMs || range.maxTimeMs < minTimeMs) continue;
    if (applied.includes(id) || reader.isWithout(id)) continue;
    const refs = await selectAny(
      reader,
      selectors.map((one) => compiledSelector(one)),
    );
    if (refs.length === 0) reader.noteWithout(id);
    else parts.push({ refs, range });
    if (pacer?.spend(DELETION_UNITS) === true) await pacer.pause();
  }
  return parts.length === 0 ? NONE_DELETED : new DeletedRefs(parts);
}
