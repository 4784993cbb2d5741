/**
 * `starling query …`: asks a node and prints the answer. Answers go to standard output, warnings to
 * standard error. Exit codes: 0 answered, 1 the node failed or was not reached, 2 the request is wrong.
 */
import { Command } from 'commander';
import { StarlingError } from '../../model/errors.ts';
import { parseExpr, prettyExpr } from '../../promql/index.ts';
import { CommandExit } from '../command-exit.ts';
import { caretText } from './caret.ts';
import { type Answer, type ClientOptions, QueryFailure, askNode } from './client.ts';
import { type ExplainedQuery, rowsOfPlan } from './explain.ts';
import {
  type OutputKind,
  type QueryData,
  type Rows,
  csvText,
  rowsOfNames,
  rowsOfQuery,
  rowsOfSeries,
  tableText,
} from './output.ts';
import { type TimeReader, UsageError, readDuration, readTime, stepFor } from './time.ts';

/** What the commands touch of the world. */
export interface QueryWorld {
  readonly fetch: typeof fetch;
  readonly clock: { nowMs(): number };
  readonly parseDate: (text: string) => number;
  readonly environment: Readonly<Record<string, string | undefined>>;
  out(text: string): void;
  err(text: string): void;
}

interface Options {
  readonly url?: string;
  readonly prefix: string;
  readonly tenant?: string;
  readonly output: string;
  readonly timeout: string;
  readonly limit?: string;
  readonly time?: string;
  readonly start?: string;
  readonly end?: string;
  readonly step?: string;
  readonly explain?: boolean;
}

const EXPLAIN_HELP = 'print how the query was answered instead of the answer';

const URL_DEFAULT = 'http://127.0.0.1:9009';

/** The command with its subcommands. The promise of each action rejects with `CommandExit` on failure. */
export function queryCommand(world: QueryWorld): Command {
  const command = new Command('query');
  command.description('ask a node in PromQL');
  command.addHelpText('after', EXAMPLES);
  const add = (usage: string, description: string): Command => {
    const one = new Command(usage.split(' ', 1)[0]);
    for (const argument of usage.split(' ').slice(1)) one.argument(argument);
    one.description(description).allowExcessArguments(false);
    command.addCommand(one);
    return one;
  };
  const remote = (one: Command, work: (run: Run) => Promise<Rows>): void => {
    one.option('--url <url>', `the node (default: STARLING_URL, or ${URL_DEFAULT})`);
    one.option('--prefix <path>', 'where its query API is', '/prometheus');
    one.option('--tenant <id>', 'the tenant (default: STARLING_TENANT)');
    one.option('--output <kind>', 'table, json or csv', 'table');
    one.option('--timeout <duration>', 'the longest to wait', '2m');
    one.option('--limit <count>', 'the most series or names');
    const isAboutExpr = one.registeredArguments[0]?.name() === 'expr';
    one.action(() =>
      guarded(world, () => new Run(world, one).print(work), isAboutExpr ? one.args[0] : undefined),
    );
  };
  const instant = add('instant <expr>', 'the value of an expression at one time');
  instant.option('--time <time>', 'when', 'now').option('--explain', EXPLAIN_HELP);
  remote(instant, (run) =>
    run.evaluate('query', [...run.query(), ['time', run.seconds('time', 'now')]]),
  );
  const range = add('range <expr>', 'the values of an expression over a range of time');
  range.option('--start <time>', 'from', 'now-1h').option('--end <time>', 'to', 'now');
  range.option('--step <duration>', 'from one value to the next (default: about 250 values)');
  range.option('--explain', EXPLAIN_HELP);
  remote(range, (run) => run.evaluate('query_range', [...run.query(), ...run.grid()]));
  const series = add('series <match...>', 'the series that selectors match');
  bounded(series);
  remote(series, async (run) =>
    rowsOfSeries((await run.ask('series', run.matches(0))) as readonly Record<string, string>[]),
  );
  const labels = add('labels [match...]', 'the names of labels');
  bounded(labels);
  remote(labels, async (run) =>
    rowsOfNames('label', (await run.ask('labels', run.matches(0))) as readonly string[]),
  );
  const values = add('label-values <name> [match...]', 'the values of a label');
  bounded(values);
  remote(values, async (run) => {
    const name = run.argument(0);
    const path = `label/${encodeURIComponent(escapedName(name))}/values`;
    return rowsOfNames(name, (await run.ask(path, run.matches(1), 'GET')) as readonly string[]);
  });
  const format = add('format <expr>', 'print an expression neatly, without asking a node');
  format.action((expr: string) =>
    guarded(
      world,
      () => {
        world.out(`${prettyExpr(parseExpr(expr))}\n`);
        return Promise.resolve();
      },
      expr,
    ),
  );
  return command;
}

function bounded(command: Command): void {
  command.option('--start <time>', 'only what has samples from this time on');
  command.option('--end <time>', 'only what has samples up to this time');
}

/** Label names beyond letters, digits and `_` are spelt so in a path. */
function escapedName(name: string): string {
  if (/^[a-zA-Z_][a-zA-Z0-9_]*$/.test(name)) return name;
  const escaped = Array.from(name, (character) => {
    if (character === '_') return '__';
    if (/[a-zA-Z0-9]/.test(character)) return character;
    return `_${(character.codePointAt(0) ?? 0).toString(16)}_`;
  });
  return `U__${escaped.join('')}`;
}

