/**
 * I28: a node whose log could not be synced ends; it never goes on as if the log were clean. And I27:
 * a disk that is full ends nobody: writes are refused until there is room again.
 */
import type { Violation } from './answer.ts';

export interface LifeSeen {
  readonly machine: string;
  /** Syncs of logs that failed while the life lasted. */
  readonly failedSyncs: number;
  /** The life that met the fault goes on. */
  readonly isAlive: boolean;
}

export function checkFailStop({ failedSyncs, isAlive, machine }: LifeSeen): readonly Violation[] {
  if (failedSyncs === 0 || !isAlive) return [];
  return [{ invariant: 'I28', what: `${machine} goes on after ${failedSyncs} failed syncs` }];
}

export function checkFullDisk({ isAlive, machine }: LifeSeen): readonly Violation[] {
  if (isAlive) return [];
  return [{ invariant: 'I27', what: `${machine} ended because its disk was full` }];
}
