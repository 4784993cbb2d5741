// Goal: a snappy body is decoded exactly or refused, before memory or time is spent on it.
// Method: snappyjs encodes good bodies; bad ones are made by hand, cut and flipped.
import { spawnSync } from 'node:child_process';
import fc from 'fast-check';
import snappyjs from 'snappyjs';
import t from 'tap';
import {
  beginSnappyDecode,
  continueSnappyDecode,
  snappyDecode,
  snappyLength,
} from '../../model/wire/snappy.ts';
import { refusal } from '../support/refusal.ts';
import { uvarint } from '../support/remote-write-bodies.ts';

const BYTES_MAX = 1 << 20;
const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));

t.test(`snappyDecode() returns what snappyjs compressed (seed ${seed})`, async (t) => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 300 }),
      fc.integer({ min: 1, max: 40 }),
      (part, times) => {
        const bytes = Buffer.concat(Array.from({ length: times }, () => part));
        return Buffer.compare(snappyDecode(snappyjs.compress(bytes), BYTES_MAX), bytes) === 0;
      },
    ),
    { seed, numRuns: 300 },
  );
  t.pass();
});

t.test(
  `snappyDecode() refuses or decodes any mutated body, and never writes past its target (seed ${seed})`,
  async (t) => {
    const original = Buffer.from('namespace="team-a",namespace="team-b",'.repeat(20));
    const body = Buffer.from(snappyjs.compress(original));
    fc.assert(
      fc.property(fc.nat(body.length - 1), fc.nat(255), (at, byte) => {
        const mutant = Buffer.from(body);
        mutant[at] = byte;
        try {
          return snappyDecode(mutant, BYTES_MAX).length <= BYTES_MAX;
        } catch (error) {
          return /snappy|request body/.test(String(error));
        }
      }),
      { seed, numRuns: 3000 },
    );
    t.pass();
  },
);

t.test('snappyDecode() refuses every truncation', async (t) => {
  const body = snappyjs.compress(Buffer.from('abcdefgh'.repeat(50) + 'tail'));
  for (let length = 0; length < body.length; length++) {
    t.throws(() => snappyDecode(body.subarray(0, length), BYTES_MAX), refusal('snappy.corrupt'));
  }
});

t.test(
  'continueSnappyDecode() resumes between elements and ends with the same bytes',
  async (t) => {
    const bytes = Buffer.from(Array.from({ length: 50_000 }, (_, i) => (i * i) % 251));
    const body = snappyjs.compress(bytes);
    const decode = beginSnappyDecode(
      body,
      new Uint8Array(bytes.length),
      snappyLength(body, BYTES_MAX),
    );
    let turns = 0;
    while (!continueSnappyDecode(decode, 4096)) turns++;
    t.ok(turns > 3, 'it stopped in between');
    t.same(Buffer.from(decode.target), bytes);
  },
);

t.test('W1, W4-W10 snappyDecode() names what is wrong with a bad body', async (t) => {
  const check = (name: string, body: Buffer, id: string, message: RegExp): void => {
    t.throws(() => snappyDecode(body, BYTES_MAX), { id, message }, name);
  };
  const literal = (text: string): Buffer =>
    Buffer.concat([Buffer.of((text.length - 1) << 2), Buffer.from(text)]);
  check('W1 empty body', Buffer.alloc(0), 'snappy.corrupt', /empty/);
  check(
    'W4 4 GiB behind 6 bytes',
    Buffer.concat([uvarint(2 ** 32 - 1), literal('a')]),
    'snappy.corrupt',
    /can hold/,
  );
  check(
    'W5 0x80000000',
    Buffer.concat([uvarint(2 ** 31), literal('a')]),
    'snappy.corrupt',
    /can hold/,
  );
  check('W5 longer than 32 bits', Buffer.from('ffffffffff7f', 'hex'), 'snappy.corrupt', /5 bytes/);
  check(
    'W6 yields less',
    Buffer.concat([uvarint(5), literal('abcd')]),
    'snappy.corrupt',
    /yields 4 bytes, it declares 5/,
  );
  check(
    'W7 yields more',
    Buffer.concat([uvarint(3), literal('abcd')]),
    'snappy.corrupt',
    /yields more/,
  );
  check(
    'W7 more after the end',
    Buffer.concat([uvarint(4), literal('abcd'), literal('e')]),
    'snappy.corrupt',
    /yields more/,
  );
  check(
    'W8 copies behind a tiny header',
    Buffer.concat([uvarint(1), literal('a'), Buffer.alloc(3000, Buffer.of(0xfe, 1, 0))]),
    'snappy.corrupt',
    /yields more/,
  );
  check(
    'W15 over the limit',
    Buffer.concat([uvarint(BYTES_MAX + 1), Buffer.alloc(100_000)]),
    'request.body_too_large',
    /limit is 1048576/,
  );
  check(
    'W4 declares more than the body can hold',
    Buffer.concat([uvarint(BYTES_MAX), literal('a')]),
    'snappy.corrupt',
    /can hold/,
  );
  check(
    'W9 copy offset 0',
    Buffer.concat([uvarint(8), literal('abcd'), Buffer.of(1, 0)]),
    'snappy.corrupt',
    /copy from 0/,
  );
  check(
    'W9 copy before the start',
    Buffer.concat([uvarint(8), literal('abcd'), Buffer.of(1, 5)]),
    'snappy.corrupt',
    /copy from 5/,
  );
  check(
    'W9 truncated literal',
    Buffer.concat([uvarint(60), Buffer.of(59 << 2), Buffer.from('abc')]),
    'snappy.corrupt',
    /truncated literal/,
  );
  check(
    'W9 truncated literal length',
    Buffer.concat([uvarint(20), Buffer.of(62 << 2, 1)]),
    'snappy.corrupt',
    /truncated literal/,
  );
  check(
    'W9 truncated copy',
    Buffer.concat([uvarint(8), literal('abcd'), Buffer.of(2, 1)]),
    'snappy.corrupt',
    /truncated copy/,
  );
  check(
    'W10 framed format',
    Buffer.from('ff060000734e61507059', 'hex'),
    'snappy.corrupt',
    /block format/,
  );
});

