/**
 * Positions in accounts of their own: opened, moved, closed, each step from what the node holds now, so that another
 * run goes on where one stopped. What would be refused is not sent; what failed halfway is taken back.
 *
 * @import {AccountView, MarketView, UnsignedOperation} from "./wire"
 */
import { ApiError } from "./api.js";
import { said } from "./reasons.js";
import { NEW_ACCOUNT } from "./terms.js";
import { reducing } from "./ways_out.js";

/** `send` and `call` as the session and the node have them. @typedef {{send: (operation: UnsignedOperation) => Promise<any>, call: (method: any, params: any) => Promise<any>}} Venue */

/**
 * Opens an account with money of another, and places its first order there.
 * @param {Venue} venue
 * @param {{from: number, micros: bigint, order: UnsignedOperation, known: number[]}} wanted order: as of `from`; known: accounts that were there before
 * @returns {Promise<number>} the account
 */
export async function openIsolated({ send, call }, { from, micros, order, known }) {
  const seen = await call("catenary_preview", { operation: order, opened_with_micros: micros.toString() });
  if (seen.code !== 0) throw new ApiError("REFUSED", `The order would be refused there, so nothing was sent: ${said(seen.refusal)}`);
  const { account_opened: opened } = await send({ kind: "transfer", account: from, to_account: NEW_ACCOUNT, amount_micros: micros.toString() });
  // Invariant: the order is signed for no account that was there before, whatever the node calls new.
  if (!Number.isInteger(opened) || known.includes(opened)) throw new ApiError("NOT_GENUINE", `The node calls account ${opened} a new one: nothing more is signed.`);
  try {
    await send({ ...order, account: opened });
  } catch (error) {
    const { withdrawable_micros } = await call("catenary_account", { account: opened });
    if (BigInt(withdrawable_micros) > 0n) await send({ kind: "transfer", account: opened, to_account: from, amount_micros: withdrawable_micros });
    throw error;
  }
  return opened;
}

/**
 * Takes a position out of the pool and opens it in an account of its own.
 * @param {Venue} venue
 * @param {{seen: AccountView, market: MarketView, micros: bigint, order: UnsignedOperation, known: number[]}} wanted
 */
export async function isolate(venue, { seen, market, micros, order, known }) {
  const held = seen.positions.find((one) => one.market === market.name);
  if (held !== undefined) {
    const closed = await venue.send(reducing(seen.account, held, market, 100n));
    if (closed.filled_lots === 0) throw new ApiError("NO_FILL", "Nobody takes the position within half a percent: nothing was moved.");
    // What was not taken stays where it is; as much as was taken is opened again.
    order = { ...order, size_lots: String(closed.filled_lots) };
  }
  return await openIsolated(venue, { from: seen.account, micros, order, known });
}

/**
 * Closes an account's positions and moves what it has to another.
 * @param {Venue} venue
 * @param {{account: number, to: number, markets: MarketView[]}} wanted
 * @returns {Promise<bigint>} what was moved
 */
export async function closeIsolated({ send, call }, { account, to, markets }) {
  /** @returns {Promise<AccountView>} */
  const look = () => call("catenary_account", { account });
  let seen = await look();
  // First, for an order that fills later would open the position again.
  if (seen.open_orders.length > 0) await send({ kind: "cancel_all", account, max_posting_fee_micros: 0 });
  for (const one of seen.positions) {
    const market = markets.find((each) => each.name === one.market);
    if (market === undefined) throw new ApiError("NO_MARKET", `The node gives no price of ${one.market}.`);
    await send(reducing(account, one, market, 100n));
  }
  seen = await look();
  if (seen.positions.length > 0) {
    const left = seen.positions.map((one) => one.market).join(", ");
    throw new ApiError("NO_FILL", `${left} found nobody within half a percent, so no money was moved: do it again.`);
  }
  // What still matures goes on maturing there.
  const moved = BigInt(seen.collateral_micros) - BigInt(markets[0]?.posting_fee_micros ?? 0);
  if (moved > 0n) await send({ kind: "transfer", account, to_account: to, amount_micros: moved.toString() });
  return moved > 0n ? moved : 0n;
}
