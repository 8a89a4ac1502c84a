/**
 * The words, as PROTOCOL.md, the API and docs/trading.md have them, and the questions that are asked first. Pure.
 * What the page explains beside its numbers has one sentence for both.
 */
import { MEANING } from "./explain_words.js";

/** @typedef {"trade" | "pool" | "rollup" | "learn"} View */

/** Word, meaning, and the view where it is seen. @type {readonly [string, string, View][]} */
export const WORDS = [
  ["collateral", MEANING["collateral"] ?? "", "pool"],
  ["equity", MEANING["equity"] ?? "", "pool"],
  ["initial requirement", MEANING["initial"] ?? "", "pool"],
  ["maintenance requirement", MEANING["maintenance"] ?? "", "pool"],
  ["free collateral", MEANING["free_collateral"] ?? "", "pool"],
  ["buying power", "The largest order that the free collateral covers, in one market.", "trade"],
  ["margin ratio", MEANING["margin_ratio"] ?? "", "pool"],
  ["margin usage", MEANING["margin_usage"] ?? "", "pool"],
  ["leverage", MEANING["leverage"] ?? "", "pool"],
  ["liquidation price", MEANING["liquidation_price"] ?? "", "pool"],
  ["margin call", "A warning at 50, 70, 80 and 90 percent of the way to liquidation.", "pool"],
  ["oracle price", "The median that the signers agree on; margin, funding and triggers are by it.", "trade"],
  ["tick", "One signed set of oracle prices.", "trade"],
  ["funding", "What longs and shorts pay each other to keep a perpetual near the oracle price.", "trade"],
  ["insurance account", "A market's fund, into which liquidation fees go; anybody may pay in.", "rollup"],
  ["deleveraging", "Closing positions of the winning side where book and fund have no room; each position's rank is published.", "rollup"],
  ["sequenced, posted, final", "The node's word; in a batch on L1; past the window in which it can be proven wrong.", "rollup"],
  ["forced exit", "Closing and withdrawing through L1, without the sequencer's consent.", "rollup"],
];

/** @type {readonly {asked: string, answer: string, view: View, where: string}[]} */
export const QUESTIONS = [
  {
    asked: "What is cross-margin?",
    answer: "All your collateral stands behind all your positions. A gain of one counts for the others at once, unrealised too; a loss eats from the same pool. Nothing is moved between positions.",
    view: "pool",
    where: "The pool, as one picture",
  },
  {
    asked: "Cross or isolated?",
    answer: "An isolated position stands in an account of its own: it can lose what is in there and nothing else, and nobody else's gain keeps it alive. You can have both at once. The pool view says what the same positions would need apart.",
    view: "pool",
    where: "Cross and isolated, side by side",
  },
  {
    asked: "How would a trade change my margin?",
    answer: "While you fill in the order form, the node tells what the account would be: every number as old and new, and the picture as outlines over what is.",
    view: "trade",
    where: "The order form",
  },
  {
    asked: "Can one bad position take everything?",
    answer: "In the pool, yes, if it is large enough; the others' gains hold it up as long as they last. The shock slider shows which would be closed, in which order and how far. What must not be at stake belongs in an isolated account.",
    view: "pool",
    where: "The shock slider",
  },
  {
    asked: "How far am I from liquidation?",
    answer: "The margin ratio says it: maintenance over equity, and liquidation begins at 100 percent. You are called at 50, 70, 80 and 90. It is at the top of every view.",
    view: "pool",
    where: "The gauge",
  },
  {
    asked: "How is a position liquidated, and who decides?",
    answer: "After three prices in a row, gently: no more is closed than brings the account back to its initial requirement, at a price that the rest of it does not pay for. The law decides each step and nobody by hand; each leaves a post-mortem with its inputs.",
    view: "learn",
    where: "The fifth step of practice",
  },
  {
    asked: "Is it safe?",
    answer: "Your money is in a contract on L1. The sequencer can neither spend nor keep it: a wrong state is undone by one transaction of anybody, and an exit through L1 has to be served. It is unaudited, and a devnet today.",
    view: "rollup",
    where: "Your own account's proof, checked in this browser",
  },
  {
    asked: "What if the sequencer is gone, or refuses me?",
    answer: "Leave through L1: it has to serve the queue in time, or it loses its seat. The sixth step of practice does it.",
    view: "rollup",
    where: "The queue, and forced requests",
  },
  {
    asked: "What if L1 is congested?",
    answer: "Liquidations and trades need no L1 transaction. Posting may lag by up to an hour.",
    view: "rollup",
    where: "Batches: sequenced, posted, final",
  },
  {
    asked: "How do I check a number?",
    answer: "Click it: its formula opens with the inputs of this moment. What L1 holds of your account is checked in this browser, step by step.",
    view: "rollup",
    where: "The proof",
  },
];
