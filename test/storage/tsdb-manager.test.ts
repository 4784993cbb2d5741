// Goal: however many tenants are named, a node has a bounded number of them open, closing one loses
// nothing and changes no promise, and a small one costs little.
// Method: a manager on a disk in memory under a fake clock.
import t from 'tap';
import { type TenantId, parseTenantId } from '../../model/ids.ts';
import { Committer, type Tsdb, TsdbManager, selectFrames } from '../../storage/index.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { refusal } from '../support/refusal.ts';
import {
  EVERYTHING,
  batchOf,
  linesOf,
  metric,
  selectAll,
  silentLog,
  toyOptions,
} from '../support/toy-tsdb.ts';

const NOW = 1_700_000_000_000;
const HOUR_MS = 3_600_000;

interface Toy {
  readonly tenants: TsdbManager;
  readonly clock: FakeClock;
  readonly disk: MemoryDisk;
}

function managerOn(disk: MemoryDisk, openMax: number, clock = new FakeClock()): Toy {
  disk.putFile('/data/tenants/.keep', Buffer.of());
  const committer = new Committer({
    clock,
    log: silentLog,
    mode: 'batch',
    intervalMs: 1000,
    onFatal: () => undefined,
  });
  const tenants = new TsdbManager({
    clock,
    disk,
    directory: '/data/tenants',
    openMax,
    optionsOf: () => ({ ...toyOptions(), committer }),
  });
  return { tenants, clock, disk };
}

const tenant = (name: string): TenantId => parseTenantId(name);

async function write({ tenants }: Toy, name: string, timeMs = NOW): Promise<Tsdb> {
  const tsdb = await tenants.open(tenant(name));
  tsdb.append(batchOf([{ labels: metric('up', { of: name }), samples: [[timeMs, 1]] }]), timeMs);
  await tsdb.durable();
  return tsdb;
}

async function linesFrom({ tenants }: Toy, name: string): Promise<readonly string[]> {
  const tsdb = await tenants.find(tenant(name));
  return tsdb === undefined ? [] : linesOf(selectAll(tsdb));
}

const openNames = ({ tenants }: Toy): string[] => Array.from(tenants.all(), ([name]) => name);

t.test('past the bound a new tenant is refused with 503, and known ones go on', async (t) => {
  const toy = managerOn(new MemoryDisk(), 2);
  await write(toy, 'a');
  await write(toy, 'b');
  await t.rejects(write(toy, 'c'), refusal('limit.tenants_per_node', /has 2 tenants open/));
  await Promise.allSettled([write(toy, 'd'), write(toy, 'e')]);
  t.same(openNames(toy), ['a', 'b']);
  await write(toy, 'a', NOW + 1);
  t.equal((await linesFrom(toy, 'a')).length, 2);
  t.same(await linesFrom(toy, 'c'), [], 'what was refused has no data');
});

t.test('many at once do not slip past the bound', async (t) => {
  const toy = managerOn(new MemoryDisk(), 3);
  const names = Array.from({ length: 10 }, (_, i) => `t${i}`);
  const results = await Promise.allSettled(names.map((name) => write(toy, name)));
  t.equal(results.filter(({ status }) => status === 'fulfilled').length, 3);
  t.equal(toy.tenants.openCount, 3);
});

t.test('the tenant that was quiet longest gives its place, once it was quiet enough', async (t) => {
  const toy = managerOn(new MemoryDisk(), 2);
  await write(toy, 'a');
  toy.clock.advance(60_000);
  await write(toy, 'b');
  toy.clock.advance(9 * 60_000 + 1);
  await write(toy, 'c');
  t.same(openNames(toy), ['b', 'c']);
  await t.rejects(linesFrom(toy, 'a'), refusal('limit.tenants_per_node'), 'nobody is quiet now');
  toy.clock.advance(10 * 60_000);
  t.equal((await linesFrom(toy, 'a')).length, 1, 'a read opens it again');
});

