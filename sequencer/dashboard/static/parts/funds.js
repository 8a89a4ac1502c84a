/** Dollars in and out: a deposit on L1, a withdrawal that is claimed there when its batch is final. */
import { useEffect, useMemo, useState } from "preact/hooks";
import { api } from "../feeds.js";
import { html } from "../html.js";
import { deposited } from "../deposit.js";
import { dollars, parsed } from "../format.js";
import { Previewer } from "../preview.js";
import { enter, send } from "../session.js";
import { forgotten, transactions } from "../transactions.js";
import { account, addressOf } from "../venue.js";
import { say } from "./toast.js";
import { Becomes } from "./value.js";
import { Why } from "./why.js";

const WORDS = { asked: "asked", sent: "sent, waiting for L1", mined: "mined", confirmed: "confirmed", refused: "not done" };

/** @param {{who: import("../session.js").Session}} props */
export function Funds({ who }) {
  const [text, setText] = useState("");
  const [isBusy, setBusy] = useState(false);
  const micros = parsed(text, 6);
  const isSum = micros !== null && micros > 0n;
  const into = account.value !== null && who.accounts.includes(account.value) ? account.value : null;
  const go = (/** @type {Promise<any>} */ work, /** @type {string} */ done) => {
    setBusy(true);
    work
      .then(
        () => (say("done", done, `${dollars(micros ?? 0)} dollars`), setText("")),
        (error) => say("wrong", "It was not done", error.message),
      )
      .then(() => setBusy(false));
  };
  const deposit = async () => {
    await deposited(who, /** @type {bigint} */ (micros), into);
    await enter(who);
  };
  const withdraw = () => send({ kind: "withdraw", account: /** @type {number} */ (into), amount_micros: String(micros) });
  return html`<section>
    <h3>Money</h3>
    <label for="sum">Dollars</label>
    <input id="sum" inputmode="decimal" value=${text} aria-invalid=${text !== "" && !isSum} onInput=${(/** @type {any} */ event) => setText(event.target.value)} />
    <div class="row">
      <button type="button" disabled=${!isSum || isBusy} onClick=${() => go(deposit(), "The deposit is booked")}>${into === null ? "Deposit into a new account" : "Deposit"}</button>
      <button type="button" disabled=${!isSum || isBusy || into === null} onClick=${() => go(withdraw(), "The withdrawal is sequenced")}>Withdraw</button>
    </div>
    ${isSum && into !== null && html`<${Leaving} from=${into} to=${who.owner} micros=${String(micros)} />`}
    <p class="soft">A withdrawal is <a href=${addressOf("rollup")}>claimed on L1</a> once its batch is final.</p>
    <${Lives} />
  </section>`;
}

/** What a withdrawal would leave. @param {{from: number, to: string, micros: string}} props */
function Leaving({ from, to, micros }) {
  const previewer = useMemo(() => new Previewer((operation) => api.call("catenary_preview", { operation })), []);
  useEffect(() => previewer.want({ kind: "withdraw", account: from, recipient: to, amount_micros: micros }), [from, to, micros]);
  const { preview, error, isOld } = previewer.seen.value;
  if (error) return html`<p class="refusal">${error.message}</p>`;
  if (preview === null) return html`<p class="soft">Asking the node…</p>`;
  if (preview.code !== 0) return html`<p class="soft">It cannot leave now: ${dollars(preview.before.withdrawable_micros)} dollars can. <${Why} of=${preview.refusal} /></p>`;
  const { before, after } = preview;
  return html`<p class="soft">Withdrawn, equity <${Becomes} before=${dollars(before.equity_micros)} after=${dollars(after.equity_micros)} isOld=${isOld} />, free <${Becomes} before=${dollars(before.free_collateral_micros)} after=${dollars(after.free_collateral_micros)} isOld=${isOld} /></p>`;
}

/** The transactions of this page on L1, each with where it stands. */
export function Lives() {
  if (transactions.value.length === 0) return null;
  return html`<ul class="lives" role="status" aria-live="polite">
    ${transactions.value.slice(0, 4).map(
      (one) => html`<li key=${one.id} class=${one.state} title=${one.hash}>${one.title}: <strong>${WORDS[one.state]}</strong> <span class="soft">${one.detail}</span>${one.state === "sent" && html`<button type="button" class="plain" title="It was replaced in the wallet, or L1 has dropped it" onClick=${() => forgotten(one)}>Stop waiting</button>`}</li>`,
    )}
  </ul>`;
}
