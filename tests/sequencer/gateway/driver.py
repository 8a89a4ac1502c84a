"""Runs in the environment of another venue's programs: does on their objects what it reads, a JSON object a line.

In: {"on": name, "call": method, "args": [...], "named": {...}}. Out: {"ok": result} or {"error": [its type, its text]}.
"""

import json
import sys
from typing import Any


def objects(url: str, private_key: str, address: str) -> dict[str, Any]:
    """The SDK's exchange and info, and ccxt's Hyperliquid: each made as its documents say, with another URL."""
    import ccxt
    import eth_account
    from hyperliquid.exchange import Exchange
    from hyperliquid.info import Info

    wallet = eth_account.Account.from_key(private_key)
    bot = ccxt.hyperliquid({"privateKey": private_key, "walletAddress": address, "options": {"sandboxMode": True}})
    bot.urls["api"] = {"public": url, "private": url}
    mainnet = ccxt.hyperliquid({"privateKey": private_key, "walletAddress": address})
    mainnet.urls["api"] = bot.urls["api"]
    heard = Heard(Info(url, skip_ws=False))
    return {
        "exchange": Exchange(wallet, url),
        "info": Info(url, skip_ws=True),
        "ccxt": bot,
        "mainnet": mainnet,
        "heard": heard,
    }


class Heard:
    """What the SDK's WebSocket tells, by channel."""

    def __init__(self, info: Any) -> None:
        self._info = info
        self._messages: list[Any] = []

    def subscribe(self, subscription: dict[str, Any]) -> int:
        """From here on messages are kept."""
        return int(self._info.subscribe(subscription, self._messages.append))

    def messages(self) -> list[Any]:
        """All that came so far."""
        return list(self._messages)

    def stop(self) -> None:
        """Closes it."""
        self._info.disconnect_websocket()


def plain(value: Any) -> Any:
    """Arguments: {"cloid": text} stands for the SDK's own type."""
    if isinstance(value, dict) and set(value) == {"cloid"} and isinstance(value["cloid"], str):
        from hyperliquid.utils.types import Cloid

        return Cloid.from_str(value["cloid"])
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list) else value


def main() -> None:
    """Until the input ends."""
    found = objects(*sys.argv[1:4])
    print(json.dumps({"ok": sorted(found)}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            done = getattr(found[asked["on"]], asked["call"])(*plain(asked["args"]), **plain(asked["named"]))
            print(json.dumps({"ok": done}, default=str), flush=True)
        except Exception as error:
            print(json.dumps({"error": [type(error).__name__, str(error)]}), flush=True)
    found["heard"].stop()


if __name__ == "__main__":
    main()
