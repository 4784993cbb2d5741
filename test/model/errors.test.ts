// Goal: the list of errors that users may rely on changes only on purpose.
// Method: a golden file of ids, statuses and sentences; UPDATE_GOLDEN=1 rewrites it.
import { readFileSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { errorCatalogue } from '../../model/errors.ts';
import { checkout } from '../support/checkout.ts';

const golden = checkout('test/golden/errors.txt');

interface Entry {
  readonly http: number;
  readonly grpc: string;
  readonly retryable: boolean;
  readonly message: (facts: unknown) => string;
}

/** A sentence with the names of its facts where their values would stand. */
function sentenceOf({ message }: Entry): string {
  const names = new Proxy({}, { get: (_, name) => `<${String(name)}>` });
  return message(names).split('\n').join(' ');
}

t.test('the catalogue keeps its ids, statuses and sentences', async (t) => {
  const lines = Object.entries(errorCatalogue as unknown as Record<string, Entry>)
    .map(([id, entry]) => {
      const retry = entry.retryable ? 'retryable' : 'final';
      return `${id} | ${entry.http} ${entry.grpc} ${retry} | ${sentenceOf(entry)}`;
    })
    .sort();
  const text = `${lines.join('\n')}\n`;
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(golden, text);
  t.equal(text, readFileSync(golden, 'utf8'));
});

t.test('every id is a room and a noun, and every status is an error', async (t) => {
  for (const [id, { http }] of Object.entries(errorCatalogue)) {
    t.match(id, /^[a-z]+(\.[a-z_]+)?$/);
    t.ok(http >= 400 && http < 600, id);
  }
});
