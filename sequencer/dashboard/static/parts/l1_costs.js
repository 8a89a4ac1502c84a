/** What batches have cost on L1, each asked for once: of those in the list, and added up for as many as the node tells. */
import { signal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import { askChain, venue } from "../chain.js";
import { api } from "../feeds.js";
import { decimal } from "../format.js";
import { html } from "../html.js";
import { costOf, summed } from "../l1events.js";

/** @import {BatchView} from "../wire" */

/** As many as a node tells at once. */
const MOST = 200;
/** L1 nodes that anybody may ask do not like to be asked much at once. */
const AT_ONCE = 4;

/** By a batch's hash; null: L1 has no log of it. */
const costs = signal(/** @type {Record<string, import("../l1events.js").Cost | null>} */ ({}));

/** Asks for what is not known, as far as L1 answers. @param {BatchView[]} batches */
async function learn(batches) {
  const { identity } = await venue();
  const wanted = batches.filter((one) => costs.peek()[one.batch_hash] === undefined && one.l1_block > 0);
  const work = async () => {
    for (let one = wanted.shift(); one !== undefined; one = wanted.shift()) {
      const cost = await costOf(askChain, identity.bridge, one);
      costs.value = { ...costs.peek(), [one.batch_hash]: cost };
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
}

/** Those of batches that are shown. @param {BatchView[]} batches */
export function useCosts(batches) {
  useEffect(() => {
    learn(batches).catch(() => {});
  }, [batches.map((one) => one.batch_hash).join()]);
  return costs;
}

/** The sum, once somebody wants it. */
export function L1Costs() {
  const [batches, setBatches] = useState(/** @type {BatchView[]} */ ([]));
  const [wrong, setWrong] = useState("");
  const [isBusy, setBusy] = useState(false);
  const add = async () => {
    setBusy(true);
    setWrong("");
    try {
      const found = await api.call("catenary_batches", { limit: MOST });
      setBatches(found);
      await learn(found);
    } catch (error) {
      setWrong(error instanceof Error ? error.message : String(error));
    }
    setBusy(false);
  };
  return html`<div class="row sum">
    <button type="button" class="plain" disabled=${isBusy} onClick=${add}>${isBusy ? "Asking L1" : batches.length > 0 ? "Add up anew" : "Add up what they cost"}</button>
    <span role="status" aria-live="polite">
      ${batches.length > 0 && html`<${Sum} batches=${batches} />`}
      ${wrong && html`<span class="loss">Not all were added: ${wrong}</span>`}
    </span>
  </div>`;
}

/** @param {{batches: BatchView[]}} props */
function Sum({ batches }) {
  const sum = summed(batches, costs.value, MOST);
  const ether = (/** @type {bigint} */ wei) => decimal(wei / 10n ** 12n, 6);
  const what = sum.isAll ? `All ${sum.count} batches` : `The newest ${sum.count} batches`;
  return html`<strong>${ether(sum.wei)} ether</strong>, ${sum.gas.toLocaleString()} gas: ${what}${sum.unknown > 0 && html`<span class="loss">, ${sum.unknown} of ${batches.length} not known to L1's node</span>`}.${" "}
    ${sum.dayWei !== null && html`<span class="soft">The last 24 hours: ${ether(sum.dayWei)} ether${sum.isWholeDay ? "" : " at the rate of these"}.</span>`}`;
}
