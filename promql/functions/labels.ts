/** Functions on label sets: label_replace, label_join, the sorts by label, and absent's labels. */
import { RE2JS } from 're2js';
import { compareLabels, type Labels, labelValue, METRIC_NAME } from '../../model/labels.ts';
import type { Matcher } from '../../model/matchers.ts';
import { badUtf8In, compileRegex } from '../../model/regex.ts';
import { withLabel } from '../operators/aggregate.ts';
import { executionError } from '../operators/context.ts';

export function isLabelName(name: string): boolean {
  return name !== '' && !/[\ufffd\ud800-\udfff]/u.test(name); // lone surrogates are stray bytes
}

/** label_replace(v, target, replacement, source, regex) for one label set. */
export function labelReplacer(
  target: string,
  replacement: string,
  source: string,
  pattern: string,
): (labels: Labels) => Labels {
  const regex = compileAnchored(pattern);
  if (!isLabelName(target)) {
    throw executionError(`invalid destination label name in label_replace(): ${target}`);
  }
  return (labels) => {
    const matcher = regex.matcher(labelValue(labels, source));
    if (!matcher.matches()) return labels;
    const value = replacement.replace(
      /\$(?:\$|(\w+)|\{(\w+)\})/g,
      (all, plain: string | undefined, braced: string | undefined) => {
        const name = plain ?? braced;
        if (name === undefined) return all === '$$' ? '$' : all;
        return groupText(matcher, regex, name);
      },
    );
    return withLabel(labels, target, value);
  };
}

function compileAnchored(pattern: string): RE2JS {
  const bad = badUtf8In(pattern);
  if (bad !== undefined) {
    const shown = pattern.slice(0, -bad.length) + bad;
    throw executionError(`invalid regular expression in label_replace(): ${shown}`);
  }
  try {
    compileRegex(pattern); // refuses what is too costly
    return RE2JS.compile(pattern, RE2JS.DOTALL);
  } catch (error) {
    throw executionError(`invalid regular expression in label_replace(): ${pattern}`, error);
  }
}

type RegexMatcher = ReturnType<RE2JS['matcher']>;

function groupText(matcher: RegexMatcher, regex: RE2JS, name: string): string {
  if (/^\d+$/.test(name)) {
    return Number(name) <= matcher.groupCount() ? (matcher.group(Number(name)) ?? '') : '';
  }
  if (!Object.hasOwn(regex.namedGroups(), name)) return '';
  return matcher.group(name) ?? '';
}

/** label_join(v, target, separator, ...sources) for one label set. */
export function labelJoiner(
  target: string,
  separator: string,
  sources: readonly string[],
): (labels: Labels) => Labels {
  const wrong = sources.find((name) => !isLabelName(name));
  if (wrong !== undefined) {
    throw executionError(`invalid source label name in label_join(): ${wrong}`);
  }
  if (!isLabelName(target)) {
    throw executionError(`invalid destination label name in label_join(): ${target}`);
  }
  return (labels) => {
    const value = sources.map((name) => labelValue(labels, name)).join(separator);
    return withLabel(labels, target, value);
  };
}

/** Orders by the given labels, digits as numbers, then by all labels. */
export function compareByLabels(a: Labels, b: Labels, names: readonly string[]): number {
  for (const name of names) {
    const order = compareNatural(labelValue(a, name), labelValue(b, name));
    if (order !== 0) return order;
  }
  return compareLabels(a, b);
}

/** Runs of digits compare as numbers, the rest as text. */
function compareNatural(a: string, b: string): number {
  if (a === b) return 0;
  const [xs, ys] = [a.match(/\d+|\D+/g) ?? [], b.match(/\d+|\D+/g) ?? []];
  for (let i = 0; i < Math.min(xs.length, ys.length); i++) {
    const [x, y] = [xs[i]!, ys[i]!];
    if (x === y) continue;
    if (/^\d/.test(x) && /^\d/.test(y) && Number(x) !== Number(y)) return Number(x) - Number(y);
    return x < y ? -1 : 1;
  }
  return xs.length - ys.length;
}

/** The labels that absent() gives: those of `=` matchers on names that occur once. */
export function absentLabels(matchers: readonly Matcher[]): Labels {
  let labels: Labels = [];
  const seen = new Set<string>();
  for (const { name, type, value } of matchers) {
    if (name === METRIC_NAME) continue;
    const isSettled = type === '=' && !seen.has(name);
    labels = withLabel(labels, name, isSettled ? value : '');
    seen.add(name);
  }
  return labels;
}
