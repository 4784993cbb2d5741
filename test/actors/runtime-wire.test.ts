// Goal: a sample reaches the instance that it was sent to, or nobody; nothing that a peer sends can
// break an actor, and no peer can take more than its share.
// Method: runtimes over streams in memory with real hellos, restarts on each other's addresses, and a
// peer that writes its frames by hand.
import t from 'tap';
import { z } from 'zod';
import {
  type Actor,
  type Envelope,
  type Reply,
  checkedCodec,
  packControl,
  unpackControl,
} from '../../actors/runtime/index.ts';
import {
  INBOUND_ASKS_MAX,
  INBOUND_BYTES_MAX,
  INBOUND_TIMEOUT_MAX_MS,
  NODE_INBOUND_BYTES_MAX,
} from '../../actors/runtime/inbound.ts';
import { HELLO_FRAME_BYTES_MAX, PROTOCOL_VERSION } from '../../actors/runtime/link.ts';
import { HELLO_TIMEOUT_MS, REDIAL_BACKOFF_MS } from '../../actors/runtime/peers.ts';
import { GOSSIP_PROTOCOL } from '../../membership/swim/types.ts';
import type { InstanceId } from '../../model/ids.ts';
import type { RpcStream } from '../../platform/platform.ts';
import { createEnvelopeCodec } from '../../proto/envelope-codec.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { refusal } from '../support/refusal.ts';
import { MemoryWire, type Wired, hellosOf, wire } from '../support/wired-runtimes.ts';

type Box =
  | { readonly type: 'put'; readonly text: string; readonly reply: Reply<string> }
  | { readonly type: 'hold'; readonly reply: Reply<string> }
  | { readonly type: 'wipe' };

/** Keeps what it was told. */
class BoxActor implements Actor<Box> {
  readonly kept: string[] = [];
  readonly held: Reply<string>[] = [];
  wiped = 0;

  receive(message: Box): void {
    if (message.type === 'put') {
      this.kept.push(message.text.toLowerCase());
      message.reply.ok('kept');
    } else if (message.type === 'hold') this.held.push(message.reply);
    else this.wiped++;
  }
}

const boxCodecs = new Map([
  ['put', checkedCodec('put', z.object({ text: z.string() }), z.string())],
  ['hold', checkedCodec('hold', z.object({}), z.string())],
]);
const codec = createEnvelopeCodec();
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const turns = async (count = 12): Promise<void> => {
  for (let i = 0; i < count; i++) await turn();
};

function box({ runtime }: Wired): BoxActor {
  const actor = new BoxActor();
  runtime.spawn<Box>({
    path: '/box',
    mailboxMax: 20_000,
    remote: boxCodecs,
    create: () => actor,
  });
  return actor;
}

/** A runtime that can send what the box takes. */
const node = (...[name, rpc, clock, more]: Parameters<typeof wire>): Promise<Wired> =>
  wire(name, rpc, clock, { codecs: boxCodecs, ...more });

const put = (from: Wired, to: string, timeoutMs = 1000): Promise<string> =>
  from.runtime.ask<string>(
    { instance: to as InstanceId, path: '/box' },
    { type: 'put', text: 'A sample' },
    { timeoutMs, lane: 'write' },
  ).done;

/** A stream to `name` whose frames are written by hand, past its hello. */
async function byHand(rpc: MemoryWire, name: string) {
  const stream: RpcStream = rpc.connect(name, 'control');
  const received: Envelope[] = [];
  const closed: string[] = [];
  const send = (parts: Partial<Envelope>): void =>
    void stream.send(codec.encode([envelope(parts)]));
  const hello = hellosOf('byhand').dial(undefined);
  stream.onClose((why) => closed.push(why));
  stream.onFrame((frame) => {
    for (const one of codec.decode(frame)) {
      if (one.kind !== 'hello') received.push(one);
      else {
        const verdict = hello.receive(one.payload);
        if ('last' in verdict) send({ kind: 'hello', payload: verdict.last });
      }
    }
  });
  send({ kind: 'hello', payload: hello.first });
  await turns();
  return { stream, received, closed, send };
}

function envelope(parts: Partial<Envelope>): Envelope {
  const none = { correlationId: 0, path: '/box', type: 'put', remainingMs: 1000 };
  return { ...none, version: 1, kind: 'ask', payload: new Uint8Array(0), ...parts };
}

