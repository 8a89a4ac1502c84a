/**
 * Who signs. A view asks `session` whether it may offer to send, and sends by `send` alone.
 *
 * @import {UnsignedOperation} from "./wire"
 */
import { signal } from "@preact/signals";

/**
 * Somebody who can sign for an account: a wallet, an agent's key of this browser, or a devnet's burner.
 * @typedef {object} Signer
 * @property {"wallet" | "agent" | "burner"} kind
 * @property {string} address
 */

/**
 * @typedef {object} Session
 * @property {string} owner
 * @property {number[]} accounts
 * @property {Signer} signer
 */

/** @type {import("@preact/signals").Signal<Session | null>} */
export const session = signal(null);

/**
 * What stands beside an order, unsigned.
 * @typedef {object} Beside
 * @property {string} [client_id]
 * @property {"cancel_taker" | "cancel_maker" | "decrement"} [self_trade]
 * @property {number} [group]
 * @property {string} [after]
 * @property {string} [replaces]
 */

/**
 * Signs an operation and hands it in. What was not said is filled in, within what the page has shown; what the node
 * fills in otherwise than it may is refused and not signed.
 * @param {UnsignedOperation} operation
 * @param {Beside} [beside]
 * @returns {Promise<any>} the node's answer: OrderResult of an order, RequestResult of anything else
 */
export async function send(operation, beside = {}) {
  throw new Error(`nobody is signed in: ${operation.kind} ${JSON.stringify(beside)}`);
}
