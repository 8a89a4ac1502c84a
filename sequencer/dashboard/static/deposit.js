/** Money into the venue: a deposit on L1, and the account that it opens or fills. */
import { ApiError } from "./api.js";
import { addressWord, hex, number, word } from "./bytes.js";
import { call, oneNumber, words } from "./calls.js";
import { askChain, venue } from "./chain.js";
import { api } from "./feeds.js";
import { dollars } from "./format.js";
import { NEW_ACCOUNT } from "./terms.js";
import { carriedOut } from "./transactions.js";
import { askStatus, status } from "./venue.js";

// Measured on the shipped contracts (approve 46k, deposit 105k to 153k) and doubled: real tokens cost more.
const APPROVE_GAS = 100_000;
const DEPOSIT_GAS = 350_000;
const PATIENCE_MS = 600_000;
const LOOK_MS = 500;

/**
 * Deposits and waits until the node has booked it; the account. Null opens one.
 * @param {import("./session.js").Entered} who
 * @param {bigint} amountMicros
 * @param {number | null} account
 * @returns {Promise<number>}
 */
export async function deposited(who, amountMicros, account) {
  const { identity, token, minimumDepositMicros } = await venue();
  const { bridge } = identity;
  if (amountMicros < minimumDepositMicros) {
    throw new ApiError("TOO_LITTLE", `The bridge takes ${dollars(minimumDepositMicros)} dollars at least.`);
  }
  await requireServed(bridge);
  const before = new Set(await api.call("catenary_accounts", { owner: who.owner }));
  const held = oneNumber(await viewed(token, call("balanceOf(address)", addressWord(who.owner))));
  if (held < amountMicros) throw new ApiError("NOT_ENOUGH", "There are fewer dollars on L1 than that.", { held_micros: String(held) });
  const allowed = oneNumber(await viewed(token, call("allowance(address,address)", addressWord(who.owner), addressWord(bridge))));
  if (allowed < amountMicros) {
    const data = call("approve(address,uint256)", addressWord(bridge), word(amountMicros));
    await carriedOut(who, { title: "Allow the bridge to take the dollars", to: token, data, gas: APPROVE_GAS });
  }
  const into = word(account ?? NEW_ACCOUNT);
  const data = call("deposit(address,uint256,uint256)", addressWord(who.owner), into, word(amountMicros));
  const receipt = await carriedOut(who, { title: "Deposit", to: bridge, data, gas: DEPOSIT_GAS });
  const entry = entryOf(receipt, bridge);
  const end = Date.now() + PATIENCE_MS;
  while (Date.now() < end) {
    await askStatus();
    if ((status.peek()?.sequenced.queue_count ?? 0) > entry) {
      if (account !== null) return account;
      const opened = (await api.call("catenary_accounts", { owner: who.owner })).filter((one) => !before.has(one));
      if (opened[0] !== undefined) return opened[0];
      throw new ApiError("REFUNDED", "The deposit opened no account and became a withdrawal.");
    }
    await new Promise((go) => setTimeout(go, LOOK_MS));
  }
  throw new ApiError("NOT_YET", `Deposit ${entry} is on L1, but the node has not booked it: it will, do not deposit it again.`);
}

/**
 * That the queue is served: a deposit that no batch has taken when the bridge freezes is nobody's for ever.
 * @param {string} bridge
 */
async function requireServed(bridge) {
  const [frozen, told, parameters, head] = await Promise.all([
    viewed(bridge, call("frozen_at()")),
    viewed(bridge, call("deadlines()")),
    viewed(bridge, call("parameters()")),
    askChain("eth_getBlockByNumber", ["latest", false]),
  ]);
  if (oneNumber(frozen) !== 0n) throw new ApiError("FROZEN", "The bridge is frozen: it takes no deposit, and pays final withdrawals alone.");
  // entry index, due at, unseat at, freeze at; of the parameters the second is how long an entry may wait.
  const [, due = 0n, , freeze = 0n] = words(told, 4).map(number);
  const [, inclusion = 0n] = words(parameters, 13).map(number);
  const late = due + inclusion < freeze ? due + inclusion : freeze;
  if (due !== 0n && BigInt(head.timestamp) >= late) {
    throw new ApiError("QUEUE_OVERDUE", "The queue from L1 is overdue: if the bridge freezes, what is deposited now is lost.");
  }
}

/** @param {string} to @param {Uint8Array} data */
async function viewed(to, data) {
  return String(await askChain("eth_call", [{ to, data: hex(data) }, "latest"]));
}

/** The queue's index of what a transaction entered. @param {any} receipt @param {string} bridge */
function entryOf(receipt, bridge) {
  const found = receipt.logs.filter((/** @type {any} */ log) => log.address.toLowerCase() === bridge.toLowerCase()).at(-1);
  if (found === undefined) throw new ApiError("L1_REFUSED", "The receipt holds no entry of the queue.");
  return Number(found.topics[1]);
}
