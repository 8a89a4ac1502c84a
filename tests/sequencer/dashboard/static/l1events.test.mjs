// What was rolled back, by whom and how far; what batches cost is added up as far as it is known, and said of a day at the rate of these where they are of less.
import assert from "node:assert/strict";
import { test } from "node:test";
import { disputes, summed } from "../../../../sequencer/dashboard/static/l1events.js";

const HOUR = 3_600;
/** The newest first, an hour apart. */
const batches = (count) => Array.from({ length: count }, (_, at) => ({ number: count - at, batch_hash: `0x${at}`, committed_at: 1_000_000 - at * HOUR }));
const costs = (count, wei = 10n) => Object.fromEntries(Array.from({ length: count }, (_, at) => [`0x${at}`, { gas: 5, wei }]));

test("all batches of a venue are all of its day", () => {
  assert.deepEqual(summed(batches(3), costs(3), 200), { wei: 30n, gas: 15, count: 3, unknown: 0, isAll: true, isWholeDay: true, dayWei: 30n });
});

test("of those that reach further than a day a day's are told apart", () => {
  const found = summed(batches(30), costs(30), 30);
  assert.deepEqual([found.wei, found.dayWei, found.isAll, found.isWholeDay], [300n, 240n, false, true]);
});

test("of those that reach less far the rate is told", () => {
  // Nine intervals of an hour were paid for by the nine batches that ended them.
  const found = summed(batches(10), costs(10), 10);
  assert.deepEqual([found.wei, found.dayWei, found.isAll, found.isWholeDay], [100n, 240n, false, false]);
  assert.equal(summed(batches(1), costs(1), 1).dayWei, null);
});

test("what is not known is counted as that, and not as nothing", () => {
  const found = summed(batches(3), { ...costs(1), "0x1": null }, 200);
  assert.deepEqual([found.wei, found.count, found.unknown], [10n, 1, 2]);
  assert.equal(summed(batches(3), {}, 200).dayWei, null);
});

const word = (of) => `0x${of.toString(16).padStart(64, "0")}`;
const [BRIDGE, PROVER, POSTER] = ["0xb0", 0xaa, 0xbb].map((of) => (typeof of === "string" ? of : word(of)));
const proof = (block, batch, hash) => ({ blockNumber: block, blockHash: `${block} ${hash}`, logIndex: "0x5", topics: ["rolled", word(batch), hash, PROVER], data: `0x${[1, 2, 3, 4, 5, 6, 7, 8].map((of) => word(of).slice(2)).join("")}` });
const commit = (block, batch, hash, logIndex = "0x1") => ({ blockNumber: block, logIndex, topics: ["committed", word(batch), hash, POSTER] });

/** An L1 node by its logs; `asked`: what it was asked for. */
function l1(proofs, commits) {
  const asked = [];
  const ask = async (method, [{ topics, fromBlock, toBlock }]) => {
    asked.push(topics);
    if (topics.length === 1) return proofs;
    const isIn = ({ blockNumber }) => Number(blockNumber) >= Number(fromBlock) && Number(blockNumber) <= Number(toBlock);
    return commits.filter((one) => isIn(one) && one.topics[1] === topics[1] && (topics[2] === undefined || one.topics[2] === topics[2]));
  };
  return { ask, asked };
}

test("a roll-back names who had posted, who has proven, and all that fell", async () => {
  for (const behind of [0, 1, 2, 3, 6, 7, 20]) {
    const hash = `0xbad${behind}`;
    const commits = [commit("0x2", 3, "0x3"), ...Array.from({ length: behind + 1 }, (_, at) => commit("0x10", 4 + at, at === 0 ? hash : `0x${at}`))];
    const [found] = await disputes(l1([proof("0x20", 4, hash)], commits).ask, BRIDGE, 1);
    assert.deepEqual([found.batch, found.last, found.batchHash, found.chunk, found.rewardWei, found.block], [4, 4 + behind, hash, 1, 7n, 32]);
    assert.deepEqual([found.poster.slice(-2), found.prover.slice(-2)].map((of) => of.toLowerCase()), ["bb", "aa"]);
  }
});

test("what came behind a proof did not fall by it, and what was undone before is not counted", async () => {
  const commits = [commit("0x1", 5, "0xold"), commit("0x10", 4, "0xwrong"), commit("0x20", 5, "0xnew", "0x6"), commit("0x21", 6, "0xnewer")];
  const [found] = await disputes(l1([proof("0x20", 4, "0xwrong")], commits).ask, BRIDGE, 1);
  assert.equal(found.last, 4);
});

test("where L1's node has no log of what fell, that is said and asked again; what is known is asked once", async () => {
  const blind = l1([proof("0x20", 4, "0xlost")], []);
  const [found] = await disputes(blind.ask, BRIDGE, 1);
  assert.deepEqual([found.poster, found.last], [null, null]);
  const seeing = l1([proof("0x20", 4, "0xlost")], [commit("0x10", 4, "0xlost")]);
  assert.equal((await disputes(seeing.ask, BRIDGE, 1))[0].last, 4);
  const before = seeing.asked.length;
  assert.equal((await disputes(seeing.ask, BRIDGE, 1))[0].last, 4);
  assert.equal(seeing.asked.length, before + 1);
});

test("a node that has a log of everything is not asked for ever", async () => {
  const endless = async (method, [{ topics }]) => (topics.length === 1 ? [proof("0x20", 4, "0xall")] : [commit("0x10", Number(topics[1]), "0xall")]);
  const [found] = await disputes(endless, BRIDGE, 1);
  assert.ok(found.last < 2 ** 22);
});
