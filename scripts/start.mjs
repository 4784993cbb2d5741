// npm start -- …: installs and builds what is missing, then runs the starling command.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { ensureBuilt, root } from './lib.mjs';

ensureBuilt();
const given = process.argv.slice(2);
const child = spawn(join(root, 'dist/cli/main.js'), given.length > 0 ? given : ['serve'], {
  stdio: 'inherit',
});
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal));
child.on('exit', (code, signal) => process.exit(signal === null ? (code ?? 1) : 1));
