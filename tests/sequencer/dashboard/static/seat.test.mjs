// Whose word something is L1 says: the seat's of today, one who held it before, nobody's, or it does not say.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ofSeat } from "../../../../sequencer/dashboard/static/seat.js";

const bridge = `0x${"11".repeat(20)}`;
const signer = `0x${"aa".repeat(20)}`;
const other = `0x${"bb".repeat(20)}`;
const open = `0x${"00".repeat(20)}`;
const seat = (holder) => `0x${holder.slice(2).padStart(64, "0")}${"00".repeat(96)}`;

/** An L1 whose seat is held so, and whose log shows who has taken it; what it was asked. */
function l1(holder, taken = []) {
  const asked = [];
  const ask = async (method, params) => {
    asked.push([method, ...params]);
    if (method === "eth_call") return seat(holder);
    const [{ topics }] = params;
    return taken.filter((one) => topics[1].endsWith(one.slice(2)));
  };
  return { ask, asked };
}

test("the seat's holder has signed, whatever L1 has logged", async () => {
  const { ask, asked } = l1(signer);
  assert.deepEqual(await ofSeat(ask, bridge, 7, signer), { holder: signer, why: "" });
  assert.deepEqual(asked.map(([method]) => method), ["eth_call"]);
});

test("who has held the seat before is bound, with the seat open or another's", async () => {
  for (const holder of [open, other]) {
    const { ask, asked } = l1(holder, [signer]);
    assert.deepEqual(await ofSeat(ask, bridge, 7, signer), { holder: signer, why: "" });
    const [, filter] = asked[1];
    assert.deepEqual([filter.address, filter.fromBlock, filter.toBlock], [bridge, "0x7", "latest"]);
    // SeatTaken(address,uint256,string), of this holder alone.
    assert.equal(filter.topics[0], "0x08044ba4788b3e7c8ebffe3d24642d00be52cb0183b07c5f73319cdd8c22f1da");
    assert.equal(filter.topics[1], `0x${signer.slice(2).padStart(64, "0")}`);
  }
});

test("while the seat is open nobody can say of a stranger", async () => {
  assert.equal(await ofSeat(l1(open).ask, bridge, 7, signer), null);
});

test("of a stranger beside a holder, and of nobody's key, it is none", async () => {
  assert.match((await ofSeat(l1(other, [other]).ask, bridge, 7, signer)).why, /not signed by the seat, 0xbbbb/);
  assert.match((await ofSeat(l1(other).ask, bridge, 7, null)).why, /nobody's key/);
});

test("a log that does not show how today's holder took the seat says nothing of anybody", async () => {
  assert.equal(await ofSeat(l1(other).ask, bridge, 7, signer), null);
});

test("a silent L1, and one that answers as no bridge would, says nothing", async () => {
  const silent = async () => {
    throw new Error("L1_AWAY");
  };
  await assert.rejects(ofSeat(silent, bridge, 7, signer), /L1_AWAY/);
  await assert.rejects(ofSeat(async () => "0x", bridge, 7, signer));
  // It names a holder and keeps its log back: nothing is concluded.
  const half = async (method) => (method === "eth_call" ? seat(other) : silent());
  await assert.rejects(ofSeat(half, bridge, 7, signer), /L1_AWAY/);
});
