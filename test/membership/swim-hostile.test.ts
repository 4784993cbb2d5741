// Goal: nothing that arrives can crash a node, invent a member, or make it send more than it got.
// Method: properties of the codecs, the bad inputs G1-G6, G10-G12, G16 and G17 one by one, and a
// million mutated datagrams against a node with and without a cluster key. SEED repeats a run.
import fc from 'fast-check';
import t from 'tap';
import { canonicalAddress } from '../../membership/swim/address.ts';
import { PACKET_OVERHEAD_BYTES, PacketCipher } from '../../membership/swim/cipher.ts';
import {
  decodePayload,
  encodeMessage,
  type Message,
  writeClaim,
} from '../../membership/swim/codec.ts';
import { apply, createCore } from '../../membership/swim/core.ts';
import { createKeyring } from '../../membership/swim/keyring.ts';
import { decodePushPull, encodePushPull, type PushPull } from '../../membership/swim/push-pull.ts';
import { ReplayWindow } from '../../membership/swim/replay.ts';
import type { CoreState } from '../../membership/swim/state.ts';
import { MEMBER_STATES, type Claim } from '../../membership/swim/types.ts';
import { parseInstanceId } from '../../model/ids.ts';
import { createNodeCiphers } from '../../platform/node/ciphers.ts';
import { randomSeam, randomSecret } from '../support/random-seam.ts';
import { seededRandom, VirtualCluster } from '../../sim/membership/cluster.ts';

const nodeCiphers = createNodeCiphers();

const SEED = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));
t.comment(`SEED=${SEED}`);
const properties = { seed: SEED, numRuns: 2_000 };
const id = parseInstanceId;
const random = (seed: number): ReturnType<typeof randomSeam> => randomSeam(seededRandom(seed));

const anyId = fc.stringMatching(/^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/).map(id);
const anyPort = fc.integer({ min: 1, max: 65_535 });
const anyAddress = fc.oneof(
  fc
    .tuple(fc.integer({ min: 1, max: 223 }), fc.nat(255), fc.nat(255), fc.nat(255), anyPort)
    .map(([a, b, c, d, port]) => `${a}.${b}.${c}.${d}:${port}`),
  fc
    .tuple(fc.array(fc.nat(0xfeff), { minLength: 8, maxLength: 8 }), anyPort)
    .filter(([groups]) => groups.some((group) => group !== 0))
    .map(([groups, port]) => `[${groups.map((g) => g.toString(16)).join(':')}]:${port}`),
);
const anyUint32 = fc.nat(0xffffffff);
const anyClaim: fc.Arbitrary<Claim> = fc
  .record({
    state: fc.constantFrom(...MEMBER_STATES),
    id: anyId,
    boot: anyUint32,
    incarnation: anyUint32,
    address: anyAddress,
    controlAddress: anyAddress,
    protocol: fc.integer({ min: 1, max: 255 }),
    accuser: anyId,
  })
  .map((claim) =>
    claim.state === 'alive' || claim.state === 'left' ? { ...claim, accuser: claim.id } : claim,
  );
const anyNonce = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const anyMessage: fc.Arbitrary<Message> = fc.oneof(
  fc.record({ type: fc.constant('ack' as const), nonce: anyNonce, responder: anyId }),
  fc.record({ type: fc.constant('claim' as const), claim: anyClaim }),
  fc.record({ type: fc.constant('nack' as const), nonce: anyNonce }),
  fc.record({
    type: fc.constantFrom('ping' as const, 'ping_req' as const),
    nonce: anyNonce,
    target: anyId,
    source: anyId,
  }),
  fc.record({
    type: fc.constant('record' as const),
    bytes: fc.uint8Array({ minLength: 1, maxLength: 512 }),
  }),
);

const concat = (parts: readonly Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts));
const hex = (text: string): Uint8Array =>
  new Uint8Array(Buffer.from(text.replace(/ /g, ''), 'hex'));

const aliveClaim: Claim = {
  state: 'alive',
  id: id('b'),
  boot: 1,
  incarnation: 2,
  address: '10.0.0.2:7946',
  controlAddress: '10.0.0.2:7946',
  protocol: 1,
  accuser: id('b'),
};

function createNode(): CoreState {
  return createCore(
    {
      id: id('a'),
      boot: 1,
      address: '10.0.0.1:7946',
      controlAddress: '10.0.0.1:7946',
      random: seededRandom(1),
      overheadBytes: PACKET_OVERHEAD_BYTES,
    },
    0,
  );
}

