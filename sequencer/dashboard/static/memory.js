/** What the page keeps in this browser: choices, never keys (those are in keys.js). */
import { effect, signal } from "@preact/signals";

const PREFIX = "catenary.";

/**
 * A signal that is as it was left, by this browser; where nothing may be kept it begins anew.
 * @template T
 * @param {string} name
 * @param {T} otherwise
 * @returns {import("@preact/signals").Signal<T>}
 */
export function remembered(name, otherwise) {
  const kept = signal(read(name, otherwise));
  effect(() => {
    try {
      localStorage.setItem(PREFIX + name, JSON.stringify(kept.value));
    } catch {
      // A full or forbidden store forgets.
    }
  });
  return kept;
}

/**
 * @template T
 * @param {string} name
 * @param {T} otherwise
 * @returns {T}
 */
function read(name, otherwise) {
  try {
    const text = localStorage.getItem(PREFIX + name);
    const value = text === null ? otherwise : JSON.parse(text);
    // Another page of this host may have written anything.
    return otherwise !== null && typeof value !== typeof otherwise ? otherwise : value;
  } catch {
    return otherwise;
  }
}
