/** Short words on what happened, in a live region; errors stay until they are put away. */
import { signal } from "@preact/signals";
import { html } from "../html.js";

/** @typedef {{id: number, kind: "done" | "wrong", title: string, detail: string}} Toast */

/** @type {import("@preact/signals").Signal<Toast[]>} */
const toasts = signal([]);
let next = 1;
const MOST = 4;
const SHOWN_MS = 6_000;

/**
 * @param {"done" | "wrong"} kind
 * @param {string} title
 * @param {string} [detail]
 */
export function say(kind, title, detail = "") {
  const id = next++;
  toasts.value = [...toasts.value, { id, kind, title, detail }].slice(-MOST);
  if (kind === "done") setTimeout(() => away(id), SHOWN_MS);
}

/** @param {number} id */
function away(id) {
  toasts.value = toasts.value.filter((one) => one.id !== id);
}

export function Toasts() {
  return html`<div class="toasts" role="status" aria-live="polite">
    ${toasts.value.map(
      (one) => html`<div key=${one.id} class="toast ${one.kind}">
        <strong>${one.title}</strong><span>${one.detail}</span>
        <button type="button" class="plain" aria-label="Put away" onClick=${() => away(one.id)}>×</button>
      </div>`,
    )}
  </div>`;
}