t.test('decodePayload(encodeMessage(x)) is x, for any list of messages', async () => {
  fc.assert(
    fc.property(fc.array(anyMessage, { maxLength: 20 }), (messages) => {
      const decoded = decodePayload(concat(messages.map(encodeMessage)));
      t.same(decoded.messages, messages);
    }),
    { ...properties, numRuns: 500 },
  );
});

t.test('G1 decodePayload() refuses every truncation and never throws on garbage', async (test) => {
  fc.assert(
    fc.property(anyMessage, fc.double({ min: 0, max: 0.999, noNaN: true }), (message, share) => {
      const bytes = encodeMessage(message);
      const cut = bytes.subarray(0, Math.max(1, Math.floor(bytes.length * share)));
      return decodePayload(cut).dropped !== undefined;
    }),
    properties,
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 1_400 }), (bytes) => {
      decodePayload(bytes);
      decodePushPull(bytes);
    }),
    properties,
  );
  test.pass('held');
});

t.test('G6, G10 decodePayload() answers each bad input with its reason', async (test) => {
  const claim = Buffer.from(encodeMessage({ type: 'claim', claim: aliveClaim })).toString('hex');
  const check = (bytes: string, expected: string | undefined, unknownTypes = 0): void => {
    const decoded = decodePayload(hex(bytes));
    test.equal(decoded.dropped, expected, bytes.slice(0, 40));
    test.equal(decoded.unknownTypes, unknownTypes);
    if (expected !== undefined) test.same(decoded.messages, []);
  };
  check(claim, undefined);
  check('01', 'message_truncated');
  check('010fff', 'message_truncated');
  check('04 0007 00000000000000', 'message_malformed');
  check('04 0009 000000000000000000', 'message_malformed');
  check('63 0002 0000', undefined, 1);
  check('63 0002 0000' + claim, undefined, 1);
  check(claim + '04 0001 00', 'message_malformed');
  check('06 0000', 'message_malformed');
  check('06 0201' + '00'.repeat(513), 'message_malformed');
  // Fields of the claim: state, protocol, id bytes, address family, port, accuser of an alive.
  const at = (offset: number, byte: string): string =>
    claim.slice(0, offset * 2) + byte + claim.slice(offset * 2 + 2);
  check(at(3, '04'), 'message_malformed');
  check(at(4, '00'), 'message_malformed');
  check(at(14, '00'), 'message_malformed');
  check(at(14, '5f'), 'message_malformed');
  check(at(14, '0a'), 'message_malformed');
  check(at(15, '05'), 'message_malformed');
  check(at(16, 'ff'), 'message_malformed');
  check(at(16, '00'), 'message_malformed');
  const proto = Buffer.from('__proto__').toString('hex');
  check(`03 0012 0000000000000001 09 ${proto}`, 'message_malformed');
  check(`02 0014 0000000000000001 09 ${proto} 01 61`, 'message_malformed');
});

t.test('canonicalAddress() accepts unicast literals with a port and nothing else', async (test) => {
  const check = (text: string, expected: string | undefined): void => {
    test.equal(canonicalAddress(text), expected, text);
  };
  check('10.0.0.1:7946', '10.0.0.1:7946');
  check('[::1]:7946', '[0:0:0:0:0:0:0:1]:7946');
  check('[2001:DB8::A:0]:1', '[2001:db8:0:0:0:0:a:0]:1');
  check('127.0.0.1:99999', undefined);
  check('127.0.0.1:0', undefined);
  check('127.0.0.1', undefined);
  check('256.0.0.1:1', undefined);
  check('0.0.0.0:1', undefined);
  check('224.0.0.1:1', undefined);
  check('255.255.255.255:1', undefined);
  check('[::]:1', undefined);
  check('[ff02::1]:1', undefined);
  check('[1::2::3]:1', undefined);
  check('[1:2:3]:1', undefined);
  check('[1:2:3:4:5:6:7:8:9]:1', undefined);
  check('[12345::]:1', undefined);
  check('seed.example.org:7946', undefined);
});

function encodeExchange({ claims, ...rest }: Omit<PushPull, 'digests'>): Uint8Array {
  return encodePushPull({
    ...rest,
    claimBytes: 0,
    writeClaims: (writer) => {
      for (const claim of claims) writeClaim(writer, claim);
      return claims.length;
    },
  });
}

