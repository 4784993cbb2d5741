// Goal: remote read refuses what is malformed or too much, and tells samples bit for bit in both of its
// forms. Method: requests made by hand; answers taken apart by protobufjs and our own decoders.
import fc from 'fast-check';
import protobuf from 'protobufjs';
import t from 'tap';
import {
  decodeReadRequest,
  encodeChunks,
  encodeSamples,
} from '../../actors/querier/remote-read-codec.ts';
import { labelsFromPairs } from '../../model/labels.ts';
import { crc32c } from '../../model/wire/crc32c.ts';
import { StarlingError } from '../../model/errors.ts';
import { decodeXor, xorSampleCount } from '../../storage/chunk/xor-decode.ts';
import { refusal } from '../support/refusal.ts';

interface WrittenMatcher {
  readonly type?: number;
  readonly name?: string;
  readonly value?: string;
}

function request(
  queries: readonly { start?: number; end?: number; matchers?: readonly WrittenMatcher[] }[],
  types: readonly number[] = [],
): Uint8Array {
  const writer = protobuf.Writer.create();
  for (const {
    end = 2000,
    matchers = [{ name: '__name__', value: 'up' }],
    start = 1000,
  } of queries) {
    writer.uint32(0x0a).fork().uint32(0x08).int64(start).uint32(0x10).int64(end);
    for (const { name = '', type = 0, value = '' } of matchers) {
      writer.uint32(0x1a).fork().uint32(0x08).int32(type);
      writer.uint32(0x12).string(name).uint32(0x1a).string(value).ldelim();
    }
    writer.ldelim();
  }
  for (const type of types) writer.uint32(0x10).int32(type);
  return writer.finish();
}

t.test('decodeReadRequest() reads queries and the form that is wanted', async (t) => {
  t.same(decodeReadRequest(request([{ matchers: [{ type: 2, name: 'job', value: 'a|b' }] }])), {
    queries: [
      {
        matchers: [{ type: '=~', name: 'job', value: 'a|b' }],
        range: { minTimeMs: 1000, maxTimeMs: 2000 },
      },
    ],
    kind: 'samples',
  });
  t.equal(decodeReadRequest(request([], [1])).kind, 'chunks');
  t.equal(decodeReadRequest(request([], [0, 1])).kind, 'samples', 'the first one known wins');
  t.equal(decodeReadRequest(request([], [7, 1])).kind, 'chunks');
});

t.test('Q23 decodeReadRequest() refuses hostile bodies', async (t) => {
  const check = (body: Uint8Array, why: RegExp): void => {
    t.throws(() => decodeReadRequest(body), refusal('request.parameter', why));
  };
  const matcher = { name: 'a', value: 'b' };
  check(request(Array.from({ length: 101 }, () => ({}))), /more than 100 queries/);
  check(
    request([{ matchers: Array.from({ length: 10_000 }, () => matcher) }]),
    /more than 100 matchers/,
  );
  check(request([{ matchers: [{ ...matcher, type: 9 }] }]), /matcher type 9 is unknown/);
  check(request([{ matchers: [{ value: 'b' }] }]), /without a label name/);
  check(request([{ matchers: [] }]), /without matchers/);
  check(request([{ start: 5, end: 4 }]), /end lies before the start/);
  check(Buffer.from([0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f]), /no ReadRequest/);
  t.throws(
    () => decodeReadRequest(request([{ matchers: [{ type: 2, name: 'a', value: '(' }] }])),
    refusal('query.parse'),
  );
  const good = request([{}], [1]);
  for (let cut = 1; cut < good.length; cut++) {
    try {
      decodeReadRequest(good.subarray(0, cut));
    } catch (error) {
      if (!(error instanceof StarlingError)) throw error;
    }
  }
});

const bits = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const series = fc.array(fc.array(fc.oneof(bits, fc.constant(0n)), { maxLength: 300 }), {
  maxLength: 4,
});

function columns(all: readonly (readonly bigint[])[]) {
  const values = new BigUint64Array(all.flat());
  let end = 0;
  return {
    labels: all.map((_, i) =>
      labelsFromPairs([
        ['__name__', 'up'],
        ['i', String(i)],
      ]),
    ),
    ends: Uint32Array.from(all, (one) => (end += one.length)),
    timestamps: Float64Array.from(all.flatMap((one) => one.map((_, k) => k * k * 7 - 1000))),
    values: new Float64Array(values.buffer),
  };
}

const root = protobuf.parse(`syntax = "proto3";
  message Label { string name = 1; string value = 2; }
  message Sample { fixed64 bits = 1; int64 timestamp = 2; }
  message TimeSeries { repeated Label labels = 1; repeated Sample samples = 2; }
  message QueryResult { repeated TimeSeries timeseries = 1; }
  message ReadResponse { repeated QueryResult results = 1; }
  message Chunk { int64 min = 1; int64 max = 2; int32 type = 3; bytes data = 4; }
  message ChunkedSeries { repeated Label labels = 1; repeated Chunk chunks = 2; }
  message Chunked { repeated ChunkedSeries series = 1; int64 query = 2; }`).root;

t.test('encodeSamples() tells every sample bit for bit', async (t) => {
  const property = fc.property(series, (all) => {
    const bytes = encodeSamples([columns(all)], () => undefined);
    const decoded = root
      .lookupType('ReadResponse')
      .toObject(root.lookupType('ReadResponse').decode(bytes), {
        longs: String,
        arrays: true,
        defaults: true,
      }) as { results: { timeseries: { samples: { bits: string }[] }[] }[] };
    const got = decoded.results[0]!.timeseries.map((one) =>
      one.samples.map((sample) => sample.bits),
    );
    return JSON.stringify(got) === JSON.stringify(all.map((one) => one.map(String)));
  });
  fc.assert(property, { numRuns: 50 });
  t.pass();
});

t.test('encodeChunks() frames XOR chunks with their checksums', async (t) => {
  const property = fc.property(series, (all) => {
    const stream = Buffer.from(encodeChunks([columns(all)], () => undefined));
    const got: string[][] = [];
    for (let at = 0; at < stream.length;) {
      const reader = protobuf.Reader.create(stream.subarray(at));
      const length = reader.uint32();
      const start = at + reader.pos + 4;
      const message = stream.subarray(start, start + length);
      if (stream.readUInt32BE(start - 4) !== crc32c(message)) return false;
      at = start + length;
      const type = root.lookupType('Chunked');
      const { series: found } = type.toObject(type.decode(message), { arrays: true }) as {
        series: { chunks: { data: Uint8Array }[] }[];
      };
      for (const { chunks } of found) got.push(chunks.flatMap(({ data }) => valuesOf(data)));
    }
    return JSON.stringify(got) === JSON.stringify(all.map((one) => one.map(String)));
  });
  fc.assert(property, { numRuns: 50 });
  t.pass();
});

function valuesOf(chunk: Uint8Array): string[] {
  const count = xorSampleCount(chunk, 0);
  const words = new Uint32Array(count * 2);
  decodeXor(chunk, 0, chunk.length, new Float64Array(count), words, 0);
  return Array.from(new BigUint64Array(words.buffer), String);
}
