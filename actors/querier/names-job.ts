/**
 * The worker job behind `series`, `labels`, `label values` and `status/tsdb`: join the instances' frames, sort, cut
 * and encode the JSON. Like the job of queries it also runs inline, for small answers.
 */
import { type Labels, compareUtf8 } from '../../model/labels.ts';
import { mergeLabelSets } from '../../storage/index.ts';
import { cardinalityOf } from './cardinality.ts';
import { unpackControl } from '../runtime/index.ts';
import { LIMIT_WARNING, checkStop, readFrames } from './evaluate-job.ts';

export const NAMES_JOB = 'querier.names';

export interface NamesInput {
  /** What the frames hold, names or label sets, and what is made of these. */
  readonly kind: 'cardinality' | 'label-sets' | 'names';
  readonly frames: readonly Uint8Array[];
  /** 0: no limit. */
  readonly limit: number;
  /** Shared; not 0 once nobody waits for the output. */
  readonly stopFlag: Int32Array;
}

export interface NamesOutput {
  /** A JSON array. */
  readonly data: Uint8Array;
  readonly warnings: readonly string[];
}

const ITEMS_PER_CHECK = 1024;

/** Throws `internal` for frames that cannot be read: they are not the client's. */
export function runNamesJob({ frames, kind, limit, stopFlag }: NamesInput): NamesOutput {
  checkStop(stopFlag);
  if (kind === 'cardinality') {
    const sets = readFrames(() => mergeLabelSets(frames));
    const stats = cardinalityOf(sets, limit, () => checkStop(stopFlag));
    return { data: new TextEncoder().encode(JSON.stringify(stats)), warnings: [] };
  }
  const items: readonly (Labels | string)[] = readFrames(() =>
    kind === 'names' ? joinNames(frames, stopFlag) : mergeLabelSets(frames),
  );
  const count = limit === 0 ? items.length : Math.min(limit, items.length);
  const parts: string[] = [];
  for (let i = 0; i < count; i++) {
    if (i % ITEMS_PER_CHECK === 0) checkStop(stopFlag);
    const item = items[i]!;
    parts.push(JSON.stringify(typeof item === 'string' ? item : labelsObject(item)));
  }
  const data = new TextEncoder().encode(`[${parts.join(',')}]`);
  return { data, warnings: count < items.length ? [LIMIT_WARNING] : [] };
}

/** The names in all frames, sorted, each once. */
function joinNames(frames: readonly Uint8Array[], stopFlag: Int32Array): readonly string[] {
  const names = new Set<string>();
  for (const frame of frames) {
    checkStop(stopFlag);
    const list = unpackControl(frame);
    if (!Array.isArray(list)) throw new Error('a frame of names is not a list');
    for (const name of list as readonly unknown[]) names.add(String(name));
  }
  return [...names].sort(compareUtf8);
}

/** A JSON object; a null prototype, so that a label called `__proto__` is a key like any other. */
export function labelsObject(labels: Labels): Record<string, string> {
  const object = Object.create(null) as Record<string, string>;
  for (let i = 0; i < labels.length; i += 2) object[labels[i]!] = labels[i + 1]!;
  return object;
}
