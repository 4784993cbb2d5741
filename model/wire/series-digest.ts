/**
 * A digest of the series of an answer: equal for equal series with equal chunks, in whatever order and frames they
 * come, because each head has its series in the order in which they came to it. Replicas tell it of a small answer
 * instead of the series, so that only what differs travels. Labels follow from fingerprints and are not looked at.
 *
 *   digest := <series> '-' <16 hex digits>     the sum of the hashes of all series, modulo 2^64
 *
 * The hash of a series is over its fingerprint and its chunks: two lanes of 32 bits that multiply and rotate words as
 * MurmurHash3 does (its constants, and its last mixing). It finds what differs by chance, not what somebody forged:
 * who can forge chunks is a member of the cluster.
 */
import {
  SERIES_FINGERPRINT_BYTES,
  type SeriesFrameHandler,
  readSeriesFrame,
} from './series-frame.ts';

const WORD_BYTES = 4;

export class SeriesDigest {
  #low = 0;
  #high = 0;
  #seriesCount = 0;

  /** Takes the series of a frame. Throws `protobuf.corrupt`. */
  add(frame: Uint8Array): void {
    const places = new Places();
    readSeriesFrame(frame, places);
    const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
    const { starts, tails } = places;
    for (let i = 0; i < starts.length; i++) {
      const end = starts[i + 1] ?? frame.length;
      this.#addSeries(view, starts[i]!, tails[i]!, end);
    }
    this.#seriesCount += starts.length;
  }

  /** Hot: each byte once. */
  #addSeries(view: DataView, start: number, tail: number, end: number): void {
    let a = end - tail;
    let b = 0x9747b28c;
    let from = start;
    let to = start + SERIES_FINGERPRINT_BYTES;
    for (let part = 0; part < 2; part++) {
      let at = from;
      for (; at + WORD_BYTES <= to; at += WORD_BYTES) {
        const word = view.getInt32(at, true);
        a = mixed(a, Math.imul(word, 0xcc9e2d51));
        b = mixed(b, Math.imul(word, 0x1b873593) ^ a);
      }
      for (; at < to; at++) {
        const byte = view.getUint8(at);
        a = mixed(a, Math.imul(byte, 0xcc9e2d51));
        b = mixed(b, Math.imul(byte, 0x1b873593) ^ a);
      }
      from = tail;
      to = end;
    }
    a = finished(a);
    b = finished(b ^ a);
    const low = this.#low + (a >>> 0);
    this.#low = low >>> 0;
    this.#high = (this.#high + (b >>> 0) + (low > 0xffffffff ? 1 : 0)) >>> 0;
  }

  toString(): string {
    return `${this.#seriesCount}-${hex(this.#high)}${hex(this.#low)}`;
  }
}

function mixed(hash: number, word: number): number {
  const one = hash ^ ((word << 15) | (word >>> 17));
  return (Math.imul((one << 13) | (one >>> 19), 5) + 0xe6546b64) | 0;
}

function finished(hash: number): number {
  let one = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  one = Math.imul(one ^ (one >>> 13), 0xc2b2ae35);
  return one ^ (one >>> 16);
}

function hex(word: number): string {
  return word.toString(16).padStart(8, '0');
}

/** Where the series of a frame begin, and what follows their labels. */
class Places implements SeriesFrameHandler {
  readonly starts: number[] = [];
  readonly tails: number[] = [];

  onSeries(fingerprint: number, _labelSet: number, _chunks: number, tail: number): void {
    this.starts.push(fingerprint);
    this.tails.push(tail);
  }

  onChunk(): void {
    // They are among the bytes of their series.
  }
}
