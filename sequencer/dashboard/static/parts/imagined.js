/**
 * The account as it would be: by the order form, or by another action that is looked at. One at a time; the newest.
 *
 * @import {Outlook} from "../wire"
 */
import { signal } from "@preact/signals";
import { seen as drafted } from "./drafting.js";

/**
 * @typedef {object} Imagined
 * @property {Outlook | null} after
 * @property {boolean} isOld whether its answer is still to come
 * @property {string} by what it would be by
 */

/** @type {Imagined} */
const NOTHING = { after: null, isOld: false, by: "" };

/** @typedef {{seen: import("@preact/signals").ReadonlySignal<import("../preview.js").Seen>, by: string}} Shown */

/** Whoever has a preview to show, the newest last. @type {import("@preact/signals").Signal<readonly Shown[]>} */
const shown = signal([{ seen: drafted, by: "with the order in the form" }]);

/**
 * Lets a form's previews be drawn over what is; the returned function ends it.
 * @param {Shown["seen"]} seen
 * @param {string} by in a few words
 * @returns {() => void}
 */
export function imagine(seen, by) {
  const one = { seen, by };
  shown.value = [...shown.peek(), one];
  return () => {
    shown.value = shown.peek().filter((each) => each !== one);
  };
}

/**
 * What an account would be by what is looked at now.
 * @param {number} account
 * @returns {Imagined}
 */
export function imagined(account) {
  for (const { seen, by } of shown.value.toReversed()) {
    const { preview, isOld } = seen.value;
    if (preview === null || preview.code !== 0) continue;
    const after = [preview.after, preview.other_after].find((one) => one?.account === account);
    if (after) return { after, isOld, by };
  }
  return NOTHING;
}
