/** Play money on a devnet: one click from nothing to an account that trades. */
import { signal } from "@preact/signals";
import { ApiError } from "./api.js";
import { deposited } from "./deposit.js";
import { burnerIn } from "./entering.js";
import { api } from "./feeds.js";
import { makeBurner } from "./keys.js";
import { ofBurner } from "./session.js";

/** What is being done, in words; empty: nothing. */
export const doing = signal("");
const FIRST_MICROS = 5_000_000_000n;

/** A burner with an account; resolves with the account's number. @returns {Promise<number>} */
export async function playMoney(amountMicros = FIRST_MICROS) {
  if (doing.value !== "") throw new ApiError("BUSY", "Play money is on its way already.");
  try {
    const key = makeBurner();
    doing.value = "The faucet pays play dollars";
    await api.call("catenary_faucet", { address: key.address });
    doing.value = "Depositing on L1";
    const account = await deposited(ofBurner(key), amountMicros, null);
    await burnerIn(key);
    return account;
  } finally {
    doing.value = "";
  }
}
