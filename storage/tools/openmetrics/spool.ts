/**
 * Samples on their way into blocks, sorted by the two hours they belong to, in bounded memory:
 *
 *   samples in any order ─► a column buffer a window ─(all buffers full)─► a file a window ─► its samples
 *
 * A record is three doubles: number of the series, time, value. The files are scratch: nothing is durable.
 */
import { StarlingError } from '../../../model/errors.ts';
import { attempt } from '../../../platform/durable-file.ts';
import type { Disk } from '../../../platform/platform.ts';
import { joinPath } from '../../filenames.ts';

const RECORD_DOUBLES = 3;
const RECORD_BYTES = RECORD_DOUBLES * 8;
/** Of all buffers together. */
export const BUFFERED_RECORDS_MAX = 1_500_000;
const READ_RECORDS = 64 * 1024;
const WINDOWS_MAX = 100_000;

export interface Window {
  readonly startMs: number;
  readonly path: string;
  buffer: Float64Array;
  /** Records in the buffer, and in the file. */
  buffered: number;
  written: number;
  minTimeMs: number;
  maxTimeMs: number;
}

export interface SpoolOptions {
  readonly disk: Disk;
  /** Nobody else's; must be there. */
  readonly directory: string;
  readonly windowMs: number;
  readonly bufferedRecordsMax: number;
}

export class SampleSpool {
  sampleCount = 0;
  readonly #options: SpoolOptions;
  readonly #windows = new Map<number, Window>();
  #buffered = 0;
  /** The window of the sample before. */
  #last: Window | undefined;

  constructor(options: SpoolOptions) {
    this.#options = options;
  }

  /** Windows with samples, by time. */
  windows(): readonly Window[] {
    return [...this.#windows.values()].sort((a, b) => a.startMs - b.startMs);
  }

  /** Adds a sample. A promise must be awaited before the next. Throws `openmetrics.too_large`, `disk.failed`. */
  add(series: number, timeMs: number, value: number): Promise<void> | undefined {
    const { windowMs } = this.#options;
    let window = this.#last;
    if (window === undefined || timeMs < window.startMs || timeMs >= window.startMs + windowMs) {
      window = this.#windowAt(Math.floor(timeMs / windowMs) * windowMs);
      this.#last = window;
    }
    const at = window.buffered * RECORD_DOUBLES;
    if (at === window.buffer.length) grow(window);
    window.buffer[at] = series;
    window.buffer[at + 1] = timeMs;
    window.buffer[at + 2] = value;
    window.buffered++;
    if (timeMs < window.minTimeMs) window.minTimeMs = timeMs;
    if (timeMs > window.maxTimeMs) window.maxTimeMs = timeMs;
    this.sampleCount++;
    return ++this.#buffered >= this.#options.bufferedRecordsMax ? this.#flush() : undefined;
  }

  /** Visits all records of a window, in the order they came. `records` is reused. */
  async forEach(
    window: Window,
    visit: (records: Float64Array, count: number) => void,
  ): Promise<void> {
    const { disk } = this.#options;
    const { path } = window;
    if (window.written > 0) {
      const file = await attempt(path, () => disk.open(path, 'read'));
      try {
        for (let at = 0; at < window.written; at += READ_RECORDS) {
          const count = Math.min(READ_RECORDS, window.written - at);
          const bytes = await attempt(path, () =>
            file.read(at * RECORD_BYTES, count * RECORD_BYTES),
          );
          visit(new Float64Array(bytes.slice().buffer), count);
        }
      } finally {
        await file.close().catch(() => undefined); // nothing was written
      }
    }
    if (window.buffered > 0) visit(window.buffer, window.buffered);
  }

  #windowAt(startMs: number): Window {
    const known = this.#windows.get(startMs);
    if (known !== undefined) return known;
    if (this.#windows.size >= WINDOWS_MAX) {
      const facts = { what: 'blocks of two hours', countMax: WINDOWS_MAX };
      throw new StarlingError('openmetrics.too_large', facts);
    }
    const window: Window = {
      startMs,
      path: joinPath(this.#options.directory, `samples.${startMs}`),
      buffer: new Float64Array(64 * RECORD_DOUBLES),
      buffered: 0,
      written: 0,
      minTimeMs: Number.POSITIVE_INFINITY,
      maxTimeMs: Number.NEGATIVE_INFINITY,
    };
    this.#windows.set(startMs, window);
    return window;
  }

  /** Takes all buffers to their files. */
  async #flush(): Promise<void> {
    const { disk } = this.#options;
    for (const window of this.#windows.values()) {
      if (window.buffered === 0) continue;
      const { buffer, buffered, path, written } = window;
      const bytes = new Uint8Array(buffer.buffer, 0, buffered * RECORD_BYTES);
      await attempt(path, async () => {
        const file = await disk.open(path, written === 0 ? 'create' : 'read-write');
        try {
          await file.write(bytes, written * RECORD_BYTES);
        } finally {
          await file.close();
        }
      });
      window.written += buffered;
      window.buffered = 0;
      window.buffer = new Float64Array(64 * RECORD_DOUBLES);
    }
    this.#buffered = 0;
  }
}

function grow(window: Window): void {
  const larger = new Float64Array(window.buffer.length * 2);
  larger.set(window.buffer);
  window.buffer = larger;
}
