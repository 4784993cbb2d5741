/**
 * The notation of series in acceptance scripts: `name{labels} 1 2+3x4 _x2 stale {{schema:1 …}}x3`,
 * and of start times: `name{labels}@st -30s -1mx3`.
 */
import assert from 'node:assert/strict';
import {
  type Buckets,
  CUSTOM_SCHEMA,
  EMPTY_HISTOGRAM,
  type Histogram,
  NO_BUCKETS,
  type ResetHint,
} from '../../model/histogram.ts';
import { addHistograms } from '../../model/histogram-math.ts';
import { type Labels, labelsFromPairs } from '../../model/labels.ts';
import { parseDuration, parseSelector } from '../../promql/index.ts';

/** A histogram as written: whether its hint was matters in comparisons. */
export interface WrittenHistogram {
  readonly histogram: Histogram;
  readonly hasHint: boolean;
}

export type Item = number | WrittenHistogram | 'gap' | 'stale';

export interface ScriptSeries {
  readonly labels: Labels;
  readonly items: readonly Item[];
}

export function durationMs(text: string): number {
  const parsed = parseDuration(text);
  assert(parsed.ok, `duration ${text}`);
  return parsed.ms;
}

/** A number as in scripts; undefined when it is none. */
export function numberOf(text: string): number | undefined {
  if (/^[+-]?nan$/i.test(text)) return NaN;
  if (/^[+]?inf(?:inity)?$/i.test(text)) return Infinity;
  if (/^-inf(?:inity)?$/i.test(text)) return -Infinity;
  const plain = text.replace(/^[+-]/, '');
  if (!/^(?:0x[\da-f]+|0b[01]+|0o[0-7]+|(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)$/i.test(plain)) {
    return undefined;
  }
  return text.startsWith('-') ? -Number(plain) : Number(plain);
}

/** `name{labels} items…`. */
export function parseSeries(text: string): ScriptSeries {
  const end = metricEnd(text);
  const tokens = text.slice(end).match(/(?:\{\{.*?\}\}[+-]?)+\S*|\S+/g) ?? [];
  return { labels: parseMetric(text.slice(0, end)), items: tokens.flatMap(parseItem) };
}

/** `name{labels}@st items…`, the items in milliseconds relative to their sample; else undefined. */
export function parseStartTimes(
  text: string,
): { readonly labels: Labels; readonly offsets: readonly (number | undefined)[] } | undefined {
  const end = metricEnd(text);
  const at = text.slice(0, end).endsWith('@st') ? end - 3 : text.startsWith('@st', end) ? end : -1;
  if (at < 0) return undefined;
  const tokens = text.slice(at + 3).match(/\S+/g) ?? [];
  return { labels: parseMetric(text.slice(0, at)), offsets: tokens.flatMap(parseOffset) };
}

function parseOffset(token: string): (number | undefined)[] {
  const gap = /^_(?:x(\d+))?$/.exec(token);
  if (gap !== null) return new Array<undefined>(Number(gap[1] ?? 1)).fill(undefined);
  const parts = /^([+-]?)(\w+?)(?:([+-])([\da-z]+?))?(?:x(\d+))?$/.exec(token);
  assert(parts !== null, `start time ${token}`);
  const [, sign, first = '', stepSign, step, times = '0'] = parts;
  let value = (sign === '-' ? -1 : 1) * durationMs(first);
  const stepMs = step === undefined ? 0 : (stepSign === '-' ? -1 : 1) * durationMs(step);
  const offsets: number[] = [value];
  for (let i = 0; i < Number(times); i++) offsets.push((value += stepMs));
  return offsets;
}

/** Where the metric ends and the items begin. */
function metricEnd(text: string): number {
  let quote = '';
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    const char = text[i]!;
    if (quote !== '') {
      if (char === '\\' && quote !== '`') i++;
      else if (char === quote) quote = '';
    } else if (char === '"' || char === "'" || char === '`') {
      quote = char;
    } else if (char === '{') {
      depth++;
    } else if (char === '}') {
      return i + 1;
    } else if (/\s/.test(char) && depth === 0) {
      const rest = text.slice(i).trimStart();
      if (!rest.startsWith('{') || rest.startsWith('{{')) return i;
    }
  }
  return text.length;
}

