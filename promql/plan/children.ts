/**
 * The operands of a node, in the order in which they are evaluated, and a node with others in their
 * place: what every pass over the tree is made of. A tree in which nothing changes keeps its nodes.
 */
import { assert, assertNever } from '../../model/assert.ts';
import type { Expr } from '../ast.ts';
import { type Grid, type QueryParams, subqueryGrid } from '../operators/context.ts';

/** The operands of a node, left to right; a parameter stands before what it is applied to. */
export function childrenOf(node: Expr): readonly Expr[] {
  switch (node.kind) {
    case 'aggregation':
      return node.param === undefined ? [node.expr] : [node.param, node.expr];
    case 'binary':
      return [node.lhs, node.rhs];
    case 'call':
      return node.args;
    case 'matrix_selector':
      return [node.selector];
    case 'number':
    case 'string':
    case 'vector_selector':
      return [];
    case 'paren':
    case 'subquery':
    case 'unary':
      return [node.expr];
    default:
      return assertNever(node);
  }
}

/** The steps at which a node's operands are evaluated, for the steps of the node. */
export function gridBelow(node: Expr, grid: Grid, params: QueryParams): Grid {
  return node.kind === 'subquery' ? subqueryGrid(node, grid, params) : grid;
}

/** The node with each operand replaced; the same object when `change` gives back what it was given. */
export function withChildren(node: Expr, change: (child: Expr) => Expr): Expr {
  switch (node.kind) {
    case 'aggregation': {
      const param = node.param && change(node.param);
      const expr = change(node.expr);
      return param === node.param && expr === node.expr ? node : { ...node, param, expr };
    }
    case 'binary': {
      const [lhs, rhs] = [change(node.lhs), change(node.rhs)];
      return lhs === node.lhs && rhs === node.rhs ? node : { ...node, lhs, rhs };
    }
    case 'call': {
      const args = node.args.map(change);
      return args.every((arg, i) => arg === node.args[i]) ? node : { ...node, args };
    }
    case 'matrix_selector': {
      const selector = change(node.selector);
      assert(selector.kind === 'vector_selector', 'a selector stays one');
      return selector === node.selector ? node : { ...node, selector };
    }
    case 'number':
    case 'string':
    case 'vector_selector':
      return node;
    case 'paren':
    case 'subquery':
    case 'unary': {
      const expr = change(node.expr);
      return expr === node.expr ? node : { ...node, expr };
    }
    default:
      return assertNever(node);
  }
}
