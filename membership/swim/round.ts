/**
 * The order of probing: a shuffled list walked to its end, then shuffled again, so that every
 * member is probed once a round and the worst wait is two rounds. A newcomer goes to a random
 * place of the running round.
 */
import type { InstanceId } from '../../model/ids.ts';

export interface ProbeRound {
  readonly order: InstanceId[];
  /** Index of the next one to probe. */
  next: number;
}

/** Adds a newcomer at a random place of the round. */
export function insertIntoRound(round: ProbeRound, id: InstanceId, randomFloat: number): void {
  const index = Math.floor(randomFloat * (round.order.length + 1));
  round.order.splice(index, 0, id);
  if (index < round.next) round.next++;
}
