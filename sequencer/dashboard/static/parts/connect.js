/** Who trades here: a wallet, play money, another account, or one that is only watched. */
import { useEffect, useRef, useState } from "preact/hooks";
import { html } from "../html.js";
import { AGENT_INDEX, agentOf } from "../agents.js";
import { checks, distrust, unpin, venue } from "../chain.js";
import { relative, short } from "../format.js";
import { burner, forgetBurner } from "../keys.js";
import { doing, playMoney } from "../play.js";
import { dismissAgent, grantAgent, granted, session } from "../session.js";
import { account, now, place, second, status } from "../venue.js";
import { burnerIn, out, walletIn } from "../entering.js";
import { discover, wallets } from "../wallets.js";
import { Funds } from "./funds.js";
import { say } from "./toast.js";

/** @param {Promise<any>} work @param {string} done @param {string} wrong */
function told(work, done, wrong) {
  return work.then(
    () => done && say("done", done),
    (error) => say("wrong", wrong, error.message),
  );
}

export function Connect() {
  const [isOpen, setOpen] = useState(false);
  const opener = useRef(/** @type {HTMLButtonElement | null} */ (null));
  const close = (/** @type {boolean} */ isBack) => {
    setOpen(false);
    if (isBack) opener.current?.focus();
  };
  const who = session.value;
  const name = who === null ? "Connect" : who.signer.kind === "burner" ? html`<span class="wide">${short(who.owner)} · </span>play money` : short(who.owner);
  return html`<div class="connect">
    <button type="button" ref=${opener} class=${who === null ? "main" : ""} aria-expanded=${isOpen} aria-haspopup="dialog" onClick=${() => setOpen(!isOpen)}>${name}</button>
    ${isOpen && html`<${Sheet} close=${close} />`}
  </div>`;
}

/** @param {{close: (isBack: boolean) => void}} props isBack: the focus goes to what opened it */
function Sheet({ close }) {
  const own = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => {
    discover();
    own.current?.focus();
    const away = (/** @type {Event} */ event) => {
      if (!own.current?.parentElement?.contains(/** @type {Node} */ (event.target))) close(false);
    };
    // A link of the sheet leads to what it would lie over.
    const left = () => close(false);
    addEventListener("pointerdown", away);
    addEventListener("hashchange", left);
    return () => {
      removeEventListener("pointerdown", away);
      removeEventListener("hashchange", left);
    };
  }, []);
  const onKey = (/** @type {KeyboardEvent} */ event) => {
    if (event.key === "Escape") close(true);
  };
  return html`<div class="sheet" ref=${own} tabindex="-1" role="dialog" aria-label="Who trades here" onKeyDown=${onKey}>
    ${session.value === null ? html`<${Choose} />` : html`<${Inside} />`}
    <${Watch} />
    <${Checks} />
  </div>`;
}

function Choose() {
  return html`<section>
      <h3>Your wallet</h3>
      ${wallets.value.length === 0 && html`<p class="soft">No wallet has announced itself in this browser.</p>`}
      ${wallets.value.map((one) => html`<button type="button" key=${one.uuid} onClick=${() => told(walletIn(one, true), "", "Not connected")}>${one.name}</button>`)}
    </section>
    ${place.is_devnet && html`<${Play} />`}`;
}

function Play() {
  const begin = () =>
    playMoney().then(
      (opened) => say("done", `Account ${opened} is open`, "5,000 play dollars"),
      (error) => say("wrong", "No play money", error.message),
    );
  const known = burner();
  return html`<section>
    <h3>Play money</h3>
    <p class="soft">A key that this browser keeps in plain sight, for this devnet alone. Nothing that it holds is worth anything.</p>
    <div class="row">
      ${known && html`<button type="button" onClick=${() => told(burnerIn(known), "", "Not connected")}>Go on with ${short(known.address)}</button>`}
      <button type="button" class="main" disabled=${doing.value !== ""} onClick=${begin}>${doing.value || "Take 5,000 play dollars"}</button>
    </div>
  </section>`;
}

function Inside() {
  const who = session.value;
  if (who === null) return null;
  const isBurner = who.signer.kind === "burner";
  return html`<section>
      <h3>${isBurner ? "Play money" : "Your wallet"} <span class="soft number" title=${who.owner}>${short(who.owner)}</span></h3>
      ${who.accounts.length > 0 &&
      html`<label>Account
        <select value=${account.value} onChange=${(/** @type {any} */ event) => (account.value = Number(event.target.value))}>
          ${who.accounts.map((one) => html`<option key=${one} value=${one}>${one}</option>`)}
        </select></label>`}
      <div class="row">
        <button type="button" onClick=${out}>Disconnect</button>
        ${isBurner && html`<button type="button" class="plain" onClick=${() => (forgetBurner(), out())}>Forget this key and its money</button>`}
      </div>
    </section>
    <${Funds} who=${who} />
    ${!isBurner && account.value !== null && who.accounts.includes(account.value) && html`<${Agent} of=${account.value} />`}`;
}

/** @param {{of: number}} props */
function Agent({ of }) {
  const [isBusy, setBusy] = useState(false);
  granted.value;
  const agent = agentOf(of, status.value?.rollup_address ?? "");
  const go = (/** @type {Promise<any>} */ work, /** @type {string} */ done) => {
    setBusy(true);
    told(work, done, "Nothing has changed").then(() => setBusy(false));
  };
  second.value;
  return html`<section>
    <h3>Trading without pop-ups</h3>
    ${agent === null
      ? html`<p class="soft">One signature lets a key of this browser trade for account ${of} for a day. It can move no money; this browser keeps it as text. It takes the place of agent ${AGENT_INDEX}.</p>
          <button type="button" disabled=${isBusy} onClick=${() => go(grantAgent(of), "Orders are signed here for a day")}>Let this browser trade</button>`
      : html`<p class="soft">${short(agent.key.address)} signs orders and cancels; it ends ${relative(agent.expiresAtMs, now())}.</p>
          <button type="button" disabled=${isBusy} onClick=${() => go(dismissAgent(of), "The agent is dismissed")}>Dismiss it</button>`}
  </section>`;
}

function Watch() {
  const [text, setText] = useState("");
  const watch = (/** @type {Event} */ event) => {
    event.preventDefault();
    if (/^\d{1,8}$/.test(text)) account.value = Number(text);
  };
  return html`<form onSubmit=${watch}>
    <label for="watched">Watch any account, without its key</label>
    <div class="row"><input id="watched" inputmode="numeric" placeholder="number" value=${text} onInput=${(/** @type {any} */ event) => setText(event.target.value)} /><button type="submit">Watch</button></div>
  </form>`;
}

/** What this page has checked before anything is signed. */
export function Checks() {
  if (distrust.value !== "") {
    return html`<section class="distrust" role="alert">
      <strong>Nothing is signed here.</strong><p>${distrust.value}</p>
      ${distrust.value.startsWith("this browser is pinned") && html`<button type="button" onClick=${() => (unpin(), told(venue(), "This venue is pinned now", "Not pinned"))}>Pin the venue that is here now</button>`}
    </section>`;
  }
  return html`<details><summary class="soft">What was checked on L1 (${checks.value.length})</summary><ul>${checks.value.map((one) => html`<li key=${one}>${one}</li>`)}</ul></details>`;
}
