// A list page by page: older on demand, newer by its cursor, and anew where a cursor is gone.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Pages } from "../../../../sequencer/dashboard/static/pages.js";

test("older ones behind, newer ones before", async () => {
  const asked = [];
  const answers = [
    { rows: [5, 4], older: "4", newer: "5" },
    { rows: [3], older: "", newer: "3" },
    { rows: [6, 7], older: "6", newer: "7" },
    { rows: [], older: "", newer: "" },
  ];
  const pages = new Pages(async (where) => (asked.push(where), answers.shift()));
  await pages.renew();
  assert.deepEqual(pages.shown.value, { rows: [5, 4], hasOlder: true, isAsking: false, problem: "" });
  await pages.more();
  assert.deepEqual(pages.shown.value, { rows: [5, 4, 3], hasOlder: false, isAsking: false, problem: "" });
  await pages.renew();
  assert.deepEqual(pages.shown.value.rows, [7, 6, 5, 4, 3]);
  assert.deepEqual(asked, [{}, { before: "4" }, { after: "5" }, { after: "7" }]);
});

test("a list without a newer cursor, and one whose cursor is gone, begin anew", async () => {
  let gone = false;
  const asked = [];
  const pages = new Pages(async (where) => {
    asked.push(where);
    if (gone && "after" in where) throw Object.assign(new Error("rows are gone"), { name: "CURSOR_GONE" });
    return { rows: [asked.length], older: "", newer: "1" };
  });
  await pages.renew();
  gone = true;
  await pages.renew();
  assert.deepEqual([pages.shown.value.rows, pages.shown.value.problem], [[1], "rows are gone"]);
  await pages.renew();
  assert.deepEqual([pages.shown.value.rows, pages.shown.value.problem], [[3], ""]);
  const whole = new Pages(async () => ({ rows: [1], older: "" }));
  await whole.renew();
  await whole.renew();
  assert.deepEqual(whole.shown.value.rows, [1]);
});
