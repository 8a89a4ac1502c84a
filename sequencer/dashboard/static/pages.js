/** A list of the node's that lasts, page by page: the newest first, older ones when asked for. */
import { signal } from "@preact/signals";

/**
 * @template Row
 * @typedef {{rows: Row[], older: string, newer?: string}} Page
 */
/**
 * @template Row
 * @typedef {object} Shown
 * @property {Row[]} rows the newest first
 * @property {boolean} hasOlder
 * @property {boolean} isAsking
 * @property {string} problem
 */

const MOST = 5_000;

/**
 * @template Row
 */
export class Pages {
  /** @param {(where: {before?: string, after?: string}) => Promise<Page<Row>>} ask */
  constructor(ask) {
    /** @type {import("@preact/signals").Signal<Shown<Row>>} */
    this.shown = signal(/** @type {Shown<Row>} */ ({ rows: [], hasOlder: false, isAsking: true, problem: "" }));
    /** @private */ this._ask = ask;
    /** @private */ this._older = "";
    /** @private */ this._newer = "";
    /** @private */ this._isAsking = false;
    /** @private */ this._isBegun = false;
  }

  /** The first page, or what came since: without a cursor for that the list begins anew. */
  async renew() {
    await this._once(async () => {
      if (this._isBegun && this._newer !== "") {
        // What came since is told the oldest first, and may be more than a page.
        for (;;) {
          const page = await this._ask({ after: this._newer });
          if (page.newer) this._newer = page.newer;
          if (page.rows.length === 0) break;
          this._show([...page.rows.toReversed(), ...this.shown.peek().rows].slice(0, MOST));
        }
        return;
      }
      const page = await this._ask({});
      this._older = page.older;
      this._newer = page.newer ?? "";
      this._isBegun = true;
      this._show(page.rows);
    });
  }

  /** One page further back. */
  async more() {
    await this._once(async () => {
      const page = await this._ask({ before: this._older });
      this._older = page.older;
      this._show([...this.shown.peek().rows, ...page.rows].slice(0, MOST));
    });
  }

  /** @private @param {() => Promise<void>} work */
  async _once(work) {
    if (this._isAsking) return;
    this._isAsking = true;
    this.shown.value = { ...this.shown.peek(), isAsking: true, problem: "" };
    try {
      await work();
    } catch (error) {
      // A cursor that is gone or of another life of the venue: begin anew the next time.
      const name = error instanceof Error ? error.name : "";
      if (name === "CURSOR_GONE" || name === "CURSOR_UNKNOWN") this._isBegun = false;
      this.shown.value = { ...this.shown.peek(), problem: error instanceof Error ? error.message : String(error) };
    } finally {
      this._isAsking = false;
      this.shown.value = { ...this.shown.peek(), isAsking: false };
    }
  }

  /** @private @param {Row[]} rows */
  _show(rows) {
    this.shown.value = { ...this.shown.peek(), rows, hasOlder: this._older !== "" };
  }
}
