/**
 * Candles, with the account's own orders and liquidation price as lines. Drawn by lightweight-charts, which numbers are
 * given to as floats: a picture, never what money is reckoned with.
 *
 * @import {CandleView, MarketView} from "../wire"
 * @import {IChartApi, IPriceLine, ISeriesApi, UTCTimestamp} from "lightweight-charts"
 */
import { CandlestickSeries, createChart, HistogramSeries, LineStyle } from "lightweight-charts";
import { useEffect, useRef } from "preact/hooks";
import { api, useFeed } from "../feeds.js";
import { decimal, price, size } from "../format.js";
import { html } from "../html.js";
import { remembered } from "../memory.js";
import { form, read, seen, seenAccount } from "../parts/drafting.js";
import { theme } from "../venue.js";

/** @typedef {"1m" | "5m" | "15m" | "1h" | "4h" | "1d"} Interval */
/** @type {Interval[]} */
const INTERVALS = ["1m", "5m", "15m", "1h", "4h", "1d"];
export const interval = remembered("candles-interval", /** @type {Interval} */ ("1m"));
/** Whether the scale makes room for all lines. */
const isFitted = remembered("candles-fitted", false);
export const source = remembered("candles-source", /** @type {"trades" | "oracle"} */ ("oracle"));
const PAGE = 300;

/** @param {{market: MarketView}} props */
export function Candles({ market }) {
  const box = useRef(/** @type {HTMLDivElement | null} */ (null));
  const chart = useRef(/** @type {Chart | null} */ (null));
  const key = `${market.name} ${interval.value} ${source.value}`;
  useEffect(() => {
    if (box.current === null) return;
    const made = new Chart(box.current, market, interval.value, source.value);
    chart.current = made;
    return () => {
      chart.current = null;
      made.remove();
    };
  }, [key]);
  useEffect(() => {
    const paint = () => chart.current?.paint();
    paint();
    // "auto" follows the system, which may change its mind.
    const system = matchMedia("(prefers-color-scheme: light)");
    system.addEventListener("change", paint);
    return () => system.removeEventListener("change", paint);
  }, [theme.value, key]);
  const told = useFeed(source.value === "trades" ? `candles:${market.name}:${interval.value}` : null);
  useEffect(() => {
    if (told) chart.current?.put(told);
  }, [told, key]);
  // Of oracle prices there is no feed: each tick asks for the newest two.
  useEffect(() => {
    if (source.value === "oracle") chart.current?.renew();
  }, [market.tick_time_ms, key]);
  useEffect(() => chart.current?.lines(linesOf(market), isFitted.value));
  return html`<div class="candles" ref=${box} role="img" aria-label="Candles of ${market.name}, ${interval.value}, by ${source.value === "oracle" ? "oracle prices" : "trades"}; now ${price(market.price_ticks, market)}"></div>`;
}

/**
 * A line: what it is called, where, and how it looks.
 * @typedef {{key: string, title: string, ticks: number, look: "buy" | "sell" | "danger" | "draft" | "entry"}} Line
 */

/** @param {MarketView} market @returns {Line[]} */
function linesOf(market) {
  const account = seenAccount.value;
  /** @type {Line[]} */
  const lines = [];
  for (const one of account?.open_orders ?? []) {
    if (one.market !== market.name) continue;
    const isWaiting = one.trigger !== 0;
    const ticks = isWaiting ? one.trigger_price_ticks : one.limit_price_ticks;
    lines.push({ key: one.order_id, title: `${one.side} ${size(one.remaining_lots, market)}${isWaiting ? " trigger" : ""}`, ticks, look: one.side });
  }
  const held = account?.positions.find((one) => one.market === market.name);
  if (held) {
    const lots = BigInt(held.size_lots);
    lines.push({ key: "entry", title: "entry", ticks: Math.abs(Number(BigInt(held.cost_micros) / lots)), look: "entry" });
    if (held.liquidation_price_ticks !== null) lines.push({ key: "liquidation", title: "liquidation", ticks: Number(held.liquidation_price_ticks), look: "danger" });
  }
  const will = seen.value.preview?.after.positions.find((one) => one.market === market.name)?.liquidation_price_ticks;
  if (will !== undefined && will !== null && will !== held?.liquidation_price_ticks && seen.value.preview?.status !== "refused") {
    lines.push({ key: "will", title: "would be liquidated", ticks: Number(will), look: "danger" });
  }
  for (const [at, leg] of (read.value?.legs ?? []).entries()) {
    const ticks = Number(leg.operation.trigger ? leg.operation.trigger_price_ticks : leg.operation.limit_price_ticks);
    if (form.value.kind !== "market" || at > 0) lines.push({ key: `draft ${at}`, title: leg.isAfter ? "guard" : "this order", ticks, look: "draft" });
  }
  return lines.filter((one) => one.ticks > 0);
}

