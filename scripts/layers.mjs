// npm run layers: the layer rule, with a guard against the false green of scanning nothing.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { root } from './lib.mjs';

const folders = [
  'actors',
  'membership',
  'http',
  'storage',
  'proto',
  'sim',
  'model',
  'platform',
  'promql',
  'cli',
];
const git = spawnSync('git', ['ls-files', '--', ...folders.map((f) => `${f}/*.ts`)], {
  cwd: root,
  encoding: 'utf8',
});
const tracked = git.stdout
  .split('\n')
  .filter((name) => name.endsWith('.ts') && !name.endsWith('.d.ts')).length;
const cruise = spawnSync(
  join(root, 'node_modules/.bin/depcruise'),
  [...folders, '--config', '.dependency-cruiser.mjs', '-T', 'json'],
  { cwd: root, encoding: 'utf8', maxBuffer: 256 * 1024 * 1024 },
);
const { summary, modules } = JSON.parse(cruise.stdout);
for (const { rule, from, to } of summary.violations)
  console.error(`${rule.severity} ${rule.name}: ${from} -> ${to}`);
const scanned = modules.filter((m) => folders.includes(m.source.split('/')[0])).length;
if (scanned < tracked) {
  console.error(`layers: only ${scanned} of ${tracked} tracked files were scanned`);
  process.exit(1);
}
console.log(`layers: ${scanned} files, ${summary.violations.length} violations`);
process.exit(summary.error > 0 ? 1 : 0);
