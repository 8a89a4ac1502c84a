// Bytes, words and addresses.
import assert from "node:assert/strict";
import { test } from "node:test";
import { checksummed, hex, joined, Malformed, number, signedNumber, unhex, word } from "../../../../sequencer/dashboard/static/bytes.js";
import { addressIn, call, padded, words } from "../../../../sequencer/dashboard/static/calls.js";

test("hexadecimal there and back, and what is none", () => {
  assert.equal(hex(unhex("0x00ff10")), "0x00ff10");
  for (const wrong of ["00", "0x0", "0xzz", "", null, "0x00 "]) assert.throws(() => unhex(wrong), Malformed);
  assert.throws(() => unhex("0x00", 2), Malformed);
});

test("words hold what fits", () => {
  assert.equal(number(word(-1)), 2n ** 256n - 1n);
  assert.equal(signedNumber(word(-5n)), -5n);
  assert.equal(hex(word(258, 2)), "0x0102");
  assert.throws(() => word(65_536, 2), Malformed);
  assert.throws(() => word(-32_769, 2), Malformed);
  assert.equal(hex(joined(word(1, 1), word(2, 1))), "0x0102");
});

test("an address checks itself by its letters", () => {
  assert.equal(checksummed("0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed"), "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed");
});

test("calls and answers", () => {
  assert.equal(hex(call("transfer(address,uint256)")), "0xa9059cbb");
  assert.equal(hex(padded(unhex("0x05"))), hex(joined(word(1), unhex(`0x05${"00".repeat(31)}`))));
  assert.equal(words(hex(joined(word(1), word(2)))).length, 2);
  assert.throws(() => words("0x01"), Malformed);
  assert.throws(() => words(hex(word(1)), 2), Malformed);
  assert.equal(addressIn(word(5)), `0x${"00".repeat(19)}05`);
  assert.throws(() => addressIn(word(2n ** 160n)), Malformed);
});
