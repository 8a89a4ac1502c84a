// Proofs that the Python law has made, followed in the page; and each wrong byte told at its step.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { hex, Malformed, unhex } from "../../../../sequencer/dashboard/static/bytes.js";
import { followed, followedWithdrawal, leafOf } from "../../../../sequencer/dashboard/static/proof.js";
import { given, needsGiven } from "./given.mjs";

const vectors = JSON.parse(readFileSync(new URL("../../../vectors/encodings.json", import.meta.url), "utf8"));

test("leaves of the law's vectors", () => {
  for (const { payload, leaf_hash: leaf } of vectors.accounts) {
    assert.equal(hex(leafOf(unhex(`0x${payload}`)).leaf), `0x${leaf}`);
  }
  assert.throws(() => leafOf(new Uint8Array(151)), Malformed);
  assert.throws(() => leafOf(new Uint8Array(153)), Malformed);
});

const rootOf = async () => given.proofs.root;
const firstFailed = ({ steps }) => steps.find((one) => !one.holds)?.title;
const flipped = (text) => text.slice(0, -1) + (text.endsWith("0") ? "1" : "0");

test("every account's proof leads to the root, and says what the account has", needsGiven, async () => {
  for (const { account, owner, collateral, positions, proof } of given.proofs.accounts) {
    const found = await followed(account, proof, rootOf, owner);
    assert.equal(found.holds, true, `${account}: ${firstFailed(found)}`);
    assert.equal(found.steps.length, 36);
    const { row } = found;
    assert.equal(String(row.settledMicros + row.olderMicros + row.freshMicros), collateral);
    const shown = row.positions.map((one) => ({ market: one.market, sizeLots: String(one.sizeLots), costMicros: String(one.costMicros) }));
    assert.deepEqual(shown, positions);
  }
});

test("a wrong byte is told at its step", needsGiven, async () => {
  const { account, owner, proof } = given.proofs.accounts[0];
  const last = (change) => followed(account, { ...proof, ...change }, rootOf, owner).then(firstFailed);
  assert.equal(await last({ leaf: flipped(proof.leaf) }), "The tree's root stands in the commitment");
  assert.equal(await last({ path: proof.path.with(9, flipped(proof.path[9])) }), "The tree's root stands in the commitment");
  assert.equal(await last({ commitment: proof.commitment.with(1, flipped(proof.commitment[1])) }), "The tree's root stands in the commitment");
  assert.equal(await last({ commitment: proof.commitment.with(7, flipped(proof.commitment[7])) }), "The commitment opens batch 3");
  assert.equal(firstFailed(await followed(account + 1, proof, rootOf, owner)), "The tree's root stands in the commitment");
  assert.equal(firstFailed(await followed(account, proof, rootOf, `0x${"99".repeat(20)}`)), "The leaf is of its owner");
  assert.equal(firstFailed(await followed(account, { ...proof, leaf: "0x" }, rootOf, owner)), "The batch holds the account");
  assert.equal(firstFailed(await followed(account, proof, async () => `0x${"00".repeat(32)}`, owner)), "The commitment opens batch 3");
  await assert.rejects(followed(account, { ...proof, path: proof.path.slice(1) }, rootOf), Malformed);
  await assert.rejects(followed(account, { ...proof, commitment: proof.commitment.slice(1) }, rootOf), Malformed);
});

test("a withdrawal's proof", needsGiven, async () => {
  const { index, proof } = given.proofs.withdrawal;
  assert.equal((await followedWithdrawal(index, proof, rootOf)).holds, true);
  assert.equal((await followedWithdrawal(index + 1, proof, rootOf)).holds, false);
  assert.equal((await followedWithdrawal(index, { ...proof, amount_micros: "4000001" }, rootOf)).holds, false);
});
