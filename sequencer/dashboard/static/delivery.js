/** Signed operations until their fate is known: an answer that was lost is no reason to sign anew. */
import { ApiError } from "./api.js";
import { api } from "./feeds.js";

/** @type {Record<string, import("./api.js").MethodName>} */
const METHODS = {
  withdraw: "catenary_withdraw",
  transfer: "catenary_transfer",
  cancel: "catenary_cancel",
  cancel_all: "catenary_cancelAll",
  set_agent: "catenary_setAgent",
  set_leverage: "catenary_setLeverage",
};
// What says nothing of what became of it.
const LOST = new Set(["AWAY", "NO_ANSWER", "TIMEOUT"]);
const FIRST_PAUSE_MS = 200;
const LONGEST_PAUSE_MS = 5_000;
const PATIENCE_MS = 60_000;

/**
 * What became of an operation. The same signed bytes are sent again after a lost answer: nothing happens twice, since
 * a sequence is used once.
 * @param {string} kind
 * @param {import("./signing.js").Message} message
 * @param {string} signature
 * @param {import("./session.js").Beside} beside
 * @returns {Promise<any>}
 */
export async function delivered(kind, message, signature, beside) {
  const end = Date.now() + PATIENCE_MS;
  let pause = FIRST_PAUSE_MS;
  for (;;) {
    try {
      if (kind === "order") return await api.call("catenary_order", { order: /** @type {any} */ (message), signature, ...beside });
      const method = METHODS[kind];
      if (method === undefined) throw new Error(`no method takes ${kind}`);
      return await api.call(method, /** @type {any} */ ({ request: message, signature }));
    } catch (error) {
      if (!(error instanceof ApiError) || !LOST.has(error.name)) throw error;
      if (Date.now() + pause > end) {
        throw new ApiError("UNKNOWN", "No answer came: whether it was taken is not known. Nothing of it happens twice.");
      }
    }
    await new Promise((go) => setTimeout(go, pause));
    pause = Math.min(2 * pause, LONGEST_PAUSE_MS);
  }
}
