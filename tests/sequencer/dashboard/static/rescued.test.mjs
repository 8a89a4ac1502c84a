// Who was rescued, and who merely met it: a maker is not told that he was liquidated.
import assert from "node:assert/strict";
import { test } from "node:test";
import { headline, partOf } from "../../../../sequencer/dashboard/static/rescued.js";

test("whoever an order of is filled by a liquidation was not liquidated", () => {
  const rescue = { account: 18, kind: "liquidation", market: "BTC" };
  assert.equal(partOf(rescue, 18), "own");
  assert.equal(partOf(rescue, 20), "met");
  for (const kind of ["take_over", "unwinding", "forced_rescue"]) assert.equal(partOf({ ...rescue, kind }, 20), "met");
  assert.equal(headline(rescue, 18, "0.02"), "liquidation: 0.02 BTC closed");
});

test("who stands opposite without an order is told whose it was", () => {
  for (const kind of ["deleveraging", "forced_close"]) {
    const rescue = { account: 18, kind, market: "ETH" };
    assert.equal(partOf(rescue, 20), "opposite");
    assert.equal(headline(rescue, 20, "1"), `${kind.replace("_", " ")} of another account: 1 ETH closed against yours`);
  }
});
