/**
 * The series of one window as several instances answered them, joined by fingerprint, as the source of a
 * block. Bounded by the bytes of the answers, whose chunks it keeps in place.
 */
import { StarlingError } from '../../model/errors.ts';
import { type Labels, compareLabels } from '../../model/labels.ts';
import { decodeLabels } from '../../model/wire/labels-codec.ts';
import { type SeriesFrameHandler, readSeriesFrame } from '../../model/wire/series-frame.ts';
import type { Clock, Log } from '../../platform/platform.ts';
import { type BlockSource, Pacer, isDecodable, sortPaced } from '../../storage/index.ts';
import type { Holdings } from './holders.ts';
import { type HeldChunk, TimesReader, lackedChunks, scarceChunks } from './scarce-chunks.ts';

/** Reading one frame, roughly, in units of the pacer. */
const FRAME_UNITS = 2000;

/** Comparing what holders have of a series, for each of its chunks, in units of the pacer. */
const CHUNK_UNITS = 100;

interface Joined {
  readonly labels: Labels;
  /** Its place on the ring. */
  readonly hash: number;
  /** Of all holders, in no order; what is not to be held is left out at the end. */
  chunks: HeldChunk[];
}

/** What one instance answered, and what it counts as. */
export interface HeldFrames {
  readonly holder: string;
  readonly frames: readonly Uint8Array[];
}

interface Seams {
  readonly clock: Clock;
  readonly log: Log;
}

/** Joins the frames of instances and leaves out what is not to be held. Undefined: nothing is left. */
export function joinWindow(
  seams: Seams,
  answers: readonly HeldFrames[],
  { isReplica, quorum }: Pick<Holdings, 'isReplica' | 'quorum'>,
): Promise<BlockSource | undefined> {
  return join(seams, answers, (hash, chunks, reader) =>
    isReplica(hash) ? chunks : scarceChunks(chunks, quorum, reader),
  );
}

/** The same of what `self` should have of its replica sets and has not. */
export function joinLacking(
  seams: Seams,
  answers: readonly HeldFrames[],
  { isReplica, self }: Pick<Holdings, 'isReplica'> & { readonly self: string },
): Promise<BlockSource | undefined> {
  return join(seams, answers, (hash, chunks, reader) =>
    isReplica(hash) ? lackedChunks(chunks, self, reader) : [],
  );
}

/** Which of a series' chunks are kept; all of them can be read, or are with several holders. */
type Keep = (hash: number, chunks: HeldChunk[], reader: TimesReader) => HeldChunk[];

async function join(
  { clock, log }: Seams,
  answers: readonly HeldFrames[],
  keep: Keep,
): Promise<BlockSource | undefined> {
  const pacer = new Pacer(clock);
  const join = new FrameJoin();
  for (const { frames, holder } of answers) {
    for (const frame of frames) {
      join.read(frame, holder);
      if (pacer.spend(FRAME_UNITS)) await pacer.pause();
    }
  }
  const kept: Joined[] = [];
  const reader = new TimesReader();
  let unreadable = 0;
  for (const series of join.series.values()) {
    const units = CHUNK_UNITS * series.chunks.length;
    // What one holder alone has may be damaged there: others have it, or nobody.
    const readable = series.chunks.filter(
      (chunk) => chunk.holders.size > 1 || reader.timesOf(chunk) !== undefined,
    );
    unreadable += series.chunks.length - readable.length;
    series.chunks = keep(series.hash, readable, reader);
    if (series.chunks.length > 0) kept.push(series);
    if (pacer.spend(units)) await pacer.pause();
  }
  if (unreadable > 0) log.warn('chunks that cannot be read are not filled', { count: unreadable });
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
  #holder = '';
  #chunks: HeldChunk[] = [];
  /** The label sets of the frame. */
  #labels: { readonly start: number; readonly end: number }[] = [];

  read(frame: Uint8Array, holder: string): void {
    this.#frame = Buffer.from(frame.buffer, frame.byteOffset, frame.length);
    this.#holder = holder;
    this.#labels = [];
    readSeriesFrame(frame, this);
  }

  onLabels(offset: number, length: number): void {
    this.#labels.push({ start: offset, end: offset + length });
  }

  onSeries(fingerprintOffset: number, labelSet: number): void {
    const key = this.#frame.toString('latin1', fingerprintOffset, fingerprintOffset + 16);
    let found = this.series.get(key);
    if (found === undefined) {
      const { end, start } = this.#labels[labelSet]!;
      found = {
        labels: decodeLabels(this.#frame, start, end),
        hash: this.#frame.readUInt32LE(fingerprintOffset),
        chunks: [],
      };
      this.series.set(key, found);
    }
    this.#chunks = found.chunks;
  }

  onChunk(
    minTimeMs: number,
    maxTimeMs: number,
    offset: number,
    length: number,
    encoding: number,
  ): void {
    // Whole chunks were asked for: what no block may hold is no answer.
    if (!isDecodable(encoding))
      throw new StarlingError('protobuf.corrupt', { why: `chunk encoding ${encoding}`, offset });
    const bytes = this.#frame.subarray(offset, offset + length);
    const known = this.#chunks.find(
      (one) =>
        one.minTimeMs === minTimeMs &&
        one.maxTimeMs === maxTimeMs &&
        one.encoding === encoding &&
        bytes.equals(one.bytes.subarray(one.from, one.to)),
    );
    if (known !== undefined) {
      known.holders.add(this.#holder); // replicas cut alike
      return;
    }
    const holders = new Set([this.#holder]);
    this.#chunks.push({ encoding, minTimeMs, maxTimeMs, bytes, from: 0, to: length, holders });
  }
}
