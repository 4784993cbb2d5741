// Goal: a job's arrays share one memory, which the next job gets clean where it was promised, and ordinary arrays stand
// in for it wherever it is not to be had.
// Method: jobs that fill it, nest, throw and ask for too much; a process without address space.
import { spawnSync } from 'node:child_process';
import t from 'tap';
import {
  SCRATCH_BYTES,
  isScratch,
  scratchFloats,
  withScratch,
  zeroedBytes,
  zeroedFloats,
} from '../../model/scratch-memory.ts';

const ones = (count: number): boolean => isScratch(scratchFloats(count).fill(1));

t.test('arrays of a job lie apart in one memory; outside of one they are ordinary', async (t) => {
  withScratch(() => {
    const arrays = [scratchFloats(3), zeroedFloats(1), zeroedBytes(5), scratchFloats(2)];
    arrays.forEach((array, i) => array.fill(i + 1));
    t.same(
      arrays.map((array) => [...array]),
      [[1, 1, 1], [2], [3, 3, 3, 3, 3], [4, 4]],
    );
    t.ok(arrays.every(isScratch));
  });
  t.notOk(ones(4));
  t.notOk(isScratch(zeroedBytes(4)));
});

t.test('what must be zero is zero after a job that left something else', async (t) => {
  withScratch(() => t.ok(ones(1000)));
  withScratch(() => {
    const zeroed = [zeroedFloats(300), zeroedBytes(300)];
    t.ok(zeroed.every(isScratch));
    t.ok(zeroed.every((array) => array.every((number) => number === 0)));
  });
});

t.test('a job inside a job keeps what the outer one holds', async (t) => {
  withScratch(() => {
    const outer = scratchFloats(10).fill(7);
    withScratch(() => t.ok(ones(10)));
    t.ok(ones(10));
    t.ok(outer.every((number) => number === 7));
  });
});

t.test(
  'a job that is too large goes on with ordinary arrays, and one that fails gives all back',
  async (t) => {
    const all = SCRATCH_BYTES / 8;
    withScratch(() => {
      t.notOk(isScratch(scratchFloats(all + 1)));
      t.ok(isScratch(scratchFloats(all)));
      t.notOk(ones(1));
      t.same([...zeroedFloats(2)], [0, 0]);
    });
    const failure = new Error('the job');
    t.throws(
      () =>
        withScratch(() => {
          scratchFloats(all);
          throw failure;
        }),
      failure,
    );
    withScratch(() => t.ok(ones(1)));
  },
);

t.test('where addresses are limited all arrays are ordinary', async (t) => {
  const module = new URL('../../model/scratch-memory.js', import.meta.url).href;
  const script = `import('${module}').then(({ isScratch, scratchFloats, withScratch }) =>
    withScratch(() => console.log(isScratch(scratchFloats(9)), scratchFloats(9).length)))`;
  const limited = `ulimit -v 9000000 && exec "$0" --single-threaded -e "$1"`;
  const { stdout } = spawnSync('bash', ['-c', limited, process.execPath, script]);
  t.equal(stdout.toString().trim(), 'false 9');
});
