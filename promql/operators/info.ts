/**
 * info(): each sample gets the labels of the info series of its `instance` and `job` at that time.
 * Of several info series with one name the newest sample decides. Labels change with the steps, so
 * that a row of the argument may become several.
 */
import { type Labels, labelsKey, labelValue, METRIC_NAME } from '../../model/labels.ts';
import { compileMatcher, type Matcher } from '../../model/matchers.ts';
import { assert } from '../../model/assert.ts';
import type { Call, VectorSelector } from '../ast.ts';
import { withLabel } from './aggregate.ts';
import { evaluateVector } from './arguments.ts';
import { type Block, copyCell, mergeEqualRows, NONE, sameLabelset } from './block.ts';
import { type EvalContext, executionError } from './context.ts';
import { selectTimes } from './select.ts';

const IDENTIFYING = ['instance', 'job'] as const;

/** `args[1]` is the selector of info series (see `plan/prepare.ts`). */
export function enriched(node: Call, context: EvalContext): Block {
  const base = evaluateVector(node.args[0]!, context);
  const selector = node.args[1];
  assert(selector?.kind === 'vector_selector', 'prepared before');
  const times = selectTimes(selector, context);
  return new Enrichment(base, times, selector, context).run();
}

class Enrichment {
  readonly #base: Block;
  /** The info series; their values are the seconds their samples were taken at. */
  readonly #times: Block;
  readonly #context: EvalContext;
  readonly #isInfoName: (name: string) => boolean;
  /** Labels to add; empty: all. */
  readonly #wanted: ReadonlySet<string>;
  readonly #isRequired: boolean;
  /** Info rows by the identity they are joined by, then by their name. */
  readonly #rowsOf = new Map<string, Map<string, number[]>>();
  readonly #outRows = new Map<string, number>();
  readonly #outLabels: Labels[] = [];
  readonly #outDrop: number[] = [];

  constructor(base: Block, times: Block, { matchers }: VectorSelector, context: EvalContext) {
    this.#base = base;
    this.#times = times;
    this.#context = context;
    const isName = ({ name }: Matcher): boolean => name === METRIC_NAME;
    const names = matchers.filter(isName).map(compileMatcher);
    const data = matchers.filter((matcher) => !isName(matcher));
    this.#isInfoName = (name) => names.every((matcher) => matcher.matches(name));
    this.#wanted = new Set(data.map(({ name }) => name));
    this.#isRequired = data.some((matcher) => !compileMatcher(matcher).matchesEmpty);
    for (let row = 0; row < times.labels.length; row++) this.#index(row);
  }

  #index(row: number): void {
    const labels = this.#times.labels[row]!;
    const key = identityOf(labels);
    if (key === undefined) return;
    const byName = this.#rowsOf.get(key) ?? new Map<string, number[]>();
    this.#rowsOf.set(key, byName);
    const name = labelValue(labels, METRIC_NAME);
    byName.set(name, [...(byName.get(name) ?? []), row]);
  }

  run(): Block {
    const { labels, steps, present } = this.#base;
    const target = new Int32Array(present.length).fill(-1);
    for (let row = 0; row < labels.length; row++) {
      this.#context.checkRow(row);
      for (let t = 0; t < steps; t++) {
        if (present[row * steps + t] !== NONE) target[row * steps + t] = this.#targetRow(row, t);
      }
    }
    const hasHistograms = this.#base.histograms !== undefined;
    const drop = Uint8Array.from(this.#outDrop);
    const out = this.#context.block(this.#outLabels, drop, hasHistograms);
    for (let cell = 0; cell < target.length; cell++) {
      if (target[cell]! < 0) continue;
      const to = target[cell]! * steps + (cell % steps);
      if (out.present[to] !== NONE) throw sameLabelset();
      copyCell(this.#base, cell, out, to);
    }
    return mergeEqualRows(out);
  }

  /** The row of the answer that a sample goes to; -1: it is left out. */
  #targetRow(row: number, t: number): number {
    const labels = this.#base.labels[row]!;
    const isInfo = this.#isInfoName(labelValue(labels, METRIC_NAME));
    const added = isInfo ? [] : this.#labelsToAdd(labels, t);
    if (added === undefined && this.#isRequired) return -1;
    let full = labels;
    for (const [name, value] of added ?? []) full = withLabel(full, name, value);
    const key = `${this.#base.drop[row]!}${labelsKey(full)}`;
    let to = this.#outRows.get(key);
    if (to === undefined) {
      to = this.#outLabels.length;
      this.#outRows.set(key, to);
      this.#outLabels.push(full);
      this.#outDrop.push(this.#base.drop[row]!);
    }
    return to;
  }

  /** Undefined where there is no info series; one whose labels are all there already adds none. */
  #labelsToAdd(labels: Labels, t: number): readonly (readonly [string, string])[] | undefined {
    const key = identityOf(labels);
    const byName = key === undefined ? undefined : this.#rowsOf.get(key);
    if (byName === undefined) return undefined;
    const added = new Map<string, string>();
    let isFound = false;
    for (const rows of byName.values()) {
      const row = this.#newest(rows, t);
      if (row === undefined) continue;
      isFound = true;
      const set = this.#times.labels[row]!;
      for (let i = 0; i < set.length; i += 2) {
        if (this.#isAdded(set[i]!, labels)) addLabel(added, set[i]!, set[i + 1]!);
      }
    }
    return isFound ? [...added] : undefined;
  }

  #isAdded(name: string, labels: Labels): boolean {
    if (name === METRIC_NAME || name === IDENTIFYING[0] || name === IDENTIFYING[1]) return false;
    if (this.#wanted.size > 0 && !this.#wanted.has(name)) return false;
    return labelValue(labels, name) === '';
  }

  /** The info row with the newest sample at a step. */
  #newest(rows: readonly number[], t: number): number | undefined {
    const { labels, steps, present, values } = this.#times;
    let best: number | undefined;
    for (const row of rows) {
      const cell = row * steps + t;
      if (present[cell] === NONE) continue;
      const time = values[cell]!;
      const bestTime = best === undefined ? -Infinity : values[best * steps + t]!;
      if (time === bestTime && best !== undefined) {
        const [one, other] = [labels[best]!, labels[row]!].map(braces);
        throw executionError(
          `found duplicate series for info metric: existing ${one}, new ${other}`,
        );
      }
      if (time > bestTime) best = row;
    }
    return best;
  }
}

function addLabel(added: Map<string, string>, name: string, value: string): void {
  const before = added.get(name);
  if (before !== undefined && before !== value) {
    throw executionError(`conflicting label: ${name}`);
  }
  added.set(name, value);
}

/** What a series and its info series have in common; undefined when it has neither label. */
function identityOf(labels: Labels): string | undefined {
  const values = IDENTIFYING.map((name) => labelValue(labels, name));
  if (values.every((value) => value === '')) return undefined;
  return values.map((value) => `${value.length}:${value}`).join('');
}

function braces(labels: Labels): string {
  const pairs: string[] = [];
  for (let i = 0; i < labels.length; i += 2) {
    pairs.push(`${labels[i]!}=${JSON.stringify(labels[i + 1])}`);
  }
  return `{${pairs.join(', ')}}`;
}
