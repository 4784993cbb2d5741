/**
 * Byte buffers that logs borrow while they have something to write. Invariant: a buffer is either
 * lent or kept here, and what is kept is at most `KEPT_BYTES_MAX`, whatever the number of tenants.
 */

const BUFFER_BYTES_MIN = 64 * 1024;
/** Larger ones are left to the garbage collector. */
const BUFFER_BYTES_MAX = 2 * 1024 * 1024;
const KEPT_BYTES_MAX = 16 * 1024 * 1024;

export class BufferPool {
  readonly #kept: Uint8Array[] = [];
  #keptBytes = 0;

  /** A buffer of at least `byteCount` bytes, contents undefined. Give it back with `release`. */
  acquire(byteCount: number): Uint8Array {
    for (let i = this.#kept.length - 1; i >= 0; i--) {
      const buffer = this.#kept[i]!;
      if (buffer.length < byteCount) continue;
      this.#kept.splice(i, 1);
      this.#keptBytes -= buffer.length;
      return buffer;
    }
    let size = BUFFER_BYTES_MIN;
    while (size < byteCount) size *= 2;
    return new Uint8Array(size);
  }

  /** Takes a buffer back. The lender must not use it any more. */
  release(buffer: Uint8Array): void {
    if (buffer.length < BUFFER_BYTES_MIN || buffer.length > BUFFER_BYTES_MAX) return;
    if (this.#keptBytes + buffer.length > KEPT_BYTES_MAX) return;
    this.#kept.push(buffer);
    this.#keptBytes += buffer.length;
  }
}
