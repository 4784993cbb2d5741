/**
 * I14: a flipped bit is never served. After one the answer is right, or it is an error, or what is gone was
 * told as a loss when the directory was opened, so that reads do not count it; it is never another value,
 * and never silently less.
 */
import type { History, ReadSample } from '../history.ts';
import type { Violation } from './answer.ts';
import { missingSamples, wrongSamples } from './recovered-log.ts';

export interface ReadAfterFlip {
  readonly where: string;
  /** Undefined: an error was answered. */
  readonly found: readonly ReadSample[] | undefined;
  readonly isLossTold: boolean;
}

export function checkVerified(history: History, read: ReadAfterFlip): readonly Violation[] {
  const { found, isLossTold, where } = read;
  if (found === undefined) return [];
  const wrong = [...wrongSamples(history, found)];
  if (!isLossTold) wrong.push(...missingSamples(history, found));
  return wrong.map((what) => ({ invariant: 'I14', what: `${where}: ${what}` }));
}
