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

/**
 * Adds a newcomer at a random place of the round; who was there goes to the end of those that are
 * still to be probed. In the part that is over it waits for the next round.
 */
export function insertIntoRound(round: ProbeRound, id: InstanceId, randomFloat: number): void {
  const { order } = round;
  const index = Math.floor(randomFloat * (order.length + 1));
  const at = Math.max(index, round.next);
  order.push(id);
  order[order.length - 1] = order[at]!;
  order[at] = id;
  if (index < round.next) round.next++;
}
