/** The selectors of an expression as they are written, each once, whatever is computed of them. */
import type { Matcher, Selectors } from '../../model/matchers.ts';
import type { Expr } from '../ast.ts';
import { childrenOf } from './children.ts';
import { matcherKey, sortedMatchers } from './sort-matchers.ts';

/** Their matchers. The tree's depth is bounded by the parser. */
export function selectorsOf(expr: Expr): Selectors {
  const found = new Map<string, readonly Matcher[]>();
  const walk = (node: Expr): void => {
    if (node.kind === 'vector_selector') {
      const key = sortedMatchers(node.matchers).map(matcherKey).join('\n');
      found.set(key, node.matchers);
    }
    for (const child of childrenOf(node)) walk(child);
  };
  walk(expr);
  return [...found.values()];
}
