/** All planted bugs by name. */
import { ANSWER_BUGS } from './answers.ts';
import { DISK_BUGS } from './disks.ts';
import { NODE_BUGS } from './nodes.ts';
import type { PlantedBugs } from './planted.ts';

export type { Planted } from './planted.ts';
export const PLANTED: PlantedBugs = { ...ANSWER_BUGS, ...DISK_BUGS, ...NODE_BUGS };