function parseMetric(text: string): Labels {
  const compact = text.trim();
  if (/^\{\s*\}$/.test(compact)) return [];
  const labels = parseSelector(compact);
  return labelsFromPairs(labels.map(({ name, value }) => [name, value] as const));
}

const NUMBER = String.raw`(?:inf|nan|(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)`;
const ITEM = new RegExp(`^([+-]?${NUMBER})([+-]${NUMBER})?(?:x(\\d+))?$`, 'i');
const HISTOGRAMS = /^\{\{(.*?)\}\}(?:([+-])\{\{(.*?)\}\})?(?:x(\d+))?$/;

function parseItem(token: string): Item[] {
  const gap = /^_(?:x(\d+))?$/.exec(token);
  if (gap !== null) return new Array<Item>(Number(gap[1] ?? 1)).fill('gap');
  if (token === 'stale') return ['stale'];
  if (token.startsWith('{{')) return parseHistograms(token);
  const parts = ITEM.exec(token);
  assert(parts !== null, `item ${token}`);
  let value = numberOf(parts[1] ?? '') ?? NaN;
  const step = parts[2] === undefined ? undefined : numberOf(parts[2]);
  const items: Item[] = [value];
  for (let i = 0; i < Number(parts[3] ?? 0); i++) {
    if (step !== undefined) value += step;
    items.push(value);
  }
  return items;
}

function parseHistograms(token: string): Item[] {
  const parts = HISTOGRAMS.exec(token);
  assert(parts !== null, `item ${token}`);
  const [, first = '', sign, second, times = '0'] = parts;
  const start = parseHistogram(first);
  const step = second === undefined ? undefined : parseHistogram(second);
  const hasHint = (step ?? start).hasHint;
  let { histogram } = start;
  const items: Item[] = [{ histogram, hasHint }];
  for (let i = 0; i < Number(times); i++) {
    if (step !== undefined) {
      assert(histogram.schema <= step.histogram.schema, `schemas of ${token}`);
      const next = addHistograms(histogram, step.histogram, sign === '-' ? -1 : 1);
      assert(next !== undefined, `schemas of ${token}`);
      histogram = next.histogram;
    }
    items.push({ histogram, hasHint });
  }
  return items;
}

const HINTS: ReadonlySet<string> = new Set<ResetHint>(['gauge', 'not_reset', 'reset', 'unknown']);

/** The inside of `{{…}}`. */
export function parseHistogram(text: string): WrittenHistogram {
  const values = new Map<string, number>();
  const lists = new Map<string, number[]>();
  let hint: string | undefined;
  for (const [all, key = '', list, single = ''] of text.matchAll(
    /(\w+)\s*:\s*(?:\[([^\]]*)\]|(\S+))/g,
  )) {
    if (key === 'counter_reset_hint') {
      hint = single;
      continue;
    }
    const numbers = (list ?? single).split(/\s+/).filter((one) => one !== '');
    const parsed = numbers.map((one) => {
      const number = numberOf(one);
      assert(number !== undefined, `histogram item ${all}`);
      return number;
    });
    if (list === undefined) values.set(key, parsed[0] ?? NaN);
    else lists.set(key, parsed);
  }
  assert(hint === undefined || HINTS.has(hint), `counter reset hint ${hint}`);
  const number = (key: string): number => values.get(key) ?? 0;
  const schema = number('schema');
  const histogram: Histogram = {
    ...EMPTY_HISTOGRAM,
    hint: (hint ?? 'unknown') as ResetHint, // in HINTS
    schema,
    count: number('count'),
    sum: number('sum'),
    zeroCount: number('z_bucket'),
    zeroThreshold: number('z_bucket_w'),
    positive: bucketsFrom(number('offset'), lists.get('buckets')),
    negative: bucketsFrom(number('n_offset'), lists.get('n_buckets')),
    customBounds: Float64Array.from(lists.get('custom_values') ?? []),
  };
  assert(schema === CUSTOM_SCHEMA || histogram.customBounds.length === 0, 'custom values');
  return { histogram, hasHint: hint !== undefined };
}

function bucketsFrom(offset: number, counts: readonly number[] = []): Buckets {
  if (counts.length === 0) return NO_BUCKETS;
  const indexes = Int32Array.from(counts, (_, i) => offset + i);
  return { indexes, counts: Float64Array.from(counts) };
}
