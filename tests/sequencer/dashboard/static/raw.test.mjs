// Transactions as ethers makes them: the same bytes, the same hash.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ethers } from "ethers";
import { hex, unhex } from "../../../../sequencer/dashboard/static/bytes.js";
import { rlp, signedTransaction } from "../../../../sequencer/dashboard/static/raw.js";

const key = `0x${"0d".repeat(32)}`;
const to = `0x${"ab".repeat(20)}`;

test("the recursive prefix", () => {
  for (const item of ["0x", "0x00", "0x7f", "0x80", `0x${"01".repeat(55)}`, `0x${"01".repeat(56)}`, `0x${"02".repeat(300)}`]) {
    assert.equal(hex(rlp(unhex(item))), ethers.encodeRlp(item), item);
    assert.equal(hex(rlp([unhex(item), [unhex(item)], []])), ethers.encodeRlp([item, [item], []]), item);
  }
});

test("a transaction is what another library makes of it", async () => {
  const wallet = new ethers.Wallet(key);
  for (const [nonce, value, size] of [[0, 0n, 0], [1, 10n ** 18n, 4], [300, 1n, 200]]) {
    const data = new Uint8Array(size).fill(7);
    const own = signedTransaction(unhex(key), { chainId: 31337, nonce, tipWei: 10n ** 9n, maxFeeWei: 3n * 10n ** 9n, gas: 350_000, to, value, data });
    const other = await wallet.signTransaction({
      type: 2, chainId: 31337, nonce, maxPriorityFeePerGas: 10n ** 9n, maxFeePerGas: 3n * 10n ** 9n, gasLimit: 350_000, to, value, data: hex(data),
    });
    assert.equal(own.raw, other);
    assert.equal(own.hash, ethers.keccak256(other));
  }
});