t.test('a sample for an instance is never taken by another one at its address', async (t) => {
  const rpc = new MemoryWire();
  const clock = new FakeClock();
  let addressOfB = 'b';
  const a = await node('a', rpc, clock, {
    resolve: (instance) => (instance === 'b' ? addressOfB : instance),
  });
  const c = await node('c', rpc, clock); // c was restarted at the address that b had
  const atC = box(c);
  addressOfB = 'c';
  await t.rejects(put(a, 'b'), refusal('node.unreachable', /not who was dialled|another instance/));
  t.same(atC.kept, []);
  t.equal(c.runtime.peers.refusedHellos, 1, 'counted where it was refused');
  t.equal(a.runtime.peers.refusedHellos, 1, 'and where it was dialled');
  t.equal(await put(a, 'c'), 'kept', 'as itself it is asked');
  addressOfB = 'a';
  clock.advance(REDIAL_BACKOFF_MS);
  await t.rejects(put(a, 'b'), refusal('node.unreachable'), 'nor by the sender itself');
});

t.test('a dialler sends nothing before the listener proved who it is', async (t) => {
  const rpc = new MemoryWire();
  const clock = new FakeClock();
  const heard: Envelope[] = [];
  const a = await node('a', rpc, clock);
  for (const [name, answer] of [
    ['mute', undefined],
    ['echo', (payload: Uint8Array) => payload],
    ['intruder', undefined],
  ] as const) {
    const hello = hellosOf(name).accept();
    await rpc.listen(name, (stream) =>
      stream.onFrame((frame) => {
        for (const one of codec.decode(frame)) {
          heard.push(one);
          if (name === 'mute' || one.kind !== 'hello') continue;
          const verdict = hello.receive(one.payload);
          const reply = answer?.(one.payload) ?? ('reply' in verdict ? verdict.reply : undefined);
          if (reply !== undefined)
            stream.send(codec.encode([envelope({ kind: 'hello', payload: reply })]));
        }
      }),
    );
    const outcome = t.rejects(put(a, name, 60_000), refusal('node.unreachable'), name);
    await turns();
    clock.advance(HELLO_TIMEOUT_MS);
    await outcome;
  }
  t.ok(heard.length >= 3);
  t.same(
    heard.filter((one) => one.kind !== 'hello'),
    [],
    'no sample left',
  );
});

t.test('who is dialled by address alone may be anybody of the cluster', async (t) => {
  const rpc = new MemoryWire();
  const a = await node('a', rpc);
  box(await node('b', rpc));
  const message = { type: 'put', text: 'x' };
  t.equal(await a.runtime.askAddress('b', '/box', message, 1000), 'kept');
  await node('intruder', rpc);
  await t.rejects(
    a.runtime.askAddress('intruder', '/box', message, 1000),
    refusal('node.unreachable', /cluster key/),
  );
});

t.test('protocols next to each other speak, others part with a sentence', async (t) => {
  t.equal(PROTOCOL_VERSION, GOSSIP_PROTOCOL, 'envelopes and hellos name one protocol');
  const rpc = new MemoryWire();
  const clock = new FakeClock();
  const a = await node('a', rpc, clock, { hellos: hellosOf('a', 2) });
  for (const protocol of [1, 2, 3])
    box(await node(`v${protocol}`, rpc, clock, { hellos: hellosOf(`v${protocol}`, protocol) }));
  for (const name of ['v1', 'v2', 'v3']) t.equal(await put(a, name), 'kept', name);
  await node('v4', rpc, clock, { hellos: hellosOf('v4', 4) });
  await t.rejects(put(a, 'v4'), refusal('node.unreachable', /more than one version apart/));
});

t.test('an address that changed is called at once', async (t) => {
  const rpc = new MemoryWire();
  const clock = new FakeClock();
  let address = 'b';
  const a = await node('a', rpc, clock, { resolve: () => address });
  box(await node('b', rpc, clock));
  t.equal(await put(a, 'b'), 'kept');
  const moved = await node('moved', rpc, clock, { hellos: hellosOf('b') });
  box(moved);
  address = 'moved';
  t.equal(await put(a, 'b'), 'kept', 'no back-off is left from the old address');
});

t.test('the streams of a small cluster are open before the first ask', async (t) => {
  const rpc = new MemoryWire();
  const clock = new FakeClock();
  const resolve = (id: InstanceId): string | undefined => (id === 'unknown' ? undefined : id);
  const a = await node('a', rpc, clock, { resolve });
  const b = await node('b', rpc, clock);
  box(b);
  const ids = (...names: readonly string[]): InstanceId[] => names as InstanceId[];
  a.runtime.peers.dialAhead(ids('a', 'unknown', 'b', 'b'));
  await turns();
  t.equal(b.runtime.peers.linkCount, 2, 'for reads and for writes, each once');
  t.equal(await put(a, 'b'), 'kept');
  t.equal(b.runtime.peers.linkCount, 2, 'and asks use them');
  const many = Array.from({ length: 40 }, (_, i) => `other-${i}`);
  a.runtime.peers.dialAhead(ids(...many));
  t.equal(a.runtime.peers.linkCount, 2, 'of many instances only those that are needed');
});

