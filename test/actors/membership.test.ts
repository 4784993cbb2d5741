// Goal: the membership actor says 'merged' only when it is so, believes nobody in another one's name,
// and ends its node rather than forget what it heard.
// Method: two of them over streams in memory, with disks that take as long as they are told.
import t from 'tap';
import { MembershipActor } from '../../actors/membership/actor.ts';
import { ClusterViews } from '../../actors/membership/cluster-view.ts';
import { membershipCodecs } from '../../actors/membership/codecs.ts';
import { MEMBERSHIP_PATH } from '../../actors/membership/messages.ts';
import type { OutgoingMessage } from '../../actors/runtime/index.ts';
import { checkedCodec } from '../../actors/runtime/index.ts';
import type { Registry } from '../../membership/index.ts';
import type { StoreId } from '../../membership/registry/records.ts';
import type { InstanceId } from '../../model/ids.ts';
import { z } from 'zod';
import { FakeClock } from '../support/fake-clock.ts';
import { refusal } from '../support/refusal.ts';
import { silentLog } from '../support/toy-tsdb.ts';
import { MemoryWire, wire } from '../support/wired-runtimes.ts';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const turns = async (count: number): Promise<void> => {
  for (let i = 0; i < count; i++) await turn();
};
const control = { timeoutMs: 60_000, lane: 'control' } as const;
/** A sender that checks nothing of what it sends. */
const unchecked = new Map(
  [
    ...membershipCodecs.keys(),
    'exchanged',
    'forget',
    'input',
    'pull',
    'records',
    'tick',
    'wrote',
  ].map((type) => [type, checkedCodec(type, z.looseObject({}), z.unknown())]),
);

async function member(name: string, rpc: MemoryWire, clock: FakeClock, hasSeeds: boolean) {
  const views = new ClusterViews();
  const saved: Registry[] = [];
  const subscribers = new Set<() => void>();
  const disk = { turns: 0, fault: undefined as Error | undefined };
  const ended: string[] = [];
  const wired = await wire(name, rpc, clock, { codecs: membershipCodecs });
  const { runtime } = wired;
  const subscribe = (callback: (value: never) => void): (() => boolean) => {
    const entry = (): void => callback(undefined as never); // only counted here
    subscribers.add(entry);
    return () => subscribers.delete(entry);
  };
  let made = 0;
  const state: { actor?: MembershipActor } = {};
  runtime.spawn({
    path: MEMBERSHIP_PATH,
    mailboxMax: 1000,
    remote: membershipCodecs,
    canRestart: false,
    create: (context) => {
      made++;
      return (state.actor = new MembershipActor(context, {
        clock,
        log: silentLog,
        runtime: () => runtime,
        gossip: {
          onRecord: subscribe,
          onEvent: subscribe,
          broadcast: () => undefined,
          answerPing: () => {
            if (disk.fault !== undefined) throw disk.fault;
            return true;
          },
          answerPushPull: () => undefined,
          raiseBoot: () => undefined,
        },
        identity: { raiseBootCounter: () => Promise.resolve() },
        registryFile: {
          save: async (registry) => {
            await turns(disk.turns);
            saved.push(registry);
          },
        },
        views,
        registry: undefined,
        config: {
          instanceId: name as InstanceId,
          storeId: 'ab'.repeat(16) as StoreId, // any will do
          bootCounter: 1,
          zone: name,
          addresses: { http: `${name}:1`, grpc: `${name}:2`, gossip: `${name}:3` },
          softwareVersion: '0.0.0',
          replicationFactor: 3,
          hasSeeds,
          holdsData: false,
          lostBeforeMs: 0,
          draws: { tokenSeed: 7, clusterId: 'ab'.repeat(16), fingerprintSecret: 'cd'.repeat(16) },
        },
        onReady: () => undefined,
        onEnd: (why) => void ended.push(why),
        onClusterReplaced: () => undefined,
        onStopped: () => undefined,
      }));
    },
  });
  const ask = <Answer>(to: string, message: OutgoingMessage): Promise<Answer> =>
    runtime.ask<Answer>({ instance: to as InstanceId, path: MEMBERSHIP_PATH }, message, control)
      .done;
  await turns(20);
  return { ...wired, views, saved, disk, ended, subscribers, ask, made: () => made };
}

async function two() {
  const rpc = new MemoryWire();
  const clock = new FakeClock();
  const a = await member('a', rpc, clock, false);
  const b = await member('b', rpc, clock, true);
  const stranger = await wire('stranger', rpc, clock, { codecs: unchecked });
  const send = (message: OutgoingMessage): Promise<unknown> =>
    stranger.runtime.ask({ instance: 'b' as InstanceId, path: MEMBERSHIP_PATH }, message, control)
      .done;
  return { a, b, clock, send };
}