t.test('G11 decodePushPull(encodePushPull(x)) is x; lying counts are refused', async (test) => {
  const anyRecords = fc.array(fc.uint8Array({ minLength: 1, maxLength: 512 }), { maxLength: 5 });
  fc.assert(
    fc.property(fc.array(anyClaim, { maxLength: 10 }), anyRecords, (claims, records) => {
      const exchange = { sender: aliveClaim, claims, records };
      const bytes = encodeExchange(exchange);
      test.same(decodePushPull(bytes), { ...exchange, digests: [] });
      for (let cut = 1; cut < bytes.length; cut += 37) {
        test.equal(decodePushPull(bytes.subarray(0, cut)), undefined);
      }
    }),
    { ...properties, numRuns: 200 },
  );
  const empty = encodeExchange({ sender: aliveClaim, claims: [], records: [] });
  const lie = (offsetFromEnd: number, value: number): Uint8Array => {
    const bytes = empty.slice();
    new DataView(bytes.buffer).setUint32(bytes.length - offsetFromEnd, value);
    return bytes;
  };
  for (const count of [1, 2 ** 31, 2 ** 32 - 1]) {
    test.equal(decodePushPull(lie(8, count)), undefined);
    test.equal(decodePushPull(lie(4, count)), undefined);
  }
  test.equal(decodePushPull(new Uint8Array(20 * 1024 * 1024 + 1)), undefined);
  const suspect = { ...aliveClaim, state: 'suspect' as const, accuser: id('c') };
  const accused = encodeExchange({ sender: suspect, claims: [], records: [] });
  test.equal(decodePushPull(accused), undefined, 'a sender speaks for itself');
});

t.test('a malformed push/pull is counted and gets no answer', async (test) => {
  const core = createNode();
  const bytes = new Uint8Array([9, 9]);
  test.same(apply(core, { type: 'push_pull_received', bytes }, 1).outputs, []);
  test.equal(core.drops.push_pull_malformed, 1);
});

t.test(
  'G2, G3, G4, G5 PacketCipher opens what a peer sealed, once, and refuses the rest',
  async (test) => {
    const [secret, other] = [randomSecret(), randomSecret()];
    const cipher = (label: string, ...secrets: Uint8Array[]): PacketCipher =>
      new PacketCipher(
        nodeCiphers,
        random(secrets.length),
        createKeyring(nodeCiphers, label, secrets),
      );
    const payload = encodeMessage({ type: 'nack', nonce: 7n });
    const receiver = cipher('prod', secret);
    const check = (packet: Uint8Array, expected: string): void => {
      const opened = receiver.open(packet, 0);
      test.equal('dropped' in opened ? opened.dropped : 'opened', expected);
    };
    const sender = new PacketCipher(
      nodeCiphers,
      random(77),
      createKeyring(nodeCiphers, 'prod', [secret]),
    );
    const packet = sender.seal(payload);
    const opened = receiver.open(packet, 0);
    test.same('payload' in opened && opened.payload, payload);
    check(packet, 'cipher_counter_replayed');
    check(new Uint8Array(0), 'cipher_length');
    check(new Uint8Array([1]), 'cipher_length');
    check(new Uint8Array(65_507), 'cipher_version');
    check(new Uint8Array(65_508), 'cipher_length');
    check(cipher('prod').seal(payload), 'cipher_mode');
    check(cipher('test', secret).seal(payload), 'cipher_label');
    check(cipher('prod', other).seal(payload), 'cipher_key_unknown');
    for (const cut of [1, 4, 12, 15]) {
      const next = sender.seal(payload);
      check(next.subarray(0, next.length - cut), cut > 10 ? 'cipher_length' : 'cipher_tag');
    }
    const wrongLabelSameHash = sender.seal(payload);
    wrongLabelSameHash[5] = (wrongLabelSameHash[5] ?? 0) ^ 1;
    check(wrongLabelSameHash, 'cipher_label');
    const salted = sender.seal(payload);
    salted[12] = (salted[12] ?? 0) ^ 1;
    check(salted, 'cipher_tag');
    const plainReceiver = cipher('prod');
    const plain = cipher('prod').seal(payload);
    test.ok('payload' in plainReceiver.open(plain, 0));
    plain[30] = (plain[30] ?? 0) ^ 1;
    test.same(plainReceiver.open(plain, 0), { dropped: 'cipher_tag' });
    test.same(plainReceiver.open(packet, 0), { dropped: 'cipher_mode' });
  },
);

