/** Coming in and going out: with a wallet, with a devnet's burner, and again after a reload without a question. */
import { hideKeys } from "./access.js";
import { ApiError } from "./api.js";
import { askThrough, venue } from "./chain.js";
import { burner } from "./keys.js";
import { remembered } from "./memory.js";
import { enter, leave, ofBurner, session } from "./session.js";
import { askStatus, status } from "./venue.js";
import { askWallet, connected, discover, ofWallet, wallets } from "./wallets.js";

/** Who was in last: a wallet by its name in reverse (EIP-6963), BURNER, or GONE who went out himself; empty: nobody. */
const last = remembered("wallet", "");
const BURNER = "burner";
const GONE = "gone";
/** Ends the watch over the wallet that is in. */
let forgetWallet = () => {};

/**
 * Comes in with a wallet; `isAsked`: by its owner's click, so that it may open its window.
 * @param {import("./wallets.js").Found} found
 * @param {boolean} isAsked
 */
export async function walletIn({ provider, rdns }, isAsked) {
  if (status.peek() === null) await askStatus();
  const chainId = status.peek()?.chain_id;
  if (chainId === undefined) throw new ApiError("AWAY", "The node does not say which venue it is.");
  const owner = await connected(provider, chainId, isAsked);
  // The owner's own L1 node is asked about the venue, and not one that the venue names.
  askThrough((method, params) => askWallet(provider, method, params));
  try {
    await venue();
    await enter(ofWallet(provider, owner));
  } catch (error) {
    askThrough(null);
    throw error;
  }
  last.value = rdns;
  watch(provider, owner, chainId);
}

/** Comes in with the play money of this browser. @param {import("./keys.js").Key} key */
export async function burnerIn(key) {
  await enter(ofBurner(key));
  last.value = BURNER;
}

/** Goes out where the wallet shows another address, another chain or nothing. @param {import("./wallets.js").Provider} provider @param {string} owner @param {number} chainId */
function watch(provider, owner, chainId) {
  forgetWallet();
  const accounts = (/** @type {any} */ now) => String(now?.[0] ?? "").toLowerCase() !== owner && out();
  const chain = (/** @type {any} */ now) => Number(now) !== chainId && out();
  const gone = () => out();
  /** @type {[string, (value: any) => void][]} */
  const heard = [["accountsChanged", accounts], ["chainChanged", chain], ["disconnect", gone]];
  for (const [event, hear] of heard) provider.on?.(event, hear);
  forgetWallet = () => {
    for (const [event, hear] of heard) provider.removeListener?.(event, hear);
  };
}

/** Goes out; what the browser keeps stays where it is, and nobody comes back by himself. */
export function out() {
  forgetWallet();
  forgetWallet = () => {};
  askThrough(null);
  last.value = GONE;
  leave();
  hideKeys();
}

/** As it was when this browser was last here. */
export async function comeBack() {
  if (session.peek() !== null || last.peek() === GONE) return;
  discover();
  const known = wallets.peek().find((one) => one.rdns !== "" && one.rdns === last.peek());
  if (known !== undefined) return walletIn(known, false);
  const key = burner();
  if (key !== null) await burnerIn(key);
}
