/**
 * Compares the postings of an index with its series: both are gone over in the order of the table, by name
 * and value, and each list must be the series that have the pair.
 *
 *   table   (__name__, a) (__name__, b) (job, x) …
 *   series  (__name__, a) (__name__, b) (job, x) …      a gap on either side is a finding
 */
import { compareUtf8 } from '../../model/labels.ts';
import type { PostingsTable } from '../block/postings-table.ts';
import type { SymbolTable } from '../block/symbol-table.ts';
import { BLOCK_INDEX_FILE } from '../filenames.ts';
import type { Pacer } from '../pacer.ts';
import { type FindingList, damageOf } from './findings.ts';
import { type PairCounts, type PairCursor, type PairFigures, figuresOf } from './pair-counts.ts';

const FILE = BLOCK_INDEX_FILE;

export interface PostingsCheck {
  readonly postings: PostingsTable;
  readonly symbols: SymbolTable;
  /** Of the series that were found. */
  readonly pairs: PairCounts;
  /** The series that were found, rising. */
  readonly refs: Uint32Array;
  readonly pacer: Pacer;
}

const LIST_UNITS = 10;

export async function checkPostings(check: PostingsCheck, findings: FindingList): Promise<void> {
  const { pacer, pairs, postings } = check;
  await checkAll(check, findings);
  const cursor = pairs.sorted();
  for (const name of postings.names()) {
    const lists: (readonly [value: string, offset: number])[] = [];
    await postings.forEachValue(name, (value, offset) => {
      lists.push([value, offset]);
    });
    for (const [value, offset] of lists) {
      const expected = await expectedFor({ name, value }, cursor, check, findings);
      const pair = `${name}=${JSON.stringify(value)}`;
      try {
        const found = figuresOf(await postings.list(offset, undefined));
        if (pacer.spend(LIST_UNITS + found.count / 100)) await pacer.pause();
        const isRight = found.count === expected.count && found.sum === expected.sum;
        if (!isRight) {
          const what = `${pair} has ${found.count} postings, ${expected.count} series have it`;
          findings.add('postings.wrong', { file: FILE, offset, what });
        }
      } catch (thrown) {
        const { what } = damageOf(thrown);
        findings.add('postings.unreadable', { file: FILE, offset, what: `${pair}: ${what}` });
      }
    }
  }
  while (cursor.pair !== undefined) {
    await tellMissing(cursor, check, findings);
    cursor.advance();
  }
}

async function checkAll({ postings, refs }: PostingsCheck, findings: FindingList): Promise<void> {
  try {
    const all = await postings.all();
    const isSame = all.length === refs.length && all.every((ref, i) => ref === refs[i]);
    if (isSame) return;
    const what = `it has ${all.length} series, ${refs.length} can be read`;
    findings.add('postings.all', { file: FILE, what });
  } catch (thrown) {
    findings.addThrown('postings.all', thrown, { file: FILE });
  }
}

/** The figures that the list of this entry of the table should have. */
async function expectedFor(
  entry: { readonly name: string; readonly value: string },
  cursor: PairCursor,
  check: PostingsCheck,
  findings: FindingList,
): Promise<PairFigures> {
  const { symbols } = check;
  for (;;) {
    const { pair } = cursor;
    if (pair === undefined) return { count: 0, sum: 0 };
    const order =
      compareUtf8(await symbols.text(pair.name), entry.name) ||
      compareUtf8(await symbols.text(pair.value), entry.value);
    if (order > 0) return { count: 0, sum: 0 };
    const { figures } = cursor;
    if (order < 0) await tellMissing(cursor, check, findings);
    cursor.advance();
    if (order === 0) return figures;
  }
}

async function tellMissing(
  { figures, pair }: PairCursor,
  { symbols }: PostingsCheck,
  findings: FindingList,
): Promise<void> {
  if (pair === undefined) return;
  const text = `${await symbols.text(pair.name)}=${JSON.stringify(await symbols.text(pair.value))}`;
  const what = `${figures.count} series have ${text}, the table of postings does not`;
  findings.add('postings.missing', { file: FILE, what });
}
