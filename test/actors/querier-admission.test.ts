// Goal: places for queries are given in turn, bounded for each tenant, and queries of death are refused.
// Method: the queue and the quarantine alone, on a clock that stands still.
import fc from 'fast-check';
import t from 'tap';
import { FairQueue, type Place } from '../../actors/querier/fair-queue.ts';
import { Quarantine } from '../../actors/querier/quarantine.ts';

t.test('Q16 a thousand queries of one tenant wait, then are 429; others go on', async (t) => {
  const queue = new FairQueue({ runningMax: 4, runningPerTenantMax: 3, waitingPerTenantMax: 10 });
  const started: string[] = [];
  const places: Place[] = [];
  const enter = (tenant: string): void => {
    places.push(queue.enter(tenant, () => started.push(tenant)));
  };
  let refused = 0;
  for (let i = 0; i < 1000; i++) {
    try {
      enter('greedy');
    } catch (error) {
      t.match(error, { id: 'query.queue_full', http: 429 });
      refused++;
    }
  }
  t.same([started.length, refused], [3, 987], 'three run, ten wait');
  enter('modest');
  t.equal(started.at(-1), 'modest', 'a place is free for another tenant at once');
  enter('modest');
  enter('third');
  for (const place of places.slice(0, 4)) place.leave();
  t.same(started.slice(4).sort(), ['greedy', 'greedy', 'modest', 'third'], 'each in turn');
});

t.test('a query that leaves while it waits never starts, and leaves nothing behind', async (t) => {
  const queue = new FairQueue({ runningMax: 1, runningPerTenantMax: 1, waitingPerTenantMax: 5 });
  const started: string[] = [];
  const first = queue.enter('a', () => started.push('first'));
  const second = queue.enter('a', () => started.push('second'));
  const third = queue.enter('a', () => started.push('third'));
  second.leave();
  first.leave();
  first.leave();
  t.same(started, ['first', 'third']);
  third.leave();
  t.equal(queue.runningCount, 0);
});

t.test(
  'nobody waits while a place is free, whatever the order of arrivals and departures',
  async (t) => {
    const step = fc.record({
      tenant: fc.integer({ min: 0, max: 3 }),
      isArrival: fc.boolean(),
      at: fc.nat(),
    });
    const property = fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const queue = new FairQueue({
        runningMax: 3,
        runningPerTenantMax: 2,
        waitingPerTenantMax: 300,
      });
      const inside: { place: Place; tenant: number; isRunning: boolean }[] = [];
      for (const { at, isArrival, tenant } of steps) {
        if (isArrival) {
          const one = {
            place: { leave: (): void => undefined },
            tenant,
            isRunning: false,
          };
          inside.push(one);
          one.place = queue.enter(String(tenant), () => (one.isRunning = true));
        } else if (inside.length > 0) {
          inside.splice(at % inside.length, 1)[0]?.place.leave();
        }
        const running = inside.filter((one) => one.isRunning);
        const ofTenant = [0, 1, 2, 3].map(
          (id) => running.filter((one) => one.tenant === id).length,
        );
        const mayRun = inside.some((one) => !one.isRunning && ofTenant[one.tenant]! < 2);
        if (running.length !== queue.runningCount || running.length > 3) return false;
        if (ofTenant.some((count) => count > 2) || (mayRun && running.length < 3)) return false;
      }
      return true;
    });
    fc.assert(property);
    t.pass();
  },
);

t.test('Q18 a query that ended its worker twice is refused for ten minutes', async (t) => {
  let nowMs = 0;
  const quarantine = new Quarantine({ monotonicMs: () => nowMs });
  quarantine.noteDeath('a', 'up');
  quarantine.check('a', 'up');
  quarantine.noteDeath('a', 'up');
  t.throws(() => quarantine.check('a', 'up'), {
    id: 'query.quarantined',
    http: 422,
    message: /600000 ms/,
  });
  quarantine.check('b', 'up');
  quarantine.check('a', 'down');
  nowMs = 600_001;
  quarantine.check('a', 'up');
  for (const [tenant, query] of [
    ['a', '1:b'],
    ['a1', ':b'],
    ['1:a', 'b'],
  ] as const) {
    quarantine.noteDeath(tenant, query);
    quarantine.check(tenant, query); // one death each
  }
  for (let i = 0; i < 1001; i++) quarantine.noteDeath('a', `q${i}`);
  quarantine.noteDeath('a', 'q0');
  quarantine.check('a', 'q0');
});
