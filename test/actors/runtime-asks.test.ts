// Goal: asks are answered once, by whom they asked, in time or not at all; nobody can flood anybody.
// Method: runtimes over streams in memory, time that moves only when told; nact's traps one by one.
import t from 'tap';
import { z } from 'zod';
import {
  type Actor,
  type ActorOptions,
  ActorRuntime,
  type Message,
  type Reply,
  type StreamReply,
  checkedCodec,
} from '../../actors/runtime/index.ts';
import { StarlingError } from '../../model/errors.ts';
import type { InstanceId } from '../../model/ids.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { refusal } from '../support/refusal.ts';
import { MemoryWire, wire } from '../support/wired-runtimes.ts';

type Toy =
  | { readonly type: 'echo'; readonly text: string; readonly reply: Reply<string> }
  | { readonly type: 'fail'; readonly reply: Reply<null> }
  | { readonly type: 'hold'; readonly reply: Reply<string> }
  | {
      readonly type: 'pour';
      readonly frames: number;
      readonly bytes: number;
      readonly reply: StreamReply<number>;
    }
  | { readonly type: 'throw'; readonly reply: Reply<null> }
  | { readonly type: 'twice'; readonly reply: Reply<null> };

class ToyActor implements Actor<Toy> {
  readonly held: Reply<string>[] = [];
  sent = 0;

  receive(message: Toy): void {
    switch (message.type) {
      case 'echo':
        message.reply.ok(message.text);
        break;
      case 'fail':
        message.reply.fail(
          new StarlingError('sample.too_old', { series: '{a="b"}', timestampMs: 5, minTimeMs: 9 }),
        );
        break;
      case 'hold':
        this.held.push(message.reply);
        break;
      case 'pour':
        void this.#pour(message.frames, message.bytes, message.reply);
        break;
      case 'throw':
        throw new Error('a fault');
      case 'twice':
        message.reply.ok(null);
        message.reply.ok(null);
        break;
    }
  }

  async #pour(frames: number, bytes: number, reply: StreamReply<number>): Promise<void> {
    for (let i = 0; i < frames && !reply.isCancelled; i++) {
      this.sent++;
      await reply.frame(new Uint8Array(bytes));
    }
    if (!reply.isCancelled) reply.end(frames);
  }
}

/** What crosses between the toys, unchecked. */
const toyCodecs = new Map(
  ['echo', 'fail', 'hold', 'pour', 'throw', 'twice'].map((type) => [
    type,
    checkedCodec(type, z.looseObject({}), z.unknown()),
  ]),
);
const options = { timeoutMs: 1000, lane: 'control' } as const;
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function spawnToy(runtime: ActorRuntime, more: Partial<ActorOptions<Toy>> = {}): ToyActor[] {
  const made: ToyActor[] = [];
  runtime.spawn<Toy>({
    path: '/toy',
    mailboxMax: 1000,
    remote: toyCodecs,
    create: () => {
      const actor = new ToyActor();
      made.push(actor);
      return actor;
    },
    ...more,
  });
  return made;
}

async function pair() {
  const rpc = new MemoryWire();
  const clock = new FakeClock();
  const a = await wire('a', rpc, clock, { codecs: toyCodecs });
  const b = await wire('b', rpc, clock);
  const actors = spawnToy(b.runtime);
  const toB = { instance: 'b' as InstanceId, path: '/toy' };
  const ask = <Answer>(
    message: Message & Record<string, unknown>,
    from = a.runtime,
  ): Promise<Answer> => from.ask<Answer>(toB, message, options).done;
  return { rpc, clock, a, b, actors, toB, ask };
}

t.test('an ask is answered alike here and over there, errors with id and facts', async (t) => {
  const { a, b, ask } = await pair();
  for (const from of [a.runtime, b.runtime]) {
    t.equal(await ask({ type: 'echo', text: 'hello' }, from), 'hello');
    await t.rejects(ask({ type: 'fail' }, from), refusal('sample.too_old', /at 5 is before 9/));
  }
  await t.rejects(
    a.runtime.ask({ instance: 'b' as InstanceId, path: '/nobody' }, { type: 'fail' }, options).done,
    refusal('node.unimplemented', /\/nobody/),
  );
  await t.rejects(
    a.runtime.ask({ instance: 'unknown' as InstanceId, path: '/toy' }, { type: 'fail' }, options)
      .done,
    refusal('node.unreachable'),
  );
});

t.test('200,000 asks at once are each answered with their own answer', async (t) => {
  const rpc = new MemoryWire();
  const { runtime } = await wire('a', rpc);
  spawnToy(runtime, { mailboxMax: 200_000 });
  let wrong = 0;
  const to = { instance: 'a' as InstanceId, path: '/toy' };
  await Promise.all(
    Array.from({ length: 200_000 }, async (_, i) => {
      if (
        (await runtime.ask<string>(to, { type: 'echo', text: String(i) }, options).done) !==
        String(i)
      )
        wrong++;
    }),
  );
  t.equal(wrong, 0);
});

t.test('asks of one turn travel in one frame', async (t) => {
  const { rpc, ask } = await pair();
  await ask({ type: 'echo', text: 'warm' });
  const before = rpc.framesByLane.get('control') ?? 0;
  await Promise.all(Array.from({ length: 50 }, (_, i) => ask({ type: 'echo', text: String(i) })));
  t.ok(
    (rpc.framesByLane.get('control') ?? 0) - before <= 60,
    'one frame of asks; an actor answers one a turn',
  );
});

