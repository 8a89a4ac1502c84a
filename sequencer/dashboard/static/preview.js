/**
 * Previews: at most one is under way, the newest question wins, and between two answers the last one stands, marked.
 *
 * @import {Preview, UnsignedOperation} from "./wire"
 */
import { signal } from "@preact/signals";
import { ApiError } from "./api.js";

/**
 * @typedef {object} Seen
 * @property {Preview | null} preview of the question `key`
 * @property {ApiError | null} error why there is none
 * @property {boolean} isOld whether the form has moved on and its answer is still to come
 */

/** @type {Seen} */
const NOTHING = { preview: null, error: null, isOld: false };

/** One form's previews. */
export class Previewer {
  /** @param {(operation: UnsignedOperation, openedWith: string | null) => Promise<Preview>} ask */
  constructor(ask) {
    this.seen = signal(NOTHING);
    /** @private */ this._ask = ask;
    /** @private @type {{operation: UnsignedOperation, openedWith: string | null} | null} */ this._wanted = null;
    /** @private */ this._isAsking = false;
    /** @private */ this._round = 0;
  }

  /**
   * Asks for what would come of an operation as the form has it now; null: the form is not filled in.
   * @param {UnsignedOperation | null} operation
   * @param {string | null} [openedWith] micros with which an isolated account would be opened for it
   */
  want(operation, openedWith = null) {
    this._round += 1;
    this._wanted = operation === null ? null : { operation, openedWith };
    if (operation === null) {
      this.seen.value = NOTHING;
      return;
    }
    this._goOn();
  }

  /**
   * Asks anew for what the form has said all along, as where prices have moved. An answer that is under way is of the
   * same form, and shown: else one that takes longer than prices stand still would never be.
   * @param {UnsignedOperation} operation
   * @param {string | null} [openedWith]
   */
  again(operation, openedWith = null) {
    this._wanted = { operation, openedWith };
    this._goOn();
  }

  /** @private */
  _goOn() {
    const { preview, error } = this.seen.peek();
    this.seen.value = { preview, error, isOld: true };
    this._go();
  }

  /** @private */
  async _go() {
    if (this._isAsking) return;
    this._isAsking = true;
    try {
      while (this._wanted !== null) {
        const { operation, openedWith } = this._wanted;
        const round = this._round;
        this._wanted = null;
        /** @type {Seen} */
        let seen;
        try {
          seen = { preview: await this._ask(operation, openedWith), error: null, isOld: false };
        } catch (error) {
          if (!(error instanceof ApiError)) throw error;
          seen = { preview: null, error, isOld: false };
        }
        // What the form no longer says is nobody's preview.
        if (round === this._round) this.seen.value = { ...seen, isOld: this._wanted !== null };
      }
    } finally {
      this._isAsking = false;
    }
  }
}
