/**
 * XOR chunks decoded by WebAssembly, into columns that are in scratch memory (model/scratch-memory.ts): a third of the
 * time of xor-decode.ts, whose results it has for all bytes. A chunk is copied in as words of 64 bits:
 *
 *   bytes   0 1 2 3 4 5 6 7 | 8 …        the kernel wants the first bit highest in a number of 64 bits,
 *   words   [4 5 6 7] [0 1 2 3] | …      which in memory has its lowest half first
 */
import { ScratchKernel, isScratch, scratchFloats } from '../../model/scratch-memory.ts';
import { xorDecodeWasm } from './xor-decode-wasm.ts';

/** Chunks of more bytes are rare, and left to xor-decode.ts. */
const CHUNK_BYTES_MAX = 16 * 1024;
/** What the kernel may read behind a chunk. */
const LOOKAHEAD_BYTES = 64;

interface DecodeExports {
  decode(chunk: number, length: number, times: number, values: number): number;
  readonly stale: WebAssembly.Global;
}

const kernel = new ScratchKernel<DecodeExports>(xorDecodeWasm);

/** Decodes chunks until the job ends. */
export class XorDecoder {
  readonly #exports: DecodeExports;
  readonly #words: Int32Array;

  private constructor(exports: DecodeExports, room: Float64Array) {
    this.#exports = exports;
    this.#words = new Int32Array(room.buffer, room.byteOffset, room.length * 2);
    exports.stale.value = 0;
  }

  /** Undefined where there is no scratch memory. */
  static create(): XorDecoder | undefined {
    const { exports } = kernel;
    const room = scratchFloats((CHUNK_BYTES_MAX + LOOKAHEAD_BYTES) / 8);
    return exports !== undefined && isScratch(room) ? new XorDecoder(exports, room) : undefined;
  }

  /** Stale markers among all values decoded by this decoder; no other one may be used meanwhile. */
  get staleCount(): number {
    return this.#exports.stale.value;
  }

  /** Whether a chunk of so many bytes can be decoded. */
  takes(length: number): boolean {
    return length <= CHUNK_BYTES_MAX;
  }

  /**
   * Hot: as `decodeXor`. The columns must be in scratch memory and have room for all samples that the chunk says it
   * has.
   */
  decode(
    source: DataView,
    offset: number,
    length: number,
    timestamps: Float64Array,
    values: Uint32Array,
    at: number,
  ): number {
    if (length < 2) return -1;
    const words = this.#words;
    const wholeWords = length >>> 2;
    for (let i = 0; i < wholeWords; i++) words[i ^ 1] = source.getInt32(offset + i * 4);
    const rest = length & 3;
    if (rest !== 0) {
      let last = 0;
      for (let i = 0; i < rest; i++)
        last |= source.getUint8(offset + wholeWords * 4 + i) << (24 - i * 8);
      words[wholeWords ^ 1] = last;
    }
    const times = timestamps.byteOffset + at * 8;
    const count = this.#exports.decode(words.byteOffset, length, times, values.byteOffset + at * 8);
    return count < 0 ? -1 : at + count;
  }
}
