/** What the account has, had and paid: one table at a time, each as a file too. */
import { html } from "../html.js";
import { account, addressOf } from "../venue.js";
import { seenAccount } from "./drafting.js";
import { Panel, Tabs } from "./panel.js";
import { chosenTable, TABLES } from "./tables_chosen.js";
import { Fills, Funding, History, Transfers } from "./tables_history.js";
import { OpenOrders } from "./tables_orders.js";
import { Promises } from "./tables_promises.js";
import { Positions } from "./tables_positions.js";
import { Untold } from "./untold.js";

/** @type {Record<string, any>} */
const SHOWN = { positions: Positions, orders: OpenOrders, fills: Fills, history: History, funding: Funding, transfers: Transfers, promises: Promises };

export function Tables() {
  const view = seenAccount.value;
  /** @type {Record<string, number>} */
  const counts = { positions: view?.positions.length ?? 0, orders: view?.open_orders.length ?? 0 };
  const tabs = TABLES.map((one) => ({ ...one, count: counts[one.key] ?? 0 }));
  const Table = SHOWN[chosenTable.value] ?? Positions;
  return html`<${Panel} title="Account" area="tables">
    <${Tabs} label="Tables of the account" tabs=${tabs} chosen=${chosenTable.value} choose=${(/** @type {string} */ key) => (chosenTable.value = key)} />
    ${account.value === null
      ? html`<p class="soft">No account yet. <a href=${addressOf("learn")}>Practice with play money</a>, or connect a wallet above.</p>`
      : view === undefined
        ? html`<${Untold} of=${account.value} />`
        : html`<${Table} key=${account.value} view=${view} />`}
  <//>`;
}