t.test('a stream that was dialled ahead in vain keeps no ask waiting', async (t) => {
  const rpc = new MemoryWire();
  const clock = new FakeClock();
  const a = await node('a', rpc, clock);
  const ahead = (): void => a.runtime.peers.dialAhead(['b' as InstanceId]);
  ahead();
  await turns();
  t.equal(a.runtime.peers.linkCount, 0, 'nobody listens there yet');
  ahead();
  t.equal(a.runtime.peers.linkCount, 0, 'foresight itself waits');
  const b = await node('b', rpc, clock);
  box(b);
  t.equal(await put(a, 'b'), 'kept', 'an ask dials at once');
  rpc.cut();
  await t.rejects(put(a, 'b'), refusal('node.unreachable', /a moment ago/), 'what it used is gone');
  clock.advance(REDIAL_BACKOFF_MS);
  ahead();
  t.equal(await put(a, 'b'), 'kept');
  t.equal(b.runtime.peers.linkCount, 2, 'and foresight dials again');
});

t.test('what an actor does not declare, or cannot be decoded, never reaches it', async (t) => {
  const rpc = new MemoryWire();
  const b = await node('b', rpc);
  const actor = box(b);
  b.runtime.spawn<Box>({ path: '/local', mailboxMax: 1, create: () => actor });
  const { closed, received, send } = await byHand(rpc, 'b');
  let id = 1;
  const check = async (parts: Partial<Envelope>, expected: string): Promise<void> => {
    send({ correlationId: id, ...parts });
    await turns();
    const answer = received.pop();
    t.match(answer, { correlationId: id++, type: expected }, JSON.stringify(parts));
  };
  await check({ type: 'wipe', payload: packControl({}) }, 'node.unimplemented');
  await check({ type: 'nothing' }, 'node.unimplemented');
  await check({ type: '__proto__' }, 'node.unimplemented');
  await check({ path: '/local', payload: packControl({ text: 'x' }) }, 'node.unimplemented');
  await check({ path: '/nobody' }, 'node.unimplemented');
  await check({ payload: packControl({}) }, 'protobuf.corrupt');
  await check({ payload: packControl({ text: 5 }) }, 'protobuf.corrupt');
  await check({ payload: packControl(null) }, 'protobuf.corrupt');
  await check({ payload: Uint8Array.of(0xc1) }, 'protobuf.corrupt');
  await check({ payload: new Uint8Array(0) }, 'protobuf.corrupt');
  t.match(b.runtime.statuses(), [{ handled: 0, restarts: 0 }, { handled: 0 }]);
  await check({ payload: packControl({ text: 'X', type: 'wipe' }) }, '');
  t.same([actor.kept, actor.wiped], [['x'], 0], 'the declared type counts, not one in the payload');
  t.same(closed, []);
});

t.test('a malformed answer is a failure of the peer', async (t) => {
  const rpc = new MemoryWire();
  const a = await node('a', rpc, undefined, { codecs: boxCodecs });
  const b = await node('b', rpc);
  b.runtime.spawn<Box>({
    path: '/box',
    mailboxMax: 1,
    remote: new Map([['put', checkedCodec('put', z.unknown() as z.ZodType<object>, z.unknown())]]),
    create: () => ({
      receive: (message) => 'reply' in message && message.reply.ok({ no: 'text' } as never),
    }),
  });
  await t.rejects(put(a, 'b'), refusal('node.unreachable', /its answer is malformed/));
});

t.test('before the hello a frame is small, and nothing but a hello', async (t) => {
  const rpc = new MemoryWire();
  const clock = new FakeClock();
  const b = await node('b', rpc, clock);
  const actor = box(b);
  let refused = 0;
  const check = async (frame: Uint8Array, why: RegExp): Promise<void> => {
    const stream = rpc.connect('b', 'control');
    const closed: string[] = [];
    stream.onClose((reason) => closed.push(reason));
    stream.send(frame);
    await turns();
    t.match(closed[0], why);
    t.equal(b.runtime.peers.refusedHellos, ++refused);
  };
  const text = packControl({ text: 'x' });
  await check(
    codec.encode([envelope({ correlationId: 1, payload: text })]),
    /ask before the hello/,
  );
  const large = envelope({ kind: 'hello', payload: new Uint8Array(HELLO_FRAME_BYTES_MAX) });
  await check(codec.encode([large]), /bytes before the hello/);
  await check(Uint8Array.of(0xff, 0xff), /malformed/);
  await check(codec.encode([envelope({ kind: 'hello', version: 9 })]), /protocol 9/);
  t.same(actor.kept, []);
  const silent = rpc.connect('b', 'control');
  let closed = '';
  silent.onClose((why) => (closed = why));
  await turns();
  clock.advance(HELLO_TIMEOUT_MS);
  await turns();
  t.equal(closed, 'no hello');
});

