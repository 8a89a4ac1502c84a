/**
 * Keys that this browser keeps itself. A burner holds play money on a devnet, and nothing else ever.
 */
import { hex, unhex } from "./bytes.js";
import { addressOf } from "./signing.js";
import { place } from "./venue.js";

const BURNER = "catenary.burner";

/**
 * A key in this browser.
 * @typedef {object} Key
 * @property {string} address
 * @property {Uint8Array} secret
 */

/** @param {Uint8Array} secret @returns {Key} */
export function keyOf(secret) {
  return { address: addressOf(secret), secret };
}

/** 32 bytes of the browser's own randomness, which are a key but for one case in 2^128. */
export function randomKey() {
  return keyOf(crypto.getRandomValues(new Uint8Array(32)));
}

/** The burner of this browser; null where there is none, or where money may be real. @returns {Key | null} */
export function burner() {
  if (!place.is_devnet) return null;
  try {
    const kept = localStorage.getItem(BURNER);
    return kept === null ? null : keyOf(unhex(kept, 32));
  } catch {
    return null;
  }
}

/** The burner, made and kept where there is none yet. */
export function makeBurner() {
  if (!place.is_devnet) throw new Error("a burner is for play money: this is no devnet");
  const known = burner();
  if (known !== null) return known;
  const made = randomKey();
  localStorage.setItem(BURNER, hex(made.secret));
  return made;
}

/** Forgets the burner, and with it the play money that it holds. */
export function forgetBurner() {
  localStorage.removeItem(BURNER);
}
