/**
 * I12: nothing that a tenant is told bears the mark of another one: neither an answer nor the text of
 * an error. Marks are values of a label that every series of a tenant has.
 */
import { ownerMark } from '../texts.ts';
import type { Violation } from './answer.ts';

/** What in `text`, told to `tenant`, belongs to others. */
export function checkIsolation(
  text: string,
  tenant: string,
  tenants: readonly string[],
  node: string,
): readonly Violation[] {
  return tenants
    .filter((other) => other !== tenant && text.includes(`${ownerMark(other)}"`))
    .map((other) => ({ invariant: 'I12', what: `${node} tells ${tenant} of series of ${other}` }));
}
