/**
 * What this page believes of a venue, and why: contracts by their code on L1, markets by the genesis log, what a node
 * says by a proof against the bridge. Pure: whoever asks L1 is handed in.
 *
 * @import {GlobalsProof, MarketView, Status} from "./wire"
 * @import {Globals, ListedMarket} from "./globals.js"
 */
import { hex, joined, keccak, keccakText, number, same, unhex, word } from "./bytes.js";
import { addressIn, call, oneNumber, padded, words } from "./calls.js";
import { globalsOf, requireLegal } from "./globals.js";
import { FAMILIES, LAW_VERSION, SHIPPED } from "./shipped.js";
import { domainSeparator } from "./signing.js";

/** @typedef {(method: string, params: any[]) => Promise<any>} Ask asks an L1 node */
/**
 * Which rollup it is: an address may stand on many chains, a chain id on many devnets.
 * @typedef {{chainId: number, genesisBlockHash: string, bridge: string, genesisRoot: string}} Identity
 */
/**
 * @typedef {object} Venue
 * @property {Identity} identity
 * @property {string} referee
 * @property {string} token
 * @property {number} block of the bridge's first log
 * @property {number} windowSeconds
 * @property {bigint} minimumDepositMicros
 * @property {bigint} entryFeeWei
 * @property {string} governor
 * @property {string} operator
 * @property {string[]} signers
 * @property {number} quorum
 * @property {number} postingFeeMicros
 * @property {ListedMarket[]} markets
 */

/** Nothing is signed: what stands on L1, or what the node says, is not what this page ships. */
export class NotGenuine extends Error {
  name = "NOT_GENUINE";
}

// PROTOCOL.md derives what a hostile sequencer can gain on forced paths from an hour each.
const MOST_WAIT_SECONDS = 3_600n;
const NOBODY = `0x${"00".repeat(20)}`;
const PARAMETERS = "(uint256,uint256,uint256,uint256,uint256,uint256,uint256,uint256,uint256,uint256,uint256,address,uint256)";
const COMMITMENT = "(uint256,bytes32,bytes32,uint256,uint256,uint256,bytes32,uint256,bytes32)";
const GENESIS = hex(keccakText(`Genesis(bytes32,bytes32,address,address,${PARAMETERS},${COMMITMENT},bytes)`));

/** @param {boolean} holds @param {string} sentence @returns {asserts holds} */
function require(holds, sentence) {
  if (!holds) throw new NotGenuine(sentence);
}

/** @param {Ask} ask @param {string} to @param {Uint8Array} data */
async function view(ask, to, data) {
  return String(await ask("eth_call", [{ to, data: hex(data) }, "latest"]));
}

/** @param {Ask} ask @param {string} to @param {string} name */
async function addressOf(ask, to, name) {
  return addressIn(words(await view(ask, to, call(`${name}()`)), 1)[0]);
}

/** @param {Ask} ask @param {keyof typeof SHIPPED} name @param {string} address */
async function requireShipped(ask, name, address) {
  const code = unhex(String(await ask("eth_getCode", [address, "latest"])));
  const { runtimeBytes, immutableBytes, runtimeHash } = SHIPPED[name];
  require(code.length > 0, `there is no contract at ${address} where ${name} should be`);
  const isShipped = code.length === runtimeBytes + immutableBytes && hex(keccak(code.slice(0, runtimeBytes))) === runtimeHash;
  require(isShipped, `the code at ${address} is not the shipped ${name}`);
}

/**
 * The venue that a node claims to serve, if it is what L1 holds and what this page ships; NotGenuine where it is not.
 * `step` hears what was checked.
 * @param {Ask} ask
 * @param {Pick<Status, "chain_id" | "rollup_address" | "referee_address" | "token_address">} status
 * @param {(sentence: string) => void} [step]
 * @returns {Promise<Venue>}
 */
