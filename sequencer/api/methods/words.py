"""The venue in the words of the API: markets, books, accounts and fills as JSON objects; money as decimal strings."""

from typing import Any, Final

import msgspec

from prover.state.genesis import market_names
from prover.stf import codes, constants, containers, margin
from sequencer.api.rpc.errors import CallError, law_error
from sequencer.engine.engine import Engine
from sequencer.engine.order_book import order_id
from sequencer.engine.records import Fill
from sequencer.views.account import Outlook

# JavaScript readers lose digits from here on.
_MAX_NUMBER: Final = 2**53

_STATUS: Final = {
    constants.MARKET_CLOSED: "closed",
    constants.MARKET_OPEN: "open",
    constants.MARKET_REDUCE_ONLY: "reduce_only",
    constants.MARKET_SETTLING: "settling",
    constants.MARKET_SETTLED: "settled",
}

Json = dict[str, Any]


class Words:
    """What is said of an engine's state; every answer is of everything sequenced so far."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._labels: list[bytes] = []
        self._names: list[str] = []

    def require_account(self, index: int) -> containers.Account:
        """An account that exists, insurance accounts of listed markets too; CallError NO_ACCOUNT."""
        account = self._engine.account(index)
        is_insurance = constants.FEE_ACCOUNT < index <= self._engine.globals.market_count
        if account.owner == containers.NOBODY and not is_insurance:
            raise CallError(law_error(codes.NO_ACCOUNT), data={"account": index})
        return account

    def name(self, market: int) -> str:
        """A market's name."""
        return self.names()[market]

    def names(self) -> list[str]:
        """All of them, by index."""
        globals = self._engine.globals
        labels = [listed.label for listed in globals.markets[: globals.market_count]]
        if labels != self._labels:
            self._labels, self._names = labels, market_names(labels)
        return self._names

    def market(self, market: str | int) -> int:
        """The index of a market given by name or index; CallError NO_MARKET."""
        for index in range(self._engine.globals.market_count):
            if market == index or market == self.name(index):
                return index
        raise CallError(law_error(codes.NO_MARKET), data={"market": market})

    def prices(self) -> list[Json]:
        """All markets: prices, requirements, fees.

        growing_initial_ppm: what a leg that grows stands under at today's open interest; a fill adds its own size.
        """
        globals = self._engine.globals
        found: list[Json] = []
        names = self.names()
        for index in range(globals.market_count):
            market = globals.markets[index]
            name, decimals = names[index], market.label[31]
            price, initial_ppm = globals.risk.price[index], globals.risk.initial_ppm[index]
            found.append(
                {
                    "index": index,
                    "name": name,
                    "size_decimals": decimals,
                    "price_decimals": 6 - decimals,
                    "status": _STATUS[market.status],
                    "price_ticks": price,
                    "previous_price_ticks": market.previous_price,
                    "premium_ppm": market.premium_ppm,
                    "open_interest_lots": market.open_interest,
                    "initial_ppm": initial_ppm,
                    "growing_initial_ppm": margin.scaled_ppm(market, price, market.open_interest, initial_ppm),
                    "maintenance_ppm": globals.risk.maintenance_ppm[index],
                    "maker_fee_ppm": market.maker_fee_ppm,
                    "taker_fee_ppm": market.taker_fee_ppm,
                    "band_ppm": market.band_ppm,
                    "funding_cap_ppm": market.funding_cap_ppm,
                    "interest_lower_micros": str(market.interest_lower),
                    "interest_upper_micros": str(market.interest_upper),
                    "fund_micros": str(market.fund),
                    "minimum_notional_micros": str(market.minimum_notional),
                    "posting_fee_micros": globals.posting_fee,
                    "tick_time_ms": globals.tick_time,
                }
            )
        return found

    def levels(self, market: int, levels: int) -> Json:
        """The best price levels of a market."""
        bids, asks = self._engine.books[market].depth(levels)
        return {"market": self.name(market), "bids": bids, "asks": asks}

    def trades(self, market: int) -> list[Json]:
        """The newest fills of a market."""
        newest = [fill for fill in self._engine.recent_fills if fill.market == market]
        return [self.fill(fill) for fill in newest[-50:]]

    def account(self, index: int, seen: Outlook) -> Json:
        """An account as it is seen, with its open orders."""
        engine = self._engine
        slot = self.free_slot(index)
        sequence = max(engine.slot(index << constants.SLOT_BITS | slot).sequence, seen.floor)
        return {
            "account": index,
            **self.plain(seen),
            "slots_hint": {"slot": slot, "sequence": sequence},
            "open_orders": self.open_orders(index),
            "finality": "sequenced",
            "root": as_hex(engine.state.root),
        }

    def plain(self, value: Any) -> Any:
        """A struct as JSON: money and large numbers as decimal strings, bytes as 0x text, markets by name."""
        if isinstance(value, msgspec.Struct):
            return {name: self._field(name, getattr(value, name)) for name in value.__struct_fields__}
        if isinstance(value, list):
            return [self.plain(item) for item in value]
        if isinstance(value, int) and abs(value) >= _MAX_NUMBER:
            return str(value)
        return as_hex(value) if isinstance(value, bytes) else value

    def _field(self, name: str, value: Any) -> Any:
        if name == "market" and value is not None:
            return self.name(value)
        return str(value) if name.endswith("_micros") and value is not None else self.plain(value)

    def free_slot(self, account: int) -> int:
        """The lowest order slot without an open order; 255 if there is none."""
        taken = {order.slot for order, _, _ in self._engine.open_orders(account)}
        return next((slot for slot in range(1, 256) if slot not in taken), 255)

    def open_orders(self, account: int) -> list[Json]:
        """The orders that an account has in books."""
        return [
            {
                "order_id": order_id(order),
                "market": self.name(order.market),
                "side": "buy" if order.side == constants.BUY else "sell",
                "size_lots": order.size,
                "filled_lots": order.size - left,
                "limit_price_ticks": order.limit_price,
                "slot": order.slot,
                "sequence": order.sequence,
                "expires_at_ms": order.expires_at,
                "reduce_only": order.reduce_only == 1,
                "post_only": order.post_only == 1,
                "status": "armed" if armed else "resting",
            }
            for order, left, armed in self._engine.open_orders(account)
        ]

    def fill(self, fill: Fill) -> Json:
        """One fill."""
        return {
            "market": self.name(fill.market),
            "price_ticks": fill.price,
            "size_lots": fill.size,
            "fee_micros": str(fill.fee),
            "maker": fill.maker,
            "taker": fill.taker,
            "maker_order_id": fill.maker_order,
            "taker_order_id": fill.taker_order,
            "taker_side": "sell" if fill.maker_side == constants.BUY else "buy",
            "time_ms": fill.time,
            "chunk": fill.chunk,
            "operation_index": fill.operation,
        }


def as_hex(value: bytes) -> str:
    """0x and two digits a byte."""
    return "0x" + value.hex()
