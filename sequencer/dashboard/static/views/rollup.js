/** The rollup below the venue: batches on L1, what was disputed and forced, whether the node is well, and proofs. */
import { useEffect, useState } from "preact/hooks";
import { html } from "../html.js";
import { api, useFeed } from "../feeds.js";
import { decimal, exactTime, relative, short } from "../format.js";
import { Checks } from "../parts/connect.js";
import { Disputes } from "../parts/disputes.js";
import { Panel } from "../parts/panel.js";
import { ProofSteps } from "../parts/proof_steps.js";
import { InsuranceFunds, Ranking } from "../parts/rankings.js";
import { L1Costs, useCosts } from "../parts/l1_costs.js";
import { Forced, Withdrawals } from "../parts/withdrawals.js";
import { account, askStatus, now, place, second, status } from "../venue.js";
import { heard, UNHEARD, wordOf } from "../verdicts.js";

const SHOWN = 12;

export function Rollup() {
  const markets = useFeed("prices") ?? [];
  const found = useFeed(account.value === null ? null : `account:${account.value}`);
  const said = useVerdicts();
  return html`<h1 class="sr">Rollup</h1>
    <div class="stack">
      <${Panel} title="Node" area="node"><${Node} /><//>
      <${Panel} title="Your proof" area="proof"><${ProofSteps} markets=${markets} /><//>
      <${Panel} title="Past the sequencer" area="forced"><${Forced} markets=${markets} positions=${found?.positions ?? []} /><//>
      <${Panel} title="Insurance and deleveraging" area="funds"><${InsuranceFunds} markets=${markets} positions=${found?.positions ?? []} /><//>
      <${Panel} title="Deleveraging ranks" area="ranks"><${Ranking} markets=${markets} /><//>
    </div>
    <div class="stack">
      <${Panel} title="Batches" area="batches"><${Batches} said=${said} /><//>
      <${Panel} title="Withdrawals"><${Withdrawals} /><//>
      <${Panel} title="Queue from L1" area="queue"><${Queue} /><//>
      <${Panel} title="Disputes" area="disputes"><${Disputes} said=${said} /><//>
    </div>`;
}

function Node() {
  const told = status.value;
  if (told === null) return html`<p class="soft">Waiting for the node.</p>`;
  return html`<dl class="node-facts">
      <dt>State</dt><dd>${told.ready ? "✓ ready" : "✗ not ready"}</dd>
      <dt>Sequenced</dt><dd>chunk ${told.sequenced.chunk}</dd>
      <dt>Posted</dt><dd>batch ${told.posted.batch}</dd>
      <dt>Final</dt><dd>batch ${told.final.batch}</dd>
      <dt>L1 block</dt><dd>${told.l1_block}</dd>
      <dt>Bridge</dt><dd class="mono" title=${told.rollup_address}>${short(told.rollup_address)}</dd>
    </dl>
    <ul>${told.reasons.map((one) => html`<li key=${one.code} class="loss">${one.code}: ${one.sentence}</li>`)}</ul>
    <${Checks} />`;
}

const ASKED_EVERY_MS = 5_000;

/** What the challenger says, asked again and again while it is shown. @returns {import("../verdicts.js").Verdicts} */
function useVerdicts() {
  const [found, setFound] = useState(UNHEARD);
  const [chain_id, rollup_address] = [status.value?.chain_id, status.value?.rollup_address];
  useEffect(() => {
    if (!place.challenger_url || chain_id === undefined || rollup_address === undefined) return undefined;
    let [before, isOver] = [UNHEARD, false];
    const ask = async () => {
      before = await heard(place.challenger_url, { chain_id, rollup_address }, before);
      if (isOver) return;
      setFound(before);
      later = setTimeout(ask, ASKED_EVERY_MS);
    };
    /** @type {ReturnType<typeof setTimeout>} */
    let later = setTimeout(ask);
    return () => {
      isOver = true;
      clearTimeout(later);
    };
  }, [chain_id, rollup_address]);
  return found;
}

