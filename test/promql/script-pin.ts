/** Pins an expression to a time: `@ <time>` on every selector and subquery that has none. */
import { assertNever } from '../../model/assert.ts';
import type { Expr, VectorSelector } from '../../promql/index.ts';

/** The tree with the pins; places in the text stay those of the original. */
export function pinned(expr: Expr, timestampMs: number): Expr {
  const at = { kind: 'timestamp', timestampMs } as const;
  return pin(expr);

  function pin(node: Expr): Expr {
    switch (node.kind) {
      case 'aggregation': {
        const param = node.param === undefined ? undefined : pin(node.param);
        return { ...node, param, expr: pin(node.expr) };
      }
      case 'binary':
        return { ...node, lhs: pin(node.lhs), rhs: pin(node.rhs) };
      case 'call':
        return { ...node, args: node.args.map(pin) };
      case 'matrix_selector':
        return { ...node, selector: pinSelector(node.selector) };
      case 'number':
      case 'string':
        return node;
      case 'paren':
      case 'unary':
        return { ...node, expr: pin(node.expr) };
      case 'subquery':
        return node.at === undefined ? { ...node, at } : node;
      case 'vector_selector':
        return pinSelector(node);
      default:
        return assertNever(node);
    }
  }

  function pinSelector(node: VectorSelector): VectorSelector {
    return node.at === undefined ? { ...node, at } : node;
  }
}
