/** A framed part of a view, with its heading; and tabs. */
import { html } from "../html.js";

/** @param {{title: string, area?: string, actions?: any, children?: any, class?: string}} props */
export function Panel({ title, area, actions, children, ...rest }) {
  const id = `panel-${title.toLowerCase().replaceAll(/\W+/g, "-")}`;
  return html`<section class="panel ${area ? `area-${area}` : ""} ${rest.class ?? ""}" aria-labelledby=${id} tabindex="-1">
    <header class="panel-head"><h2 id=${id}>${title}</h2><div class="panel-actions">${actions}</div></header>
    <div class="panel-body">${children}</div>
  </section>`;
}

/**
 * Tabs by the keyboard's arrows too.
 * @param {{label: string, chosen: string, choose: (key: string) => void, tabs: {key: string, title: string, count?: number}[]}} props
 */
export function Tabs({ label, chosen, choose, tabs }) {
  /** @param {KeyboardEvent} event */
  const move = (event) => {
    const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    if (step === 0) return;
    const at = tabs.findIndex((one) => one.key === chosen);
    const next = tabs[(at + step + tabs.length) % tabs.length];
    if (next) {
      choose(next.key);
      const list = /** @type {HTMLElement} */ (event.currentTarget);
      /** @type {HTMLElement | null} */ (list.querySelector(`[data-key="${next.key}"]`))?.focus();
    }
    event.preventDefault();
  };
  return html`<div class="tabs" role="tablist" aria-label=${label} onKeyDown=${move}>
    ${tabs.map(
      (one) => html`<button
        type="button"
        role="tab"
        key=${one.key}
        data-key=${one.key}
        aria-selected=${one.key === chosen}
        tabindex=${one.key === chosen ? 0 : -1}
        onClick=${() => choose(one.key)}
      >
        ${one.title}${one.count ? html`<span class="count">${one.count}</span>` : null}
      </button>`,
    )}
  </div>`;
}
