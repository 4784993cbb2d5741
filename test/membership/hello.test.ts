// Goal: two ends of a stream know each other for sure, or part with a sentence that says why.
// Method: HelloCipher against itself, honest, mistaken, and with every byte changed on the way.
import t from 'tap';
import {
  type AcceptedHello,
  type HelloOptions,
  HelloCipher,
  type RefusedHello,
} from '../../membership/swim/hello.ts';
import { createKeyring } from '../../membership/swim/keyring.ts';
import { parseInstanceId } from '../../model/ids.ts';
import { createNodeCiphers } from '../../platform/node/ciphers.ts';
import { randomSeam } from '../support/random-seam.ts';
import { seededRandom } from '../../sim/membership/cluster.ts';

const id = parseInstanceId;
const ciphers = createNodeCiphers();
const key = (fill: number): Uint8Array => new Uint8Array(32).fill(fill);
let seed = 1;

interface Side extends Partial<HelloOptions> {
  readonly label?: string;
  readonly keys?: readonly Uint8Array[];
}

function cipher(name: string, { keys = [key(1)], label = 'prod', ...more }: Side = {}) {
  const ring = createKeyring(ciphers, label, keys);
  const random = randomSeam(seededRandom(seed++));
  return new HelloCipher(ciphers, random, { ring, id: id(name), boot: 9, ...more });
}

type Met = { readonly dialler: unknown; readonly acceptor: unknown } | RefusedHello;

/** Runs a whole hello; `change` may alter each message on its way, numbered from 0. */
function meet(
  dialler: HelloCipher,
  acceptor: HelloCipher,
  target?: string,
  change: (step: number, bytes: Uint8Array) => Uint8Array = (_, bytes) => bytes,
): Met {
  const near = dialler.dial(target === undefined ? undefined : id(target));
  const far = acceptor.accept();
  const first = far.receive(change(0, near.first));
  if ('refused' in first) return first;
  if (!('reply' in first)) throw new Error('a peer before its proof');
  const second = near.receive(change(1, first.reply));
  if ('refused' in second) return second;
  const third = far.receive(change(2, second.last));
  if ('refused' in third) return third;
  if (!('peer' in third)) throw new Error('no peer after its proof');
  return { dialler: second.peer, acceptor: third.peer };
}

/** Why a hello was refused; a failure when it was not. */
function refusalOf(met: Met): string {
  return 'refused' in met ? met.refused : 'accepted';
}

t.test('HelloCipher tells both ends who the other is, with and without a key', async (t) => {
  for (const keys of [[key(1)], []]) {
    const met = meet(cipher('a', { keys }), cipher('b', { keys }), 'b');
    t.match(met, { dialler: { id: 'b', boot: 9, protocol: 1 }, acceptor: { id: 'a', boot: 9 } });
  }
  t.match(
    meet(cipher('a'), cipher('b')),
    { dialler: { id: 'b' } },
    'dialled by address alone, the id is learnt',
  );
  t.match(
    meet(cipher('a', { keys: [key(2), key(1)] }), cipher('b', { keys: [key(1), key(2)] }), 'b'),
    { dialler: { id: 'b' } },
    'while keys are rotated',
  );
});

t.test('HelloCipher refuses who is not of the cluster, or not who was dialled', async (t) => {
  const check = (dialler: HelloCipher, refused: string, why: RegExp): void => {
    const met = meet(dialler, cipher('b'), 'b');
    t.match(met, { refused, why }, refused);
    if (!('refused' in met) || met.reply === undefined) return;
    const told = dialler.dial(id('b')).receive(met.reply);
    t.match(told, { refused, why: /^the peer refused: / }, 'and the dialler is told why');
  };
  check(cipher('a', { keys: [] }), 'mode', /has none/);
  check(cipher('a', { label: 'test' }), 'label', /another label/);
  check(cipher('a', { keys: [key(3)] }), 'key_unknown', /not one of ours/);
  check(cipher('a', { protocol: 3 }), 'protocol', /speaks protocol 3, this node 1: upgrade/);
  const elsewhere = meet(cipher('a'), cipher('c'), 'b');
  t.match(elsewhere, { refused: 'instance', why: /this is c, not who was dialled/ });
});

