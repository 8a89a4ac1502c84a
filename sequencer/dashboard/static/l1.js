/** L1 as this page asks it: JSON-RPC to the node that the venue's node has named, which anybody may ask. */
import { ApiError } from "./api.js";
import { place } from "./venue.js";

const PATIENCE_MS = 30_000;
let next = 1;

/**
 * @param {string} method
 * @param {any[]} params
 * @returns {Promise<any>}
 */
export async function askL1(method, params) {
  if (place.l1_url === "") throw new ApiError("NO_L1", "The node names no L1 that a browser may ask (--page-l1-url).");
  let answer;
  try {
    const response = await fetch(place.l1_url, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ jsonrpc: "2.0", id: next++, method, params }),
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    answer = await response.json();
  } catch (error) {
    throw new ApiError("L1_AWAY", `The L1 node does not answer: ${error instanceof Error ? error.message : error}`);
  }
  if (answer?.error) {
    throw new ApiError("L1_REFUSED", String(answer.error.message ?? "refused"), { code: answer.error.code, data: answer.error.data });
  }
  return answered(method, answer?.result);
}

/**
 * A result that is there: null is one, as of a transaction that is not mined, and none at all is not.
 * @param {string} method
 * @param {any} result
 * @returns {any}
 */
export function answered(method, result) {
  if (result === undefined) throw new ApiError("NO_RESULT", `The L1 node's answer to ${method} holds no result: nothing is concluded from it.`);
  return result;
}
