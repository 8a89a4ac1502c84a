"""A world whose engine keeps books, a random flow through it, and what its books come to."""

from random import Random
from typing import Any, Final

import msgspec

from prover.state.store import MemoryStore
from prover.stf import codes, constants
from sequencer.engine.effects import Processed
from sequencer.engine.records import Input
from sequencer.history.history import History
from sequencer.history.records import FILLS, HISTORY_KEY, LISTED_KEY, MOVEMENTS, PAYMENTS, Kind
from tests.sequencer.node_world import (
    BUY,
    DOLLAR,
    ETH,
    FIRST,
    GTC,
    IOC,
    PRICES,
    RECIPIENT,
    SELL,
    World,
    deposit,
    owner,
    tick,
)

TRADERS: Final = 4


class Kept(World):
    """A world with a history from its first input on."""

    def __init__(self, traders: int = TRADERS) -> None:
        super().__init__()
        self.history = History(self.engine)
        for index in range(traders):
            self.process(deposit(owner(index), 100_000 * DOLLAR))
        self.process(tick(self.now))

    def rows(self, kind: Kind, account: int) -> list[Any]:
        """All rows of a list."""
        first, end = self.history.lists.ends(kind, account)
        return [self.history.lists.row(kind, account, number) for number in range(first, end)]

    def tick(self, prices: tuple[int, ...] = PRICES, premiums: tuple[int, ...] = (0, 0, 0)) -> Processed:
        """In a chunk of its own clock, as an edge seals by time."""
        self.seal()
        return super().tick(prices, premiums)

    def later(self, milliseconds: int) -> None:
        """Time passes, then ticks come until whatever grace there was is over."""
        self.now += milliseconds
        self.tick()
        while self.engine.view.clock().grace:
            self.now += 30_000
            self.tick()

    def balance(self, account: int) -> int:
        """What an account's rows come to, micro-dollars."""
        moved = sum(row.amount - row.fee for row in self.rows(MOVEMENTS, account))
        traded = sum(row.realised - row.fee for row in self.rows(FILLS, account))
        return moved + traded - sum(row.paid for row in self.rows(PAYMENTS, account))


def flow(world: World, seed: int, steps: int) -> None:
    """Orders in two markets, ticks with premiums, transfers, withdrawals and cancels, as a seed has them."""
    random = Random(seed)
    for step in range(steps):
        world.now += random.randrange(1, 1_500)
        if step % 3 == 0:
            world.seal()
        trader, kind = random.randrange(TRADERS), random.random()
        market = random.choice((0, ETH))
        if kind < 0.15:
            move = [price + random.randrange(-300, 301) for price in PRICES]
            premiums = [random.randrange(-50_000, 50_001) for _ in PRICES]
            world.tick(tuple(move), tuple(premiums))
        elif kind < 0.2:
            world.request(constants.TRANSFER, trader, amount=7 * DOLLAR, other=FIRST + (trader + 1) % TRADERS)
            world.request(constants.TRANSFER, trader, amount=9 * DOLLAR, other=constants.NEW_ACCOUNT, slot=201)
        elif kind < 0.25:
            world.request(constants.WITHDRAW, trader, amount=3 * DOLLAR, recipient=RECIPIENT)
        elif kind < 0.3:
            world.request(constants.CANCEL, trader, slot=random.randrange(1, 6))
        else:
            side = random.choice((BUY, SELL))
            price = PRICES[market] + random.randrange(-200, 201)
            style = random.choice((GTC, GTC, IOC))
            size = random.choice((500, 1_000, 1_500))
            slot = random.randrange(1, 6)
            outcome = world.order(
                trader, side, price, size, market=market, slot=slot, time_in_force=style, max_fee_ppm=2_000
            )
            assert outcome.code in (codes.OK, codes.USED, codes.STALE, codes.GRACE), outcome


def history_of(store: MemoryStore) -> dict[bytes, bytes]:
    """Every row of history that a store holds."""
    return {key: value for prefix in (HISTORY_KEY, LISTED_KEY) for key, value in store.iterate(prefix)}


def input_of(record: Input) -> Input:
    """As the journal gives it."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(record), type=Input)
