/**
 * I13 of the small files of a data directory: what was durable when its writer was told so is there after a
 * crash, as it was or newer. No two lives share a boot counter, and the store stays the same one.
 */
import type { Violation } from './answer.ts';

/** What the files said, or what was promised of them. */
export interface KeptNotes {
  /** Empty: none was shown yet. */
  readonly storeId: string;
  readonly bootCounter: number;
  /** How many steps of the replication factor the registry knows. */
  readonly stepCount: number;
  /** Samples before it may be missing; 0: none are. */
  readonly lossBeforeMs: number;
  /** What is older was dropped. */
  readonly horizonMs: number;
  /** How many requests to delete series are in the copy. */
  readonly requestCount: number;
}

export const NOTHING_KEPT: KeptNotes = {
  ...{ storeId: '', bootCounter: 0, stepCount: 0, lossBeforeMs: 0 },
  ...{ horizonMs: Number.NEGATIVE_INFINITY, requestCount: 0 },
};

/** What is wrong with what a later life found. */
export function checkKept(
  where: string,
  promised: KeptNotes,
  found: KeptNotes,
): readonly Violation[] {
  const wrong: string[] = [];
  const check = (isRight: boolean, what: string): void => {
    if (!isRight) wrong.push(what);
  };
  const { bootCounter, horizonMs, lossBeforeMs, requestCount, stepCount, storeId } = promised;
  check(storeId === '' || found.storeId === storeId, 'the store is another one');
  check(found.bootCounter > bootCounter, `boot ${found.bootCounter} again, after ${bootCounter}`);
  check(found.stepCount >= stepCount, `${found.stepCount} of ${stepCount} records are there`);
  check(found.lossBeforeMs >= lossBeforeMs, 'a loss that was noted is forgotten');
  check(found.horizonMs >= horizonMs, 'the horizon fell');
  check(
    found.requestCount >= requestCount,
    `${found.requestCount} of ${requestCount} requests to delete are there`,
  );
  return wrong.map((what) => ({ invariant: 'I13', what: `${where}: ${what}` }));
}
