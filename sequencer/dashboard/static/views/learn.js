/** For who is new here: practice, the questions that are asked first, and the words. */
import { html } from "../html.js";
import { Glossary, Questions } from "../parts/glossary.js";
import { Practice } from "../parts/practice.js";

export function Learn() {
  return html`<div class="learn"><${Practice} /><${Questions} /><${Glossary} /></div>`;
}
