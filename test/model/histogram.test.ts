// Goal: the arithmetic of native histograms keeps every observation, whatever layouts meet.
// Method: histograms of random layout by fast-check, laws of sums, and figures from the
// specification of the format.
import fc from 'fast-check';
import t from 'tap';
import {
  type Buckets,
  bucketsFromSpans,
  compact,
  CUSTOM_SCHEMA,
  EMPTY_HISTOGRAM,
  equalHistograms,
  type Histogram,
  NO_BUCKETS,
  spansOf,
  validateHistogram,
} from '../../model/histogram.ts';
import { bucketTable, exponentialBound } from '../../model/histogram-buckets.ts';
import {
  addHistograms,
  isReset,
  reduceResolution,
  scaleHistogram,
  widenZeroBucket,
} from '../../model/histogram-math.ts';
import { HistogramSum } from '../../model/histogram-sum.ts';
import { histogramJson, histogramText } from '../../model/histogram-text.ts';

const buckets: fc.Arbitrary<Buckets> = fc
  .uniqueArray(fc.tuple(fc.integer({ min: -20, max: 40 }), fc.nat(100)), {
    maxLength: 12,
    selector: ([index]) => index,
  })
  .map((pairs) => {
    pairs.sort(([a], [b]) => a - b);
    return {
      indexes: Int32Array.from(pairs, ([index]) => index),
      counts: Float64Array.from(pairs, ([, count]) => count),
    };
  });

function total({ counts }: Buckets): number {
  return counts.reduce((sum, count) => sum + count, 0);
}

function counted(histogram: Histogram): number {
  return histogram.zeroCount + total(histogram.positive) + total(histogram.negative);
}

/** Negative buckets end where the zero bucket begins, as honest writers have it. */
const exponential: fc.Arbitrary<Histogram> = fc
  .record({
    schema: fc.integer({ min: -4, max: 8 }),
    zeroThreshold: fc.constantFrom(0, 2 ** -128, 0.001, 0.5, 1),
    zeroCount: fc.nat(50),
    sum: fc.integer({ min: -1000, max: 1000 }),
    positive: buckets,
    negative: buckets,
  })
  .map((parts) => {
    const made: Histogram = { ...EMPTY_HISTOGRAM, ...parts, count: 0 };
    return { ...made, count: counted(made) };
  });

const custom: fc.Arbitrary<Histogram> = fc
  .uniqueArray(fc.integer({ min: -5, max: 5 }), { maxLength: 6 })
  .chain((bounds) =>
    fc
      .array(fc.nat(50), { minLength: bounds.length + 1, maxLength: bounds.length + 1 })
      .map((counts): Histogram => {
        const positive = {
          indexes: Int32Array.from(counts.keys()),
          counts: Float64Array.from(counts),
        };
        return {
          ...EMPTY_HISTOGRAM,
          schema: CUSTOM_SCHEMA,
          sum: 7,
          count: total(positive),
          positive,
          customBounds: Float64Array.from(bounds.sort((a, b) => a - b)),
        };
      }),
  );

const pair = fc.oneof(fc.tuple(exponential, exponential), fc.tuple(custom, custom));

t.test('bucketsFromSpans() is the inverse of spansOf()', (t) => {
  fc.assert(
    fc.property(buckets, (one) => {
      const again = bucketsFromSpans(spansOf(one), one.counts);
      t.same([...again.indexes], [...one.indexes]);
    }),
  );
  t.throws(() => bucketsFromSpans([{ offset: 0, length: 2 }], [1]), /more buckets/);
  t.throws(() => bucketsFromSpans([{ offset: 0, length: 1 }], [1, 2]), /fewer buckets/);
  t.end();
});

