/** The own account's proof, made by the node and followed here, step by step, to the root that L1 keeps. */
import { signal } from "@preact/signals";
import { useState } from "preact/hooks";
import { askChain } from "../chain.js";
import { finalAt, rootOf } from "../exits.js";
import { html } from "../html.js";
import { api } from "../feeds.js";
import { exactTime, relative, size } from "../format.js";
import { followed } from "../proof.js";
import { isOwn, session } from "../session.js";
import { account, now, second, status } from "../venue.js";
import { Money } from "./value.js";

/**
 * What was found. `left`: seconds of L1's clock until its batch was final when it was checked; null: L1 did not say.
 * @typedef {Awaited<ReturnType<typeof followed>> & {account: number, batch: number, at: number, left: number | null}} Found
 */

/** Kept while other views are looked at. */
const last = signal(/** @type {Found | null} */ (null));

/** Seconds until a batch is final, by L1's clock; null where L1 does not say. @param {number} batch */
async function secondsLeft(batch) {
  try {
    const [at, head] = await Promise.all([finalAt(batch), askChain("eth_getBlockByNumber", ["latest", false])]);
    return at - Number(head.timestamp);
  } catch {
    return null;
  }
}

/** @param {{markets: import("../wire").MarketView[]}} props */
export function ProofSteps({ markets }) {
  const found = last.value;
  const [wrong, setWrong] = useState("");
  const [isBusy, setBusy] = useState(false);
  const of = account.value;
  if (of === null) return html`<p class="soft">Connect, or watch an account, and its proof is checked here.</p>`;
  const check = async () => {
    setBusy(true);
    setWrong("");
    last.value = null;
    try {
      // The own account has to be one's own on L1 too, whatever the node says.
      const owner = isOwn(of) ? session.peek()?.owner : undefined;
      const given = await api.call("catenary_proof", { account: of });
      const followedTo = await followed(of, given, rootOf, owner);
      last.value = { ...followedTo, account: of, batch: given.batch, at: now(), left: await secondsLeft(given.batch) };
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

/** Which batch it is of, and whether that can still be taken back. @param {{found: Found}} props */
function Standing({ found: { batch, at, left } }) {
  second.value;
  const newer = Math.max(0, (status.value?.posted.batch ?? batch) - batch);
  const isFinal = left !== null && left <= (now() - at) / 1_000;
  const word = isFinal ? "final" : left === null ? "posted; L1 does not say when it is final" : `posted, final in ${Math.ceil(left - (now() - at) / 1_000)} s by L1`;
  return html`<p class="standing">Batch ${batch}: <strong>${word}</strong>. <span class="soft" title=${exactTime(at)}>Checked ${relative(at, now())}${newer > 0 ? `; ${newer} ${newer === 1 ? "batch was" : "batches were"} posted since` : ""}.</span></p>`;
}

/** @param {{found: Found, markets: import("../wire").MarketView[]}} props */
function Result({ found, markets }) {
  const failed = found.steps.findIndex((one) => !one.holds);
  const { row, steps } = found;
  return html`<p class=${found.holds ? "gain" : "loss"}><strong>${found.holds ? `✓ All ${steps.length} steps hold: L1 commits to this account.` : `✗ Step ${failed + 1} does not hold: ${steps[failed]?.title}.`}</strong></p>
    <${Standing} found=${found} />
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
