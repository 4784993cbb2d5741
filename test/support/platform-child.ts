/**
 * A process of its own for tests of the real platform.
 *
 *   lock <directory>   prints 'held' or the error's id; holds the lock until it is killed
 *   race <directory>   the same for one turn: takes the lock, counts holders, lets go
 *   log                writes lines and ends without waiting
 *   echo <jobs>        prints what a worker answers, then ends by itself
 */
import { rm, writeFile } from 'node:fs/promises';
import { StarlingError } from '../../model/errors.ts';
import { createNodeDisk } from '../../platform/node/disk.ts';
import { createNodeLog } from '../../platform/node/log.ts';
import { createNodeWorkers } from '../../platform/node/workers.ts';

const [mode = '', argument = ''] = process.argv.slice(2);

async function lock(directory: string): Promise<void> {
  try {
    await createNodeDisk().lock(directory);
    process.stdout.write('held\n');
    setInterval(() => undefined, 1000);
  } catch (error) {
    process.stdout.write(`${error instanceof StarlingError ? error.id : String(error)}\n`);
  }
}

/** Each turn prints 'held' when it was alone, 'shared' when not. */
async function race(directory: string): Promise<void> {
  const disk = createNodeDisk();
  for (let turn = 0; turn < 30; turn++) {
    try {
      const held = await disk.lock(directory);
      const verdict = await writeFile(`${directory}/holder`, '', { flag: 'wx' }).then(
        () => 'held\n',
        () => 'shared\n',
      );
      process.stdout.write(verdict);
      await rm(`${directory}/holder`, { force: true });
      await held.release();
    } catch (error) {
      if (!(error instanceof StarlingError)) process.stdout.write(`${String(error)}\n`);
    }
  }
}

function log(): void {
  const log = createNodeLog('info');
  log.debug('not told');
  log.info('plain');
  log.child({ tenant: 'a' }).warn('facts', { count: 3, secret: 'hunter2', s3: { token: 'abc' } });
  log.error('broken', { error: new Error('why it broke') });
  process.exit(0);
}

async function echo(jobsModule: string): Promise<void> {
  const workers = createNodeWorkers({ threads: 1, jobsModule: new URL(jobsModule), queueMax: 1 });
  process.stdout.write(`${await workers.run<string>('echo', 'from a thread')}\n`);
}

if (mode === 'lock') await lock(argument);
else if (mode === 'race') await race(argument);
else if (mode === 'log') log();
else if (mode === 'echo') await echo(argument);
