/**
 * The pool as one picture: what is there, what each position adds or eats, what has to stay, and where trouble begins.
 * As it would be lies over it as outlines. The list beside it says the same in words, so the picture itself is silent.
 *
 * @import {MarketView} from "../wire"
 * @import {Segment, Standing} from "./pool_shape.js"
 */
import { dollars } from "../format.js";
import { html } from "../html.js";
import { useWidth } from "../parts/width.js";
import { hue } from "../venue.js";
import { labelled, moves, place, scaleOf, shape } from "./pool_shape.js";

/** @typedef {{pool: {y: number, height: number}, needs: {y: number, height: number}, foot: number, height: number}} Rows */
/** @type {Rows} */
const LARGE = { pool: { y: 30, height: 44 }, needs: { y: 82, height: 34 }, foot: 122, height: 142 };
/** @type {Rows} */
const SMALL = { pool: { y: 22, height: 20 }, needs: { y: 45, height: 16 }, foot: 64, height: 80 };
// Pixels of a letter at the picture's size of type, for what has room; on the safe side.
const LETTER = 7.2;
const BEGINS = "liquidation";

/**
 * @param {{seen: Standing, after?: Standing | null, isOld?: boolean, markets: MarketView[] | undefined, name: string, isSmall?: boolean}} props
 * name: of this picture, once in the document
 */
export function PoolPicture({ seen, after = null, isOld = false, markets, name, isSmall = false }) {
  const rows = isSmall ? SMALL : LARGE;
  const [box, width] = useWidth(800);
  const now = shape(seen);
  const then = after === null ? null : shape(after);
  const scale = scaleOf(now, then);
  /** @param {Segment} one */
  const look = (one) => (one.market === null ? "" : hue(markets, one.market));
  const stands = [...now.pool, ...now.needs];
  const moved = { pool: then?.pool.filter((one) => moves(one, stands, scale)), needs: then?.needs.filter((one) => moves(one, stands, scale)) };
  const hues = [...new Set([...now.pool, ...now.needs, ...(then?.pool ?? []), ...(then?.needs ?? [])].map(look))];
  return html`<div class="pool-picture" ref=${box}>
    <svg aria-hidden="true" height=${rows.height} width="100%">
      <defs>${hues.filter(Boolean).map((one) => html`<${Hatch} key=${one} id=${`${name}-${one}`} look=${one} />`)}</defs>
      ${now.pool.map((one) => html`<${Part} key=${one.key} one=${one} row=${rows.pool} scale=${scale} look=${look(one)} name=${name} />`)}
      ${now.needs.map((one) => html`<${Part} key=${one.key} one=${one} row=${rows.needs} scale=${scale} look=${look(one)} name=${name} />`)}
      ${moved.pool?.map((one) => html`<${Outline} key=${one.key} one=${one} row=${rows.pool} scale=${scale} look=${look(one)} isOld=${isOld} />`)}
      ${moved.needs?.map((one) => html`<${Outline} key=${one.key} one=${one} row=${rows.needs} scale=${scale} look=${look(one)} isOld=${isOld} />`)}
      ${scale.least < 0n && html`<line class="zero" x1=${`${place(0n, scale)}%`} x2=${`${place(0n, scale)}%`} y1=${rows.pool.y - 4} y2=${rows.foot} />`}
      <${Marks} rows=${rows} marks=${now.marks} scale=${scale} width=${width} />
      ${now.pool.map((one) => html`<${Words} key=${one.key} one=${one} row=${rows.pool} scale=${scale} width=${width} seenTo=${now.equity} />`)}
      ${now.needs.map((one) => html`<${Words} key=${one.key} one=${one} row=${rows.needs} scale=${scale} width=${width} />`)}
      <${Edge} rows=${rows} at=${now.equity} scale=${scale} width=${width} words="equity" />
      ${then !== null && then.equity !== now.equity && html`<${Edge} rows=${rows} at=${then.equity} scale=${scale} width=${width} words="would be" beside=${now.equity} />`}
    </svg>
  </div>`;
}

/** Stripes of a market's colour: what is eaten, and what is needed to grow. @param {{id: string, look: string}} props */
function Hatch({ id, look }) {
  return html`<pattern id=${id} class=${look} width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
    <rect class="hatch-ground" width="7" height="7" /><rect class="hatch-line" width="3" height="7" />
  </pattern>`;
}

/** @param {bigint} from @param {bigint} to @param {{least: bigint, most: bigint}} scale */
function span(from, to, scale) {
  const x = place(from, scale);
  return { x: `${x}%`, width: `${Math.max(0, place(to, scale) - x)}%` };
}

/** @param {Segment} one */
const isHatched = (one) => one.kind === "loss" || one.kind === "initial";

/**
 * One segment.
 * @param {{one: Segment, row: {y: number, height: number}, scale: {least: bigint, most: bigint}, look: string, name: string}} props
 */
