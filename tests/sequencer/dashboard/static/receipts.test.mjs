// The sequencer's word on a soft cancel counts where the seat has signed it for what was cancelled.
import assert from "node:assert/strict";
import { test } from "node:test";
import { hex, keccakText, unhex } from "../../../../sequencer/dashboard/static/bytes.js";
import { broken, receiptDigest } from "../../../../sequencer/dashboard/static/receipts.js";
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

test("a receipt of the seat for this cancel is evidence, and no other", () => {
  assert.equal(broken(given, message, domain, holder, 2_000), null);
  const wrongs = [null, { ...given, slot: 4 }, { ...given, sequence: 999 }, { ...given, time_ms: 2_001 }, { ...given, running_hash: `0x${"00".repeat(32)}` }];
  for (const wrong of wrongs) assert.notEqual(broken(wrong, message, domain, holder, 2_000), null);
  assert.match(broken(given, message, domain, `0x${"22".repeat(20)}`, 2_000) ?? "", /not signed by the seat/);
  assert.match(broken({ ...given, time_ms: 12_001 }, message, domain, holder, 2_000) ?? "", /not come/);
  assert.match(broken(given, message, { ...domain, chainId: 1 }, holder, 2_000) ?? "", /not signed by the seat/);
});

test("a cancel of all is of slot 0", () => {
  const all = { account: 17, sequence: 1_000 };
  const receipt = { ...plain, slot: 0 };
  assert.equal(broken({ ...receipt, signature: hex(signed(key, receiptDigest(receipt, domain))) }, all, domain, holder, 2_000), null);
});
