"""States made for one chunk: what a rescue needs, and what a chain of random chunks seldom comes to."""

import random
from collections.abc import Callable
from typing import Any, Final

from prover import operations
from prover.stf import codes as c
from prover.stf import constants, containers
from tests.twins import venue
from tests.vectors.law_table import PAIRS

_RESCUES: Final = (constants.LIQUIDATE, constants.TAKE_OVER, constants.DELEVERAGE, constants.UNWIND)
_OTHERS: Final = (
    (constants.FILL, c.GRACE),
    (constants.WITHDRAW, c.GRACE),
    (constants.TRANSFER, c.GRACE),
    (constants.TRANSFER, c.ACCOUNTS_FULL),
)
# What only scenes aim at.
SCENES: Final = frozenset(
    {pair for pair in PAIRS if pair[0] in _RESCUES and pair[1] not in (c.FULL, c.MALFORMED)} | set(_OTHERS)
)
PRICE: Final = 600_000
ACCOUNT: Final = venue.FIRST
MAKER: Final = venue.FIRST + 1
WINNER: Final = venue.FIRST + 2
_MAINTENANCE_PPM: Final = 12_000
_RICH: Final = 10**15


class Scene:
    """An account in trouble, a maker, somebody in profit on the other side, an insurance account."""

    def __init__(self, rng: random.Random, tag: int, code: int) -> None:
        self.rng = rng
        self.tag = tag
        self.code = code
        self.timestamp = venue.NOW
        self.globals = venue.globals_of(streak=constants.STEADY_TICKS)
        self.sign = rng.choice([1, -1])
        self.lots_held = rng.randrange(20_000, 2_000_000)
        self.size = self.sign * self.lots_held
        self.lots = max(1, self.lots_held // rng.choice([10, 20, 100]))
        self.ratio_ppm = {
            constants.LIQUIDATE: rng.randrange(900_000, 990_000),
            constants.TAKE_OVER: rng.randrange(-20_000, 600_000),
            constants.DELEVERAGE: -rng.randrange(1_000, 400_000),
        }.get(tag, 2_000_000)
        self.eth = rng.choice([0, 0, rng.randrange(-1_000, 1_000)])
        self.fund = rng.choice([_RICH, 10**14])
        if tag == constants.DELEVERAGE:
            self.fund = rng.choice([0, 0, 10**6, 10**10])
        self.insured = -self.size if tag == constants.UNWIND else 0
        self.profit_ppm = 100_000
        self.winner_equity: int | None = None
        self.winner_size = -self.size * rng.choice([1, 1, 2])
        self.winner_eth = 0
        self.maker_money = _RICH
        self.maker_size = 0
        self.maker_floor = 0
        self.slots: dict[int, containers.Slot] = {}
        self.maker: dict[str, Any] = {
            "side": constants.BUY if (self.size if tag != constants.UNWIND else self.insured) > 0 else constants.SELL,
            "size": 2 * self.lots_held,
            "limit_price": PRICE,
            "expires_at": venue.NOW + 60_000,
        }

    def aim(self) -> None:
        """One fault for the code that is aimed at."""
        rng, code, tag = self.rng, self.code, self.tag
        changes: dict[int, Callable[[], None]] = {
            c.STALE: lambda: setattr(self, "timestamp", venue.NOW + constants.MAX_PRICE_AGE + 1),
            c.GRACE: lambda: setattr(self.globals, "grace_until", venue.NOW + rng.choice([1, 5_000])),
            c.UNSTEADY: lambda: setattr(self.globals, "streak", rng.randrange(3)),
            c.INSOLVENT: lambda: setattr(self, "ratio_ppm", -rng.randrange(1_000, 200_000)),
            c.FUND_LIMIT: lambda: setattr(self, "fund", rng.choice([0, 10**6])),
            c.CANCELLED: lambda: setattr(self, "maker_floor", 5),
            c.MAKER_MARGIN: lambda: setattr(self, "maker_money", venue.DOLLAR),
            c.TOO_MANY_LOTS: lambda: setattr(self, "lots", self.lots_held),
        }
        if code in changes:
            changes[code]()
        if code == c.NOT_IN_PROFIT:
            self.fund, self.profit_ppm = 0, -rng.randrange(1, 10_000)
        elif code == c.POST_ONLY:
            self.maker |= {"time_in_force": rng.choice([1, 2]), "expires_at": venue.NOW + 5_000}
        elif code == c.PRICE_BAND:
            away = PRICE * 6 // 100
            self.maker["limit_price"] = PRICE + rng.choice([1, -1]) * away
            if tag == constants.UNWIND and rng.random() < 0.5:
                worse = PRICE * 2 // 1_000
                self.maker["limit_price"] = PRICE - worse if self.insured > 0 else PRICE + worse
        elif code == c.FEE_ABOVE_MAXIMUM:
            self.maker["max_fee_ppm"] = 99
        elif code == c.USED:
            self.slots[(MAKER << 8) | 1] = containers.Slot(sequence=2, filled=0)
        elif code == c.NOT_TRIGGERED:
            self.maker |= {"trigger": 1, "trigger_price": PRICE + 1}
        elif code == c.REDUCE_ONLY:
            self.maker["reduce_only"] = 1
        elif code == c.HEALTHY:
            lowest = {constants.TAKE_OVER: 666_700, constants.DELEVERAGE: 1_000}.get(tag, 1_000_001)
            self.ratio_ppm = lowest + rng.randrange(900_000)
        elif code == c.NOT_LARGEST:
            self.eth = rng.choice([1, -1]) * self.lots_held * 3
        elif code == c.LIQUIDATION_PRICE:
            self.maker["limit_price"] = PRICE - self.sign * PRICE * 2 // 100
        elif code == c.MISMATCHED:
            self.maker["side"] = 1 - self.maker["side"]
        elif code == c.OVERFILLED:
            self.lots = rng.choice([0, self.lots_held + 1])
        elif code == c.OUT_OF_BOUNDS:
            near = (1 if self.maker["side"] == constants.BUY else -1) * (constants.SIZE_BOUND - 1)
            self.maker_size, self.maker_money = near, 2**95
            if tag == constants.TAKE_OVER:
                self.insured, self.fund = self.sign * (constants.SIZE_BOUND - 1), 2**80
        elif code == c.NO_OPPOSITE:
            self.winner_size = rng.choice([0, self.size, -self.sign])
        elif code == c.MARGIN:
            # In profit here, and worth next to nothing for what it lost elsewhere.
            self.fund, self.winner_eth = 0, -1_000
            self.winner_size, self.winner_equity, self.lots = -self.size, 1, self.lots_held
        elif code == c.NO_MARKET:
            self.globals.markets[0].status = constants.MARKET_CLOSED

    def build(self) -> tuple[Any, list[bytes], int]:
        """The state, the chunk's operations, its clock."""
        self.aim()
        price, eth_price = PRICE, self.globals.risk.price[1]
        legs = ((self.lots_held, price), (abs(self.eth), eth_price))
        maintenance = sum(-(-lots * at * _MAINTENANCE_PPM // constants.PPM) for lots, at in legs)
        equity = maintenance * self.ratio_ppm // constants.PPM
        money = self.rng.randrange(0, 10**10)
        held = {0: venue.position(self.size, money + self.size * price - equity)}
        if self.eth:
            held[1] = venue.position(self.eth, self.eth * eth_price)
        notional = abs(self.winner_size) * price
        won = notional * self.profit_ppm // constants.PPM
        winner = {0: venue.position(self.winner_size, self.winner_size * price - won)}
        winner_money = 10**13
        if self.winner_equity is not None:
            winner[1] = venue.position(self.winner_eth, self.winner_eth * eth_price)
            winner_money = self.winner_equity - won
        rows = {
            ACCOUNT: venue.account(venue.OWNERS[1], money, held, initial_ppm=self.rng.choice([0, 0, 200_000])),
            MAKER: venue.account(
                venue.OWNERS[2],
                self.maker_money,
                {0: venue.position(self.maker_size, self.maker_size * price)},
                self.maker_floor,
            ),
            WINNER: venue.account(venue.OWNERS[3], winner_money, winner),
            1: venue.account(containers.NOBODY, self.fund, {0: venue.position(self.insured, self.insured * price)}),
        }
        self.globals.markets[0].fund = self.fund
        state = venue.build_state(self.globals, rows, self.slots)
        return state, self.chunk(), self.timestamp

    def chunk(self) -> list[bytes]:
        """A maker's order and the rescue."""
        rng, code, tag = self.rng, self.code, self.tag
        fields: dict[str, int] = {"lots": self.lots}
        by_order = tag in (constants.LIQUIDATE, constants.UNWIND)
        if code == c.NO_ORDER:
            fields["maker"] = rng.choice([1, 7, 255])
        elif code == c.RESERVED:
            fields |= rng.choice([{"account": rng.randrange(17)}, {"account": 0}])
            if tag == constants.DELEVERAGE and rng.random() < 0.5:
                fields = {"lots": self.lots, "other": rng.randrange(17)}
        elif code == c.SAME_ACCOUNT:
            fields |= {"account": MAKER} if tag == constants.LIQUIDATE else {"other": ACCOUNT}
        elif code == c.NO_MARKET and not by_order and rng.random() < 0.5:
            fields["market"] = rng.choice([3, 16, 255])
        move = containers.Rescue(**({"maker": 0, "market": 0, "account": ACCOUNT, "other": WINNER, "lots": 0} | fields))
        order = venue.signed_order(venue.order(MAKER, **self.maker), venue.KEYS[2])
        return [order, operations.rescue_bytes(tag, move)]


def scene(rng: random.Random, tag: int, code: int) -> tuple[Any, list[bytes], int]:
    """A state, operations and a clock that come to (tag, code), by construction or nearly."""
    if tag in _RESCUES:
        return Scene(rng, tag, code).build()
    globals = venue.globals_of()
    if code == c.ACCOUNTS_FULL:
        globals.next_account = constants.NEW_ACCOUNT
    else:
        globals.grace_until = venue.NOW + rng.choice([1, 9_000])
    rows = {index: venue.account(venue.OWNERS[1 + index % 2], _RICH) for index in (ACCOUNT, MAKER)}
    state = venue.build_state(globals, rows)
    key = {index: venue.KEYS[1 + index % 2] for index in rows}
    if tag == constants.FILL:
        sides = ((ACCOUNT, constants.SELL), (MAKER, constants.BUY))
        orders = [venue.signed_order(venue.order(index, side=side), key[index]) for index, side in sides]
        return state, [*orders, operations.fill_bytes(0, 1, 1_000)], venue.NOW
    fields: dict[str, Any] = {"amount": rng.randrange(2 * 10**6, 10**9), "recipient": venue.RECIPIENT}
    if tag == constants.TRANSFER:
        fields = {"amount": fields["amount"], "other": constants.NEW_ACCOUNT}
    return state, [venue.signed_request(tag, venue.request(ACCOUNT, **fields), key[ACCOUNT])], venue.NOW
