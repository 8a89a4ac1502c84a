// A number's formula as text: exact, in its unit, and leading on to what it is made of.
import assert from "node:assert/strict";
import { test } from "node:test";
import { found, inputsOf, valueText } from "../../../../sequencer/dashboard/static/parts/explain_words.js";

const numbers = [
  { name: "equity", value: "4961920661", unit: "micros", formula: "collateral + sum(unrealised)", inputs: { collateral: "1", unrealised: ["2", "-3"] } },
  { name: "collateral", value: "1", unit: "micros", formula: "settled", inputs: { settled: "1" } },
  { name: "BTC.value", value: "7", unit: "micros", formula: "size * price", inputs: { size: "1", price: "7" } },
  { name: "BTC.unrealised", value: "5", unit: "micros", formula: "value - cost", inputs: { value: "7", cost: "2" } },
];

test("values are exact in their unit", () => {
  assert.equal(valueText("4961920661", "micros"), "$4961.920661");
  assert.equal(valueText("-500000", "micros"), "−$0.5");
  assert.equal(valueText("2000000", "micros"), "$2");
  assert.equal(valueText("108848", "ppm"), "10.8848%");
  assert.equal(valueText("4675", "bp"), "46.75%");
  assert.equal(valueText("50", "percent"), "50%");
  assert.equal(valueText("3", "lots"), "3 lots");
  assert.equal(valueText(null, "ticks"), "none");
});

test("an input leads on where it is explained itself, of its own market first", () => {
  assert.deepEqual(inputsOf(numbers[0], numbers), [
    { key: "collateral", text: "1", leads: "collateral" },
    { key: "unrealised", text: "[2, −3]", leads: null },
  ]);
  assert.deepEqual(inputsOf(numbers[3], numbers).map((one) => one.leads), ["BTC.value", null]);
});

test("what is not explained is not found", () => {
  assert.equal(found(numbers, "BTC.value")?.value, "7");
  assert.equal(found(numbers, "ETH.value"), null);
  assert.equal(found(null, "equity"), null);
});
