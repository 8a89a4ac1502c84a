import { html } from "../html.js";
import { Panel } from "../parts/panel.js";

export function Rollup() {
  return html`<${Panel} title="Rollup">To come.<//>`;
}
