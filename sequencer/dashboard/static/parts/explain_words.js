/**
 * Numbers that catenary_explain gives, as text. Pure.
 * @import {Explained} from "../wire"
 */
import { decimal, signed } from "../format.js";

/** In one plain sentence each, by the last word of a name. @type {Record<string, string>} */
export const MEANING = {
  equity: "Collateral, and what all positions have gained or lost since.",
  collateral: "Dollars in the account: settled money, and profit that is maturing.",
  initial: "What positions need to be opened or to grow.",
  maintenance: "What positions need to stay. Where equity falls below it, liquidation begins.",
  reserved: "What open orders need above the positions.",
  free_collateral: "What neither positions nor open orders need.",
  withdrawable: "What may leave now: matured, free, and a tenth of what is held in positions stays behind.",
  margin_ratio: "Maintenance requirement over equity. Liquidation begins at 100%.",
  margin_usage: "Initial requirement over equity.",
  leverage: "Value of all positions over equity.",
  unrealised: "What this position has gained or lost since it was opened, funding aside. It counts for the whole pool.",
  notional: "What this position is worth, whichever its side.",
  liquidation_price: "The price of this market alone at which liquidation would begin, all others standing still.",
  fall_to_liquidation: "How far all prices together may fall before liquidation begins.",
  rise_to_liquidation: "How far all prices together may rise before liquidation begins.",
  deleveraging_rank: "The place in the order in which positions of this side would be closed where the fund has no room; 1 is first.",
  margin_call: "The level that was told last; it eases once the ratio is five points below.",
  pending_funding: "Funding that is due and not yet taken out of the collateral.",
};

/**
 * @param {Explained[] | null} numbers
 * @param {string} name
 */
export function found(numbers, name) {
  return numbers?.find((one) => one.name === name) ?? null;
}

/**
 * A value in its unit, exactly.
 * @param {string | null} value
 * @param {string} unit
 */
export function valueText(value, unit) {
  if (value === null) return "none";
  switch (unit) {
    case "micros":
      return signed(`${value.startsWith("-") ? "-" : ""}$${trimmed(decimal(value, 6).replace("-", ""))}`);
    case "ppm":
      return signed(`${trimmed(decimal(value, 4))}%`);
    case "bp":
      return signed(`${trimmed(decimal(value, 2))}%`);
    case "percent":
      return `${value}%`;
    default:
      return signed(`${value} ${unit}`);
  }
}

/** @param {string} text */
function trimmed(text) {
  return text.includes(".") ? text.replace(/0+$/, "").replace(/\.$/, "") : text;
}

/**
 * Inputs in their order; `leads` names the explanation of one that has its own.
 * @param {Explained} number
 * @param {Explained[]} numbers
 * @returns {{key: string, text: string, leads: string | null}[]}
 */
export function inputsOf(number, numbers) {
  const known = new Set(numbers.map((one) => one.name));
  const prefix = number.name.includes(".") ? number.name.slice(0, number.name.lastIndexOf(".") + 1) : "";
  return Object.entries(number.inputs).map(([key, value]) => {
    const leads = [prefix + key, key].find((name) => known.has(name) && name !== number.name) ?? null;
    return { key, text: Array.isArray(value) ? `[${value.map((one) => signed(String(one))).join(", ")}]` : signed(String(value)), leads };
  });
}
