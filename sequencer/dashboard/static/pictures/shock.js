/**
 * What if prices move: each position's bar ends where it would be closed, the path of equity stands above, and one
 * shock is looked at closely. Every point is the node's answer; nothing here knows margin.
 *
 * @import {AccountView, MarketView, Shocked} from "../wire"
 * @import {Samples} from "./shock_shape.js"
 */
import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { api } from "../feeds.js";
import { basisPoints } from "../format.js";
import { html } from "../html.js";
import { remembered } from "../memory.js";
import { Panel } from "../parts/panel.js";
import { Outcome } from "../parts/shock_outcome.js";
import { hue, second } from "../venue.js";
import { Sampler } from "./shock_samples.js";
import { across, barPath, bars, LEAST_BP, linePath, MOST_BP, paths } from "./shock_shape.js";

const ALL = "all";
const BY_BETAS = "betas";
const FRESH_MS = 30_000;
// Funding that is due moves the collateral by a little with each tick: that is no other picture.
const COARSE_MICROS = 10_000_000n;
const STEP_BP = 50;

const mode = remembered("shock.mode", ALL);
/** Percent of the move, by market. @type {import("@preact/signals").Signal<Record<string, number>>} */
const betas = remembered("shock.betas", {});
const shock = signal(0);
const sampler = new Sampler();

/** An account at the shock that is looked at; null where that is none. @param {AccountView} seen @returns {Shocked | null} */
export function shockedOf(seen) {
  const { key, shocks } = sampler.seen.value;
  // What was told of another account, or before the last position went, is nothing of this one.
  if (shock.value === 0 || seen.positions.length === 0 || !key.startsWith(`${seen.account}:`)) return null;
  return shocks.get(shock.value) ?? null;
}

/** Whose account, which markets move by how much. @param {AccountView} seen */
function useSamples(seen) {
  const of = mode.value === BY_BETAS ? JSON.stringify(betas.value) : "";
  const key = `${seen.account}:${mode.value}:${of}`;
  const held = seen.positions.map((one) => `${one.market}${one.size_lots}`).join(" ");
  // What is seen at other prices is another picture, but not with each tick.
  const moment = document.hidden ? 0 : Math.floor(second.value / FRESH_MS);
  useEffect(() => {
    const markets = new Set(seen.positions.map((one) => one.market));
    const betas_bp = Object.fromEntries(Object.entries(betas.peek()).filter(([name]) => markets.has(name)).map(([name, beta]) => [name, Math.round(beta * 100)]));
    const question = mode.peek() === ALL ? {} : mode.peek() === BY_BETAS ? { betas_bp } : { market: mode.peek() };
    sampler.want(
      seen.positions.length === 0
        ? null
        : { key, positions: seen.positions, ask: (shock_bp) => api.call("catenary_contribution", { account: seen.account, shock_bp, ...question }) },
    );
  }, [key, held, String(BigInt(seen.collateral_micros) / COARSE_MICROS), moment]);
  useEffect(() => sampler.look(shock.value), [shock.value]);
  useEffect(() => () => sampler.want(null), []);
  const { key: shown, shocks } = sampler.seen.value;
  return shown === key ? shocks : new Map();
}

/** @param {{seen: AccountView, markets: MarketView[] | undefined}} props */
export function ShockView({ seen, markets }) {
  const isListed = mode.value === ALL || mode.value === BY_BETAS || seen.positions.some((one) => one.market === mode.value);
  useEffect(() => {
    if (!isListed) mode.value = ALL;
  }, [isListed]);
  const samples = useSamples(seen);
  if (seen.positions.length === 0) return null;
  return html`<${Panel} title="What if prices move" area="shock" actions=${html`<${Modes} seen=${seen} />`}>
    ${mode.value === BY_BETAS && html`<${Betas} seen=${seen} />`}
    <div class="shock" onClick=${chosen}>
      <${Path} samples=${samples} />
      ${bars(samples, seen.positions).map((bar) => html`<${Row} key=${bar.market} bar=${bar} look=${hue(markets, bar.market)} />`)}
    </div>
    <${Slider} />
    <${Outcome} seen=${seen} shocked=${shockedOf(seen)} shock=${shock.value} markets=${markets} clear=${() => (shock.value = 0)} />
  <//>`;
}

