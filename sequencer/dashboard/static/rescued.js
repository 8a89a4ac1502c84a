/**
 * What a rescue was to an account that it is told to.
 *
 * @import {PostMortemView} from "./wire"
 */

/** Rescues in which whoever stands opposite loses a position without an order of his. */
const WITHOUT_ORDER = ["deleveraging", "forced_close"];

/**
 * Whether the account itself was rescued, stood opposite and had a position closed, or met it by an order, which its
 * fills tell and nothing else.
 * @param {Pick<PostMortemView, "account" | "kind">} rescue @param {number | null} account
 * @returns {"own" | "opposite" | "met"}
 */
export function partOf(rescue, account) {
  if (rescue.account === account) return "own";
  return WITHOUT_ORDER.includes(rescue.kind) ? "opposite" : "met";
}

/** The sentence above it. @param {Pick<PostMortemView, "account" | "kind" | "market">} rescue @param {number | null} account @param {string} lots */
export function headline(rescue, account, lots) {
  const kind = rescue.kind.replaceAll("_", " ");
  const closed = `${lots} ${rescue.market} closed`;
  return partOf(rescue, account) === "own" ? `${kind}: ${closed}` : `${kind} of another account: ${closed} against yours`;
}