t.test('closeIdle() closes what nobody used for an hour and a half, and only that', async (t) => {
  const toy = managerOn(new MemoryDisk(), 10);
  await write(toy, 'a');
  await write(toy, 'b');
  toy.clock.advance(1.5 * HOUR_MS - 1);
  await toy.tenants.closeIdle();
  t.same(openNames(toy), ['a', 'b']);
  await linesFrom(toy, 'b');
  toy.clock.advance(1);
  await toy.tenants.closeIdle();
  t.same(openNames(toy), ['b'], 'a query is a use');
  t.equal((await linesFrom(toy, 'a')).length, 1);
  await write(toy, 'a', NOW + 5);
  t.equal((await linesFrom(toy, 'a')).length, 2);
});

t.test('a TSDB with samples that are not down yet is not closed', async (t) => {
  const toy = managerOn(new MemoryDisk(), 10);
  const tsdb = await write(toy, 'a');
  toy.disk.failWhen = (call) => call.kind === 'write';
  toy.disk.failCode = 'ENOSPC';
  tsdb.append(batchOf([{ labels: metric('up', { of: 'a' }), samples: [[NOW + 1, 1]] }]), NOW);
  await t.rejects(tsdb.durable(), refusal('wal.write_failed'));
  toy.clock.advance(2 * HOUR_MS);
  await toy.tenants.closeIdle();
  t.same(openNames(toy), ['a']);
  toy.disk.failWhen = () => false;
  await tsdb.durable();
  await toy.tenants.closeIdle();
  t.same(openNames(toy), []);
  t.equal((await linesFrom(toy, 'a')).length, 2);
});

t.test('opened while it is being closed, a tenant comes back whole', async (t) => {
  const toy = managerOn(new MemoryDisk(), 10);
  await write(toy, 'a');
  toy.clock.advance(2 * HOUR_MS);
  const closing = toy.tenants.closeIdle();
  const reading = linesFrom(toy, 'a');
  await closing;
  t.equal((await reading).length, 1);
});

t.test('after a start, tenants past the bound are opened when they are asked for', async (t) => {
  const first = managerOn(new MemoryDisk(), 10);
  for (const name of ['a', 'b', 'c']) await write(first, name);
  await first.tenants.close();
  const toy = managerOn(first.disk, 2);
  await toy.tenants.openExisting();
  t.equal(toy.tenants.knownCount, 3);
  t.equal(toy.tenants.openCount, 2);
  toy.clock.advance(HOUR_MS);
  t.equal((await linesFrom(toy, 'c')).length, 1);
});

t.test(
  'a tenant that is closed for long is opened for its maintenance, and closed again',
  async (t) => {
    const toy = managerOn(new MemoryDisk(), 10);
    await write(toy, 'a');
    await write(toy, 'b');
    toy.clock.advance(2 * HOUR_MS);
    await toy.tenants.closeIdle();
    t.same(openNames(toy), []);
    toy.clock.advance(6 * HOUR_MS);
    await toy.tenants.closeIdle();
    t.same(openNames(toy), ['a']);
    await toy.tenants.closeIdle();
    t.same(openNames(toy), ['a', 'b']);
    toy.clock.advance(2 * HOUR_MS);
    await toy.tenants.closeIdle();
    t.same(openNames(toy), []);
  },
);

t.test('a new tenant takes less than 64 KiB of arena', async (t) => {
  const toy = managerOn(new MemoryDisk(), 10);
  const tsdb = await write(toy, 'a');
  t.ok(tsdb.head.arena.reservedBytes <= 64 * 1024, `${tsdb.head.arena.reservedBytes} bytes`);
  const many = Array.from({ length: 3000 }, (_, i) => ({
    labels: metric('m', { i: String(i), filler: 'x'.repeat(300) }),
    samples: [[NOW, i]] as const,
  }));
  tsdb.append(batchOf(many), NOW);
  const frames = [...selectFrames(tsdb.head, [], EVERYTHING)];
  t.ok(frames.length > 3);
  t.equal(linesOf(selectAll(tsdb)).length, 3001, 'over slabs of all sizes');
});
