/**
 * One thing that could be done, with what would come of it: before -> after, told by the node, and a button that does
 * it. While it is pointed at, the pool is drawn as it would be.
 *
 * @import {Outlook, Preview, UnsignedOperation} from "../wire"
 */
import { useEffect, useMemo, useState } from "preact/hooks";
import { ApiError } from "../api.js";
import { api, useFeed } from "../feeds.js";
import { dollars } from "../format.js";
import { html } from "../html.js";
import { Previewer } from "../preview.js";
import { send, session } from "../session.js";
import { within } from "../reasons.js";
import { second } from "../venue.js";
import { imagine } from "./imagined.js";
import { ratioText } from "./shock_outcome.js";
import { say } from "./toast.js";
import { Becomes } from "./value.js";
import { Why } from "./why.js";

// How often a preview that is only looked at is asked for anew: prices move.
const AGAIN_MS = 4_000;

/** Of money that would leave an account, where its requirement forbids it. */
const LEAVING = "What is free, less a tenth of what is held in positions, does not cover it.";

/**
 * @typedef {object} WayProps
 * @property {string} title what the button says
 * @property {UnsignedOperation} operation
 * @property {number | null} of the account whose numbers are shown; null: the one that is opened
 * @property {string | null} [openedWith]
 * @property {string} [note]
 * @property {boolean} [isMain]
 * @property {() => Promise<any>} [act] what is done instead of sending the operation alone
 */

/** @param {WayProps} props */
export function Way({ title, operation, of, openedWith = null, note = "", isMain = false, act }) {
  const previewer = useMemo(() => new Previewer((asked, opened) => api.call("catenary_preview", { operation: asked, opened_with_micros: opened })), []);
  const [isBusy, setBusy] = useState(false);
  const question = JSON.stringify([operation, openedWith]);
  const moment = Math.floor(second.value / AGAIN_MS);
  // What an account holds changes by deeds alone: then what was told is of another account.
  const [giver, taker] = [useHoldings(operation.account), useHoldings(of ?? operation.account)];
  useEffect(() => previewer.want(operation, openedWith), [question, moment, giver, taker]);
  const { preview, error, isOld } = previewer.seen.value;
  const refusal = error?.message ?? (preview && preview.code !== 0 ? preview.refusal : "");
  const owns = session.value?.accounts.includes(operation.account) ?? false;
  const [isPointed, point] = useState(false);
  useEffect(() => (isPointed ? imagine(previewer.seen, `with “${title}”`) : undefined), [isPointed]);
  const go = async () => {
    setBusy(true);
    await done(title, act ?? (() => send(operation)));
    setBusy(false);
  };
  return html`<div class="way" onPointerEnter=${() => point(true)} onPointerLeave=${() => point(false)} onFocusIn=${() => point(true)} onFocusOut=${() => point(false)}>
    <button type="button" class=${isMain ? "main" : ""} disabled=${isBusy || !owns || refusal !== "" || preview === null} onClick=${go}>${isBusy ? "Sending…" : title}</button>
    <${Comes} preview=${preview} of=${of} isOld=${isOld} refusal=${refusal} moves=${openedWith !== null || operation.kind === "transfer"} />
    ${isThin(preview) && html`<small>The book takes ${String(preview?.filled_lots)} of ${String(operation.size_lots)} lots within half a percent.</small>`}
    ${note && html`<small class="soft">${note}</small>`}
  </div>`;
}

/** What an account holds, whatever the prices are. @param {number} index */
function useHoldings(index) {
  /** @type {import("../wire").AccountView | undefined} */
  const seen = useFeed(`account:${index}`);
  return seen && [seen.collateral_micros, ...seen.positions.map((one) => `${one.market} ${one.size_lots}`)].join(" ");
}

/** Whether an order would be filled in part only. @param {Preview | null} preview */
function isThin(preview) {
  return preview?.operation.kind === "order" && preview.code === 0 && BigInt(preview.filled_lots ?? 0) < BigInt(preview.operation.size_lots ?? 0);
}

/** @param {{preview: Preview | null, of: number | null, isOld: boolean, refusal: string, moves: boolean}} props moves: money out of an account */
function Comes({ preview, of, isOld, refusal, moves }) {
  if (refusal !== "") return html`<span class="way-comes loss">Not now: <${Why} of=${refusal} words=${moves && refusal === "MARGIN" ? LEAVING : undefined} /></span>`;
  const [before, after] = pairOf(preview, of);
  if (!before || !after) return html`<span class="way-comes soft">Asking the node…</span>`;
  return html`<span class="way-comes">
    <span><span class="soft">ratio</span> <${Becomes} before=${ratioText(before.margin_ratio_ppm)} after=${ratioText(after.margin_ratio_ppm)} isOld=${isOld} /></span>
    <span><span class="soft">free</span> <${Becomes} before=${dollars(before.free_collateral_micros)} after=${dollars(after.free_collateral_micros)} isOld=${isOld} /></span>
  </span>`;
}

/** An account before and after, whichever side of the operation it is on. @param {Preview | null} preview @param {number | null} of @returns {(Outlook | null | undefined)[]} */
function pairOf(preview, of) {
  if (preview === null) return [];
  return of === null || preview.after.account === of ? [preview.before, preview.after] : [preview.other_before, preview.other_after];
}

/**
 * Does something and says what came of it.
 * @param {string} title
 * @param {() => Promise<any>} act
 * @returns {Promise<any>} its result; undefined where it failed
 */
export async function done(title, act) {
  try {
    const result = await act();
    // An order that met nobody was taken and did nothing.
    if (result?.filled_lots === 0) say("wrong", `${title}: nothing was filled`, `Nobody stood in the book within half a percent${result.reason ? `: ${within(result.reason)}` : ""}.`);
    else say("done", title, "sequenced");
    return result;
  } catch (error) {
    say("wrong", `${title}: not done`, error instanceof ApiError ? error.message : String(error));
    return undefined;
  }
}
