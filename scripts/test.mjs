// npm test: installs what is missing, then runs every check in CI's order.
import { ensureInstalled, run } from './lib.mjs';

ensureInstalled();
run(process.execPath, ['scripts/ok.mjs']);