function Part({ one, row, scale, look, name }) {
  return html`<g class="part ${one.kind} ${look}">
    <rect y=${row.y} height=${row.height} style=${{ ...span(one.from, one.to, scale), fill: isHatched(one) ? `url(#${name}-${look})` : undefined }} />
  </g>`;
}

/**
 * A segment's words where there is room, over all segments: what eats another is drawn over it.
 * @param {{one: Segment, row: {y: number, height: number}, scale: {least: bigint, most: bigint}, width: number, seenTo?: bigint}} props
 * seenTo: losses lie over what is right of it
 */
function Words({ one, row, scale, width, seenTo }) {
  const isEaten = one.kind !== "loss" && seenTo !== undefined && seenTo < one.to;
  const bare = span(one.from, isEaten ? seenTo : one.to, scale);
  const pixels = (Number.parseFloat(bare.width) / 100) * width;
  const text = wordsOf(one).find((each) => each.length * LETTER + 12 < pixels);
  if (text === undefined) return null;
  const middle = `${Number.parseFloat(bare.x) + Number.parseFloat(bare.width) / 2}%`;
  return html`<text x=${middle} y=${row.y + row.height / 2 + 5} text-anchor="middle" class="words ${one.kind} ${isHatched(one) ? "on-hatch" : ""}">${text}</text>`;
}

/** The same in fewer words each. @param {Segment} one @returns {string[]} */
function wordsOf(one) {
  const size = dollars(one.to - one.from, { digits: 0 });
  switch (one.kind) {
    case "gain":
      return [`${one.market} +${size}`, `+${size}`, `${one.market} +`];
    case "loss":
      return [`${one.market} −${size}`, `−${size}`, `${one.market} −`];
    case "maintenance":
      return [`${one.market} has to stay ${size}`, `${one.market} ${size}`, `${one.market}`];
    case "initial":
      return [`${one.market} to grow ${size}`, `+${size}`];
    case "reserved":
      return [`orders ${size}`, "orders"];
    case "free":
      return [`free ${size}`, "free"];
    default:
      return [`${one.kind} ${dollars(one.to - one.from, { digits: 0 })}`, one.kind];
  }
}

/** @param {{one: Segment, row: {y: number, height: number}, scale: {least: bigint, most: bigint}, look: string, isOld: boolean}} props */
function Outline({ one, row, scale, look, isOld }) {
  return html`<rect
    class="outline ${one.kind} ${look} ${isOld ? "old" : ""}"
    y=${row.y - 3}
    height=${row.height + 6}
    style=${span(one.from, one.to, scale)}
  />`;
}

/** @param {{rows: Rows, marks: {percent: number, at: bigint}[], scale: {least: bigint, most: bigint}, width: number}} props */
function Marks({ rows, marks, scale, width }) {
  const said = labelled(marks, scale, width, (percent) => LETTER * (percent === 100 ? BEGINS.length : 4) + 8);
  return html`${marks.map(({ percent, at }) => {
    const x = place(at, scale);
    const text = percent === 100 ? BEGINS : `${percent}%`;
    return html`<g key=${percent} class="mark ${percent === 100 ? "end" : ""}">
      <line x1=${`${x}%`} x2=${`${x}%`} y1=${rows.pool.y - (percent === 100 ? 8 : 0)} y2=${rows.foot} />
      ${said.has(percent) && html`<text x=${`${x}%`} y=${rows.foot + 13} text-anchor=${anchor(x, width, text)}>${text}</text>`}
    </g>`;
  })}`;
}

/**
 * Where equity ends. `beside`: where other words stand already.
 * @param {{rows: Rows, at: bigint, scale: {least: bigint, most: bigint}, width: number, words: string, beside?: bigint}} props
 */
function Edge({ rows, at, scale, width, words, beside }) {
  const x = place(at, scale);
  const text = `${words} ${dollars(at, { digits: 0 })}`;
  const far = beside === undefined ? width : (Math.abs(x - place(beside, scale)) / 100) * width;
  const hasRoom = far > (text.length + 12) * LETTER;
  return html`<g class="edge ${beside === undefined ? "" : "then"}">
    <line x1=${`${x}%`} x2=${`${x}%`} y1=${rows.pool.y - 7} y2=${rows.needs.y + rows.needs.height + 2} />
    ${hasRoom && html`<text x=${`${x}%`} y=${rows.pool.y - 11} text-anchor=${anchor(x, width, text)}>${text}</text>`}
  </g>`;
}

/** Words stay inside the picture. @param {number} x percent @param {number} width @param {string} text */
function anchor(x, width, text) {
  const half = (text.length * LETTER) / 2;
  const at = (x / 100) * width;
  return at < half ? "start" : at > width - half ? "end" : "middle";
}
