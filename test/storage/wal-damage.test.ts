/**
 * Damaged logs. Goal: replay keeps what can be read, cuts an unfinished end, names every bad place,
 * and never hands over what was not written. Method: small logs in a memory disk, cut or with a bit
 * flipped at every byte; foreign bytes made by hand.
 */
import snappyjs from 'snappyjs';
import t from 'tap';
import { crc32c } from '../../model/wire/crc32c.ts';
import { encodeMetadataRecord, encodeSeriesRecord } from '../../storage/wal/record.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { refusal } from '../support/refusal.ts';
import {
  type OpenedNode,
  WAL_PATH,
  idsOf,
  numberedRecord,
  openNode,
  samplesRecord,
} from '../support/wal-contents.ts';

const FIRST = `${WAL_PATH}/00000000`;
const SECOND = `${WAL_PATH}/00000001`;
const PAGE = 32 * 1024;

/** The bytes of a segment with these records, written by the log itself. */
async function segmentOf(records: readonly Uint8Array[]): Promise<Buffer> {
  const disk = new MemoryDisk();
  const { wal } = await openNode(disk);
  for (const record of records) wal.append(record);
  await wal.close();
  return Buffer.from(disk.fileBytes(FIRST));
}

async function replay(
  files: Readonly<Record<string, Uint8Array>>,
): Promise<OpenedNode & { disk: MemoryDisk }> {
  const disk = new MemoryDisk();
  for (const [path, bytes] of Object.entries(files)) disk.putFile(path, bytes);
  return Object.assign(await openNode(disk), { disk });
}

/** A fragment with a right checksum. */
function fragment(typeAndFlags: number, data: Uint8Array): Buffer {
  const header = Buffer.alloc(7);
  header[0] = typeAndFlags;
  header.writeUInt16BE(data.length, 1);
  header.writeUInt32BE(crc32c(data), 3);
  return Buffer.concat([header, data]);
}

/** Where each record of a one-page segment ends. */
function endsOf(segment: Buffer): number[] {
  const ends: number[] = [];
  for (let at = 0; at < segment.length;) ends.push((at += 7 + segment.readUInt16BE(at + 1)));
  return ends;
}

t.test(
  'D1 replay keeps the whole records of a log cut at any byte, and counts the rest',
  async (t) => {
    const segment = await segmentOf([1, 2, 3].map((id) => numberedRecord(id)));
    const ends = endsOf(segment);
    for (let length = 0; length <= segment.length; length++) {
      const { contents, replayed, disk, wal } = await replay({
        [FIRST]: segment.subarray(0, length),
      });
      const whole = ends.filter((end) => end <= length);
      t.strictSame(
        idsOf(contents),
        whole.map((_, i) => i + 1),
      );
      t.equal(replayed.tornBytes, length - (whole.at(-1) ?? 0));
      t.equal(replayed.damageCount, 0);
      t.equal(
        disk.losePower().fileBytes(FIRST).length,
        whole.at(-1) ?? 0,
        'the end is cut durably',
      );
      t.equal(wal.segment, 1);
    }
  },
);

t.test(
  'replay of a record over several pages, cut anywhere, keeps what is before it',
  async (t) => {
    const segment = await segmentOf([numberedRecord(1), numberedRecord(2, 3 * PAGE)]);
    for (let length = segment.length - 1; length > 30; length -= 997) {
      const { contents, replayed } = await replay({ [FIRST]: segment.subarray(0, length) });
      t.strictSame(idsOf(contents), [1]);
      t.equal(replayed.tornBytes, length - endsOf(segment.subarray(0, 40))[0]!);
    }
  },
);

t.test('D5 a tail of zeros is the end, not damage', async (t) => {
  const segment = await segmentOf([numberedRecord(1)]);
  for (const zeros of [1, 6, 7, 8, PAGE - segment.length, PAGE, 3 * PAGE + 5]) {
    const tail = Buffer.concat([segment, Buffer.alloc(zeros)]);
    const { contents, replayed } = await replay({ [FIRST]: tail });
    t.strictSame(idsOf(contents), [1]);
    t.strictSame([replayed.damageCount, replayed.tornBytes], [0, 0], `${zeros} zeros`);
  }
  const torn = Buffer.concat([segment, Buffer.alloc(7, 1), Buffer.alloc(50_000)]);
  t.equal((await replay({ [FIRST]: torn })).replayed.tornBytes, 50_007);
});

t.test(
  'a flipped bit at any byte is noticed; other records and later segments are kept',
  async (t) => {
    const records = [numberedRecord(1), numberedRecord(2), numberedRecord(3)];
    const segment = await segmentOf(records);
    const later = await segmentOf([numberedRecord(4)]);
    const ends = endsOf(segment);
    for (let at = 0; at < segment.length; at++) {
      for (let bit = 0; bit < 8; bit++) {
        const damaged = Buffer.from(segment);
        damaged[at] = damaged[at]! ^ (1 << bit);
        const { contents, replayed } = await replay({ [FIRST]: damaged, [SECOND]: later });
        const hit = ends.findIndex((end) => at < end) + 1;
        const found = idsOf(contents);
        const isLengthHit =
          (at - (ends[hit - 2] ?? 0)) % 1000 === 1 || at - (ends[hit - 2] ?? 0) === 2;
        const kept = [1, 2, 3, 4].filter((id) => (isLengthHit ? id < hit || id === 4 : id !== hit));
        if (replayed.damageCount === 0 || String(found) !== String(kept)) {
          t.fail(`byte ${at}, bit ${bit}: ${replayed.damageCount} damaged, read ${found.join()}`);
        }
        const { file, offset } = replayed.damage[0]!;
        t.strictSame([file, offset], [FIRST, ends[hit - 2] ?? 0]);
      }
    }
  },
);

