/**
 * Where the keyboard is: never lost. What had the focus and is gone, as a button whose step is done, leaves it to what
 * it stood in (a dialog, a form, a panel, the view); what was only busy gets it back.
 */

/** What had the focus, and what it stood in, the nearest first. @type {HTMLElement[]} */
let path = [];

/** @param {EventTarget | null} target */
export function isTyping(target) {
  return target instanceof HTMLElement && (target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName));
}

/** What takes the focus where something in it loses it. @param {Element} of @returns {HTMLElement | null} */
export function around(of) {
  return of.parentElement?.closest('[tabindex="-1"]') ?? document.getElementById("main");
}

/** @param {HTMLElement} one */
const canTake = (one) => one.isConnected && !(/** @type {any} */ (one).disabled);
const isNowhere = () => document.activeElement === null || document.activeElement === document.body;

/** @param {FocusEvent} event */
function came({ target }) {
  path = [];
  for (let one = /** @type {HTMLElement | null} */ (target); one !== null; one = around(one)) {
    path.push(one);
    if (one.id === "main") break;
  }
}

/** Who clicks beside everything has left by himself. @param {FocusEvent} event */
function went({ target, relatedTarget }) {
  const from = /** @type {HTMLElement} */ (target);
  if (relatedTarget !== null || !document.hasFocus()) return;
  queueMicrotask(() => {
    if (path[0] === from && canTake(from) && isNowhere()) path = [];
  });
}

function keep() {
  const [had] = path;
  if (had === undefined || !isNowhere()) return;
  // What is busy is waited for.
  if (had.isConnected && !canTake(had)) return;
  path.find(canTake)?.focus({ preventScroll: true });
}

/** @param {Element} page */
export function keepFocus(page) {
  document.addEventListener("focusin", came);
  document.addEventListener("focusout", went);
  new MutationObserver(() => path.length > 0 && requestAnimationFrame(keep)).observe(page, { subtree: true, childList: true, attributeFilter: ["disabled"] });
}
