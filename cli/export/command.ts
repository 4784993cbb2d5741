/**
 * `starling export`: a tenant's series by selector and time, as OpenMetrics text or as blocks, from a bucket, a
 * directory of blocks or a running node. Only the words are here; the work is loaded when it is asked for.
 */
import { Command } from 'commander';
import type { ToolsHost } from '../tools/world.ts';

export function exportCommand(host: ToolsHost): Command {
  const command = new Command('export');
  command.description('write series as OpenMetrics text or as blocks of a Prometheus');
  command.argument('[match...]', 'selectors, any of which a series matches (default: all)');
  command.option('--bucket <url>', 'from the blocks of a bucket (default: STARLING_BUCKET)');
  command.option('--directory <path>', 'from a directory of blocks');
  command.option('--url <url>', 'from a running node, by remote read');
  command.option('--prefix <path>', 'where the query API of the node is', '/prometheus');
  command.option('--tenant <id>', 'whose series (default: STARLING_TENANT)');
  command.option('--start <time>', 'from (default: the first block; of a node: now-1h)');
  command.option('--end <time>', 'to, included (default: the last block; of a node: now)');
  command.option('--format <kind>', 'openmetrics (to standard output) or blocks', 'openmetrics');
  command.option('--into <path>', 'where blocks go: an empty directory, or one of blocks');
  command.option('--timeout <duration>', 'the longest to wait for an answer of the node', '2m');
  command.addHelpText('after', EXAMPLES);
  command.action(async () => {
    const { runTool } = await import('../tools/world.ts');
    const { exportWork } = await import('./work.ts');
    await runTool(host, command, exportWork);
  });
  return command;
}

const EXAMPLES = `
Examples:
  starling export --bucket=s3://metrics/blocks --tenant=team-a 'up{job="api"}' > up.om
  starling export --url=http://127.0.0.1:9009 --start=now-6h --format=blocks --into=./blocks
  starling export --directory=/var/lib/prometheus/data --start=2026-01-01T00:00:00Z '{job="api"}'

Times are now, now-1h, Unix seconds or RFC 3339. What text cannot say (native histograms, staleness markers) is
counted on standard error: blocks hold it.
`;