/** @param {{one: import("../verdicts.js").Judged | undefined}} props */
function Said({ one }) {
  const { word, look, title } = wordOf(one);
  return html`<td class=${look} title=${title}>${word}</td>`;
}

/** @param {{said: import("../verdicts.js").Verdicts}} props */
function Batches({ said }) {
  /** @type {import("../wire").BatchView[]} */
  const batches = (useFeed("batches") ?? []).slice(0, SHOWN);
  const costs = useCosts(batches).value;
  const isNamed = place.challenger_url !== "";
  // What is said of the node beside it is of the same moment.
  useEffect(() => void askStatus().catch(() => {}), [batches[0]?.batch_hash]);
  const final = status.value?.final.batch ?? -1;
  second.value;
  return html`${said.trouble && html`<p class="warning" role="status">${said.trouble}</p>`}
  <div class="scroll" tabindex="0" role="region" aria-label="Table: Batches"><table class=${isNamed ? "judged" : ""}>
    <thead><tr><th>Batch</th><th>Life</th>${isNamed && html`<th>Challenger</th>`}<th>Posted</th><th>Chunks</th><th>Bytes</th><th>Gas</th><th>Ether</th></tr></thead>
    <tbody>
      <tr><td>next</td><td><${Life} finality="sequenced" /></td>${isNamed && html`<td></td>`}<td></td><${Chunks} count=${status.value && Math.max(0, status.value.sequenced.chunk - status.value.posted.chunks)} /><td></td><td></td><td></td></tr>
      ${batches.map((one, at) => {
        const cost = costs[one.batch_hash];
        const committed = 1000 * one.committed_at;
        // By its place: rows stand still, and what they say moves on.
        return html`<tr key=${at}><td title=${one.root}>${one.number}</td><td><${Life} finality=${one.number <= final ? "final" : "posted"} /></td>${isNamed && html`<${Said} one=${said.judged.get(one.batch_hash.toLowerCase())} />`}
          <td title=${exactTime(committed)}>${relative(committed, now())}</td><${Chunks} count=${one.chunks} /><td data-label="bytes">${one.bytes.toLocaleString()}</td>
          <td data-label="gas">${cost ? cost.gas.toLocaleString() : "—"}</td><td class="ether" data-label="ether">${cost ? decimal(cost.wei / 10n ** 12n, 6) : "—"}</td></tr>`;
      })}
    </tbody>
  </table></div>
  <${L1Costs} />`;
}

/** @param {{count: number | null}} props null: not known yet */
function Chunks({ count }) {
  return html`<td class="chunks" data-label=${count === 1 ? "chunk" : "chunks"}>${count ?? "—"}</td>`;
}

const STATES = ["sequenced", "posted", "final"];

/** @param {{finality: string}} props */
function Life({ finality }) {
  const reached = STATES.indexOf(finality);
  return html`<span class="life"><span aria-hidden="true">${STATES.map((_, at) => html`<i key=${at} class=${at <= reached ? "on" : ""}></i>`)}</span>${finality}</span>`;
}

function Queue() {
  const [found, setFound] = useState(/** @type {import("../wire").QueueView | null} */ (null));
  const count = status.value?.sequenced.queue_count;
  useEffect(() => {
    api.call("catenary_queue", { limit: SHOWN }).then(setFound, () => {});
  }, [count]);
  if (found === null || found.entries.length === 0) return html`<p class="soft">Nothing has entered from L1.</p>`;
  return html`<p class="soft">${found.done} entries are done.${found.head ? ` One is under way: account ${found.head.account}.` : ""}</p>
    <div class="scroll" tabindex="0" role="region" aria-label="Table: Queue from L1"><table>
      <thead><tr><th>Entry</th><th>What</th><th>Account</th><th>By</th><th>Came to</th></tr></thead>
      <tbody>${found.entries.map((one) => html`<tr key=${one.index}><td>${one.index}</td><td>${one.operation}</td><td>${one.account ?? "—"}</td><td title=${one.sender}>${one.sender ? short(one.sender) : "—"}</td><td title=${one.sentence}>${one.done ? one.name : "under way"}</td></tr>`)}</tbody>
    </table></div>`;
}
