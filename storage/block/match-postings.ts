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
    if (matcher.matchesEmpty) {
      const removed = await union(table, matcher, (value) => !matcher.matches(value));
      result = subtract(result ?? (await table.all()), removed);
    } else {
      const kept = await keptBy(table, matcher);
      result = result === undefined ? kept : intersect(result, kept);
    }
  }
  return result ?? table.all();
}

function cost(matcher: CompiledMatcher): number {
  if (matcher.matchesEmpty) return 2;
  return matcher.literals === undefined ? 1 : 0;
}

async function keptBy(table: PostingsTable, matcher: CompiledMatcher): Promise<Uint32Array> {
  const { name } = matcher.matcher;
  if (matcher.literals === undefined)
    return union(table, matcher, (value) => matcher.matches(value));
  const lists: Uint32Array[] = [];
  for (const literal of matcher.literals) lists.push(await table.of(name, literal));
  return unite(lists);
}

/** The series whose value of the matcher's label is accepted. */
async function union(
  table: PostingsTable,
  { matcher }: CompiledMatcher,
  accepts: (value: string) => boolean,
): Promise<Uint32Array> {
  const offsets: number[] = [];
  await table.forEachValue(matcher.name, (value, offset) => {
    if (accepts(value)) offsets.push(offset);
  });
  const countMax = (await table.all()).length;
  const lists: Uint32Array[] = [];
  let left = countMax; // a series has one value of a label: the lists share no series
  for (const offset of offsets) {
    const list = await table.list(offset, left);
    left -= list.length;
    lists.push(list);
  }
  return unite(lists);
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

/** Hot: what `a` has and `b` has not. */
function subtract(a: Uint32Array, b: Uint32Array): Uint32Array {
  if (b.length === 0) return a;
  const result = new Uint32Array(a.length);
  let kept = 0;
  for (let i = 0, k = 0; i < a.length; i++) {
    while (k < b.length && b[k]! < a[i]!) k++;
    if (k === b.length || b[k] !== a[i]) result[kept++] = a[i]!;
  }
  return result.subarray(0, kept);
}
