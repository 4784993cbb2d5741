/**
 * What a replay of the log puts into head and exemplars: series, then their samples, in the order in which they were
 * taken; and what a Prometheus deleted of them. What is older than the newest block is in blocks, or was dropped.
 */
import type { BatchAppender } from './batch-appender.ts';
import type { TenantExemplars } from './exemplar-appender.ts';
import { type Head, OUT_OF_ORDER } from './head/head.ts';
import type { RecordHandler } from './wal/record.ts';

/** The handler of one replay. Samples before `minTimeMs` are passed over. */
export function replayInto(
  head: Head,
  appender: BatchAppender,
  exemplars: TenantExemplars,
  minTimeMs: number,
): RecordHandler {
  const seriesOfRef = new Map<number, number>();
  return {
    onSeries: (ref, labelBytes) => seriesOfRef.set(ref, appender.replaySeries(ref, labelBytes)),
    onSamples(count, refs, timestamps, values) {
      const samples = { timestamps, values };
      for (let i = 0; i < count; i++) {
        const s = seriesOfRef.get(refs[i]!);
        appender.noteRef(refs[i]!); // its series record may have been lost
        if (s === undefined || timestamps[i]! < minTimeMs) continue;
        const what = head.append(s, samples, i);
        if (what === OUT_OF_ORDER) head.insert(s, samples, i);
      }
    },
    onExemplar(exemplar) {
      const s = seriesOfRef.get(exemplar.ref);
      appender.noteRef(exemplar.ref);
      if (s !== undefined && exemplar.timestampMs >= minTimeMs) exemplars.replay(s, exemplar);
    },
    onTombstone(ref, range) {
      const s = seriesOfRef.get(ref);
      appender.noteRef(ref);
      if (s !== undefined && range.maxTimeMs >= minTimeMs) head.tombstones.add(s, range);
    },
    onHistogram({ ref, sample, timestampMs }) {
      const s = seriesOfRef.get(ref);
      appender.noteRef(ref);
      if (s === undefined || timestampMs < minTimeMs) return;
      const what = head.appendHistogram(s, timestampMs, sample);
      if (what === OUT_OF_ORDER) head.insertHistogram(s, timestampMs, sample);
    },
  };
}
