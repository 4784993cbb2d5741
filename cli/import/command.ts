/**
 * `starling import …`: blocks of a Prometheus, or OpenMetrics text, become a tenant's blocks. Exit codes: 0 all was
 * taken, 1 something was refused or failed, 2 the words are wrong. Only the words are here; the work is loaded
 * when it is asked for.
 */
import { Command } from 'commander';
import type { ToolsHost } from '../tools/world.ts';

/** The command with its subcommands. The promise of each action rejects with `CommandExit` on failure. */
export function importCommand(host: ToolsHost): Command {
  const command = new Command('import');
  command.description('take blocks of a Prometheus, or OpenMetrics text, into a bucket');
  command.addHelpText('after', EXAMPLES);
  const add = (name: string, argument: string, description: string): Command => {
    const one = new Command(name).argument(argument).description(description);
    one.allowExcessArguments(false);
    one.option('--bucket <url>', 'file:///dir or s3://… as for serve (default: STARLING_BUCKET)');
    one.option('--tenant <id>', 'whose blocks they become (default: STARLING_TENANT)');
    one.action(async () => {
      const { runTool } = await import('../tools/world.ts');
      const { importWork } = await import('./work.ts');
      await runTool(host, one, importWork(name));
    });
    command.addCommand(one);
    return one;
  };
  const blocks = add('prom-blocks', '<directory>', 'the blocks of a Prometheus data directory');
  blocks.option('--label <name=value...>', 'an external label, told in meta.json (repeatable)');
  blocks.option('--shallow', 'check the checksums of chunks without decoding their samples');
  const text = add('openmetrics', '<file>', 'OpenMetrics text with timestamps, as blocks of 2 h');
  text.option('--directory <path>', 'write the blocks here instead of into a bucket');
  text.option('--scratch <path>', 'for work before the upload (default: ./starling-import)');
  return command;
}

const EXAMPLES = `
Examples:
  starling import prom-blocks /var/lib/prometheus/data --bucket=s3://metrics/blocks --tenant=team-a
  starling import openmetrics history.om --tenant=team-a
  starling import openmetrics history.om --directory=/var/lib/prometheus/data

Only blocks are imported: what a Prometheus still has in its head (up to 3 h) is not in them. Running an import of
blocks again uploads only what is missing.
`;
