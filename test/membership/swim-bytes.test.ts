/**
 * Goal: the quick ways of the gossip codec and its queue do what the plain ones do. Method: random inputs, and
 * a naive twin of each; the seed is printed by the failure.
 */
import fc from 'fast-check';
import t from 'tap';
import {
  canonicalAddress,
  knownAddress,
  readAddress,
  writeAddress,
} from '../../membership/swim/address.ts';
import { ByteReader, ByteWriter } from '../../membership/swim/bytes.ts';
import { decodePayload, encodeMessage } from '../../membership/swim/codec.ts';
import { UpdateQueue } from '../../membership/swim/gossip-queue.ts';
import { apply, createCore } from '../../membership/swim/core.ts';
import type { CoreState } from '../../membership/swim/state.ts';
import { type Claim, MEMBER_STATES } from '../../membership/swim/types.ts';
import { seededRandom } from '../../sim/membership/cluster.ts';
import { type InstanceId, parseInstanceBytes, parseInstanceId } from '../../model/ids.ts';

function attempted<Value>(work: () => Value): Value | undefined {
  try {
    return work();
  } catch {
    return undefined;
  }
}

t.test('parseInstanceBytes() takes what parseInstanceId() takes', (t) => {
  const text = fc.oneof(
    fc.string({ unit: 'binary-ascii', maxLength: 70 }),
    fc.stringMatching(/^[A-Za-z0-9._-]{0,66}$/),
  );
  const parse = (id: string): InstanceId | undefined =>
    parseInstanceBytes(Buffer.from(`<${id}>`, 'latin1'), 1, 1 + id.length);
  fc.assert(fc.property(text, (id) => parse(id) === attempted(() => parseInstanceId(id))));
  t.end();
});

const number = fc.nat({ max: 300 }).map(String);
const port = fc.nat({ max: 70_000 }).map(String);
const padded = fc.constantFrom('', '', '', '0', '00');
const ipv4 = fc
  .tuple(number, number, padded, number, number, port)
  .map(([a, b, zeros, c, d, p]) => `${a}.${b}.${zeros}${c}.${d}:${zeros}${p}`);
const ipv6 = fc.tuple(fc.ipV6(), port).map(([ip, p]) => `[${ip}]:${p}`);

t.test('writeAddress() and readAddress() agree with canonicalAddress()', (t) => {
  const addresses = fc.oneof(ipv4, ipv6, fc.constantFrom('', '1.2.3:4', '1.2.3.4', '1.2.3.4:5:6'));
  fc.assert(
    fc.property(addresses, ipv4, (text, other) => {
      const canonical = canonicalAddress(text);
      const writer = new ByteWriter();
      const written = attempted(() => (writeAddress(writer, text), writer.finish()));
      if (written === undefined || canonical === undefined) return written === canonical;
      const known = [undefined, text, canonical, other].map((one) => {
        const usable = one === undefined ? undefined : canonicalAddress(one);
        return usable === undefined ? undefined : knownAddress(usable);
      });
      return known.every((one) => readAddress(new ByteReader(written), one) === canonical);
    }),
  );
  t.end();
});

t.test('decodePayload() reads the same with and without what is known', (t) => {
  const places = ['10.0.0.1:7946', '10.0.0.1:7947', '10.1.0.1:7946', '[1:2:3:4:5:6:7:8]:7946'];
  const claims = fc
    .tuple(fc.constantFrom('n1', 'n2'), fc.constantFrom(...places), fc.constantFrom(...places))
    .map(([name, address, controlAddress]): Claim => {
      const id = parseInstanceId(name);
      const numbers = { protocol: 1, boot: 2 ** 31, incarnation: 3 };
      return { state: 'alive', id, accuser: id, address, controlAddress, ...numbers };
    });
  fc.assert(
    fc.property(claims, claims, (claim, known) => {
      const payload = encodeMessage({ type: 'claim', claim });
      const plain = decodePayload(payload);
      const instance = {
        // Of an earlier boot: the claim is news.
        ...{ ...known, boot: known.boot - 1 },
        knownAddress: knownAddress(known.address),
        knownControlAddress: knownAddress(known.controlAddress),
      };
      t.strictSame(plain.messages, [{ type: 'claim', claim }]);
      const quick = decodePayload(payload, (id) => (id === known.id ? instance : undefined));
      t.strictSame(quick, plain);
    }),
    { numRuns: 50 },
  );
  t.end();
});