/** The chart behind the component: history page by page to the left, the newest at the right. */
class Chart {
  /**
   * @param {HTMLDivElement} box
   * @param {MarketView} market
   * @param {Interval} every
   * @param {"trades" | "oracle"} from
   */
  constructor(box, market, every, from) {
    /** @private */ this._market = market;
    /** @private */ this._asked = /** @type {const} */ ({ market: market.name, interval: every, source: from });
    /** @private */ this._scale = 10 ** market.price_decimals;
    /** @private @type {Map<number, CandleView>} */ this._candles = new Map();
    /** @private */ this._older = "";
    /** @private */ this._isAsking = false;
    /** @private */ this._isGone = false;
    /** @private @type {Map<string, {line: IPriceLine, said: string}>} */ this._lines = new Map();
    /** @private @type {number[]} */ this._far = [];
    /** @private @type {IChartApi} */
    this._chart = createChart(box, {
      autoSize: true,
      layout: { attributionLogo: false, fontSize: 11 },
      rightPriceScale: { borderVisible: false, scaleMargins: { top: 0.08, bottom: 0.2 } },
      timeScale: { borderVisible: false, timeVisible: true, secondsVisible: false, rightOffset: 4, barSpacing: 8, tickMarkFormatter: tickMark },
      localization: { timeFormatter: (/** @type {any} */ at) => new Date(at * 1000).toLocaleString() },
      crosshair: { mode: 0 },
    });
    const format = { type: /** @type {const} */ ("custom"), minMove: 1 / this._scale, formatter: (/** @type {number} */ at) => price(Math.round(at * this._scale), market) };
    /** @private @type {ISeriesApi<"Candlestick">} */
    this._series = this._chart.addSeries(CandlestickSeries, { priceFormat: format, borderVisible: false });
    /** @private @type {ISeriesApi<"Histogram">} */
    this._volume = this._chart.addSeries(HistogramSeries, { priceScaleId: "", priceFormat: { type: "volume" }, lastValueVisible: false, priceLineVisible: false });
    this._volume.priceScale().applyOptions({ scaleMargins: { top: 0.86, bottom: 0 } });
    this._chart.timeScale().subscribeVisibleLogicalRangeChange((range) => {
      if (range !== null && range.from < 10) this._ask(true);
    });
    this.paint();
    this._ask(false);
  }

  remove() {
    this._isGone = true;
    this._chart.remove();
  }

  /** Takes colours from the style sheet: one place for both themes. */
  paint() {
    const style = getComputedStyle(document.documentElement);
    /** @param {string} name */
    const token = (name) => style.getPropertyValue(name).trim();
    this._colours = { buy: token("--gain"), sell: token("--loss"), danger: token("--danger"), draft: token("--accent"), entry: token("--soft"), volume: token("--line") };
    const { buy, sell, volume } = this._colours;
    this._chart.applyOptions({
      layout: { background: { color: token("--surface") }, textColor: token("--soft") },
      grid: { vertLines: { color: token("--line"), style: LineStyle.SparseDotted }, horzLines: { color: token("--line"), style: LineStyle.SparseDotted } },
    });
    // Not by colour alone: what fell is filled, what rose is hollow.
    this._series.applyOptions({ upColor: token("--surface"), downColor: sell, wickUpColor: buy, wickDownColor: sell, borderVisible: true, borderUpColor: buy, borderDownColor: sell });
    this._volume.applyOptions({ color: volume });
    for (const { line } of this._lines.values()) this._series.removePriceLine(line);
    this._lines.clear();
  }

  /** @param {CandleView[]} candles new ones, or newer states of known ones */
  put(candles) {
    const newest = Math.max(0, ...this._candles.keys());
    for (const one of candles) this._candles.set(one.start_ms, one);
    const isLater = candles.length <= 2 && newest > 0 && candles.every((one) => one.start_ms >= newest);
    if (isLater) {
      for (const one of [...candles].sort((a, b) => a.start_ms - b.start_ms)) {
        this._series.update(this._bar(one));
        this._volume.update(this._column(one));
      }
      return;
    }
    const sorted = [...this._candles.values()].sort((a, b) => a.start_ms - b.start_ms);
    this._series.setData(sorted.map((one) => this._bar(one)));
    this._volume.setData(sorted.map((one) => this._column(one)));
  }

