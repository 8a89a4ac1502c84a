/** What stands where an account would: that it is waited for, or why the node does not tell of it, and what can be done. */
import { asking, showKey } from "../access.js";
import { PRIVATE } from "../api.js";
import { useRefusal } from "../feeds.js";
import { html } from "../html.js";
import { session } from "../session.js";
import { account, addressOf } from "../venue.js";
import { say } from "./toast.js";

/** @param {{of: number}} props */
export function Untold({ of }) {
  const refused = useRefusal(`account:${of}`);
  if (refused === null) return html`<p class="soft" role="status">Waiting for account ${of}.</p>`;
  if (refused.name !== PRIVATE) return html`<${Unknown} of=${of} />`;
  const isOwn = session.value?.accounts.includes(of) ?? false;
  return html`<div class="untold" role="status">
    <p><strong>Refused:</strong> this node tells of an account to who shows a key of it, its owner's or an agent's.</p>
    ${isOwn
      ? html`<p class="soft">A signature shows it, for this connection alone. It moves nothing.</p><${ShowKey} of=${of} />`
      : html`<p class="soft">Connect the wallet that owns account ${of}, or choose another account.</p>`}
  </div>`;
}

/** @param {{of: number}} props */
export function ShowKey({ of }) {
  const show = () => showKey(of).catch((error) => say("wrong", "No key was shown", error.message));
  return html`<button type="button" class="main" disabled=${asking.value !== null} onClick=${show}>${asking.value === of ? "Your wallet is asked …" : `Show your key of account ${of}`}</button>`;
}

/** @param {{of: number}} props */
function Unknown({ of }) {
  const [first] = session.value?.accounts ?? [];
  return html`<div class="untold" role="status">
    <p><strong>There is no account ${of} on this venue.</strong> This browser may remember it from another one.</p>
    <p>
      ${first !== undefined && html`<button type="button" onClick=${() => (account.value = first)}>Look at account ${first}, yours</button> `}
      <button type="button" onClick=${() => (account.value = null)}>Look at none</button> <a href=${addressOf("learn")}>Practice with play money</a>
    </p>
  </div>`;
}