t.test(
  'PacketCipher rotates keys without losing a packet, and then refuses the old one',
  async (test) => {
    const [old, fresh] = [randomSecret(), randomSecret()];
    const ring = (...secrets: Uint8Array[]): ReturnType<typeof createKeyring> =>
      createKeyring(nodeCiphers, 'prod', secrets);
    const a = new PacketCipher(nodeCiphers, random(1), ring(old));
    const b = new PacketCipher(nodeCiphers, random(2), ring(old));
    const talk = (): void => {
      for (const [from, to] of [
        [a, b],
        [b, a],
      ] as const) {
        test.ok('payload' in to.open(from.seal(new Uint8Array([1])), 0));
      }
    };
    const recorded = a.seal(new Uint8Array([2]));
    test.ok('payload' in b.open(recorded, 0));
    for (const step of [
      [old, fresh],
      [fresh, old],
    ]) {
      a.setKeyring(ring(...step));
      talk();
      b.setKeyring(ring(...step));
      talk();
      test.same(b.open(recorded, 0), { dropped: 'cipher_counter_replayed' }, 'the window stays');
    }
    a.setKeyring(ring(fresh));
    talk();
    b.setKeyring(ring(fresh));
    talk();
    test.same(b.open(recorded, 0), { dropped: 'cipher_key_unknown' });
  },
);

t.test('PacketCipher tries a bounded number of unknown salts a second', async (test) => {
  const secret = randomSecret();
  const ring = createKeyring(nodeCiphers, 'prod', [secret]);
  const receiver = new PacketCipher(nodeCiphers, random(1), ring);
  const known = new PacketCipher(nodeCiphers, random(2), ring);
  test.ok('payload' in receiver.open(known.seal(new Uint8Array(1)), 0));
  const forged = known.seal(new Uint8Array(1));
  const reasons = new Map<string, number>();
  for (let i = 0; i < 3_000; i++) {
    new DataView(forged.buffer).setUint32(10, i);
    const opened = receiver.open(forged, 100);
    const reason = 'dropped' in opened ? opened.dropped : 'opened';
    reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
  }
  test.equal(reasons.get('cipher_salt_rate'), 1_001);
  test.ok('payload' in receiver.open(known.seal(new Uint8Array(1)), 200), 'known peers go on');
  const late = new PacketCipher(nodeCiphers, random(3), ring);
  test.ok('payload' in receiver.open(late.seal(new Uint8Array(1)), 1_000), 'a second later too');
});

t.test('ReplayWindow accepts each counter once, like a set that forgets the old', async (test) => {
  fc.assert(
    fc.property(fc.array(fc.nat(3_000), { maxLength: 400 }), (counters) => {
      const window = new ReplayWindow();
      const seen = new Set<number>();
      let highest = -1;
      for (const counter of counters) {
        const expected = !seen.has(counter) && counter > highest - 1_024;
        if (window.isFresh(counter) !== expected) return false;
        if (!expected) continue;
        window.accept(counter);
        seen.add(counter);
        highest = Math.max(highest, counter);
      }
      return true;
    }),
    properties,
  );
  test.pass('held');
});

t.test('packets keep to packetBytesMax whatever waits', async (test) => {
  for (const packetBytesMax of [576, 1_400]) {
    let largest = 0;
    const cluster = new VirtualCluster({
      seed: 3,
      config: { packetBytesMax },
      onOutput: (_now, _node, output) => {
        if (output.type !== 'send') return;
        largest = Math.max(largest, output.payload.length + PACKET_OVERHEAD_BYTES);
      },
    });
    cluster.startAll(60);
    for (const node of cluster.nodes) {
      for (let i = 0; i < 20; i++) {
        cluster.input(node, {
          type: 'broadcast',
          key: `k${i}`,
          bytes: new Uint8Array(512 - i * 25),
        });
      }
    }
    cluster.run(30_000);
    test.ok(largest <= packetBytesMax, `${largest} of ${packetBytesMax}`);
    test.ok(largest > packetBytesMax * 0.9, 'and use the room');
    test.equal(cluster.nodes[5]!.core.recordQueue.count, 0, 'nothing stays behind');
  }
});

/** Datagrams as a node sees them: every kind of message, alone and together. */
function corpus(): Uint8Array[] {
  const suspect = { ...aliveClaim, state: 'suspect' as const, accuser: id('c') };
  const messages: Message[] = [
    { type: 'ping', nonce: 1n, target: id('a'), source: id('b') },
    { type: 'ping_req', nonce: 2n, target: id('c'), source: id('b') },
    { type: 'ack', nonce: 3n, responder: id('b') },
    { type: 'nack', nonce: 4n },
    { type: 'claim', claim: aliveClaim },
    { type: 'claim', claim: { ...suspect, id: id('a'), address: '10.0.0.1:7946' } },
    { type: 'claim', claim: { ...suspect, state: 'dead', controlAddress: '[fd00::1]:9' } },
    { type: 'claim', claim: { ...aliveClaim, state: 'left', incarnation: 9 } },
    { type: 'record', bytes: new Uint8Array(40) },
  ];
  const encoded = messages.map(encodeMessage);
  return [...encoded, concat(encoded), concat([encoded[0]!, encoded[5]!])];
}

