// Goal: what is written to a frame is read from it, however many series share a label set; chunks told in words are the
// chunks told in bytes; writers that share rooms never show it; bytes that do not hold are refused.
// Method: random series through writer and reader; the same series through both ways, at all lengths; writers that take
// turns, end and begin; every frame cut short, and a frame by hand for each thing that can be wrong.
import fc from 'fast-check';
import t from 'tap';
import {
  SERIES_FRAME_BYTES_TARGET,
  SeriesFrameWriter,
  readSeriesFrame,
} from '../../model/wire/series-frame.ts';
import { refusal } from '../support/refusal.ts';

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

/** The series of a frame, a line each: fingerprint, label bytes, chunks. */
function linesOf(frame: Uint8Array): string[] {
  const lines: string[] = [];
  const labelSets: string[] = [];
  const text = Buffer.from(frame.buffer, frame.byteOffset, frame.length);
  readSeriesFrame(frame, {
    onLabels: (offset, length) => labelSets.push(text.toString('latin1', offset, offset + length)),
    onSeries: (at, labelSet, chunks) =>
      lines.push(`${text.readUInt32LE(at)} ${labelSets[labelSet]} ${chunks}:`),
    onChunk: (minTimeMs, maxTimeMs, offset, length, encoding) => {
      const chunk = text.toString('hex', offset, offset + length);
      const before = lines.pop() ?? '';
      lines.push(`${before} ${minTimeMs}..${maxTimeMs} ${encoding} ${chunk}`);
    },
  });
  return lines;
}

const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));

t.test(`series that share label sets are read as they were written (seed ${seed})`, async () => {
  interface OneSeries {
    readonly set: number;
    readonly timeMs: number;
    readonly low: number;
    readonly high: number;
  }
  const oneSeries: fc.Arbitrary<OneSeries> = fc.record({
    set: fc.oneof(fc.nat(3), fc.nat(20_000)),
    timeMs: fc.maxSafeInteger(),
    low: fc.nat(),
    high: fc.constantFrom(0, 0x7ff0_0000, 0xffff_ffff),
  });
  const isRead = (all: readonly OneSeries[]): boolean => {
    const writer = new SeriesFrameWriter(true);
    // Two frames: the second tells its label sets anew.
    for (const part of [all.slice(0, all.length / 2), all.slice(all.length / 2)]) {
      const expected = part.map(({ high, low, set, timeMs }, i) => {
        const labels = Buffer.from(`set-${set}`);
        writer.putSeries(Uint32Array.of(i, 0, 0, 0), 0, labels, 0, labels.length, 1);
        writer.putSample(timeMs, low, high);
        const value = Buffer.alloc(8);
        value.writeUInt32LE(low, 0);
        value.writeUInt32LE(high, 4);
        return `${i} set-${set} 1: ${timeMs}..${timeMs} 0 ${value.toString('hex')}`;
      });
      if (linesOf(writer.finish()).join() !== expected.join()) return false;
    }
    return true;
  };
  fc.assert(fc.property(fc.array(oneSeries, { maxLength: 300 }), isRead), {
    seed,
    numRuns: 200,
  });
});

t.test('a label set is told once a frame, as long as there are not too many', async (t) => {
  const bytesWith = (sets: number, sharesLabels: boolean): number => {
    const writer = new SeriesFrameWriter(sharesLabels);
    for (const i of Array(10_000).keys()) {
      const labels = Buffer.from(`a set of labels ${100_000 + (i % sets)}`);
      writer.putSeries(PRINT, 0, labels, 0, labels.length, 0);
    }
    const frame = writer.finish();
    const lines = linesOf(frame);
    t.equal(lines.at(-1), `1 a set of labels ${100_000 + (9999 % sets)} 0:`);
    t.equal(new Set(lines).size, sets);
    return frame.length - 8;
  };
  const series = 16 + 1 + 1;
  t.equal(bytesWith(10_000, false), 10_000 * (series + 1 + 22));
  t.equal(bytesWith(10, true), 10_000 * series + 10 * (1 + 22));
  t.equal(bytesWith(100, true), 10_000 * series + 100 * (1 + 22));
  t.ok(bytesWith(4000, true) < 10_000 * (series + 1) + 4000 * (1 + 22));
  t.ok(bytesWith(9000, true) < 10_000 * (series + 1) + 9000 * (1 + 22) + 1000 * 22);
});

t.test('bytes that do not hold are refused', async (t) => {
  const frame = (hex: string, series = 1): Uint8Array =>
    Buffer.from(`53534632${Buffer.of(series, 0, 0, 0).toString('hex')}${hex}`, 'hex');
  const print = '01'.repeat(16);
  const check = (bytes: Uint8Array, expected: RegExp): unknown =>
    t.throws(() => linesOf(bytes), refusal('protobuf.corrupt', expected));
  const number = (value: number): string => {
    const bytes = Buffer.alloc(8);
    bytes.writeDoubleLE(value);
    return bytes.toString('hex');
  };
  t.same(linesOf(frame(`${print}0001610100${number(5)}${'02'.repeat(8)}`)), [
    '16843009 a 1: 5..5 0 0202020202020202',
  ]);
  check(Buffer.from('SSF2'), /too short/);
  check(Buffer.from('SSF1\0\0\0\0'), /not a series frame/);
  check(frame(print), /truncated/);
  check(frame(`${print}0100`), /a label set that was not told/);
  check(frame(`${print}0200`), /a label set that was not told/);
  check(frame(`${print}00016100${print}0200`, 2), /a label set that was not told/);
  check(frame(`${print}00ff7f6100`), /a truncated label set/);
  check(frame(`${print}00016101`), /chunk encoding -1/);
  check(frame(`${print}0001610104`), /chunk encoding 4/);
  check(frame(`${print}0001610100${number(5)}`), /a truncated sample/);
  check(frame(`${print}0001610100${number(NaN)}${number(1)}`), /the time of a sample/);
  check(frame(`${print}0001610100${number(0.5)}${number(1)}`), /the time of a sample/);
  check(frame(`${print}0001610100${number(2 ** 53)}${number(1)}`), /the time of a sample/);
  check(frame(`${print}000161010102030405`), /a truncated chunk/);
  check(frame(`${print}0001610000`), /bytes after the last series/);
  const whole = frameOf(20);
  for (let length = 0; length < whole.length; length++) check(whole.slice(0, length), /./);
});
