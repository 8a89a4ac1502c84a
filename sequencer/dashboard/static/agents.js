/**
 * An agent's key of this browser: a wallet lets it trade for a day, and orders need no pop-up. It can move no money.
 * It lies in this browser's storage, as text, and the page says so: no browser keeps a key of this curve hidden.
 */
import { hex, unhex } from "./bytes.js";
import { digest, signed } from "./signing.js";
import { keyOf, randomKey } from "./keys.js";

const PREFIX = "catenary.agent.";
export const LIFE_MS = 86_400_000;
// The second place is for a trader's own programs.
export const AGENT_INDEX = 0;
// An agent that may cancel all needs slot 0 among its own.
export const AGENT_SLOTS = { first: 0, last: 255 };

/**
 * @typedef {object} Agent
 * @property {import("./keys.js").Key} key
 * @property {number} account
 * @property {number} expiresAtMs
 */

/** @param {number} account @param {string} bridge @returns {Agent | null} */
export function agentOf(account, bridge) {
  try {
    const kept = JSON.parse(localStorage.getItem(`${PREFIX}${bridge}.${account}`) ?? "null");
    if (kept === null || kept.expiresAtMs <= Date.now()) return null;
    return { key: keyOf(unhex(kept.secret, 32)), account, expiresAtMs: kept.expiresAtMs };
  } catch {
    return null;
  }
}

/** @param {number} account @param {string} bridge @param {Agent} agent */
export function keepAgent(account, bridge, agent) {
  localStorage.setItem(`${PREFIX}${bridge}.${account}`, JSON.stringify({ secret: hex(agent.key.secret), expiresAtMs: agent.expiresAtMs }));
}

/** @param {number} account @param {string} bridge */
export function forgetAgent(account, bridge) {
  localStorage.removeItem(`${PREFIX}${bridge}.${account}`);
}

/** A fresh key for a day. @param {number} account @param {number} nowMs @returns {Agent} */
export function freshAgent(account, nowMs) {
  return { key: randomKey(), account, expiresAtMs: nowMs + LIFE_MS };
}

/** @param {Agent} agent @returns {import("./session.js").Signer} */
export function signerOfAgent(agent) {
  return {
    kind: "agent",
    address: agent.key.address,
    sign: async (kind, message, domain) => signed(agent.key.secret, digest(kind, message, domain)),
  };
}
