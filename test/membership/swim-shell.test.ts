// Goal: Gossip, the shell, runs the core over the platform's seams, and the npm package's Swim
// object works through it with all five parts replaced. Method: nodes on an in-memory network with
// a virtual clock (no socket, no real timer), and once through the package's own bootstrap and join.
import t from 'tap';
import Swim from 'swim';
import { Gossip, type GossipOptions, type ReliableChannel } from '../../membership/gossip.ts';
import type { MemberEvent } from '../../membership/swim/types.ts';
import { parseInstanceId } from '../../model/ids.ts';
import type { Clock, DatagramSocket, Log } from '../../platform/platform.ts';
import { createNodeCiphers } from '../../platform/node/ciphers.ts';
import { randomSeam } from '../support/random-seam.ts';
import { seededRandom } from '../../sim/membership/cluster.ts';

const SECRET = new Uint8Array(32).fill(7);

interface PendingTimer {
  readonly atMs: number;
  readonly run: () => void;
  isCancelled: boolean;
}

/** Virtual time: `run` fires what is due, letting promises settle in between. */
class World {
  nowMs = 1_000;
  readonly #timers = new Set<PendingTimer>();
  readonly sockets = new Map<string, (bytes: Uint8Array, from: string) => void>();
  readonly gossips = new Map<string, Gossip>();
  readonly logged: string[] = [];
  isChannelStuck = false;
  #nextPort = 10_001;

  readonly clock: Clock = {
    wallMs: () => this.nowMs,
    monotonicMs: () => this.nowMs,
    after: (delayMs, run) => {
      const timer: PendingTimer = { atMs: this.nowMs + delayMs, run, isCancelled: false };
      this.#timers.add(timer);
      return { cancel: () => (timer.isCancelled = true) };
    },
    nextTurn: (run) => void this.clock.after(0, run),
    afterPromises: (run) => process.nextTick(run),
  };

