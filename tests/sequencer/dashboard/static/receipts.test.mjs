// The sequencer's word on a soft cancel counts where the seat has signed it for what was cancelled.
import assert from "node:assert/strict";
import { test } from "node:test";
import { hex, keccakText, unhex } from "../../../../sequencer/dashboard/static/bytes.js";
import { broken, receiptDigest, signerOfReceipt } from "../../../../sequencer/dashboard/static/receipts.js";
import { addressOf, signed } from "../../../../sequencer/dashboard/static/signing.js";

const domain = { chainId: 31337, bridge: `0x${"11".repeat(20)}` };
const key = unhex(`0x${"0b".repeat(32)}`);
const message = { account: 17, slot: 3, sequence: 1_000, created_at_ms: 1_000, expires_at_ms: 61_000, max_posting_fee_micros: 0 };
const plain = { account: 17, slot: 3, sequence: 1_000, time_ms: 2_000, running_hash: `0x${"ab".repeat(32)}`, signature: "" };
const given = { ...plain, signature: hex(signed(key, receiptDigest(plain, domain))) };
const holder = addressOf(key);

test("the type is the protocol's", () => {
  const type = keccakText("Receipt(uint24 account,uint8 slot,uint48 sequence,uint48 time_ms,bytes32 running_hash)");
  assert.equal(hex(type), "0x85dadbb7fd2ef09f0f899b26be3883f0a237c5a61ca185d4a23f98020d6c0878");
});

test("a receipt for this cancel may be evidence, and no other", () => {
  assert.equal(broken(given, message, 2_000), null);
  for (const wrong of [null, { ...given, slot: 4 }, { ...given, sequence: 999 }, { ...given, account: 18 }]) assert.notEqual(broken(wrong, message, 2_000), null);
  assert.match(broken({ ...given, time_ms: 12_001 }, message, 2_000) ?? "", /not come/);
});

test("it leads to the key that has signed all of it, on this venue", () => {
  assert.equal(signerOfReceipt(given, domain), holder);
  for (const wrong of [{ ...given, time_ms: 2_001 }, { ...given, running_hash: `0x${"00".repeat(32)}` }]) assert.notEqual(signerOfReceipt(wrong, domain), holder);
  assert.notEqual(signerOfReceipt(given, { ...domain, chainId: 1 }), holder);
});

test("a cancel of all is of slot 0", () => {
  assert.equal(broken({ ...given, slot: 0 }, { account: 17, sequence: 1_000 }, 2_000), null);
});
