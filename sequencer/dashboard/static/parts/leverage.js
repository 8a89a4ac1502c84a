/**
 * The account's own bound of leverage: with its preview, as every other change.
 * @import {UnsignedOperation} from "../wire"
 */
import { effect, signal } from "@preact/signals";
import { api } from "../feeds.js";
import { dollars } from "../format.js";
import { html } from "../html.js";
import { boundOf, boundText } from "../order.js";
import { Previewer } from "../preview.js";
import { send, session } from "../session.js";
import { account } from "../venue.js";
import { seenAccount } from "./drafting.js";
import { say } from "./toast.js";
import { Becomes } from "./value.js";
import { Why } from "./why.js";

const isOpen = signal(false);
const typed = signal("");
const previewer = new Previewer((operation) => api.call("catenary_preview", { operation }));
effect(() => previewer.want(isOpen.value ? operationOf(typed.value, account.value) : null));

/** @param {string} text @param {number | null} of @returns {UnsignedOperation | null} */
function operationOf(text, of) {
  const bound = boundOf(text);
  return bound === null || of === null ? null : { kind: "set_leverage", account: of, initial_ppm: bound };
}

export function Leverage() {
  const view = seenAccount.value;
  if (view === undefined) return null;
  return html`<div class="leverage">
    <button type="button" class="chip" aria-expanded=${isOpen.value} onClick=${() => (isOpen.value = !isOpen.value)} title="Your own bound, below what the markets allow">Leverage: ${boundText(view.initial_ppm)}</button>
    ${isOpen.value && html`<${Bound} view=${view} />`}
  </div>`;
}

/** @param {{view: import("../wire").AccountView}} props */
function Bound({ view }) {
  const { preview, error, isOld } = previewer.seen.value;
  const bound = boundOf(typed.value);
  const owned = session.value?.accounts.includes(view.account) && session.value.signer.kind !== "agent";
  const isRefused = error !== null || (preview !== null && preview.status === "refused");
  return html`<form class="bound" aria-label="Bound of leverage" onSubmit=${submitted}>
    <label for="leverage-bound">At most (times; 0 for no bound of your own)</label>
    <input id="leverage-bound" inputmode="decimal" value=${typed.value} aria-invalid=${typed.value !== "" && bound === null ? "true" : null} onInput=${(/** @type {any} */ event) => (typed.value = event.currentTarget.value)} />
    <p class="soft">Free collateral <${Becomes} before=${dollars(view.free_collateral_micros)} after=${preview && dollars(preview.after.free_collateral_micros)} isOld=${isOld} /></p>
    ${preview?.leaving?.length ? html`<p class="warning">${preview.leaving.length} open orders would leave: nothing covers them any more.</p>` : null}
    ${isRefused && html`<p class="refusal"><${Why} of=${error?.message ?? preview?.refusal ?? ""} /></p>`}
    <button type="submit" disabled=${!owned || bound === null || isRefused}>${owned ? "Set" : "The owner's key alone sets it"}</button>
  </form>`;
}

/** @param {SubmitEvent} event */
async function submitted(event) {
  event.preventDefault();
  const operation = operationOf(typed.peek(), account.peek());
  if (operation === null) return;
  try {
    await send(operation);
    say("done", "Leverage bound", boundText(operation.initial_ppm ?? 0));
    isOpen.value = false;
    typed.value = "";
  } catch (error) {
    say("wrong", "Leverage is not bound", error instanceof Error ? error.message : String(error));
  }
}
