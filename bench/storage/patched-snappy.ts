/**
 * A body that is compressed once and then only patched: what changes from round to round (times and values) are literals,
 * what stays is copied from what came before, as snappy would have it. Compressing each body would cost more than all else.
 *
 *   element := literal of n bytes: (n - 1) << 2, bytes     n ≤ 60
 *            | copy of n bytes:    (n - 1) << 2 | 2, u16 distance     n ≤ 64
 */
import { putUvarint } from '../../model/wire/varint.ts';

const LITERAL_BYTES_MAX = 60;
const COPY_BYTES_MAX = 64;
const COPY_BYTES_MIN = 4;
const DISTANCE_MAX = 0xffff;

/** `[from, from + length)` of the body stands at `at` of the compressed one. */
interface Changing {
  readonly from: number;
  readonly at: number;
}

export class PatchedSnappy {
  readonly #body: Uint8Array;
  readonly #changingBytes: number;
  readonly #changing: Changing[] = [];
  readonly #bytes: Buffer;
  #length: number;

  /** `changing`: where in `body` the parts of `changingBytes` begin that are not the same each time; rising. */
  constructor(body: Uint8Array, changing: readonly number[], changingBytes: number) {
    this.#body = body;
    this.#changingBytes = changingBytes;
    this.#bytes = Buffer.alloc(body.length + Math.ceil(body.length / LITERAL_BYTES_MAX) + 1024);
    this.#length = putUvarint(this.#bytes, 0, body.length);
    let from = 0;
    const stays = new Uint8Array(body.length).fill(1);
    for (const at of changing) stays.fill(0, at, at + changingBytes);
    const seen = new Map<number, number>();
    for (const at of changing) {
      this.#putStaying(from, at, stays, seen);
      this.#changing.push({ from: at, at: this.#length + 1 });
      this.#putLiteral(at, at + changingBytes);
      from = at + changingBytes;
    }
    this.#putStaying(from, body.length, stays, seen);
  }

  /** The body as it is now, compressed, in bytes of its own. */
  compressed(): Buffer {
    for (const { at, from } of this.#changing) {
      for (let i = 0; i < this.#changingBytes; i++) this.#bytes[at + i] = this.#body[from + i]!;
    }
    return Buffer.from(this.#bytes.subarray(0, this.#length));
  }

  #putStaying(from: number, to: number, stays: Uint8Array, seen: Map<number, number>): void {
    const body = this.#body;
    let literalFrom = from;
    for (let at = from; at < to;) {
      const word = at + COPY_BYTES_MIN <= to ? wordAt(body, at) : -1;
      const earlier = word < 0 ? undefined : seen.get(word);
      if (word >= 0) seen.set(word, at);
      const isNear = earlier !== undefined && at - earlier <= DISTANCE_MAX;
      let length = 0;
      if (isNear) {
        const longest = Math.min(to - at, COPY_BYTES_MAX);
        while (
          length < longest &&
          stays[earlier + length] === 1 &&
          body[earlier + length] === body[at + length]
        )
          length++;
      }
      if (earlier === undefined || length < COPY_BYTES_MIN) {
        at++;
        continue;
      }
      this.#putLiteral(literalFrom, at);
      this.#bytes[this.#length++] = ((length - 1) << 2) | 2;
      this.#length = this.#bytes.writeUInt16LE(at - earlier, this.#length);
      at += length;
      literalFrom = at;
    }
    this.#putLiteral(literalFrom, to);
  }

  #putLiteral(from: number, to: number): void {
    for (let at = from; at < to; at += LITERAL_BYTES_MAX) {
      const end = Math.min(at + LITERAL_BYTES_MAX, to);
      this.#bytes[this.#length++] = (end - at - 1) << 2;
      this.#bytes.set(this.#body.subarray(at, end), this.#length);
      this.#length += end - at;
    }
  }
}

function wordAt(body: Uint8Array, at: number): number {
  return (body[at]! | (body[at + 1]! << 8) | (body[at + 2]! << 16) | (body[at + 3]! << 24)) >>> 0;
}
