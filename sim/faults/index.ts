/**
 * All faults by name. Names and their order are part of what a seed means: a new one changes the runs
 * of all seeds.
 */
import { BUCKET_FAULTS } from './bucket.ts';
import { CLOCK_FAULTS } from './clock.ts';
import { DISK_FAULTS } from './disk.ts';
import type { Faults } from './fault.ts';
import { NETWORK_FAULTS } from './network.ts';
import { OPERATOR_FAULTS } from './operator.ts';
import { PROCESS_FAULTS } from './process.ts';

export const FAULTS: Faults = {
  ...BUCKET_FAULTS,
  ...CLOCK_FAULTS,
  ...DISK_FAULTS,
  ...NETWORK_FAULTS,
  ...OPERATOR_FAULTS,
  ...PROCESS_FAULTS,
};
