/** How far from trouble, in a word and a length. Pure. */
import { percent } from "../format.js";
import { CALL_LEVELS, EASING } from "./pool_shape.js";

/** @typedef {import("../format.js").Integer | null | undefined} Ratio parts per million; null: of a debt */

/**
 * In words.
 * @param {Ratio} ratio
 * @param {number} call percent of the margin call that stands; 0: none
 */
export function standingOf(ratio, call) {
  if (ratio === null || ratio === undefined) return { word: "below zero", step: 100 };
  if (Number(ratio) === 0) return { word: "nothing at stake", step: 0 };
  const reached = CALL_LEVELS.filter((level) => BigInt(ratio) >= BigInt(level) * 10_000n).at(-1) ?? 0;
  const step = Math.max(reached, call);
  if (step >= 100) return { word: "liquidation", step };
  if (step > 0) return { word: `margin call ${step}%`, step };
  return { word: `calm, call at ${CALL_LEVELS[0]}%`, step };
}

/**
 * What a margin call means at this moment: a ratio that has eased to below its level is said to have.
 * @param {number} level percent
 * @param {Ratio} ratio
 */
export function wordsOf(level, ratio) {
  if (level >= 100) return "After three ticks in a row lots are closed until the account is back at its initial requirement.";
  const shown = ratio === null || ratio === undefined ? "over 100%" : percent(ratio);
  const end = `The call ends below ${level - EASING}%; at 100% liquidation begins.`;
  const isEasing = ratio !== null && ratio !== undefined && BigInt(ratio) < BigInt(level) * 10_000n;
  return isEasing
    ? `What has to stay was ${level}% of this account's equity, and has eased to ${shown}. ${end}`
    : `What has to stay is ${shown} of this account's equity. ${end}`;
}

/** Of the gauge's length, percent. @param {Ratio} ratio */
export function lengthOf(ratio) {
  return ratio === null || ratio === undefined ? 100 : Math.max(0, Math.min(100, Number(ratio) / 10_000));
}
