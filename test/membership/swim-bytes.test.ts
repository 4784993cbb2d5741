/**
 * Goal: the quick ways of the gossip codec and its queue do what the plain ones do. Method: random inputs, and
 * a naive twin of each; the seed is printed by the failure.
 */
import fc from 'fast-check';
import t from 'tap';
import { canonicalAddress, readAddress, writeAddress } from '../../membership/swim/address.ts';
import { AddressSet } from '../../membership/swim/address-set.ts';
import { ByteReader, ByteWriter } from '../../membership/swim/bytes.ts';
import { ClaimTable } from '../../membership/swim/claim-table.ts';
import {
  decodePayload,
  encodeMessage,
  findClaimEnd,
  type KnownInstances,
  readClaim,
  writeClaim,
} from '../../membership/swim/codec.ts';
import { UpdateQueue } from '../../membership/swim/gossip-queue.ts';
import { apply, createCore } from '../../membership/swim/core.ts';
import { insertIntoRound } from '../../membership/swim/round.ts';
import { SeenClaims } from '../../membership/swim/seen-claims.ts';
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
    fc.property(addresses, (text) => {
      const canonical = canonicalAddress(text);
      const writer = new ByteWriter();
      const written = attempted(() => (writeAddress(writer, text), writer.finish()));
      if (written === undefined || canonical === undefined) return written === canonical;
      return readAddress(new ByteReader(written)) === canonical;
    }),
  );
  t.end();
});

const places = ['10.0.0.1:7946', '10.0.0.1:7947', '10.1.0.1:7946', '[1:2:3:4:5:6:7:8]:7946'];
const accusers = ['n1', 'n2', 'n3', 'a-longer-name.of-somebody'];
const anyClaim = fc
  .record({
    name: fc.constantFrom('n1', 'n2', 'n12', 'a-longer-name.of-somebody'),
    address: fc.constantFrom(...places),
    controlAddress: fc.constantFrom(...places),
    accuser: fc.constantFrom(...accusers),
    boot: fc.constantFrom(1, 2 ** 31),
    incarnation: fc.nat(3),
    state: fc.constantFrom(...MEMBER_STATES),
  })
  .map(({ accuser, name, ...rest }): Claim => {
    const id = parseInstanceId(name);
    const isOwn = rest.state === 'alive' || rest.state === 'left';
    return { ...rest, id, accuser: isOwn ? id : parseInstanceId(accuser), protocol: 1 };
  });

/** A table that has these claims, and nothing that was seen. */
function knownFrom(claims: readonly Claim[]): KnownInstances {
  const table = new ClaimTable();
  const kept: Claim[] = [];
  for (const claim of claims) {
    const found = kept.findIndex(({ id }) => id === claim.id);
    const slot = found < 0 ? kept.length : found;
    kept[slot] = claim;
    table.put(slot, claim);
  }
  return { seen: new SeenClaims(1), claims: table, instanceAt: (slot) => kept[slot]! };
}

t.test('decodePayload() reads the same with and without what is known', (t) => {
  fc.assert(
    fc.property(anyClaim, fc.array(anyClaim), fc.nat(200), (claim, known, cut) => {
      const payload = encodeMessage({ type: 'claim', claim });
      const plain = decodePayload(payload);
      t.strictSame(plain.messages, [{ type: 'claim', claim }]);
      const quick = decodePayload(payload, knownFrom(known));
      t.strictSame(quick.messages, plain.messages);
      const torn = payload.slice(0, cut);
      if (torn.length > 3) torn[2] = torn.length - 3; // a whole message of half a claim
      t.strictSame(decodePayload(torn, knownFrom(known)).dropped, decodePayload(torn).dropped);
    }),
  );
  t.end();
});

