/**
 * Exemplars on their way into and out of a tenant's ring: from a batch or from the log, by the series of the
 * head, and out by selectors. Only what the ring took is logged.
 */
import { type CompiledMatcher, type Selectors, compileMatcher } from '../model/matchers.ts';
import { type Labels, labelValue } from '../model/labels.ts';
import type { TimeRange } from '../model/sample.ts';
import { decodeLabels, encodeLabels } from '../model/wire/labels-codec.ts';
import type { WriteBatch } from '../model/wire/write-batch.ts';
import { type MatchWork, chargedMatch } from './deletion/compiled.ts';
import type { RememberedDeletions } from './deletion/touching.ts';
import type { MatchMemory } from './deletion/verdicts.ts';
import type { Deletion } from './deletion/deletion.ts';
import { ExemplarRing, type ExemplarStats, type SeriesExemplars } from './exemplars.ts';
import type { Head } from './head/head.ts';
import { type WalExemplar, encodeExemplarsRecord } from './wal/record.ts';

/** Between two pauses of a read: about a millisecond. */
const SLICE_WORK_MAX = 100_000;
/** Of it, for a series looked at. */
const SERIES_WORK = 400;

export interface TenantExemplarStats extends ExemplarStats {
  /** Dropped because their series is not known here, or their time out of bounds. */
  readonly failedCount: number;
}

export class TenantExemplars {
  readonly #head: Head;
  readonly #ring: ExemplarRing;
  readonly #scratchBits = new Uint32Array(2);
  readonly #scratchValue = new Float64Array(this.#scratchBits.buffer);
  #failedCount = 0;

  /** `countMax` is asked for each exemplar; 0: none are taken. */
  constructor(head: Head, countMax: () => number) {
    this.#head = head;
    this.#ring = new ExemplarRing(countMax);
  }

  /**
   * Takes the exemplars of a batch that are within the closed bounds and whose series the head has; returns the
   * record for the log, undefined when nothing is new. Throws `protobuf.corrupt` before it takes any.
   */
  append(batch: WriteBatch, { maxTimeMs, minTimeMs }: TimeRange): Uint8Array | undefined {
    const { series } = this.#head;
    const taken: WalExemplar[] = [];
    const labelsOf = Array.from({ length: batch.exemplarCount }, (_, i) =>
      exemplarLabels(batch, i),
    );
    for (let i = 0; i < batch.exemplarCount; i++) {
      const s = series.find(batch.exemplarFingerprints, i * 4);
      const timestampMs = batch.exemplarTimestamps[i]!;
      if (s < 0 || !(timestampMs >= minTimeMs && timestampMs <= maxTimeMs)) {
        this.#failedCount++;
        continue;
      }
      const exemplar: WalExemplar = {
        ref: series.refs[s]!,
        timestampMs,
        valueLow: batch.exemplarValues[i * 2]!,
        valueHigh: batch.exemplarValues[i * 2 + 1]!,
        labels: labelsOf[i]!,
      };
      if (this.#add(s, exemplar)) taken.push(exemplar);
    }
    return taken.length === 0 ? undefined : encodeExemplarsRecord(taken);
  }

  /** Takes one of the log; `s` is its series in the head. */
  replay(s: number, exemplar: WalExemplar): void {
    this.#add(s, exemplar);
  }

  /** Of series that any selector matches, without what was deleted. Undefined is a pause: go on after a turn of the loop. */
  *select(
    selectors: Selectors,
    range: TimeRange,
    { deletions, memory }: RememberedDeletions,
  ): Generator<SeriesExemplars | undefined, void> {
    const compiled = selectors.map((matchers) => matchers.map(compileMatcher));
    const deleted = deletions.map((of): CompiledDeletion => ({ of, memory, compiled: undefined }));
    const matches = (series: string): boolean => isAnyMatch(compiled, labelsOf(series));
    const work: MatchWork = { left: SLICE_WORK_MAX };
    for (const found of this.#ring.select(matches, range)) {
      work.left -= SERIES_WORK;
      if (found !== undefined) {
        const ranges: TimeRange[] = [];
        const labels = deleted.length === 0 ? [] : labelsOf(found.series);
        for (const one of deleted) {
          if (isDeleted(labels, one, work)) ranges.push(one.of.range);
          if (work.left > 0) continue;
          yield undefined;
          work.left = SLICE_WORK_MAX;
        }
        const left = withoutRanges(found, ranges);
        if (left.timestamps.length > 0) yield left;
      }
      if (work.left > 0) continue;
      yield undefined;
      work.left = SLICE_WORK_MAX;
    }
  }

  stats(): TenantExemplarStats {
    return { ...this.#ring.stats(), failedCount: this.#failedCount };
  }

  #add(s: number, { labels, timestampMs, valueHigh, valueLow }: WalExemplar): boolean {
    this.#scratchBits[0] = valueLow;
    this.#scratchBits[1] = valueHigh;
    const value = this.#scratchValue[0]!;
    const exemplar = { timestampMs, value, labels: bytesAsText(encodeLabels(labels)) };
    return this.#ring.add(bytesAsText(this.#head.labelBytesOf(s)), exemplar) === 'appended';
  }
}

function exemplarLabels({ exemplarBytes, exemplarEnds }: WriteBatch, i: number): Labels {
  return decodeLabels(exemplarBytes, i === 0 ? 0 : exemplarEnds[i - 1]!, exemplarEnds[i]);
}

interface CompiledDeletion {
  readonly of: Deletion;
  readonly memory: MatchMemory;
  /** Undefined: no series asked yet. */
  compiled: readonly (readonly CompiledMatcher[])[] | undefined;
}

function isDeleted(labels: Labels, deletion: CompiledDeletion, work: MatchWork): boolean {
  const { memory, of } = deletion;
  deletion.compiled ??= of.selectors.map((one) => memory.compiled.get(one, work));
  return deletion.compiled.some((matchers) =>
    matchers.every((one) => chargedMatch(one, labelValue(labels, one.matcher.name), work)),
  );
}

/** What is left of a series' exemplars. */
function withoutRanges(found: SeriesExemplars, ranges: readonly TimeRange[]): SeriesExemplars {
  if (ranges.length === 0) return found; // fast path: nearly always
  const isLeft = (_: unknown, i: number): boolean => {
    const timeMs = found.timestamps[i]!;
    return !ranges.some(({ maxTimeMs, minTimeMs }) => minTimeMs <= timeMs && timeMs <= maxTimeMs);
  };
  return {
    series: found.series,
    timestamps: found.timestamps.filter(isLeft),
    values: found.values.filter(isLeft),
    labels: found.labels.filter(isLeft),
  };
}

function labelsOf(series: string): Labels {
  return decodeLabels(Buffer.from(series, 'latin1'));
}

function isAnyMatch(selectors: readonly (readonly CompiledMatcher[])[], labels: Labels): boolean {
  return selectors.some((matchers) => matchers.every((one) => isMatch(one, labels)));
}

function isMatch(compiled: CompiledMatcher, labels: Labels): boolean {
  return compiled.matches(labelValue(labels, compiled.matcher.name));
}

/** A character a byte. */
function bytesAsText({ buffer, byteLength, byteOffset }: Uint8Array): string {
  return Buffer.from(buffer, byteOffset, byteLength).toString('latin1');
}
