// Positions in accounts of their own: opened whole or not at all, taken out of the pool, closed and moved back.
import assert from "node:assert/strict";
import { test } from "node:test";
import { closeIsolated, isolate, openIsolated } from "../../../../sequencer/dashboard/static/isolating.js";
import { opening, read } from "../../../../sequencer/dashboard/static/parts/isolated_form.js";

const BTC = { name: "BTC", index: 0, price_ticks: 1000, size_decimals: 5, price_decimals: 1, maker_fee_ppm: 100, taker_fee_ppm: 450, posting_fee_micros: 500 };
const ORDER = { kind: "order", account: 18, market: 0, side: 0, size_lots: "5" };

/** A venue that notes what is sent, and answers as it is told to. */
function venue(answers) {
  const sent = [];
  const answer = (name, asked) => {
    const found = answers[name];
    return typeof found === "function" ? found(asked) : found;
  };
  const send = async (operation) => {
    sent.push(operation);
    const found = answer(operation.kind, operation);
    if (found instanceof Error) throw found;
    return found;
  };
  return { sent, venue: { send, call: async (method, params) => answer(method, params) } };
}

test("an account is opened with money, and its first order is signed for it", async () => {
  const { sent, venue: at } = venue({ catenary_preview: { code: 0 }, transfer: { account_opened: 21 }, order: { filled_lots: 5 } });
  assert.equal(await openIsolated(at, { from: 18, micros: 7n, order: ORDER, known: [18] }), 21);
  assert.deepEqual(sent, [
    { kind: "transfer", account: 18, to_account: 16_777_215, amount_micros: "7" },
    { ...ORDER, account: 21 },
  ]);
});

test("what would be refused is not sent, and no order is signed for an account that was there", async () => {
  const refused = venue({ catenary_preview: { code: 30, refusal: "MARGIN" } });
  await assert.rejects(openIsolated(refused.venue, { from: 18, micros: 7n, order: ORDER, known: [18] }), /MARGIN/);
  assert.deepEqual(refused.sent, []);
  for (const account_opened of [18, null, "21"]) {
    const lying = venue({ catenary_preview: { code: 0 }, transfer: { account_opened } });
    await assert.rejects(openIsolated(lying.venue, { from: 18, micros: 7n, order: ORDER, known: [18] }), { name: "NOT_GENUINE" });
    assert.equal(lying.sent.length, 1);
  }
});

test("where the order is refused all the same, the money goes back", async () => {
  const { sent, venue: at } = venue({
    catenary_preview: { code: 0 }, transfer: { account_opened: 21 }, order: new Error("refused"), catenary_account: { withdrawable_micros: "6" },
  });
  await assert.rejects(openIsolated(at, { from: 18, micros: 7n, order: ORDER, known: [] }), /refused/);
  assert.deepEqual(sent.at(-1), { kind: "transfer", account: 21, to_account: 18, amount_micros: "6" });
});

test("as much is opened again as was taken out of the pool", async () => {
  let orders = 0;
  const { sent, venue: at } = venue({ catenary_preview: { code: 0 }, transfer: { account_opened: 21 }, order: () => ({ filled_lots: orders++ === 0 ? 3 : 0 }) });
  const seen = { account: 18, positions: [{ market: "BTC", size_lots: 5 }] };
  await isolate(at, { seen, market: BTC, micros: 7n, order: ORDER, known: [18] });
  assert.deepEqual(sent.map((one) => [one.kind, one.account, one.size_lots, one.reduce_only]), [
    ["order", 18, "5", true],
    ["transfer", 18, undefined, undefined],
    ["order", 21, "3", undefined],
  ]);
  const nobody = venue({ order: { filled_lots: 0 } });
  await assert.rejects(isolate(nobody.venue, { seen, market: BTC, micros: 7n, order: ORDER, known: [18] }), { name: "NO_FILL" });
  assert.equal(nobody.sent.length, 1);
});

test("an account is closed step by step, and its money moved once nothing is held", async () => {
  const looks = [
    { open_orders: [{}], positions: [{ market: "BTC", size_lots: -5 }], collateral_micros: "9000" },
    { open_orders: [], positions: [], collateral_micros: "8000" },
  ];
  const { sent, venue: at } = venue({ catenary_account: () => looks.shift(), cancel_all: {}, order: { filled_lots: 5 }, transfer: {} });
  assert.equal(await closeIsolated(at, { account: 21, to: 18, markets: [BTC] }), 7_500n);
  assert.deepEqual(sent.map((one) => one.kind), ["cancel_all", "order", "transfer"]);
  assert.deepEqual(sent.at(-1), { kind: "transfer", account: 21, to_account: 18, amount_micros: "7500" });
  const held = { open_orders: [], positions: [{ market: "BTC", size_lots: -5 }], collateral_micros: "9000" };
  const stuck = venue({ catenary_account: held, order: { filled_lots: 1 } });
  await assert.rejects(closeIsolated(stuck.venue, { account: 21, to: 18, markets: [BTC] }), { name: "NO_FILL" });
  assert.deepEqual(stuck.sent.map((one) => one.kind), ["order"], "money stays beside a position");
});

test("the form is read, or says what is wrong", () => {
  const form = opening({ market: "BTC", size_lots: "-5", initial_micros: "10000000" }, [BTC]);
  assert.deepEqual(form, { market: "BTC", side: "sell", size: "0.00005", amount: "22" });
  assert.deepEqual(read(form, BTC, 18), {
    order: { kind: "order", account: 18, market: 0, side: 1, size_lots: "5", limit_price_ticks: "995", time_in_force: 1, max_fee_ppm: 450 },
    micros: 22_000_000n,
    problem: "",
  });
  assert.deepEqual(opening(undefined, [BTC]), { market: "BTC", side: "buy", size: "", amount: "100" });
  assert.match(read({ ...form, size: "0.000001" }, BTC, 18).problem, /at most 5 decimals/);
  assert.match(read({ ...form, size: "0" }, BTC, 18).problem, /how much/);
  assert.match(read({ ...form, amount: "1" }, BTC, 18).problem, /more than the one/);
  assert.match(read({ ...form, amount: "x" }, BTC, 18).problem, /dollars/);
});
