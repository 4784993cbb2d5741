/**
 * Reads acceptance scripts: `clear`, `load` and `eval` blocks. A block ends at an empty line or at a
 * comment; `clear` is a line of its own.
 */
import assert from 'node:assert/strict';
import { unquote } from '../../promql/lexer-string.ts';
import { labelsKey } from '../../model/labels.ts';
import {
  durationMs,
  numberOf,
  parseSeries,
  parseStartTimes,
  type ScriptSeries,
} from './script-series.ts';

export interface Expectation {
  readonly kind: 'fail' | 'info' | 'no_info' | 'no_warn' | 'warn';
  readonly message: string | undefined;
  readonly regex: string | undefined;
}

/** A series to load, with the start times of its samples relative to them. */
export interface LoadedSeries extends ScriptSeries {
  readonly startOffsets: readonly (number | undefined)[] | undefined;
}

export interface LoadCommand {
  readonly kind: 'load';
  readonly gapMs: number;
  readonly makesHistograms: boolean;
  readonly series: readonly LoadedSeries[];
}

export interface EvalCommand {
  readonly kind: 'eval';
  readonly line: number;
  readonly query: string;
  readonly startMs: number;
  readonly endMs: number;
  /** 0 for an instant. */
  readonly stepMs: number;
  readonly instant: boolean;
  readonly ordered: boolean;
  readonly expects: readonly Expectation[];
  readonly series: readonly ScriptSeries[];
  readonly scalar: number | undefined;
  readonly text: string | undefined;
  /** An instant query that answers with a range vector: where its points are. */
  readonly rangeVector: { readonly startMs: number; readonly stepMs: number } | undefined;
}

export type Command = { readonly kind: 'clear' } | EvalCommand | LoadCommand;

