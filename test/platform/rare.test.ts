/**
 * Goal: each probe and each oddity that has a name stands in the product, so that a night without it says
 * something; the real platform has none of them. Method: the sources, and a real log.
 */
import { readFileSync, readdirSync } from 'node:fs';
import t from 'tap';
import { createNodeLog } from '../../platform/node/log.ts';
import { ODDITIES, PROBES } from '../../platform/rare.ts';
import { checkout } from '../support/checkout.ts';

/** All of the product's sources in one text. */
function sources(): string {
  return ['actors', 'cli', 'membership', 'storage']
    .flatMap((folder) =>
      readdirSync(checkout(`${folder}/`), { recursive: true })
        .map(String)
        .filter((name) => name.endsWith('.ts'))
        .map((name) => readFileSync(checkout(`${folder}/${name}`), 'utf8')),
    )
    .join('\n');
}

t.test('every probe and every oddity stands in the product', (t) => {
  const text = sources();
  const isMissing = (name: string): boolean =>
    !text.includes(`'${name}'`) && !text.includes(`'${name.replace(/^swim\./, '')}'`);
  t.strictSame(PROBES.filter(isMissing), []);
  t.strictSame(ODDITIES.filter(isMissing), []);
  t.end();
});

t.test('a real log counts no probes', (t) => {
  t.equal(createNodeLog('error').probe, undefined);
  t.end();
});
