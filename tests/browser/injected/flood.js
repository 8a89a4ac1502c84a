// More than any venue says: books, trades and prices, so many a frame; how often the page was redrawn meanwhile.
const STILL_FRAMES = 6;
const MOST_FRAMES = 600;
window.flood = async ({ updates, perFrame, base, seed }) => {
  const { checksum } = await import(`${base}model.js`);
  const { wire } = window;
  wire.takeOver();
  const calls = wire.calls.length;
  let state = seed;
  const random = (below) => {
    state = (state * 1103515245 + 12345) & 0x7fffffff;
    return state % below;
  };
  const books = [...wire.channels].filter(([name]) => name.startsWith("book_deltas:"));
  const trades = [...wire.channels.keys()].filter((name) => name.startsWith("trades:"));
  const sides = new Map();
  // Each book is another one from here on.
  for (const [name, { levels }] of books) {
    const book = { bids: [], asks: [] };
    for (let at = 0; at < 20; at++) {
      book.bids.push([600_000 - 7 * at, 1_000 + at]);
      book.asks.push([600_010 + 7 * at, 1_000 + at]);
    }
    const change = { bids: [], asks: [] };
    for (const level of levels) {
      const [side, price] = level.split(" ");
      change[side].push([Number(price), 0]);
    }
    for (const side of ["bids", "asks"]) {
      change[side] = [...new Map([...change[side], ...book[side]])];
      for (const [price] of book[side]) levels.add(`${side} ${price}`);
    }
    sides.set(name, book);
    wire.tell(name, { market: "", previous: 0, ...change, time_ms: Date.now(), checksum: checksum(book) });
  }
  const pools = [...wire.channels.keys()].filter((name) => name.startsWith("account:"));
  const one = (at) => {
    const [name] = books[at % books.length] ?? [];
    if (name === undefined || at % 50 === 0) {
      // A view without a book has prices and pools; those of a book are renewed beside it.
      const prices = wire.channels.get("prices").snapshot;
      wire.tell("prices", prices.map((market) => ({ ...market, price_ticks: market.price_ticks + random(20) })));
      for (const pool of pools) {
        const { snapshot } = wire.channels.get(pool);
        const equity_micros = String(BigInt(snapshot.equity_micros) - BigInt(random(9_000_000)));
        wire.tell(pool, { ...snapshot, equity_micros, free_collateral_micros: equity_micros });
      }
    } else if (at % 5 === 4 && trades.length) {
      const [bid] = sides.get(name).bids[0];
      const fill = { market: "", price_ticks: bid, size_lots: 1 + random(9), fee_micros: "1", maker_fee_micros: "1", taker_fee_micros: "1", maker: 9, taker: 10, maker_order_id: `${at}`, taker_order_id: `${at}b`, taker_side: at % 2 ? "buy" : "sell", time_ms: Date.now(), chunk: 1, operation_index: at };
      wire.tell(trades[at % trades.length], fill);
    } else {
      const book = sides.get(name);
      const side = random(2) ? "bids" : "asks";
      const level = book[side][random(book[side].length)];
      level[1] = 1 + random(100_000);
      const change = { bids: [], asks: [], [side]: [[...level]] };
      wire.tell(name, { market: "", previous: 0, ...change, time_ms: Date.now(), checksum: checksum(book) });
    }
  };
  const frame = () => new Promise((passed) => requestAnimationFrame(passed));
  const main = document.getElementById("main");
  const anything = { subtree: true, childList: true, characterData: true, attributes: true };
  // A part that has just come draws itself again once it is there, in the same frame: what the page began with is drawn
  // before anything is counted. Its clock goes on, so that a page which is never still is not waited for.
  let still = 0;
  const settling = new MutationObserver(() => (still = 0));
  settling.observe(main, anything);
  for (let waited = 0; still < STILL_FRAMES && waited < MOST_FRAMES; waited++) {
    await frame();
    still += 1;
  }
  settling.disconnect();
  let redraws = 0;
  let most = 0;
  let frames = 0;
  // The document's time stands still from one picture to the next, however slow the machine is.
  let picture = null;
  const looking = new MutationObserver(() => {
    const now = document.timeline.currentTime;
    redraws = now === picture ? redraws + 1 : 1;
    picture = now;
    most = Math.max(most, redraws);
  });
  looking.observe(main, anything);
  const began = performance.now();
  for (let at = 0; at < updates; ) {
    await frame();
    const until = Math.min(updates, at + perFrame);
    // In more than one task of the frame, as a network brings it.
    for (const half of [(at + until) >> 1, until]) {
      for (; at < half; at++) one(at);
      await new Promise((passed) => setTimeout(passed));
    }
    frames += 1;
    await frame();
  }
  looking.disconnect();
  // A book that is not the venue's is asked for again: what was told here was taken.
  const torn = wire.calls.slice(calls).filter((name) => name === "catenary_subscribe").length;
  return { frames, most, torn, ms: performance.now() - began };
};
