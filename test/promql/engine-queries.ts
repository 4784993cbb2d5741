// Random but sensible queries, and a small data set that has what queries trip over: counter
// resets, stale markers, gaps, NaN, infinities, values of very different size, jittered times,
// histograms that are not monotonic, series that come and go. All from one seed.
import { STALE_NAN_HIGH, STALE_NAN_LOW } from '../../model/sample.ts';
import { type Labels, labelValue, labelsFromPairs } from '../../model/labels.ts';
import { compileMatcher } from '../../model/matchers.ts';
import { projectLabels } from '../../model/projection.ts';
import type { SeriesColumns } from '../../model/series-columns.ts';
import type { Selection } from '../../promql/index.ts';

/** A small generator (mulberry32): the same numbers everywhere for one seed. */
export class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  float(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  }

  below(count: number): number {
    return Math.floor(this.float() * count);
  }

  chance(probability: number): boolean {
    return this.float() < probability;
  }

  pick<Item>(items: readonly Item[]): Item {
    return items[this.below(items.length)]!;
  }
}

export interface DataSeries {
  readonly labels: readonly (readonly [string, string])[];
  /** A bigint is a bit pattern. */
  readonly samples: readonly (readonly [timestampMs: number, value: number | bigint])[];
}

export const DATA_START_MS = 1_700_000_000_000;
export const DATA_END_MS = DATA_START_MS + 60 * 60_000;
const SCRAPE_MS = 15_000;
const STALE = (BigInt(STALE_NAN_HIGH) << 32n) | BigInt(STALE_NAN_LOW);
const LE = ['0.1', '0.25', '0.5', '1', '2.5', '+Inf'];

/** Chosen series as the engine reads them: their samples one after the other, a bigint being the bits of a value. */
export function columnsOf(
  found: readonly { readonly labels: Labels; readonly samples: DataSeries['samples'] }[],
): SeriesColumns {
  const samples = found.flatMap((one) => one.samples);
  const values = new Float64Array(samples.length);
  const bits = new BigUint64Array(values.buffer);
  samples.forEach(([, value], i) => {
    if (typeof value === 'bigint') bits[i] = value;
    else values[i] = value;
  });
  let end = 0;
  return {
    labels: found.map(({ labels }) => labels),
    ends: Uint32Array.from(found, (one) => (end += one.samples.length)),
    timestamps: Float64Array.from(samples, ([timestampMs]) => timestampMs),
    values,
  };
}

/**
 * The series of a selection, whole, so that the engine is not led astray by samples around it; but
 * only the labels and the newest sample when it says that these are enough.
 */
export function seriesOf(data: readonly DataSeries[], selection: Selection): SeriesColumns {
  const { matchers, maxTimeMs, newestOnly, projection } = selection;
  const compiled = matchers.map(compileMatcher);
  const found = data
    .map(({ labels, samples }) => ({ labels: labelsFromPairs(labels), samples }))
    .filter(({ labels }) => compiled.every((m) => m.matches(labelValue(labels, m.matcher.name))))
    .map(({ labels, samples }) => ({
      labels: projection === undefined ? labels : projectLabels(labels, projection),
      samples: newestOnly ? samples.filter(([timeMs]) => timeMs <= maxTimeMs).slice(-1) : samples,
    }));
  return columnsOf(found);
}

/** The data set: some 70 series over one hour. */
export function dataSet(seed: number): readonly DataSeries[] {
  const dice = new Dice(seed);
  const all: DataSeries[] = [];
  const add = (name: string, labels: Readonly<Record<string, string>>, value: Value): void => {
    const pairs = Object.entries({ __name__: name, ...labels });
    pairs.sort(([a], [b]) => (a < b ? -1 : 1));
    all.push({ labels: pairs, samples: scrapes(dice, value) });
  };
  for (const job of ['api', 'db']) {
    add('limit', { job }, () => 50);
    add('typed_total', { job, __type__: 'counter', __unit__: 'bytes' }, counter(dice));
    for (const instance of ['0', '1', '2']) {
      add('up', { job, instance }, () => (dice.chance(0.9) ? 1 : 0));
      add('build_info', { job, instance, version: dice.pick(['v1', 'v2']) }, () => 1);
      // A restart: one info series ends, mostly with a stale marker, and another begins.
      const restart = dice.below(240);
      const isMarked = dice.chance(0.7);
      add('target_info', { job, instance, release: '1' }, (i) => {
        if (i < restart) return 1;
        return i === restart && isMarked ? STALE : undefined;
      });
      add('target_info', { job, instance, release: '2' }, (i) => (i < restart ? undefined : 1));
      for (const code of ['200', '500']) {
        add('requests_total', { job, instance, code }, counter(dice));
      }
      add('temperature', { job, instance }, gauge(dice));
      add('humidity', { job, instance }, gauge(dice));
      add('extreme', { job, instance }, () => dice.pick(EXTREMES));
      addHistogram(dice, add, { job, instance });
    }
  }
  // Prometheus answers in the order of creation where an order shows (ties, sums); ours is sorted.
  return all.sort((a, b) => (key(a) < key(b) ? -1 : 1));
}