t.test('addHistograms() keeps every observation, both ways round', (t) => {
  fc.assert(
    fc.property(pair, ([a, b]) => {
      const sum = addHistograms(a, b)?.histogram;
      const swapped = addHistograms(b, a)?.histogram;
      if (sum === undefined || swapped === undefined) return false;
      validateHistogram(sum);
      return counted(sum) === a.count + b.count && equalHistograms(sum, swapped);
    }),
  );
  fc.assert(
    fc.property(pair, ([a, b]) => {
      const sum = addHistograms(a, b)?.histogram;
      const back = addHistograms(sum ?? EMPTY_HISTOGRAM, b, -1)?.histogram ?? EMPTY_HISTOGRAM;
      return back.count === a.count && counted(back) === a.count;
    }),
  );
  t.equal(addHistograms(EMPTY_HISTOGRAM, { ...EMPTY_HISTOGRAM, schema: CUSTOM_SCHEMA }), undefined);
  t.end();
});

t.test(
  'HistogramSum adds as addHistograms() does, and its mean times the count is the sum',
  (t) => {
    fc.assert(
      fc.property(fc.array(exponential, { minLength: 1, maxLength: 6 }), (all) => {
        const [first = EMPTY_HISTOGRAM, ...rest] = all;
        const sum = new HistogramSum(first);
        let plain = compact(first);
        for (const one of rest) {
          if (!sum.add(one).isDone) return false;
          plain = addHistograms(plain, one)?.histogram ?? plain;
        }
        const mean = scaleHistogram(sum.mean(), all.length);
        return equalHistograms(sum.sum(), plain) && Math.abs(mean.count - plain.count) < 1e-6;
      }),
    );
    const huge: Histogram = { ...EMPTY_HISTOGRAM, count: 1e308, sum: 1e308, zeroCount: 1e308 };
    const sum = new HistogramSum(huge);
    for (let i = 0; i < 4; i++) sum.add(huge);
    t.ok(Math.abs(sum.mean().count / 1e308 - 1) < 1e-9, 'a mean survives the overflow of its sum');
    const parts = new HistogramSum({ ...EMPTY_HISTOGRAM, sum: 1e100 });
    for (const part of [1, -1e100]) parts.add({ ...EMPTY_HISTOGRAM, sum: part });
    t.equal(parts.sum().sum, 1, 'small parts survive large ones');
    t.end();
  },
);

t.test('reduceResolution() and widenZeroBucket() only move observations', (t) => {
  fc.assert(
    fc.property(exponential, fc.nat(12), (one, steps) => {
      const coarse = reduceResolution(one, Math.max(-4, one.schema - steps));
      const wide = widenZeroBucket(one, 2);
      return counted(coarse) === one.count && counted(wide) === one.count;
    }),
  );
  fc.assert(
    fc.property(exponential, (one) => {
      if (one.schema === -4) return true;
      const { uppers, length } = bucketTable(reduceResolution(one, -4));
      const fine = bucketTable(one);
      return uppers[length - 1]! >= fine.uppers[fine.length - 1]! || length === 0;
    }),
  );
  t.end();
});

t.test('isReset() tells a counter that grew from one that fell', (t) => {
  fc.assert(
    fc.property(exponential, exponential, (a, b) => {
      const sum = addHistograms(a, b)?.histogram;
      if (sum === undefined || sum.schema > a.schema) return true;
      return !isReset(sum, sum) && (b.count === 0 || isReset(a, sum));
    }),
  );
  const check = (a: Partial<Histogram>, b: Partial<Histogram>, expected: boolean): void => {
    const previous = { ...EMPTY_HISTOGRAM, ...a };
    const current = { ...EMPTY_HISTOGRAM, ...b };
    t.equal(isReset(current, previous), expected, JSON.stringify([a, b]));
  };
  const one: Buckets = { indexes: Int32Array.of(1), counts: Float64Array.of(1) };
  check({}, { hint: 'reset' }, true);
  check({ count: 5 }, { count: 1, hint: 'not_reset' }, false);
  check({ count: 1 }, { count: 1, schema: 1 }, true);
  check({ count: 1, schema: 1 }, { count: 1 }, false);
  check({ count: 1, positive: one }, { count: 1, zeroCount: 1 }, true);
  check({ count: 1, positive: one }, { count: 1, positive: one }, false);
  check({ zeroThreshold: 1 }, { zeroThreshold: 0.5 }, true);
  check({ count: 1, positive: one }, { count: 1, zeroCount: 1, zeroThreshold: 1.5 }, true);
  check({ count: 1, positive: one }, { count: 1, zeroCount: 1, zeroThreshold: 2 }, false);
  t.end();
});

