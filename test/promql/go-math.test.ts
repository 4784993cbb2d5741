// Goal: elementary functions equal Prometheus' to the last digit.
// Method: a golden table of [function, x, answer, y] that a real Prometheus 3.5 gave; edge cases by
// hand, from Go's documented special cases.
import { readFileSync } from 'node:fs';
import t from 'tap';
import { atan2, power, splitFloat } from '../../promql/functions/go-math.ts';
import * as goMath from '../../promql/functions/go-math.ts';
import { checkout } from '../support/checkout.ts';

const golden = checkout('test/golden/promql/math.jsonl');

const functions: Readonly<Record<string, (x: number, y: number) => number>> = goMath as never; // by name

t.test('go-math answers as Prometheus does, to the last digit', async (t) => {
  const differences: unknown[] = [];
  let count = 0;
  for (const line of readFileSync(golden, 'utf8').trimEnd().split('\n')) {
    const [name, x, theirs, y] = JSON.parse(line) as [string, number, number, number];
    const ours = functions[name]?.(x, y);
    count++;
    if (ours !== theirs) differences.push({ name, x, y, ours, theirs });
  }
  t.strictSame(differences, []);
  t.ok(count > 500, `${count} answers compared`);
});

t.test('power() has the special cases of Go', async (t) => {
  const check = (x: number, y: number, expected: number): void => {
    t.ok(Object.is(power(x, y), expected), `${x} ^ ${y} = ${power(x, y)}, wanted ${expected}`);
  };
  check(1, NaN, 1);
  check(1, Infinity, 1);
  check(NaN, 0, 1);
  check(NaN, 1, NaN);
  check(-1, Infinity, 1);
  check(-1, -Infinity, 1);
  check(0, -1, Infinity);
  check(-0, -1, -Infinity);
  check(-0, -2, Infinity);
  check(-0, 3, -0);
  check(2, Infinity, Infinity);
  check(0.5, Infinity, 0);
  check(0.5, -Infinity, Infinity);
  check(-Infinity, 3, -Infinity);
  check(-Infinity, -2, 0);
  check(-8, 1 / 3, NaN);
  check(-1, 1e300, 1);
  check(2, 1024, Infinity);
  check(2, -1074, 5e-324);
  check(2, -1080, 0);
  check(-2, 3, -8);
});

t.test('atan2() and splitFloat() cover the axes and subnormal numbers', async (t) => {
  t.equal(atan2(0, -1), Math.PI);
  t.equal(atan2(-0, -1), -Math.PI);
  t.equal(atan2(1, 0), Math.PI / 2);
  t.ok(Number.isNaN(atan2(NaN, 1)));
  t.strictSame(splitFloat(5e-324), { fraction: 0.5, exponent: -1073 });
  t.strictSame(splitFloat(-3), { fraction: -0.75, exponent: 2 });
});
