/** Writing the `Histogram` message that histogram-message.ts reads: for remote read. */
import { type Buckets, CUSTOM_SCHEMA, spansOf } from '../histogram.ts';
import { type HistogramSample, RESET_HINTS, putSumWords } from '../histogram-sample.ts';
import { VARINT_BYTES_MAX, putUvarint, putVarint } from './varint.ts';

/** The message of a sample. The timestamp is not negative. */
export function encodeHistogramMessage(timestampMs: number, sample: HistogramSample): Uint8Array {
  const { histogram, isFloat } = sample;
  const out = new Message();
  if (isFloat) out.tag(0x11).double(histogram.count);
  else out.tag(0x08).uvarint(histogram.count);
  const sum = new Uint32Array(2);
  putSumWords(sample, sum, 0);
  out.tag(0x19).words(sum);
  out.tag(0x20).varint(histogram.schema);
  out.tag(0x29).double(histogram.zeroThreshold);
  if (isFloat) out.tag(0x39).double(histogram.zeroCount);
  else out.tag(0x30).uvarint(histogram.zeroCount);
  putSide(out, histogram.negative, 8, isFloat);
  putSide(out, histogram.positive, 11, isFloat);
  out.tag(0x70).uvarint(RESET_HINTS.indexOf(histogram.hint));
  out.tag(0x78).uvarint(timestampMs);
  if (histogram.schema === CUSTOM_SCHEMA && histogram.customBounds.length > 0) {
    out.part(0x82, doubles(histogram.customBounds));
  }
  return out.finish();
}

/** Spans in the field of that number, integer differences in the next one, or floats in the one after it. */
function putSide(out: Message, buckets: Buckets, number: number, isFloat: boolean): void {
  for (const { length, offset } of spansOf(buckets)) {
    out.part(number * 8 + 2, new Message().tag(0x08).varint(offset).tag(0x10).uvarint(length));
  }
  const { counts } = buckets;
  if (counts.length === 0) return;
  if (isFloat) {
    out.part(number * 8 + 18, doubles(counts));
    return;
  }
  const deltas = new Message();
  for (let i = 0; i < counts.length; i++) deltas.varint(counts[i]! - (i > 0 ? counts[i - 1]! : 0));
  out.part(number * 8 + 10, deltas);
}

function doubles(values: Float64Array): Message {
  const message = new Message();
  for (const value of values) message.double(value);
  return message;
}

/** Bytes that grow. */
class Message {
  #bytes = new Uint8Array(128);
  #length = 0;

  tag(tag: number): this {
    return this.uvarint(tag);
  }

  uvarint(value: number): this {
    this.#reserve(VARINT_BYTES_MAX);
    this.#length = putUvarint(this.#bytes, this.#length, value);
    return this;
  }

  varint(value: number): this {
    this.#reserve(VARINT_BYTES_MAX);
    this.#length = putVarint(this.#bytes, this.#length, value);
    return this;
  }

  double(value: number): this {
    return this.words(new Uint32Array(Float64Array.of(value).buffer));
  }

  /** Two words, low first, as they are. */
  words(words: Uint32Array): this {
    this.#reserve(8);
    for (let i = 0; i < 2; i++) {
      for (let shift = 0; shift < 32; shift += 8) this.#bytes[this.#length++] = words[i]! >>> shift;
    }
    return this;
  }

  part(tag: number, part: Message): void {
    const bytes = part.finish();
    this.uvarint(tag).uvarint(bytes.length).#reserve(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  #reserve(bytes: number): void {
    if (this.#length + bytes <= this.#bytes.length) return;
    const larger = new Uint8Array((this.#length + bytes) * 2);
    larger.set(this.#bytes);
    this.#bytes = larger;
  }
}
