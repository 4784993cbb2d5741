// npm run wat: compiles WebAssembly text (*.wat) to a module beside it that exports its bytes (*-wasm.ts); with
// --check nothing is written, and what differs fails.
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import wabt from 'wabt';
import { root } from './lib.mjs';

const FOLDERS = ['model', 'promql', 'storage'];
const COLUMNS = 90;

const sources = FOLDERS.flatMap((folder) =>
  readdirSync(join(root, folder), { recursive: true }).map((path) => join(folder, path)),
).filter((path) => path.endsWith('.wat'));
const { parseWat } = await wabt();
for (const source of sources) {
  const parsed = parseWat(source, readFileSync(join(root, source)), {
    simd: true,
    bulk_memory: true,
  });
  const { buffer } = parsed.toBinary({});
  parsed.destroy();
  const lines =
    Buffer.from(buffer)
      .toString('base64')
      .match(new RegExp(`.{1,${COLUMNS}}`, 'g')) ?? [];
  const file = basename(source, '.wat');
  const name = file.replace(/-(.)/g, (_, letter) => letter.toUpperCase());
  const text = `/** ${file}.wat, compiled by scripts/wat.mjs: base64. */
export const ${name}Wasm =
  ${lines.map((line) => `'${line}'`).join(' +\n  ')};
`;
  const target = join(root, source.replace(/\.wat$/, '-wasm.ts'));
  if (!process.argv.includes('--check')) writeFileSync(target, text);
  else if (readFileSync(target, 'utf8') !== text) {
    console.error(`${source} was changed and not compiled: npm run wat`);
    process.exitCode = 1;
  }
}
