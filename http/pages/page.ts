/** The frame of the pages for people: no script, no outside request; every value is escaped. */
import { html } from 'hono/html';
import type { HtmlEscapedString } from 'hono/utils/html';

type Html = HtmlEscapedString | Promise<HtmlEscapedString>;

const STYLE = `body{font:14px/1.5 system-ui,sans-serif;margin:2rem;color:#222;background:#fff}
table{border-collapse:collapse;margin:1rem 0}td,th{border:1px solid #ccc;padding:.25rem .6rem;text-align:left}
th{background:#f3f3f3}a{color:#0550ae}`;

export function page(title: string, body: Html): Html {
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <title>${title} · Starling</title>
        <style>
          ${STYLE}
        </style>
      </head>
      <body>
        <h1>${title}</h1>
        ${body}
      </body>
    </html>`;
}

/** A table of rows; the columns are keys of a row, in order. */
export function table<Row extends object>(
  columns: readonly (keyof Row & string)[],
  rows: readonly Row[],
): Html {
  return html`<table>
    <tr>
      ${columns.map((column) => html`<th>${column}</th>`)}
    </tr>
    ${rows.map(
      (row) =>
        html`<tr>
          ${columns.map((column) => html`<td>${String(row[column])}</td>`)}
        </tr>`,
    )}
  </table>`;
}
