// One question at a time; what is looked at first; and a picture of one moment.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ApiError } from "../../../../sequencer/dashboard/static/api.js";
import { Sampler } from "../../../../sequencer/dashboard/static/pictures/shock_samples.js";

const BTC = { market: "BTC", size_lots: 10 };

/** A node whose answers come when they are let; `moment` is told as equity. */
function node() {
  const asked = [];
  const ask = (moment) => (shock_bp) =>
    new Promise((take, refuse) => {
      const liquidated = shock_bp < -3000 ? [{ market: "BTC", lots: 10, lost_micros: "0" }] : [];
      asked.push({ shock_bp, refuse, answer: () => take({ shocked: { shock_bp, equity_micros: String(moment), maintenance_micros: "0", liquidated } }) });
    });
  return { asked, ask };
}

const settled = () => new Promise((done) => setImmediate(done));

async function answerAll(asked) {
  for (let at = 0; at < 200; at++) {
    const one = asked.shift();
    if (one === undefined) return at;
    one.answer();
    await settled();
  }
  throw new Error("it asks without end");
}

test("one question at a time, what is looked at before all others, and closings found by halving", async () => {
  const { asked, ask } = node();
  const sampler = new Sampler(async () => {});
  sampler.look(-1234);
  sampler.want({ key: "a", positions: [BTC], ask: ask(1) });
  assert.deepEqual(asked.map((one) => one.shock_bp), [-1234]);
  await settled();
  assert.equal(asked.length, 1, "nothing is asked before the answer");
  asked.shift().answer();
  await settled();
  sampler.look(777);
  asked.shift().answer();
  await settled();
  assert.equal(asked[0].shock_bp, 777);
  await answerAll(asked);
  const { shocks, isWhole } = sampler.seen.value;
  assert.equal(isWhole, true);
  const closing = [...shocks.keys()].filter((one) => one < -3000).sort((a, b) => b - a)[0];
  const open = [...shocks.keys()].filter((one) => one >= -3000).sort((a, b) => a - b)[0];
  assert.ok(open - closing <= 20, `${closing} to ${open}`);
});

test("of the same question the picture stands until it is whole anew, but for what is looked at", async () => {
  const { asked, ask } = node();
  const sampler = new Sampler(async () => {});
  sampler.want({ key: "a", positions: [BTC], ask: ask(1) });
  await answerAll(asked);
  sampler.want({ key: "a", positions: [BTC], ask: ask(2) });
  asked.shift().answer();
  await settled();
  asked.shift().answer();
  await settled();
  const moments = [...sampler.seen.value.shocks].filter(([, one]) => one.equity_micros === "2").map(([shock]) => shock);
  assert.deepEqual(moments, [0]);
  await answerAll(asked);
  assert.ok([...sampler.seen.value.shocks.values()].every((one) => one.equity_micros === "2"));
});

test("an answer to what is no longer asked is dropped, and so is another question's picture", async () => {
  const { asked, ask } = node();
  const sampler = new Sampler(async () => {});
  sampler.want({ key: "a", positions: [BTC], ask: ask(1) });
  const late = asked.shift();
  sampler.want({ key: "b", positions: [BTC], ask: ask(2) });
  late.answer();
  await settled();
  assert.equal(sampler.seen.value.key, "b");
  assert.equal(sampler.seen.value.shocks.size, 0);
  await answerAll(asked);
  assert.ok([...sampler.seen.value.shocks.values()].every((one) => one.equity_micros === "2"));
});

test("a node that refuses is left alone until there is something new", async () => {
  const { asked, ask } = node();
  const sampler = new Sampler(async () => {});
  sampler.want({ key: "a", positions: [BTC], ask: ask(1) });
  asked.shift().refuse(new ApiError("RATE_LIMITED", "later"));
  await settled();
  assert.equal(asked.length, 0);
  sampler.want({ key: "a", positions: [BTC], ask: ask(1) });
  assert.equal(asked.length, 1);
  sampler.want(null);
  asked.shift().answer();
  await settled();
  assert.equal(asked.length, 0, "nobody looks any more");
});
