/**
 * Keys shown to a node that tells of an account to nobody else (PROTOCOL.md §5.6): a challenge of the connection,
 * signed. A key of this browser is shown by itself, a wallet is asked at its owner's click alone.
 *
 * Invariant: what is signed names the host that this page is from, so that it opens nothing anywhere else.
 */
import { effect, signal } from "@preact/signals";
import { agentOf, signerOfAgent } from "./agents.js";
import { ApiError } from "./api.js";
import { hex } from "./bytes.js";
import { venue } from "./chain.js";
import { api, askAgain, link } from "./feeds.js";
import { granted, session, showsBy } from "./session.js";

/** @typedef {import("./session.js").Signer} Signer */

/** Whether a key was shown, or is about to be, by account; of the connection that stands. @type {Map<number, Promise<boolean>>} */
let shown = new Map();
/** Whose wallet is being asked; null: nobody's. */
export const asking = signal(/** @type {number | null} */ (null));

/** A node's name as its caller's URL has it, an IPv6 address without its brackets. @param {string} hostname */
export function hostOf(hostname) {
  return hostname.replace(/^\[(.*)\]$/, "$1");
}

// The newest challenge of a connection counts, so one key is shown after the other.
/** @type {Promise<any>} */
let before = Promise.resolve();

/** @param {number} account @param {Signer} signer */
async function access(account, signer) {
  const { identity } = await venue();
  const { challenge, expires_at_ms } = await api.call("catenary_challenge", {});
  const host = hostOf(location.hostname);
  const signature = hex(await signer.sign("access", { account, host, challenge, expires_at_ms }, identity));
  await api.call("catenary_access", { account, host, signature });
}

/** @param {number} account @param {Signer} signer @returns {Promise<void>} */
function inTurn(account, signer) {
  const mine = before.then(() => access(account, signer));
  before = mine.catch(() => {});
  return mine;
}

/** Keys that sign without a question: an agent's of this browser, and a burner. @param {number} account @returns {Promise<Signer[]>} */
async function silent(account) {
  const { identity } = await venue();
  const who = session.peek();
  // Who has gone out shows nothing, whatever the browser keeps for his return.
  if (who === null || !who.accounts.includes(account)) return [];
  const agent = agentOf(account, identity.bridge);
  const own = who.signer.kind === "burner" ? [who.signer] : [];
  return agent === null ? own : [signerOfAgent(agent), ...own];
}

/** @param {number} account */
async function tried(account) {
  for (const signer of await silent(account)) {
    try {
      await inTurn(account, signer);
      return true;
    } catch (error) {
      // An agent whose grant is gone; the next key may do.
      if (!(error instanceof ApiError)) throw error;
    }
  }
  return false;
}

/** Shows a key of an account where one signs without a question; whether it did. @param {number} account @returns {Promise<boolean>} */
export function shownBySelf(account) {
  let known = shown.get(account);
  if (known === undefined) {
    known = tried(account).catch(() => false);
    shown.set(account, known);
  }
  return known;
}

/** Shows the wallet's key, by its owner's click; ApiError where he says no or the node does. @param {number} account */
export async function showKey(account) {
  const who = session.peek();
  if (who === null) throw new ApiError("NOBODY", "Nobody is signed in: connect a wallet first.");
  asking.value = account;
  const here = shown;
  try {
    await inTurn(account, who.signer);
    here.set(account, Promise.resolve(true));
    askAgain();
  } finally {
    asking.value = null;
  }
}

/** Ends the connection that was shown a key: what is told on the next one is told to nobody. */
export function hideKeys() {
  if (shown.size > 0) api.anew();
}

api.onPrivate = shownBySelf;
showsBy(showKey);
link.subscribe((now) => {
  // A connection's end is the end of all that it was shown.
  if (now === "away") shown = new Map();
});
effect(() => {
  // Somebody came in, opened an account or let an agent trade: what was refused may be told now.
  session.value;
  granted.value;
  const here = shown;
  for (const [account, known] of here) {
    known.then((isShown) => {
      if (isShown) return;
      here.delete(account);
      askAgain();
    });
  }
});
