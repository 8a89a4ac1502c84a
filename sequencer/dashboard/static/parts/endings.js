/**
 * Stops and targets that end: said before, and told when one has ended otherwise than its owner wished, also while the
 * page was shut. What guards a position is kept in this browser, by order; what became of it is the node's word.
 *
 * @import {AccountView, OpenOrder} from "../wire"
 */
import { useEffect } from "preact/hooks";
import { api, useFeed } from "../feeds.js";
import { dayAndTime, relative } from "../format.js";
import { endOf, endsSoon, guards, kindOf } from "../lives.js";
import { remembered } from "../memory.js";
import { sentenceOf } from "../reasons.js";
import { isOwn } from "../session.js";
import { account, now, second } from "../venue.js";
import { say } from "./toast.js";

/** @typedef {{what: string, market: string, isWarned: boolean}} Guard */
/** By account, by order. */
const kept = remembered("guards", /** @type {Record<string, Record<string, Guard>>} */ ({}));
const LOOK_MS = 10_000;
const ASKED = 50;

/** In the app once; shows nothing. */
export function Endings() {
  const index = account.value;
  /** @type {AccountView | undefined} */
  const seen = useFeed(index === null ? null : `account:${index}`);
  const moment = Math.floor(second.value / LOOK_MS);
  const own = isOwn(index);
  useEffect(() => {
    if (seen !== undefined && own) look(seen);
  }, [seen?.open_orders, moment, own]);
  return null;
}

/** @param {AccountView} seen */
function look(seen) {
  const known = kept.peek()[seen.account] ?? {};
  /** @type {Record<string, Guard>} */
  const open = {};
  for (const one of seen.open_orders.filter(guards)) {
    const isWarned = known[one.order_id]?.isWarned ?? false;
    const isNear = endsSoon(one, now());
    if (isNear && !isWarned) warn(one);
    open[one.order_id] = { what: kindOf(one, one.side).split(",")[0] ?? "", market: one.market, isWarned: isWarned || isNear };
  }
  const gone = Object.entries(known).filter(([id]) => open[id] === undefined);
  // What is gone stays known until the node has said what became of it.
  keep(seen.account, { ...Object.fromEntries(gone), ...open });
  const unasked = gone.filter(([id]) => !asked.has(id));
  if (unasked.length > 0) tell(seen.account, new Map(unasked)).catch(() => {});
}

/** @param {number} of @param {Record<string, Guard>} guards */
function keep(of, guards) {
  if (JSON.stringify(guards) !== JSON.stringify(kept.peek()[of] ?? {})) kept.value = { ...kept.peek(), [of]: guards };
}

/** @param {OpenOrder} one */
function warn(one) {
  const what = kindOf(one, one.side).split(",")[0];
  say("wrong", `A ${what} in ${one.market} ends ${relative(one.expires_at_ms, now())}`, `At ${dayAndTime(one.expires_at_ms)} it leaves, and guards nothing any more. Change it in Open orders, and it lives anew.`);
}

/** Orders that the node is just asked about. @type {Set<string>} */
const asked = new Set();

/** @param {number} of @param {Map<string, Guard>} gone */
async function tell(of, gone) {
  for (const id of gone.keys()) asked.add(id);
  try {
    const { orders } = await api.call("catenary_orderHistory", { account: of, limit: ASKED });
    told(orders, gone);
    keep(of, Object.fromEntries(Object.entries(kept.peek()[of] ?? {}).filter(([id]) => !gone.has(id))));
  } finally {
    for (const id of gone.keys()) asked.delete(id);
  }
}

/** @param {import("../wire").OrderResult[]} orders @param {Map<string, Guard>} gone */
function told(orders, gone) {
  for (const one of orders) {
    const guard = gone.get(one.order_id);
    const end = endOf(one);
    if (guard === undefined || end === null || !end.isUnasked) continue;
    const filled = one.filled_lots > 0 ? "filled in part" : "unfilled";
    say("wrong", `A ${guard.what} in ${guard.market} has ended, ${filled}`, `${sentenceOf(end.reason)} ${end.at === null ? "" : `${dayAndTime(end.at)}. `}It guards nothing any more.`);
  }
}