/** @param {{seen: AccountView}} props */
function Modes({ seen }) {
  return html`<label class="modes"><span class="sr">Which prices move</span>
    <select value=${mode.value} onChange=${(/** @type {any} */ event) => (mode.value = event.currentTarget.value)}>
      <option value=${ALL}>all prices together</option>
      <option value=${BY_BETAS}>all, each by its beta</option>
      ${seen.positions.map((one) => html`<option key=${one.market} value=${one.market}>${one.market} alone</option>`)}
    </select>
  </label>`;
}

/** @param {{seen: AccountView}} props */
function Betas({ seen }) {
  return html`<fieldset class="betas">
    <legend class="soft">How much of the move each price makes. The law knows no betas: these are yours, kept in this browser.</legend>
    ${seen.positions.map(
      ({ market }) => html`<label key=${market}>${market} <input
          type="number" min="-1000" max="1000" step="5" inputmode="numeric"
          value=${betas.value[market] ?? 100}
          onChange=${(/** @type {any} */ event) => {
            const beta = Math.max(-1000, Math.min(1000, Number(event.currentTarget.value)));
            if (Number.isFinite(beta)) betas.value = { ...betas.peek(), [market]: beta };
          }}
        /> %</label>`,
    )}
  </fieldset>`;
}

/** A click on the picture looks at the shock there. @param {MouseEvent} event */
function chosen(event) {
  const box = event.target instanceof Element ? event.target.closest("svg") : null;
  if (box === null) return;
  const { left, width } = box.getBoundingClientRect();
  const at = LEAST_BP + ((event.clientX - left) / width) * (MOST_BP - LEAST_BP);
  shock.value = Math.max(LEAST_BP, Math.min(MOST_BP, Math.round(at / STEP_BP) * STEP_BP));
}

/** @param {{samples: Samples}} props */
function Path({ samples }) {
  const { points, least, most } = paths(samples);
  const scale = { least, most };
  const line = (/** @type {"equity" | "maintenance"} */ key) => linePath(points.map((one) => ({ bp: one.bp, value: one[key] })), scale);
  const zero = linePath([{ bp: LEAST_BP, value: 0n }, { bp: MOST_BP, value: 0n }], scale);
  return html`<div class="shock-row path">
    <span class="shock-name">Equity<small class="soft">red: has to stay</small></span>
    <${Box}>
      <path class="zero" d=${zero} />
      <path class="stay" d=${line("maintenance")} />
      <path class="equity" d=${line("equity")} />
    <//>
  </div>`;
}

/** @param {{bar: import("./shock_shape.js").Bar, look: string}} props */
function Row({ bar, look }) {
  const told = bar.ends.map(({ from, step }) => `${step === "gone" ? "closed" : "partly closed"} from ${basisPoints(from)}`);
  return html`<div class="shock-row ${look}">
    <span class="shock-name">${bar.market}<small class="soft">${told.join(", ") || "stays open"}</small></span>
    <${Box}><path class="bar" d=${barPath(bar.points)} /><//>
  </div>`;
}

/** @param {{children?: any}} props */
function Box({ children }) {
  return html`<svg viewBox="0 0 1000 100" preserveAspectRatio="none" aria-hidden="true">
    ${children}
    <line class="now" x1=${across(0)} x2=${across(0)} y1="0" y2="100" />
    ${shock.value !== 0 && html`<line class="looked" x1=${across(shock.value)} x2=${across(shock.value)} y1="0" y2="100" />`}
  </svg>`;
}

function Slider() {
  return html`<div class="shock-row axis">
    <label class="shock-name" for="shock">Move <output class="number">${basisPoints(shock.value)}</output></label>
    <div>
      <input
        id="shock" type="range" min=${LEAST_BP} max=${MOST_BP} step=${STEP_BP}
        value=${shock.value}
        aria-valuetext=${`${basisPoints(shock.value)} of ${mode.value === ALL ? "all prices" : mode.value === BY_BETAS ? "all prices by their betas" : mode.value}`}
        onInput=${(/** @type {any} */ event) => (shock.value = Number(event.currentTarget.value))}
      />
      <div class="ticks soft" aria-hidden="true"><span>−50%</span><span>−25%</span><span>now</span><span>+25%</span><span>+50%</span></div>
    </div>
  </div>`;
}