t.test('a link has so many asks and bytes open, for so long', async (t) => {
  const rpc = new MemoryWire();
  const clock = new FakeClock();
  const b = await node('b', rpc, clock);
  const actor = box(b);
  const { closed, received, send } = await byHand(rpc, 'b');
  const hold = { type: 'hold', remainingMs: 0xffffffff };
  const small = packControl({});
  for (let id = 1; id <= INBOUND_ASKS_MAX + 5; id++)
    send({ ...hold, correlationId: id, payload: small });
  while (received.length < 5) await turn();
  await turns();
  t.equal(received.length, 5);
  t.ok(
    received.every((one) => one.type === 'node.overloaded'),
    'the rest is refused',
  );
  t.equal(b.runtime.peers.inboundLoad.asks, INBOUND_ASKS_MAX);
  while (actor.held.length < INBOUND_ASKS_MAX) await turn();
  clock.advance(INBOUND_TIMEOUT_MAX_MS);
  t.same(b.runtime.peers.inboundLoad, { asks: 0, bytes: 0 }, 'no deadline is longer');
  t.ok(actor.held.every((reply) => reply.isCancelled));

  received.length = 0;
  const half = packControl({ ignored: new Uint8Array(3 * 1024 * 1024) });
  const fitting = Math.floor(INBOUND_BYTES_MAX / half.length);
  for (let i = 0; i < fitting + 2; i++) send({ ...hold, correlationId: 20_000 + i, payload: half });
  while (received.length < 2) await turn();
  t.same(
    received.map(({ correlationId }) => correlationId),
    [20_000 + fitting, 20_001 + fitting],
  );
  t.match(unpackControl(received[0]!.payload), { countMax: INBOUND_BYTES_MAX });
  t.same(closed, []);
});

t.test(
  'what arrives in one frame is handled in slices, in order, also when the stream ends',
  async (t) => {
    const rpc = new MemoryWire();
    const b = await node('b', rpc, new FakeClock());
    const actor = box(b);
    const { stream } = await byHand(rpc, 'b');
    const texts = Array.from({ length: 12 }, (_, i) => `${i}`.padEnd(64 * 1024, 'x'));
    const asks = texts.map((text, i) =>
      envelope({ correlationId: i + 1, payload: packControl({ text }) }),
    );
    stream.send(codec.encode(asks));
    const counts: number[] = [];
    while (actor.kept.length < texts.length) {
      await turn();
      counts.push(actor.kept.length);
    }
    t.ok(new Set(counts).size >= texts.length / 3, `handled: ${counts.join(', ')}`);
    t.same(actor.kept, texts);
    stream.send(
      codec.encode(asks.map((ask) => ({ ...ask, correlationId: ask.correlationId + 50 }))),
    );
    stream.close('all is said');
    await turns(30);
    t.equal(actor.kept.length, texts.length * 2);
  },
);

t.test('a correlation id is used once', async (t) => {
  const rpc = new MemoryWire();
  const b = await node('b', rpc);
  const actor = box(b);
  for (const id of [7, 6, 0]) {
    const { closed, send } = await byHand(rpc, 'b');
    const before = actor.held.length;
    send({ type: 'hold', correlationId: 7, payload: packControl({}) });
    send({ type: 'hold', correlationId: id, payload: packControl({}) });
    await turns();
    t.match(closed[0], `correlation id ${id} after 7`);
    t.equal(actor.held.length, before + 1);
    t.ok(actor.held.at(-1)?.isCancelled);
    t.same(b.runtime.peers.inboundLoad, { asks: 0, bytes: 0 });
  }
});

t.test('all links together have so many bytes open', async (t) => {
  const rpc = new MemoryWire();
  const b = await node('b', rpc);
  box(b);
  const payload = packControl({ ignored: new Uint8Array(3 * 1024 * 1024) });
  const perLink = Math.floor(INBOUND_BYTES_MAX / payload.length);
  const fitting = Math.floor(NODE_INBOUND_BYTES_MAX / payload.length);
  let link = await byHand(rpc, 'b');
  for (let i = 0; i < fitting; i++) {
    if (i % perLink === 0) link = await byHand(rpc, 'b');
    link.send({ type: 'hold', correlationId: i + 1, payload });
    await turn();
  }
  await turns();
  t.equal(b.runtime.peers.inboundLoad.asks, fitting);
  const last = await byHand(rpc, 'b');
  last.send({ type: 'hold', correlationId: 1, payload });
  await turns();
  t.equal(last.received[0]?.type, 'node.overloaded');
  rpc.cut();
  t.same(b.runtime.peers.inboundLoad, { asks: 0, bytes: 0 }, 'and give them back');
});
