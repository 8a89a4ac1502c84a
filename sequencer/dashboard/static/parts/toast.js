/**
 * Short words on what happened, in a live region, at the top, where no row and no button lies below them. What went
 * well leaves by itself, unless it is pointed at; what went wrong stays until it is put away, by its button or Escape.
 */
import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { html } from "../html.js";
import { isTyping } from "./focus.js";

/** @typedef {{id: number, kind: "done" | "wrong", title: string, detail: string}} Toast */

/** The newest last. @type {import("@preact/signals").Signal<Toast[]>} */
const toasts = signal([]);
let next = 1;
const MOST = 3;
const SHOWN_MS = 6_000;
const HELD_MS = 1_500;

/**
 * @param {"done" | "wrong"} kind
 * @param {string} title
 * @param {string} [detail]
 */
export function say(kind, title, detail = "") {
  const id = next++;
  // The same again is said once.
  const others = toasts.peek().filter((one) => one.title !== title || one.detail !== detail);
  toasts.value = [...others, { id, kind, title, detail }].slice(-MOST);
  if (kind === "done") setTimeout(() => leave(id), SHOWN_MS);
}

/** Who still reads it keeps it. @param {number} id */
function leave(id) {
  if (document.querySelector(`[data-toast="${id}"]:is(:hover, :focus-within)`)) setTimeout(() => leave(id), HELD_MS);
  else away(id);
}

/** @param {number} id */
function away(id) {
  toasts.value = toasts.value.filter((one) => one.id !== id);
}

/** Escape puts the newest away, before it empties a form; not where it leaves a field or closes a dialog. @param {KeyboardEvent} event */
function onKey(event) {
  const newest = toasts.peek().at(-1);
  if (event.key !== "Escape" || newest === undefined || isTyping(event.target) || document.querySelector('[role="dialog"]')) return;
  event.preventDefault();
  away(newest.id);
}

export function Toasts() {
  useEffect(() => {
    addEventListener("keydown", onKey, true);
    return () => removeEventListener("keydown", onKey, true);
  }, []);
  return html`<div class="toasts" role="status" aria-live="polite">
    ${toasts.value.map(
      (one) => html`<div key=${one.id} class="toast ${one.kind}" data-toast=${one.id}>
        <strong>${one.title}</strong><span>${one.detail}</span>
        <button type="button" class="plain" aria-label="Put away: ${one.title}" title="Put away (Escape)" onClick=${() => away(one.id)}>×</button>
      </div>`,
    )}
  </div>`;
}
