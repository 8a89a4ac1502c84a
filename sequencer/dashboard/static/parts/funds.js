/** Dollars: where they are, in and out; a deposit on L1, a withdrawal that is claimed there when its batch is final. */
import { useEffect, useMemo, useState } from "preact/hooks";
import { api, useFeed } from "../feeds.js";
import { html } from "../html.js";
import { deposited } from "../deposit.js";
import { decimal, dollars, parsed } from "../format.js";
import { holdingsOf } from "../holdings.js";
import { Previewer } from "../preview.js";
import { enter, send } from "../session.js";
import { forgotten, transactions } from "../transactions.js";
import { account, addressOf } from "../venue.js";
import { imagine } from "./imagined.js";
import { ratioText } from "./shock_outcome.js";
import { say } from "./toast.js";
import { Becomes, Money } from "./value.js";
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
    <${Whereabouts} owner=${who.owner} of=${into} />
    <label for="sum">Dollars</label>
    <input id="sum" inputmode="decimal" value=${text} aria-invalid=${text !== "" && !isSum} onInput=${(/** @type {any} */ event) => setText(event.target.value)} />
    <div class="row">
      <button type="button" disabled=${!isSum || isBusy} onClick=${() => go(deposit(), "The deposit is booked")}>${into === null ? "Deposit into a new account" : "Deposit"}</button>
      <button type="button" disabled=${!isSum || isBusy || into === null} onClick=${() => go(withdraw(), "The withdrawal is sequenced")}>Withdraw</button>
    </div>
    ${isSum && into !== null && html`<${Coming} of=${into} micros=${String(micros)} /><${Leaving} from=${into} to=${who.owner} micros=${String(micros)} />`}
    <p class="soft">A withdrawal is <a href=${addressOf("rollup")}>claimed on L1</a> once its batch is final.</p>
    <${Lives} />
  </section>`;
}

const LOOK_MS = 5_000;

/** Where an owner's money is now, from his wallet on L1 to what waits to be claimed there. @param {{owner: string, of: number | null}} props */
function Whereabouts({ owner, of }) {
  const [found, setFound] = useState(/** @type {import("../holdings.js").Holdings | null} */ (null));
  const [wrong, setWrong] = useState("");
  /** @type {import("../wire").AccountView | undefined} */
  const seen = useFeed(of === null ? null : `account:${of}`);
  const moved = transactions.value.map((one) => one.state).join();
  useEffect(() => {
    let isOver = false;
    const look = () => {
      if (document.hidden) return;
      holdingsOf(owner).then(
        (now) => isOver || (setFound(now), setWrong("")),
        (error) => isOver || setWrong(error.message),
      );
    };
    look();
    const every = setInterval(look, LOOK_MS);
    return () => {
      isOver = true;
      clearInterval(every);
    };
  }, [owner, moved, seen?.collateral_micros]);
  const money = (/** @type {bigint | undefined} */ micros) => html`<${Money} micros=${micros ?? null} />`;
  return html`<dl class="whereabouts" aria-label="Where the money is">
      <div><dt>Your wallet, on L1</dt><dd>${money(found?.walletMicros)}</dd></div>
      <div><dt class="soft">and ether, for L1's fees</dt><dd class="number">${found === null ? "—" : decimal(found.wei / 10n ** 14n, 4)}</dd></div>
      ${found !== null && found.comingMicros > 0n && html`<div><dt>On its way in</dt><dd>${money(found.comingMicros)}</dd></div>`}
      <div><dt>${of === null ? "No account yet" : `Account ${of}, equity`}</dt><dd><${Money} micros=${seen?.equity_micros} /></dd></div>
      <div><dt>Leaving, not final yet</dt><dd>${money(found?.leavingMicros)}</dd></div>
      <div><dt>${found !== null && found.claimableMicros > 0n ? html`<a href=${addressOf("rollup")}>To be claimed on L1</a>` : "To be claimed on L1"}</dt><dd>${money(found?.claimableMicros)}</dd></div>
    </dl>
    ${wrong && html`<p class="refusal" role="status">L1 does not say: ${wrong}</p>`}`;
}

/** At other prices it is another preview. */
const useTick = () => useFeed("prices")?.[0]?.tick_time_ms;

/** @param {import("../wire").UnsignedOperation} operation */
async function foreseen(operation) {
  const seen = await api.call("catenary_previewDeposit", { account: operation.account, amount_micros: operation.amount_micros ?? 0 });
  return { ...seen, status: seen.code === 0 ? "applied" : "refused", operation };
}

/** What a deposit would make of the account, drawn over the pool meanwhile. @param {{of: number, micros: string}} props */
function Coming({ of, micros }) {
  const previewer = useMemo(() => new Previewer(foreseen), []);
  // As money from elsewhere: a deposit is no operation that is signed.
  useEffect(() => previewer.want({ kind: "transfer", account: of, to_account: of, amount_micros: micros }), [of, micros, useTick()]);
  useEffect(() => imagine(previewer.seen, "with this deposit"), [previewer]);
  const { preview, error, isOld } = previewer.seen.value;
  if (error) return html`<p class="refusal">${error.message}</p>`;
  if (preview === null) return html`<p class="soft">Asking the node…</p>`;
  if (preview.code !== 0) return html`<p class="soft">It would come back: <${Why} of=${preview.refusal} /></p>`;
  return html`<p class="soft coming">Deposited, <${Changes} before=${preview.before} after=${preview.after} isOld=${isOld} />, margin ratio <${Becomes} before=${ratioText(preview.before.margin_ratio_ppm)} after=${ratioText(preview.after.margin_ratio_ppm)} isOld=${isOld} /></p>`;
}

/** @param {{before: import("../wire").Outlook, after: import("../wire").Outlook, isOld: boolean}} props */
function Changes({ before, after, isOld }) {
  return html`equity <${Becomes} before=${dollars(before.equity_micros)} after=${dollars(after.equity_micros)} isOld=${isOld} />, free <${Becomes} before=${dollars(before.free_collateral_micros)} after=${dollars(after.free_collateral_micros)} isOld=${isOld} />`;
}

/** What a withdrawal would leave. @param {{from: number, to: string, micros: string}} props */
function Leaving({ from, to, micros }) {
  const previewer = useMemo(() => new Previewer((operation) => api.call("catenary_preview", { operation })), []);
  useEffect(() => previewer.want({ kind: "withdraw", account: from, recipient: to, amount_micros: micros }), [from, to, micros, useTick()]);
  const { preview, error, isOld } = previewer.seen.value;
  if (error) return html`<p class="refusal">${error.message}</p>`;
  if (preview === null) return html`<p class="soft">Asking the node…</p>`;
  if (preview.code !== 0) return html`<p class="soft">It cannot leave now: ${dollars(preview.before.withdrawable_micros)} dollars can. <${Why} of=${preview.refusal} /></p>`;
  return html`<p class="soft leaving">Withdrawn, <${Changes} before=${preview.before} after=${preview.after} isOld=${isOld} /></p>`;
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
