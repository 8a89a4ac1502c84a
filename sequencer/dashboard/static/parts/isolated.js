/**
 * Cross and isolated side by side: every account of the owner is a pool of its own. Open one for a position, move money
 * between them, close one and take back what is left.
 *
 * @import {AccountView, MarketView, UnsignedOperation} from "../wire"
 */
import { signal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import { api, useFeed, useRefusal } from "../feeds.js";
import { dollars, parsed, size } from "../format.js";
import { html } from "../html.js";
import { closeIsolated, isolate, openIsolated } from "../isolating.js";
import { Gauge } from "../pictures/gauge.js";
import { send, session } from "../session.js";
import { account, marketOf } from "../venue.js";
import { reducing } from "../ways_out.js";
import { opening, read } from "./isolated_form.js";
import { Panel } from "./panel.js";
import { ShowKey } from "./untold.js";
import { done, Way } from "./way.js";

const venue = { send, call: (/** @type {any} */ method, /** @type {any} */ params) => api.call(method, params) };
/** The position that is to be taken out of the pool; empty: a new one is opened. */
export const isolating = signal("");

/** The owner's accounts: the session's, or of whoever is watched. @param {AccountView} seen */
function useAccounts(seen) {
  const own = session.value?.accounts;
  const [found, tell] = useState([seen.account]);
  useEffect(() => {
    let isOver = false;
    api.call("catenary_accounts", { owner: seen.owner }).then(
      (answer) => isOver || tell(answer),
      () => {},
    );
    return () => {
      isOver = true;
    };
  }, [seen.owner, own?.length]);
  return own?.includes(seen.account) ? own : found;
}

/** Asks who owns what again: an account was opened. */
async function again() {
  const who = session.peek();
  if (who !== null) session.value = { ...who, accounts: await api.call("catenary_accounts", { owner: who.owner }) };
}

/** @param {{seen: AccountView, markets: MarketView[] | undefined}} props */
export function Isolated({ seen, markets }) {
  const accounts = useAccounts(seen);
  const owns = session.value?.accounts.includes(seen.account) ?? false;
  return html`<${Panel} title="Cross and isolated" area="isolated">
    <p class="soft">Each account is a pool of its own: what is lost in one reaches no other. A new one costs a dollar.</p>
    <ul class="accounts">${accounts.slice(0, 16).map((one) => html`<${Row} key=${one} index=${one} cross=${seen} owns=${owns} markets=${markets} />`)}</ul>
    ${owns && markets && html`<${Opening} key=${isolating.value} seen=${seen} markets=${markets} known=${accounts} />`}
  <//>`;
}

/** @param {{index: number, cross: AccountView, owns: boolean, markets: MarketView[] | undefined}} props */
function Row({ index, cross, owns, markets }) {
  /** @type {AccountView | undefined} */
  const seen = useFeed(`account:${index}`);
  const refused = useRefusal(`account:${index}`);
  const [isOpen, setOpen] = useState(false);
  const isHere = index === cross.account;
  if (seen === undefined) {
    return html`<li class="account"><span class="account-name">Account ${index}${refused && html` <small class="soft">not told</small>`}</span>${refused && owns && html`<${ShowKey} of=${index} />`}</li>`;
  }
  return html`<li class="account ${isHere ? "here" : ""}" data-account=${index}>
    <span class="account-name">
      ${isHere ? html`<strong>Account ${index}</strong>` : html`<button type="button" class="link" onClick=${() => (account.value = index)}>Account ${index}</button>`}
      <small class="soft">${held(seen, markets)}</small>
    </span>
    <span class="number">${dollars(seen.equity_micros)}</span>
    <${Gauge} ratio=${seen.margin_ratio_ppm} call=${seen.margin_call_percent} />
    ${owns && !isHere && html`<button type="button" class="chip" aria-expanded=${isOpen} onClick=${() => setOpen(!isOpen)}>Move or close</button>`}
    ${isOpen && markets && html`<${Moving} seen=${seen} cross=${cross} markets=${markets} />`}
  </li>`;
}

/** @param {AccountView} seen @param {MarketView[] | undefined} markets */
function held(seen, markets) {
  const parts = seen.positions.map((one) => {
    const market = marketOf(markets, one.market);
    return `${one.market} ${market ? size(one.size_lots, market, "exceptZero") : one.size_lots}`;
  });
  return parts.join(", ") || "no position";
}

/** @param {{seen: AccountView, cross: AccountView, markets: MarketView[]}} props */
function Moving({ seen, cross, markets }) {
  const [text, setText] = useState("100");
  const micros = parsed(text, 6);
  const amount_micros = micros?.toString() ?? "0";
  const one = seen.positions[0];
  const market = one && marketOf(markets, one.market);
  const close = async () => {
    await closeIsolated(venue, { account: seen.account, to: cross.account, markets });
    return null;
  };
  return html`<div class="moving">
    <label>Dollars <input inputmode="decimal" value=${text} onInput=${(/** @type {any} */ event) => setText(event.currentTarget.value)} aria-invalid=${micros === null || micros <= 0n} /></label>
    ${micros !== null && micros > 0n && html`
      <${Way} title="Top up" of=${seen.account} operation=${{ kind: "transfer", account: cross.account, to_account: seen.account, amount_micros }} note=${`Out of account ${cross.account}.`} />
      <${Way} title="Take back" of=${seen.account} operation=${{ kind: "transfer", account: seen.account, to_account: cross.account, amount_micros }} note=${`Into account ${cross.account}.`} />`}
    ${one && market
      ? html`<${Way} title="Close and move back" of=${seen.account} operation=${reducing(seen.account, one, market, 100n)} act=${close} note=${`Orders leave, the position is closed, and what is left goes into account ${cross.account}.`} />`
      : html`<button type="button" onClick=${() => done("Move everything back", close)}>Move everything back</button>`}
  </div>`;
}

/** A position in a new account: its side, size and what is put at stake. @param {{seen: AccountView, markets: MarketView[], known: number[]}} props */
function Opening({ seen, markets, known }) {
  const from = seen.positions.find((one) => one.market === isolating.value);
  const [form, setForm] = useState(() => opening(from, markets));
  const market = marketOf(markets, form.market) ?? /** @type {MarketView} */ (markets[0]);
  const { order, micros, problem } = read(form, market, seen.account);
  const set = (/** @type {Partial<typeof form>} */ change) => setForm({ ...form, ...change });
  const typed = (/** @type {keyof typeof form} */ key) => (/** @type {any} */ event) => set({ [key]: event.currentTarget.value });
  const act = async () => {
    const wanted = { micros, order: /** @type {UnsignedOperation} */ (order), known };
    if (from !== undefined) await isolate(venue, { ...wanted, seen, market });
    else await openIsolated(venue, { ...wanted, from: seen.account });
    isolating.value = "";
    setForm(opening(undefined, markets));
    await again();
    return null;
  };
  return html`<fieldset class="opening" id="isolate">
    <legend><strong>${from === undefined ? "Open an isolated position" : `Take ${from.market} out of the pool`}</strong></legend>
    <label>Market <select value=${form.market} disabled=${from !== undefined} onChange=${typed("market")}>${markets.map((one) => html`<option key=${one.name}>${one.name}</option>`)}</select></label>
    <label>Side <select value=${form.side} disabled=${from !== undefined} onChange=${typed("side")}><option value="buy">buy</option><option value="sell">sell</option></select></label>
    <label>Size, ${market.name} <input inputmode="decimal" value=${form.size} disabled=${from !== undefined} onInput=${typed("size")} /></label>
    <label>Dollars at stake <input inputmode="decimal" value=${form.amount} onInput=${typed("amount")} /></label>
    ${order === null
      ? html`<p class="soft" role="status">${problem}</p>`
      : html`<${Way}
          isMain=${true}
          title=${from === undefined ? "Open it" : "Take it out"}
          of=${null}
          operation=${order}
          openedWith=${micros.toString()}
          act=${act}
          note="What is at stake there is all that can be lost."
        />`}
    ${from === undefined
      ? seen.positions.length > 0 && html`<p class="soft">Or take one out of this pool: ${seen.positions.map((one) => html`<button type="button" key=${one.market} class="chip" onClick=${() => (isolating.value = one.market)}>${one.market}</button> `)}</p>`
      : html`<button type="button" class="plain" onClick=${() => (isolating.value = "")}>Leave it in the pool</button>`}
  </fieldset>`;
}
