// Goal: the warm-up runs queries of every kind without an error, in short steps, and then ends.
import t from 'tap';
import { runWarmUpJob, warmUpSteps } from '../../actors/querier/warm-up.ts';

t.test('warmUpSteps() ends, with as many more steps for each round', async (t) => {
  const stepsOf = (rounds: number): number => [...warmUpSteps(rounds)].length;
  t.equal(stepsOf(2) - stepsOf(1), 7);
  t.ok(stepsOf(0) > 0, 'series are made first');
  t.doesNotThrow(runWarmUpJob);
});
