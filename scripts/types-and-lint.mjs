// Checks types, then lints, over one and the same program: both ask for the types of everything, and to work
// them out takes longer than either. Run by `npm run ok`.
import { ESLint } from 'eslint';
import ts from 'typescript';
import { root } from './lib.mjs';

const host = { ...ts.sys, onUnRecoverableConfigFileDiagnostic: () => undefined };
const parsed = ts.getParsedCommandLineOfConfigFile(`${root}/tsconfig.json`, { noEmit: true }, host);
const program = ts.createProgram({ rootNames: parsed.fileNames, options: parsed.options });
const problems = [...parsed.errors, ...ts.getPreEmitDiagnostics(program)];
const paths = {
  getCurrentDirectory: () => root,
  getCanonicalFileName: (name) => name,
  getNewLine: () => '\n',
};
process.stdout.write(ts.formatDiagnostics(problems, paths));

const sameProgram = { parserOptions: { programs: [program], project: null } };
const eslint = new ESLint({
  cwd: root,
  overrideConfig: { files: ['**/*.ts'], languageOptions: sameProgram },
});
const results = await eslint.lintFiles(['.']);
const formatter = await eslint.loadFormatter();
process.stdout.write(await formatter.format(results));
const isLinted = results.every((one) => one.errorCount + one.warningCount === 0);
process.exitCode = isLinted && problems.length === 0 ? 0 : 1;
