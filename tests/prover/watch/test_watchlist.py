"""Whoever prices, funding, parameters, debts or their own doings bring near their maintenance is found; nobody else."""

from random import Random
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prover.standing import judged_by_rescue, met_by_order
from prover.stf import constants, containers, debts, margin
from prover.watch.watchlist import Watchlist
from sequencer.engine.ranking import worst_first
from tests.sequencer.node_world import BTC, DOLLAR, ETH, FIRST, START
from tests.twins.venue import account, globals_of, position

PRICE: Final = 600_000
MARKETS: Final = 3


class Crowd:
    """Accounts and a venue of three markets that a seed moves; two watchlists over them, one for each question."""

    def __init__(self, seed: int, size: int = 12) -> None:
        self.rng = Random(seed)
        self.globals = globals_of()
        self.now = START
        self.rows: dict[int, containers.Account] = {}
        self.rescued, self.called = Watchlist(1), Watchlist(2)
        self.asked: list[int] = []
        for index in range(FIRST, FIRST + size):
            self.change(index)

    def account(self, index: int) -> containers.Account:
        self.asked.append(index)
        return self.rows[index]

    def change(self, index: int) -> None:
        """Somebody else from now on: new positions, near their maintenance or far from it."""
        rng, risk = self.rng, self.globals.risk
        held = rng.sample(range(MARKETS), rng.randrange(MARKETS + 1))
        positions: dict[int, containers.Position] = {}
        maintenance = 0
        for market in held:
            size = rng.choice((1, -1)) * int(10 ** rng.uniform(0, 8))
            cost = size * risk.price[market] * rng.randrange(900, 1_100) // 1_000
            positions[market] = position(size, cost, risk.funding_index[market] - rng.randrange(-(10**9), 10**9))
            maintenance += margin.requirement(risk.price[market], size, max(risk.maintenance_ppm[market], 1))
        wanted = int(maintenance * rng.choice((0.5, 0.99, 1, 1.01, 1.5, 2, 3, 20))) + rng.randrange(-3, 4)
        row = account(
            collateral=0, positions=positions, factor=debts.latest(risk.debts), epoch=self.now // constants.EPOCH
        )
        settled, _ = margin.settle(risk, row, self.now)
        money = max(wanted - margin.equity(risk, settled), 0)
        unsettled = rng.choice((0, 0, money // 10, money))
        older = rng.randrange(unsettled + 1)
        parts: dict[str, Any] = {"settled": money - unsettled, "older": older, "fresh": unsettled - older}
        self.rows[index] = msgspec.structs.replace(row, **parts)
        self.rescued.note([index])
        self.called.note([index])

    def move(self) -> None:
        """One thing that happens between two looks."""
        rng, globals = self.rng, self.globals
        risk = globals.risk
        kind = rng.randrange(10)
        market = rng.randrange(MARKETS)
        if kind < 5:
            self.tick(rng.choice((1, 3, 30, 300)))
        elif kind == 5:
            self.change(rng.choice(list(self.rows)))
        elif kind == 6:
            ppm = risk.maintenance_ppm.copy()
            if ppm[market]:
                ppm[market] = max(ppm[market] * rng.choice((3, 5)) // 4, 1)
            globals.risk = msgspec.structs.replace(risk, maintenance_ppm=ppm)
        elif kind == 7:
            _, owing = debts.take(
                containers.Pool(self.now // constants.EPOCH, 0, 10**9, 0, 0), risk.debts, rng.randrange(10**9), self.now
            )
            globals.risk = msgspec.structs.replace(risk, debts=msgspec.structs.replace(owing, clock=0))
        elif kind == 8:
            self.now += constants.EPOCH
        elif rng.random() < 0.2:
            initial, ppm = risk.initial_ppm.copy(), risk.maintenance_ppm.copy()
            initial[market] = ppm[market] = 0
            globals.risk = msgspec.structs.replace(risk, initial_ppm=initial, maintenance_ppm=ppm)

    def tick(self, per_mille: int) -> None:
        """New prices, up or down or as they were, and funding with them; a settled market keeps both."""
        rng, globals = self.rng, self.globals
        risk = globals.risk
        price, funding = risk.price.copy(), risk.funding_index.copy()
        for market in range(MARKETS):
            globals.markets[market].previous_price = price[market]
            if risk.initial_ppm[market]:
                price[market] = max(price[market] * (1_000 + rng.randint(-per_mille, per_mille)) // 1_000, 1)
                funding[market] += rng.choice((0, 1, -1)) * int(10 ** rng.uniform(0, 13))
        globals.risk = msgspec.structs.replace(risk, price=price, funding_index=funding)

    def below(self) -> list[int]:
        """Whoever the law would have rescued, the worst first: a look at everybody."""
        return worst_first(self.globals, self.now, sorted(self.rows.items()))

    def called_at(self) -> set[int]:
        """Whoever has reached the lowest level of a margin call."""
        found = set()
        for index, row in self.rows.items():
            settled, _ = margin.settle(self.globals.risk, row, self.now)
            now = met_by_order(self.globals.risk, settled)
            if now.maintenance > 0 and now.maintenance * 2 >= now.equity:
                found.add(index)
        return found


@given(seed=st.integers(0, 2**32))
def test_a_look_at_those_who_are_near_finds_what_a_look_at_everybody_does(seed: int) -> None:
    crowd = Crowd(seed)
    for _ in range(20):
        crowd.move()
        if crowd.rng.random() < 0.3:
            continue
        near = crowd.rescued.near(crowd.globals.risk, crowd.account)
        rows = [(index, crowd.rows[index]) for index in near]
        assert worst_first(crowd.globals, crowd.now, rows) == crowd.below()
        assert crowd.called_at() <= set(crowd.called.near(crowd.globals.risk, crowd.account))


def lone(size: int, money: int, multiple: int = 1) -> tuple[Crowd, Watchlist]:
    """One account that is long or short at the price of the first tick, and a watchlist that has looked at it."""
    crowd = Crowd(0, size=0)
    crowd.rows[FIRST] = account(collateral=money, positions={BTC: position(size, size * PRICE)})
    watchlist = Watchlist(multiple)
    watchlist.note([FIRST])
    watchlist.near(crowd.globals.risk, crowd.account)
    crowd.asked.clear()
    return crowd, watchlist


@pytest.mark.parametrize("side", [1, -1])
def test_a_position_is_found_at_the_price_at_which_it_falls_below_its_maintenance(side: int) -> None:
    """100 lots with 1,000 dollars: below 1.2 percent of its value left, from some price on, and not one tick before."""
    crowd, watchlist = lone(side * 100_000, 1_000 * DOLLAR)
    globals, found = crowd.globals, []
    for step in range(1, 20_000):
        globals.risk = msgspec.structs.replace(globals.risk, price=[PRICE - side * step, *globals.risk.price[1:]])
        globals.markets[BTC].previous_price = PRICE - side * step
        judged = judged_by_rescue(globals, crowd.rows[FIRST], crowd.now)
        if watchlist.near(globals.risk, crowd.account):
            found.append(step)
            assert abs(judged.room) < 2 * 100_000
            break
        assert judged.room > 0
        assert crowd.asked == []
    assert found


def test_the_other_direction_and_a_market_that_is_not_held_ask_for_no_look() -> None:
    crowd, watchlist = lone(100_000, 1_000 * DOLLAR)
    risk = crowd.globals.risk
    for price in (PRICE + 1, PRICE * 3):
        risk = msgspec.structs.replace(risk, price=[price, 1, 10**9, *risk.price[3:]])
        assert watchlist.near(risk, crowd.account) == []
    assert crowd.asked == []


def test_whoever_holds_nothing_is_near_as_long_as_he_owes() -> None:
    crowd, watchlist = lone(100_000, 1_000 * DOLLAR)
    for money, near in ((-1, [FIRST]), (0, []), (DOLLAR, [])):
        crowd.rows[FIRST] = account(collateral=money)
        watchlist.note([FIRST])
        assert watchlist.near(crowd.globals.risk, crowd.account) == near


def test_whoever_is_near_is_looked_at_every_time_until_it_is_far_again() -> None:
    crowd, watchlist = lone(100_000, 700 * DOLLAR)
    risk = crowd.globals.risk
    assert watchlist.near(risk, crowd.account) == [FIRST]
    assert watchlist.near(risk, crowd.account) == [FIRST]
    better = msgspec.structs.replace(risk, price=[PRICE * 2, *risk.price[1:]])
    assert watchlist.near(better, crowd.account) == []
    crowd.asked.clear()
    assert watchlist.near(better, crowd.account) == []
    assert crowd.asked == []


def test_debts_ask_for_a_look_at_those_alone_who_lean_on_money_that_has_not_settled() -> None:
    crowd = Crowd(0, size=0)
    held = {ETH: position(1_000, 1_000 * 300_000)}
    crowd.rows = {
        FIRST: account(collateral=100 * DOLLAR, positions=held),
        FIRST + 1: account(collateral=20 * DOLLAR, fresh=DOLLAR, positions=held),
        FIRST + 2: account(collateral=0, fresh=100 * DOLLAR, positions=held),
    }
    watchlist = Watchlist(1)
    watchlist.note(crowd.rows)
    risk = crowd.globals.risk
    assert watchlist.near(risk, crowd.account) == []
    crowd.asked.clear()
    pool = containers.Pool(crowd.now // constants.EPOCH, 0, 100 * DOLLAR, 0, 0)
    _, owing = debts.take(pool, risk.debts, 99 * DOLLAR, crowd.now)
    assert watchlist.near(msgspec.structs.replace(risk, debts=owing), crowd.account) == [FIRST + 2]
    assert crowd.asked == [FIRST + 2]


def test_looks_leave_no_more_behind_than_twice_what_is_watched() -> None:
    crowd, watchlist = lone(100_000, 1_000 * DOLLAR)
    for _ in range(10_000):
        watchlist.note([FIRST])
        watchlist.near(crowd.globals.risk, crowd.account)
    assert sum(map(len, watchlist._heaps)) <= 2_048
