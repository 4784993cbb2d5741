/** Batches of floats and native histograms for tests of a TSDB, and the lines of what is read. */
import type { Labels } from '../../model/labels.ts';
import { isStaleWords } from '../../model/sample.ts';
import type { SeriesColumns } from '../../model/series-columns.ts';
import { encodeHistogramMessage } from '../../model/wire/histogram-encode.ts';
import {
  type WriteBatch,
  allocateWriteBatch,
  decodeWriteBatch,
} from '../../model/wire/write-batch.ts';
import { type TimedSample, sampleLine } from './histograms.ts';
import { batchOf } from './toy-tsdb.ts';

export interface Row {
  readonly labels: Labels;
  readonly floats?: readonly (readonly [timeMs: number, value: number | bigint])[];
  readonly histograms?: readonly TimedSample[];
}

/** A batch of floats and then of histograms, a row for each of these. */
export function mixedBatch(rows: readonly Row[]): WriteBatch {
  const all: { labels: Labels; samples: NonNullable<Row['floats']>; message: Uint8Array }[] = [];
  for (const { floats = [], histograms = [], labels } of rows) {
    if (floats.length > 0) all.push({ labels, samples: floats, message: new Uint8Array(0) });
    for (const { sample, timeMs } of histograms) {
      all.push({ labels, samples: [], message: encodeHistogramMessage(timeMs, sample) });
    }
  }
  const plain = batchOf(all);
  const { bytes, batch } = allocateWriteBatch({
    tenant: plain.tenant,
    seriesCount: plain.seriesCount,
    sampleCount: plain.sampleCount,
    labelLength: plain.labelBytes.length,
    histogramLength: all.reduce((sum, { message }) => sum + message.length, 0),
  });
  batch.fingerprints.set(plain.fingerprints);
  batch.labelEnds.set(plain.labelEnds);
  batch.labelBytes.set(plain.labelBytes);
  batch.sampleEnds.set(plain.sampleEnds);
  batch.timestamps.set(plain.timestamps);
  batch.values.set(plain.values);
  let at = 0;
  all.forEach(({ message }, i) => {
    if (at + message.length > 0 && batch.histogramBytes.length > 0) {
      batch.histogramBytes.set(message, at);
      at += message.length;
      batch.histogramEnds[i] = at;
    }
  });
  return decodeWriteBatch(bytes);
}

/** All samples of columns, a line each. */
export function linesOf(
  { ends, histograms, labels, timestamps, values }: SeriesColumns,
  isFloat = false,
): string[] {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length * 2);
  const lines: string[] = [];
  for (let row = 0, i = 0; row < labels.length; row++) {
    for (; i < ends[row]!; i++) {
      const histogram = histograms?.[i];
      const timeMs = timestamps[i]!;
      const isStale = isStaleWords(words[i * 2]!, words[i * 2 + 1]!);
      const text =
        histogram === undefined
          ? `${timeMs} ${isStale ? 'stale' : String(values[i]!)}`
          : sampleLine({ sample: { histogram, isFloat, isStale: false }, timeMs });
      lines.push(`${labels[row]!.join()} ${text}`);
    }
  }
  return lines;
}
