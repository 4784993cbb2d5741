/** Goal: a failing story gets as small as the failure allows. Method: stories that fail by a rule. */
import t from 'tap';
import { SimRandom } from '../../sim/random.ts';
import { type Plot, shrink } from '../../sim/shrink.ts';
import { drawSwarm } from '../../sim/swarm.ts';

t.test('shrink() keeps what the failure needs, and little else', async (t) => {
  const drawn = drawSwarm(new SimRandom(1));
  const swarm = { ...drawn, machineCount: 5, faults: ['a', 'b', 'c', 'd', 'e', 'f', 'g'] };
  const needs = (plot: Plot): boolean =>
    plot.swarm.faults.includes('c') && plot.swarm.faults.includes('f') && plot.minutes >= 0.4;
  let runs = 0;
  const least = await shrink({ minutes: 2, swarm }, (plot) => {
    runs++;
    return Promise.resolve(needs(plot));
  });
  t.strictSame(least.swarm.faults, ['c', 'f']);
  t.equal(least.minutes, 0.5);
  t.equal(least.swarm.machineCount, 3);
  t.ok(runs <= 30, `${runs} runs`);
  const stubborn = await shrink({ minutes: 2, swarm }, () => Promise.resolve(false));
  t.equal(stubborn.swarm, swarm, 'what fails only whole stays whole');
});
