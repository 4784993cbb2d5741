/** What operators and clients do to a cluster: upgrades, growth, other settings, floods, nonsense. */
import type { Faults } from './fault.ts';

const NONSENSE_BYTES_MAX = 2000;
/** How often clients ask a machine that does not know a new one yet. */
const UNHEARD_READS = 5;

export const OPERATOR_FAULTS: Faults = {
  burst: {
    sentence: 'clients send many times as much',
    reach: 'all',
    strike({ operator, random }) {
      operator.setPace(random.between(5, 30));
      return () => operator.setPace(1);
    },
  },
  'config-change': {
    sentence: 'one machine after the other starts with other settings',
    reach: 'all',
    async strike({ operator, random }) {
      operator.setFlag('query.timeout', random.pick(['5s', '30s', '2m']) ?? '2m');
      operator.setFlag('query.max-samples', random.pick(['1000000', '50000000']) ?? '50000000');
      for (const machine of operator.members()) {
        await operator.stop(machine);
        await operator.boot(machine);
        await operator.waitReady();
      }
    },
  },
  flush: {
    sentence: 'an operator has the heads of some machines cut into blocks, a few times',
    reach: 'all',
    async strike({ lengthMs, operator, random, world }) {
      for (let i = 0; i < 3; i++) {
        for (const machine of operator.members()) {
          if (random.chance(0.7)) await operator.flush(machine);
        }
        await world.sleep(lengthMs / 3);
      }
    },
  },
  'forget-attempt': {
    sentence: 'an operator asks to forget a machine that is down, and it comes back',
    reach: 'one',
    async strike({ lengthMs, operator, others, random, victim, world }) {
      world.kill(victim);
      await world.sleep(Math.min(lengthMs, 5000));
      const helper = random.pick(others);
      if (helper !== undefined) await operator.forget(helper, victim);
    },
  },
  'hostile-bodies': {
    sentence: 'somebody pushes bytes that are no remote write',
    reach: 'one',
    async strike({ lengthMs, operator, random, victim, world }) {
      const endMs = world.loop.nowMs + lengthMs;
      while (world.loop.nowMs < endMs) {
        await operator.pushBytes(victim, random.bytes(random.below(NONSENSE_BYTES_MAX)));
        await world.sleep(random.between(5, 500));
      }
    },
  },
  'hostile-datagrams': {
    sentence: 'somebody sends nonsense to the gossip ports',
    reach: 'one',
    async strike({ lengthMs, random, victim, world }) {
      const endMs = world.loop.nowMs + lengthMs;
      while (world.loop.nowMs < endMs) {
        world.network.inject(`${victim.ip}:7946`, random.bytes(random.below(NONSENSE_BYTES_MAX)));
        await world.sleep(random.between(1, 200));
      }
    },
  },
  'hostile-queries': {
    sentence: 'somebody asks what cannot be parsed, or is large',
    reach: 'one',
    async strike({ lengthMs, operator, random, victim, world }) {
      const texts = [
        'sum(',
        '{',
        'a[1d:1ms]',
        '((((((((1))))))))',
        '{__name__=~".+"}[1h]',
        'time(',
      ];
      const endMs = world.loop.nowMs + lengthMs;
      while (world.loop.nowMs < endMs) {
        await operator.query(victim, random.pick(texts) ?? '');
        await world.sleep(random.between(20, 500));
      }
    },
  },
  'raise-rf': {
    sentence: 'the replication factor is raised, one machine after the other',
    reach: 'all',
    async strike({ operator }) {
      operator.setFlag('replication-factor', '3');
      for (const machine of operator.members()) {
        await operator.stop(machine);
        await operator.boot(machine);
        await operator.waitReady();
      }
    },
  },
  'rolling-upgrade': {
    sentence: 'one machine after the other is stopped, and a newer version starts',
    reach: 'all',
    async strike({ operator, random }) {
      operator.setFlag('sim.version', `0.0.${1 + random.below(9)}-sim`);
      for (const machine of operator.members()) {
        await operator.stop(machine);
        await operator.boot(machine);
        await operator.waitReady();
      }
    },
  },
  'scale-out': {
    sentence: 'a machine is added',
    reach: 'all',
    async strike({ operator, world }) {
      const machine = await operator.addMachine();
      if (machine !== undefined) world.note(`${machine.name} was added`);
      await operator.waitReady();
    },
  },
  'scale-out-unheard': {
    sentence: 'a machine is added while another is cut off, and hears of it late',
    reach: 'all',
    async strike({ operator, random, victim, world }) {
      const adding = operator.addMachine();
      const ips = operator.members().map(({ ip }) => ip);
      const others = ips.filter((ip) => ip !== victim.ip);
      world.network.partition([victim.ip], others);
      await adding;
      // Short enough that nobody is taken for dead: streams pass again, what gossip says does not.
      await world.sleep(random.between(500, 4000));
      world.network.heal();
      world.network.filter('datagrams', victim.ip, others);
      for (let i = 0; i < UNHEARD_READS; i++) {
        await operator.readNewest(victim);
        await world.sleep(random.between(10, 300));
      }
    },
  },
  'shy-newcomer': {
    sentence: 'a machine is added, and killed while it joins',
    reach: 'all',
    async strike({ operator, random, world }) {
      const adding = operator.addMachine();
      await world.sleep(random.between(1, 800));
      for (const machine of operator.members().slice(-1)) world.kill(machine);
      await adding;
    },
  },
};
