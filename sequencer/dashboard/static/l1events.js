/** What the bridge has logged on L1 of late: commits with their cost, roll-backs with who proved them, announcements. */
import { hex, keccakText, number, unhex } from "./bytes.js";
import { addressIn } from "./calls.js";

/**
 * @typedef {object} Cost
 * @property {number} gas
 * @property {bigint} wei
 */
/**
 * `poster` and `last`, the newest batch that fell with it: null where L1's node has no log of them.
 * @typedef {object} Dispute
 * @property {number} batch
 * @property {string} batchHash
 * @property {string | null} poster
 * @property {number | null} last
 * @property {string} prover
 * @property {number} chunk
 * @property {string} claimedRoot
 * @property {string} replayedRoot
 * @property {bigint} rewardWei
 * @property {number} block
 */
/**
 * @typedef {object} Announced
 * @property {string} announcement
 * @property {number} enactableAt
 * @property {number} tag
 * @property {boolean} isRetracted
 */

const COMMITMENT = "(uint256,bytes32,bytes32,uint256,uint256,uint256,bytes32,uint256,bytes32)";
const TOPICS = {
  committed: hex(keccakText(`BatchCommitted(uint256,bytes32,address,bytes32,uint256,uint256,uint256,${COMMITMENT},bytes[],bytes32[])`)),
  rolledBack: hex(keccakText("RolledBack(uint256,bytes32,address,uint256,bytes32,bytes32,uint256,uint256,uint256,uint256,uint256)")),
  announced: hex(keccakText("Announced(bytes32,uint256,uint256,bytes)")),
  retracted: hex(keccakText("Retracted(bytes32)")),
};

/** @param {any} log @param {number} at */
function dataWord(log, at) {
  return unhex(log.data).slice(32 * at, 32 * at + 32);
}

/**
 * The transaction that posted a batch, and what it cost; null where L1 does not say.
 * @param {import("./trust.js").Ask} ask
 * @param {string} bridge
 * @param {{number: number, l1_block: number}} batch
 * @returns {Promise<Cost | null>}
 */
export async function costOf(ask, bridge, batch) {
  const block = `0x${batch.l1_block.toString(16)}`;
  const topics = [TOPICS.committed, `0x${batch.number.toString(16).padStart(64, "0")}`];
  const [log] = await ask("eth_getLogs", [{ address: bridge, topics, fromBlock: block, toBlock: block }]);
  if (log === undefined) return null;
  const receipt = await ask("eth_getTransactionReceipt", [log.transactionHash]);
  if (receipt === null) return null;
  const gas = Number(receipt.gasUsed);
  return { gas, wei: BigInt(gas) * BigInt(receipt.effectiveGasPrice ?? "0x0") };
}

const DAY_SECONDS = 86_400;

/**
 * What batches cost together, and in the last day: exact where they reach back so far, else at their own rate.
 * @param {{number: number, batch_hash: string, committed_at: number}[]} batches the newest first, without a gap
 * @param {Record<string, Cost | null | undefined>} costs by hash
 * @param {number} most as many as are told at once
 */
export function summed(batches, costs, most) {
  const known = batches.flatMap((one) => {
    const cost = costs[one.batch_hash];
    return cost ? [{ at: one.committed_at, ...cost }] : [];
  });
  const add = (/** @type {Cost[]} */ of) => of.reduce((sum, one) => sum + one.wei, 0n);
  const [newest, oldest] = [known[0]?.at ?? 0, known[known.length - 1]?.at ?? 0];
  const isAll = batches.length < most;
  const isWholeDay = isAll || newest - oldest >= DAY_SECONDS;
  // Of those that a rate is taken from the oldest one paid for the time before it.
  const rate = newest > oldest ? (add(known.slice(0, -1)) * BigInt(DAY_SECONDS)) / BigInt(newest - oldest) : null;
  const dayWei = isWholeDay ? add(known.filter((one) => one.at > newest - DAY_SECONDS)) : rate;
  return {
    wei: add(known),
    gas: known.reduce((sum, one) => sum + one.gas, 0),
    count: known.length,
    unknown: batches.length - known.length,
    isAll,
    isWholeDay,
    dayWei: known.length > 0 ? dayWei : null,
  };
}

