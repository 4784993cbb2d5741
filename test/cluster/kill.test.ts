// Goal: with three nodes nothing acknowledged is lost and nothing is answered partially, whoever is killed.
// Method: real processes, real sockets, kill -9; every acknowledged sample is read back from every node.
import t from 'tap';
import { type NodeProcess, createCluster, eventually, isBuilt } from '../support/cluster.ts';

const SERIES = 40;

/** Writes one round to a node, and remembers what was acknowledged. Values name series and time. */
class Writer {
  readonly acknowledged = new Map<string, string>();
  readonly failures: number[] = [];
  readonly startMs = Date.now();
  #round = 0;

  async write(node: NodeProcess): Promise<number> {
    const round = this.#round++;
    const timeMs = this.startMs + round * 10;
    const series = Array.from({ length: SERIES }, (_, i) => ({
      labels: [
        ['__name__', 'written'],
        ['series', String(i)],
      ] as const,
      samples: [[timeMs, i * 1e6 + round]] as const,
    }));
    const status = await node.push(series);
    if (status === 204) {
      for (let i = 0; i < SERIES; i++)
        this.acknowledged.set(`${i}@${timeMs / 1000}`, String(i * 1e6 + round));
    } else {
      this.failures.push(status);
    }
    return status;
  }

  /** What is missing or wrong in the node's answer; 'error' for a query that failed. */
  async audit(node: NodeProcess): Promise<string> {
    const { body, status } = await node.query('query?query=written[1h]');
    if (status !== 200 || body.warnings !== undefined) return `error: ${JSON.stringify(body)}`;
    const found = new Map<string, string>();
    for (const { metric, values } of body.data?.result ?? []) {
      for (const [seconds, value] of values ?? [])
        found.set(`${metric['series']}@${seconds}`, value);
    }
    for (const [key, value] of this.acknowledged) {
      if (found.get(key) !== value) return `${key} is ${found.get(key)}, acknowledged was ${value}`;
    }
    return '';
  }
}

t.test(
  'three nodes lose nothing, whoever is killed',
  { skip: isBuilt() ? false : 'npm run build was not run' },
  async (t) => {
    const nodes = await createCluster(t.testdir(), 3);
    const [one, two, three] = nodes as readonly [NodeProcess, NodeProcess, NodeProcess];
    t.teardown(() => Promise.all(nodes.map((node) => node.kill())));
    const settled = (): Promise<void> =>
      eventually('three ready nodes at replication factor 3', async () => {
        const states = await Promise.all(
          nodes.map(
            async (node) => (await node.isReady()) && (await node.ring()).replicationFactor === 3,
          ),
        );
        return states.every((state) => state);
      });
    for (const node of nodes) node.start();
    await settled();
    const writer = new Writer();

    await t.test('one of three is killed under writes: no write and no query fails', async (t) => {
      for (let round = 0; round < 60; round++) {
        if (round === 20) void three.kill();
        t.equal(await writer.write(round % 2 === 0 ? one : two), 204);
        if (round % 10 === 9) t.equal(await writer.audit(round % 20 === 9 ? one : two), '');
      }
      t.equal(await writer.audit(one), '');
      t.equal(await writer.audit(two), '');
    });

    await t.test(
      'it comes back, replays and serves; then another one is killed and nothing is lost',
      async (t) => {
        three.start();
        await settled();
        for (const node of nodes) t.equal(await writer.audit(node), '');
        for (let round = 0; round < 10; round++) t.equal(await writer.write(three), 204);
        await one.kill();
        await eventually('the survivors answer', async () => (await writer.audit(two)) === '');
        for (let round = 0; round < 10; round++)
          t.equal(await writer.write(round % 2 === 0 ? two : three), 204);
        t.equal(await writer.audit(two), '');
        t.equal(await writer.audit(three), '');
      },
    );

    await t.test(
      'one alone answers 503 to writes and an error to queries, never a part',
      async (t) => {
        await Promise.all([two.kill(), three.kill()]);
        two.start();
        await eventually('the lone node listens', async () => (await fetch(`${two.base}/ring`)).ok);
        t.equal(await writer.write(two), 503);
        const { status, body } = await two.query('query?query=written');
        t.equal(status, 503);
        t.match(body, { status: 'error', errorId: 'read.incomplete' });
      },
    );

    await t.test('with all three back every acknowledged sample is there', async (t) => {
      one.start();
      three.start();
      await settled();
      for (const node of nodes) t.equal(await writer.audit(node), '', node.name);
      t.equal(await writer.write(one), 204);
    });

    await t.test('a node told to stop leaves, exits 0 and comes back with its data', async (t) => {
      t.equal(await one.kill('SIGTERM'), 0);
      t.equal(await writer.write(two), 204);
      t.equal(await writer.audit(two), '');
      one.start();
      await settled();
      t.equal(await writer.audit(one), '');
      t.same(new Set((await one.ring()).instances.map(({ state }) => state)), new Set(['ACTIVE']));
    });
  },
);

t.test(
  'D18, C7 a second process on one data directory is refused with a plain sentence',
  { skip: isBuilt() ? false : 'npm run build was not run' },
  async (t) => {
    const directory = t.testdir();
    const [first] = (await createCluster(directory, 1)) as readonly [NodeProcess];
    const [second] = (await createCluster(directory, 1)) as readonly [NodeProcess];
    t.teardown(() => Promise.all([first.kill(), second.kill()]));
    first.start();
    await eventually('the first is ready', () => first.isReady());
    second.start();
    await eventually('the second says why', async () => second.log.includes('\n'));
    t.match(second.log, /the data directory .* is used by another running process/);
    t.equal(await first.push([{ labels: [['__name__', 'x']], samples: [[Date.now(), 1]] }]), 204);
    await first.kill();
    second.start();
    await eventually('after the first is dead the second starts', () => second.isReady());
  },
);
