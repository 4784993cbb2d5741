/**
 * Places in a query text, as users see them: `line:column`, both from 1, the column counted in
 * UTF-8 bytes, as Prometheus counts. Nodes and tokens keep UTF-16 indexes; only messages convert.
 */
import { StarlingError } from '../model/errors.ts';

/** The place of the UTF-16 index `index` of `text`, as `line:column`. */
export function positionOf(text: string, index: number): string {
  if (text === '') return 'unknown position';
  const before = text.slice(0, index);
  const lineStart = before.lastIndexOf('\n') + 1;
  let line = 1;
  for (let i = 0; i < lineStart; i++) if (before.charCodeAt(i) === 10) line++;
  return `${line}:${Buffer.byteLength(before.slice(lineStart)) + 1}`;
}

/** The error of a query text that cannot be parsed, at a place in it. */
export function parseError(text: string, index: number, message: string): StarlingError {
  return new StarlingError('query.parse', {
    text: `${positionOf(text, index)}: parse error: ${message}`,
  });
}