/** Twice as far each time: as many batches as no node posts in a challenge window. */
const FARTHEST = 2 ** 20;
/** What fell with a batch stays so, by the block and the batch. @type {Map<string, Promise<{poster: string | null, last: number | null}>>} */
const fallen = new Map();

/**
 * Who had posted a batch that is gone, and how far it reached what stood on it.
 * @param {import("./trust.js").Ask} ask
 * @param {string} bridge
 * @param {any} log of the roll-back
 * @param {number} from
 * @returns {Promise<{poster: string | null, last: number | null}>}
 */
async function fell(ask, bridge, log, from) {
  const number = Number(log.topics[1]);
  /** @param {string} fromBlock @param {number} of @param {string[]} more @returns {Promise<any[]>} */
  const commits = async (fromBlock, of, ...more) => {
    const topics = [TOPICS.committed, `0x${of.toString(16).padStart(64, "0")}`, ...more];
    const found = await ask("eth_getLogs", [{ address: bridge, topics, fromBlock, toBlock: log.blockNumber }]);
    // What came behind the proof, in its own block, did not fall by it.
    return found.filter((/** @type {any} */ one) => one.blockNumber !== log.blockNumber || Number(one.logIndex) < Number(log.logIndex));
  };
  const [posted] = await commits(`0x${from.toString(16)}`, number, log.topics[2]);
  if (posted === undefined) return { poster: null, last: null };
  const stood = async (/** @type {number} */ of) => (await commits(posted.blockNumber, of)).length > 0;
  let [last, step] = [number, 1];
  for (; step < FARTHEST && (await stood(last + step)); step *= 2) last += step;
  for (step /= 2; step >= 1; step /= 2) if (await stood(last + step)) last += step;
  return { poster: addressIn(unhex(posted.topics[3])), last };
}

/**
 * All roll-backs since a block, the newest first.
 * @param {import("./trust.js").Ask} ask
 * @param {string} bridge
 * @param {number} from
 * @returns {Promise<Dispute[]>}
 */
export async function disputes(ask, bridge, from) {
  const found = await ask("eth_getLogs", [{ address: bridge, topics: [TOPICS.rolledBack], fromBlock: `0x${from.toString(16)}`, toBlock: "latest" }]);
  const told = found.map(async (/** @type {any} */ log) => {
    const key = `${log.blockHash} ${log.topics[2]}`;
    const known = fallen.get(key) ?? fell(ask, bridge, log, from);
    fallen.set(key, known);
    known.then(({ poster }) => poster === null && fallen.delete(key), () => fallen.delete(key));
    return {
      ...(await known),
      batch: Number(log.topics[1]),
      batchHash: String(log.topics[2]),
      prover: addressIn(unhex(log.topics[3])),
      chunk: Number(number(dataWord(log, 0))),
      claimedRoot: hex(dataWord(log, 1)),
      replayedRoot: hex(dataWord(log, 2)),
      rewardWei: number(dataWord(log, 6)),
      block: Number(log.blockNumber),
    };
  });
  return (await Promise.all(told)).reverse();
}

/**
 * What the governor has announced since a block, the newest first.
 * @param {import("./trust.js").Ask} ask
 * @param {string} bridge
 * @param {number} from
 * @returns {Promise<Announced[]>}
 */
export async function announcements(ask, bridge, from) {
  const topics = [[TOPICS.announced, TOPICS.retracted]];
  const found = await ask("eth_getLogs", [{ address: bridge, topics, fromBlock: `0x${from.toString(16)}`, toBlock: "latest" }]);
  /** @type {Announced[]} */
  let told = [];
  for (const log of found) {
    const announcement = String(log.topics[1]);
    if (log.topics[0] === TOPICS.retracted) {
      told = told.map((one) => (one.announcement === announcement ? { ...one, isRetracted: true } : one));
    } else {
      told.push({ announcement, enactableAt: Number(number(dataWord(log, 0))), tag: Number(number(dataWord(log, 1))), isRetracted: false });
    }
  }
  return told.reverse();
}
