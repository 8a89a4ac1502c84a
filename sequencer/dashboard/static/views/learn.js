import { html } from "../html.js";
import { Panel } from "../parts/panel.js";

export function Learn() {
  return html`<${Panel} title="Learn">To come.<//>`;
}
