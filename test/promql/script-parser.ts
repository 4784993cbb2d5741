/**
 * Reads the PromQL acceptance scripts of Prometheus: `load`, `clear` and `eval` blocks, and the
 * notation of series. Native histograms are only noticed, not read.
 */
import assert from 'node:assert/strict';
import { type Labels, labelsFromPairs } from '../../model/labels.ts';
import { parseDuration, parseSelector } from '../../promql/index.ts';

/** A number, a gap, the stale marker, or a native histogram. */
export type Item = number | 'gap' | 'histogram' | 'stale';

export interface ScriptSeries {
  readonly labels: Labels;
  readonly items: readonly Item[];
}

export interface Annotations {
  readonly kind: 'fail' | 'info' | 'warn';
  readonly wanted: boolean;
  readonly message: string | undefined;
  readonly regex: string | undefined;
}

export interface LoadCommand {
  readonly kind: 'load';
  readonly gapMs: number;
  readonly makesHistograms: boolean;
  readonly series: readonly ScriptSeries[];
}

export interface EvalCommand {
  readonly kind: 'eval';
  readonly line: number;
  readonly query: string;
  readonly startMs: number;
  readonly endMs: number;
  readonly stepMs: number;
  readonly instant: boolean;
  readonly ordered: boolean;
  readonly expects: readonly Annotations[];
  readonly series: readonly ScriptSeries[];
  readonly scalar: number | undefined;
  readonly text: string | undefined;
  readonly rangeVector: { readonly startMs: number; readonly stepMs: number } | undefined;
}

export type Command = { readonly kind: 'clear' } | EvalCommand | LoadCommand;

export function parseScript(script: string): Command[] {
  const lines = script.split('\n').map((line) => line.trim());
  const commands: Command[] = [];
  for (let at = 0; at < lines.length;) {
    const first = at;
    if (/^clear$/i.test(lines[at]!)) at++;
    else while (at < lines.length && !isBlank(lines[at]!)) at++;
    if (at > first) commands.push(parseBlock(lines.slice(first, at), first + 1));
    else at++;
  }
  return commands;
}

function isBlank(line: string): boolean {
  return line === '' || line.startsWith('#');
}

function parseBlock([head = '', ...rest]: readonly string[], line: number): Command {
  if (head.toLowerCase().startsWith('load')) {
    const [word = '', gap = ''] = head.split(/\s+/);
    const makesHistograms = word.toLowerCase() === 'load_with_nhcb';
    const series = rest.filter((text) => !text.includes('@st')).map(parseSeries);
    return { kind: 'load', gapMs: durationMs(gap), makesHistograms, series };
  }
  if (head.toLowerCase() === 'clear') return { kind: 'clear' };
  return parseEval(head, rest, line);
}

function durationMs(text: string): number {
  const parsed = parseDuration(text);
  assert(parsed.ok, `duration ${text}`);
  return parsed.ms;
}

