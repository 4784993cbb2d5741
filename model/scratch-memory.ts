/**
 * Memory for the columns of one job at a time, one for each thread. WebAssembly reads and writes it in place, and its
 * pages stay from job to job: fresh ones for every query cost the kernel as much time as the query's arithmetic.
 *
 *   | array | array | array | free ……………… |     freed all at once, when the outermost `withScratch` ends
 *
 * Outside of a job, when it is full, and where there are no addresses for it, arrays are ordinary ones: what asks for
 * them works with either. Invariant: no array of a job outlives it, for the next one writes there.
 */
const PAGE_BYTES = 64 * 1024;
/** What was touched of it stays in memory. The columns and blocks of a query of two million samples fit. */
export const SCRATCH_BYTES = 64 * 1024 * 1024;
const ALIGNMENT_BYTES = 16;

/** A typed array. */
export interface ColumnType<Column> {
  readonly BYTES_PER_ELEMENT: number;
  new (length: number): Column;
  new (buffer: ArrayBuffer, byteOffset: number, length: number): Column;
}

/** Undefined: not tried yet. Null: there is no room for it. */
let memory: WebAssembly.Memory | null | undefined;
let usedBytes = 0;
let depth = 0;

/** Runs a job, synchronously. Arrays made by it may be in scratch memory, and must not be used after it. */
export function withScratch<Result>(work: () => Result): Result {
  if (memory === undefined) memory = createMemory();
  depth++;
  try {
    return work();
  } finally {
    if (--depth === 0) usedBytes = 0;
  }
}

/** Runs a part of a job. Arrays made by it must not be used after it. */
export function withScratchPart<Result>(work: () => Result): Result {
  const before = usedBytes;
  try {
    return work();
  } finally {
    if (depth > 0) usedBytes = before;
  }
}

/** Numbers that may have any value. */
export function scratchFloats(count: number): Float64Array {
  return scratchColumn(Float64Array, count);
}

/** Elements that may have any value. */
export function scratchColumn<Column>(Type: ColumnType<Column>, count: number): Column {
  const place = take(count * Type.BYTES_PER_ELEMENT);
  return place === undefined ? new Type(count) : new Type(place.buffer, place.offset, count);
}

/** Numbers that are zero. */
export function zeroedFloats(count: number): Float64Array {
  const place = take(count * 8);
  return place === undefined
    ? new Float64Array(count)
    : new Float64Array(place.buffer, place.offset, count).fill(0);
}

/** Bytes that are zero. */
export function zeroedBytes(count: number): Uint8Array {
  const place = take(count);
  return place === undefined
    ? new Uint8Array(count)
    : new Uint8Array(place.buffer, place.offset, count).fill(0);
}

/** Whether an array is in scratch memory: its `byteOffset` is then its address for WebAssembly. */
export function isScratch({ buffer }: ArrayBufferView): boolean {
  return depth > 0 && buffer === memory?.buffer;
}

/** WebAssembly that works on scratch memory, which it imports as `scratch.memory`. */
export class ScratchKernel<Exports> {
  readonly #base64: string;
  #exports: Exports | undefined;

  constructor(base64: string) {
    this.#base64 = base64;
  }

  /** What the module exports; undefined outside of a job, and where there is no scratch memory. */
  get exports(): Exports | undefined {
    if (depth === 0 || memory === null || memory === undefined) return undefined;
    return (this.#exports ??= this.#instantiate(memory));
  }

  #instantiate(shared: WebAssembly.Memory): Exports {
    const module = new WebAssembly.Module(Buffer.from(this.#base64, 'base64'));
    const instance = new WebAssembly.Instance(module, { scratch: { memory: shared } });
    return instance.exports as Exports; // its text says what it exports
  }
}

/** Reserves bytes; undefined: there is no room. */
function take(
  byteCount: number,
): { readonly buffer: ArrayBuffer; readonly offset: number } | undefined {
  if (depth === 0 || memory === null || memory === undefined) return undefined;
  const offset = usedBytes;
  const end = offset + Math.ceil(byteCount / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
  if (end > SCRATCH_BYTES) return undefined;
  usedBytes = end;
  return { buffer: memory.buffer, offset };
}

/** Reserves ten gigabytes of addresses, and takes what is touched of it. */
function createMemory(): WebAssembly.Memory | null {
  const pages = SCRATCH_BYTES / PAGE_BYTES;
  try {
    return new WebAssembly.Memory({ initial: pages, maximum: pages });
  } catch {
    return null; // addresses are limited: ordinary arrays do
  }
}
