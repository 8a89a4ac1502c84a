/**
 * Why something was not taken, or ended: a sentence for people, of each code that an order, a request or what became of
 * one can have. The code stands beside it, for whoever looks it up. Pure.
 */

/** @type {Record<string, string>} */
const SENTENCES = {
  // The law's.
  ALL_OR_NOTHING: "No single order in the book takes all of it.",
  AGENT_LIMITS: "The grant of this browser's key has ended, or does not cover it.",
  BAD_SIGNATURE: "Neither the owner nor an agent of the account has signed it.",
  CANCELLED: "It was signed before a cancel of everything.",
  COLLATERAL: "It is more than has settled, or nothing may leave: gains and fees mature before they can.",
  EXPIRED: "Its time was over.",
  FEE_ABOVE_MAXIMUM: "The fee is above what was signed.",
  FULL: "There is no room just now: a moment later there is.",
  GRACE: "Prices were missing: until the grace ends nothing may grow risk or take money out.",
  INDEBTED: "The account is below zero.",
  LIFETIME: "It would live longer than the law allows.",
  MAKER_MARGIN: "The account could not carry its fill.",
  MARGIN: "The free collateral does not cover it.",
  MARKET_REDUCES: "This market closes: only reduce-only orders are taken.",
  NO_ACCOUNT: "There is no such account.",
  NO_MARKET: "The market is not open, or has no price.",
  NO_RECIPIENT: "It names nobody who would be paid.",
  NOT_CANONICAL: "A field holds what nobody may sign.",
  NOT_OWNER: "The other account is somebody else's.",
  NOT_YET: "This machine's clock is ahead of the venue's.",
  OUT_OF_BOUNDS: "It is larger than any account may hold.",
  OVERFILLED: "There is not so much left of it.",
  POST_ONLY: "It would take, and you ask that it never does.",
  PRICE_BAND: "The price is further from the oracle price than this market allows.",
  QUEUE_ONLY: "Entries from L1 have waited too long: until they are served nothing else is.",
  REDUCE_ONLY: "There is no position that it could reduce.",
  RESERVED: "This account does not trade.",
  SAME_ACCOUNT: "Both sides are the same account.",
  SEQUENCE_AHEAD: "This machine's clock is ahead of the venue's.",
  STALE: "The oracle price is too old to trade at.",
  TAKER_MARGIN: "The free collateral does not cover more.",
  TOO_SMALL: "It is smaller than the smallest that is taken.",
  USED: "Its place was taken by a newer order.",
  WITHDRAWALS_FULL: "No withdrawal has room any more.",
  ZERO_AMOUNT: "The amount is zero.",
  // The venue's own.
  UNCROSSED: "Nothing more stood within its limit.",
  SELF_TRADE: "It met an order of yours.",
  cancelled: "You cancelled it.",
  replaced: "An order of yours took its place.",
  expired: "Its time was over.",
  reduced: "Nothing was left that it could reduce.",
  dismissed: "The key that signed it may trade no more.",
  market: "The market closes, and took it out.",
  margin: "The free collateral no longer covered it.",
  displaced: "The book was full, and more money stood behind another order.",
  refused: "The law refused its fill.",
  linked: "The other order of its group was filled, or its entry left unfilled.",
  scheduled: "Your dead-man switch ended.",
  disconnected: "Your connection ended, and you had signed that it leaves then.",
  self_trade: "It met an order of yours.",
  unpaid: "It was too small to pay for its bytes on L1 when somebody met it.",
  unfilled: "Nothing more stood within its limit, and it may not rest.",
  voided: "L1 can never take it: it is as if it had not been.",
};

/** Whether it is a code, and no sentence already. @param {string} text */
const isCode = (text) => /^[A-Z_]+$/.test(text) || text in SENTENCES;

/** A code's sentence; a sentence as it is. @param {string} text */
export function sentenceOf(text) {
  return SENTENCES[text] ?? (isCode(text) ? "The venue does not take it." : text);
}

/** The code to stand beside it; empty of a sentence, and of a word that says no more than its own. @param {string} text */
export const codeOf = (text) => (isCode(text) && text === text.toUpperCase() ? text : "");

/** Both, as text. @param {string} text */
export function said(text) {
  const code = codeOf(text);
  return code === "" ? sentenceOf(text) : `${sentenceOf(text)} (${code})`;
}

/** Within a sentence. @param {string} text */
export function within(text) {
  const whole = sentenceOf(text).replace(/\.$/, "");
  const begun = whole.slice(0, 1).toLowerCase() + whole.slice(1);
  const code = codeOf(text);
  return code === "" ? begun : `${begun} (${code})`;
}
