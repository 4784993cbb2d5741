/**
 * What a planted bug is: a node that breaks a promise on purpose, so that the simulator proves that it
 * sees it. It wraps what a node is given or what it answers, or starts it with a setting that promises
 * less; nothing of the product knows of it.
 */
import type { NodeApi } from '../../http/api.ts';
import type { Platform } from '../../platform/platform.ts';
import type { SimRandom } from '../random.ts';
import type { Swarm } from '../swarm.ts';

export interface Planted {
  readonly sentence: string;
  readonly flags?: Readonly<Record<string, string>>;
  /** What the story needs, so that the bug can show; the seed draws the rest. */
  readonly swarm?: Partial<Pick<Swarm, 'faults' | 'replicationFactor'>>;
  /** No node is told that its clock is wrong; shows in stories of ages. */
  readonly trustsClocks?: true;
  platform?(platform: Platform, random: SimRandom): Platform;
  api?(api: NodeApi, random: SimRandom): NodeApi;
}

export type PlantedBugs = Readonly<Record<string, Planted>>;

export const RARE = 0.02;