t.test('a flipped bit in a record over pages loses that record only', async (t) => {
  const ids = [1, 2, 3, 4];
  const segment = await segmentOf(ids.map((id) => numberedRecord(id, id === 2 ? 2.5 * PAGE : 100)));
  const long = { from: endsOf(segment.subarray(0, 118))[0]!, to: segment.length - 2 * 130 };
  const places = [
    0,
    1,
    2,
    3,
    7,
    500,
    PAGE - long.from,
    PAGE - long.from + 1,
    PAGE,
    2 * PAGE,
    75_000,
  ];
  for (const place of places) {
    for (let bit = 0; bit < 8; bit++) {
      const damaged = Buffer.from(segment);
      damaged[long.from + place] = damaged[long.from + place]! ^ (1 << bit);
      const { contents, replayed } = await replay({ [FIRST]: damaged });
      const found = idsOf(contents);
      t.ok(
        found.every((id) => id !== 2),
        `byte ${place}, bit ${bit}`,
      );
      t.equal(found[0], 1);
      t.ok(replayed.damageCount > 0 || replayed.tornBytes > 0);
      if (place < 2 * PAGE) t.strictSame(found, [1, 3, 4]);
    }
  }
});

t.test('a part of a record is never taken for a record', async (t) => {
  const forged = encodeSeriesRecord([{ ref: 666, labels: ['a', 'x'.repeat(PAGE - 7 - 15)] }]);
  t.equal(forged.length, PAGE - 7, 'fills a page');
  const good = fragment(1, numberedRecord(1));
  const first = fragment(2, Buffer.alloc(PAGE - good.length - 7, 1));
  const last = [fragment(4, forged.subarray(0, 100)), fragment(1, numberedRecord(2))];
  for (const type of [1, 2]) {
    const parts = [good, first, fragment(type, forged), ...last]; // the middle, its type damaged
    const { contents, replayed } = await replay({ [FIRST]: Buffer.concat(parts) });
    t.strictSame(idsOf(contents), [1, 2], `type ${type}`);
    t.match(replayed.damage, [{ offset: good.length, why: 'an unfinished record' }]);
  }
});

t.test('parts of records are only where they may be', async (t) => {
  const one = fragment(1, numberedRecord(1));
  const check = async (parts: readonly Buffer[], why: RegExp): Promise<void> => {
    const { contents, replayed } = await replay({ [FIRST]: Buffer.concat([one, ...parts, one]) });
    t.strictSame(idsOf(contents), [1, 1]);
    t.match(replayed.damage, [{ offset: one.length, why }]);
  };
  const part = numberedRecord(666);
  await check([fragment(2, part)], /does not fill its page/); // a write that was given up halfway
  await check([fragment(3, part)], /does not fill its page/);
  await check([fragment(4, part)], /does not go on at a page start/);
  await check([fragment(5, part)], /type 5/);
  await check([fragment(1 | 32, part)], /unknown flags/);
});

t.test('a bad page does not hide the pages after it, and its loss is told in bytes', async (t) => {
  const ids = Array.from({ length: 12 }, (_, i) => i + 1);
  const segment = await segmentOf(ids.map((id) => numberedRecord(id, 10_000)));
  segment.fill(0xaa, PAGE, 2 * PAGE);
  const { contents, replayed } = await replay({ [FIRST]: segment });
  const found = idsOf(contents);
  t.strictSame(found.slice(0, 3), [1, 2, 3]);
  t.equal(found.at(-1), 12);
  t.equal(replayed.damageCount, 1);
  t.ok(replayed.damage[0]!.bytesLost >= PAGE && replayed.damage[0]!.bytesLost < 2 * PAGE);
  t.equal(replayed.tornBytes, 0);
  t.equal(segment.length, replayed.bytesRead);
  segment.fill(0, PAGE, 2 * PAGE);
  const zeroed = await replay({ [FIRST]: segment });
  t.equal(zeroed.replayed.damageCount, 1, 'zeros in the middle are damage');
  t.strictSame(idsOf(zeroed.contents), found);
});

t.test(
  'an unfinished end of a segment that is not the last is damage: cut, and kept for people',
  async (t) => {
    const segment = await segmentOf([numberedRecord(1), numberedRecord(2)]);
    const cut = segment.subarray(0, segment.length - 1);
    const { contents, replayed, disk } = await replay({ [FIRST]: cut, [SECOND]: segment });
    t.strictSame(idsOf(contents), [1, 1, 2]);
    t.match(replayed, { damageCount: 1, tornBytes: 0 });
    t.equal(disk.fileBytes(`${FIRST}.corrupt`).length, cut.length);
    const again = await openNode(disk);
    t.strictSame(idsOf(again.contents), [1, 1, 2]);
    t.match(again.replayed, { damageCount: 0, tornBytes: 0 });
  },
);

