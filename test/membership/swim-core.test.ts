// Goal: what one core of membership says, and to whom. Method: one core, told by hand what others say;
// its outputs are read, and nobody answers.
import t from 'tap';
import { decodePayload, encodeMessage, writeClaim } from '../../membership/swim/codec.ts';
import { apply, createCore, nextWakeMs } from '../../membership/swim/core.ts';
import { decodePushPull, encodePushPull } from '../../membership/swim/push-pull.ts';
import type { CoreState } from '../../membership/swim/state.ts';
import type { Claim, CoreOutput } from '../../membership/swim/types.ts';
import { parseInstanceId } from '../../model/ids.ts';
import { seededRandom } from '../../sim/membership/cluster.ts';

/** What an instance says of itself, or an accuser of it. */
function claim(name: string, incarnation = 1, accuser = name): Claim {
  const address = `10.0.0.${name.charCodeAt(0)}:7946`;
  return {
    state: accuser === name ? 'alive' : 'suspect',
    id: parseInstanceId(name),
    boot: 1,
    incarnation,
    address,
    controlAddress: address,
    protocol: 1,
    accuser: parseInstanceId(accuser),
  };
}

/** One that gossips nothing of its own accord. */
function createNode(name: string): CoreState {
  const { address, controlAddress, id } = claim(name);
  const random = seededRandom(1);
  const config = { gossipNodes: 0, healthScoreMax: 0 };
  const options = { id, address, controlAddress, boot: 1, random, overheadBytes: 44, config };
  return createCore(options, 0);
}

t.test('an answer to a push/pull has what the asker lacks or has otherwise, and no more', (t) => {
  const core = createNode('a');
  const ask = (...claims: readonly Claim[]): string => {
    const bytes = encodePushPull({
      sender: claim('b'),
      claimBytes: 0,
      writeClaims: (writer) => {
        for (const one of claims) writeClaim(writer, one);
        return claims.length;
      },
      records: [],
    });
    const { outputs } = apply(core, { type: 'push_pull_received', bytes }, 1);
    const answer = outputs.find((output) => output.type === 'push_pull_answer');
    const told = decodePushPull(answer?.bytes ?? new Uint8Array(0))?.claims ?? [];
    return told.map((one) => `${one.id} ${one.state} ${one.incarnation}`).join(', ');
  };
  ask(claim('c'), claim('d'), claim('e', 5), claim('f'), claim('x'));
  ask(claim('f', 1, 'x'));
  const check = (claims: readonly Claim[], expected: string): void => {
    t.equal(ask(...claims), expected);
  };
  const all = 'c alive 1, d alive 1, e alive 5, f suspect 1, x alive 1';
  check([], all);
  check([claim('c'), claim('e', 5), claim('x')], 'd alive 1, f suspect 1');
  check([claim('d'), claim('e', 4)], 'c alive 1, e alive 5, f suspect 1, x alive 1');
  check([claim('c', 2)], 'd alive 1, e alive 5, f suspect 1, x alive 1');
  check([claim('c', 1)], 'c alive 2, d alive 1, e alive 5, f suspect 1, x alive 1');
  check([claim('f', 1, 'x')], 'c alive 2, d alive 1, e alive 5, f suspect 1, x alive 1');
  t.end();
});

/** The accused, when a datagram is nothing but an accusation in the name of `accuser`. */
function accusedIn(output: CoreOutput, accuser: string): Claim | undefined {
  if (output.type !== 'send') return undefined;
  const [first, ...more] = decodePayload(output.payload).messages;
  if (first?.type !== 'claim' || more.length > 0) return undefined;
  return first.claim.accuser === accuser && first.claim.id !== accuser ? first.claim : undefined;
}

t.test('an accused of whom others spoke is told once, at most two periods before its end', (t) => {
  const core = createNode('a');
  const hearsay = [claim('b', 1, 'e'), claim('c', 1, 'e')];
  const claims = [claim('b'), claim('c'), claim('d'), claim('e'), ...hearsay];
  const payload = Buffer.concat(claims.map((one) => encodeMessage({ type: 'claim', claim: one })));
  apply(core, { type: 'packet', payload, from: claim('e').address }, 0);
  const ends = new Map<string, number>();
  const words: { readonly accused: string; readonly atMs: number }[] = [];
  while (!(ends.has('b') && ends.has('c')) && nextWakeMs(core) < 60_000) {
    const nowMs = nextWakeMs(core);
    for (const output of apply(core, { type: 'tick' }, nowMs).outputs) {
      if (output.type === 'event' && output.event.type === 'dead') {
        ends.set(output.event.member.id, nowMs);
      }
      const accused = accusedIn(output, 'a');
      // What this node finds out itself, it tells at once.
      if (accused === undefined || !['b', 'c'].includes(accused.id)) continue;
      t.match(output, { address: accused.address }, 'nobody else hears it');
      words.push({ accused: accused.id, atMs: nowMs });
    }
  }
  t.same(words.map(({ accused }) => accused).sort(), ['b', 'c'], 'each once');
  const [one, other] = words.map(({ atMs }) => atMs);
  t.ok(Number(other) - Number(one) >= 1_000, 'one a period');
  for (const { accused, atMs } of words) {
    const leftMs = Number(ends.get(accused)) - atMs;
    t.ok(leftMs > 0 && leftMs <= 2_000, `${accused} is told ${leftMs} ms before its end`);
  }
  t.end();
});
