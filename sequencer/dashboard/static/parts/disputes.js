/** What was proven wrong on L1, by whom, and what fell with it; what the governor announced: L1's own events. */
import { useEffect, useState } from "preact/hooks";
import { askChain, venue } from "../chain.js";
import { api, link, useFeed } from "../feeds.js";
import { decimal, exactTime, relative, short } from "../format.js";
import { html } from "../html.js";
import { announcements, disputes } from "../l1events.js";
import { account, now, place, second } from "../venue.js";
import { wordOf } from "../verdicts.js";

const ASKED_EVERY_MS = 60_000;

/** @param {{said: import("../verdicts.js").Verdicts}} props */
export function Disputes({ said }) {
  const [found, setFound] = useState(/** @type {{rolled: import("../l1events.js").Dispute[], said: import("../l1events.js").Announced[]} | null} */ (null));
  const [wrong, setWrong] = useState("");
  /** @type {import("../wire").BatchView[]} */
  const [newest] = useFeed("batches") ?? [];
  // A roll-back moves the newest batch, and one that came and went between two looks is found a minute later.
  const due = Math.floor(second.value / ASKED_EVERY_MS);
  useEffect(() => {
    let isOver = false;
    const ask = async () => {
      const { identity, block } = await venue();
      return { rolled: await disputes(askChain, identity.bridge, block), said: await announcements(askChain, identity.bridge, block) };
    };
    ask().then(
      (heard) => {
        if (isOver) return;
        setFound(heard);
        setWrong("");
      },
      (error) => isOver || setWrong(`L1 does not say: ${error.message}`),
    );
    return () => {
      isOver = true;
    };
  }, [newest?.batch_hash, due]);
  if (found === null) return html`<p class=${wrong ? "warning" : "soft"}>${wrong || "Asking L1."}</p>`;
  return html`${wrong && html`<p class="warning" role="status">${wrong}. What stands here is what it said before.</p>`}
    ${found.rolled.length === 0 ? html`<p>No batch of this venue has been proven wrong.</p>` : null}
    <ul class="rolled-back">${found.rolled.map((one) => html`<li key=${one.batchHash}><${Undone} one=${one} judged=${said.judged.get(one.batchHash.toLowerCase())} /></li>`)}</ul>
    <${Void} />
    <ul>${found.said.map((one) => html`<li key=${one.announcement}>The governor announced a change (tag ${one.tag}): ${one.isRetracted ? "taken back" : `enactable ${relative(1000 * one.enactableAt, now())}`}</li>`)}</ul>
    <p class="soft">${place.challenger_url ? "These are L1's own events; what the challenger says stands beside each batch." : "These are L1's own events; no challenger is named (--challenger-url) whose verdicts would stand beside the batches."}</p>`;
}

/** One roll-back: what was claimed and by whom, who has proven it, and all that fell. @param {{one: import("../l1events.js").Dispute, judged: import("../verdicts.js").Judged | undefined}} props */
function Undone({ one, judged }) {
  const who = (/** @type {string} */ address) => html`<span class="mono" title=${address}>${short(address)}</span>`;
  return html`<strong>Batch ${one.batch} was rolled back</strong>, proven wrong in L1 block ${one.block} by ${who(one.prover)} for ${decimal(one.rewardWei / 10n ** 14n, 4)} ether.
    ${" "}${one.poster === null ? "L1's node has no log of who had posted it. " : html`${who(one.poster)} had posted it. `}Its chunk ${one.chunk} claimed ${one.claimedRoot.slice(0, 10)}…, replay gives ${one.replayedRoot.slice(0, 10)}….
    ${" "}${voidedWith(one)}${judged && html` The challenger: <span class=${wordOf(judged).look} title=${wordOf(judged).title}>${wordOf(judged).word}</span>.`}`;
}

/** @param {import("../l1events.js").Dispute} one */
function voidedWith({ batch, last }) {
  if (last === null) return "It and every batch behind it are void.";
  if (last === batch) return "It alone is void: nothing stood on it.";
  return last === batch + 1 ? `Void with it: batch ${last}, which stood on it.` : `Void with it: batches ${batch + 1} to ${last}, which stood on it.`;
}

/** What was acknowledged to the account that is looked at, and L1 can never take. */
function Void() {
  const [found, setFound] = useState(/** @type {import("../wire").VoidedView[]} */ ([]));
  const of = account.value;
  const seen = useFeed(of === null ? null : `account:${of}`);
  const hasAny = seen?.has_voided ?? false;
  useEffect(() => {
    let isOver = false;
    setFound([]);
    if (of !== null && hasAny) api.call("catenary_voided", { account: of }).then((told) => isOver || setFound(told), () => {});
    return () => {
      isOver = true;
    };
  }, [of, hasAny, link.value]);
  if (found.length === 0) return null;
  return html`<p class="warning">Of account ${of} this had been taken and is void, as if it had never been sent:</p>
    <ul class="void">${found.map((one) => html`<li key=${`${one.slot} ${one.sequence}`}>${one.operation.replaceAll("_", " ")}${one.order_id && html` <span class="mono" title=${one.order_id}>${one.order_id.slice(-6)}</span>`}, void ${relative(one.voided_at_ms, now())}: ${afresh(one)}</li>`)}</ul>`;
}

/** @param {import("../wire").VoidedView} one */
function afresh(one) {
  const mayBeSent = one.send_again !== "sign_anew" && one.expires_at_ms > now();
  return mayBeSent ? `whoever has its signature may send it again until ${exactTime(one.expires_at_ms)}` : "send it anew if you still want it";
}
