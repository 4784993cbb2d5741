// Goal: a WriteBatch survives its encoding, and hostile bytes never become one.
import t from 'tap';
import { parseTenantId } from '../../model/ids.ts';
import {
  type EncodedWriteBatch,
  allocateWriteBatch,
  decodeWriteBatch,
} from '../../model/wire/write-batch.ts';

function example(): EncodedWriteBatch {
  const made = allocateWriteBatch({
    tenant: parseTenantId('team-a'),
    seriesCount: 2,
    sampleCount: 3,
    labelLength: 5,
    exemplarCount: 2,
    exemplarLength: 7,
  });
  made.batch.fingerprints.set([1, 2, 3, 4, 5, 6, 7, 8]);
  made.batch.labelEnds.set([0, 5]);
  made.batch.labelBytes.set([9, 8, 7, 6, 5]);
  made.batch.sampleEnds.set([1, 3]);
  made.batch.timestamps.set([1_700_000_000_000, -5, 2 ** 53 - 1]);
  made.batch.values.set([2, 0x7ff0_0000, 0, 0x8000_0000, 1, 0]);
  made.batch.exemplarFingerprints.set([5, 6, 7, 8, 11, 12, 13, 14]);
  made.batch.exemplarTimestamps.set([1_700_000_000_001, -1]);
  made.batch.exemplarValues.set([1, 2, 3, 4]);
  made.batch.exemplarEnds.set([0, 7]);
  made.batch.exemplarBytes.fill(3);
  return made;
}

t.test('decodeWriteBatch() returns what was filled in, at any alignment', async (t) => {
  const { bytes, batch } = example();
  for (const shift of [0, 1, 4, 8]) {
    const moved = new Uint8Array(bytes.length + shift);
    moved.set(bytes, shift);
    t.same(decodeWriteBatch(moved.subarray(shift)), batch, `shifted by ${shift}`);
  }
});

t.test('a batch leaves out what its shape says', async (t) => {
  const shape = { tenant: parseTenantId('a'), seriesCount: 3, sampleCount: 3, labelLength: 0 };
  const long = allocateWriteBatch(shape).bytes.length;
  const { batch, bytes } = allocateWriteBatch({ ...shape, hasOneTime: true, hasOneEach: true });
  t.equal(long - bytes.length, 2 * 8 + 3 * 4, 'two times and the ends of samples');
  batch.timestamps[0] = 1_700_000_000_000;
  batch.fingerprints.fill(7);
  batch.values.fill(9);
  const decoded = decodeWriteBatch(bytes);
  t.same(decoded, batch);
  t.same([...decoded.timestamps], [1_700_000_000_000], 'one time for all');
  t.same([...decoded.sampleEnds], [1, 2, 3], 'one sample a series');
  t.same([...decoded.labelEnds], [0, 0, 0], 'no labels');
});

t.test('a short batch of more series than share their columns is whole', async (t) => {
  const count = 5000;
  const { bytes } = allocateWriteBatch({
    ...{ tenant: parseTenantId('a'), seriesCount: count, sampleCount: count, labelLength: 0 },
    ...{ hasOneTime: true, hasOneEach: true },
  });
  const { labelEnds, sampleEnds } = decodeWriteBatch(bytes);
  t.same([labelEnds.length, labelEnds[count - 1]], [count, 0]);
  t.same([sampleEnds.length, sampleEnds[0], sampleEnds[count - 1]], [count, 1, count]);
});

t.test('decodeWriteBatch() refuses truncation and columns that do not add up', async (t) => {
  const { bytes } = example();
  const refuses = (mutant: Uint8Array, name: string): void => {
    t.throws(() => decodeWriteBatch(mutant), name);
  };
  for (let length = 0; length < bytes.length; length++)
    refuses(bytes.subarray(0, length), `cut at ${length}`);
  const mutate = (change: (made: EncodedWriteBatch) => void): Uint8Array => {
    const made = example();
    change(made);
    return made.bytes;
  };
  refuses(
    mutate(({ batch }) => batch.labelEnds.set([3, 2])),
    'falling label ends',
  );
  refuses(
    mutate(({ batch }) => batch.sampleEnds.set([1, 2])),
    'samples left over',
  );
  refuses(
    mutate(({ batch }) => batch.exemplarEnds.set([7, 6])),
    'falling ends of exemplars',
  );
  refuses(
    mutate(({ bytes }) => bytes.set([0xff, 0xff, 0xff, 0xff], 32)),
    'exemplar count beyond the bytes',
  );
  refuses(
    mutate(({ bytes }) => bytes.set([2], 4)),
    'another version',
  );
  refuses(
    mutate(({ bytes }) => bytes.set([0xff, 0xff, 0xff, 0xff], 8)),
    'series count beyond the bytes',
  );
  refuses(
    mutate(({ bytes }) => bytes.set([4], 24)),
    'an unknown flag',
  );
  const oneEach = allocateWriteBatch({
    ...{ tenant: parseTenantId('a'), seriesCount: 2, sampleCount: 3, labelLength: 0 },
    hasOneEach: true,
  });
  refuses(oneEach.bytes, 'three samples, one for each of two series');
  refuses(
    mutate(({ bytes }) => bytes.set(Buffer.from('te/m-a'), bytes.length - 6)),
    'tenant with a slash',
  );
});