/** One invocation: its options read, its answer asked for and printed. */
class Run {
  readonly #world: QueryWorld;
  readonly #options: Options;
  readonly #arguments: readonly string[];
  readonly #client: ClientOptions;
  readonly #times: TimeReader;
  #answer: Answer | undefined;

  constructor(world: QueryWorld, command: Command) {
    this.#world = world;
    const options = command.opts<Options & Record<string, unknown>>();
    this.#options = options;
    this.#arguments = command.args;
    this.#times = { nowMs: world.clock.nowMs(), parseDate: world.parseDate };
    this.#client = {
      url: options.url ?? world.environment['STARLING_URL'] ?? URL_DEFAULT,
      prefix: options.prefix,
      tenant: options.tenant ?? world.environment['STARLING_TENANT'],
      timeoutMs: Math.max(1, readDuration('--timeout', options.timeout)),
      fetch: world.fetch,
    };
  }

  argument(index: number): string {
    return this.#arguments[index] ?? '';
  }

  query(): (readonly [string, string])[] {
    return [['query', this.argument(0)], ...this.#limit()];
  }

  #limit(): (readonly [string, string])[] {
    const { limit } = this.#options;
    if (limit === undefined) return [];
    if (/^\d+$/.test(limit)) return [['limit', limit]];
    throw new UsageError(`--limit: '${limit}' is not a whole number`);
  }

  #timeMs(name: 'end' | 'start' | 'time', fallback: string): number {
    return readTime(`--${name}`, this.#options[name] ?? fallback, this.#times);
  }

  seconds(name: 'end' | 'start' | 'time', fallback: string): string {
    return String(this.#timeMs(name, fallback) / 1000);
  }

  grid(): (readonly [string, string])[] {
    const [startMs, endMs] = [this.#timeMs('start', 'now-1h'), this.#timeMs('end', 'now')];
    if (endMs < startMs) throw new UsageError('--end: the end lies before the start');
    const { step } = this.#options;
    const stepMs = step === undefined ? stepFor(startMs, endMs) : readDuration('--step', step);
    if (stepMs <= 0) throw new UsageError('--step: must be more than 0');
    return [
      ['start', String(startMs / 1000)],
      ['end', String(endMs / 1000)],
      ['step', String(stepMs / 1000)],
    ];
  }

  matches(from: number): (readonly [string, string])[] {
    const fields: (readonly [string, string])[] = [...this.#limit()];
    for (const match of this.#arguments.slice(from)) fields.push(['match[]', match]);
    for (const name of ['start', 'end'] as const) {
      if (this.#options[name] !== undefined) fields.push([name, this.seconds(name, 'now')]);
    }
    return fields;
  }

  async ask(
    path: string,
    fields: readonly (readonly [string, string])[],
    method: 'GET' | 'POST' = 'POST',
  ): Promise<unknown> {
    this.#answer = await askNode(this.#client, path, fields, method);
    return this.#answer.data;
  }

  /** The rows of the answer, or of how it was found. */
  async evaluate(path: string, fields: readonly (readonly [string, string])[]): Promise<Rows> {
    if (this.#options.explain !== true)
      return rowsOfQuery((await this.ask(path, fields)) as QueryData);
    await this.ask(path, [...fields, ['explain', '1']]);
    const explanation = this.#answer?.explain;
    if (explanation === undefined) throw new QueryFailure('the node does not explain', false);
    return rowsOfPlan(explanation as ExplainedQuery);
  }

  async print(work: (run: Run) => Promise<Rows>): Promise<void> {
    const kind = this.#options.output;
    if (kind !== 'csv' && kind !== 'json' && kind !== 'table') {
      throw new UsageError(`--output: '${kind}' is not one of table, json, csv`);
    }
    const rows = await work(this);
    for (const note of [...(this.#answer?.warnings ?? []), ...(this.#answer?.infos ?? [])])
      this.#world.err(`${note}\n`);
    const { data, explain } = this.#answer ?? {};
    this.#world.out(textOf(kind, rows, this.#options.explain === true ? explain : data));
  }
}

function textOf(kind: OutputKind, rows: Rows, data: unknown): string {
  if (kind === 'json') return `${JSON.stringify(data)}\n`;
  return kind === 'csv' ? csvText(rows, true) : tableText(rows);
}

/** Tells what went wrong as a sentence, and where in the expression that was given. */
async function guarded(world: QueryWorld, work: () => Promise<void>, expr?: string): Promise<void> {
  try {
    await work();
  } catch (error) {
    const isUsage =
      error instanceof UsageError ||
      error instanceof StarlingError ||
      (error instanceof QueryFailure && error.isUsage);
    if (!isUsage && !(error instanceof QueryFailure)) throw error;
    world.err(`starling query: ${error.message}\n${caretText(expr ?? '', error.message)}`);
    throw new CommandExit(isUsage ? 2 : 1);
  }
}

const EXAMPLES = `
Examples:
  starling query instant 'sum by (job) (rate(http_requests_total[5m]))'
  starling query range --start=now-6h --step=1m --output=csv up
  starling query range --explain 'sum(rate(a[5m])) / sum(rate(b[5m]))'
  starling query series --limit=10 '{job="api"}'
  starling query label-values instance up
  starling query format 'sum(rate(a[5m]))by(job)'

Times are now, now-1h, Unix seconds or RFC 3339. In CSV a cell that a spreadsheet would run as a formula
begins with an apostrophe. Exit codes: 0 answered, 1 the node failed, 2 the request is wrong.
`;
