import { html } from "../html.js";
import { Panel } from "../parts/panel.js";

export function Pool() {
  return html`<${Panel} title="Pool">To come.<//>`;
}
