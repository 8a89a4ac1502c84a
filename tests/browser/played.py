"""Somebody whose burner stands in the browser: an account with money, and positions, before the page is opened."""

import json
import secrets
from typing import Any, Final

import trio

from prover.stf import constants
from sequencer.client.clock import wall_clock_ms
from sequencer.devnet.signing_account import SigningAccount
from tests.browser.chromium import Tab
from tests.sequencer.node_process import Node, funded

# An order that finds nobody waits for the maker's next quotes.
_TRIES: Final = 40
_SLIPPAGE_PPM: Final = 5_000


class Played:
    """A burner's key and its account on a node."""

    def __init__(self, node: Node, dollars: int) -> None:
        self._node = node
        self._key = secrets.token_bytes(32)
        self._signer = SigningAccount(self._key, node.domain, wall_clock_ms)
        trio.run(funded, node, [self._signer], dollars * 10**6)

    @property
    def account(self) -> int:
        """Its number."""
        return self._signer.account

    def seen(self) -> Any:
        """As the node tells it."""
        return self._node.client.call("catenary_account", account=self.account)

    def take(self, market: int, side: int, power_ppm: int) -> None:
        """An order for so much of the buying power, filled by whoever quotes."""
        for slot in range(1, _TRIES):
            view = self._node.client.call("catenary_markets")[market]
            power = next(one for one in self.seen()["buying_power"] if one["market"] == view["name"])
            lots = int(power["buy_lots" if side == constants.BUY else "sell_lots"]) * power_ppm // 10**6
            away = _SLIPPAGE_PPM if side == constants.BUY else -_SLIPPAGE_PPM
            limit = view["price_ticks"] * (10**6 + away) // 10**6
            order, signature = self._signer.order(market, side, lots, limit, slot, constants.IMMEDIATE_OR_CANCEL)
            answer = self._node.client.answer("catenary_order", order=order, signature="0x" + signature.hex())
            if answer.get("result", {}).get("filled_lots"):
                return
            self.wait_for_a_tick()
        raise AssertionError(f"nobody traded: {answer}")

    def rest(self, market: int, slot: int) -> None:
        """A bid far below the price, that stays in the book."""
        price = self._node.client.call("catenary_markets")[market]["price_ticks"] * (1_000 - slot) // 1_000
        order, signature = self._signer.order(market, constants.BUY, 100, price, slot, constants.GOOD_TILL_TIME)
        self._node.client.call("catenary_order", order=order, signature="0x" + signature.hex())

    def moved_to(self, node: Node) -> None:
        """The same account where its node has begun again."""
        self._node = node

    def wait_for_a_tick(self) -> None:
        """Until the oracle has spoken again."""

        async def wait() -> None:
            last = self._node.client.call("catenary_markets")[0]["tick_time_ms"]
            while self._node.client.call("catenary_markets")[0]["tick_time_ms"] == last:
                await trio.sleep(0.1)

        trio.run(wait)

    def enter(self, tab: Tab, **more: Any) -> None:
        """The browser keeps its key and looks at its account, as after an earlier visit; `more` is kept beside."""
        kept = {"burner": "0x" + self._key.hex(), **{name: json.dumps(value) for name, value in more.items()}}
        kept["account"] = json.dumps(self.account)
        lines = [
            f"localStorage.getItem({json.dumps('catenary.' + name)}) ?? "
            f"localStorage.setItem({json.dumps('catenary.' + name)}, {json.dumps(value)});"
            for name, value in kept.items()
        ]
        tab.page.add_init_script("\n".join(lines))
