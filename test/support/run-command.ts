/** Runs `starling …` in this process, with what it prints and its exit code. */
import { CommanderError } from 'commander';
import { CommandExit } from '../../cli/command-exit.ts';
import { createProgram } from '../../cli/command-line.ts';

export interface CommandOutcome {
  readonly out: string;
  readonly err: string;
  readonly exitCode: number;
}

type Parts = Parameters<typeof createProgram>[1];
/** Where the commands under test print. */
type Printers = Readonly<Record<'out' | 'err', (text: string) => void>>;

/** Runs with parts of the test's own, which print as they are told. */
export async function runParts(
  words: readonly string[],
  partsOf: (printers: Printers) => Partial<Parts>,
): Promise<CommandOutcome> {
  let [out, err, exitCode] = ['', '', 0];
  const printers: Printers = {
    out: (text) => void (out += text),
    err: (text) => void (err += text),
  };
  const program = createProgram('1', { serve: async () => undefined, ...partsOf(printers) });
  for (const command of program.commands) {
    for (const one of [command, ...command.commands]) {
      one.exitOverride().configureOutput({ writeErr: printers.err });
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

/** Runs the commands that work on blocks. */
export function runCommand(
  words: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<CommandOutcome> {
  return runParts(words, (printers) => ({
    tools: { fetch, parseDate: Date.parse, environment, ...printers },
  }));
}
