/** Practice with play money in six steps, with the pool beside it as it moves. */
import { useEffect, useMemo, useRef } from "preact/hooks";
import { api, useFeed } from "../feeds.js";
import { html } from "../html.js";
import { Gauge } from "../pictures/gauge.js";
import { standingOf } from "../pictures/gauge_words.js";
import { PoolPicture } from "../pictures/pool.js";
import { Previewer } from "../preview.js";
import { addressOf, place } from "../venue.js";
import { imagine, imagined } from "./imagined.js";
import { Panel } from "./panel.js";
import { again, doing, goOn, progress, turn, wrong } from "./practice_play.js";
import { held, LONG, LONG_PPM, orderOf, SHORT, SHORT_PPM, STEPS } from "./practice_steps.js";
import { Untold } from "./untold.js";
import { Becomes } from "./value.js";
import { dollars } from "../format.js";

export function Practice() {
  if (!place.is_devnet) {
    return html`<${Panel} title="Practice"><p>Money is real here. <code>catenary practice</code> plays six steps with play money, on a devnet of its own; <code>make run</code> brings one up, with this page.</p><//>`;
  }
  const at = progress();
  const end = useRef(/** @type {HTMLElement | null} */ (null));
  const isOver = at.step === STEPS.length;
  const was = useRef(isOver);
  useEffect(() => {
    // Whose button was the last one reads on here.
    if (isOver && !was.current) end.current?.focus({ preventScroll: true });
    was.current = isOver;
  }, [isOver]);
  return html`<${Panel}
    title="Practice with play money"
    actions=${at.step > 0 && html`<button type="button" class="plain" disabled=${doing.value !== ""} onClick=${again}>Begin again</button>`}
  >
    <div class="practice">
      <ol class="practice-steps">
        ${STEPS.map((one, index) => html`<${Step} key=${one.title} index=${index} at=${at} />`)}
      </ol>
      <${Beside} of=${at.account} step=${at.step} isDone=${at.isDone} />
    </div>
    ${isOver &&
    html`<p class="practice-end" role="status" tabindex="-1" ref=${end}>That was all of it: deposit, pool, call, liquidation, exit. <a href=${addressOf("trade", LONG)}>Trade</a>, or look at <a href=${addressOf("pool")}>a pool</a> with the shock slider.</p>`}
  <//>`;
}

/** @param {{index: number, at: import("./practice_steps.js").Progress}} props */
function Step({ index, at }) {
  const step = STEPS[index];
  if (step === undefined) return null;
  const standing = index < at.step ? "passed" : index === at.step ? "current" : "to come";
  return html`<li class="practice-step ${standing.replace(" ", "-")}" aria-current=${standing === "current" ? "step" : null}>
    <h3>${index + 1}. ${step.title}<span class="sr"> (${standing})</span></h3>
    ${standing === "current" && html`<${Current} step=${step} at=${at} />`}
  </li>`;
}

/** @param {{step: import("./practice_steps.js").Step, at: import("./practice_steps.js").Progress}} props */
function Current({ step, at }) {
  const button = useRef(/** @type {HTMLButtonElement | null} */ (null));
  const seen = useFeed(at.account === null ? null : `account:${at.account}`);
  const part = step.then && held(seen, LONG) ? step.then : step;
  // Who goes on by the keyboard stays at the button that goes on.
  useEffect(() => {
    if (at.step > 0 || at.isDone) button.current?.focus({ preventScroll: true });
  }, [at.step, at.isDone, part]);
  // A margin call comes in above it, and on a phone would push it out of sight.
  const level = seen ? standingOf(seen.margin_ratio_ppm, seen.margin_call_percent).step : 0;
  useEffect(() => {
    const drawn = requestAnimationFrame(() => {
      if (button.current === document.activeElement) button.current?.scrollIntoView({ block: "nearest" });
    });
    return () => cancelAnimationFrame(drawn);
  }, [at.step, at.isDone, part, level]);
  if (at.isDone) {
    return html`<div role="status">${at.told.map((one) => html`<p key=${one} class="practice-told">${one}</p>`)}</div>
      <p>${step.seen}</p>
      <button type="button" class="main" ref=${button} onClick=${turn}>${at.step + 1 === STEPS.length ? "Finish" : "Go on"}</button>`;
  }
  return html`<p>${part.ask}</p>
    <button type="button" class="main" ref=${button} disabled=${doing.value !== ""} onClick=${goOn}>${part.button}</button>
    <p class="practice-doing" role="status">${doing.value && `${doing.value} …`}</p>
    ${wrong.value && html`<p class="loss" role="alert">${wrong.value}</p>`}`;
}

/** The pool of the account that is practised with. @param {{of: number | null, step: number, isDone: boolean}} props */
function Beside({ of, step, isDone }) {
  const seen = useFeed(of === null ? null : `account:${of}`);
  const markets = useFeed("prices");
  const ahead = useMemo(() => new Previewer((operation, opened) => api.call("catenary_preview", { operation, opened_with_micros: opened })), []);
  // What the second step is about to do, each of its orders before it is sent.
  const isSecond = held(seen, LONG) !== undefined;
  const name = isSecond ? SHORT : LONG;
  useEffect(() => imagine(ahead.seen, isSecond ? "with ETH sold" : "with BTC bought"), [ahead, isSecond]);
  const market = markets?.find((/** @type {{name: string}} */ one) => one.name === name);
  const isAhead = step === 1 && !isDone && seen && market && !held(seen, name);
  useEffect(() => {
    ahead.want(isAhead ? orderOf(seen, market, isSecond ? "sell" : "buy", isSecond ? SHORT_PPM : LONG_PPM) : null);
  }, [isAhead, isSecond, market?.tick_time_ms]);
  if (of === null) return html`<div class="practice-pool soft"><p>Your pool will stand here.</p></div>`;
  if (seen === undefined) return html`<div class="practice-pool"><${Untold} of=${of} /></div>`;
  const { after, isOld } = imagined(of);
  return html`<div class="practice-pool" data-account=${of}>
    <${Gauge}
      big=${true}
      ratio=${seen.margin_ratio_ppm}
      call=${seen.margin_call_percent}
      after=${after && { ratio: after.margin_ratio_ppm, call: after.margin_call_percent }}
      isOld=${isOld}
    />
    <${PoolPicture} seen=${seen} after=${after} isOld=${isOld} markets=${markets} name="practice" />
    <dl class="practice-numbers">
      <div><dt>Equity</dt><dd><${Becomes} before=${dollars(seen.equity_micros)} after=${after && dollars(after.equity_micros)} isOld=${isOld} name="equity" /></dd></div>
      <div><dt>Has to stay</dt><dd><${Becomes} before=${dollars(seen.maintenance_micros)} after=${after && dollars(after.maintenance_micros)} isOld=${isOld} name="maintenance" /></dd></div>
      <div><dt>Free</dt><dd><${Becomes} before=${dollars(seen.free_collateral_micros)} after=${after && dollars(after.free_collateral_micros)} isOld=${isOld} name="free_collateral" /></dd></div>
    </dl>
  </div>`;
}