/** The sample of a scrape; undefined: none. */
type Value = (i: number) => bigint | number | undefined;

function key({ labels }: DataSeries): string {
  return labels.flat().join('\0');
}

const EXTREMES = [0, -0, 1, -1, 1e100, -1e100, 9.9e307, -9.9e307, 1e-300, 1e-7, NaN, Infinity, 0.1];

function scrapes(dice: Dice, value: Value): DataSeries['samples'] {
  const jitterMs = dice.chance(0.5) ? 0 : 400;
  const from = dice.chance(0.8) ? 0 : dice.below(120);
  const to = dice.chance(0.8) ? 240 : 121 + dice.below(119);
  const samples: [number, bigint | number][] = [];
  let gap = 0;
  for (let i = 0; i < 240; i++) {
    const number = value(i);
    if (i < from || i > to || gap-- > 0 || number === undefined) continue;
    const timestampMs = DATA_START_MS + i * SCRAPE_MS + dice.below(jitterMs + 1);
    const isGap = dice.chance(0.01);
    if (isGap) gap = dice.below(30);
    samples.push([timestampMs, isGap && dice.chance(0.5) ? STALE : number]);
  }
  return samples;
}

function counter(dice: Dice): () => number {
  const isWhole = dice.chance(0.5);
  let total = dice.below(100);
  return () => {
    total = dice.chance(0.02) ? 0 : total + (isWhole ? dice.below(20) : dice.float() * 20);
    return total;
  };
}

function gauge(dice: Dice): () => number {
  const oddProbability = dice.chance(0.3) ? 0.05 : 0;
  let level = 50;
  return () => {
    level += dice.float() * 10 - 5;
    if (dice.chance(oddProbability)) return dice.pick([NaN, Infinity, -Infinity, 0, -0]);
    return dice.chance(0.3) ? Math.round(level) : level;
  };
}

function addHistogram(
  dice: Dice,
  add: (name: string, labels: Record<string, string>, value: (i: number) => number) => void,
  labels: Record<string, string>,
): void {
  const counters = LE.map(() => counter(dice));
  const isBroken = dice.chance(0.2);
  const totals: number[][] = Array.from({ length: 240 }, () => []);
  for (let i = 0; i < 240; i++) {
    let below = 0;
    for (const next of counters) {
      below += next();
      totals[i]!.push(isBroken && dice.chance(0.1) ? below / 2 : below);
    }
  }
  LE.forEach((le, k) => add('latency_seconds_bucket', { ...labels, le }, (i) => totals[i]![k]!));
  add('latency_seconds_count', labels, (i) => totals[i]?.at(-1) ?? 0);
  add('latency_seconds_sum', labels, (i) => (totals[i]?.at(-1) ?? 0) * 0.3);
}

const NAMES = [
  'typed_total',
  'requests_total',
  'temperature',
  'humidity',
  'extreme',
  'up',
  'limit',
  'build_info',
];
const MATCHERS = [
  'job="api"',
  'job!="api"',
  'instance=~"0|1"',
  'instance!~"2.*"',
  'code="200"',
  'job=~".+"',
  'job=""',
  'nosuch=""',
];
const INFO_SELECTORS = [
  '',
  ', {release=~".+"}',
  ', {release="1"}',
  ', {release!="1"}',
  ', {__name__="build_info"}',
  ', {__name__=~"(target|build)_info",version=~".*"}',
  ', {version=""}',
];
const RANGES = ['15s', '1m', '90s', '5m', '17m'];
const STEPS = ['', '15s', '1m', '40s'];
const LABELS = ['job', 'instance', 'code', 'version', 'le', 'nosuch', '__name__'];
const RANGE_FUNCTIONS = [
  ...['rate', 'increase', 'delta', 'irate', 'idelta', 'deriv', 'resets', 'changes'],
  ...['avg', 'sum', 'min', 'max', 'count', 'last', 'stddev', 'stdvar', 'present', 'absent'].map(
    (name) => `${name}_over_time`,
  ),
  ...['ts_of_min_over_time', 'ts_of_max_over_time', 'ts_of_last_over_time', 'mad_over_time'],
];
const FUNCTIONS = [
  ...['abs', 'ceil', 'floor', 'round', 'sqrt', 'sgn', 'deg', 'rad', 'timestamp', 'absent'],
  ...['sort', 'sort_desc'],
  ...['histogram_avg', 'histogram_count', 'histogram_sum', 'histogram_stddev', 'histogram_stdvar'],
];
/** Of times only: what no 64-bit integer holds becomes some date, on each processor another one. */
const DATES = [
  ...['hour', 'minute', 'day_of_week', 'day_of_month', 'day_of_year', 'days_in_month', 'month'],
  'year',
];
const ELEMENTARY = ['ln', 'log2', 'log10', 'asin', 'acos', 'atan'];
/** Their last digit depends on the processor or the mathematical library. */
export const TRANSCENDENTAL = [
  ...['exp', 'sin', 'cos', 'tan', 'sinh', 'cosh', 'tanh', 'asinh', 'acosh', 'atanh'],
];
const AGGREGATIONS = ['sum', 'avg', 'min', 'max', 'count', 'group', 'stddev', 'stdvar'];
const ARITHMETIC = ['+', '-', '*', '/', '%', 'atan2'];
const COMPARISONS = ['==', '!=', '<', '<=', '>', '>='];

