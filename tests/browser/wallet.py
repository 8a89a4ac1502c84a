"""A wallet in the browser that announces itself (EIP-6963) and is asked by EIP-1193; a key of another library signs."""

import json
from typing import Any

import httpx
from eth_account import Account

from l1_bridge.addresses import checksum_address
from tests.browser.chromium import Tab
from tests.patience import PATIENCE_SECONDS

_ANNOUNCED = """
(() => {
  const heard = {};
  const provider = {
    request: async ({ method, params }) => {
      const { result, error } = JSON.parse(await window.walletAnswers(method, JSON.stringify(params ?? [])));
      if (error) throw error;
      return result;
    },
    on: (event, hear) => { (heard[event] ??= []).push(hear); },
    removeListener: (event, hear) => { heard[event] = (heard[event] ?? []).filter((one) => one !== hear); },
  };
  window.walletSays = (event, value) => { for (const hear of heard[event] ?? []) hear(value); };
  const info = { uuid: "7", name: "Test Wallet", icon: "data:,", rdns: "org.example.wallet" };
  const detail = Object.freeze({ info, provider });
  const announce = () => dispatchEvent(new CustomEvent("eip6963:announceProvider", { detail }));
  addEventListener("eip6963:requestProvider", announce);
})();
"""


class Wallet:
    """The extension's other end. `refuses`: methods that its owner says no to; `is_forging`: another key signs."""

    def __init__(self, tab: Tab, l1_url: str) -> None:
        self._l1_url = l1_url
        self._key = Account.create()
        self.address: str = self._key.address
        self.refuses: set[str] = set()
        self.asked: list[str] = []
        self.is_forging = False
        tab.page.expose_function("walletAnswers", self._answer)
        tab.page.add_init_script(_ANNOUNCED)

    def count(self, method: str) -> int:
        """How often it was asked."""
        return self.asked.count(method)

    def _answer(self, method: str, params: str) -> str:
        self.asked.append(method)
        given = json.loads(params)
        if method in self.refuses:
            return json.dumps({"error": {"code": 4001, "message": "User rejected the request."}})
        if method in ("eth_requestAccounts", "eth_accounts"):
            return json.dumps({"result": [self.address]})
        if method == "eth_signTypedData_v4":
            key = Account.create() if self.is_forging else self._key
            return json.dumps({"result": "0x" + key.sign_typed_data(full_message=json.loads(given[1])).signature.hex()})
        if method == "eth_sendTransaction":
            return json.dumps({"result": self._sent(given[0])})
        return json.dumps(self._l1(method, given))

    def _sent(self, asked: dict[str, str]) -> Any:
        head = self._l1("eth_getBlockByNumber", ["latest", False])["result"]
        signed = self._key.sign_transaction(
            {
                "type": 2,
                "chainId": int(self._l1("eth_chainId", [])["result"], 16),
                "nonce": int(self._l1("eth_getTransactionCount", [self.address, "latest"])["result"], 16),
                "maxPriorityFeePerGas": 10**9,
                "maxFeePerGas": 2 * int(head["baseFeePerGas"], 16) + 10**9,
                "gas": int(asked["gas"], 16),
                "to": checksum_address(bytes.fromhex(asked["to"][2:])),
                "value": int(asked["value"], 16),
                "data": asked["data"],
            }
        )
        return self._l1("eth_sendRawTransaction", ["0x" + signed.raw_transaction.hex()])["result"]

    def _l1(self, method: str, params: list[Any]) -> Any:
        asked = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = httpx.post(self._l1_url, json=asked, trust_env=False, timeout=PATIENCE_SECONDS).json()
        return {key: answer[key] for key in ("result", "error") if key in answer}
