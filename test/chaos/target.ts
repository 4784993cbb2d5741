/** The load's view of real nodes: what the simulator's clients do, over HTTP and on the real clock. */
import type { LoadTarget, SeriesSpan, TextQuery } from '../../sim/load-target.ts';
import type { SimRandom } from '../../sim/random.ts';
import { SERIES_LABEL } from '../../sim/texts.ts';
import type { Outcome } from '../../sim/world.ts';
import type { ChaosNode } from './processes.ts';

/** An error that a node answered. */
class Refusal extends Error {
  readonly id: string;

  constructor(id: string, text: string) {
    super(`${id}: ${text}`);
    this.id = id;
  }
}

interface Envelope {
  readonly data?: unknown;
  readonly warnings?: readonly string[];
  readonly error?: string;
  readonly errorId?: string;
}

export interface TargetOptions {
  readonly nodes: readonly ChaosNode[];
  readonly random: SimRandom;
  readonly note: (line: string) => void;
  readonly epochMs: number;
  readonly nowMs: () => number;
}

export function createTarget({ epochMs, nodes, note, nowMs, random }: TargetOptions): LoadTarget {
  const urlOf = (name: string, path: string): string =>
    `${nodes.find((node) => node.name === name)?.base ?? ''}${path}`;
  const get = (node: string, tenant: string, path: string, fields: Fields, timeoutMs: number) =>
    within(timeoutMs, async (signal) => {
      const url = urlOf(
        node,
        `/prometheus/api/v1/${path}?${new URLSearchParams(fields).toString()}`,
      );
      const response = await fetch(url, { headers: { 'x-scope-orgid': tenant }, signal });
      return readEnvelope(await response.text());
    });
  return {
    random,
    epochMs,
    nowMs,
    sleep: (delayMs) => new Promise((resolve) => setTimeout(resolve, delayMs)),
    note,
    readyNodes: () => nodes.filter(({ isReady }) => isReady).map(({ name }) => name),
    push: (node, tenant, body, timeoutMs) =>
      within(timeoutMs, async (signal) => {
        const response = await fetch(urlOf(node, '/api/v1/push'), {
          method: 'POST',
          headers: {
            'content-type': 'application/x-protobuf',
            'content-encoding': 'snappy',
            'x-scope-orgid': tenant,
          },
          body: new Uint8Array(body),
          signal,
        });
        const text = await response.text();
        if (response.ok) return true;
        if (response.status === 400) return false;
        throw new Refusal(`http-${response.status}`, text);
      }),
    query: (node, query, timeoutMs) =>
      get(
        node,
        query.tenant,
        query.stepMs === 0 ? 'query' : 'query_range',
        fieldsOf(query),
        timeoutMs,
      ),
    series: (node, span, timeoutMs) =>
      get(node, span.tenant, 'series', spanFields(span), timeoutMs),
  };
}

type Fields = Readonly<Record<string, string>>;

function fieldsOf({ endMs, startMs, stepMs, text }: TextQuery): Fields {
  if (stepMs === 0) return { query: text, time: seconds(endMs) };
  return { query: text, start: seconds(startMs), end: seconds(endMs), step: seconds(stepMs) };
}

function spanFields({ fromMs, series, toMs }: SeriesSpan): Fields {
  const selector = `{${SERIES_LABEL}="${series}"}`;
  return { 'match[]': selector, start: seconds(fromMs), end: seconds(toMs) };
}

function seconds(timeMs: number): string {
  return (timeMs / 1000).toFixed(3);
}

/** The JSON of a whole answer; what is refused or partial throws. */
function readEnvelope(text: string): string {
  const { data, error, errorId, warnings = [] } = JSON.parse(text) as Envelope; // our own nodes wrote it
  if (error !== undefined) throw new Refusal(errorId ?? 'unknown', error);
  if (warnings.length > 0) throw new Refusal('partial', warnings.join('; '));
  return JSON.stringify(data);
}

async function within<Value>(
  timeoutMs: number,
  work: (signal: AbortSignal) => Promise<Value>,
): Promise<Outcome<Value>> {
  const signal = AbortSignal.timeout(timeoutMs);
  try {
    return { kind: 'answer', value: await work(signal) };
  } catch (error) {
    return signal.aborted ? { kind: 'timeout' } : { kind: 'error', error };
  }
}
