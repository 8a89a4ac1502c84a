/** Withdrawals of the account that is looked at, each up to its claim; and the ways out that need no sequencer. */
import { useEffect, useState } from "preact/hooks";
import { html } from "../html.js";
import { claimed, finalAt, forcedClose, forcedWithdrawal, isClaimed, left } from "../exits.js";
import { api } from "../feeds.js";
import { parsed, relative, short, size } from "../format.js";
import { isOwn, session } from "../session.js";
import { account, now, second } from "../venue.js";
import { Lives } from "./funds.js";
import { say } from "./toast.js";
import { Money } from "./value.js";

/** @typedef {import("../wire").WithdrawalView & {isPaid: boolean, finalAtMs: number | null}} Seen */

const LOOK_MS = 5_000;

/** @param {number | null} of @returns {Seen[]} */
function useWithdrawals(of) {
  const [seen, setSeen] = useState(/** @type {Seen[]} */ ([]));
  useEffect(() => {
    let isHere = true;
    const look = async () => {
      if (of === null || document.hidden) return;
      const found = await api.call("catenary_withdrawals", { account: of });
      const whole = await Promise.all(
        found.slice(-20).map(async (one) => ({
          ...one,
          isPaid: one.batch !== null && (await isClaimed(one.index)),
          finalAtMs: one.batch === null ? null : 1000 * (await finalAt(one.batch)),
        })),
      );
      if (isHere) setSeen(whole.reverse());
    };
    look().catch(() => {});
    const every = setInterval(() => look().catch(() => {}), LOOK_MS);
    return () => {
      isHere = false;
      clearInterval(every);
    };
  }, [of]);
  return seen;
}

export function Withdrawals() {
  const seen = useWithdrawals(account.value);
  const who = session.value;
  second.value;
  if (account.value === null) return html`<p class="soft">None: no account is looked at.</p>`;
  if (seen.length === 0) return html`<p class="soft">Account ${account.value} has none.</p>`;
  const claim = (/** @type {number} */ index) =>
    claimed(/** @type {any} */ (who), index).then(
      () => say("done", `Withdrawal ${index} is paid`),
      (error) => say("wrong", "Not claimed", error.message),
    );
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Table: Withdrawals"><table>
    <thead><tr><th>Withdrawal</th><th>To</th><th>Dollars</th><th>Batch</th><th>State</th><th></th></tr></thead>
    <tbody>${seen.map((one) => {
      const isFinal = one.finality === "final" || (one.finalAtMs !== null && one.finalAtMs <= now());
      const state = one.isPaid ? "paid" : one.batch === null ? "sequenced" : isFinal ? "final" : `posted, final ${relative(one.finalAtMs ?? 0, now())}`;
      return html`<tr key=${one.index}><td>${one.index}</td><td title=${one.recipient}>${short(one.recipient)}</td><td><${Money} micros=${one.amount_micros} /></td><td>${one.batch ?? "—"}</td><td>${state}</td>
        <td>${isFinal && !one.isPaid && who !== null && html`<button type="button" onClick=${() => claim(one.index)}>Claim</button>`}</td></tr>`;
    })}</tbody>
  </table></div><${Lives} />`;
}

/** @param {{markets: import("../wire").MarketView[], positions: import("../wire").PositionView[]}} props */
export function Forced({ markets, positions }) {
  const [text, setText] = useState("");
  const of = account.value;
  const who = session.value;
  if (of === null || who === null || !isOwn(of)) return html`<p class="soft">Connect as the account's owner: these are transactions of yours on L1, which no sequencer can leave out.</p>`;
  const micros = parsed(text, 6);
  const go = (/** @type {Promise<any>} */ work) =>
    work.then(
      () => say("done", "Entered on L1", "The sequencer has to serve it, or loses the seat."),
      (error) => say("wrong", "Not entered", error.message),
    );
  return html`<p class="soft">Each is a transaction on L1 with a fee; use them where the sequencer does not serve you.</p>
    <div class="row"><label class="sr" for="forced">Dollars</label><input id="forced" inputmode="decimal" placeholder="dollars" value=${text} onInput=${(/** @type {any} */ event) => setText(event.target.value)} />
      <button type="button" disabled=${micros === null || micros <= 0n} onClick=${() => go(forcedWithdrawal(who, of, /** @type {bigint} */ (micros)))}>Force a withdrawal</button></div>
    <div class="row">${positions.map((one) => {
      const market = markets.find((each) => each.name === one.market);
      if (market === undefined) return null;
      const lots = BigInt(one.size_lots) < 0n ? -BigInt(one.size_lots) : BigInt(one.size_lots);
      return html`<button type="button" key=${one.market} onClick=${() => go(forcedClose(who, of, market.index, lots, 0n))}>Force ${size(lots, market)} ${one.market} closed</button>`;
    })}
      <button type="button" class="plain" onClick=${() => confirm(`Account ${of} leaves: everything signed is void, positions are closed at up to one percent of their size, which can be most of the equity, and what may leave is paid to you.`) && go(left(who, of))}>Leave with everything</button></div>`;
}
