/**
 * `starling blocks …`: looks at blocks in a bucket or a directory, and mends them. Exit codes: 0 fine, 1 a block
 * has a fault or the work failed, 2 the words are wrong. This file only knows the words; the work is loaded when
 * it is asked for, so that `serve` never loads it.
 */
import { Command } from 'commander';
import type { ToolsHost } from '../tools/world.ts';

/** The command with its subcommands. The promise of each action rejects with `CommandExit` on failure. */
export function blocksCommand(host: ToolsHost): Command {
  const command = new Command('blocks');
  command.description('list, check and mend blocks of a bucket or a directory');
  command.addHelpText('after', EXAMPLES);
  const add = (usage: string, description: string, run: string): Command => {
    const [name = '', ...words] = usage.split(' ');
    const one = new Command(name).description(description).allowExcessArguments(false);
    for (const word of words) one.argument(word);
    one.option('--bucket <url>', 'file:///dir or s3://… as for serve (default: STARLING_BUCKET)');
    one.option('--directory <path>', 'a directory of blocks: of a tenant, or of a Prometheus');
    one.option('--tenant <id>', 'whose blocks of the bucket (default: STARLING_TENANT)');
    one.option('--output <kind>', 'table, json or csv', 'table');
    one.action(async () => {
      const { runTool } = await import('../tools/world.ts');
      const { blocksWork } = await import('./work.ts');
      await runTool(host, one, blocksWork(run));
    });
    command.addCommand(one);
    return one;
  };
  add('ls', 'what blocks there are (of all tenants, unless one is named)', 'ls');
  add('inspect <block>', 'what a block is made of: labels, series, chunks', 'inspect');
  const verify = add('verify [block...]', 'read blocks completely and name every fault', 'verify');
  verify.option('--shallow', 'check the checksums of chunks without decoding their samples');
  const mark = add('mark <block...>', 'write or remove marks in the bucket', 'mark');
  mark.option('--deletion', 'the block will be deleted after the deletion delay');
  mark.option('--no-compact', 'the block is left out of compaction');
  mark.option('--reason <text>', 'why, for people (needed to write a mark)');
  mark.option('--remove', 'remove the mark instead');
  const repair = add('repair <block>', 'write a block anew from what can be read of it', 'repair');
  repair.option(
    '--scratch <path>',
    'where the new block is made first (default: ./starling-repair)',
  );
  return command;
}

const EXAMPLES = `
Examples:
  starling blocks ls --bucket=s3://metrics/blocks
  starling blocks ls --directory=/var/lib/prometheus/data --output=json
  starling blocks inspect 01JD2M4Z5T8Q3V6W7X8Y9Z0A1B --tenant=team-a
  starling blocks verify --tenant=team-a
  starling blocks mark 01JD2M4Z5T8Q3V6W7X8Y9Z0A1B --no-compact --reason='index over 64 GiB'
  starling blocks repair 01JD2M4Z5T8Q3V6W7X8Y9Z0A1B --tenant=team-a

A directory must not be in use while a block in it is repaired. docs/blocks.md explains every finding.
`;
