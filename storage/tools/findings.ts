/**
 * What can be wrong with a block, each kind with an id that never changes: scripts and runbooks depend on
 * them (docs/blocks.md has the list with what to do).
 *
 * A finding is data, not an exception: verification goes on behind it as far as bytes can be told apart.
 */
import { StarlingError, toStarlingError } from '../../model/errors.ts';

/** Kinds of findings and what they say. `note` kinds are harmless: they fail nothing. */
export const FINDINGS = {
  'meta.unreadable': 'meta.json is missing or cannot be used',
  'meta.stats': 'meta.json counts what the block does not have',
  'meta.times': 'the times in meta.json cannot be',
  'files.missing': 'a file that meta.json names is not there',
  'files.size': 'a file has another size than meta.json says',
  'index.header': 'the index is missing, or not one this version reads',
  'index.toc': 'the table of contents of the index does not hold',
  'index.symbols': 'the symbols do not hold: length, order or checksum',
  'index.postings_table': 'the table of postings does not hold: length, order or checksum',
  'postings.unreadable': 'a list of postings does not hold: length, order or checksum',
  'postings.all': 'the list of all series is not the series that are there',
  'postings.missing': 'a label pair of series has no list of postings',
  'postings.wrong': 'a list of postings is not the series that have the label pair',
  'series.unreadable': 'a series, or bytes where series are, do not hold',
  'series.order': 'the series are not in the order of their labels, or one is there twice',
  'series.labels': 'a series has an empty label value, or no label',
  'series.chunks': 'the chunks of a series overlap, or it has none',
  'chunk.order': 'chunk references fall from one series to the next',
  'chunk.unreadable': 'a chunk does not hold: place, length or checksum',
  'chunk.encoding': 'a chunk has an encoding that this version does not read',
  'chunk.samples': 'the samples of a chunk do not decode, or their times do not rise',
  'chunk.times': 'the first or last time of a chunk is not what the index says',
  'chunk.outside': 'a chunk has samples outside the times of the block',
  'chunks.header': 'a file of chunks does not begin as one',
  'chunks.unreferenced': 'a file of chunks has bytes that no series names',
  'tombstones.unreadable': 'the tombstones do not hold',
  'tombstones.series': 'tombstones of a series that is not there',
} as const;

export type FindingId = keyof typeof FINDINGS;

const NOTES: ReadonlySet<FindingId> = new Set(['chunks.unreferenced', 'tombstones.series']);

export interface Finding {
  readonly id: FindingId;
  /** Below the block's directory. */
  readonly file: string;
  /** In bytes; undefined: it is about the whole file. */
  readonly offset: number | undefined;
  /** The label set, if it is about one series. */
  readonly series: string | undefined;
  /** A sentence with the values. */
  readonly what: string;
}

/** True for what says that something is wrong. */
export function isFault({ id }: Finding): boolean {
  return !NOTES.has(id);
}

export const FINDINGS_MAX = 1000;

/** The findings of one block: the first thousand, and how many of each kind. */
export class FindingList {
  readonly kept: Finding[] = [];
  readonly counts = new Map<FindingId, number>();

  get faultCount(): number {
    let count = 0;
    for (const [id, many] of this.counts) if (!NOTES.has(id)) count += many;
    return count;
  }

  add(id: FindingId, where: Partial<Finding> & Pick<Finding, 'file' | 'what'>): void {
    this.counts.set(id, (this.counts.get(id) ?? 0) + 1);
    if (this.kept.length >= FINDINGS_MAX) return;
    const { file, offset, series, what } = where;
    this.kept.push({ id, file, offset, series, what });
  }

  /** Notes an error about the block's bytes; others (the bucket does not answer) are thrown on. */
  addThrown(
    id: FindingId,
    thrown: unknown,
    where: Pick<Finding, 'file'> & Partial<Pick<Finding, 'offset' | 'series'>>,
  ): void {
    this.add(id, { ...where, ...damageOf(thrown) });
  }
}

/** What an error says of a block's bytes; one about anything else is thrown on. */
export function damageOf(thrown: unknown): {
  readonly what: string;
  readonly file?: string;
  readonly offset?: number;
} {
  const error = toStarlingError(thrown);
  if (error.id === 'internal') throw thrown;
  if (error.id === 'disk.failed') return { what: error.message };
  if (error.id !== 'block.corrupt' && error.id !== 'block.unsupported') throw error;
  const facts = (error as StarlingError<'block.corrupt'>).facts; // the other has less
  const { file, offset, why } = facts as Partial<typeof facts>;
  return {
    what: why ?? error.message,
    ...(file === undefined ? {} : { file }),
    ...(offset === undefined ? {} : { offset }),
  };
}