  async run(durationMs: number): Promise<void> {
    const endMs = this.nowMs + durationMs;
    for (;;) {
      for (let i = 0; i < 12; i++) await Promise.resolve();
      const due = [...this.#timers]
        .filter((timer) => !timer.isCancelled && timer.atMs <= endMs)
        .sort((a, b) => a.atMs - b.atMs)[0];
      if (due === undefined) break;
      this.#timers.delete(due);
      this.nowMs = Math.max(this.nowMs, due.atMs);
      due.run();
    }
    this.nowMs = endMs;
  }

  get timerCount(): number {
    return [...this.#timers].filter((timer) => !timer.isCancelled).length;
  }

  bind(address: string, receive: (bytes: Uint8Array, from: string) => void): DatagramSocket {
    const bound = address.endsWith(':0')
      ? address.replace(/0$/, String(this.#nextPort++))
      : address;
    if (this.sockets.has(bound)) throw Object.assign(new Error('in use'), { code: 'EADDRINUSE' });
    this.sockets.set(bound, receive);
    return {
      address: bound,
      send: (to, bytes) => void this.clock.after(1, () => this.sockets.get(to)?.(bytes, bound)),
      close: async () => void this.sockets.delete(bound),
    };
  }

  /** The control lane: calls arrive if the other side listens, and hang while it is stuck. */
  readonly channel: ReliableChannel = {
    ping: async ({ address, target }) => {
      if (this.isChannelStuck) return new Promise(() => undefined);
      return this.#reach(address).answerPing(target);
    },
    pushPull: async ({ address, bytes }) => {
      if (this.isChannelStuck) return new Promise(() => undefined);
      const answer = this.#reach(address).answerPushPull(bytes);
      if (answer === undefined) throw new Error('refused');
      return answer;
    },
  };

  #reach(address: string): Gossip {
    const peer = this.gossips.get(address);
    if (peer === undefined || !this.sockets.has(address)) throw new Error('refused');
    return peer;
  }

  readonly log: Log = {
    debug: () => undefined,
    info: (event) => void this.logged.push(event),
    warn: (event) => void this.logged.push(event),
    error: (event) => void this.logged.push(event),
    child: () => this.log,
  };

  /** A node that is not started yet. */
  make(name: string, options: Partial<GossipOptions> = {}): Gossip {
    return new Gossip(
      { id: parseInstanceId(name), boot: 1, label: 'prod', secrets: [SECRET], ...options },
      {
        clock: this.clock,
        random: randomSeam(seededRandom(this.#nextPort * 31 + name.length * 7)),
        ciphers: createNodeCiphers(),
        log: this.log,
        datagrams: { bind: async (address, receive) => this.bind(address, receive) },
        channel: this.channel,
      },
    );
  }

  async start(name: string, options: Partial<GossipOptions> = {}): Promise<Gossip> {
    const gossip = this.make(name, options);
    await gossip.start({ listenAddress: '10.1.0.1:0' });
    this.gossips.set(gossip.self().address, gossip);
    return gossip;
  }
}

async function startThree(world: World): Promise<[Gossip, Gossip, Gossip]> {
  const a = await world.start('a');
  const b = await world.start('bb');
  const c = await world.start('ccc');
  b.join([a.self().address]);
  c.join([a.self().address]);
  await world.run(1_000);
  return [a, b, c];
}

const statesOf = (gossip: Gossip): string[] =>
  gossip
    .members()
    .map((member) => `${member.id} ${member.state}`)
    .sort();

t.test('Gossip joins, notices a crash, and stops without a timer left', async (test) => {
  const world = new World();
  const [a, b, c] = await startThree(world);
  test.same(statesOf(a), ['bb alive', 'ccc alive']);
  test.same(statesOf(c), ['a alive', 'bb alive']);
  const events: string[] = [];
  a.onEvent((event: MemberEvent) => events.push(`${event.type} ${event.member.id}`));
  await world.run(5_000);
  test.ok((a.member(parseInstanceId('bb'))?.rttMs ?? 0) >= 2, 'round trips are measured');
  await c.stop();
  await c.stop();
  await world.run(12_000);
  test.same(events, ['suspect ccc', 'dead ccc']);
  test.same(statesOf(b), ['a alive', 'ccc dead']);
  test.ok(world.logged.includes('gossip member dead'));
  await a.stop();
  await b.stop();
  await world.run(20_000);
  test.equal(world.timerCount, 0);
  test.equal(world.sockets.size, 0);
});

t.test('Gossip.leave() is heard as left and ends by itself', async (test) => {
  const world = new World();
  const [a, b, c] = await startThree(world);
  let isDone = false;
  const left = c.leave(5_000).then(() => (isDone = true));
  await world.run(5_000);
  test.ok(isDone, 'it does not wait for the deadline');
  await left;
  await c.leave(5_000);
  await c.stop();
  await world.run(10_000);
  test.same(statesOf(a), ['bb alive', 'ccc left']);
  test.same(statesOf(b), ['a alive', 'ccc left']);
});

t.test('Gossip.join() retries seeds for ever and reports isolation', async (test) => {
  const world = new World();
  const b = await world.start('bb');
  test.equal(b.isIsolated(), false, 'without seeds it is a cluster of one');
  b.join(['10.1.0.1:10002']);
  await world.run(120_000);
  test.equal(b.isIsolated(), true);
  const a = await world.start('a');
  test.equal(a.self().address, '10.1.0.1:10002');
  await world.run(6_000);
  test.same(statesOf(a), ['bb alive']);
  test.equal(b.isIsolated(), false);
});

t.test('Gossip survives a control lane that never answers', async (test) => {
  const world = new World();
  const [a, b, c] = await startThree(world);
  world.isChannelStuck = true;
  await world.run(300_000);
  test.same(statesOf(a), ['bb alive', 'ccc alive']);
  test.ok(a.stats().counters.push_pulls_failed > 3, 'deadlines end the calls');
  await c.stop();
  await world.run(20_000);
  test.same(statesOf(b), ['a alive', 'ccc dead'], 'datagrams alone still find the dead');
});

t.test('Gossip delivers records and hands out the local ones', async (test) => {
  const world = new World();
  const record = new Uint8Array([9, 9, 9]);
  const a = await world.start('a', { localRecords: () => [record] });
  const b = await world.start('bb');
  const heard: string[] = [];
  b.onRecord((bytes) => heard.push(bytes.join('.')));
  b.join([a.self().address]);
  await world.run(500);
  test.same(heard, ['9.9.9'], 'by push/pull');
  a.broadcast('a', new Uint8Array([1, 2]));
  await world.run(1_000);
  test.ok(heard.includes('1.2'), 'by gossip');
  test.throws(() => a.broadcast('a', new Uint8Array(513)), /1 to 512 bytes/);
  test.equal(a.answerPushPull(new Uint8Array([7])), undefined);
});

t.test(
  'Gossip hears neither another label, nor no key, nor noise, and counts them',
  async (test) => {
    const world = new World();
    const a = await world.start('a');
    const strangers = [
      await world.start('other', { label: 'test' }),
      await world.start('plain', { secrets: [] }),
      await world.start('wrong', { secrets: [new Uint8Array(32).fill(8)] }),
    ];
    for (const stranger of strangers) stranger.join([a.self().address]);
    world.sockets.get(a.self().address)?.(new Uint8Array(100), '192.0.2.9:9');
    await world.run(3_000);
    const before = a.members().length;
    test.equal(before, 3, 'the test lane has no hello, so push/pull lets them in');
    const { drops } = a.stats();
    test.ok(drops.cipher_label > 0 && drops.cipher_mode > 0 && drops.cipher_key_unknown > 0);
    test.equal(drops.cipher_version, 1);
    test.ok(world.logged.includes('gossip datagrams dropped'));
    const first = strangers[0]?.dialHello(undefined).first ?? new Uint8Array(0);
    const verdict = a.acceptHello().receive(first);
    test.match(verdict, { refused: 'label' }, 'the hello is what keeps them out');
  },
);

t.test(
  'Gossip.setSecrets() rotates the key of a running cluster without a suspicion',
  async (test) => {
    const world = new World();
    const nodes = await startThree(world);
    const fresh = new Uint8Array(32).fill(9);
    for (const secrets of [[SECRET, fresh], [fresh, SECRET], [fresh]]) {
      for (const node of nodes) {
        node.setSecrets(secrets);
        await world.run(3_000);
      }
    }
    for (const node of nodes) {
      test.equal(node.stats().counters.suspicions_started, 0);
      test.equal(node.stats().drops.cipher_key_unknown, 0);
    }
    test.throws(() => nodes[0].setSecrets([]), /cannot be switched/);
  },
);

t.test('Gossip.start() refuses addresses that nobody can use', async (test) => {
  const world = new World();
  const check = async (listenAddress: string, advertiseAddress?: string): Promise<void> => {
    const options = advertiseAddress === undefined ? {} : { advertiseAddress };
    const started = world.make('a').start({ listenAddress, ...options });
    await test.rejects(
      started,
      { message: /advertise.gossip/ },
      `${listenAddress} ${advertiseAddress ?? ''}`,
    );
  };
  await check('0.0.0.0:7946');
  await check('10.0.0.1:7946', 'node-1.example.org:7946');
  test.equal(world.sockets.size, 0, 'and closes the socket');
  await world.make('a').start({ listenAddress: '10.0.0.1:7946' });
  const second = world.make('b').start({ listenAddress: '10.0.0.1:7946' });
  await test.rejects(second, { code: 'EADDRINUSE' }, 'a bind error is an error, not a crash');
  const any = world.make('c');
  await any.start({
    listenAddress: '0.0.0.0:0',
    advertiseAddress: '10.9.9.9:0',
    controlAddress: '[::1]:9095',
  });
  test.match(any.self().address, /^10\.9\.9\.9:\d{5}$/, 'port 0 is the bound one');
  test.equal(any.self().controlAddress, '[0:0:0:0:0:0:0:1]:9095');
});

t.test(
  'createSwimShell() has every field that the constructor of the package sets',
  async (test) => {
    const constructed = Reflect.construct(Swim, [{ local: { host: '127.0.0.1:1' } }]) as Swim & {
      net: { udpSocket: { close(): void } };
    };
    constructed.net.udpSocket.close();
    const shell = new World().make('a').swim;
    test.ok(shell instanceof Swim);
    test.same(Object.keys(shell).sort(), Object.keys(constructed).sort());
    for (const part of ['codec', 'disseminator', 'failureDetector', 'membership', 'net'] as const) {
      test.not(shell[part].constructor, constructed[part].constructor, `${part} is ours`);
    }
  },
);

t.test(
  'the package works through our parts: members, whoami, join, events, leave',
  async (test) => {
    const world = new World();
    const [a, b, c] = await startThree(world);
    const changes: string[] = [];
    a.swim.on(Swim.EventType.Change, (member: { meta: { id: string }; state: number }) => {
      changes.push(`${member.meta.id} ${member.state}`);
    });
    test.equal(a.swim.whoami(), a.self().address);
    test.equal(a.swim.members().length, 2);
    test.equal(a.swim.members(true).length, 3);
    test.equal(a.swim.checksum(), b.swim.checksum(), 'equal views, equal checksums');
    test.throws(() => a.swim.updateMeta({ x: 1 }), /registry/);
    const d = await world.start('dddd');
    const joined = new Promise<void>((resolve, reject) => {
      d.swim.join([a.self().address], (error) => (error === undefined ? resolve() : reject(error)));
    });
    await world.run(1_000);
    await joined;
    test.same(changes, ['dddd 0']);
    const codec = a.swim.codec;
    const bytes = codec.encode({ type: 'nack', nonce: 3n } as never);
    test.match(codec.decode(bytes), { messages: [{ type: 'nack', nonce: 3n }] });
    c.swim.leave();
    test.equal(c.swim.state, Swim.State.Stopped);
    await world.run(15_000);
    test.equal(a.swim.members().length, 2);
    test.equal(a.swim.members(false, true).length, 3);
    test.ok(changes.includes('ccc 2'));
  },
);
