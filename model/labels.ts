/**
 * Label sets. One shape everywhere outside hot paths: a flat, immutable array
 * `[name0, value0, name1, value1, …]`, names unique and sorted by their UTF-8 bytes, no empty
 * values. Never an object: a label may be called `__proto__`.
 *
 * On the wire and in slabs a label set is its *canonical bytes*: for each pair, in the same order,
 * uvarint length + name bytes + uvarint length + value bytes. Fingerprints hash exactly these bytes.
 */

export type Labels = readonly string[];

export const METRIC_NAME = '__name__';
/** What a metric is and what it counts in, where a sender says so as labels. */
export const METRIC_TYPE = '__type__';
export const METRIC_UNIT = '__unit__';

/** Labels that tell about the metric itself; what derives another value from it drops them. */
export function isMetricLabel(name: string): boolean {
  return name === METRIC_NAME || name === METRIC_TYPE || name === METRIC_UNIT;
}
export const NO_LABELS: Labels = [];

/** Compares two strings by their UTF-8 bytes (as Go does), which differs from UTF-16 order above U+D7FF. */
export function compareUtf8(a: string, b: string): number {
  if (a === b) return 0; // fast path: most pairs of two series of one metric
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x !== y) {
      const xSurrogate = x >= 0xd800 && x <= 0xdfff;
      const ySurrogate = y >= 0xd800 && y <= 0xdfff;
      if (xSurrogate !== ySurrogate) return xSurrogate ? 1 : -1; // surrogates encode U+10000 and above
      return x < y ? -1 : 1;
    }
  }
  return a.length - b.length;
}

/** Makes a label set from pairs: sorts by name, drops empty values. Names must be unique. */
export function labelsFromPairs(pairs: Iterable<readonly [string, string]>): Labels {
  const kept = [...pairs].filter(([, value]) => value !== '');
  kept.sort((a, b) => compareUtf8(a[0], b[0]));
  return kept.flat();
}

/** The value of `name`, or '' when the set has no such label (an absent label equals an empty one). */
export function labelValue(labels: Labels, name: string): string {
  for (let i = 0; i < labels.length; i += 2) if (labels[i] === name) return labels[i + 1]!;
  return '';
}

/** Orders label sets as Prometheus does: pair by pair, name before value; a prefix sorts first. */
export function compareLabels(a: Labels, b: Labels): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const order = compareUtf8(a[i]!, b[i]!);
    if (order !== 0) return order;
  }
  return a.length - b.length;
}

/** A key for `Map`s that is equal exactly for equal label sets (no separator can be forged). */
export function labelsKey(labels: Labels): string {
  let key = '';
  for (let i = 0; i < labels.length; i++) key += `${labels[i]!.length}:${labels[i]!}`;
  return key;
}

/** Prints a label set for people: `name{a="b"}`, cut to `charactersMax`. */
export function printLabels(labels: Labels, charactersMax = 512): string {
  const parts: string[] = [];
  let name = '';
  for (let i = 0; i < labels.length; i += 2) {
    if (labels[i] === METRIC_NAME) name = labels[i + 1]!;
    else parts.push(`${labels[i]!}=${JSON.stringify(labels[i + 1]!)}`);
  }
  const text = `${name}{${parts.join(', ')}}`;
  return text.length <= charactersMax ? text : `${text.slice(0, charactersMax - 1)}…`;
}
