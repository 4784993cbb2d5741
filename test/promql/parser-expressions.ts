// Random PromQL for properties: texts that are mostly well typed, the same texts damaged, and
// token soup. Names and numbers are few, so that matching and precedence are what varies.
import fc from 'fast-check';

const metric = fc.constantFrom('a', 'b', 'foo:bar', 'by', 'sum', 'offset', 'and', 'start');
const labelName = fc.constantFrom('a', 'b', 'le', 'on', 'sum', 'bool');
const duration = fc.constantFrom('5m', '1h30m', '1d', '90s', '250ms', '5', '1.5', '0s', '1y');
const number = fc.constantFrom('1', '0', '2.5', '1e3', '0x1f', 'Inf', 'NaN', '5m', '017', '1_0');
const string = fc.constantFrom('"x"', "'y'", '`z`', '"a\\nb"', '"\\u00e9"', '""');
const matcher = fc
  .tuple(
    fc.oneof(labelName, fc.constantFrom('"c d"', '__name__')),
    fc.constantFrom('=', '!=', '=~', '!~'),
    string,
  )
  .map((parts) => parts.join(''));
const braces = fc
  .array(fc.oneof({ weight: 5, arbitrary: matcher }, fc.constant('"u.v"')), { maxLength: 3 })
  .map((matchers) => `{${matchers.join(',')}}`);
const labelList = fc.array(labelName, { maxLength: 2 }).map((names) => `(${names.join(',')})`);
const modifiers = fc
  .array(
    fc.oneof(
      duration.map((text) => ` offset ${text}`),
      duration.map((text) => ` offset -${text}`),
      fc.constantFrom(' @ 5', ' @ -1.5', ' @ start()', ' @ end()'),
    ),
    { maxLength: 2 },
  )
  .map((parts) => parts.join(''));
const maybeModifiers = fc.oneof({ weight: 3, arbitrary: fc.constant('') }, modifiers);
const operator = fc.constantFrom(
  ...['+', '-', '*', '/', '%', '^', 'atan2', '==', '!=', '<', '>', '<=', '>=', 'and', 'or'],
  'unless',
);
const matching = fc.oneof(
  { weight: 5, arbitrary: fc.constant('') },
  fc.constant(' bool'),
  labelList.map((labels) => ` on${labels}`),
  labelList.map((labels) => ` bool ignoring ${labels}`),
  fc.tuple(labelList, labelList).map(([on, add]) => ` on${on} group_left${add}`),
  labelList.map((labels) => ` ignoring${labels} group_right`),
);
const vectorFunction = fc.constantFrom('abs', 'ln', 'sort', 'absent', 'timestamp', 'year', 'round');
const matrixFunction = fc.constantFrom('rate', 'delta', 'last_over_time', 'absent_over_time');
const aggregation = fc.constantFrom('sum', 'avg', 'count', 'group', 'stddev', 'MAX');
const aggregationWithParam = fc.constantFrom('topk', 'bottomk', 'quantile', 'count_values');
const grouping = fc.oneof(
  fc.constant(''),
  labelList.map((labels) => ` by ${labels} `),
  labelList.map((labels) => ` without${labels}`),
);

type Texts = {
  any: string;
  matrix: string;
  scalar: string;
  vector: string;
};

const { any } = fc.letrec<Texts>((tie) => ({
  any: fc.oneof(
    { weight: 8, arbitrary: tie('vector') },
    { weight: 3, arbitrary: tie('scalar') },
    { weight: 2, arbitrary: tie('matrix') },
    string,
  ),
  matrix: fc.oneof(
    fc
      .tuple(metric, duration, maybeModifiers)
      .map(([name, range, tail]) => `${name}[${range}]${tail}`),
    fc
      .tuple(tie('vector'), duration, fc.oneof(fc.constant(''), duration), maybeModifiers)
      .map(([expr, range, step, tail]) => `${expr}[${range}:${step}]${tail}`),
    tie('any'),
  ),
  scalar: fc.oneof(
    { weight: 6, arbitrary: number },
    { weight: 2, arbitrary: tie('vector').map((expr) => `scalar(${expr})`) },
    { weight: 2, arbitrary: tie('scalar').map((expr) => `-${expr}`) },
    { weight: 2, arbitrary: tie('scalar').map((expr) => `(${expr})`) },
    fc
      .tuple(tie('scalar'), operator, matching, tie('scalar'))
      .map(([lhs, op, match, rhs]) => `${lhs} ${op}${match} ${rhs}`),
    tie('any'),
  ),
  vector: fc.oneof(
    { weight: 8, arbitrary: fc.tuple(metric, maybeModifiers).map((parts) => parts.join('')) },
    {
      weight: 4,
      arbitrary: fc.tuple(metric, braces, maybeModifiers).map((parts) => parts.join('')),
    },
    { weight: 2, arbitrary: braces },
    {
      weight: 6,
      arbitrary: fc
        .tuple(tie('vector'), operator, matching, tie('vector'))
        .map(([lhs, op, match, rhs]) => `${lhs} ${op}${match} ${rhs}`),
    },
    {
      weight: 2,
      arbitrary: fc
        .tuple(tie('vector'), operator, tie('scalar'))
        .map(([lhs, op, rhs]) => `${lhs} ${op} ${rhs}`),
    },
    { weight: 3, arbitrary: tie('vector').map((expr) => `(${expr})`) },
    { weight: 2, arbitrary: tie('vector').map((expr) => `-${expr}`) },
    {
      weight: 3,
      arbitrary: fc.tuple(vectorFunction, tie('vector')).map(([name, arg]) => `${name}(${arg})`),
    },
    {
      weight: 3,
      arbitrary: fc.tuple(matrixFunction, tie('matrix')).map(([name, arg]) => `${name}(${arg})`),
    },
    {
      weight: 3,
      arbitrary: fc
        .tuple(aggregation, grouping, tie('vector'))
        .map(([op, group, arg]) => `${op}${group}(${arg})`),
    },
    fc
      .tuple(aggregation, tie('vector'), grouping)
      .map(([op, arg, group]) => `${op}(${arg})${group}`),
    fc
      .tuple(aggregationWithParam, tie('scalar'), tie('vector'))
      .map(([op, param, arg]) => `${op}(${param}, ${arg})`),
    tie('any'),
  ),
}));

/** Expressions, most of them valid. */
export const expressionText: fc.Arbitrary<string> = any;

const token = fc.oneof(
  metric,
  labelName,
  duration,
  number,
  string,
  operator,
  braces,
  labelList,
  fc.constantFrom(...Array.from('()[]{},:=@+-!~')),
  fc.constantFrom('rate', 'sum by', 'group_left', 'on', 'bool', 'without', '=~', '[5m]', '# c\n'),
);

/** Tokens in any order, almost never valid. */
export const tokenSoup: fc.Arbitrary<string> = fc
  .array(fc.tuple(token, fc.constantFrom('', ' ', ' ', '\n')), { maxLength: 9 })
  .map((parts) => parts.flat().join(''));

/** Expressions with a piece cut out, doubled or replaced. */
export const damagedText: fc.Arbitrary<string> = fc
  .tuple(expressionText, fc.nat(), fc.nat(6), fc.oneof(fc.constant(''), token))
  .map(([text, at, length, patch]) => {
    const from = at % (text.length + 1);
    return text.slice(0, from) + patch + text.slice(from + length);
  });