t.test('a mailbox takes what it may hold and refuses the rest before dispatching it', async (t) => {
  const { runtime } = await wire('a', new MemoryWire());
  spawnToy(runtime, { mailboxMax: 10 });
  const to = { instance: 'a' as InstanceId, path: '/toy' };
  const asks = Array.from(
    { length: 25 },
    (_, i) => runtime.ask<string>(to, { type: 'echo', text: String(i) }, options).done,
  );
  const outcomes = await Promise.allSettled(asks);
  t.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 10);
  t.match(outcomes.at(-1), { status: 'rejected', reason: { id: 'node.overloaded' } });
  t.match(runtime.statuses()[0], { shed: 15, handled: 10, depth: 0 });
});

t.test('a deadline answers the asker and reaches the handler, here and over there', async (t) => {
  const { a, actors, ask, b, clock } = await pair();
  for (const from of [a.runtime, b.runtime]) {
    const outcome = ask({ type: 'hold' }, from);
    const rejected = t.rejects(outcome, refusal('request.deadline', /1000 ms/));
    while ((actors[0]?.held.length ?? 0) === 0) await turn();
    clock.advance(1001);
    await rejected;
    for (let i = 0; i < 10; i++) await turn();
    const [held] = actors[0]!.held.splice(0);
    t.equal(held?.isCancelled, true);
    t.doesNotThrow(() => held?.ok('too late'), 'a late answer is dropped');
  }
});

t.test('cancelling reaches the handler', async (t) => {
  const { a, actors, toB } = await pair();
  const call = a.runtime.ask<string>(toB, { type: 'hold' }, options);
  while ((actors[0]?.held.length ?? 0) === 0) await turn();
  let isTold = false;
  actors[0]!.held[0]!.onCancel(() => (isTold = true));
  call.cancel();
  await t.rejects(call.done, refusal('request.canceled'));
  for (let i = 0; i < 10; i++) await turn();
  t.ok(isTold);
});

t.test('a handler that throws fails its ask and is restarted after a back-off', async (t) => {
  const { actors, ask, b, clock } = await pair();
  await t.rejects(ask({ type: 'throw' }, b.runtime), refusal('internal'));
  await t.rejects(
    ask({ type: 'echo', text: 'x' }, b.runtime),
    refusal('node.not_ready', /restarting/),
  );
  clock.advance(100);
  t.equal(await ask({ type: 'echo', text: 'again' }, b.runtime), 'again');
  t.equal(actors.length, 2, 'state was made anew');
  t.match(b.runtime.statuses()[0], { failed: 1, restarts: 1, state: 'running' });
  t.equal(await ask<null>({ type: 'twice' }, b.runtime), null);
  await turn();
  t.match(b.runtime.statuses()[0], { failed: 2 }, 'a second answer is a programmer error');
});

t.test('a storm of restarts is escalated and the actor stays stopped', async (t) => {
  const { ask, b, clock } = await pair();
  for (let i = 0; i < 11; i++) {
    await t.rejects(ask({ type: 'throw' }, b.runtime), refusal('internal'));
    clock.advance(10_000);
  }
  t.same(b.escalated, ['/toy']);
  await t.rejects(
    ask({ type: 'echo', text: 'x' }, b.runtime),
    refusal('node.not_ready', /stopped/),
  );
});

t.test(
  'an answer in frames is at most its credit ahead of the reader, and control does not wait for it',
  async (t) => {
    const { a, actors, toB, ask } = await pair();
    const frames: number[] = [];
    const call = a.runtime.ask<number>(
      toB,
      { type: 'pour', frames: 400, bytes: 256 * 1024 },
      { timeoutMs: 60_000, lane: 'read' },
      (frame) => frames.push(frame.length),
    );
    let controlTurns = 0;
    while (frames.length < 200) {
      await turn();
      t.ok(actors[0]!.sent - frames.length <= 5, 'credit');
    }
    const answered = ask({ type: 'echo', text: 'urgent' });
    let isAnswered = false;
    void answered.then(() => (isAnswered = true));
    while (!isAnswered) {
      await turn();
      controlTurns++;
    }
    t.ok(controlTurns < 20, `${controlTurns} turns while 100 MB are on their way`);
    t.ok(frames.length < 400);
    t.equal(await call.done, 400);
    t.equal(frames.length, 400);
  },
);

t.test(
  'a broken stream fails what waits for it at once and cancels what it carried in',
  async (t) => {
    const { actors, ask, rpc } = await pair();
    const rejected = t.rejects(ask({ type: 'hold' }), refusal('node.unreachable', /cut/));
    while ((actors[0]?.held.length ?? 0) === 0) await turn();
    rpc.cut();
    await rejected;
    t.equal(actors[0]!.held[0]!.isCancelled, true);
  },
);

t.test('nothing is served before a hello that proves the cluster', async (t) => {
  const { b, clock, rpc, toB } = await pair();
  const intruder = await wire('intruder', rpc, clock, { codecs: toyCodecs });
  await t.rejects(
    intruder.runtime.ask(toB, { type: 'echo', text: 'x' }, options).done,
    refusal('node.unreachable'),
  );
  t.equal(b.runtime.peers.refusedHellos, 1);
  const stream = rpc.connect('b', 'control');
  let closed = '';
  stream.onClose((why) => (closed = why));
  stream.send(Uint8Array.of(0xff, 0xff, 0xff));
  for (let i = 0; i < 10; i++) await turn();
  t.match(closed, /malformed/);
});

t.test('an actor has at most about a hundred siblings', async (t) => {
  const { runtime } = await wire('a', new MemoryWire());
  const spawn = (i: number): void =>
    runtime.spawn<Toy>({ path: `/shard/${i}`, mailboxMax: 1, create: () => new ToyActor() });
  for (let i = 0; i < 100; i++) spawn(i);
  t.throws(() => spawn(100), /too many children/);
  t.throws(() => spawn(5), /exists/);
});
