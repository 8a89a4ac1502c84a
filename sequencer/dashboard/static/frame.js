/** At most one redraw a frame, whatever arrives: work is collected, and done once before the next picture. */

/** @type {Set<() => void>} */
let due = new Set();
let isAsked = false;

/**
 * Does something once before the next picture; the same function again before then is once.
 * A hidden page draws no pictures: there a timer stands in, so that nothing piles up.
 * @param {() => void} work
 */
export function beforeNextFrame(work) {
  due.add(work);
  if (isAsked) return;
  isAsked = true;
  if (document.hidden) setTimeout(run, 250);
  else requestAnimationFrame(run);
}

function run() {
  const now = due;
  due = new Set();
  isAsked = false;
  for (const work of now) work();
}
