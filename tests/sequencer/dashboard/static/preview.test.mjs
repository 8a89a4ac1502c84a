// Previews: one under way, the newest question wins, and none is shown that the form no longer asks.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ApiError } from "../../../../sequencer/dashboard/static/api.js";
import { Previewer } from "../../../../sequencer/dashboard/static/preview.js";

const order = (size_lots) => ({ kind: "order", account: 1, size_lots });

/** A previewer whose answers the test gives. */
function asked() {
  const questions = [];
  const previewer = new Previewer((operation) => new Promise((take, refuse) => questions.push({ lots: operation.size_lots, take, refuse })));
  const shown = () => {
    const { preview, error, isOld } = previewer.seen.value;
    return [preview?.lots ?? error?.name ?? null, isOld];
  };
  const answer = async (at) => {
    questions[at].take({ lots: questions[at].lots });
    await new Promise((passed) => setImmediate(passed));
  };
  return { previewer, questions, shown, answer };
}

test("of what was typed meanwhile the newest alone is asked, and the old answer not shown", async () => {
  const { previewer, questions, shown, answer } = asked();
  for (const lots of [1, 2, 3]) previewer.want(order(lots));
  assert.equal(questions.length, 1);
  await answer(0);
  assert.deepEqual([questions.map((one) => one.lots), shown()], [[1, 3], [null, true]]);
  await answer(1);
  assert.deepEqual(shown(), [3, false]);
});

test("an emptied form has no preview, whatever still comes", async () => {
  const { previewer, shown, answer } = asked();
  previewer.want(order(1));
  previewer.want(null);
  await answer(0);
  assert.deepEqual(shown(), [null, false]);
});

test("an answer that takes longer than prices stand still is shown", async () => {
  const { previewer, questions, shown, answer } = asked();
  previewer.want(order(1));
  previewer.again(order(1));
  previewer.again(order(1));
  await answer(0);
  assert.deepEqual([questions.length, shown()], [2, [1, true]]);
  await answer(1);
  assert.deepEqual(shown(), [1, false]);
});

test("a refusal is shown as one, and anything else is nobody's to hide", async () => {
  const { previewer, questions, shown } = asked();
  previewer.want(order(1));
  questions[0].refuse(new ApiError("AWAY", "The connection to the node broke."));
  await new Promise((passed) => setImmediate(passed));
  assert.deepEqual(shown(), ["AWAY", false]);
});
