// What this page signs is what the law recovers: vectors that the Python twin made, of each kind of operation.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { hex, Malformed, unhex } from "../../../../sequencer/dashboard/static/bytes.js";
import { addressOf, digest, domainSeparator, signed, SIGNED, signerOf, typedData } from "../../../../sequencer/dashboard/static/signing.js";
import { given, needsGiven } from "./given.mjs";

const vectors = JSON.parse(readFileSync(new URL("../../../vectors/signatures.json", import.meta.url), "utf8"));
const domain = { chainId: vectors.chain_id, bridge: `0x${vectors.bridge}` };
const key = unhex(`0x${vectors.private_key}`);

// Signed name -> the law's name, where they differ.
const LAW = {
  size_lots: "size", limit_price_ticks: "limit_price", created_at_ms: "created_at", expires_at_ms: "expires_at",
  trigger_price_ticks: "trigger_price", max_posting_fee_micros: "max_posting_fee", amount_micros: "amount",
  to_account: "other", agent_index: "other", agent: "recipient", agent_expires_at_ms: "amount", initial_ppm: "amount",
};

function messageOf(kind, fields) {
  return Object.fromEntries(SIGNED[kind][1].map(([name, type]) => {
    const value = fields[LAW[name] ?? name];
    return [name, type === "bool" ? Boolean(value) : type === "address" ? `0x${value}` : value];
  }));
}

test("the domain is the bridge's", () => {
  assert.equal(hex(domainSeparator(domain)), `0x${vectors.domain}`);
  assert.notEqual(hex(domainSeparator({ ...domain, chainId: 1 })), `0x${vectors.domain}`);
});

test("every kind is signed as the law has it", () => {
  assert.deepEqual([...new Set(vectors.operations.map((one) => one.operation)), "access"].sort(), Object.keys(SIGNED).sort());
  for (const { operation, fields, digest: expected, signature } of vectors.operations) {
    const own = digest(operation, messageOf(operation, fields), domain);
    assert.equal(hex(own), `0x${expected}`, operation);
    assert.equal(signerOf(own, unhex(`0x${signature}`)), `0x${vectors.address}`);
    // Signatures are deterministic: ours is the same one, with v written out.
    const mine = signed(key, own);
    assert.equal(hex(mine.slice(0, 32)), `0x${signature.slice(0, 64)}`);
    assert.equal(mine[64], 27 + (parseInt(signature.slice(64, 66), 16) >> 7));
    assert.equal(signerOf(own, mine), `0x${vectors.address}`);
  }
  assert.equal(addressOf(key), `0x${vectors.address}`);
});

test("an access is signed as the law has it, and every field of it", needsGiven, () => {
  const { message, digest: expected } = given.access;
  assert.equal(hex(digest("access", message, domain)), expected);
  for (const change of [{ account: 18 }, { host: "other.example" }, { challenge: `0x${"34".repeat(32)}` }, { expires_at_ms: 1 }]) {
    assert.notEqual(hex(digest("access", { ...message, ...change }, domain)), expected);
  }
  assert.throws(() => digest("access", { ...message, challenge: "0x33" }, domain), Malformed);
  assert.equal(typedData("access", message, domain).message.host, message.host);
});

test("whom a signature is of, at its edges", () => {
  const nobody = `0x${"00".repeat(20)}`;
  for (const { name, digest: of, signature, address } of vectors.recover) {
    assert.equal(signerOf(unhex(`0x${of}`), unhex(`0x${signature}`)) ?? nobody, `0x${address}`, name);
  }
  assert.equal(signerOf(new Uint8Array(32), new Uint8Array(63)), null);
});

test("one changed field is another digest, and one that does not fit is none", () => {
  const { operation, fields } = vectors.operations.find((one) => one.operation === "withdraw");
  const message = messageOf(operation, fields);
  const own = hex(digest("withdraw", message, domain));
  assert.notEqual(hex(digest("withdraw", { ...message, amount_micros: 1 }, domain)), own);
  for (const wrong of [{ account: 2 ** 24 }, { account: -1 }, { recipient: "0x12" }, { slot: "x" }, { expires_at_ms: undefined }]) {
    assert.throws(() => digest("withdraw", { ...message, ...wrong }, domain), (error) => error instanceof Malformed || error instanceof SyntaxError || error instanceof TypeError);
  }
});

test("a wallet is shown every field, numbers as text", () => {
  const { operation, fields } = vectors.operations.find((one) => one.operation === "order");
  const shown = typedData("order", messageOf(operation, fields), domain);
  assert.equal(shown.primaryType, "Order");
  assert.deepEqual(Object.keys(shown.message), SIGNED.order[1].map(([name]) => name));
  assert.equal(shown.message.size_lots, fields.size);
  assert.equal(shown.message.reduce_only, Boolean(fields.reduce_only));
});
