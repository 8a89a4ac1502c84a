// A genuine venue is found so, and each thing that is not as shipped is refused.
import assert from "node:assert/strict";
import { test } from "node:test";
import { hex, keccakText } from "../../../../sequencer/dashboard/static/bytes.js";
import { examined, governed, isSame, listed, NotGenuine } from "../../../../sequencer/dashboard/static/trust.js";
import { given, needsGiven } from "./given.mjs";

function asker(changes = {}) {
  const chain = { ...given.chain, block: { hash: `0x${"0a".repeat(32)}` }, chainId: "0x7a69", to: null, ...changes };
  return async (method, [first]) => {
    if (method === "eth_chainId") return chain.chainId;
    if (method === "eth_getCode") return chain.codes[first] ?? "0x";
    if (method === "eth_call") return chain.views[first.to + first.data] ?? assert.fail(first.data);
    if (method === "eth_getLogs") return chain.log === null ? [] : [chain.log];
    if (method === "eth_getTransactionByHash") return { input: chain.input, to: chain.to };
    return method === "eth_getBlockByNumber" ? chain.block : assert.fail(method);
  };
}
const flipped = (text, at) => text.slice(0, at) + (text[at] === "0" ? "1" : "0") + text.slice(at + 1);
const bridge = `0x${"11".repeat(20)}`;
const view = (name) => bridge + hex(keccakText(`${name}()`).slice(0, 4));

test("a genuine venue", needsGiven, async () => {
  const steps = [];
  const venue = await examined(asker(), given.chain.status, (one) => steps.push(one));
  assert.equal(steps.length, 2);
  assert.deepEqual(venue.markets.map(({ name, sizeDecimals }) => ({ name, sizeDecimals })), given.chain.markets);
  assert.equal(venue.identity.bridge, bridge);
  assert.equal(venue.operator, `0x${"44".repeat(20)}`);
  assert.equal(venue.signers.length, 7);
  assert.equal(venue.entryFeeWei, 10n ** 14n);
  assert.equal(venue.postingFeeMicros, 500);
  assert.equal(isSame(venue.identity, { ...venue.identity }), true);
  assert.equal(isSame(venue.identity, { ...venue.identity, genesisBlockHash: "0x00" }), false);
});

test("what is not as shipped is refused", needsGiven, async () => {
  const { status, codes, views, log, input } = given.chain;
  const refuses = (changes, told = status) => assert.rejects(examined(asker(changes), told), (error) => error instanceof NotGenuine || error.constructor.name === "Malformed");
  for (const at of Object.keys(codes)) {
    await refuses({ codes: { ...codes, [at]: flipped(codes[at], 100) } });
    await refuses({ codes: { ...codes, [at]: "0x" } });
    await refuses({ codes: { ...codes, [at]: `${codes[at]}00` } });
  }
  await refuses({ chainId: "0x1" });
  await refuses({}, { ...status, referee_address: bridge });
  await refuses({}, { ...status, token_address: bridge });
  await refuses({ log: null });
  await refuses({ log: { ...log, data: flipped(log.data, log.data.length - 1000) } });
  await refuses({ log: { ...log, topics: log.topics.with(2, `0x${"00".repeat(32)}`) } });
  await refuses({ input: flipped(input, 100) });
  await refuses({ input: flipped(input, input.length - 5) });
  await refuses({ to: bridge });
  for (const block of [null, undefined, {}, { hash: null }, { hash: "0x" }]) await refuses({ block });
  const parameters = view("parameters");
  // The second of them: how long an entry may wait.
  await refuses({ views: { ...views, [parameters]: flipped(views[parameters], 2 + 64 + 40) } });
  await refuses({ views: { ...views, [view("DOMAIN_SEPARATOR")]: `0x${"00".repeat(32)}` } });
});

test("a market is signed for as L1 has it alone", needsGiven, async () => {
  const venue = await examined(asker(), given.chain.status);
  const said = { index: 0, name: "BTC", size_decimals: 5, price_decimals: 1 };
  assert.equal(listed(venue, said).name, "BTC");
  for (const wrong of [{ name: "ETH" }, { size_decimals: 4 }, { price_decimals: 2 }, { index: 3 }]) {
    assert.throws(() => listed(venue, { ...said, ...wrong }), NotGenuine);
  }
  const posted = { ...venue, markets: venue.markets.map((one) => ({ ...one, takerFeePpm: 9 })), postingFeeMicros: 700 };
  const now = governed(venue, posted, venue);
  assert.deepEqual([now.postingFeeMicros, now.markets[1].takerFeePpm], [700, 9]);
  assert.throws(() => governed(venue, posted, { ...venue, markets: venue.markets.slice(1) }), NotGenuine);
});
