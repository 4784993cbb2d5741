/** I31: the same seed and commit do the same, event for event. */
import type { Violation } from './answer.ts';

export interface RunSeen {
  readonly seed: number;
  readonly hash: string;
  readonly events: number;
}

export function checkRepeatable(first: RunSeen, again: RunSeen): readonly Violation[] {
  if (first.hash === again.hash && first.events === again.events) return [];
  const what =
    `seed ${first.seed} ended with ${first.hash} after ${first.events} events, and again with ` +
    `${again.hash} after ${again.events}`;
  return [{ invariant: 'I31', what }];
}
