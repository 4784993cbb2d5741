/** How a command ended badly, already told: the process ends with this code and says nothing more. */
export class CommandExit extends Error {
  readonly exitCode: 1 | 2;

  constructor(exitCode: 1 | 2) {
    super('the command failed');
    this.exitCode = exitCode;
  }
}
