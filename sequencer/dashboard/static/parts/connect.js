/** Who trades here: connect, play money, another account, or one that is only watched. */
import { useState } from "preact/hooks";
import { html } from "../html.js";
import { short } from "../format.js";
import { forgetBurner } from "../keys.js";
import { doing, playMoney } from "../play.js";
import { leave, session } from "../session.js";
import { account, place } from "../venue.js";
import { say } from "./toast.js";

export function Connect() {
  const [isOpen, setOpen] = useState(false);
  const who = session.value;
  return html`<div class="connect">
    <button type="button" aria-expanded=${isOpen} aria-haspopup="dialog" onClick=${() => setOpen(!isOpen)}>
      ${who === null ? "Connect" : short(who.owner)}${who?.signer.kind === "burner" ? " · play money" : ""}
    </button>
    ${isOpen && html`<${Choices} close=${() => setOpen(false)} />`}
  </div>`;
}

/** @param {{close: () => void}} props */
function Choices({ close }) {
  const who = session.value;
  return html`<div class="sheet" role="dialog" aria-label="Who trades here" onKeyDown=${(/** @type {KeyboardEvent} */ event) => event.key === "Escape" && close()}>
    ${who &&
    html`<label>Account
      <select value=${account.value} onChange=${(/** @type {any} */ event) => (account.value = Number(event.target.value))}>
        ${who.accounts.map((one) => html`<option key=${one} value=${one}>${one}</option>`)}
      </select></label>
      <button type="button" onClick=${leave}>Disconnect</button>`}
    ${place.is_devnet && html`<${Play} />`}
    <${Watch} />
  </div>`;
}

function Play() {
  const begin = () =>
    playMoney().then(
      (opened) => say("done", `Account ${opened} is open`, "5,000 play dollars"),
      (error) => say("wrong", "No play money", error.message),
    );
  return html`<p><strong>Play money.</strong> A key that this browser keeps in plain sight, for this devnet alone.</p>
    <button type="button" disabled=${doing.value !== ""} onClick=${begin}>${doing.value || "Take 5,000 play dollars"}</button>
    ${session.value?.signer.kind === "burner" &&
    html`<button type="button" class="plain" onClick=${() => (forgetBurner(), leave())}>Forget this key</button>`}`;
}

function Watch() {
  const [text, setText] = useState("");
  const watch = (/** @type {Event} */ event) => {
    event.preventDefault();
    if (/^\d{1,8}$/.test(text)) account.value = Number(text);
  };
  return html`<form onSubmit=${watch}>
    <label>Watch any account <input inputmode="numeric" value=${text} onInput=${(/** @type {any} */ event) => setText(event.target.value)} /></label>
    <button type="submit">Watch</button>
  </form>`;
}