t.test('claims that are left out while they are read would have changed nothing', (t) => {
  const claim = fc
    .record({
      name: fc.constantFrom('n1', 'n2', 'n3'),
      boot: fc.integer({ min: 1, max: 2 }),
      incarnation: fc.integer({ min: 0, max: 2 }),
      state: fc.constantFrom(...MEMBER_STATES),
      address: fc.constantFrom('10.0.0.1:7946', '10.0.0.2:7946'),
      accuser: fc.constantFrom('n2', 'n3'),
    })
    .map(({ accuser, address, name, ...rest }): Claim => {
      const id = parseInstanceId(name);
      const isOwn = rest.state === 'alive' || rest.state === 'left';
      const told = isOwn ? id : parseInstanceId(accuser);
      return { ...rest, id, protocol: 1, address, controlAddress: address, accuser: told };
    });
  const packets = fc.array(fc.array(claim, { minLength: 1, maxLength: 4 }), { maxLength: 12 });
  const newCore = (): CoreState =>
    createCore(
      {
        ...{ id: parseInstanceId('n1'), boot: 1, overheadBytes: 44 },
        ...{ address: '10.0.0.1:7946', controlAddress: '10.0.0.1:7946' },
        random: seededRandom(7),
      },
      0,
    );
  fc.assert(
    fc.property(packets, (lists) => {
      const quick = newCore();
      const plain = Object.assign(newCore(), { findKnown: () => undefined });
      lists.forEach((claims, i) => {
        const payload = Buffer.concat(
          claims.map((one) => encodeMessage({ type: 'claim', claim: one })),
        );
        const input = { type: 'packet', payload, from: '10.0.0.9:7946' } as const;
        t.strictSame(apply(quick, input, i * 50).outputs, apply(plain, input, i * 50).outputs);
        t.strictSame(quick.roster, plain.roster);
        t.strictSame(quick.self, plain.self);
      });
    }),
    { numRuns: 200 },
  );
  t.end();
});

interface NaiveUpdate {
  readonly key: string;
  readonly bytes: Uint8Array;
  readonly transmits: number;
}

/** All updates in one list, in the order in which each was told as often as it was. */
class NaiveQueue {
  updates: readonly NaiveUpdate[] = [];

  remove(key: string): void {
    this.updates = this.updates.filter((one) => one.key !== key);
  }

  put(key: string, bytes: Uint8Array): void {
    this.remove(key);
    this.updates = [...this.updates, { key, bytes, transmits: 0 }];
  }

  take(bytesFree: number, transmitsMax: number): readonly Uint8Array[] {
    const taken: NaiveUpdate[] = [];
    let free = bytesFree;
    let skips = 0;
    for (const update of this.updates.toSorted((a, b) => a.transmits - b.transmits)) {
      if (free < 4 || skips > 8) break;
      if (update.bytes.length > free) skips++;
      else {
        free -= update.bytes.length;
        taken.push(update);
      }
    }
    const told = taken.map((one) => ({ ...one, transmits: one.transmits + 1 }));
    const kept = told.filter(({ transmits }) => transmits < transmitsMax);
    this.updates = [...this.updates.filter((one) => !taken.includes(one)), ...kept];
    return taken.map(({ bytes }) => bytes);
  }
}

t.test('UpdateQueue takes in the order of its naive twin', (t) => {
  const key = fc.constantFrom('a', 'b', 'c', 'd', 'e');
  const put = fc.record({ what: fc.constant('put' as const), key, size: fc.integer({ min: 4, max: 40 }) }); // prettier-ignore
  const remove = fc.record({ what: fc.constant('remove' as const), key });
  const take = fc.record({ what: fc.constant('take' as const), free: fc.nat(100) });
  fc.assert(
    fc.property(fc.array(fc.oneof(put, put, remove, take, take), { maxLength: 60 }), (steps) => {
      const queue = new UpdateQueue(100);
      const naive = new NaiveQueue();
      for (const step of steps) {
        if (step.what === 'put') {
          const bytes = new Uint8Array(step.size);
          queue.put(step.key, bytes);
          naive.put(step.key, bytes);
        } else if (step.what === 'remove') {
          queue.remove(step.key);
          naive.remove(step.key);
        } else {
          const into: Uint8Array[] = [];
          queue.take(step.free, 3, into);
          const expected = naive.take(step.free, 3);
          t.ok(into.length === expected.length && into.every((one, i) => one === expected[i]));
        }
        t.equal(queue.count, naive.updates.length);
      }
    }),
  );
  t.end();
});

t.test('UpdateQueue drops the most told, the oldest of them first, when it is full', (t) => {
  const queue = new UpdateQueue(3);
  const put = (key: string): void => queue.put(key, new Uint8Array(10));
  for (const key of ['a', 'b', 'c']) put(key);
  queue.take(20, 9, []);
  put('d');
  t.strictSame(['a', 'b', 'c', 'd'].map((key) => queue.has(key)), [false, true, true, true]); // prettier-ignore
  t.end();
});
