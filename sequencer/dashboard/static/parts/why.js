/** Why not: a sentence, with its code beside it. */
import { html } from "../html.js";
import { codeOf, sentenceOf } from "../reasons.js";

/** @param {{of: string, words?: string}} props words: instead of the code's own */
export function Why({ of, words }) {
  const code = codeOf(of);
  return html`${words ?? sentenceOf(of)}${code && html` <code class="code">${code}</code>`}`;
}