t.test('HelloCipher speaks with the protocol before and the one after its own', async (t) => {
  const check = (a: number, b: number, expected: string): void => {
    const met = meet(cipher('a', { protocol: a }), cipher('b', { protocol: b }), 'b');
    t.equal(refusalOf(met), expected, `${a} dials ${b}`);
  };
  check(4, 5, 'accepted');
  check(5, 4, 'accepted');
  check(5, 5, 'accepted');
  check(3, 5, 'protocol');
  check(5, 3, 'protocol');
  check(0, 1, 'malformed');
});

t.test('HelloCipher: a dialler checks itself who answered', async (t) => {
  const dialler = cipher('a');
  const toB = dialler.dial(id('b'));
  // Somebody with the key answers whatever it was that was dialled.
  const first = Uint8Array.from(toB.first);
  const head = first.lastIndexOf('b'.charCodeAt(0));
  first[head] = 'c'.charCodeAt(0);
  const answer = cipher('c').accept().receive(first);
  t.ok('reply' in answer);
  if ('reply' in answer && answer.reply !== undefined)
    t.equal(
      refusalOf(toB.receive(answer.reply) as Met),
      'proof',
      'the target is part of the proof',
    );
});

t.test('HelloCipher takes no changed byte of any message', async (t) => {
  for (const keys of [[key(1)], []]) {
    const a = cipher('a', { keys });
    const b = cipher('b', { keys });
    let tried = 0;
    for (let step = 0; step < 3; step++) {
      let length = 1;
      for (let offset = 0; offset < length; offset++) {
        const met = meet(a, b, 'b', (at, bytes) => {
          if (at !== step) return bytes;
          length = bytes.length;
          const changed = Uint8Array.from(bytes);
          changed[offset] = changed[offset]! ^ 1;
          return changed;
        });
        t.not(refusalOf(met), 'accepted', `message ${step}, byte ${offset}`);
        tried++;
      }
    }
    t.ok(tried > 100, 'all bytes were tried');
  }
});

t.test('HelloCipher: nothing that was recorded or sent back is a proof', async (t) => {
  const a = cipher('a');
  const b = cipher('b');
  const recorded: Uint8Array[] = [];
  meet(a, b, 'b', (step, bytes) => {
    recorded[step] = Uint8Array.from(bytes);
    return bytes;
  });
  const begun = (
    first: Uint8Array,
  ): { readonly far: AcceptedHello; readonly reply: Uint8Array } => {
    const far = b.accept();
    const answer = far.receive(first);
    if (!('reply' in answer) || answer.reply === undefined) throw new Error('refused');
    return { far, reply: answer.reply };
  };
  const replayed = begun(recorded[0]!);
  t.equal(refusalOf(replayed.far.receive(recorded[2]!) as Met), 'proof', 'a recorded proof');
  t.equal(refusalOf(a.dial(id('b')).receive(recorded[1]!) as Met), 'proof', 'a recorded answer');
  const reflected = begun(a.dial(id('b')).first);
  const mirror = Uint8Array.of(2, 3, ...reflected.reply.subarray(-32));
  t.equal(refusalOf(reflected.far.receive(mirror) as Met), 'proof', "the acceptor's own proof");
  const back = a.dial(id('b'));
  t.equal(refusalOf(back.receive(back.first) as Met), 'malformed', 'its own first message');
  for (const junk of [new Uint8Array(0), new Uint8Array(300), Uint8Array.of(2, 4, 99, 1)]) {
    t.equal(refusalOf(b.accept().receive(junk) as Met), 'malformed');
    t.equal(refusalOf(a.dial(undefined).receive(junk) as Met), 'malformed');
  }
});
