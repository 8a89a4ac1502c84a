/**
 * A margin call that cannot be missed: seen, heard and told by the browser where that is allowed, with what helps one
 * click away.
 *
 * @import {AccountView, MarginCall as Call, MarketView} from "../wire"
 */
import { useEffect, useState } from "preact/hooks";
import { join, useFeed } from "../feeds.js";
import { dollars, size } from "../format.js";
import { html } from "../html.js";
import { standingOf, wordsOf } from "../pictures/gauge_words.js";
import { headline, partOf } from "../rescued.js";
import { session } from "../session.js";
import { NEW_ACCOUNT } from "../terms.js";
import { account, addressOf, marketOf } from "../venue.js";
import { deposited } from "../deposit.js";
import { freesMost, giver, reducing, topUpMicros } from "../ways_out.js";
import { alarm } from "./alarm.js";
import { isolating } from "./isolated.js";
import { say } from "./toast.js";
import { done, Way } from "./way.js";

const prices = join("prices")[0].state;

/** In the app once, above every view. */
export function MarginCalls() {
  const index = account.value;
  const seen = useFeed(index === null ? null : `account:${index}`);
  const own = session.value?.accounts ?? [];
  /** @type {Call[]} */
  const calls = useFeed(own.length > 0 ? "margin_calls" : null) ?? [];
  // A node that keeps accounts private says of nobody whose call it is.
  const others = calls.flatMap(({ account: of, level_percent, margin_ratio_ppm }) =>
    of !== null && of !== index && level_percent > 0 && own.includes(of) ? [{ account: of, level_percent, margin_ratio_ppm }] : [],
  );
  const level = seen === undefined ? 0 : levelOf(seen);
  useEffect(() => alarm(index ?? 0, level, own.includes(index ?? -1)), [index, level]);
  useEffect(() => tellRescue(seen?.rescue, index), [seen?.rescue?.number]);
  useEffect(() => others.forEach((one) => alarm(one.account, one.level_percent, true)), [others.map((one) => `${one.account}:${one.level_percent}`).join(" ")]);
  if (level === 0 && others.length === 0) return null;
  return html`<div class="margin-calls">
    ${level > 0 && html`<${Banner} key=${index} seen=${seen} level=${level} />`}
    ${others.map((one) => html`<p key=${one.account} role="alert" class="margin-call step-${one.level_percent}">
      <strong>Account ${one.account}: ${standingOf(one.margin_ratio_ppm, one.level_percent).word}.</strong>
      <button type="button" onClick=${() => (account.value = one.account)}>Look at it</button>
    </p>`)}
  </div>`;
}

/**
 * Says that something was closed, at once and wherever one looks; not where an order was filled by it.
 * @param {import("../wire").PostMortemView | null | undefined} rescue @param {number | null} index
 */
function tellRescue(rescue, index) {
  if (!rescue || partOf(rescue, index) === "met") return;
  const market = marketOf(prices.peek(), rescue.market);
  const lots = market ? size(rescue.lots, market) : String(rescue.lots);
  say("wrong", headline(rescue, index, lots), "What decided it, and what it cost, stands at the pool.");
}

/** The level that was told, or that the numbers stand at already. @param {AccountView} seen */
function levelOf(seen) {
  return seen.positions.length === 0 ? 0 : standingOf(seen.margin_ratio_ppm, seen.margin_call_percent).step;
}

/** @param {{seen: AccountView, level: number}} props */
function Banner({ seen, level }) {
  const [isOpen, setOpen] = useState(true);
  const left = BigInt(seen.equity_micros) - BigInt(seen.maintenance_micros);
  return html`<section class="margin-call step-${level}" aria-label="Margin call">
    <div class="margin-call-head">
      <span class="margin-call-sign" aria-hidden="true">!</span>
      <p role="alert"><strong>${level >= 100 ? "Liquidation begins" : `Margin call at ${level}%`}.</strong> ${wordsOf(level, seen.margin_ratio_ppm)}</p>
      <span class="soft">${left > 0n ? `${dollars(left)} from liquidation` : "below what has to stay"}</span>
      <button type="button" class="plain" aria-expanded=${isOpen} onClick=${() => setOpen(!isOpen)}>${isOpen ? "Less" : "What helps"}</button>
    </div>
    ${isOpen && html`<${WaysOut} seen=${seen} />`}
  </section>`;
}

/** @param {{seen: AccountView}} props */
function WaysOut({ seen }) {
  /** @type {MarketView[] | undefined} */
  const markets = useFeed("prices");
  const who = session.value;
  const wanted = topUpMicros(seen);
  const gives = useGiver(seen.account, wanted);
  const most = freesMost(seen.positions);
  const market = most && marketOf(markets, most.market);
  if (!who?.accounts.includes(seen.account)) return html`<p class="soft">You watch this account: only its owner can act.</p>`;
  const deposit = () => deposited(who, wanted, seen.account);
  return html`<div class="ways">
    ${gives && html`<${Way}
      isMain=${true}
      title=${`Move ${dollars(gives.micros, { digits: 0 })} dollars from account ${gives.from}`}
      of=${seen.account}
      operation=${{ kind: "transfer", account: gives.from, to_account: seen.account, amount_micros: gives.micros.toString() }}
      note="At once, between your own accounts."
    />`}
    ${wanted > 0n && html`<${Deposit} title=${`Deposit ${dollars(wanted, { digits: 0 })} dollars`} act=${deposit} />`}
    ${most && market && [50n, 100n].map((share) => html`<${Way}
      key=${share}
      isMain=${gives === null && share === 50n}
      title=${share === 100n ? `Close ${most.market}` : `Halve ${most.market}`}
      of=${seen.account}
      operation=${reducing(seen.account, most, market, share)}
      note=${share === 100n ? "" : "It asks for the most: reducing it frees most."}
    />`)}
    <p class="way"><a href=${addressOf("pool")} onClick=${() => toIsolate(most?.market ?? "")}>Isolate a position</a><small class="soft">What you want to keep apart goes into an account of its own.</small></p>
  </div>`;
}

/** Brings the form of an isolated position into sight, with a position in it. @param {string} market */
function toIsolate(market) {
  isolating.value = market;
  setTimeout(() => document.getElementById("isolate")?.scrollIntoView({ block: "center" }), 100);
}

/** @param {{title: string, act: () => Promise<number>}} props */
function Deposit({ title, act }) {
  const [isBusy, setBusy] = useState(false);
  const go = async () => {
    setBusy(true);
    await done(title, act);
    setBusy(false);
  };
  return html`<div class="way">
    <button type="button" disabled=${isBusy} onClick=${go}>${isBusy ? "On its way…" : title}</button>
    <small class="soft">From your wallet on L1, as much as brings it back to its initial requirement or ends the call.</small>
  </div>`;
}

/** Who of the owner's other accounts could give. @param {number} called @param {bigint} wanted */
function useGiver(called, wanted) {
  const others = (session.value?.accounts ?? []).filter((one) => one !== called && one < NEW_ACCOUNT).slice(0, 8);
  const [feeds, setFeeds] = useState(/** @type {import("../feeds.js").Feed[]} */ ([]));
  useEffect(() => {
    const joined = others.map((one) => join(`account:${one}`));
    setFeeds(joined.map(([feed]) => feed));
    return () => joined.forEach(([, leave]) => leave());
  }, [others.join(" ")]);
  return wanted <= 0n ? null : giver(feeds.map((feed) => feed.state.value), wanted);
}
