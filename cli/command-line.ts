/**
 * The command line: commander for usage and help, our own settings table for the flags of `serve`, so
 * that flags, variables and file keys can never differ.
 */
import { Command } from 'commander';
import { blocksCommand } from './blocks/command.ts';
import { exportCommand } from './export/command.ts';
import { importCommand } from './import/command.ts';
import { type QueryWorld, queryCommand } from './query/command.ts';
import { flagName, settings } from './settings.ts';
import type { ToolsHost } from './tools/world.ts';

export interface ServeArguments {
  readonly flags: ReadonlyMap<string, readonly string[]>;
  readonly configFile: string | undefined;
  readonly printConfig: boolean;
}

export interface CommandHandlers {
  /** What `starling query` touches of the world; without it there is no such command. */
  readonly query?: QueryWorld;
  /** What the offline commands touch of the process; without it there are none. */
  readonly tools?: ToolsHost;
  serve(given: ServeArguments): Promise<void>;
}

/** Builds the program. `exit codes: 0 ok, 1 failed, 2 wrong usage`. */
export function createProgram(version: string, handlers: CommandHandlers): Command {
  const program = new Command('starling');
  program.description('long-term storage for Prometheus metrics, as identical nodes');
  program.version(version);
  program.showHelpAfterError('(run with --help for usage)');
  if (handlers.query !== undefined) program.addCommand(queryCommand(handlers.query));
  if (handlers.tools !== undefined) {
    program.addCommand(blocksCommand(handlers.tools));
    program.addCommand(importCommand(handlers.tools));
    program.addCommand(exportCommand(handlers.tools));
  }
  program.addCommand(serveCommand(handlers));
  return program;
}

function serveCommand(handlers: CommandHandlers): Command {
  const command = new Command('serve');
  command.description('run a node; with no options, one working node on loopback');
  command.allowExcessArguments(false);
  command.option('--config.file <path>', 'YAML file with settings');
  command.option('--print-config', 'print the configuration in force and exit');
  for (const setting of settings) {
    const name = flagName(setting);
    const text = `${setting.help} (default: ${setting.defaultText})`;
    if (setting.isSwitch === true) command.option(`--${name} [true|false]`, text);
    else if (setting.isList === true) command.option(`--${name} <value>`, text, collect);
    else command.option(`--${name} <value>`, text, collect);
  }
  command.addHelpText('after', SERVE_EXAMPLES);
  command.action(async (_, given: Command) => {
    const options = Object.entries(given.opts<Record<string, unknown>>());
    const flags = new Map<string, readonly string[]>();
    let configFile: string | undefined;
    let printConfig = false;
    for (const setting of settings) {
      const key = camelCase(flagName(setting));
      const found = options.find(([name]) => name === key)?.[1];
      if (found === undefined) continue;
      flags.set(flagName(setting), flagTexts(found));
    }
    for (const [name, value] of options) {
      if (name === camelCase('config.file')) configFile = String(value);
      if (name === 'printConfig') printConfig = value === true;
    }
    await handlers.serve({ flags, configFile, printConfig });
  });
  return command;
}

/** A switch without a value is `true`. */
function flagTexts(found: unknown): readonly string[] {
  if (Array.isArray(found)) return found.map(String);
  return [typeof found === 'string' ? found : 'true'];
}

/** As commander names the property of an option. */
function camelCase(name: string): string {
  return name
    .split('-')
    .reduce((whole, part) => whole + (part[0] ?? '').toUpperCase() + part.slice(1));
}

function collect(value: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), value];
}

const SERVE_EXAMPLES = `
Examples:
  starling serve                                        one node on http://127.0.0.1:9009
  starling serve --config.file=starling.yaml
  starling serve --join=10.0.0.1:9095 --gossip.listen=10.0.0.2:7946 --grpc.listen=10.0.0.2:9095 \\
    --cluster.label=prod --cluster.key-file=/etc/starling/key

Every setting is also a key of the YAML file (data_dir, http: {listen: …}) and an environment variable
(STARLING_DATA_DIR, STARLING_HTTP__LISTEN). Flags win over variables, variables over the file.
`;