t.test('findClaimEnd() finds the end of each claim, and none beyond the bytes', (t) => {
  fc.assert(
    fc.property(anyClaim, fc.uint8Array({ maxLength: 20 }), (claim, rest) => {
      const writer = new ByteWriter();
      writeClaim(writer, claim);
      const { length } = writer;
      writer.bytes(rest);
      const bytes = writer.finish();
      if (findClaimEnd(bytes, 0, bytes.length) !== length) return false;
      return Array.from({ length }, (_, to) => findClaimEnd(bytes, 0, to)).every((to) => to < 0);
    }),
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
      const nothing = Object.assign(new SeenClaims(1), { has: () => false });
      const plain = newCore();
      Object.assign(plain, { known: { ...plain.known, seen: nothing, claims: new ClaimTable() } });
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

interface Kept {
  readonly claim: Claim;
  /** -1: it does not wait. */
  transmits: number;
}

/** Slots as a list, and those that wait in the order in which each was told as often as it was. */
class NaiveTable {
  kept: Kept[] = [];
  waiting: Kept[] = [];

  put(slot: number, claim: Claim): void {
    const before = this.kept[slot];
    const now: Kept = { claim, transmits: before?.transmits ?? -1 };
    this.kept[slot] = now;
    this.waiting = this.waiting.map((one) => (one === before ? now : one));
  }

  tell(slot: number): void {
    const one = this.kept[slot]!;
    one.transmits = 0;
    this.waiting = [...this.waiting.filter((other) => other !== one), one];
  }

  remove(slot: number): void {
    this.waiting = this.waiting.filter((one) => one !== this.kept[slot]);
    const last = this.kept.at(-1);
    if (last !== undefined) this.kept[slot] = last;
    this.kept.length--;
  }

  take(bytesFree: number, transmitsMax: number): readonly Claim[] {
    const taken: Kept[] = [];
    let free = bytesFree;
    let skips = 0;
    for (const one of this.waiting.toSorted((a, b) => a.transmits - b.transmits)) {
      if (free < 4 || skips > 8) break;
      const { length } = encodeMessage({ type: 'claim', claim: one.claim });
      if (length > free) {
        skips++;
        continue;
      }
      free -= length;
      taken.push(one);
    }
    for (const one of taken) one.transmits++;
    const again = taken.filter((one) => one.transmits < transmitsMax);
    for (const one of taken) if (!again.includes(one)) one.transmits = -1;
    this.waiting = [...this.waiting.filter((one) => !taken.includes(one)), ...again];
    return taken.map(({ claim }) => claim);
  }
}

t.test('ClaimTable does what its naive twin does', (t) => {
  const claim = fc.tuple(anyClaim, fc.nat(40)).map(([one, i]): Claim => {
    const id = parseInstanceId(`${one.id}.${i}`);
    return { ...one, id, accuser: one.accuser === one.id ? id : one.accuser };
  });
  const step = fc.oneof(
    fc.record({ what: fc.constantFrom('put', 'put', 'tell'), claim }),
    fc.record({ what: fc.constant('remove'), at: fc.nat(100) }),
    fc.record({ what: fc.constant('take'), free: fc.nat(400) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120, size: 'max' }), fc.nat(3), (steps, share) => {
      const table = new ClaimTable();
      const naive = new NaiveTable();
      for (const one of steps) {
        if ('claim' in one) {
          const found = table.findText(one.claim.id);
          t.equal(found, naive.kept.findIndex((kept) => kept.claim.id === one.claim.id)); // prettier-ignore
          const slot = found < 0 ? naive.kept.length : found;
          if (found < 0 || one.what === 'put') {
            table.put(slot, one.claim);
            naive.put(slot, one.claim);
          }
          if (one.what === 'tell') {
            table.tell(slot);
            naive.tell(slot);
          }
        } else if ('at' in one) {
          if (naive.kept.length < 2) continue;
          const slot = 1 + (one.at % (naive.kept.length - 1)); // this node's own stays
          table.remove(slot);
          naive.remove(slot);
        } else {
          const writer = new ByteWriter();
          table.take(one.free, 3, writer);
          const messages = naive.take(one.free, 3).map((told) => ({ type: 'claim', claim: told }));
          t.strictSame(decodePayload(writer.finish()).messages, messages);
        }
        t.equal(table.waitingCount, naive.waiting.length);
      }
      const self = parseInstanceId('the-writer');
      const [written, expected] = [new ByteWriter(), new ByteWriter()];
      const isTold = (bytes: Uint8Array, from: number, to: number): boolean => {
        const { id } = readClaim(new ByteReader(bytes, from, to));
        return id.length % 4 < share;
      };
      let expectedCount = 0;
      for (const kept of naive.kept.slice(1)) {
        const id = Buffer.from(kept.claim.id);
        t.equal(table.find(id, 0, id.length), naive.kept.indexOf(kept));
        const isOwn = kept.claim.state === 'alive' || kept.claim.state === 'left';
        if (isOwn && kept.claim.id.length % 4 < share) continue;
        expectedCount++;
        writeClaim(expected, isOwn ? kept.claim : { ...kept.claim, accuser: self });
      }
      t.equal(table.writeMembers(written, self, share === 0 ? undefined : isTold), expectedCount);
      t.strictSame(written.finish(), expected.finish());
    }),
    { numRuns: 200 },
  );
  t.end();
});

t.test('SeenClaims knows what was added as long as there is place, and nothing else', (t) => {
  const seen = new SeenClaims(7);
  const other = new SeenClaims(8);
  const digests = Array.from({ length: 1_000 }, (_, i) => {
    const bytes = Buffer.from(`a claim of number ${i}, more or less`);
    t.not(seen.digest(bytes, 0, bytes.length), other.digest(bytes, 0, bytes.length));
    return seen.digest(bytes, 0, bytes.length);
  });
  t.equal(new Set(digests).size, 1_000);
  t.notOk(digests.some((one) => seen.has(one)));
  seen.reserve(1_000);
  for (const one of digests) seen.add(one);
  t.ok(digests.filter((one) => seen.has(one)).length >= 950);
  t.ok(digests.slice(-1).every((one) => seen.has(one)));
  seen.clear();
  t.notOk(digests.some((one) => seen.has(one)));
  t.end();
});

t.test('AddressSet has what a set has', (t) => {
  fc.assert(
    fc.property(fc.array(ipv4, { maxLength: 200, size: 'max' }), fc.array(ipv4), (added, asked) => {
      const addresses = new AddressSet();
      const naive = new Set(added);
      for (const one of added) addresses.add(one);
      if (addresses.count !== naive.size) return false;
      if (![...added, ...asked].every((one) => addresses.has(one) === naive.has(one))) return false;
      addresses.clear();
      return addresses.count === 0 && !added.some((one) => addresses.has(one));
    }),
  );
  t.end();
});

t.test('insertIntoRound() loses nobody, and asks nobody twice in a round', (t) => {
  const steps = fc.array(fc.option(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })));
  fc.assert(
    fc.property(steps, (list) => {
      const round = { order: ['a', 'b', 'c'].map(parseInstanceId), next: 0 };
      const asked: InstanceId[] = [];
      list.forEach((at, i) => {
        if (at !== null) insertIntoRound(round, parseInstanceId(`n${i}`), at);
        else if (round.next < round.order.length) asked.push(round.order[round.next++]!);
      });
      t.equal(new Set(asked).size, asked.length);
      t.equal(new Set(round.order).size, 3 + list.filter((at) => at !== null).length);
      const passed = new Set(round.order.slice(0, round.next));
      t.ok(asked.every((id) => passed.has(id)));
    }),
  );
  t.end();
});
