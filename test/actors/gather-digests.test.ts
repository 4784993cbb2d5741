// Goal: replicas that hold the same send it once, and what differs always comes. Method: three replicas with a letter
// each, and what is asked of them.
import t from 'tap';
import { DigestLuck } from '../../actors/querier/digest-luck.ts';
import { type GatherOptions, gather } from '../../actors/querier/gather.ts';
import type { ReadPlan } from '../../membership/index.ts';
import { gatherWorld } from '../support/gather-world.ts';

/** Three replicas that hold a letter each; '-' is down. What was asked is noted as 'instance:content'. */
function replicasWith(letters: Readonly<Record<string, string>>) {
  const { options } = gatherWorld(mapped(letters, (letter) => (letter === '-' ? 'down' : 'ok')));
  const asked: string[] = [];
  const ask: GatherOptions['ask'] = (instance, onFrame, content) => {
    asked.push(`${instance}:${content ?? 'series'}`);
    const letter = letters[instance]!;
    const isTold = content !== undefined && letter === letter.toLowerCase();
    const handle = options.ask(
      instance,
      () => {
        if (content === 'instead' && isTold) return;
        onFrame(Buffer.from(`${instance}${letter}`));
      },
      content,
    );
    const done = handle.done.then((summary) =>
      isTold ? { ...summary, content: letter } : summary,
    );
    return { ...handle, done };
  };
  return { asked, options: { ...options, ask, digests: true } };
}

function mapped<From, To>(
  record: Readonly<Record<string, From>>,
  to: (value: From) => To,
): Record<string, To> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, to(value)]));
}

t.test('gather() asks replicas for digests, and for series only where these differ', async (t) => {
  const check = async (
    contents: string,
    expected: { readonly asks: string; readonly frames: string; readonly replicas?: string },
    change: Partial<GatherOptions> = {},
  ): Promise<void> => {
    const [a = '', b = '', c = ''] = contents.split(' ');
    const { asked, options } = replicasWith({ a, b, c });
    const { frames, instances, replicas } = await gather({ ...options, ...change });
    const came = frames
      .flat()
      .map((frame) => Buffer.from(frame).toString())
      .sort();
    const told = { asks: asked.join(' '), frames: came.join(' '), replicas: replicas ?? 'untold' };
    t.match(told, { replicas: 'untold', ...expected }, contents);
    t.equal(instances.length, frames.length);
  };
  // A capital letter is an answer that is not small: it tells no digest.
  await check('x x x', { asks: 'b:instead a:also', frames: 'ax', replicas: 'agree' });
  await check('x y x', { asks: 'b:instead a:also b:series', frames: 'ax by', replicas: 'differ' });
  await check('X X x', { asks: 'b:instead a:also', frames: 'aX bX' });
  await check('x X x', { asks: 'b:instead a:also', frames: 'ax bX' });
  await check('X x x', {
    asks: 'b:instead a:also b:series',
    frames: 'aX bx',
    replicas: 'differ',
  });
  // Of three, one is down: who was asked first sent nothing, so another one is asked for its series.
  await check('- x x', {
    asks: 'b:instead a:also c:also',
    frames: 'cx',
    replicas: 'agree',
  });
  await check('x - x', { asks: 'b:instead a:also c:instead', frames: 'ax', replicas: 'agree' });
  await check('x - y', {
    asks: 'b:instead a:also c:instead c:series',
    frames: 'ax cy',
    replicas: 'differ',
  });
  await check('x x x', { asks: 'b:series a:series', frames: 'ax bx' }, { digests: false });
});

t.test('gather() asks nobody for a digest who does not hold every series', async (t) => {
  const { asked, options } = replicasWith({ a: 'x', b: 'x', c: 'x' });
  const plan = (): ReadPlan => ({ ...options.plan(), areReplicas: false });
  const { replicas } = await gather({ ...options, plan });
  t.same([asked.join(' '), replicas], ['b:series a:series', undefined]);
});

t.test(
  'an answer told by its digest only does not count once the series it equals do not',
  async (t) => {
    // What a knew is not known here, so its series are dropped; b told no series yet.
    const { asked, options } = replicasWith({ a: 'x', b: 'x', c: 'x' });
    const ask: GatherOptions['ask'] = (instance, onFrame, content) => {
      const handle = options.ask(instance, onFrame, content);
      const done = handle.done.then((summary) =>
        instance === 'a' ? { ...summary, digest: 'of a stranger' } : summary,
      );
      return { ...handle, done };
    };
    const knowsRegistryOf = (): Promise<boolean> => Promise.resolve(false);
    const { frames } = await gather({ ...options, ask, knowsRegistryOf });
    t.same(asked, ['b:instead', 'a:also', 'c:also']);
    t.same(
      frames.flat().map((frame) => Buffer.from(frame).toString()),
      ['cx'],
    );
  },
);

t.test('digests are asked for the less often, the more often replicas differ', async (t) => {
  const luck = new DigestLuck();
  const triesUntil = (replicas: 'agree' | 'differ', queries: number): number => {
    let tries = 0;
    for (let i = 0; i < queries; i++) {
      if (!luck.mayTry()) continue;
      tries++;
      luck.note(replicas);
    }
    return tries;
  };
  t.equal(triesUntil('agree', 100), 100);
  t.ok(triesUntil('differ', 1000) < 30);
  t.ok(triesUntil('agree', 200) > 130, 'and they are asked for again when replicas agree');
});