  /** Asks for the newest two. */
  renew() {
    if (this._candles.size === 0) return;
    api.call("catenary_candles", { ...this._asked, limit: 2 }).then(
      ({ candles }) => this._isGone || this.put(candles),
      () => {},
    );
  }

  /** @param {Line[]} lines @param {boolean} isFitted */
  lines(lines, isFitted) {
    const far = isFitted ? lines.map((one) => one.ticks / this._scale) : [];
    if (far.join() !== this._far.join()) {
      this._far = far;
      this._series.applyOptions({ autoscaleInfoProvider: (/** @type {() => import("lightweight-charts").AutoscaleInfo | null} */ own) => wider(own(), far) });
    }
    const said = new Map(lines.map((one) => [one.key, one]));
    for (const [key, { line }] of this._lines) {
      if (!said.has(key)) {
        this._series.removePriceLine(line);
        this._lines.delete(key);
      }
    }
    for (const one of lines) {
      const text = JSON.stringify(one);
      const known = this._lines.get(one.key);
      if (known?.said === text) continue;
      if (known) this._series.removePriceLine(known.line);
      const isThin = one.look === "draft" || one.look === "entry" || one.key === "will";
      const line = this._series.createPriceLine({
        price: one.ticks / this._scale, title: one.title, color: this._colours?.[one.look] ?? "", lineWidth: one.look === "danger" ? 2 : 1,
        lineStyle: isThin ? LineStyle.Dashed : LineStyle.Solid, axisLabelVisible: true,
      });
      this._lines.set(one.key, { line, said: text });
    }
  }

  /** @private @param {boolean} isOlder */
  async _ask(isOlder) {
    if (this._isAsking || this._isGone || (isOlder && this._older === "")) return;
    this._isAsking = true;
    try {
      const page = await api.call("catenary_candles", { ...this._asked, limit: PAGE, ...(isOlder ? { before: this._older } : {}) });
      if (this._isGone) return;
      this._older = page.older;
      this.put(page.candles);
    } catch {
      // It is asked for again with the next look to the left, or the next tick.
    } finally {
      this._isAsking = false;
    }
  }

  /** @private @param {CandleView} one */
  _bar(one) {
    return {
      time: /** @type {UTCTimestamp} */ (one.start_ms / 1000), open: Number(one.open_ticks) / this._scale, high: Number(one.high_ticks) / this._scale,
      low: Number(one.low_ticks) / this._scale, close: Number(one.close_ticks) / this._scale,
    };
  }

  /** @private @param {CandleView} one */
  _column(one) {
    return { time: /** @type {UTCTimestamp} */ (one.start_ms / 1000), value: Number(decimal(one.volume_lots, this._market.size_decimals)) };
  }
}

/**
 * A range that holds what else is to be seen.
 * @param {import("lightweight-charts").AutoscaleInfo | null} own
 * @param {number[]} prices
 */
function wider(own, prices) {
  if (own?.priceRange == null) return own;
  const { minValue, maxValue } = own.priceRange;
  return { ...own, priceRange: { minValue: Math.min(minValue, ...prices), maxValue: Math.max(maxValue, ...prices) } };
}

const clock = new Intl.DateTimeFormat(navigator.language || "en", { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const day = new Intl.DateTimeFormat(navigator.language || "en", { day: "numeric", month: "short" });
/** In this browser's time. @param {any} at @param {number} kind below 3: a day or more */
function tickMark(at, kind) {
  return (kind < 3 ? day : clock).format(at * 1000);
}

export function CandleChoices() {
  return html`<div class="choices" role="group" aria-label="Interval">
      ${INTERVALS.map((one) => html`<button type="button" class="chip" key=${one} aria-pressed=${interval.value === one} onClick=${() => (interval.value = one)}>${one}</button>`)}
    </div>
    <button type="button" class="chip fit" aria-pressed=${isFitted.value} title="Make room for the lines of orders and liquidation" onClick=${() => (isFitted.value = !isFitted.value)}>lines</button>
    <select aria-label="Prices of" value=${source.value} onChange=${(/** @type {any} */ event) => (source.value = event.currentTarget.value)}>
      <option value="oracle" selected=${source.value === "oracle"}>oracle</option>
      <option value="trades" selected=${source.value === "trades"}>trades</option>
    </select>`;
}

/** The credit that the charts' licence asks for. */
export function Credit() {
  return html`<p class="credit soft">Charts by <a href="https://www.tradingview.com/" target="_blank" rel="noopener noreferrer">TradingView</a></p>`;
}