t.test('exponentialBound() has the digits of the format', (t) => {
  const check = (index: number, schema: number, expected: number): void => {
    t.equal(exponentialBound(index, schema), expected, `${index} of schema ${schema}`);
  };
  check(0, 0, 1);
  check(1, 0, 2);
  check(-1, 1, 0.7071067811865475);
  check(3, 3, 1.2968395546510096);
  check(-1, 8, 0.9972960560854698);
  check(1, -4, 65536);
  check(1024, 0, Number.MAX_VALUE);
  check(1025, 0, Infinity);
  check(-1074, 0, 5e-324);
  t.end();
});

t.test('validateHistogram() refuses what no honest writer sends', (t) => {
  const check = (part: Partial<Histogram>, why: RegExp): void => {
    t.throws(() => validateHistogram({ ...EMPTY_HISTOGRAM, ...part }), why, why.source);
  };
  validateHistogram(EMPTY_HISTOGRAM);
  check({ schema: 9 }, /schema 9/);
  check({ schema: NaN }, /schema NaN/);
  check({ count: -1 }, /negative count/);
  check({ zeroCount: 5 }, /5 observations in buckets/);
  check({ count: 5 }, /only 0 observations/);
  check({ customBounds: Float64Array.of(1) }, /custom bounds in/);
  check({ schema: CUSTOM_SCHEMA, customBounds: Float64Array.of(2, 1) }, /out of order/);
  check({ schema: CUSTOM_SCHEMA, customBounds: Float64Array.of(Infinity) }, /not finite/);
  const far: Buckets = { indexes: Int32Array.of(3), counts: Float64Array.of(1) };
  check({ schema: CUSTOM_SCHEMA, positive: far, count: 1 }, /beyond the bounds/);
  const twice: Buckets = { indexes: Int32Array.of(1, 1), counts: Float64Array.of(1, 1) };
  check({ positive: twice, count: 2 }, /out of order/);
  t.end();
});

t.test('histogramText() and histogramJson() write as Prometheus does', (t) => {
  const full: Histogram = {
    ...EMPTY_HISTOGRAM,
    count: 12,
    sum: 18.4,
    zeroCount: 2,
    zeroThreshold: 0.001,
    positive: { indexes: Int32Array.of(1, 2), counts: Float64Array.of(3, 6.5) },
    negative: { indexes: Int32Array.of(0), counts: Float64Array.of(0.5) },
  };
  t.equal(
    histogramText(full),
    '{count:12, sum:18.4, [-1,-0.5):0.5, [-0.001,0.001]:2, (1,2]:3, (2,4]:6.5}',
  );
  t.equal(
    histogramJson(full),
    '{"count":"12","sum":"18.4","buckets":[[1,"-1","-0.5","0.5"],[3,"-0.001","0.001","2"],' +
      '[0,"1","2","3"],[0,"2","4","6.5"]]}',
  );
  t.equal(histogramJson(EMPTY_HISTOGRAM), '{"count":"0","sum":"0"}');
  const bounds = Float64Array.of(5, 10);
  const positive = { indexes: Int32Array.of(0, 2), counts: Float64Array.of(1, 4) };
  const nhcb = { ...EMPTY_HISTOGRAM, schema: CUSTOM_SCHEMA, customBounds: bounds, positive };
  t.equal(histogramText(nhcb), '{count:0, sum:0, [-Inf,5]:1, (10,+Inf]:4}');
  t.same(compact({ ...nhcb, positive: NO_BUCKETS }).positive, NO_BUCKETS);
  t.end();
});
