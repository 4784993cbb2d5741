// Goal: gRPC streams carry frames both ways, tell both ends of a close, and serve nobody unproven.
// Method: real loopback pairs on port 0; hellos through the peers that a node uses.
import { type Http2Session, connect, createServer } from 'node:http2';
import type { AddressInfo } from 'node:net';
import t, { type Test } from 'tap';
import { Peers, type PeersOptions } from '../../actors/runtime/peers.ts';
import type { InstanceId } from '../../model/ids.ts';
import { createNodeClock } from '../../platform/node/clock.ts';
import type { RpcStream } from '../../platform/platform.ts';
import { createEnvelopeCodec } from '../../proto/envelope-codec.ts';
import { createGrpcStreams } from '../../proto/grpc-streams.ts';
import { refusal } from '../support/refusal.ts';
import { silentLog } from '../support/toy-tsdb.ts';
import { hellosOf } from '../support/wired-runtimes.ts';

interface Pair {
  readonly near: RpcStream;
  readonly far: RpcStream;
}

async function pair(t: Test): Promise<Pair> {
  const streams = createGrpcStreams();
  let accept: (stream: RpcStream) => void = () => undefined;
  const accepted = new Promise<RpcStream>((resolve) => (accept = resolve));
  const listener = await streams.listen('127.0.0.1:0', (stream) => accept(stream));
  const near = streams.connect(listener.address, 'control');
  t.teardown(async () => {
    near.close('the test is over');
    await listener.close();
  });
  return { near, far: await accepted };
}

const closeOf = (stream: RpcStream): Promise<string> =>
  new Promise((resolve) => stream.onClose(resolve));

/** The first `count` frames, as text. */
function framesOf(stream: RpcStream, count: number): Promise<readonly string[]> {
  const texts: string[] = [];
  return new Promise((resolve) =>
    stream.onFrame((frame) => {
      texts.push(Buffer.from(frame).toString());
      if (texts.length === count) resolve(texts);
    }),
  );
}

/** What the other end of a session lets this one send: to a stream, and in all. */
async function windowsOf(session: Http2Session): Promise<readonly (number | undefined)[]> {
  await new Promise((resolve) => session.once('remoteSettings', resolve));
  await new Promise((resolve) => session.ping(resolve)); // then what came with the settings is here
  return [session.remoteSettings.initialWindowSize, session.state.remoteWindowSize];
}

t.test('both ends take a megabyte before they have read any', async (t) => {
  const atLeast = 1024 * 1024;
  const streams = createGrpcStreams();
  const listener = await streams.listen('127.0.0.1:0', () => undefined);
  const client = connect(`http://${listener.address}`);
  const ofServer = await windowsOf(client);
  client.destroy();
  await listener.close();

  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const connected = new Promise<Http2Session>((resolve) => server.once('session', resolve));
  const { port } = server.address() as AddressInfo; // it listens on TCP
  const near = streams.connect(`127.0.0.1:${port}`, 'read');
  const session = await connected;
  const ofClient = await windowsOf(session);
  near.close('the test is over');
  session.destroy();
  server.close();
  for (const bytes of [...ofServer, ...ofClient]) t.ok((bytes ?? 0) >= atLeast, `${bytes} bytes`);
});

t.test('frames travel both ways, in order, also those before anybody listened', async (t) => {
  const { far, near } = await pair(t);
  const texts = Array.from({ length: 50 }, (_, i) => `frame ${i}`);
  for (const text of texts) {
    near.send(Buffer.from(text));
    far.send(Buffer.from(`back ${text}`));
  }
  const [forth, back] = await Promise.all([framesOf(far, 50), framesOf(near, 50)]);
  t.strictSame(forth, texts);
  t.strictSame(
    back,
    texts.map((text) => `back ${text}`),
  );
});

t.test('a flood that nobody takes is kept whole, and held back by the sender', async (t) => {
  const { far, near } = await pair(t);
  const body = 'x'.repeat(256 * 1024);
  let isHeldBack = false;
  for (let i = 0; i < 40; i++) isHeldBack = !far.send(Buffer.from(`${i} ${body}`)) || isHeldBack;
  t.ok(isHeldBack);
  await new Promise((resolve) => setImmediate(resolve));
  const frames = await framesOf(near, 40);
  t.strictSame(
    frames.map((frame) => Number.parseInt(frame, 10)),
    Array.from({ length: 40 }, (_, i) => i),
  );
});

t.test('a close of either end is heard by both, whether or not they take frames', async (t) => {
  for (const closing of ['near', 'far'] as const) {
    for (const listening of ['neither', 'near', 'far'] as const) {
      const ends = await pair(t);
      if (listening !== 'neither') ends[listening].onFrame(() => undefined);
      const heard = Promise.all([closeOf(ends.near), closeOf(ends.far)]);
      ends[closing].close('enough');
      const [near, far] = await heard;
      t.equal(closing === 'near' ? near : far, 'enough');
      t.not(closing === 'near' ? far : near, '', `${closing} closes, ${listening} listens`);
      t.equal(ends.near.send(Buffer.from('late')), false);
      t.equal(ends.far.send(Buffer.from('late')), false);
    }
  }
});

t.test('a hello that proves nothing is refused, and nothing is asked of the node', async (t) => {
  let asked = 0;
  const rpc = createGrpcStreams();
  const peers = (name: string, hello: string): Peers => {
    const options: PeersOptions = {
      self: name as InstanceId, // any valid id
      clock: createNodeClock(),
      log: silentLog,
      rpc,
      codec: createEnvelopeCodec(),
      resolve: () => undefined,
      hellos: hellosOf(hello),
      onAsk: (_from, _ask, reply) => {
        asked++;
        setImmediate(() => reply.ok('served'));
        return () => Buffer.from('served');
      },
    };
    const made = new Peers(options);
    t.teardown(() => made.close());
    return made;
  };
  const server = peers('server', 'server');
  const address = await server.listen('127.0.0.1:0');
  const ask = { path: '/x', type: 'x', payload: new Uint8Array(0), timeoutMs: 30_000 };
  for (const hello of ['intruder-1', 'intruder-2']) {
    const call = peers(`client-${hello}`, hello).linkToAddress(address, 'control').call(ask);
    await t.rejects(call.done, refusal('node.unreachable', /./));
  }
  t.equal(server.refusedHellos, 2);
  t.equal(asked, 0);
  const good = peers('client', 'client').linkToAddress(address, 'control').call(ask);
  t.equal(Buffer.from(await good.done).toString(), 'served');
  t.equal(asked, 1);
});
