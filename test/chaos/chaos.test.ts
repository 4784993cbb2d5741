/**
 * Goal: real processes keep what they acknowledged while some are killed, held and cut off; the rig finds nodes
 * that do not, and leaves nothing behind. Method: the short story of a seed on what this machine allows, with
 * namespaces or on loopback, and a canary: clients that are told of success by nobody.
 */
import { spawn, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { possibleFaults } from './faults.ts';
import { createLoopback } from './ground.ts';
import { runChaos } from './story.ts';

/** Namespaces that this machine has now, of runs of one process. */
function spacesOf(pid: number | undefined): readonly string[] {
  const { stdout } = spawnSync('ip', ['netns', 'list']);
  const lines = (stdout as Buffer | null)?.toString().split('\n') ?? []; // null: there is no such tool
  return lines.filter((line) => line.includes(`chaos-${pid}-`));
}

t.test('three real nodes keep what they acknowledged', async (t) => {
  const seed = Number(process.env['SEED'] ?? 1);
  const faults = ['kill', 'pause', 'partition', 'unplugged', 'lossy'];
  const lines: string[] = [];
  const onLine = (line: string): void => void lines.push(line);
  const { facts, logs, violations } = await runChaos({
    seed,
    seconds: 4,
    nodeCount: 3,
    faults,
    onLine,
  });
  t.strictSame(violations, [], [...lines, ...logs].join('\n'));
  t.ok(Number(facts['acked']) > 50, `${facts['acked']} samples acknowledged on ${facts['ground']}`);
  t.strictSame(spacesOf(process.pid), []);
});

t.test('a cluster that forgets what it was sent is found out', async (t) => {
  const { violations } = await runChaos({
    seed: 1,
    seconds: 1,
    nodeCount: 1,
    faults: [],
    isLoopback: true,
    plant: (target) => ({
      ...target,
      push: () => Promise.resolve({ kind: 'answer', value: true }),
    }),
  });
  t.match(violations, [{ invariant: /I1|I5|I6/ }]);
});

t.test('an interrupted run leaves no process and no namespace', async (t) => {
  const main = fileURLToPath(new URL('main.js', import.meta.url));
  const child = spawn(process.execPath, [main, '--seconds', '60', '--trace'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  await new Promise<void>((resolve) =>
    child.stderr.on('data', (bytes: Buffer) => {
      if (bytes.includes('started')) resolve();
    }),
  );
  child.kill('SIGINT');
  const code = await new Promise((resolve) => child.once('exit', resolve));
  t.equal(code, 130);
  t.strictSame(spacesOf(child.pid), []);
});

t.test('where links cannot be broken only processes are harmed', async (t) => {
  const ground = await createLoopback(2);
  const names = possibleFaults(ground);
  t.ok(names.includes('kill'));
  t.notOk(names.includes('partition'));
  ground.remove();
});