t.test(
  'missing segments and undecodable records are told; foreign names are left alone',
  async (t) => {
    const one = await segmentOf([numberedRecord(1)]);
    const bad = Buffer.concat([one, fragment(1, Buffer.from([1, 2, 3])), one]);
    const files = { [FIRST]: bad, [`${WAL_PATH}/00000003`]: one, [`${WAL_PATH}/notes`]: one };
    const { contents, replayed, wal, disk } = await replay(files);
    t.strictSame(idsOf(contents), [1, 1, 1]);
    t.match(replayed.damage[0], { file: FIRST, offset: one.length, why: /type 1 does not decode/ });
    t.match(replayed.damage[1], {
      file: `${WAL_PATH}/00000003`,
      why: 'segments 1 to 2 are missing',
    });
    t.equal(wal.segment, 4);
    t.ok((await disk.list(WAL_PATH)).includes('notes'));
  },
);

t.test('snappy records are read, whole and in parts, but not when they are broken', async (t) => {
  const record = encodeSeriesRecord([{ ref: 5, labels: ['a', 'b'] }]);
  const packed = new Uint8Array(snappyjs.compress(record));
  const noise = Array.from({ length: 20_000 }, (_, i) => crc32c(Buffer.from(`${i}`)).toString(36));
  const text = noise.join(''); // hardly compressible
  const long = encodeSeriesRecord([{ ref: 6, labels: ['a', text] }]);
  const packedLong = Buffer.from(new Uint8Array(snappyjs.compress(long)));
  const head = fragment(1 | 8, packed);
  const split = PAGE - head.length - 7;
  const middles: Buffer[] = [];
  for (let at = split; at + PAGE - 7 < packedLong.length; at += PAGE - 7) {
    middles.push(packedLong.subarray(at, at + PAGE - 7));
  }
  const parts = [
    fragment(2 | 8, packedLong.subarray(0, split)),
    ...middles.map((part) => fragment(3 | 8, part)),
    fragment(4 | 8, packedLong.subarray(split + middles.length * (PAGE - 7))),
  ];
  t.ok(middles.length > 0);
  const good = await replay({ [FIRST]: Buffer.concat([head, ...parts]) });
  t.strictSame(idsOf(good.contents), [5, 6]);
  t.ok(good.contents.series[1]?.labels[1] === text, 'the same text');
  t.equal(good.replayed.damageCount, 0);
  const broken = fragment(1 | 8, packed.subarray(0, packed.length - 1));
  const lying = fragment(1 | 8, Buffer.from('ffffffff0f00', 'hex'));
  const bad = await replay({ [FIRST]: Buffer.concat([broken, head, lying, head]) });
  t.strictSame(idsOf(bad.contents), [5, 5]);
  t.equal(bad.replayed.damageCount, 2);
});

t.test('a log compressed with zstd is refused with a sentence, and not touched', async (t) => {
  const data = Buffer.from('28b52ffd0400', 'hex');
  const disk = new MemoryDisk();
  disk.putFile(FIRST, fragment(1 | 16, data));
  await t.rejects(openNode(disk), refusal('wal.corrupt', /zstd.*wal-compression-type=snappy/));
  t.equal(disk.fileBytes(FIRST).length, 13);
  t.equal(disk.countOf('close'), disk.countOf('open'));
});

t.test('records of other kinds are handed over or counted', async (t) => {
  const metadata = { ref: 1, metricType: 1, unit: 's', help: 'Seconds.' };
  const { contents, replayed } = await replay({
    [FIRST]: Buffer.concat([
      fragment(1, encodeMetadataRecord([metadata])),
      fragment(1, samplesRecord([{ ref: 1, timestampMs: 5, bits: 9n }])),
      fragment(1, Buffer.from('0300000000000000010204', 'hex')),
      fragment(1, Buffer.from([5, 0])),
      fragment(1, Buffer.from([5, 0])),
      fragment(1, Buffer.alloc(0)),
    ]),
  });
  t.strictSame(contents.metadata, [metadata]);
  t.equal(contents.samples.length, 1);
  t.strictSame(contents.tombstones, [{ ref: 1, minTimeMs: 1, maxTimeMs: 2 }]);
  t.strictSame([...replayed.skippedByType], [[5, 2]]);
  t.match(replayed, { damageCount: 0, recordCount: 5, segmentCount: 1 });
});

t.test('a disk that cannot be read fails the opening with the path', async (t) => {
  const segment = await segmentOf([numberedRecord(1)]);
  const disk = new MemoryDisk();
  disk.putFile(FIRST, segment);
  disk.failWhen = ({ kind }) => kind === 'read';
  await t.rejects(openNode(disk), refusal('disk.failed', /wal\/00000000: EIO/));
});
