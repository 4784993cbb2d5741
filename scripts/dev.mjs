// npm run dev [-- OPTIONS]: one node that starts anew whenever a source changes.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { build, root } from './lib.mjs';

build();
const given = process.argv.slice(2);
const commands = [
  [join(root, 'node_modules', '.bin', 'tsc'), '--noCheck', '--watch', '--preserveWatchOutput'],
  [process.execPath, '--watch', join(root, 'dist', 'cli', 'main.js'), 'serve', ...given],
];
const children = commands.map(([command, ...words]) =>
  spawn(command, words, { cwd: root, stdio: 'inherit' }),
);
for (const child of children)
  child.on('exit', () => children.forEach((other) => other.kill('SIGTERM')));
for (const signal of ['SIGINT', 'SIGTERM'])
  process.on(signal, () => children.forEach((child) => child.kill(signal)));