export async function examined(ask, status, step = () => {}) {
  const chainId = Number(await ask("eth_chainId", []));
  require(chainId === status.chain_id, `the node serves chain ${status.chain_id}, the L1 that was asked is chain ${chainId}`);
  const bridge = hex(unhex(status.rollup_address, 20));
  await requireShipped(ask, "RollupBridge", bridge);
  const referee = await addressOf(ask, bridge, "REFEREE");
  const token = await addressOf(ask, bridge, "TOKEN");
  await requireShipped(ask, "FraudReferee", referee);
  for (const name of FAMILIES) {
    await requireShipped(ask, /** @type {keyof typeof SHIPPED} */ (name), await addressOf(ask, referee, name.toUpperCase()));
  }
  step(`Bridge, referee and its ${FAMILIES.length} parts run the shipped code.`);
  require(same(referee, status.referee_address), `the node names ${status.referee_address} as referee, the bridge has ${referee}`);
  require(same(token, status.token_address), `the node names ${status.token_address} as token, the bridge has ${token}`);
  require(oneNumber(await view(ask, token, call("decimals()"))) === 6n, "the token does not count in micro-dollars");
  const domain = await view(ask, bridge, call("DOMAIN_SEPARATOR()"));
  require(same(domain, hex(domainSeparator({ chainId, bridge }))), "the bridge was deployed for another chain");
  const parameters = words(await view(ask, bridge, call("parameters()")), 13);
  const parameter = (/** @type {number} */ at) => number(parameters[at] ?? new Uint8Array());
  require(parameter(1) <= MOST_WAIT_SECONDS && parameter(2) <= MOST_WAIT_SECONDS, "the bridge lets entries or the clock wait for more than an hour");
  const genesis = await genesisOf(ask, bridge);
  step("The bridge was made by the shipped constructor, of a legal genesis.");
  const first = await ask("eth_getBlockByNumber", ["0x0", false]);
  // Invariant: what is pinned was told; an absence would be another chain's too.
  require(/^0x[0-9a-f]{64}$/i.test(first?.hash), "L1 does not give its first block: which chain this is cannot be pinned");
  const { markets, operator, signers, quorum, postingFeeMicros } = genesis.globals;
  return {
    identity: { chainId, genesisBlockHash: first.hash, bridge, genesisRoot: genesis.root },
    referee,
    token,
    block: genesis.block,
    windowSeconds: Number(parameter(0)),
    minimumDepositMicros: parameter(8),
    entryFeeWei: parameter(10),
    governor: addressIn(parameters[11]),
    operator,
    signers,
    quorum,
    postingFeeMicros,
    markets,
  };
}

/**
 * The first globals, from the one log that the constructor wrote; code that is genuine does not tell what stood in its
 * storage when it was put there.
 * @param {Ask} ask
 * @param {string} bridge
 * @returns {Promise<{globals: Globals, root: string, block: number}>}
 */
async function genesisOf(ask, bridge) {
  const [log] = await ask("eth_getLogs", [{ address: bridge, topics: [GENESIS], fromBlock: "0x0", toBlock: "latest" }]);
  require(log !== undefined, "L1 does not give the bridge's genesis log: what lots and ticks mean is unknown");
  const data = unhex(log.data);
  // referee, token, 13 parameters, 9 words of commitment, an offset of 25 words, then the bytes.
  const head = 25 * 32;
  require(data.length > head + 32 && number(data.slice(head - 32, head)) === BigInt(head), "the genesis log is none");
  const bytes = data.slice(head + 32, head + 32 + Number(number(data.slice(head, head + 32))));
  requireLegal(bytes);
  const commitment = data.slice(15 * 32, 24 * 32);
  const root = hex(keccak(commitment));
  require(same(root, log.topics[2]) && same(hex(keccak(bytes)), hex(commitment.slice(8 * 32))), "the genesis bytes do not give the first root");
  require(number(commitment.slice(0, 32)) === BigInt(LAW_VERSION), "the venue is of another law version");
  require(same(hex(treeOf(globalsOf(bytes).operator)), hex(commitment.slice(32, 64))), "the first tree holds more than the fee account");
  require(commitment.slice(64, 256).every((byte) => byte === 0), "the first state has a past");
  const record = words(await view(ask, bridge, call("record(uint256)", word(0))), 7);
  require(same(hex(record[2] ?? new Uint8Array()), root), "the bridge's first root is not the genesis log's");
  const made = await ask("eth_getTransactionByHash", [log.transactionHash]);
  const { creationBytes, creationHash } = SHIPPED.RollupBridge;
  const input = unhex(String(made?.input ?? "0x"));
  // The constructor takes token before referee; all else as the log has it.
  const fixed = joined(data.slice(32, 64), data.slice(0, 32), data.slice(64, head), padded(bytes));
  const isShipped = (made?.to ?? null) === null && hex(keccak(input.slice(0, creationBytes))) === creationHash;
  require(isShipped && hex(input.slice(creationBytes)) === hex(fixed), "the bridge was not made by the shipped constructor: what stands in its storage is anybody's choice");
  return { globals: globalsOf(bytes), root, block: Number(log.blockNumber) };
}

