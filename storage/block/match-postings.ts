/**
 * Matchers against the postings of an index, with Prometheus' rules: an absent label equals an empty
 * one, so a matcher that accepts the empty value removes what does not match, and any other one keeps
 * the union of what does. Lists are sorted; results are new arrays or shared ones, never written to.
 */
import type { CompiledMatcher } from '../../model/matchers.ts';
import type { PostingsTable } from './postings-table.ts';

/** The series that all matchers accept, rising. */
export async function matchPostings(
  table: PostingsTable,
  matchers: readonly CompiledMatcher[],
): Promise<Uint32Array> {
  // What keeps little comes first; then an empty result ends the work before the costly ones.
  const inOrder = [...matchers].sort((a, b) => cost(a) - cost(b));
  let result: Uint32Array | undefined;
  for (const matcher of inOrder) {
    if (result?.length === 0) return result;
    const isListed = matcher.literals !== undefined && !matcher.matchesEmpty;
    result = await (isListed
      ? ofLiterals(table, matcher, result)
      : ofValues(table, matcher, result ?? (await table.all())));
  }
  return result ?? table.all();
}

function cost(matcher: CompiledMatcher): number {
  if (matcher.matchesEmpty) return 2;
  return matcher.literals === undefined ? 1 : 0;
}

/** The series, out of `among` if that is given, that have one of the values of a matcher. */
async function ofLiterals(
  table: PostingsTable,
  { literals = [], matcher }: CompiledMatcher,
  among: Uint32Array | undefined,
): Promise<Uint32Array> {
  const lists: Uint32Array[] = [];
  for (const literal of literals) lists.push(await table.of(matcher.name, literal));
  const kept = unite(lists);
  return among === undefined ? kept : intersect(among, kept);
}

/** The series out of `among` that a matcher accepts: each value of its label is asked. */
async function ofValues(
  table: PostingsTable,
  matcher: CompiledMatcher,
  among: Uint32Array,
): Promise<Uint32Array> {
  const { matchesEmpty } = matcher;
  const offsets: number[] = [];
  await table.forEachValue(matcher.matcher.name, (value, offset) => {
    if (matcher.matches(value) !== matchesEmpty) offsets.push(offset);
  });
  const marks = new Uint8Array(among.length);
  let left = (await table.all()).length; // a series has one value of a label: the lists share no series
  for (const offset of offsets) {
    const list = await table.list(offset, left);
    left -= list.length;
    markShared(among, list, marks);
  }
  return withMark(among, marks, matchesEmpty ? 0 : 1);
}

/** Hot: marks the places in `among` of what `list` has too. Both rise; the longer one is leapt over. */
function markShared(among: Uint32Array, list: Uint32Array, marks: Uint8Array): void {
  if (list.length < among.length) {
    for (let i = 0, at = 0; i < list.length; i++) {
      at = firstFrom(among, list[i]!, at);
      if (at < among.length && among[at] === list[i]) marks[at] = 1;
    }
    return;
  }
  for (let i = 0, at = 0; i < among.length; i++) {
    at = firstFrom(list, among[i]!, at);
    if (at < list.length && list[at] === among[i]) marks[i] = 1;
  }
}

/** Hot: the place of the first number that is not below `least`, at `from` or later: in leaps that double, then by halves. */
function firstFrom(sorted: Uint32Array, least: number, from: number): number {
  let low = from;
  let leap = 1;
  while (low + leap < sorted.length && sorted[low + leap]! < least) {
    low += leap;
    leap *= 2;
  }
  let high = Math.min(low + leap, sorted.length);
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (sorted[middle]! < least) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Hot: those that have this mark. */
function withMark(among: Uint32Array, marks: Uint8Array, mark: number): Uint32Array {
  const result = new Uint32Array(among.length);
  let kept = 0;
  for (let i = 0; i < among.length; i++) if (marks[i] === mark) result[kept++] = among[i]!;
  return result.subarray(0, kept);
}

function unite(lists: readonly Uint32Array[]): Uint32Array {
  if (lists.length === 1) return lists[0]!;
  const joined = new Uint32Array(lists.reduce((sum, list) => sum + list.length, 0));
  let at = 0;
  for (const list of lists) {
    joined.set(list, at);
    at += list.length;
  }
  joined.sort();
  let kept = 0;
  for (let i = 0; i < joined.length; i++) {
    if (i === 0 || joined[i] !== joined[kept - 1]) joined[kept++] = joined[i]!;
  }
  return joined.subarray(0, kept);
}

/** Hot: what both have. */
function intersect(a: Uint32Array, b: Uint32Array): Uint32Array {
  const result = new Uint32Array(Math.min(a.length, b.length));
  let kept = 0;
  for (let i = 0, k = 0; i < a.length && k < b.length;) {
    const order = a[i]! - b[k]!;
    if (order === 0) result[kept++] = a[i]!;
    if (order <= 0) i++;
    if (order >= 0) k++;
  }
  return result.subarray(0, kept);
}
