// npm run promqltest -- FILE...: runs PromQL acceptance scripts; the last line is the total.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { root } from './lib.mjs';

const main = join(root, 'test/promql/script-main.ts');
const files = process.argv.slice(2);
const child = spawnSync(process.execPath, ['--import=tsx', main, ...files], { stdio: 'inherit' });
process.exit(child.status ?? 1);
