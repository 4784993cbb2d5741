/**
 * Label projection: which labels of its series a reader looks at. What nobody reads is not fetched;
 * a series keeps its identity by its fingerprint, so two series may show the same projected labels.
 */
import type { Labels } from './labels.ts';

export interface LabelProjection {
  /** `only`: the labels in `names`; `without`: all but these. */
  readonly kind: 'only' | 'without';
  readonly names: readonly string[];
}

export function isProjected({ kind, names }: LabelProjection, name: string): boolean {
  return names.includes(name) === (kind === 'only');
}

/** The part of a label set that a projection shows. */
export function projectLabels(labels: Labels, projection: LabelProjection): Labels {
  const kept: string[] = [];
  for (let i = 0; i < labels.length; i += 2) {
    if (isProjected(projection, labels[i]!)) kept.push(labels[i]!, labels[i + 1]!);
  }
  return kept;
}
