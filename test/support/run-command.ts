/** Runs `starling …` in this process, with what it prints and its exit code. */
import { CommanderError } from 'commander';
import { CommandExit } from '../../cli/command-exit.ts';
import { createProgram } from '../../cli/command-line.ts';

export interface CommandOutcome {
  readonly out: string;
  readonly err: string;
  readonly exitCode: number;
}

export async function runCommand(
  words: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<CommandOutcome> {
  let [out, err, exitCode] = ['', '', 0];
  const program = createProgram('1', {
    serve: async () => undefined,
    tools: {
      fetch,
      parseDate: Date.parse,
      environment,
      out: (text) => void (out += text),
      err: (text) => void (err += text),
    },
  });
  for (const command of program.commands) {
    for (const one of [command, ...command.commands]) {
      one.exitOverride().configureOutput({ writeErr: (text) => void (err += text) });
    }
  }
  try {
    await program.parseAsync(['node', 'starling', ...words]);
  } catch (thrown) {
    if (thrown instanceof CommandExit) exitCode = thrown.exitCode;
    else if (thrown instanceof CommanderError) exitCode = 2;
    else throw thrown;
  }
  return { out, err, exitCode };
}
