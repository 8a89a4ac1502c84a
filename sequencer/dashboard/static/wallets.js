/**
 * Wallets of this browser: found by EIP-6963, spoken to by EIP-1193. What a wallet signs is recovered before it is used.
 */
import { signal } from "@preact/signals";
import { ApiError } from "./api.js";
import { checksummed, hex, same } from "./bytes.js";
import { digest, signatureOf, signerOf, typedData } from "./signing.js";

/**
 * @typedef {object} Provider
 * @property {(asked: {method: string, params?: any}) => Promise<any>} request
 * @property {(event: string, hear: (value: any) => void) => void} [on]
 * @property {(event: string, hear: (value: any) => void) => void} [removeListener]
 */
/** @typedef {{uuid: string, name: string, rdns: string, provider: Provider}} Found */

/** The wallets that have announced themselves. @type {import("@preact/signals").Signal<Found[]>} */
export const wallets = signal([]);
const MOST = 20;

addEventListener("eip6963:announceProvider", (event) => {
  const { info, provider } = /** @type {any} */ (event).detail ?? {};
  if (typeof info?.uuid !== "string" || typeof provider?.request !== "function") return;
  const found = { uuid: info.uuid, name: String(info.name).slice(0, 40), rdns: String(info.rdns).slice(0, 60), provider };
  wallets.value = [...wallets.peek().filter((one) => one.uuid !== found.uuid), found].slice(-MOST);
});

/** Asks wallets to announce themselves; those of before EIP-6963 stand in the window. */
export function discover() {
  dispatchEvent(new Event("eip6963:requestProvider"));
  const old = /** @type {any} */ (window).ethereum;
  if (wallets.peek().length === 0 && typeof old?.request === "function") {
    wallets.value = [{ uuid: "window.ethereum", name: "Browser wallet", rdns: "", provider: old }];
  }
}

/**
 * What a wallet answers; REFUSED where its user said no, WALLET for anything else that went wrong there.
 * @param {Provider} provider
 * @param {string} method
 * @param {any} [params]
 */
export async function askWallet(provider, method, params) {
  try {
    return await provider.request(params === undefined ? { method } : { method, params });
  } catch (error) {
    const { code, message } = /** @type {any} */ (error) ?? {};
    if (code === 4001) throw new ApiError("REFUSED", "The wallet's owner has said no: nothing was signed or sent.");
    throw new ApiError("WALLET", `The wallet does not do it: ${String(message ?? error).slice(0, 200)}`, { code });
  }
}

/**
 * The wallet's first address, on the venue's chain. Not `isAsked`: only where its owner has let this page see it before.
 * @param {Provider} provider
 * @param {number} chainId
 * @param {boolean} isAsked
 */
export async function connected(provider, chainId, isAsked) {
  const accounts = await askWallet(provider, isAsked ? "eth_requestAccounts" : "eth_accounts");
  const [address] = Array.isArray(accounts) ? accounts : [];
  if (typeof address !== "string") throw new ApiError("WALLET", "The wallet gives no address.");
  await onChain(provider, chainId);
  return checksummed(address).toLowerCase();
}

/** Has the wallet change to the venue's chain where it is on another. @param {Provider} provider @param {number} chainId */
export async function onChain(provider, chainId) {
  if (Number(await askWallet(provider, "eth_chainId")) === chainId) return;
  await askWallet(provider, "wallet_switchEthereumChain", [{ chainId: `0x${chainId.toString(16)}` }]);
  const is = Number(await askWallet(provider, "eth_chainId"));
  if (is !== chainId) throw new ApiError("WRONG_CHAIN", `The wallet is on chain ${is}, the venue on chain ${chainId}.`);
}

/**
 * Somebody who comes in with a wallet.
 * @param {Provider} provider
 * @param {string} owner
 * @returns {import("./session.js").Entered}
 */
export function ofWallet(provider, owner) {
  return {
    owner,
    signer: {
      kind: "wallet",
      address: owner,
      sign: async (kind, message, domain) => {
        await onChain(provider, domain.chainId);
        const asked = [owner, JSON.stringify(typedData(kind, message, domain))];
        const signature = signatureOf(String(await askWallet(provider, "eth_signTypedData_v4", asked)));
        const by = signerOf(digest(kind, message, domain), signature);
        if (by === null || !same(by, owner)) {
          throw new ApiError("FOREIGN_SIGNATURE", `The wallet's signature is ${by ?? "nobody"}'s, not ${owner}'s: it is not sent.`);
        }
        return signature;
      },
    },
    transact: async ({ to, data, gas, value = 0n }) => {
      const asked = { from: owner, to, data: hex(data), gas: `0x${gas.toString(16)}`, value: `0x${value.toString(16)}` };
      return String(await askWallet(provider, "eth_sendTransaction", [asked]));
    },
  };
}
