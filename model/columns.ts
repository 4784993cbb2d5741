/**
 * Columns of tables that grow. Small ones double, and are copied; copying a large one would stop the loop (50 ms at a
 * hundred thousand series, 0.6 s at a million), so at some size a table takes room for all that it is likely to hold
 * at once. Of this room the system gives memory to those pages only that were written to.
 *
 * Room is shared memory because V8 takes other buffers for garbage to come, by their size, and collects.
 */

/** A table of as many rows or more is not copied but for the one time that it takes its room. */
const COPIED_ROWS_MAX = 1 << 14;

type Column = Float64Array | Uint8Array | Uint16Array | Uint32Array;

interface ColumnType<Kind extends Column> {
  readonly BYTES_PER_ELEMENT: number;
  new (buffer: ArrayBufferLike): Kind;
}

/**
 * Grows a table of `rows` by `grow`, which makes all columns anew for the capacity that it is told; returns that. Where
 * there are no addresses for `room` rows, twice as many are tried. Throws `RangeError` when there is no memory.
 */
export function growTable(rows: number, room: number, grow: (capacity: number) => void): number {
  if (rows >= COPIED_ROWS_MAX && rows < room) {
    try {
      grow(room);
      return room;
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
    }
  }
  grow(rows * 2);
  return rows * 2;
}

/**
 * A column of `length` that begins with what `from` holds, and goes on with zeros. Where a table got some of its larger
 * columns and not all, `from` is longer than what is tried then, and no row is beyond that.
 */
export function grown<Kind extends Column>(
  Type: ColumnType<Kind>,
  from: Kind,
  length: number,
): Kind {
  const column = new Type(new SharedArrayBuffer(length * Type.BYTES_PER_ELEMENT));
  column.set(from.length > length ? from.subarray(0, length) : from);
  return column;
}
