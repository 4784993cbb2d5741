/**
 * Shows where an expression is wrong: the line of it that an error names, and a caret below the column.
 *
 *   sum by (job) (rate(a[5m])
 *                            ^
 */

const POSITION = /\b(\d+):(\d+): parse error/;
/** A longer line is cut around the column. */
const CHARACTERS_MAX = 160;

/** Two lines, each with its newline; empty when the message names no place of the expression. */
export function caretText(expr: string, message: string): string {
  const found = POSITION.exec(message);
  const line = expr.split('\n')[Number(found?.[1]) - 1];
  const before = Number(found?.[2]) - 1;
  if (line === undefined || before > line.length) return '';
  const from = Math.max(0, before - CHARACTERS_MAX / 2);
  const shown = line.slice(from, from + CHARACTERS_MAX).replaceAll(/\p{Cc}/gu, ' ');
  return `  ${shown}\n  ${' '.repeat(before - from)}^\n`;
}
