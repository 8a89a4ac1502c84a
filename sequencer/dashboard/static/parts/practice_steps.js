/**
 * The six steps of practice: what each asks, what there is to see in it, and the orders that it takes. Pure.
 * @import {AccountView, MarketView, PositionView, PostMortemView, UnsignedOperation} from "../wire"
 */
import { basisPoints, dollars, percent, price, size } from "../format.js";
import { IMMEDIATE_OR_CANCEL } from "../terms.js";

/**
 * @typedef {object} Step
 * @property {string} title
 * @property {string} ask what is done by the button, and why
 * @property {string} button
 * @property {string} seen what there is to see behind it
 * @property {{ask: string, button: string}} [then] its second order, once the first has been sent
 */

/** Micro-dollars to begin with: little enough for the devnet's maker, at a leverage that a small fall hurts. */
export const PLAYED_MICROS = 200_000_000n;
export const LONG = "BTC";
export const SHORT = "ETH";
/** Of the buying power that there is just then. */
export const LONG_PPM = 500_000;
export const SHORT_PPM = 400_000;
/** How far prices are moved at a step. */
export const EATEN_PPM = -4_000;
export const SHORT_GAIN_PPM = -10_000;
export const FALL_PPM = -4_000;
// What an order may pay beyond the oracle price: the maker quotes within a third of it.
const SLIPPAGE_PPM = 5_000;
const PPM = 1_000_000n;

/** @type {readonly Step[]} */
export const STEPS = [
  {
    title: "Deposit",
    ask: "Play dollars come from the devnet's faucet; 200 of them go into the bridge on L1, and a new account of the rollup is yours.",
    button: "Deposit 200 play dollars",
    seen: "The money lies in a contract on L1. Nobody moves it without your signature, the sequencer neither.",
  },
  {
    title: "Two positions, one pool",
    ask: "Buy bitcoin with half of your buying power. The outline in the picture is what the law says would come of it: nothing was sent yet.",
    button: "Buy BTC",
    then: {
      ask: "The bitcoin is in the pool. Now sell ether with two fifths of the buying power that is left: the outline is the pool with both.",
      button: "Sell ETH",
    },
    seen: "One pool stands behind both. Each position asks for a part of it to stay (solid), and for more to grow (hatched).",
  },
  {
    title: "One position eats the pool",
    ask: "Bitcoin falls by 0.8 percent. Ether falls too, by one percent, and you have sold it. These are the prices of this devnet: they fall for each of your accounts, and for everybody's.",
    button: "Let prices fall",
    seen: "What BTC loses comes out of the pool into which ETH has paid: the gain of one position keeps the other alive. Isolated, each would stand alone.",
  },
  {
    title: "The margin call",
    ask: "Bitcoin goes on falling. At 50, 70, 80 and 90 percent of the way to liquidation the page calls: at the top, and in what it offers to do.",
    button: "Let BTC fall until the call",
    seen: "A deposit, a smaller position or a position moved out of the pool helps, and each shows beforehand how far. Here nothing is done, to see more.",
  },
  {
    title: "The gentle liquidation",
    ask: "At 100 percent the account is liquidated: three prices in a row have to say so. What is closed, and at which price, is the law's, and nobody's decision.",
    button: "Let BTC fall until liquidation",
    seen: "No more is closed than brings the account back to what it needs to grow, at a price that the rest of the account does not pay for; the fee goes to the market's fund.",
  },
  {
    title: "The exit that nobody can refuse",
    ask: "Leave by a transaction on L1 that asks nobody: the sequencer has to close what is open and pay, or it loses its seat. Then claim the money on L1, once the batch is final. It costs up to one percent of the size of what is open, which can be most of what you own.",
    button: "Leave through L1 and claim",
    seen: "What was open was closed at the worse of two prices, less one percent of its size at most: the price of asking nobody. With positions of many times the equity that is most of it. Who closes by orders and withdraws pays none of it.",
  },
];

/**
 * What this browser keeps of a practice.
 * @typedef {object} Progress
 * @property {number} step of STEPS; as many as there are: it is over
 * @property {boolean} isDone whether the step is done and there to be looked at
 * @property {number | null} account
 * @property {string[]} told what came of the step, in sentences
 */

/** @type {Progress} */
export const BEGINNING = { step: 0, isDone: false, account: null, told: [] };

/** What was kept, or a beginning where it is none. @param {any} kept @returns {Progress} */
export function progressOf(kept) {
  const isOne =
    Number.isInteger(kept?.step) &&
    kept.step >= 0 &&
    kept.step <= STEPS.length &&
    (kept.step === 0 || Number.isInteger(kept.account)) &&
    Array.isArray(kept.told);
  return isOne
    ? { step: kept.step, isDone: kept.isDone === true, account: kept.account ?? null, told: kept.told.map(String) }
    : BEGINNING;
}

