/**
 * What a challenger says of each batch, where the operator names one. It is a second opinion, not a proof: L1's events
 * are what counts, and a challenger that is silent says nothing of what came since.
 */

/**
 * @typedef {object} Judged
 * @property {number} batch
 * @property {string} batch_hash
 * @property {"valid" | "fraud" | "unknown"} verdict
 * @property {string} reason
 * @property {string} sentence
 * @property {number | null} chunk
 * @property {boolean} is_rolled_back
 * @property {number | null} judged_at_ms
 */
/**
 * `trouble`: why nothing, or nothing new, is to be believed; empty where all is well.
 * @typedef {object} Verdicts
 * @property {ReadonlyMap<string, Judged>} judged by batch hash
 * @property {string} trouble
 * @property {number} validTip
 */

/** As before anything was asked. @type {Verdicts} */
export const UNHEARD = { judged: new Map(), trouble: "", validTip: 0 };
const SILENT_MS = 60_000;
const MOST = 256;
const WORDS = new Set(["valid", "fraud", "unknown"]);

/**
 * A challenger's answer read; what does not fit is left out, and one about another venue is none.
 * @param {any} told
 * @param {{chain_id: number, rollup_address: string}} venue
 * @returns {Verdicts}
 */
export function read(told, venue) {
  if (!Array.isArray(told?.verdicts) || typeof told.now_ms !== "number" || typeof told.heard_ms !== "number") {
    return { ...UNHEARD, trouble: "What answers there is no challenger's monitor." };
  }
  if (told.chain_id !== venue.chain_id || String(told.rollup_address).toLowerCase() !== venue.rollup_address.toLowerCase()) {
    return { ...UNHEARD, trouble: "The challenger watches another venue." };
  }
  const fits = told.verdicts.slice(0, MOST).filter((/** @type {any} */ one) => WORDS.has(one?.verdict) && typeof one.batch_hash === "string");
  const silent = told.now_ms - told.heard_ms;
  return {
    judged: new Map(fits.map((/** @type {Judged} */ one) => [one.batch_hash.toLowerCase(), one])),
    trouble: silent > SILENT_MS ? `The challenger has not heard L1 for ${Math.round(silent / SILENT_MS)} min: its verdicts are of then.` : "",
    validTip: Number(told.valid_tip) || 0,
  };
}

/**
 * Asks a challenger.
 * @param {string} url
 * @param {{chain_id: number, rollup_address: string}} venue
 * @param {Verdicts} before what it said last
 * @param {(url: string, options: RequestInit) => Promise<Response>} [ask]
 * @returns {Promise<Verdicts>}
 */
export async function heard(url, venue, before, ask = fetch) {
  try {
    const answer = await ask(`${url.replace(/\/+$/, "")}/verdicts`, { credentials: "omit", signal: AbortSignal.timeout(10_000) });
    return read(await answer.json(), venue);
  } catch {
    return { ...before, trouble: "The challenger is silent: it does not answer." };
  }
}

/** A verdict in a word and its sentence. @param {Judged | undefined} one @returns {{word: string, look: string, title: string}} */
export function wordOf(one) {
  if (one === undefined) return { word: "not judged yet", look: "soft", title: "" };
  const undone = one.is_rolled_back ? ", undone" : "";
  if (one.verdict === "valid") return { word: `✓ valid${undone}`, look: "gain", title: "The challenger replays it to the root that was posted." };
  if (one.verdict === "fraud") return { word: `✗ fraud${undone}`, look: "loss", title: `Chunk ${one.chunk} claims another root than the law gives.` };
  return { word: `? unknown${undone}`, look: "warning", title: `${one.reason}: ${one.sentence}` };
}