/** Changes one to four places: flips, random bytes, cuts, insertions, a repeated piece. */
function mutate(bytes: Uint8Array, source: { uint32(): number }): Uint8Array {
  let result: Uint8Array = bytes.slice();
  const turns = 1 + (source.uint32() & 3);
  for (let turn = 0; turn < turns && result.length > 0; turn++) {
    const at = source.uint32() % result.length;
    const kind = source.uint32() % 10;
    if (kind < 4) result[at] = (result[at] ?? 0) ^ (1 << (source.uint32() & 7));
    else if (kind < 7) result[at] = source.uint32() & 255;
    else if (kind === 7) result = result.slice(0, at);
    else if (kind === 8) result = concat([result.subarray(0, at), result.subarray(at)]);
    else result = concat([result, result.subarray(at)]);
  }
  return result;
}

/** No member but the two that were really announced, and every field of them sound. */
function auditMembers(core: CoreState): string[] {
  const wrong: string[] = [];
  for (const member of core.roster) {
    if (canonicalAddress(member.address) !== member.address) wrong.push(member.address);
    if (canonicalAddress(member.controlAddress) !== member.controlAddress) wrong.push(member.id);
    if (id(member.id) !== member.id) wrong.push(member.id);
    if (member.incarnation < 0 || member.incarnation > 0xffffffff) wrong.push(member.id);
  }
  return wrong;
}

interface Tally {
  readonly core: CoreState;
  readonly bytesIn: number;
  readonly bytesOut: number;
}

/** Throws mutated datagrams at one node; each passes the cipher as a real one would. */
function bombard(
  count: number,
  ring: ReturnType<typeof createKeyring>,
  makeDatagram: (source: { uint32(): number }, peer: PacketCipher) => Uint8Array,
): Tally {
  const source = seededRandom(SEED);
  const core = createNode();
  const cipher = new PacketCipher(nodeCiphers, random(1), ring);
  const peer = new PacketCipher(nodeCiphers, random(2), ring);
  let [bytesIn, bytesOut] = [0, 0];
  for (let i = 0; i < count; i++) {
    const datagram = makeDatagram(source, peer);
    bytesIn += datagram.length;
    const opened = cipher.open(datagram, i / 50);
    if (!('payload' in opened)) continue;
    const from = '192.0.2.66:6666';
    const { outputs } = apply(core, { type: 'packet', payload: opened.payload, from }, i / 50);
    for (const output of outputs) {
      if (output.type === 'send' && output.address === from) {
        bytesOut += output.payload.length + PACKET_OVERHEAD_BYTES;
      }
    }
  }
  return { core, bytesIn, bytesOut };
}

t.test('a million mutated datagrams: none is uncaught, none invents a member', async (test) => {
  const seeds = corpus();
  for (const secrets of [[randomSecret()], []]) {
    const ring = createKeyring(nodeCiphers, 'prod', secrets);
    const sealed: Uint8Array[] = [];
    const { core } = bombard(400_000, ring, (source, peer) => {
      if (sealed.length < 64) sealed.push(peer.seal(seeds[sealed.length % seeds.length]!));
      return mutate(sealed[source.uint32() % sealed.length]!, source);
    });
    test.same(
      core.roster.filter((member) => member.id !== 'b' && member.id !== 'c'),
      [],
      `with ${secrets.length} keys nothing that was not sealed gets in`,
    );
    test.same(auditMembers(core), []);
  }
});

t.test(
  '200,000 mutated payloads inside a good seal: all validated, no amplification',
  async (test) => {
    const seeds = corpus();
    const ring = createKeyring(nodeCiphers, 'prod', []);
    const { core, bytesIn, bytesOut } = bombard(200_000, ring, (source, peer) =>
      peer.seal(mutate(seeds[source.uint32() % seeds.length]!, source)),
    );
    test.same(auditMembers(core), [], 'every id and address is sound');
    test.ok(core.drops.message_malformed > 1_000 && core.drops.message_unknown_type > 1_000);
    test.ok(core.members.size <= core.config.membersMax);
    test.comment(`amplification ${(bytesOut / bytesIn).toFixed(3)}`);
    test.ok(bytesOut <= bytesIn, `${bytesOut} bytes out for ${bytesIn} in`);
    for (let nowMs = 4_000; nowMs < 60_000; nowMs += 50) apply(core, { type: 'tick' }, nowMs);
    test.same(auditMembers(core), [], 'nor does time make it throw');
  },
);
