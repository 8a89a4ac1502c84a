/** The words and the questions that are asked first, each with the view where it is seen. */
import { html } from "../html.js";
import { addressOf } from "../venue.js";
import { QUESTIONS, WORDS } from "./glossary_words.js";
import { Panel } from "./panel.js";

export function Questions() {
  return html`<${Panel} title="Questions">
    <div class="questions">
      ${QUESTIONS.map(
        (one) => html`<details key=${one.asked}>
          <summary>${one.asked}</summary>
          <p>${one.answer}</p>
          <p><a href=${addressOf(one.view)}>${one.where}</a></p>
        </details>`,
      )}
    </div>
  <//>`;
}

export function Glossary() {
  return html`<${Panel} title="Words">
    <dl class="glossary">
      ${WORDS.map(
        ([word, meaning, view]) => html`<div key=${word}>
          <dt>${word}</dt>
          <dd>${meaning} <a href=${addressOf(view)} aria-label="${word}: see it in ${view}">${view}</a></dd>
        </div>`,
      )}
    </dl>
  <//>`;
}
