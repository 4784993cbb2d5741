/**
 * Bits of a histogram chunk, one number after another. Every read is bounded by the chunk's bytes, so that
 * hostile bytes give an error, never an overrun or a hang.
 */
/** Reads bits of one chunk; `reset` sets it anew. */
export class BitReader {
  #bytes: Uint8Array = new Uint8Array(0);
  #bit = 0;
  #end = 0;
  /** True once a read went past the end; what it gave is worth nothing. */
  isOverrun = false;

  reset(bytes: Uint8Array, from: number, to: number): void {
    this.#bytes = bytes;
    this.#bit = from * 8;
    this.#end = to * 8;
    this.isOverrun = false;
  }

  /** Reads `size` (1 to 32) bits as an unsigned number. */
  read(size: number): number {
    if (this.#bit + size > this.#end) {
      this.isOverrun = true;
      return 0;
    }
    let value = 0;
    let left = size;
    while (left > 0) {
      const used = this.#bit & 7;
      const room = 8 - used;
      const take = left < room ? left : room;
      const part = (this.#bytes[this.#bit >>> 3]! >>> (room - take)) & ((1 << take) - 1);
      value = ((value << take) | part) >>> 0;
      this.#bit += take;
      left -= take;
    }
    return value;
  }
}
