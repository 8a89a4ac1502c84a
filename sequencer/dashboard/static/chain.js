/**
 * The venue as it was found on L1 and pinned in this browser: checked before anything is signed, once a connection.
 */
import { signal } from "@preact/signals";
import { ApiError } from "./api.js";
import { api, link } from "./feeds.js";
import { answered, askL1 } from "./l1.js";
import { examined, governed, isGoverned, isSame, nameOf, NotGenuine, provenGlobals } from "./trust.js";
import { askStatus, status } from "./venue.js";

/** @typedef {import("./trust.js").Venue} Venue */

const PIN = "catenary.venue";

/** What was checked, in sentences, and why nothing is signed where it failed. */
export const checks = signal(/** @type {string[]} */ ([]));
export const distrust = signal("");

/** @type {{venue: Promise<Venue>, status: string} | null} */
let known = null;
/** Who is asked about L1: the wallet's own node where one is connected, else what the node names. @type {import("./trust.js").Ask} */
let ask = askL1;

/** @param {import("./trust.js").Ask | null} other a wallet's; null: the node's again */
export function askThrough(other) {
  ask = other === null ? askL1 : async (method, params) => answered(method, await other(method, params));
  known = null;
}

/** @param {string} method @param {any[]} params */
export function askChain(method, params) {
  return ask(method, params);
}

/** The venue, found genuine; NotGenuine or ApiError where nothing may be signed. @returns {Promise<Venue>} */
export async function venue() {
  if (status.peek() === null) await askStatus();
  const told = status.peek();
  if (told === null) throw new ApiError("AWAY", "The node does not say which venue it is.");
  const key = `${told.chain_id} ${told.rollup_address} ${told.referee_address} ${told.token_address}`;
  if (known === null || known.status !== key) {
    known = { venue: looked(told), status: key };
    // What failed for want of an answer may succeed the next time.
    known.venue.catch(() => (known = null));
  }
  return known.venue;
}

/** @param {import("./wire").Status} told @returns {Promise<Venue>} */
async function looked(told) {
  checks.value = [];
  distrust.value = "";
  try {
    let found = await examined(ask, told, (sentence) => (checks.value = [...checks.value, sentence]));
    if (isGoverned(found)) {
      const [posted, settled] = await Promise.all([api.call("catenary_globals", {}), api.call("catenary_globals", { final: true })]);
      found = governed(found, await provenGlobals(ask, found, posted), await provenGlobals(ask, found, settled));
    }
    admit(found);
    checks.value = [...checks.value, `This browser is pinned to ${nameOf(found.identity)}.`];
    return found;
  } catch (error) {
    distrust.value = error instanceof Error ? error.message : String(error);
    throw error;
  }
}

/** @returns {import("./trust.js").Identity | null} */
function pinned() {
  try {
    return JSON.parse(localStorage.getItem(PIN) ?? "null");
  } catch {
    return null;
  }
}

/** @param {Venue} found */
function admit(found) {
  const pin = pinned();
  if (pin !== null && !isSame(pin, found.identity)) {
    throw new NotGenuine(`this browser is pinned to ${nameOf(pin)}, the node and L1 are of ${nameOf(found.identity)}`);
  }
  if (pin === null) localStorage.setItem(PIN, JSON.stringify(found.identity));
}

/** Forgets which venue this browser is for; the next one is pinned. */
export function unpin() {
  localStorage.removeItem(PIN);
  known = null;
  distrust.value = "";
}

link.subscribe((now) => {
  // Behind a new connection there may be another node.
  if (now === "away") known = null;
});