/** Throws when the text is no script. */
export function parseScript(script: string): Command[] {
  const lines = script.split('\n').map((line) => line.trim().replace(/^#.*$/, ''));
  const commands: Command[] = [];
  for (let at = 0; at < lines.length; at++) {
    const head = lines[at]!;
    if (head === '') continue;
    const word = head.split(/[ \t]/)[0]!.toLowerCase();
    const first = at;
    while (word !== 'clear' && at + 1 < lines.length && lines[at + 1] !== '') at++;
    const body = lines.slice(first + 1, at + 1);
    if (word === 'clear') commands.push({ kind: 'clear' });
    else if (word.startsWith('load')) commands.push(parseLoad(head, body));
    else if (word.startsWith('eval')) commands.push(parseEval(head, body, first + 1));
    else assert.fail(`line ${first + 1}: unknown command ${head}`);
  }
  return commands;
}

function parseLoad(head: string, body: readonly string[]): LoadCommand {
  const parts = /^load(_with_nhcb)?\s+(.+?)$/i.exec(head);
  assert(parts !== null, `load: ${head}`);
  const series = new Map<string, LoadedSeries>();
  let starts: ReturnType<typeof parseStartTimes>;
  for (const line of body) {
    const read = parseStartTimes(line);
    if (read !== undefined) {
      starts = read;
      continue;
    }
    const { labels, items } = parseSeries(line);
    const key = labelsKey(labels);
    const isSame = starts === undefined || labelsKey(starts.labels) === key;
    assert(isSame, `start times of another series before ${line}`);
    const isLong = starts === undefined || starts.offsets.length === items.length;
    assert(isLong, `as many start times as samples: ${line}`);
    series.set(key, { labels, items, startOffsets: starts?.offsets });
    starts = undefined;
  }
  assert(starts === undefined, 'start times without their series');
  const makesHistograms = parts[1] !== undefined;
  return {
    kind: 'load',
    gapMs: durationMs(parts[2] ?? ''),
    makesHistograms,
    series: [...series.values()],
  };
}

const INSTANT = /^eval(?:_(fail|warn|info|ordered))?\s+instant\s+(?:at\s+(.+?))?\s+(.+)$/i;
const RANGE =
  /^eval(?:_(fail|warn|info))?\s+range\s+from\s+(.+)\s+to\s+(.+)\s+step\s+(.+?)\s+(.+)$/i;

function parseEval(head: string, rest: readonly string[], line: number): EvalCommand {
  const instant = INSTANT.exec(head);
  const range = instant === null ? RANGE.exec(head) : null;
  assert(instant !== null || range !== null, `line ${line}: ${head}`);
  const body = new EvalBody((instant?.[1] ?? range?.[1])?.toLowerCase(), instant !== null);
  for (const text of rest) body.read(text);
  const startMs = body.rangeVector?.endMs ?? durationMs(instant?.[2] ?? range?.[2] ?? '0');
  return {
    kind: 'eval',
    line,
    query: instant?.[3] ?? range?.[5] ?? '',
    startMs,
    endMs: range === null ? startMs : durationMs(range[3] ?? ''),
    stepMs: range === null ? 0 : durationMs(range[4] ?? ''),
    instant: range === null,
    ordered: body.ordered,
    expects: body.expects,
    series: body.series,
    scalar: body.scalar,
    text: body.text,
    rangeVector: body.rangeVector,
  };
}

const RANGE_VECTOR = /^expect\s+range\s+vector\s+from\s+(\S+)\s+to\s+(\S+)\s+step\s+(\S+)$/;
const EXPECT = /^expect\s+(ordered|fail|warn|no_warn|info|no_info)(?:\s+(msg|regex):(.*))?$/;
const OLD_FAIL = /^expected_fail_(message|regexp)\s+(.+)$/;

class EvalBody {
  ordered = false;
  scalar: number | undefined;
  text: string | undefined;
  rangeVector: { startMs: number; endMs: number; stepMs: number } | undefined;
  readonly expects: Expectation[] = [];
  readonly series: ScriptSeries[] = [];
  readonly #isInstant: boolean;

  constructor(old: string | undefined, isInstant: boolean) {
    this.#isInstant = isInstant;
    if (old === 'ordered') this.ordered = true;
    if (old === 'fail' || old === 'warn' || old === 'info') this.#add(old, undefined, '');
  }

  read(text: string): void {
    const range = RANGE_VECTOR.exec(text);
    const string = /^expect\s+string\s+(.+)$/.exec(text);
    const expect = EXPECT.exec(text);
    const old = OLD_FAIL.exec(text);
    const number = numberOf(text);
    if (range !== null) {
      const [startMs = 0, endMs = 0, stepMs = 0] = range.slice(1).map(durationMs);
      this.rangeVector = { startMs, endMs, stepMs };
    } else if (string !== null) {
      this.text = unquote(string[1] ?? '');
    } else if (old !== null) {
      this.expects.length = 0;
      this.#add('fail', old[1] === 'message' ? 'msg' : 'regex', old[2] ?? '');
    } else if (expect !== null) {
      this.#expect(expect[1] ?? '', expect[2], (expect[3] ?? '').trim());
    } else if (/^expect(?:ed)?[\s_]/.test(text)) {
      assert.fail(`expectation ${text}`);
    } else if (number !== undefined) {
      this.scalar = number;
    } else {
      const series = parseSeries(text);
      const isOne = !this.#isInstant || this.rangeVector !== undefined || series.items.length <= 1;
      assert(isOne, `one value at an instant: ${text}`);
      this.series.push(series);
    }
  }

  #expect(kind: string, how: string | undefined, detail: string): void {
    if (kind === 'ordered') this.ordered = true;
    else this.#add(kind as Expectation['kind'], how, detail); // the alternatives of EXPECT
  }

  #add(kind: Expectation['kind'], how: string | undefined, detail: string): void {
    const kinds = [...this.expects.map((one) => one.kind), kind];
    assert(kinds.filter((one) => one === 'fail').length <= 1, 'one expected failure at most');
    for (const one of ['warn', 'info'] as const) {
      assert(!kinds.includes(one) || !kinds.includes(`no_${one}`), `${one} and no_${one}`);
    }
    const message = how === 'msg' ? detail : undefined;
    this.expects.push({ kind, message, regex: how === 'regex' ? detail : undefined });
  }
}
