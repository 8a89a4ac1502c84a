// How far what is read has jumped without its reader's doing: the sum of all layout shifts, and what moved.
(() => {
  window.shifts = { total: 0, moved: [] };
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      if (entry.hadRecentInput) continue;
      window.shifts.total += entry.value;
      const of = ({ node }) => (node?.nodeType === 1 ? `${node.tagName.toLowerCase()}.${node.className?.baseVal ?? node.className}` : node?.textContent);
      window.shifts.moved.push(`${entry.value.toFixed(4)} at ${Math.round(entry.startTime)} ms: ${entry.sources.map(of).join(", ")}`);
    }
  }).observe({ type: "layout-shift", buffered: true });
})();
