/** `fill(0)`, `fill_left(0) fill_right(-1)`: after the matching of a binary operator. */
import type { FillValues } from './ast.ts';
import type { Cursor } from './parser-cursor.ts';
import { tokenValue } from './parser-number.ts';

/** Parses the modifiers if there are any. Throws `query.parse`. */
export function parseFill(cursor: Cursor): FillValues | undefined {
  let left: number | undefined;
  let right: number | undefined;
  for (;;) {
    const word = ['fill', 'fill_left', 'fill_right'].find((one) => cursor.isWord(one, true));
    if (word === undefined) break;
    const { start } = cursor.next();
    if (cursor.options.fillModifiers !== true) {
      throw cursor.error(start, 'binop fill modifiers are experimental and not enabled');
    }
    const value = parseValue(cursor);
    if (word !== 'fill_right') left = value;
    if (word !== 'fill_left') right = value;
  }
  return left === undefined && right === undefined ? undefined : { left, right };
}

function parseValue(cursor: Cursor): number {
  cursor.next();
  const sign = cursor.accept('-') ?? cursor.accept('+');
  const token = cursor.peek();
  if (token.kind !== 'number' && token.kind !== 'duration') {
    throw cursor.unexpected('fill modifier', 'number');
  }
  const value = tokenValue(cursor, cursor.next());
  if (cursor.accept(')') === undefined) throw cursor.unexpected('fill modifier', '")"');
  return sign?.kind === '-' ? -value : value;
}
