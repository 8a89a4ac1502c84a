// How far from trouble, in a word and a length.
import assert from "node:assert/strict";
import { test } from "node:test";
import { lengthOf, standingOf, wordsOf } from "../../../../sequencer/dashboard/static/pictures/gauge_words.js";

test("a word for each level, and a call that stands is not talked away", () => {
  assert.deepEqual(standingOf(0, 0), { word: "nothing at stake", step: 0 });
  assert.deepEqual(standingOf(499_999, 0), { word: "calm, call at 50%", step: 0 });
  assert.deepEqual(standingOf(500_000, 0), { word: "margin call 50%", step: 50 });
  assert.deepEqual(standingOf(460_000, 50), { word: "margin call 50%", step: 50 });
  assert.deepEqual(standingOf("899999", 70), { word: "margin call 80%", step: 80 });
  assert.deepEqual(standingOf("1000000", 90), { word: "liquidation", step: 100 });
  assert.deepEqual(standingOf(null, 90), { word: "below zero", step: 100 });
});

test("a call that has eased to below its level is said to have, and where it ends", () => {
  const end = "The call ends below 75%; at 100% liquidation begins.";
  assert.equal(wordsOf(80, "775000"), `What has to stay was 80% of this account's equity, and has eased to 77.5%. ${end}`);
  assert.equal(wordsOf(80, 800_000), `What has to stay is 80.0% of this account's equity. ${end}`);
  assert.equal(wordsOf(80, null), `What has to stay is over 100% of this account's equity. ${end}`);
  assert.match(wordsOf(100, 990_000), /^After three ticks in a row/);
});

test("the bar ends at what it shows", () => {
  assert.equal(lengthOf(108_848), 10.8848);
  assert.equal(lengthOf(5_000_000), 100);
  assert.equal(lengthOf(null), 100);
});