function parseEval(head: string, rest: readonly string[], line: number): EvalCommand {
  const instant = /^eval(?:_(\w+))?\s+instant\s+(?:at\s+(\S+)\s+)?(.+)$/i.exec(head);
  const range = /^eval(?:_(\w+))?\s+range\s+from\s+(.+)\s+to\s+(.+)\s+step\s+(\S+)\s+(.+)$/i.exec(
    head,
  );
  const old = instant?.[1] ?? range?.[1];
  const startMs = durationMs(instant?.[2] ?? range?.[2] ?? '0');
  const body = new EvalBody(old);
  for (const text of rest) body.read(text);
  return {
    kind: 'eval',
    line,
    query: instant?.[3] ?? range?.[5] ?? '',
    startMs: body.rangeVector?.endMs ?? startMs,
    endMs: range === null ? (body.rangeVector?.endMs ?? startMs) : durationMs(range[3] ?? ''),
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

class EvalBody {
  ordered = false;
  scalar: number | undefined;
  text: string | undefined;
  rangeVector: { startMs: number; endMs: number; stepMs: number } | undefined;
  readonly expects: Annotations[] = [];
  readonly series: ScriptSeries[] = [];

  constructor(old: string | undefined) {
    if (old === 'ordered') this.ordered = true;
    if (old === 'fail' || old === 'warn' || old === 'info') {
      this.expects.push({ kind: old, wanted: true, message: undefined, regex: undefined });
    }
  }

  read(text: string): void {
    const range = /^expect\s+range\s+vector\s+from\s+(\S+)\s+to\s+(\S+)\s+step\s+(\S+)$/.exec(text);
    const string = /^expect\s+string\s+(.+)$/.exec(text);
    const expect = /^expect\s+(no_)?(fail|warn|info|ordered)(?:\s+(msg|regex):(.*))?$/.exec(text);
    const old = /^expected_fail_(message|regexp)\s+(.+)$/.exec(text);
    if (range !== null) {
      const [startMs = 0, endMs = 0, stepMs = 0] = range.slice(1).map(durationMs);
      this.rangeVector = { startMs, endMs, stepMs };
    } else if (string !== null) {
      const quoted = string[1] ?? '';
      this.text = quoted.startsWith('`') ? quoted.slice(1, -1) : String(JSON.parse(quoted));
    } else if (old !== null) {
      this.#add('fail', true, old[1] === 'message' ? 'msg' : 'regex', old[2] ?? '');
    } else if (expect !== null) {
      const [, no, kind, how, detail = ''] = expect;
      if (kind === 'ordered') this.ordered = true;
      else if (kind !== undefined) this.#add(kind, no === undefined, how, detail.trim());
    } else if (/^[-+.\dIN][^{]*$/i.test(text) && !Number.isNaN(numberOf(text) ?? 0 / 0)) {
      this.scalar = numberOf(text);
    } else if (/^NaN$/i.test(text)) {
      this.scalar = NaN;
    } else {
      this.series.push(parseSeries(text));
    }
  }

  #add(kind: string, wanted: boolean, how: string | undefined, detail: string): void {
    if (kind !== 'fail' && kind !== 'info' && kind !== 'warn') return;
    const message = how === 'msg' ? detail : undefined;
    this.expects.push({ kind, wanted, message, regex: how === 'regex' ? detail : undefined });
  }
}

/** A number as in scripts; undefined when it is none. */
function numberOf(text: string): number | undefined {
  if (/^[+-]?nan$/i.test(text)) return NaN;
  if (/^[+]?inf$/i.test(text)) return Infinity;
  if (/^-inf$/i.test(text)) return -Infinity;
  return /^[+-]?(\d|\.\d|0x)/i.test(text) ? Number(text) : undefined;
}

/** `name{labels} items…`. */
export function parseSeries(text: string): ScriptSeries {
  const end = metricEnd(text);
  const tokens = text.slice(end).match(/(?:\{\{.*?\}\}[+-]?)+\S*|\S+/g) ?? [];
  return { labels: parseMetric(text.slice(0, end)), items: tokens.flatMap(parseItem) };
}

function metricEnd(text: string): number {
  let quote = '';
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    const char = text[i]!;
    if (quote !== '') {
      if (char === '\\') i++;
      else if (char === quote) quote = '';
    } else if (char === '"' || char === "'") {
      quote = char;
    } else if (char === '{') {
      depth++;
    } else if (char === '}') {
      return i + 1;
    } else if (/\s/.test(char) && depth === 0) {
      if (
        !text.slice(i).trimStart().startsWith('{') ||
        text.slice(i).trimStart().startsWith('{{')
      ) {
        return i;
      }
    }
  }
  return text.length;
}

function parseMetric(text: string): Labels {
  const compact = text.trim();
  if (/^\{\s*\}$/.test(compact)) return [];
  const matchers = parseSelector(compact);
  return labelsFromPairs(matchers.map(({ name, value }) => [name, value] as const));
}

const NUMBER = String.raw`(?:inf|nan|(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)`;
const ITEM = new RegExp(`^([+-]?${NUMBER})([+-]${NUMBER})?(?:x(\\d+))?$`, 'i');

function parseItem(token: string): Item[] {
  const gap = /^_(?:x(\d+))?$/.exec(token);
  if (gap !== null) return new Array<Item>(Number(gap[1] ?? 1)).fill('gap');
  if (token === 'stale') return ['stale'];
  if (token.startsWith('{{')) {
    const times = /\}x(\d+)$/.exec(token);
    return new Array<Item>(Number(times?.[1] ?? 0) + 1).fill('histogram');
  }
  const parts = ITEM.exec(token);
  assert(parts !== null, `item ${token}`);
  let value = numberOf(parts[1] ?? '') ?? NaN;
  const step = parts[2] === undefined ? 0 : (numberOf(parts[2]) ?? NaN);
  const items: Item[] = [value];
  for (let i = 0; i < Number(parts[3] ?? 0); i++) {
    if (parts[2] !== undefined) value += step;
    items.push(value);
  }
  return items;
}
