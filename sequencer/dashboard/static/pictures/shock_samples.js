/**
 * Asks the node for one shock after the other, never two at a time, at a bounded rate; what is looked at comes first.
 *
 * @import {Contribution, PositionView, Shocked} from "../wire"
 */
import { signal } from "@preact/signals";
import { ApiError } from "../api.js";
import { grid, nextBetween } from "./shock_shape.js";

// Of five hundred tokens a second that a connection has; the page's other questions come in between.
const PAUSE_MS = 30;
// Of closings that are looked for by halving: some steps for each of a few positions.
const MOST = 80;

/** @typedef {{key: string, shocks: ReadonlyMap<number, Shocked>, isWhole: boolean}} Sampled key: of the question */
/** @typedef {{key: string, positions: PositionView[], ask: (shock_bp: number) => Promise<Contribution>}} Question */

export class Sampler {
  /** @param {(ms: number) => Promise<void>} [pause] */
  constructor(pause = (ms) => new Promise((done) => setTimeout(done, ms))) {
    /** @type {import("@preact/signals").Signal<Sampled>} */
    this.seen = signal({ key: "", shocks: new Map(), isWhole: false });
    /** @private */ this._pause = pause;
    /** @private @type {Question | null} */ this._question = null;
    /** @private @type {Map<number, Shocked>} */ this._fresh = new Map();
    /** @private */ this._looked = 0;
    /** @private */ this._isAsking = false;
  }

  /**
   * Asks anew, as of now. Of the same key what is known stands until all of it is told anew, so that the picture is of
   * one moment; what is known of another key is dropped.
   * @param {Question | null} question
   */
  want(question) {
    this._question = question;
    this._fresh = new Map();
    if (question !== null && question.key !== this.seen.peek().key) {
      this.seen.value = { key: question.key, shocks: new Map(), isWhole: false };
    }
    this._go();
  }

  /** The shock that is looked at, which is asked for before all others. @param {number} shock_bp */
  look(shock_bp) {
    this._looked = shock_bp;
    this._go();
  }

  /** @private @returns {number | null} */
  _next() {
    if (this._question === null) return null;
    if (!this._fresh.has(this._looked)) return this._looked;
    const missing = grid().find((one) => !this._fresh.has(one));
    if (missing !== undefined) return missing;
    return this._fresh.size < MOST ? nextBetween(this._fresh, this._question.positions) : null;
  }

  /** @private */
  async _go() {
    if (this._isAsking) return;
    this._isAsking = true;
    try {
      for (let shock = this._next(); shock !== null; shock = this._next()) {
        const question = /** @type {Question} */ (this._question);
        const found = await answered(question, shock);
        if (question === this._question) {
          // Who does not answer now is asked when there is something new.
          if (found === null) return;
          this._fresh.set(shock, found);
          this._tell(question.key, shock, found);
        }
        await this._pause(PAUSE_MS);
      }
    } finally {
      this._isAsking = false;
    }
  }

  /** @private @param {string} key @param {number} shock @param {Shocked} found */
  _tell(key, shock, found) {
    const now = this.seen.peek();
    const isWhole = this._next() === null;
    if (isWhole || !now.isWhole) this.seen.value = { key, shocks: new Map(this._fresh), isWhole };
    else if (shock === this._looked) this.seen.value = { ...now, shocks: new Map(now.shocks).set(shock, found) };
  }
}

/** @param {Question} question @param {number} shock @returns {Promise<Shocked | null>} */
async function answered(question, shock) {
  try {
    return (await question.ask(shock)).shocked;
  } catch (error) {
    if (error instanceof ApiError) return null;
    throw error;
  }
}