t.test('a pull is answered when the registry of the peer is durable and published', async (t) => {
  const { a, b } = await two();
  const { cluster } = a.views.current.registry;
  t.ok(cluster, 'the one without seeds began a cluster');
  t.equal(b.views.current.registry.cluster, undefined);
  b.disk.turns = 50;
  const version = b.views.current.version;
  const pulled = b.ask<null>('b', { type: 'pull', peer: 'a' });
  // What came before it in the mailbox must not make it answer early.
  for (let i = 0; i < 100; i++) b.runtime.tell(MEMBERSHIP_PATH, { type: 'tick' });
  await pulled;
  t.same(b.views.current.registry.cluster, cluster);
  t.ok(b.views.current.registry.instances.has('a' as InstanceId));
  t.ok(b.views.current.version > version);
  t.ok(
    b.saved.some((registry) => registry.instances.has('a' as InstanceId)),
    'on disk too',
  );
});

t.test('a pull of a peer that is not there fails', async (t) => {
  const { b } = await two();
  await t.rejects(b.ask('b', { type: 'pull', peer: 'nobody' }), refusal('node.unreachable'));
});

t.test('nothing malformed or local gets from another instance to the actor', async (t) => {
  const { b, send } = await two();
  const before = b.runtime.statuses()[0]?.handled;
  const check = async (message: OutgoingMessage, id: 'node.unimplemented' | 'protobuf.corrupt') =>
    t.rejects(send(message), refusal(id), JSON.stringify(message));
  await check({ type: 'exchange' }, 'protobuf.corrupt');
  await check({ type: 'exchange', exchange: null }, 'protobuf.corrupt');
  await check({ type: 'exchange', exchange: { from: 'stranger' } }, 'protobuf.corrupt');
  await check({ type: 'exchange', exchange: { from: '../x', records: [] } }, 'protobuf.corrupt');
  await check({ type: 'exchange', exchange: { from: 'b', records: [7] } }, 'protobuf.corrupt');
  const long = new Uint8Array(513);
  await check({ type: 'exchange', exchange: { from: 'b', records: [long] } }, 'protobuf.corrupt');
  await check({ type: 'ballot', ballot: { kind: 'coup' } }, 'protobuf.corrupt');
  await check({ type: 'ping' }, 'protobuf.corrupt');
  await check({ type: 'push-pull', bytes: 'text' }, 'protobuf.corrupt');
  const answer = { from: 'stranger', records: [] };
  await check({ type: 'exchanged', with: 'a', answer }, 'node.unimplemented');
  await check({ type: 'forget', instance: 'a' }, 'node.unimplemented');
  await check({ type: 'input', input: { type: 'stop-requested' } }, 'node.unimplemented');
  await check({ type: 'pull', peer: 'a' }, 'node.unimplemented');
  await check({ type: 'records', records: [] }, 'node.unimplemented');
  await check({ type: 'tick' }, 'node.unimplemented');
  await check({ type: 'wrote' }, 'node.unimplemented');
  t.match(b.runtime.statuses()[0], { handled: before, failed: 0, restarts: 0 });
});

t.test('an instance speaks for itself only', async (t) => {
  const { b, send } = await two();
  const exchange = { from: 'a', records: [] };
  await t.rejects(
    send({ type: 'exchange', exchange }),
    refusal('protobuf.corrupt', /from stranger/),
  );
  const ballot = {
    kind: 'ack',
    from: 'a',
    stamp: '',
    record: null,
    electorate: '',
    isReturning: false,
    why: '',
  };
  await t.rejects(send({ type: 'ballot', ballot }), refusal('protobuf.corrupt', /of a from/));
  t.equal(await send({ type: 'ballot', ballot: { ...ballot, from: 'stranger' } }), null);
  t.equal(b.runtime.statuses()[0]?.restarts, 0);
});

t.test('a fault ends the node: the actor is not made anew, and hears gossip no more', async (t) => {
  const { b, clock, send } = await two();
  t.equal(b.subscribers.size, 2);
  b.disk.fault = new Error('a fault');
  await t.rejects(send({ type: 'ping', target: 'b' }), refusal('internal'));
  t.same(b.escalated, [MEMBERSHIP_PATH]);
  t.equal(b.subscribers.size, 0);
  clock.advance(60_000);
  await turns(20);
  t.equal(b.made(), 1, 'nothing is published from the state of its start');
  await t.rejects(send({ type: 'ping', target: 'b' }), refusal('node.not_ready', /stopped/));
});
