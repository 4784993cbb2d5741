// Goal: the warm-up runs queries of every kind without an error, in short steps, and then ends.
import t from 'tap';
import { runWarmUpJob, warmUpSteps } from '../../actors/querier/warm-up.ts';

t.test('warmUpSteps() ends, with a step for each query of each round', async (t) => {
  let steps = 0;
  for (const _ of warmUpSteps()) steps++;
  t.equal(steps % 7, 0);
  t.ok(steps > 0);
  t.doesNotThrow(runWarmUpJob);
});
