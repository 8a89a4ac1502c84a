/**
 * What the sequencer has signed for this browser: each promise and receipt, and whether L1 is far enough to be asked.
 *
 * @import {AccountView, BatchView} from "../wire"
 * @import {Kept} from "../word.js"
 */
import { useEffect } from "preact/hooks";
import { html } from "../html.js";
import { download } from "../csv.js";
import { useFeed } from "../feeds.js";
import { short } from "../format.js";
import { status } from "../venue.js";
import { isOpen, keptCount, keptOf, linesOf, MOST_KEPT, settleAll } from "../word.js";
import { Table } from "./table.js";
import { TIME } from "./tables_history.js";

/** @param {{view: AccountView}} props */
export function Promises({ view }) {
  keptCount.value;
  /** @type {BatchView[] | undefined} */
  const batches = useFeed("batches");
  const bridge = status.value?.rollup_address ?? "";
  const rows = keptOf(bridge, view.account);
  useEffect(() => {
    if (bridge !== "") settleAll(bridge, view.account);
  }, [bridge, view.account]);
  const newest = Math.max(0, ...(batches ?? []).map((one) => 1_000 * one.committed_at));
  const standing = (/** @type {Kept} */ one) => (one.why !== "" ? "none" : isOpen(one) ? "unchecked" : newest > one.time_ms ? "to be checked" : "waiting for L1");
  /** @type {import("./table.js").Column<Kept>[]} */
  const columns = [
    TIME,
    { title: "For", text: (one) => one.kind, cell: (one) => one.kind.replaceAll("_", " ") },
    { title: "Slot", text: (one) => String(one.slot) },
    { title: "Sequence", text: (one) => String(one.sequence) },
    { title: "Lots promised", text: (one) => one.lots, cell: (one) => one.lots || "—" },
    { title: "Signed by the seat", text: (one) => one.holder, cell: (one) => (isOpen(one) ? html`<span class="soft" title="The promise is kept, and held to the seat as soon as L1 says who holds it">… L1 has not said</span>` : one.why === "" ? html`<span class="gain" title=${one.holder}>✓ ${short(one.holder)}</span>` : html`<span class="loss">✗ ${one.why}</span>`) },
    { title: "State", text: standing },
  ];
  const save = () => download(`account-${view.account}-promises.jsonl`, linesOf({ chainId: status.value?.chain_id ?? 0, bridge }, rows), "application/jsonl");
  return html`<${Table} name="promises" columns=${columns} rows=${rows} rowKey=${(/** @type {Kept} */ one) => `${one.kind} ${one.slot} ${one.sequence}`} empty="Nothing was signed for this browser yet: each order is answered with a promise.">
      <span class="soft promise-note">The newest ${MOST_KEPT} that were given to this browser, signature and seat checked. Whether each was kept, by L1's bytes: save them, then <code>catenary wallet receipts --also FILE</code></span>
      <button type="button" class="plain" disabled=${rows.every((one) => one.holder === "" || one.why !== "")} onClick=${save}>Save them</button>
    <//>`;
}
