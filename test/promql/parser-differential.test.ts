// Goal: texts mean to us what they mean to Prometheus 3.5: same tree, same normal form, and for
// bad ones the same message at the same place.
// Method: a real Prometheus (PROM_BIN=<directory>) answers parse_query and format_query for the
// golden table and for random texts. UPDATE_GOLDEN=1 rewrites the table from its answers.
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { StarlingError } from '../../model/errors.ts';
import { astToJson, parseExpr, prettyExpr } from '../../promql/index.ts';
import { damagedText, expressionText, tokenSoup } from './parser-expressions.ts';
import { checkout } from '../support/checkout.ts';

const programs = process.env['PROM_BIN'];
const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const numRuns = Number(process.env['RUNS'] ?? 150);
const golden = checkout('test/golden/promql/expressions.jsonl');

if (programs === undefined) {
  t.comment('skipped: PROM_BIN is not set, nothing to compare with');
} else {
  await t.test('the parser beside a real Prometheus', (t) => compare(t, programs));
}

interface Answer {
  readonly error?: string;
  readonly printed?: string;
  readonly tree?: unknown;
}

async function compare(t: Test, directory: string): Promise<void> {
  const { process: prometheus, url } = await startPrometheus(t, directory);
  t.teardown(() => prometheus.kill());

  await t.test('parseExpr() agrees with Prometheus on the golden table', async (t) => {
    const lines = readFileSync(golden, 'utf8').trimEnd().split('\n');
    const answers: string[] = [];
    const differences: unknown[] = [];
    for (const line of lines) {
      const [text] = JSON.parse(line) as [string];
      const theirs = await askPrometheus(url, text);
      const result = theirs.error ?? theirs.printed;
      answers.push(JSON.stringify([text, theirs.error === undefined ? 'ok' : 'error', result]));
      const ours = askStarling(text);
      if (JSON.stringify(ours) !== JSON.stringify(theirs)) differences.push({ text, ours, theirs });
    }
    t.strictSame(differences, []);
    if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(golden, answers.join('\n') + '\n');
  });

  for (const [name, texts] of Object.entries({ damagedText, expressionText, tokenSoup })) {
    await t.test(`parseExpr() agrees with Prometheus on ${name} (seed ${seed})`, async (t) => {
      const property = fc.asyncProperty(texts, async (text) => {
        fc.pre(!isKnownDifference(text));
        const [ours, theirs] = [askStarling(text), await askPrometheus(url, text)];
        if (theirs.error === 'unexpected error') return; // it panicked
        if (JSON.stringify(ours) === JSON.stringify(theirs)) return;
        throw new Error(`ours   ${JSON.stringify(ours)}\ntheirs ${JSON.stringify(theirs)}`);
      });
      await fc.assert(property, { seed, numRuns });
      t.pass();
    });
  }
}

/** Where we part from 3.5 on purpose: it prints what it cannot read, or reads nonsense. */
function isKnownDifference(text: string): boolean {
  const error = askStarling(text).error ?? '';
  const printsUnquoted = /\([^()]*[a-z]:[a-z][^()]*\)/.test(text);
  const losesGrouping = /ignoring\s*\(\s*\)\s*group_/i.test(text);
  const takesWordsAsColons = /\[[^\]]*[a-zA-Z_"]/.test(
    text.replaceAll(/[0-9](?:ms|[smhdwy])/g, '0'),
  );
  const misnamesAt = error.includes('<op:@>');
  const misplacesOperator =
    /\b(?:on|ignoring|start|end)\b/i.test(text) &&
    /bool modifier|BOOL modifier|at once/.test(error);
  const takesNanAsOffset = /offset\s*[-+]?\s*nan/i.test(text);
  return (
    printsUnquoted ||
    losesGrouping ||
    takesWordsAsColons ||
    takesNanAsOffset ||
    misnamesAt ||
    misplacesOperator
  );
}

function askStarling(text: string): Answer {
  try {
    const expr = parseExpr(text);
    return { printed: prettyExpr(expr), tree: JSON.parse(JSON.stringify(astToJson(expr))) };
  } catch (error) {
    if (!(error instanceof StarlingError)) throw error;
    return { error: error.message };
  }
}

async function askPrometheus(url: string, text: string): Promise<Answer> {
  const parsed = await ask(url, 'parse_query', text);
  if (parsed.error !== undefined) {
    return { error: parsed.error.replace('invalid parameter "query": ', '') };
  }
  const { data } = await ask(url, 'format_query', text);
  return { printed: data as string, tree: parsed.data };
}

async function ask(
  url: string,
  path: string,
  query: string,
): Promise<{ error?: string; data?: unknown }> {
  const body = new URLSearchParams({ query });
  const response = await fetch(`${url}/api/v1/${path}`, { method: 'POST', body });
  return (await response.json()) as { error?: string; data?: unknown };
}

/** Starts a Prometheus that scrapes nothing, on a free port of loopback. */
async function startPrometheus(
  t: Test,
  directory: string,
): Promise<{ process: ChildProcess; url: string }> {
  const work = t.testdir({ 'prometheus.yml': '{}' });
  const prometheus = spawn(
    join(directory, 'prometheus'),
    [
      `--config.file=${join(work, 'prometheus.yml')}`,
      `--storage.tsdb.path=${join(work, 'data')}`,
      '--web.listen-address=127.0.0.1:0',
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  let log = '';
  const port = await new Promise<string>((resolve, reject) => {
    prometheus.stderr.on('data', (chunk) => {
      log += String(chunk); // and read on: a program that logs into a closed pipe dies
      const listening = /msg="Listening on" component=web address=127\.0\.0\.1:([0-9]+)/.exec(log);
      if (listening !== null && log.includes('Server is ready')) resolve(listening[1]!);
    });
    prometheus.on('error', reject);
    prometheus.on('exit', () => reject(new Error(`prometheus did not start: ${log}`)));
  });
  return { process: prometheus, url: `http://127.0.0.1:${port}` };
}
