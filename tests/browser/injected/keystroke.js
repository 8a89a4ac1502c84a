// From a keystroke to the frame in which its preview stands.
(() => {
  const frame = () => new Promise((passed) => requestAnimationFrame(passed));
  const isDrawn = () => document.querySelector(".outlook")?.getAttribute("aria-busy") === "false" && document.querySelector(".outlook .will") !== null;
  let typed = 0;
  addEventListener("input", () => (typed = performance.now()), true);
  window.wait = {
    /** Once there is a preview. */
    async steady() {
      while (!isDrawn()) await frame();
    },
    /** Milliseconds, once that of the last keystroke is there. */
    async ended() {
      do await frame();
      while (!isDrawn());
      return performance.now() - typed;
    },
  };
})();
