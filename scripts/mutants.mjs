// npm run sim:mutants [-- NAME…] [-- --seeds 40 --minutes 0.4]: plants each bug of sim/planted/mutants.ts in a
// copy of dist/ and runs the simulator there until a checker finds it. One line a bug; 1 when one was not found.
import { spawnSync } from 'node:child_process';
import {
  linkSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { build, root } from './lib.mjs';

/** Below the checkout, so that packages are found. */
const place = join(root, '.tap', 'mutants');

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    seeds: { type: 'string', default: '40' },
    minutes: { type: 'string', default: '0.4' },
  },
});

/** Stories of a shape have faults that are further apart. */
const SHAPE_MINUTES = '4';

/** Links all compiled files but those of tests into `to`. */
function copyOf(to) {
  const from = join(root, 'dist');
  for (const name of readdirSync(from, { recursive: true })) {
    if (name.startsWith('test') || !name.endsWith('.js') || !statSync(join(from, name)).isFile()) {
      continue;
    }
    mkdirSync(dirname(join(to, name)), { recursive: true });
    linkSync(join(from, name), join(to, name));
  }
}

/** Plants the bug; the file is written anew, for it is the same one as in `dist/`. */
function plant(directory, { edits, file }) {
  const path = join(directory, file);
  let text = readFileSync(path, 'utf8');
  for (const { from, to } of edits) {
    if (text.split(from).length !== 2) throw new Error(`${file} has not once: ${from}`);
    text = text.replace(from, () => to);
  }
  unlinkSync(path);
  writeFileSync(path, text);
}

function find(name, mutant) {
  const directory = join(place, name);
  rmSync(directory, { recursive: true, force: true });
  copyOf(directory);
  try {
    plant(directory, mutant);
    const minutes = mutant.shape === undefined ? values.minutes : SHAPE_MINUTES;
    const words = ['--seeds', `1..${values.seeds}`, '--minutes', minutes, '--stop'];
    if (mutant.shape !== undefined) words.push('--shape', mutant.shape);
    if (mutant.story === 'storage') words.push('--storage');
    if (mutant.story === 'compaction') words.push('--compaction');
    if (mutant.story === 'ages') words.push('--compaction', '--ages');
    if (mutant.faults !== undefined) words.push('--faults', mutant.faults.join(','));
    const main = join(directory, 'sim/main.js');
    const { stdout } = spawnSync(process.execPath, ['--max-semi-space-size=64', main, ...words], {
      encoding: 'utf8',
      maxBuffer: 64 * 1024 * 1024,
    });
    const seed = /^seed=(\d+) verdict=violated/m.exec(stdout)?.[1];
    const invariant = /^ {2}violated (\S+):/m.exec(stdout)?.[1];
    return seed === undefined ? undefined : { seed, invariant };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

build();
const { MUTANTS } = await import(join(root, 'dist/sim/planted/mutants.js'));
const names = positionals.length > 0 ? positionals : Object.keys(MUTANTS);
for (const name of names) {
  const found = find(name, MUTANTS[name]);
  const verdict =
    found === undefined ? 'not found' : `${found.invariant} after ${found.seed} seeds`;
  console.log(`mutant ${name}: ${verdict}`);
  if (found === undefined) process.exitCode = 1;
}
