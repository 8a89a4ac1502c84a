// The page's words are those of docs/trading.md, each with a meaning and a view where it is seen.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { QUESTIONS, WORDS } from "../../../../sequencer/dashboard/static/parts/glossary_words.js";

const document = readFileSync(new URL("../../../../docs/trading.md", import.meta.url), "utf8");
const VIEWS = ["trade", "pool", "rollup", "learn"];

test("every word of the document has its place", () => {
  const rows = document.split("| word | meaning |\n|---|---|\n")[1].split("\n\n")[0].split("\n");
  const words = new Set(WORDS.map(([word]) => word));
  assert.ok(rows.length > 10);
  for (const row of rows) assert.ok(words.has(row.split("|")[1].trim()), row);
});

test("nothing is explained by nothing", () => {
  for (const [word, meaning, view] of WORDS) {
    assert.ok(meaning.length > 10, word);
    assert.ok(VIEWS.includes(view), word);
  }
  for (const { asked, answer, view, where } of QUESTIONS) {
    assert.ok(asked.endsWith("?") && answer.length > 20 && where.length > 3, asked);
    assert.ok(VIEWS.includes(view), asked);
  }
  assert.equal(new Set(WORDS.map(([word]) => word)).size, WORDS.length);
});
