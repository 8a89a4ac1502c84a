/** The own account's proof, made by the node and followed here, step by step, to the root that L1 keeps. */
import { useState } from "preact/hooks";
import { html } from "../html.js";
import { rootOf } from "../exits.js";
import { api } from "../feeds.js";
import { size } from "../format.js";
import { followed } from "../proof.js";
import { isOwn, session } from "../session.js";
import { account } from "../venue.js";
import { Money } from "./value.js";

/** @typedef {Awaited<ReturnType<typeof followed>>} Followed */

/** @param {{markets: import("../wire").MarketView[]}} props */
export function ProofSteps({ markets }) {
  const [found, setFound] = useState(/** @type {(Followed & {account: number}) | null} */ (null));
  const [wrong, setWrong] = useState("");
  const [isBusy, setBusy] = useState(false);
  const of = account.value;
  if (of === null) return html`<p class="soft">Connect, or watch an account, and its proof is checked here.</p>`;
  const check = async () => {
    setBusy(true);
    setWrong("");
    setFound(null);
    try {
      // The own account has to be one's own on L1 too, whatever the node says.
      const owner = isOwn(of) ? session.peek()?.owner : undefined;
      setFound({ ...(await followed(of, await api.call("catenary_proof", { account: of }), rootOf, owner)), account: of });
    } catch (error) {
      setWrong(error instanceof Error ? error.message : String(error));
    }
    setBusy(false);
  };
  return html`<div class="proof">
    <p class="soft">The node gives the account's leaf and 32 siblings. This browser hashes them upwards and asks the bridge on L1 for the root: nobody's word is needed.</p>
    <button type="button" disabled=${isBusy} onClick=${check}>${isBusy ? "Checking" : `Check account ${of}`}</button>
    <div role="status" aria-live="polite">
      ${wrong && html`<p class="loss">No proof: ${wrong}</p>`}
      ${found && found.account === of && html`<${Result} found=${found} markets=${markets} />`}
    </div>
  </div>`;
}

/** @param {{found: Followed & {account: number}, markets: import("../wire").MarketView[]}} props */
function Result({ found, markets }) {
  const failed = found.steps.findIndex((one) => !one.holds);
  const { row, steps } = found;
  return html`<p class=${found.holds ? "gain" : "loss"}><strong>${found.holds ? `✓ All ${steps.length} steps hold: L1 commits to this account.` : `✗ Step ${failed + 1} does not hold: ${steps[failed]?.title}.`}</strong></p>
    ${found.holds &&
    html`<dl class="facts">
      <dt>Owner</dt><dd class="mono">${row.owner}</dd>
      <dt>Collateral</dt><dd><${Money} micros=${row.settledMicros + row.olderMicros + row.freshMicros} /></dd>
      ${row.positions.map((one) => {
        const market = markets[one.market];
        return html`<dt key=${one.market}>${market?.name ?? one.market}</dt><dd>${market ? size(one.sizeLots, market, "exceptZero") : String(one.sizeLots)}</dd>`;
      })}
    </dl>`}
    <details open=${!found.holds}>
      <summary>The steps</summary>
      <ol class="steps">
        ${steps.map((one, at) => html`<li key=${at} class=${one.holds ? "" : "loss"}><strong>${one.holds ? "✓" : "✗"} ${one.title}</strong><code>${one.value}</code><span class="soft">${one.detail}</span></li>`)}
      </ol>
    </details>`;
}
