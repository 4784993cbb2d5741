/**
 * Varints and CRC-32C. Goal: the bytes are Go's, every value to ±2^53 comes back, nothing hostile
 * reads past its end. Method: known vectors, a BigInt twin, properties over random values.
 */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import { crc32c } from '../../model/wire/crc32c.ts';
import {
  byteReader,
  isOverrun,
  putInt64,
  putUvarint,
  putVarint,
  readInt64,
  readUint64,
  readUvarint,
  readVarint,
  uvarintLength,
} from '../../model/wire/varint.ts';

const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));
t.comment(`seed ${seed}`);
const runs = { seed, numRuns: 2000 };
const safeIntegers = fc.oneof(
  fc.maxSafeInteger(),
  fc.integer(),
  fc.integer({ min: 0, max: 53 }).chain((bits) => {
    return fc.integer({ min: -2, max: 2 }).map((near) => clampSafe(2 ** bits + near));
  }),
);

function clampSafe(value: number): number {
  return Math.min(value, Number.MAX_SAFE_INTEGER);
}

function twin(value: bigint): string {
  const bytes: number[] = [];
  for (let rest = value; ; rest >>= 7n) {
    bytes.push(Number(rest & 0x7fn) | (rest > 0x7fn ? 0x80 : 0));
    if (rest <= 0x7fn) return Buffer.from(bytes).toString('hex');
  }
}

function written(put: typeof putUvarint, value: number): string {
  const target = Buffer.alloc(10);
  return target.subarray(0, put(target, 0, value)).toString('hex');
}

t.test('putUvarint() and putVarint() write what Go writes', (t) => {
  fc.assert(
    fc.property(safeIntegers, (value) => {
      const big = BigInt(value);
      assert.equal(written(putVarint, value), twin(big < 0n ? -2n * big - 1n : 2n * big));
      const magnitude = Math.abs(value);
      const bytes = written(putUvarint, magnitude);
      assert.equal(bytes, twin(BigInt(magnitude)));
      assert.equal(uvarintLength(magnitude), bytes.length / 2);
    }),
    runs,
  );
  t.end();
});

t.test('readUvarint(), readVarint() and readInt64() give back what was written', (t) => {
  const bytes = new Uint8Array(30);
  fc.assert(
    fc.property(safeIntegers, (value) => {
      const ends = [putVarint(bytes, 0, value), 0, 0];
      ends[1] = putUvarint(bytes, ends[0]!, Math.abs(value));
      ends[2] = putInt64(bytes, ends[1], value);
      const reader = byteReader(bytes, 0, ends[2]);
      return (
        readVarint(reader) === value &&
        readUvarint(reader) === Math.abs(value) &&
        readInt64(reader) === value &&
        reader.offset === ends[2] &&
        !isOverrun(reader)
      );
    }),
    runs,
  );
  t.end();
});

t.test('readers of 64 bits give the nearest double beyond 2^53', (t) => {
  const check = (hex: string, read: typeof readVarint, expected: number): void => {
    t.equal(read(byteReader(Buffer.from(hex, 'hex'))), expected, hex);
  };
  check('ffffffffffffffffff01', readUvarint, 2 ** 64);
  check('feffffffffffffffff01', readVarint, 2 ** 63);
  check('ffffffffffffffffff01', readVarint, -(2 ** 63));
  check('ffffffffffffffff', readUint64, 2 ** 64);
  check('8000000000000000', readInt64, -(2 ** 63));
  check('ffffffffffffffff', readInt64, -1);
  check('80808080808080808001', readUvarint, 2 ** 63);
  t.end();
});

t.test('readUvarint() and readVarint() fail for ever at a cut, an 11th byte or a 65th bit', (t) => {
  const check = (hex: string): void => {
    for (const read of [readUvarint, readVarint]) {
      const reader = byteReader(Buffer.from(hex, 'hex'));
      t.equal(read(reader), 0, hex);
      t.ok(isOverrun(reader));
      t.equal(read(reader), 0);
      t.ok(isOverrun(reader));
    }
  };
  check('');
  check('80');
  check('ffffffff');
  check('ffffffffffffffffffff01');
  check('ffffffffffffffffff02');
  const cut = byteReader(Buffer.from('00000000000000', 'hex'));
  readInt64(cut);
  t.ok(isOverrun(cut));
  t.end();
});

t.test('a reader stops at its end, not at the end of the bytes', (t) => {
  const reader = byteReader(Buffer.from('0182', 'hex'), 0, 1);
  t.equal(readUvarint(reader), 1);
  t.notOk(isOverrun(reader));
  readUvarint(reader);
  t.ok(isOverrun(reader));
  t.end();
});

/** Bit by bit, from the definition. */
function crcTwin(bytes: Uint8Array): number {
  let crc = 0xffff_ffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  return ~crc >>> 0;
}

t.test('crc32c() gives the values of RFC 3720, B.4', (t) => {
  const check = (bytes: Uint8Array, expected: number): void => {
    t.equal(crc32c(bytes), expected);
  };
  check(Buffer.from('123456789'), 0xe3069283);
  check(new Uint8Array(32), 0x8a9136aa);
  check(new Uint8Array(32).fill(0xff), 0x62a8ab43);
  check(
    Uint8Array.from({ length: 32 }, (_, i) => i),
    0x46dd794e,
  );
  check(
    Uint8Array.from({ length: 32 }, (_, i) => 31 - i),
    0x113fdb5c,
  );
  check(new Uint8Array(0), 0);
  t.end();
});

t.test('crc32c() is the bitwise definition, for every alignment, and can be continued', (t) => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 200 }),
      fc.nat(40),
      fc.nat(40),
      (bytes, before, after) => {
        const from = Math.min(before, bytes.length);
        const to = Math.max(from, bytes.length - after);
        const whole = crc32c(bytes, from, to);
        const middle = (from + to) >>> 1;
        assert.equal(whole, crcTwin(bytes.subarray(from, to)));
        assert.equal(crc32c(bytes, middle, to, crc32c(bytes, from, middle)), whole);
        assert.equal(crc32c(bytes.subarray(from), 0, to - from), whole, 'a view with an offset');
      },
    ),
    { seed, numRuns: 1000 },
  );
  t.end();
});
