/**
 * The series of one window as several instances answered them, joined by fingerprint, as the source of a
 * block. Bounded by the bytes of the answers, whose chunks it keeps in place.
 */
import { type Labels, compareLabels } from '../../model/labels.ts';
import { decodeLabels } from '../../model/wire/labels-codec.ts';
import { type SeriesFrameHandler, readSeriesFrame } from '../../model/wire/series-frame.ts';
import type { Clock } from '../../platform/platform.ts';
import { type BlockSource, Pacer, type SourceSeries, sortPaced } from '../../storage/index.ts';

/** Reading one frame, roughly, in units of the pacer. */
const FRAME_UNITS = 2000;

type ChunkBytes = SourceSeries['chunks'][number];

interface Joined {
  readonly labels: Labels;
  /** Its place on the ring. */
  readonly hash: number;
  readonly chunks: ChunkBytes[];
  /** How many instances answered with it. */
  instanceCount: number;
  /** The last of them. */
  instance: number;
}

/** A series, as whoever keeps or drops it sees it. */
export type JoinedSeries = Pick<Joined, 'hash' | 'instanceCount'>;

/** Joins the frames of instances; what `keeps` does not want is left out. Undefined: nothing is left. */
export async function joinWindow(
  clock: Clock,
  framesOf: readonly (readonly Uint8Array[])[],
  keeps: (series: JoinedSeries) => boolean,
): Promise<BlockSource | undefined> {
  const pacer = new Pacer(clock);
  const join = new FrameJoin();
  for (const [instance, frames] of framesOf.entries()) {
    for (const frame of frames) {
      join.read(frame, instance);
      if (pacer.spend(FRAME_UNITS)) await pacer.pause();
    }
  }
  const kept = [...join.series.values()].filter(keeps);
  if (kept.length === 0) return undefined;
  const order = await sortPaced(
    Uint32Array.from(kept.keys()),
    (a, b) => compareLabels(kept[a]!.labels, kept[b]!.labels),
    pacer,
  );
  return {
    *symbols() {
      for (const { labels } of kept) yield* labels;
    },
    *series() {
      for (const i of order) yield kept[i]!;
    },
  };
}

class FrameJoin implements SeriesFrameHandler {
  readonly series = new Map<string, Joined>();
  #frame: Buffer = Buffer.alloc(0);
  #instance = 0;
  #current: Joined | undefined;

  read(frame: Uint8Array, instance: number): void {
    this.#frame = Buffer.from(frame.buffer, frame.byteOffset, frame.length);
    this.#instance = instance;
    readSeriesFrame(frame, this);
  }

  onSeries(fingerprintOffset: number, labelOffset: number, labelLength: number): void {
    const key = this.#frame.toString('latin1', fingerprintOffset, fingerprintOffset + 16);
    let found = this.series.get(key);
    if (found === undefined) {
      found = {
        labels: decodeLabels(this.#frame, labelOffset, labelOffset + labelLength),
        hash: this.#frame.readUInt32LE(fingerprintOffset),
        chunks: [],
        instanceCount: 0,
        instance: -1,
      };
      this.series.set(key, found);
    }
    // One instance may tell of a series more than once: from blocks and from its head.
    if (found.instance !== this.#instance) found.instanceCount++;
    found.instance = this.#instance;
    this.#current = found;
  }

  onChunk(
    minTimeMs: number,
    maxTimeMs: number,
    offset: number,
    length: number,
    encoding: number,
  ): void {
    const bytes = this.#frame.subarray(offset, offset + length);
    const chunks = this.#current?.chunks ?? [];
    const isKnown = chunks.some(
      (one) =>
        one.minTimeMs === minTimeMs &&
        one.maxTimeMs === maxTimeMs &&
        one.encoding === encoding &&
        bytes.equals(one.bytes.subarray(one.from, one.to)),
    );
    if (isKnown) return; // replicas cut alike
    chunks.push({ encoding, minTimeMs, maxTimeMs, bytes, from: 0, to: length });
  }
}