/** The root of a tree that holds the fee account alone. @param {string} operator */
function treeOf(operator) {
  let node = keccak(joined(new Uint8Array(12), unhex(operator, 20), new Uint8Array(25 * 32)));
  for (let level = 0; level < 32; level++) node = keccak(joined(node, new Uint8Array(32)));
  return node;
}

/**
 * Globals of a batch, if the bridge keeps their root; NotGenuine for any others.
 * @param {Ask} ask
 * @param {Venue} venue
 * @param {GlobalsProof} proof
 */
export async function provenGlobals(ask, venue, proof) {
  const commitment = joined(...proof.commitment.map((one) => unhex(one, 32)));
  const bytes = unhex(proof.globals);
  require(commitment.length === 288 && same(hex(keccak(bytes)), hex(commitment.slice(256))), "the node's globals are not the committed ones");
  const record = words(await view(ask, venue.identity.bridge, call("record(uint256)", word(proof.batch))), 7);
  require(same(hex(record[2] ?? new Uint8Array()), hex(keccak(commitment))), `the node's commitment does not open the root of batch ${proof.batch}`);
  return globalsOf(bytes);
}

/**
 * The venue with what it lists and charges now, where somebody may change that. `settled`: of a final batch, whose
 * labels no proof of fraud can change; a market that is in none is not there yet.
 * @param {Venue} venue
 * @param {Globals} posted
 * @param {Globals} settled
 * @returns {Venue}
 */
export function governed(venue, posted, settled) {
  for (const was of venue.markets) {
    const now = settled.markets[was.index];
    require(now?.name === was.name && now.sizeDecimals === was.sizeDecimals, `the label of market ${was.name} has changed: that is a lie`);
  }
  const markets = settled.markets.map((one) => ({ ...one, ...feesOf(posted.markets[one.index]) }));
  return { ...venue, markets, postingFeeMicros: posted.postingFeeMicros, signers: posted.signers };
}

/** @param {ListedMarket | undefined} market */
function feesOf(market) {
  return market === undefined ? {} : { makerFeePpm: market.makerFeePpm, takerFeePpm: market.takerFeePpm };
}

/** Whether somebody may change fees and list markets. @param {Venue} venue */
export function isGoverned(venue) {
  return venue.governor !== NOBODY;
}

/**
 * The market to sign for, as L1 has it; NotGenuine where the node gives it another name or grid.
 * @param {Venue} venue
 * @param {MarketView} said
 */
export function listed(venue, said) {
  const found = venue.markets[said.index];
  require(found !== undefined, `market ${said.name} stands in no final batch: what its lots mean may still prove a lie`);
  const isSame = found.name === said.name && found.sizeDecimals === said.size_decimals && 6 - found.sizeDecimals === said.price_decimals;
  require(isSame, `the node calls market ${said.index} ${said.name} of ${said.size_decimals} decimals, L1 calls it ${found.name} of ${found.sizeDecimals}`);
  return found;
}

/** @param {Identity} one */
export function nameOf(one) {
  return `rollup ${one.bridge} on chain ${one.chainId} (first root ${one.genesisRoot.slice(0, 10)}…)`;
}

/** @param {Identity} a @param {Identity} b */
export function isSame(a, b) {
  return a.chainId === b.chainId && same(a.bridge, b.bridge) && same(a.genesisRoot, b.genesisRoot) && same(a.genesisBlockHash, b.genesisBlockHash);
}
