/**
 * The worker job behind `query_exemplars`: join what the instances have of each series, each exemplar once, sort
 * and encode the JSON in Prometheus' shape. Like the job of queries it also runs inline, for small answers.
 */
import { type Labels, compareLabels } from '../../model/labels.ts';
import { formatSample } from '../../model/number-text.ts';
import { decodeLabels } from '../../model/wire/labels-codec.ts';
import { type StoredExemplar, compareExemplars } from '../../storage/index.ts';
import { unpackControl } from '../runtime/index.ts';
import { checkStop, readFrames } from './evaluate-job.ts';
import { type NamesOutput, labelsObject } from './names-job.ts';

export const EXEMPLARS_JOB = 'querier.exemplars';

export interface ExemplarsInput {
  readonly frames: readonly Uint8Array[];
  /** Shared; not 0 once nobody waits for the output. */
  readonly stopFlag: Int32Array;
}

const SERIES_PER_CHECK = 256;

interface Row {
  readonly labels: Labels;
  readonly exemplars: readonly StoredExemplar[];
}

/** Throws `internal` for frames that cannot be read: they are not the client's. */
export function runExemplarsJob({ frames, stopFlag }: ExemplarsInput): NamesOutput {
  const rows = readFrames(() => joinExemplars(frames, stopFlag));
  const parts: string[] = [];
  rows.forEach(({ exemplars, labels }, i) => {
    if (i % SERIES_PER_CHECK === 0) checkStop(stopFlag);
    const told = readFrames(() => exemplars.map(exemplarJson));
    const seriesLabels = JSON.stringify(labelsObject(labels));
    parts.push(`{"seriesLabels":${seriesLabels},"exemplars":[${told.join(',')}]}`);
  });
  return { data: new TextEncoder().encode(`[${parts.join(',')}]`), warnings: [] };
}

function exemplarJson({ labels, timestampMs, value }: StoredExemplar): string {
  const own = JSON.stringify(labelsObject(labelsOfText(labels)));
  return `{"labels":${own},"value":"${formatSample(value)}","timestamp":${timestampMs / 1000}}`;
}

/** Series by their labels, each with its exemplars in order: replicas have the same ones, or some of them. */
function joinExemplars(frames: readonly Uint8Array[], stopFlag: Int32Array): readonly Row[] {
  const bySeries = new Map<string, StoredExemplar[]>();
  for (const frame of frames) {
    checkStop(stopFlag);
    const list = unpackControl(frame);
    if (!Array.isArray(list)) throw new Error('a frame of exemplars is not a list');
    for (const item of list as readonly unknown[]) {
      const [series, timestamps, values, labels] = item as readonly unknown[];
      const columns = [timestamps, values, labels];
      if (typeof series !== 'string' || !columns.every(Array.isArray))
        throw new Error('exemplars of a series are not columns');
      const known = bySeries.get(series) ?? [];
      bySeries.set(series, known);
      // Each was found to be a list above.
      addColumns(known, timestamps as unknown[], values as unknown[], labels as unknown[]);
    }
  }
  const rows = [...bySeries].map(([series, all]) => ({
    labels: labelsOfText(series),
    exemplars: all.sort(compareExemplars).filter((one, i) => i === 0 || differs(one, all[i - 1]!)),
  }));
  return rows.sort((a, b) => compareLabels(a.labels, b.labels));
}

function addColumns(
  into: StoredExemplar[],
  timestamps: readonly unknown[],
  values: readonly unknown[],
  labels: readonly unknown[],
): void {
  for (let i = 0; i < timestamps.length; i++) {
    const [timestampMs, value, text] = [timestamps[i], values[i], labels[i]];
    const isExemplar =
      typeof timestampMs === 'number' && typeof value === 'number' && typeof text === 'string';
    if (!isExemplar) throw new Error('an exemplar is not one');
    into.push({ timestampMs, value, labels: text });
  }
}

function differs(a: StoredExemplar, b: StoredExemplar): boolean {
  return compareExemplars(a, b) !== 0;
}

/** Canonical label bytes, a character each. */
function labelsOfText(text: string): Labels {
  return decodeLabels(Buffer.from(text, 'latin1'));
}
