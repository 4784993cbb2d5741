/**
 * Sorting label sets, most of which differ in one value only, after a prefix they share. Numbers are made of
 * the first characters that tell them apart, and only equal numbers have their labels compared.
 *
 *   {pod="api-7f9c-1"}   same names and values before `column`,
 *   {pod="api-8a00-2"}   same characters before `from`:          key = "7f9", "8a0"
 *             ^from
 */
import { type Labels, compareLabels } from '../../model/labels.ts';

/** Characters of a key: three of 17 bits are exact in a double. */
const KEY_CHARACTERS = 3;
const CHARACTER_LIMIT = 2 ** 17;

/** The numbers of label sets, in the order of `compareLabels`. */
export function sortedByLabels(labels: readonly Labels[]): Uint32Array {
  const keys = keysOf(labels);
  return Uint32Array.from(labels.keys()).sort(
    (a, b) => keys[a]! - keys[b]! || compareLabels(labels[a]!, labels[b]!),
  );
}

/** Numbers that are less only where label sets are. */
function keysOf(labels: readonly Labels[]): Float64Array {
  const column = firstDifference(labels);
  const from = sharedPrefix(labels, column);
  return Float64Array.from(labels, (one) => {
    const text = one[column];
    if (text === undefined) return -1; // a prefix sorts first
    let key = 0;
    for (let i = from; i < from + KEY_CHARACTERS; i++) {
      key = key * CHARACTER_LIMIT + (i < text.length ? 1 + rankOf(text.charCodeAt(i)) : 0);
    }
    return key;
  });
}

/** The index of a name or value, before which all label sets are the same. */
function firstDifference(labels: readonly Labels[]): number {
  const first = labels[0] ?? [];
  let column = first.length;
  for (const one of labels) {
    let i = 0;
    while (i < column && one[i] === first[i]) i++;
    column = i;
  }
  return column;
}

/** How many characters all the texts in a column begin with. */
function sharedPrefix(labels: readonly Labels[], column: number): number {
  let first: string | undefined;
  let length = 0;
  for (const one of labels) {
    const text = one[column];
    if (text === undefined) continue;
    length = first === undefined ? text.length : Math.min(length, text.length);
    first ??= text;
    if (text.startsWith(first.slice(0, length))) continue;
    let i = 0;
    while (text.charCodeAt(i) === first.charCodeAt(i)) i++;
    length = i;
  }
  return length;
}

/** Halves of surrogate pairs stand for U+10000 and above, so they come last. */
function rankOf(unit: number): number {
  if (unit < 0xd800) return unit;
  return unit < 0xe000 ? unit + 0x2000 : unit - 0x800;
}
