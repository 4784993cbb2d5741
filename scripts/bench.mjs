// npm run bench [-- ID…], npm run bench:cluster, bench:queries and bench:storage [-- OPTIONS]: builds, then measures.
import { join } from 'node:path';
import { build, root, run } from './lib.mjs';

const [kind, ...rest] = process.argv.slice(2);
build();
if (kind === 'cluster')
  run(process.execPath, [
    '--max-old-space-size=8192',
    join(root, 'dist/bench/cluster/main.js'),
    ...rest,
  ]);
else if (kind === 'queries' || kind === 'storage')
  run(process.execPath, [join(root, `dist/bench/${kind}/main.js`), ...rest]);
else
  run(process.execPath, [
    '--expose-gc',
    join(root, 'dist/bench/micro.js'),
    ...process.argv.slice(2),
  ]);
