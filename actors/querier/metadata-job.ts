/**
 * The worker job behind `metadata`: join what the instances said of metrics, sort, cut and encode the JSON.
 * Like the job of queries it also runs inline, for small answers.
 *
 * Of what is said of one metric the latest comes first, in steps of minutes, so that two senders that do not
 * agree do not change places with every answer.
 */
import { compareUtf8 } from '../../model/labels.ts';
import { METRIC_TYPES } from '../../model/metadata.ts';
import { unpackControl } from '../runtime/index.ts';
import { checkStop, readFrames } from './evaluate-job.ts';
import type { NamesOutput } from './names-job.ts';

export const METADATA_JOB = 'querier.metadata';

export interface MetadataInput {
  readonly frames: readonly Uint8Array[];
  /** The most metrics; negative: no limit. 0 is none, as in Prometheus. */
  readonly limit: number;
  /** The most entries of each; 0 or less: no limit. */
  readonly limitPerMetric: number;
  /** Shared; not 0 once nobody waits for the output. */
  readonly stopFlag: Int32Array;
}

const METRICS_PER_CHECK = 1024;
/** Ages that differ less are equal. */
const AGE_STEP_MS = 5 * 60_000;

interface Said {
  readonly type: string;
  readonly unit: string;
  readonly help: string;
  ageSteps: number;
}

/** Throws `internal` for frames that cannot be read: they are not the client's. */
export function runMetadataJob(input: MetadataInput): NamesOutput {
  const { frames, limit, limitPerMetric, stopFlag } = input;
  const metrics = readFrames(() => joinMetadata(frames, stopFlag));
  const names = [...metrics.keys()].sort(compareUtf8);
  const count = limit < 0 ? names.length : Math.min(limit, names.length);
  const perMetric = limitPerMetric > 0 ? limitPerMetric : Number.POSITIVE_INFINITY;
  const parts: string[] = [];
  for (let i = 0; i < count; i++) {
    if (i % METRICS_PER_CHECK === 0) checkStop(stopFlag);
    const said = [...(metrics.get(names[i]!)?.values() ?? [])].sort(compareSaid);
    const told = said.slice(0, perMetric).map(({ help, type, unit }) => ({ type, unit, help }));
    parts.push(`${JSON.stringify(names[i]!)}:${JSON.stringify(told)}`);
  }
  return { data: new TextEncoder().encode(`{${parts.join(',')}}`), warnings: [] };
}

/** By metric and by what is said, each once and as young as anybody knows it. */
function joinMetadata(
  frames: readonly Uint8Array[],
  stopFlag: Int32Array,
): ReadonlyMap<string, ReadonlyMap<string, Said>> {
  const metrics = new Map<string, Map<string, Said>>();
  for (const frame of frames) {
    checkStop(stopFlag);
    const rows = unpackControl(frame);
    if (!Array.isArray(rows)) throw new Error('a frame of metadata is not a list');
    for (const row of rows as readonly unknown[]) {
      const [name, typeNumber, help, unit, ageMs] = row as readonly unknown[];
      const isEntry =
        typeof name === 'string' &&
        typeof help === 'string' &&
        typeof unit === 'string' &&
        typeof ageMs === 'number';
      if (!isEntry) throw new Error('an entry of metadata is not one');
      const type = METRIC_TYPES[Number(typeNumber)] ?? 'unknown';
      const ageSteps = Math.floor(ageMs / AGE_STEP_MS);
      const said = metrics.get(name) ?? new Map<string, Said>();
      metrics.set(name, said);
      const key = `${type}\n${unit.length}\n${unit}${help}`;
      const known = said.get(key);
      if (known === undefined) said.set(key, { type, unit, help, ageSteps });
      else known.ageSteps = Math.min(known.ageSteps, ageSteps);
    }
  }
  return metrics;
}

function compareSaid(a: Said, b: Said): number {
  return (
    a.ageSteps - b.ageSteps ||
    compareUtf8(a.type, b.type) ||
    compareUtf8(a.help, b.help) ||
    compareUtf8(a.unit, b.unit)
  );
}