/**
 * An order for a part of the buying power, at once or not at all; null where the account can take nothing.
 * @param {AccountView} seen
 * @param {MarketView} market
 * @param {"buy" | "sell"} side
 * @param {number} ppm
 * @returns {UnsignedOperation | null}
 */
export function orderOf(seen, market, side, ppm) {
  const power = seen.buying_power.find((one) => one.market === market.name);
  const most = BigInt((side === "buy" ? power?.buy_lots : power?.sell_lots) ?? 0);
  const lots = (most * BigInt(ppm)) / PPM;
  if (lots <= 0n) return null;
  return orderFor(seen.account, market, side, lots);
}

/**
 * @param {number} account
 * @param {MarketView} market
 * @param {"buy" | "sell"} side
 * @param {bigint} lots
 * @returns {UnsignedOperation}
 */
export function orderFor(account, market, side, lots) {
  const away = BigInt(side === "buy" ? SLIPPAGE_PPM : -SLIPPAGE_PPM);
  return {
    kind: "order",
    account,
    market: market.index,
    side: side === "buy" ? 0 : 1,
    size_lots: String(lots),
    limit_price_ticks: String((BigInt(market.price_ticks) * (PPM + away)) / PPM),
    time_in_force: IMMEDIATE_OR_CANCEL,
  };
}

/** @param {AccountView | undefined} seen @param {string} name @returns {PositionView | undefined} */
export function held(seen, name) {
  return seen?.positions.find((one) => one.market === name);
}

/**
 * What two positions are.
 * @param {AccountView} seen
 * @param {MarketView[]} markets
 */
export function toldOfPositions(seen, markets) {
  return seen.positions.map((one) => {
    const market = markets.find((each) => each.name === one.market);
    const lots = BigInt(one.size_lots);
    const word = lots > 0n ? "bought" : "sold";
    const units = market ? size(lots < 0n ? -lots : lots, market) : String(lots);
    return `${units} ${one.market} ${word}, worth $${dollars(one.notional_micros)}; $${dollars(one.maintenance_micros)} of the pool has to stay for it.`;
  });
}

/** What each has gained or lost. @param {AccountView} seen */
export function toldOfGains(seen) {
  const each = seen.positions.map((one) => `${one.market} ${dollars(one.unrealised_micros, { sign: "exceptZero" })}`);
  return [`Gained or lost, in dollars: ${each.join(", ")}.`, `Equity $${dollars(seen.equity_micros)}, margin ratio ${percent(seen.margin_ratio_ppm)}.`];
}

/** @param {AccountView} seen */
export function toldOfCall(seen) {
  const falls = seen.fall_bp === null ? "No common fall of prices" : `A common fall of prices by ${basisPoints(seen.fall_bp).replace("+", "")}`;
  return [`Margin call at ${seen.margin_call_percent}%: equity $${dollars(seen.equity_micros)}, $${dollars(seen.maintenance_micros)} have to stay.`, `${falls} begins liquidation.`];
}

/**
 * What liquidation took and left.
 * @param {PostMortemView[]} rescues of this account, the newest first
 * @param {AccountView} seen
 * @param {MarketView[]} markets
 */
export function toldOfRescues(rescues, seen, markets) {
  const [newest, oldest] = [rescues[0], rescues.at(-1)];
  if (newest === undefined || oldest === undefined) return [];
  const lots = rescues.filter((one) => one.market === newest.market).reduce((sum, one) => sum + BigInt(one.lots), 0n);
  const market = markets.find((one) => one.name === newest.market);
  const left = held(seen, newest.market);
  const units = (/** @type {bigint} */ of) => (market ? size(of < 0n ? -of : of, market) : String(of));
  const kept = (BigInt(newest.equity_after_micros) * PPM) / (BigInt(oldest.equity_before_micros) || 1n);
  return [
    `${units(lots)} ${newest.market} closed at ${market ? price(newest.price_ticks, market) : newest.price_ticks} while the oracle said ${market ? price(newest.oracle_price_ticks, market) : newest.oracle_price_ticks}; ${left ? `${units(BigInt(left.size_lots))} are still open` : "none is left open"}.`,
    `${percent(kept)} of the equity before it is still there: $${dollars(newest.equity_after_micros)}. The fee was $${dollars(rescues.reduce((sum, one) => sum + BigInt(one.fee_micros), 0n))}.`,
  ];
}
