/** A table whose columns say how they are shown and how they are written into a file. */
import { html } from "../html.js";
import { csv, download } from "../csv.js";
import { account } from "../venue.js";

/**
 * @template Row
 * @typedef {{title: string, text: (row: Row) => string, cell?: (row: Row) => any}} Column text: exact, for the file; shown where there is no cell
 */

/**
 * @param {{name: string, columns: Column<any>[], rows: any[], rowKey: (row: any) => string, empty: string, children?: any}} props
 */
export function Table({ name, columns, rows, rowKey, empty, children }) {
  const save = () =>
    download(
      `account-${account.peek()}-${name.replaceAll(" ", "-")}.csv`,
      csv(columns.filter((one) => one.title !== "").map((one) => one.title), rows.map((row) => columns.filter((one) => one.title !== "").map((one) => one.text(row)))),
    );
  return html`<div class="table-tools">${children}<button type="button" class="plain" disabled=${rows.length === 0} onClick=${save}>CSV</button></div>
    <div class="scroll" tabindex="0" role="region" aria-label=${name}>
      <table>
        <caption class="sr">${name}</caption>
        <thead><tr>${columns.map((one) => html`<th key=${one.title} scope="col">${one.title || html`<span class="sr">What can be done</span>`}</th>`)}</tr></thead>
        <tbody>
          ${rows.length === 0
            ? html`<tr><td class="soft empty" colspan=${columns.length}>${empty}</td></tr>`
            : rows.map((row) => html`<tr key=${rowKey(row)}>${columns.map((one) => html`<td key=${one.title} data-label=${one.title || null}>${one.cell ? one.cell(row) : one.text(row)}</td>`)}</tr>`)}
        </tbody>
      </table>
    </div>`;
}
