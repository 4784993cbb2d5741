/**
 * What a replay of the log puts into head and exemplars: series, then their samples, in the order in which they were
 * taken; and what a Prometheus deleted of them. What is older than the newest block is in blocks, or was dropped.
 */
import type { BatchAppender } from './batch-appender.ts';
import type { SampleColumns } from './chunk/xor-encode.ts';
import type { TenantExemplars } from './exemplar-appender.ts';
import { type Head, OUT_OF_ORDER } from './head/head.ts';
import { SeriesOfRef } from './head/series-of-ref.ts';
import type { RecordHandler } from './wal/record.ts';

/** The handler of one replay. Samples before `minTimeMs` are passed over. */
export function replayInto(
  head: Head,
  appender: BatchAppender,
  exemplars: TenantExemplars,
  minTimeMs: number,
): RecordHandler {
  const seriesOfRef = new SeriesOfRef();
  const find = (ref: number): number => {
    appender.noteRef(ref); // its series record may have been lost
    return seriesOfRef.get(ref);
  };
  return {
    onSeries: (ref, labelBytes) => seriesOfRef.set(ref, appender.replaySeries(ref, labelBytes)),
    onSamples(count, refs, timestamps, values) {
      const samples = { timestamps, values };
      appender.noteRef(replaySamples(head, seriesOfRef, minTimeMs, count, refs, samples));
    },
    onExemplar(exemplar) {
      const s = find(exemplar.ref);
      if (s >= 0 && exemplar.timestampMs >= minTimeMs) exemplars.replay(s, exemplar);
    },
    onTombstone(ref, range) {
      const s = find(ref);
      if (s >= 0 && range.maxTimeMs >= minTimeMs) head.tombstones.add(s, range);
    },
    onHistogram({ ref, sample, timestampMs }) {
      const s = find(ref);
      if (s < 0 || timestampMs < minTimeMs) return;
      const what = head.appendHistogram(s, timestampMs, sample);
      if (what === OUT_OF_ORDER) head.insertHistogram(s, timestampMs, sample);
    },
  };
}

/** Hot: the first `count` samples. Returns the greatest ref. */
function replaySamples(
  head: Head,
  seriesOfRef: SeriesOfRef,
  minTimeMs: number,
  count: number,
  refs: Float64Array,
  samples: SampleColumns,
): number {
  const { timestamps } = samples;
  let greatest = 0;
  for (let i = 0; i < count; i++) {
    const ref = refs[i]!;
    if (ref > greatest) greatest = ref;
    const s = seriesOfRef.get(ref);
    if (s < 0 || timestamps[i]! < minTimeMs) continue;
    const what = head.append(s, samples, i);
    if (what === OUT_OF_ORDER) head.insert(s, samples, i);
  }
  return greatest;
}
