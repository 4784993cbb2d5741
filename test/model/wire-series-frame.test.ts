// Goal: chunks told in words are the chunks told in bytes, and writers that share rooms never show it.
// Method: the same series through both ways, at all lengths; writers that take turns, end and begin.
import t from 'tap';
import {
  SERIES_FRAME_BYTES_TARGET,
  SeriesFrameWriter,
  readSeriesFrame,
} from '../../model/wire/series-frame.ts';

const PRINT = Uint32Array.of(1, 2, 3, 4);
const memory = new SharedArrayBuffer(512 * 1024);
const bytes = new Uint8Array(memory);
const words = new Int32Array(memory);
for (let i = 0; i < bytes.length; i++) bytes[i] = (i * 7 + (i >>> 8)) & 0xff;

/** Begins a series of some chunks. */
function putSeries(writer: SeriesFrameWriter, chunkCount: number): void {
  writer.putSeries(PRINT, 0, bytes, 0, 3, chunkCount);
}

/** One frame of one series with one chunk. */
function frameOf(length: number, first = 0): Uint8Array {
  const writer = new SeriesFrameWriter();
  putSeries(writer, 1);
  writer.putChunk(1000, 2000, bytes, first, length);
  return writer.finish();
}

t.test('putChunkOfWords() writes what putChunk() does, whatever the length', async (t) => {
  const [one, other] = [new SeriesFrameWriter(), new SeriesFrameWriter()];
  putSeries(one, 300);
  putSeries(other, 300);
  for (let length = 0; length < 300; length++) {
    one.putChunk(-5, length, bytes, length * 4, length);
    other.putChunkOfWords(-5, length, words, length, length);
  }
  const frame = other.finish();
  t.ok(Buffer.from(frame).equals(one.finish()));
  const chunks: number[] = [];
  const onChunk = (minTimeMs: number, maxTimeMs: number, offset: number, length: number): void => {
    t.same([minTimeMs, maxTimeMs, length], [-5, chunks.length, chunks.length]);
    chunks.push(offset);
  };
  readSeriesFrame(frame, { onChunk, onSeries: () => undefined });
  t.equal(chunks.length, 300);
});

t.test(
  'a frame stays what it was when its writer is closed and others go on in its room',
  async (t) => {
    const size = SERIES_FRAME_BYTES_TARGET + 1000;
    const expected = [frameOf(size), frameOf(size, 100), frameOf(10, 7)];
    const frames: Uint8Array[] = [];
    for (const [length, first] of [
      [size, 0],
      [size, 100],
      [10, 7],
    ] as const) {
      const [writer, beside] = [new SeriesFrameWriter(), new SeriesFrameWriter()];
      for (const one of [writer, beside]) putSeries(one, 1);
      writer.putChunk(1000, 2000, bytes, first, length);
      beside.putChunk(1000, 2000, bytes, 50, size);
      frames.push(writer.finish());
      writer.close();
      beside.close();
      writer.close();
    }
    expected.forEach((frame, i) => t.ok(Buffer.from(frames[i]!).equals(frame), `frame ${i}`));
    const late = new SeriesFrameWriter();
    putSeries(late, 1);
    late.putChunk(1000, 2000, bytes, 0, size);
    late.finish();
    late.close();
    putSeries(late, 1);
    late.putChunk(1000, 2000, bytes, 100, size);
    t.ok(
      Buffer.from(late.finish()).equals(expected[1]!),
      'a closed writer begins anew, in a room of its own',
    );
  },
);
