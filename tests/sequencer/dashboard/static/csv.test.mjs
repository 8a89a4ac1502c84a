// A file for a spreadsheet, that runs nothing there.
import assert from "node:assert/strict";
import { test } from "node:test";
import { csv } from "../../../../sequencer/dashboard/static/csv.js";

test("rows as they are, quoted where they must be, never a formula", () => {
  assert.equal(csv(["Market", "Note"], [["BTC", "-1.5"], ['a "b", c', "=SUM(A1)"], ["x\ny", "+2"]]), 'Market,Note\r\nBTC,-1.5\r\n"a ""b"", c",\'=SUM(A1)\r\n"x\ny",+2\r\n');
});
