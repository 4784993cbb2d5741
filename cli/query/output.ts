/**
 * Answers of the query API as text: a table for people, CSV for spreadsheets, JSON as it came. Pure.
 * Label names make the columns, in the order they are first seen; what a series lacks stays empty.
 */

export type OutputKind = 'csv' | 'json' | 'table';

type Labels = Readonly<Record<string, string>>;
type Point = readonly [seconds: number, value: unknown];

interface Series {
  readonly metric: Labels;
  readonly value?: Point;
  readonly values?: readonly Point[];
  readonly histogram?: Point;
  readonly histograms?: readonly Point[];
}

/** The `data` of an answer to `query` and `query_range`. */
export interface QueryData {
  readonly resultType: string;
  readonly result: readonly Series[] | Point;
}

/** Rows of cells; the first row names the columns. */
export type Rows = readonly (readonly string[])[];

export function rowsOfQuery({ result, resultType }: QueryData): Rows {
  if (resultType === 'scalar' || resultType === 'string') {
    const [seconds, value] = result as Point; // as the type says
    return [
      ['time', 'value'],
      [timeOf(seconds), String(value)],
    ];
  }
  const series = result as readonly Series[]; // the other two types
  const names = columnsOf(series.map(({ metric }) => metric));
  const rows = series.flatMap((one) => {
    const labels = names.map((name) => labelOf(one.metric, name));
    return pointsOf(one).map(([seconds, value]) => [...labels, timeOf(seconds), textOf(value)]);
  });
  return [[...names, 'time', 'value'], ...rows];
}

export function rowsOfSeries(sets: readonly Labels[]): Rows {
  const names = columnsOf(sets);
  return [names, ...sets.map((set) => names.map((name) => labelOf(set, name)))];
}

export function rowsOfNames(title: string, names: readonly string[]): Rows {
  return [[title], ...names.map((name) => [name])];
}

function pointsOf({ histogram, histograms, value, values }: Series): readonly Point[] {
  const points = [...(values ?? []), ...(histograms ?? [])];
  if (value !== undefined) points.push(value);
  if (histogram !== undefined) points.push(histogram);
  return points.sort(([a], [b]) => a - b);
}

function columnsOf(sets: readonly Labels[]): readonly string[] {
  return [...new Set(sets.flatMap((set) => Object.keys(set)))];
}

function labelOf(set: Labels, name: string): string {
  return Object.hasOwn(set, name) ? (set[name] ?? '') : '';
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function timeOf(seconds: number): string {
  return String(seconds);
}

/** Columns as wide as their widest cell, two spaces between them. */
export function tableText(rows: Rows): string {
  const printable = rows.map((row) => row.map(visible));
  const widths = (printable[0] ?? []).map((_, column) =>
    printable.reduce((width, row) => Math.max(width, (row[column] ?? '').length), 0),
  );
  const lines = printable.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
  return lines.map((line) => `${line}\n`).join('');
}

/** A cell on one line: what could steer a terminal is escaped. */
function visible(cell: string): string {
  return cell.replaceAll(/\p{Cc}/gu, (character) => JSON.stringify(character).slice(1, -1));
}

/** RFC 4180; cells that a spreadsheet would run as a formula get an apostrophe when `isSafe`. */
export function csvText(rows: Rows, isSafe = false): string {
  return rows.map((row) => `${row.map((cell) => csvCell(cell, isSafe)).join(',')}\r\n`).join('');
}

function csvCell(cell: string, isSafe: boolean): string {
  const isFormula = /^[=+\-@\t\r]/.test(cell) && !/^[+-]?(?:\d|Inf|\.\d)/.test(cell);
  const text = isSafe && isFormula ? `'${cell}` : cell;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