/** Writes queries, each nested at most `depth` deep. */
export class QueryWriter {
  readonly #dice: Dice;

  constructor(dice: Dice) {
    this.#dice = dice;
  }

  /** An aggregation of what is computed of each series. */
  fold(): string {
    const dice = this.#dice;
    const grouping = dice.chance(0.75)
      ? ` ${dice.pick(['by', 'without'])}(${this.#labels()}) `
      : '';
    const inner = dice.chance(0.2) ? this.#selector() : this.vectorOfWindows();
    return `${dice.pick(AGGREGATIONS)}${grouping}(${inner})`;
  }

  vectorOfWindows(): string {
    const dice = this.#dice;
    return `${dice.pick(RANGE_FUNCTIONS)}(${this.#selector()}[${dice.pick(RANGES)}]${this.#modifiers()})`;
  }

  query(depth: number): string {
    return this.#dice.chance(0.05) ? this.scalar(depth) : this.vector(depth);
  }

  scalar(depth: number): string {
    const dice = this.#dice;
    if (depth <= 0 || dice.chance(0.4)) {
      return dice.pick(['0', '1', '2', '0.5', '-3.7', '50', '1e3', 'NaN', 'Inf', '-Inf', 'time()']);
    }
    if (dice.chance(0.5)) return `scalar(${this.vector(depth - 1)})`;
    return `(${this.scalar(depth - 1)} ${dice.pick(ARITHMETIC)} ${this.scalar(depth - 1)})`;
  }

  vector(depth: number): string {
    const dice = this.#dice;
    if (depth <= 0) return this.#selector() + this.#modifiers();
    switch (dice.below(12)) {
      case 0:
        return this.#selector() + this.#modifiers();
      case 1:
      case 2:
        return `${dice.pick(RANGE_FUNCTIONS)}(${this.#range(depth - 1)})`;
      case 3:
      case 4:
        return this.#aggregation(depth);
      case 5:
      case 6:
        return this.#binary(depth);
      case 7:
        return this.#vectorScalar(depth);
      case 8:
        return this.#special(depth);
      case 9:
        return this.#histogram();
      case 10:
        return `${dice.pick(['-', '+'])}${this.#selector()}`;
      default:
        if (dice.chance(0.2)) return `${dice.pick(TRANSCENDENTAL)}(${this.vector(depth - 1)})`;
        if (dice.chance(0.2)) return `${dice.pick(ELEMENTARY)}(${this.vector(depth - 1)})`;
        if (dice.chance(0.2)) return `${dice.pick(DATES)}(timestamp(${this.#selector()}))`;
        return `${dice.pick(FUNCTIONS)}(${this.vector(depth - 1)})`;
    }
  }

