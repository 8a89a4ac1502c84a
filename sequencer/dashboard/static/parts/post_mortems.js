/**
 * What was done to an account and why: each rescue with the prices that decided it, what it cost and what it left.
 *
 * @import {AccountView, MarketView, PostMortemView} from "../wire"
 */
import { useEffect, useState } from "preact/hooks";
import { api } from "../feeds.js";
import { dollars, exactTime, percent, price, relative, size } from "../format.js";
import { html } from "../html.js";
import { headline, partOf } from "../rescued.js";
import { marketOf, second } from "../venue.js";
import { Panel } from "./panel.js";
import { Money } from "./value.js";

const SHOWN = 5;
/** Asked for: those that an order of the account met are among them, and left out. */
const MOST_ASKED = 200;
/** What each kind does, in one sentence. @type {Record<string, string>} */
const DOES = {
  liquidation: "Orders of the book took lots: at most as many as bring the account back to its initial requirement.",
  take_over: "The market's insurance account took lots: the book was too thin.",
  deleveraging: "Positions on the other side were closed against it, the most profitable and leveraged first.",
  unwinding: "The insurance account gave lots back to the market.",
  forced_close: "An exit through L1 closed lots against the other side.",
  forced_rescue: "What the operator had omitted was entered on L1 by somebody else.",
};

/** @param {{seen: AccountView & {rescue?: PostMortemView | null}, markets: MarketView[] | undefined}} props */
export function PostMortems({ seen, markets }) {
  const account = seen.account;
  // A message with a rescue may be overtaken by the next one before it is drawn: what is held says it too.
  const moment = `${seen.rescue?.number} ${seen.positions.map((one) => one.size_lots).join(" ")}`;
  const [found, tell] = useState(/** @type {PostMortemView[]} */ ([]));
  useEffect(() => {
    let isOver = false;
    api.call("catenary_postMortems", { account, limit: MOST_ASKED }).then(
      (answer) => isOver || tell(answer.filter((one) => partOf(one, account) !== "met").slice(0, SHOWN)),
      () => {},
    );
    return () => {
      isOver = true;
    };
  }, [account, moment]);
  if (found.length === 0) return null;
  return html`<${Panel} title="What was closed, and why" area="rescues">
    <div class="post-mortems">${found.toSorted((a, b) => b.number - a.number).map((one) => html`<${Card} key=${one.number} one=${one} of=${account} market=${marketOf(markets, one.market)} />`)}</div>
  <//>`;
}

/**
 * What of the equity is gone: price and fee together, at the oracle price of that moment.
 * @param {{one: PostMortemView}} props
 */
function Cost({ one }) {
  const before = BigInt(one.equity_before_micros);
  const cost = before - BigInt(one.equity_after_micros);
  const share = before > 0n && cost > 0n ? html` <span class="soft">${percent((cost * 1_000_000n) / before)} of the equity</span>` : null;
  return html`<${Money} micros=${cost} />${share}`;
}

/** @param {{one: PostMortemView, of: number, market: MarketView | undefined}} props */
function Card({ one, of, market }) {
  const at = (/** @type {number | string | null} */ ticks) => (ticks === null ? "none" : market ? price(ticks, market) : String(ticks));
  const name = one.kind.replaceAll("_", " ");
  return html`<article class="post-mortem" aria-label="${name} ${one.number}">
    <header><strong>${headline(one, of, market ? size(one.lots, market) : String(one.lots))}</strong>
      <time class="soft" datetime=${new Date(one.tick_time_ms).toISOString()} title=${exactTime(one.tick_time_ms)}>${relative(one.tick_time_ms, second.value)}</time></header>
    <p class="soft">${DOES[one.kind] ?? ""}</p>
    <dl>
      <div><dt>Judged at, the ${one.kind === "forced_close" ? "worse" : "better"} of two prices</dt><dd class="number">${at(one.judged_price_ticks)}</dd></div>
      <div><dt>Equity there, and what had to stay</dt><dd><${Money} micros=${one.judged_equity_micros} />, <${Money} micros=${one.judged_maintenance_micros} /></dd></div>
      <div><dt>Closed at</dt><dd class="number">${at(one.price_ticks)}</dd></div>
      <div><dt>Oracle price</dt><dd class="number">${at(one.oracle_price_ticks)}</dd></div>
      <div><dt>Worst price allowed</dt><dd class="number">${at(one.zero_price_ticks)}</dd></div>
      <div><dt>Fee, to the market's fund</dt><dd><${Money} micros=${one.fee_micros} /></dd></div>
      <div><dt>Paid by the fund</dt><dd><${Money} micros=${one.paid_by_fund_micros} /></dd></div>
      <div><dt>Equity before, and left</dt><dd><${Money} micros=${one.equity_before_micros} /> → <${Money} micros=${one.equity_after_micros} /></dd></div>
      <div><dt>What it cost${one.kind === "forced_close" ? ", the price of asking nobody" : ""}</dt><dd><${Cost} one=${one} /></dd></div>
      <div><dt>Needed to grow before, and after</dt><dd><${Money} micros=${one.initial_before_micros} /> → <${Money} micros=${one.initial_after_micros} /></dd></div>
    </dl>
    <p class="soft">Chunk ${one.chunk}, operation ${one.operation}; ${one.finality}. Whoever replays the batch gets the same numbers.</p>
  </article>`;
}
