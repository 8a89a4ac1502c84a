/** Fields of the order form: a label, what was typed, and what is wrong with it, told to a screen reader too. */
import { html } from "../html.js";
import { fill, form } from "./drafting.js";

/**
 * A field of text. Nothing but typing changes it.
 * @param {{name: keyof import("../order.js").Form, label: string, unit?: string, placeholder?: string, problem?: string}} props
 */
export function Field({ name, label, unit = "", placeholder = "", problem = "" }) {
  const id = `order-${name}`;
  return html`<div class="field">
    <label for=${id}>${label}${unit && html` <span class="unit">${unit}</span>`}</label>
    <input
      id=${id}
      inputmode="decimal"
      spellcheck=${false}
      placeholder=${placeholder}
      value=${form.value[name]}
      aria-invalid=${problem ? "true" : null}
      aria-describedby=${`${id}-problem`}
      onInput=${(/** @type {any} */ event) => fill({ [name]: event.currentTarget.value })}
    />
    <p class="problem" id="${id}-problem">${problem}</p>
  </div>`;
}

/**
 * @param {{label: string, id: string, value: string, options: {key: string, title: string}[], choose: (key: string) => void, title?: string, isHidden?: boolean}} props
 */
export function Choice({ label, id, value, options, choose, title, isHidden = false }) {
  return html`<div class="field">
    <label for=${id} class=${isHidden ? "sr" : ""}>${label}</label>
    <select id=${id} value=${value} title=${title} onChange=${(/** @type {any} */ event) => choose(event.currentTarget.value)}>
      ${options.map((one) => html`<option key=${one.key} value=${one.key} selected=${one.key === value}>${one.title}</option>`)}
    </select>
  </div>`;
}

/**
 * @param {{name: "isPostOnly" | "isReduceOnly" | "isGuarded", label: string, says: string, isOff?: boolean, isForced?: boolean, problem?: string}} props
 * isForced: it is so by its type
 */
export function Check({ name, label, says, isOff = false, isForced = false, problem = "" }) {
  return html`<label class="check" title=${says}>
    <input
      type="checkbox"
      checked=${isForced || form.value[name]}
      disabled=${isOff || isForced}
      onChange=${(/** @type {any} */ event) => fill({ [name]: event.currentTarget.checked })}
    />
    <span>${label}</span> <span class="soft">${problem || says}</span>
  </label>`;
}
