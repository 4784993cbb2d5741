// Random queries over the data of engine-queries.ts in which matchers can cross from one side of an
// operator to the other.
import type { Dice } from './engine-queries.ts';

const CROSSING_MATCHERS = [
  'job="api"',
  'instance="1"',
  'instance=~"0|2"',
  'code="200"',
  'instance!=""',
  'code=""',
];

/** A query in which matchers can cross: operators between vectors that have labels in common. */
export function crossing(dice: Dice, depth: number): string {
  if (depth === 0) return crossingOperand(dice);
  const [lhs, rhs] = [0, 1].map(() => {
    return dice.chance(0.6) ? crossing(dice, depth - 1) : crossingOperand(dice);
  });
  const labels = ['job', 'instance', 'code'].filter(() => dice.chance(0.5)).join(', ');
  const matching = dice.chance(0.6) ? '' : `${dice.pick(['on', 'ignoring'])} (${labels}) `;
  if (dice.chance(0.35)) return `(${lhs} ${dice.pick(['and', 'or', 'unless'])} ${matching}${rhs})`;
  const sides = ['group_left ()', 'group_right ()', 'group_left (version)', 'fill (1)'];
  const side = matching === '' || dice.chance(0.4) ? '' : `${dice.pick(sides)} `;
  const op = dice.pick(['+', '/', '-', '>', '<= bool', '!=']);
  const whole = `(${lhs} ${op} ${matching}${side}${rhs})`;
  if (dice.chance(0.15)) return `sum by (${labels || 'job'}) (${whole})`;
  if (dice.chance(0.1)) return `avg_over_time(${whole}[10m:1m])`;
  return dice.chance(0.1) ? `topk by (job) (2, ${whole})` : whole;
}

function crossingOperand(dice: Dice): string {
  const name = dice.pick(['up', 'limit', 'temperature', 'humidity', 'requests_total', 'extreme']);
  const matchers = CROSSING_MATCHERS.filter(() => dice.chance(0.3)).join(',');
  const selector = dice.chance(0.1)
    ? `{__name__=~"temperature|humidity",${matchers}}`
    : `${name}{${matchers}}${dice.chance(0.1) ? ' offset 5m' : ''}`;
  const labels = ['job', 'instance', 'code'].filter(() => dice.chance(0.5)).join(', ');
  switch (dice.below(12)) {
    case 0:
    case 1:
      return `${dice.pick(['sum', 'max', 'count', 'avg'])} by (${labels}) (${selector})`;
    case 2:
      return `sum without (${labels}) (${selector})`;
    case 3:
      return `sum by (${labels}) (rate(requests_total{${matchers}}[5m]))`;
    case 4:
      return `rate(${name}{${matchers}}[5m])`;
    case 5:
      return `-${selector}`;
    case 6:
      return `avg_over_time(${name}{${matchers}}[3m])`;
    case 7:
      return `(${selector} * 2)`;
    case 8:
      return `label_replace(${selector}, "instance", "x", "code", "(.*)")`;
    case 9:
      return `absent(${selector})`;
    default:
      return selector;
  }
}