  #selector(): string {
    const dice = this.#dice;
    const matchers = MATCHERS.filter(() => dice.chance(0.12));
    if (dice.chance(0.08)) return `{__name__=~"temperature|humidity",job="api"}`;
    return dice.pick(NAMES) + (matchers.length > 0 ? `{${matchers.join(',')}}` : '');
  }

  #modifiers(): string {
    const dice = this.#dice;
    let text = '';
    if (dice.chance(0.1)) text += ` offset ${dice.pick(['5m', '-3m', '17s'])}`;
    if (dice.chance(0.1)) {
      const second = DATA_START_MS / 1000 + dice.below(3600);
      text += ` @ ${dice.pick(['start()', 'end()', String(second), `${second}.5`])}`;
    }
    return text;
  }

  #range(depth: number): string {
    const dice = this.#dice;
    const range = dice.pick(RANGES);
    if (depth <= 0 || dice.chance(0.7)) return `${this.#selector()}[${range}]${this.#modifiers()}`;
    return `(${this.vector(depth - 1)})[${range}:${dice.pick(STEPS)}]${this.#modifiers()}`;
  }

  #labels(): string {
    return LABELS.filter(() => this.#dice.chance(0.3)).join(',');
  }

  #aggregation(depth: number): string {
    const dice = this.#dice;
    const grouping = dice.chance(0.75)
      ? ` ${dice.pick(['by', 'without'])}(${this.#labels()}) `
      : '';
    const inner = this.vector(depth - 1);
    switch (dice.below(7)) {
      case 6:
        return `limit_ratio${grouping}(${dice.pick(['0.5', '-0.5', '0.1', '1', '-2', '0'])}, ${inner})`;
      case 0:
        return `${dice.pick(['topk', 'bottomk', 'limitk'])}${grouping}(${dice.pick(['1', '2', '3', '100'])}, ${inner})`;
      case 1:
        return `quantile${grouping}(${dice.pick(['0', '0.3', '0.5', '0.99', '1', '-1', '2'])}, ${inner})`;
      case 2:
        return `count_values${grouping}("v", ${inner})`;
      default:
        return `${dice.pick(AGGREGATIONS)}${grouping}(${inner})`;
    }
  }

  #binary(depth: number): string {
    const dice = this.#dice;
    const lhs = this.vector(depth - 1);
    const rhs = dice.chance(0.3) ? lhs : this.vector(depth - 1);
    let matching = '';
    if (dice.chance(0.5)) matching = ` ${dice.pick(['on', 'ignoring'])}(${this.#labels()})`;
    if (dice.chance(0.25)) {
      return `(${lhs} ${dice.pick(['and', 'or', 'unless'])}${matching} ${rhs})`;
    }
    const op = dice.chance(0.5)
      ? dice.pick(ARITHMETIC)
      : dice.pick(COMPARISONS) + (dice.chance(0.4) ? ' bool' : '');
    if (matching !== '' && dice.chance(0.5)) {
      const side = dice.pick(['group_left', 'group_right']);
      matching += ` ${side}(${dice.chance(0.4) ? 'version' : ''})`;
    }
    return `(${lhs} ${op}${matching} ${rhs})`;
  }

  #vectorScalar(depth: number): string {
    const dice = this.#dice;
    const sides = [this.vector(depth - 1), this.scalar(depth - 1)];
    if (dice.chance(0.5)) sides.reverse();
    const op = dice.chance(0.5)
      ? dice.pick([...ARITHMETIC, '^'])
      : dice.pick(COMPARISONS) + (dice.chance(0.4) ? ' bool' : '');
    return `(${sides[0]!} ${op} ${sides[1]!})`;
  }

  #special(depth: number): string {
    const dice = this.#dice;
    const inner = this.vector(depth - 1);
    switch (dice.below(11)) {
      case 10:
        return `info(${dice.chance(0.5) ? inner : this.#selector()}${dice.pick(INFO_SELECTORS)})`;
      case 9:
        return `${dice.pick(['sort_by_label', 'sort_by_label_desc'])}(${inner}, "${dice.pick(LABELS)}")`;
      case 0:
        return `clamp(${inner}, ${this.scalar(0)}, ${this.scalar(0)})`;
      case 1:
        return `${dice.pick(['clamp_min', 'clamp_max'])}(${inner}, ${this.scalar(depth - 1)})`;
      case 2:
        return `label_replace(${inner}, "${dice.pick(LABELS)}", "${dice.pick(['$1', 'x$1y${1}', '', '$0', 'fixed'])}", "${dice.pick(LABELS)}", "${dice.pick(['(.*)', '([a-z]).*', 'nomatch', ''])}")`;
      case 3:
        return `label_join(${inner}, "${dice.pick(LABELS)}", "-", "job", "instance")`;
      case 4:
        return `round(${inner}, ${dice.pick(['0.1', '5', '0.3'])})`;
      case 5:
        return `quantile_over_time(${dice.pick(['0.1', '0.5', '0.9', '1.1'])}, ${this.#range(depth - 1)})`;
      case 6:
        return `predict_linear(${this.#range(depth - 1)}, ${dice.pick(['60', '3600', '-10'])})`;
      case 7:
        return `vector(${this.scalar(depth - 1)})`;
      default:
        return `double_exponential_smoothing(${this.#range(depth - 1)}, 0.3, 0.6)`;
    }
  }

  #histogram(): string {
    const dice = this.#dice;
    const rates = `rate(latency_seconds_bucket[${dice.pick(RANGES)}])`;
    const inner = dice.pick([
      rates,
      `sum by (le) (${rates})`,
      `sum by (le, job) (${rates})`,
      'latency_seconds_bucket',
      'sum without (instance) (latency_seconds_bucket)',
    ]);
    // No histogram_fraction: 3.5 does not sort the buckets of sums and answers NaN.
    return `histogram_quantile(${dice.pick(['0', '0.1', '0.5', '0.9', '0.99', '1', '2'])}, ${inner})`;
  }
}
