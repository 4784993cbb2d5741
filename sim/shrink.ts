/**
 * Makes a failing story smaller while it fails in the same way: fewer kinds of faults, less time, fewer
 * machines, less load. Each try is a whole run, so their number is bounded; what is left is printed as
 * one command.
 *
 *   halves of the faults ── single faults ── half the time, while it fails ── machines ── tenants
 */
import type { Swarm } from './swarm.ts';

/** A story that may be told again. */
export interface Plot {
  readonly minutes: number;
  readonly swarm: Swarm;
}

const TRIES_MAX = 30;
const MACHINES_MIN = 3;
const MINUTES_MIN = 0.05;

/** `isFailing` tells a plot and says whether it still fails. */
export async function shrink(
  plot: Plot,
  isFailing: (plot: Plot) => Promise<boolean>,
): Promise<Plot> {
  let best = plot;
  let tries = 0;
  const attempt = async (next: Plot): Promise<boolean> => {
    if (tries++ >= TRIES_MAX || !(await isFailing(next))) return false;
    best = next;
    return true;
  };
  const withFaults = (faults: readonly string[]): Plot => ({
    ...best,
    swarm: { ...best.swarm, faults },
  });
  for (let size = Math.ceil(best.swarm.faults.length / 2); size >= 1; size = Math.floor(size / 2)) {
    for (let at = 0; at < best.swarm.faults.length && best.swarm.faults.length > 1;) {
      const { faults } = best.swarm;
      const rest = faults.filter((_, i) => i < at || i >= at + size);
      if (rest.length === 0 || !(await attempt(withFaults(rest)))) at += size;
    }
  }
  while (best.minutes > MINUTES_MIN) {
    if (!(await attempt({ ...best, minutes: best.minutes / 2 }))) break;
  }
  while (best.swarm.machineCount > MACHINES_MIN) {
    const swarm = { ...best.swarm, machineCount: best.swarm.machineCount - 1 };
    if (!(await attempt({ ...best, swarm }))) break;
  }
  if (best.swarm.tenantCount > 1) {
    const load = { ...best.swarm.load, tenantCount: 1 };
    await attempt({ ...best, swarm: { ...best.swarm, tenantCount: 1, load } });
  }
  return best;
}
