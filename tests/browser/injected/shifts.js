// How far what is read has jumped without its reader's doing, and what moved. `total`: the worst of all spells, one at
// least a second behind the one before and none longer than five, so that whoever looks on for longer sees no more.
(() => {
  window.shifts = { total: 0, moved: [] };
  let spell = { first: -Infinity, last: -Infinity, sum: 0 };
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      if (entry.hadRecentInput) continue;
      if (entry.startTime - spell.last >= 1_000 || entry.startTime - spell.first >= 5_000) spell = { first: entry.startTime, last: 0, sum: 0 };
      spell.last = entry.startTime;
      spell.sum += entry.value;
      window.shifts.total = Math.max(window.shifts.total, spell.sum);
      const of = ({ node }) => (node?.nodeType === 1 ? `${node.tagName.toLowerCase()}.${node.className?.baseVal ?? node.className}` : node?.textContent);
      window.shifts.moved.push(`${entry.value.toFixed(4)} at ${Math.round(entry.startTime)} ms: ${entry.sources.map(of).join(", ")}`);
    }
  }).observe({ type: "layout-shift", buffered: true });
})();
