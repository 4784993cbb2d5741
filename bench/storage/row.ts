/**
 * What a row of the storage benchmark is: it measures one thing, at the size that the goal speaks of or a smaller one, and
 * tells figures, each with the peer's of the same run where there is one, and the goal.
 */
import type { DataSets } from './data-sets.ts';

export interface RowOptions {
  /** Below it everything is made; removed in the end. */
  readonly directory: string;
  /** Where Prometheus is; without it there is no peer. */
  readonly bin: string | undefined;
  /** Absent: what the goal speaks of. */
  readonly seriesCount: number | undefined;
  readonly rounds: number | undefined;
  readonly days: number | undefined;
  readonly data: DataSets;
}

export interface Figure {
  readonly name: string;
  readonly unit: string;
  readonly ours: number;
  readonly peer?: number | undefined;
  /** In `unit`, or, when it begins with an ×, of the ratio to the peer; absent: told for its own sake. */
  readonly goalMax?: { readonly value: number; readonly of: 'ours' | 'ratio' };
  readonly note?: string;
}

export type Row = (options: RowOptions) => Promise<readonly Figure[]>;

/** One line: name | ours | peer | ratio | goal. */
export function printFigure({ goalMax, name, note, ours, peer, unit }: Figure): string {
  const ratio = peer === undefined ? undefined : ours / peer;
  const judged = goalMax?.of === 'ratio' ? ratio : ours;
  const sign = goalMax?.of === 'ratio' ? '×' : unit;
  const isMet = goalMax !== undefined && judged !== undefined && judged <= goalMax.value;
  const missed = judged === undefined ? 'not judged' : 'MISSED';
  return [
    name,
    `${printNumber(ours)} ${unit}`,
    peer === undefined ? '–' : `${printNumber(peer)} ${unit}`,
    ratio === undefined ? '–' : `${ratio.toFixed(3)} ×`,
    goalMax === undefined
      ? '–'
      : `≤ ${printNumber(goalMax.value)} ${sign}: ${isMet ? 'met' : missed}`,
    note ?? '',
  ]
    .join(' | ')
    .replace(/ \| $/, '');
}

export function printNumber(value: number): string {
  if (Math.abs(value) >= 100) return value.toFixed(0);
  return Number(value.toPrecision(3)).toString();
}