t.test('snappyDecode() reads all kinds of copies, also overlapping ones', async (t) => {
  const check = (elements: string, expected: string): void => {
    const body = Buffer.concat([uvarint(expected.length), Buffer.from(elements, 'hex')]);
    t.equal(Buffer.from(snappyDecode(body, BYTES_MAX)).toString(), expected);
  };
  check('0c61626364' + '0104', 'abcd' + 'abcd');
  check('0061' + '0d01', 'a' + 'aaaaaaa');
  check('0c61626364' + '0e0400', 'abcd' + 'abcd');
  check('0c61626364' + '0f04000000', 'abcd' + 'abcd');
  check('0461' + '62' + 'fe0200', 'ab' + 'ab'.repeat(32));
});

t.test(
  'snappyDecode() moves copies of any length from any distance, and literals of any length',
  async (t) => {
    const text = Buffer.from(Array.from({ length: 70_000 }, (_, i) => 33 + ((i * i) % 89)));
    const copy = (count: number, offset: number): Buffer =>
      Buffer.of(((count - 1) << 2) | 2, offset & 0xff, offset >> 8);
    const literal = (bytes: Buffer, lengthBytes: number): Buffer => {
      const header = Buffer.alloc(1 + lengthBytes);
      header[0] = (lengthBytes === 0 ? bytes.length - 1 : 59 + lengthBytes) << 2;
      if (lengthBytes > 0) header.writeUIntLE(bytes.length - 1, 1, lengthBytes);
      return Buffer.concat([header, bytes]);
    };
    const check = (name: string, elements: readonly Buffer[], expected: Buffer): void => {
      const body = Buffer.concat([uvarint(expected.length), ...elements]);
      t.ok(Buffer.from(snappyDecode(body, BYTES_MAX)).equals(expected), name);
    };
    for (let offset = 1; offset <= 70; offset++) {
      for (const count of [1, 4, 7, 8, 15, 16, 17, 31, 33, 48, 63, 64]) {
        const start = text.subarray(0, 70);
        const copied = Buffer.from(
          Array.from({ length: count }, (_, i) => start[70 - offset + (i % offset)]!),
        );
        const end = text.subarray(100, 103);
        const elements = [literal(start, 1), copy(count, offset), literal(end, 0)];
        check(`${count} from ${offset} back`, elements, Buffer.concat([start, copied, end]));
      }
    }
    for (const length of [1, 15, 16, 17, 59, 60])
      check(`${length}`, [literal(text.subarray(0, length), 0)], text.subarray(0, length));
    for (const [length, lengthBytes] of [
      [61, 1],
      [256, 1],
      [257, 2],
      [65_536, 2],
      [65_537, 3],
      [70_000, 4],
    ] as const)
      check(
        `${length} in ${lengthBytes}`,
        [literal(text.subarray(0, length), lengthBytes)],
        text.subarray(0, length),
      );
  },
);

t.test('bodies that are decoded beside each other do not meet', async (t) => {
  const bodies = Array.from({ length: 7 }, (_, i) =>
    Buffer.from(`body ${i} of many, `.repeat(5000 + i)),
  );
  const decodes = bodies.map((bytes) => {
    const body = snappyjs.compress(bytes);
    return beginSnappyDecode(body, new Uint8Array(bytes.length), snappyLength(body, BYTES_MAX));
  });
  const open = new Set(decodes);
  while (open.size > 0)
    for (const one of open) if (continueSnappyDecode(one, 10_000)) open.delete(one);
  t.same(
    decodes.map(({ target }) => Buffer.from(target)),
    bodies,
  );
});

t.test('a body of many MiB leaves no memory that the next one could show', async (t) => {
  const large = Buffer.alloc(9 * 2 ** 20, 'x');
  t.ok(Buffer.from(snappyDecode(snappyjs.compress(large), large.length)).equals(large));
  const small = Buffer.concat([uvarint(30), Buffer.of((9 << 2) | 0), Buffer.from('0123456789')]);
  t.throws(() => snappyDecode(small, BYTES_MAX), refusal('snappy.corrupt'));
  const decode = beginSnappyDecode(small, new Uint8Array(30), 30);
  t.throws(() => continueSnappyDecode(decode, 100), refusal('snappy.corrupt'));
  t.equal(Buffer.from(decode.target).toString(), '0123456789'.padEnd(30, '\0'));
});

t.test(
  'where addresses are limited a body is refused with what to do, and is no damage',
  async (t) => {
    const module = new URL('../../model/wire/snappy.js', import.meta.url).href;
    const script = `import('${module}').then(({ snappyDecode }) => {
    try { snappyDecode(Buffer.from([1, 0, 65]), 10); console.log('decoded'); }
    catch ({ http, id, retryable }) { console.log(id, http, retryable); }
  })`;
    const limited = `ulimit -v 9000000 && exec "$0" --single-threaded -e "$1"`;
    const { stdout } = spawnSync('bash', ['-c', limited, process.execPath, script]);
    t.equal(stdout.toString().trim(), 'node.no_address_space 503 true');
  },
);
