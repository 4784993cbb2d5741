// Shared by the scripts beside it. Dependency-free: it runs before anything is installed.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));
const stampFile = join(root, 'node_modules', '.starling-lockfile');

/** Runs a command in the checkout with its output shown; exits with its code when it fails. */
export function run(command, args, options = {}) {
  const result = spawnSync(command, args, { cwd: root, stdio: 'inherit', ...options });
  if (result.status !== 0) process.exit(result.status ?? 1);
}

/** Runs a tool from node_modules/.bin. */
export function tool(name, ...args) {
  run(join(root, 'node_modules', '.bin', name), args);
}

/** Installs exactly the lockfile, once per lockfile: scripts of packages never run. */
export function ensureInstalled() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major < 20 || (major === 20 && minor < 19)) {
    console.error(`Node ${process.versions.node} is too old: Starling needs 20.19 or newer.`);
    process.exit(1);
  }
  const hash = createHash('sha256')
    .update(readFileSync(join(root, 'package-lock.json')))
    .digest('hex');
  if (existsSync(stampFile) && readFileSync(stampFile, 'utf8') === hash) return;
  console.log('installing dependencies …');
  run('npm', ['ci', '--no-audit', '--no-fund', '--ignore-scripts', '--loglevel=error']);
  writeFileSync(stampFile, hash);
}

/**
 * Compiles what changed to dist/, removes what lost its source, and makes the command executable. One file at a
 * time, which the language allows (`isolatedModules`): types are not looked at here (types-and-lint.mjs does). Prints
 * what is no TypeScript and exits with 1; what was compiled of it before is removed.
 */
export function build() {
  ensureInstalled();
  const ts = createRequire(import.meta.url)('typescript');
  const { fileNames, options } = ts.getParsedCommandLineOfConfigFile(
    join(root, 'tsconfig.json'),
    { module: ts.ModuleKind.ESNext },
    { ...ts.sys, onUnRecoverableConfigFileDiagnostic: () => undefined },
  );
  // What each file was when it was compiled, and by what.
  const builtFile = join(root, 'dist', '.built.json');
  const compiler = `${ts.version} ${JSON.stringify(options)}`;
  const last = readBuilt(builtFile);
  const before = last.compiler === compiler ? (last.files ?? {}) : {};
  const files = {};
  const faults = [];
  for (const fileName of fileNames) {
    if (fileName.endsWith('.d.ts')) continue;
    const path = relative(root, fileName);
    const output = join(root, 'dist', path.replace(/\.ts$/, '.js'));
    const { mtimeMs, size } = statSync(fileName);
    files[path] = `${mtimeMs} ${size}`;
    if (before[path] === files[path] && existsSync(output)) continue;
    const text = readFileSync(fileName, 'utf8');
    const toSource = relative(dirname(output), fileName);
    const { diagnostics, outputText, sourceMapText } = ts.transpileModule(text, {
      compilerOptions: options,
      fileName,
      reportDiagnostics: true,
    });
    if (diagnostics.length > 0) {
      faults.push(...diagnostics);
      rmSync(output, { force: true }); // what it was before it was at fault must not run
      continue;
    }
    const map = { ...JSON.parse(sourceMapText), sources: [toSource] };
    mkdirSync(dirname(output), { recursive: true });
    writeFileSync(output, outputText);
    writeFileSync(`${output}.map`, JSON.stringify(map));
  }
  mkdirSync(join(root, 'dist'), { recursive: true });
  for (const path of readdirSync(join(root, 'dist'), { recursive: true })) {
    const source = path.replace(/\.js(\.map)?$/, '.ts');
    if (source !== path && files[source] === undefined) rmSync(join(root, 'dist', path));
  }
  const command = join(root, 'dist', 'cli', 'main.js');
  if (existsSync(command)) chmodSync(command, 0o755);
  // By rename: who is interrupted leaves the one before.
  const unfinished = `${builtFile}.${process.pid}`;
  writeFileSync(unfinished, JSON.stringify({ compiler, files }));
  renameSync(unfinished, builtFile);
  if (faults.length === 0) return;
  const host = {
    getCurrentDirectory: () => root,
    getCanonicalFileName: (name) => name,
    getNewLine: () => '\n',
  };
  console.error(ts.formatDiagnostics(faults, host).trimEnd());
  process.exit(1);
}

/** What the last build noted; nothing when it cannot be read: then all is compiled. */
function readBuilt(file) {
  try {
    const built = JSON.parse(readFileSync(file, 'utf8'));
    return typeof built === 'object' && built !== null ? built : {};
  } catch {
    return {};
  }
}

/** Builds when dist/ is missing or older than this checkout's last build asked for. */
export function ensureBuilt() {
  ensureInstalled();
  if (!existsSync(join(root, 'dist', 'cli', 'main.js'))) build();
}
