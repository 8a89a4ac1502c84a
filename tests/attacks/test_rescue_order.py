"""Crowds before an honest liquidator: what costs its owner nothing takes no place from what the fund pays for.

`test_off` shows the loss with the order of rescues as it is not, `test_on` as it is.
"""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest

from prover.standing import judged_by_rescue
from prover.stf import encoding
from sequencer.engine import liquidator
from sequencer.engine.liquidator import Liquidator
from sequencer.engine.placing import reducible
from sequencer.engine.post_mortem import LIQUIDATION, TAKE_OVER
from tests.sequencer.engine.test_liquidator import HEAVY, seconds, ticks
from tests.sequencer.node_world import (
    BTC,
    BUY,
    DOLLAR,
    ETH,
    FIRST,
    PRICES,
    SELL,
    World,
    deposit,
    key,
    order,
    owner,
    signed_order,
)

# At 593,000 who bought 4.5 million dollars with 100,000 is below maintenance, at 591,500 below close-out.
LOW, CLOSE_OUT = 593_000, 591_500
LARGE, MAKER, BIDDER, DUST = 0, 1, 2, 200


class Venue(World):
    """A stranger's 4.5 million dollars at 45 times, an honest maker, an attacker's bidder and his dust."""

    def __init__(self, dust: int = 0, fund: int = 0) -> None:
        super().__init__(traders=1)
        self.of: dict[int, int] = {LARGE: 0}
        self.deposit(MAKER, 10_000_000)
        self.deposit(BIDDER, 100_000)
        if fund:
            self.process(deposit(owner(50), fund * DOLLAR, BTC + 1))
        self.put(BIDDER, SELL, PRICES[BTC], 15_500)
        self.put(MAKER, BUY, PRICES[BTC], 15_500)
        self.put(MAKER, SELL, PRICES[BTC], HEAVY, slot=2)
        self.put(LARGE, BUY, PRICES[BTC], HEAVY)
        # A little more leverage than the large one: always the lower ratio.
        self.crowd(dust, PRICES[BTC])
        self.seal()
        seconds(self, PRICES, 3)

    def deposit(self, trader: int, dollars: float) -> None:
        """A funded account of a trader's own."""
        self.process(deposit(owner(trader), int(dollars * DOLLAR)))
        self.of[trader] = self.engine.accounts_of(owner(trader))[-1] - FIRST

    def put(self, trader: int, side: int, price: int, size: int, **changes: Any) -> str:
        """What came of an order."""
        given = order(self.now, FIRST + self.of[trader], side, price, size, **changes)
        return self.process(signed_order(given, key(trader))).status

    def crowd(self, count: int, price: int) -> None:
        """So many accounts with 15 dollars that buy for 720 each."""
        if count:
            self.put(MAKER, SELL, price, 1_200 * count, slot=3)
        for trader in range(DUST, DUST + count):
            self.deposit(trader, 15.2)
            assert self.put(trader, BUY, price, 1_200) == "filled"

    def single_lots(self, price: int) -> None:
        """Sixty-four bids of one lot, 60 cents: they only reduce the bidder's short, so no least size holds them."""
        for slot in range(64):
            assert self.put(BIDDER, BUY, price, 1, slot=20 + slot, reduce_only=1) == "resting"

    def lots(self) -> int:
        """Of the stranger."""
        return self.position(self.of[LARGE])

    def paid(self) -> int:
        """Dollars that the fund paid for the stranger's position."""
        account = FIRST + self.of[LARGE]
        return sum(r.paid_by_fund_micros for r in self.engine.rescues if r.account == account) // DOLLAR


@pytest.fixture
def by_ratio(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """The lowest equity over maintenance first, funds behind all."""

    def ranked(globals: Any, now: int, rows: Any) -> list[int]:
        judged = [(index, judged_by_rescue(globals, row, now)) for index, row in rows]
        below = [(Fraction(found.equity, found.maintenance), index) for index, found in judged if found.is_below]
        return [index for _, index in sorted(below)]

    def switch() -> None:
        monkeypatch.setattr(liquidator, "worst_first", ranked)
        monkeypatch.setattr(Liquidator, "_relieve", lambda self: None)

    return switch


@pytest.fixture
def by_price(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """The best order first, however small, and an owner's own among the sixty-four that are looked at."""

    def facing(self: Any, index: int, market: int, held: int, *, is_small: bool) -> list[tuple[Any, int]]:
        if is_small:
            return []
        chunk = self._chunk
        own = chunk.account(index).owner
        seen = self._committing.resting_against(market, held)[:64]
        rows = [(maker, chunk.account(maker.account), lots) for maker, lots in seen]
        return [(maker, min(abs(held), reducible(maker, row, lots))) for maker, row, lots in rows if row.owner != own]

    return lambda: monkeypatch.setattr(Liquidator, "_facing", facing)


def until_touched(world: Venue) -> int:
    """Ticks until the stranger has had a rescue."""
    assert world.put(MAKER, BUY, LOW - 10, 20_000_000, slot=9) == "resting"
    for count in range(1, 9):
        ticks(world, LOW, 1)
        if world.lots() < HEAVY:
            return count
    raise AssertionError("he never had one")


class TestDust:
    """Accounts of fifteen dollars with a trace more leverage than a large one: 64 of them are a tick's rescues."""

    def test_off_a_crowd_comes_first(self, by_ratio: Callable[[], None]) -> None:
        by_ratio()
        assert until_touched(Venue(dust=150)) == 4

    @pytest.mark.parametrize("dust", [0, 150])
    def test_on_whoever_lacks_most_comes_first(self, dust: int) -> None:
        world = Venue(dust)
        assert until_touched(world) == 2
        # The crowd has the places that are left.
        assert len({record.account for record in world.engine.rescues}) == (liquidator.RESCUES_OF_A_TICK if dust else 1)
        world.check()

    def falling(self) -> Venue:
        """A tenth of a percent a tick, and nobody bids."""
        world = Venue(640, fund=2_000_000)
        for turn in range(12):
            ticks(world, 591_000 - 600 * turn, 1)
        assert world.lots() == 0
        return world

    def test_off_while_it_falls_the_fund_pays(self, by_ratio: Callable[[], None]) -> None:
        by_ratio()
        assert self.falling().paid() > 10_000

    def test_on_the_fund_takes_it_with_margin_left(self) -> None:
        world = self.falling()
        assert world.paid() == 0
        assert world.engine.rescues[0].account == FIRST + world.of[LARGE]

    def fund_reduced_at(self) -> int:
        """The first of the ticks below the fund's maintenance at which it is reduced, with a crowd below its own."""
        world = Venue(fund=450_000)
        assert ticks(world, CLOSE_OUT, 3) == [TAKE_OVER]
        world.crowd(150, CLOSE_OUT)
        for turn in range(6):
            ticks(world, 531_500 - 300 * turn, 1)
            if any(record.account == BTC + 1 for record in world.engine.rescues):
                return turn
        raise AssertionError("it never was")

    def test_off_a_fund_waits_behind_a_crowd(self, by_ratio: Callable[[], None]) -> None:
        by_ratio()
        assert self.fund_reduced_at() > 2

    def test_on_a_fund_below_maintenance_waits_for_nobody(self) -> None:
        assert self.fund_reduced_at() == 1


class TestOneLot:
    """Reduce-only bids of one lot at the top of the book: no least size, no posting fee, no margin."""

    def sold(self, bids: bool) -> Venue:
        """Below maintenance, with twelve million dollars of an honest bid five ticks behind the small ones."""
        world = Venue()
        ticks(world, LOW, 1)
        assert world.put(MAKER, BUY, LOW - 10, 20_000_000, slot=9) == "resting"
        for _ in range(4):
            if bids:
                world.single_lots(LOW - 5)
            ticks(world, LOW, 1)
        assert {record.kind for record in world.engine.rescues} == {LIQUIDATION}
        return world

    def test_off_sixteen_lots_a_tick_are_all_that_is_sold(self, by_price: Callable[[], None]) -> None:
        by_price()
        assert HEAVY - self.sold(bids=True).lots() == 4 * 16

    @pytest.mark.parametrize("bids", [False, True])
    def test_on_the_honest_bid_is_met(self, bids: bool) -> None:
        world = self.sold(bids)
        assert HEAVY - world.lots() > 3_000_000
        large = judged_by_rescue(world.engine.globals, world.engine.account(FIRST + world.of[LARGE]), world.now)
        assert large.equity > large.maintenance
        assert {record.counterparty - FIRST for record in world.engine.rescues} == {world.of[MAKER]}
        world.check()

    def test_small_bids_are_met_where_nothing_else_is_left(self) -> None:
        """A thin book of honest small bids: nobody is worse off than by price alone, sixteen steps a tick."""
        world = Venue()
        ticks(world, LOW, 1)
        for place in range(20):
            assert world.put(MAKER, BUY, LOW - 5 - place, 50_000, slot=20 + place) == "resting"
        assert ticks(world, LOW, 1) == [LIQUIDATION] * 16
        assert [record.price_ticks for record in world.engine.rescues] == [LOW - 5 - place for place in range(16)]
        assert world.lots() == HEAVY - 16 * 50_000
        world.check()

    def test_small_bids_for_large_accounts_take_no_place_from_others(self) -> None:
        """Four losers who lack more, in a market where nobody but their friend bids, and one whom a bid waits for."""
        world = Venue()
        for trader in range(60, 64):
            world.deposit(trader, 100_000)
            assert world.put(MAKER, SELL, PRICES[ETH], 13_000_000, market=ETH, slot=trader) == "resting"
            assert world.put(trader, BUY, PRICES[ETH], 13_000_000, market=ETH) == "filled"
        world.put(BIDDER, SELL, PRICES[ETH], 10_000, market=ETH, slot=5)
        world.put(MAKER, BUY, PRICES[ETH], 10_000, market=ETH, slot=5)
        low = (LOW, PRICES[ETH] * 982 // 1_000, PRICES[2])
        assert seconds(world, low, 1) == []
        for slot in range(64):
            assert world.put(BIDDER, BUY, low[1] - 5, 1, slot=20 + slot, reduce_only=1, market=ETH) == "resting"
        assert world.put(MAKER, BUY, LOW - 10, 20_000_000, slot=9) == "resting"
        assert len(seconds(world, low, 1)) == liquidator.RESCUES_OF_A_TICK
        assert world.engine.rescues[0].account == FIRST + world.of[LARGE]
        assert [record.lots for record in list(world.engine.rescues)[-60:]] == [1] * 60

    def taken_over(self) -> Venue:
        """Below close-out from the third tick on, and small bids at each price."""
        world = Venue(fund=2_000_000)
        for turn in range(14):
            price = CLOSE_OUT - 500 * max(0, turn - 2)
            world.single_lots(price)
            ticks(world, price, 1)
        assert world.lots() == 0
        return world

    def test_off_the_fund_is_asked_when_nothing_is_left(self, by_price: Callable[[], None]) -> None:
        by_price()
        assert self.taken_over().paid() == 3_274

    def test_on_the_fund_takes_it_with_margin_left(self) -> None:
        world = self.taken_over()
        assert world.paid() == 0
        assert world.engine.rescues[0].kind == TAKE_OVER

    def unwound(self) -> int:
        """Lots that a fund has left after ticks at which an honest bid stands behind small ones."""
        world = Venue(fund=2_000_000)
        assert ticks(world, CLOSE_OUT, 3) == [TAKE_OVER]
        assert world.put(MAKER, BUY, CLOSE_OUT, 20_000_000, slot=9) == "resting"
        for _ in range(5):
            world.single_lots(CLOSE_OUT + 5)
            ticks(world, CLOSE_OUT, 1)
        world.check()
        return encoding.unpack(world.engine.account(BTC + 1).positions[BTC]).size

    def test_off_a_fund_unwinds_sixteen_lots_a_tick(self, by_price: Callable[[], None]) -> None:
        by_price()
        assert self.unwound() == HEAVY - 5 * 16

    def test_on_a_fund_unwinds(self) -> None:
        assert self.unwound() == 0

    def with_own_bids(self) -> int:
        """Lots that are left of the stranger's where he has 64 bids of his own in front of an honest one."""
        world = Venue()
        world.process(deposit(owner(LARGE), 3_000_000 * DOLLAR))
        second = world.engine.accounts_of(owner(LARGE))[1]
        ticks(world, LOW, 1)
        for slot in range(64):
            given = order(world.now, second, BUY, LOW - 5, 80_000, slot=20 + slot)
            assert world.process(signed_order(given, key(LARGE))).status == "resting"
        assert world.put(MAKER, BUY, LOW - 10, 20_000_000, slot=9) == "resting"
        ticks(world, LOW, 3)
        return world.lots()

    def test_off_own_bids_take_the_places_that_are_looked_at(self, by_price: Callable[[], None]) -> None:
        by_price()
        assert self.with_own_bids() == HEAVY

    def test_on_own_bids_hide_nobody(self) -> None:
        assert self.with_own_bids() < HEAVY


class TestLargestNobodyBuys:
    """The largest position stands where nobody bids and no fund has money, one nearly as large where both are."""

    # 4.5 and 4.2 million dollars on 200,000: 104,400 of maintenance.
    OTHER = 14_000_000

    def world(self, fund: int = 0) -> Venue:
        world = Venue()
        world.process(deposit(owner(LARGE), 100_000 * DOLLAR, FIRST + world.of[LARGE]))
        if fund:
            world.process(deposit(owner(50), fund * DOLLAR, ETH + 1))
        assert world.put(MAKER, SELL, PRICES[ETH], self.OTHER, market=ETH, slot=4) == "resting"
        assert world.put(LARGE, BUY, PRICES[ETH], self.OTHER, market=ETH, slot=4) == "filled"
        return world

    def fallen(self, world: Venue, ppm: int) -> list[str]:
        """The kinds of the rescues of three ticks at so much less, in both markets."""
        return seconds(world, (PRICES[BTC] * ppm // 10**6, PRICES[ETH] * ppm // 10**6, PRICES[2]), 3)

    def offered(self, size: int, count: int = 1) -> Venue:
        world = self.world()
        for place in range(count):
            assert world.put(MAKER, BUY, 296_400, size, market=ETH, slot=20 + place) == "resting"
        return world

    @pytest.fixture
    def largest_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        may = liquidator.may_begin
        monkeypatch.setattr(liquidator, "may_begin", lambda *given: may(*given)[:1])

    @pytest.mark.usefixtures("largest_alone")
    @pytest.mark.parametrize(("size", "count"), [(20_000_000, 1), (10_000, 10)])
    def test_off_it_waits_for_the_fund(self, size: int, count: int) -> None:
        assert self.fallen(self.offered(size, count), 988_500) == []

    @pytest.mark.parametrize(("size", "count"), [(20_000_000, 1), (10_000, 10)])
    def test_on_the_other_one_is_sold(self, size: int, count: int) -> None:
        """Also to orders that are small beside it."""
        world = self.offered(size, count)
        assert self.fallen(world, 988_500) == [LIQUIDATION] * count
        assert world.lots() == HEAVY
        assert self.OTHER - world.position(world.of[LARGE], ETH) >= min(size * count, 1_000_000)
        world.check()

    @pytest.mark.usefixtures("largest_alone")
    def test_off_the_other_ones_fund_is_not_asked(self) -> None:
        assert self.fallen(self.world(fund=2_000_000), 984_000) == []

    def test_on_the_other_ones_fund_takes_it(self) -> None:
        world = self.world(fund=2_000_000)
        assert self.fallen(world, 984_000)[0] == TAKE_OVER
        assert (world.lots(), world.position(world.of[LARGE], ETH)) == (HEAVY, 0)
        world.check()


class TestTurns:
    """Four large accounts of an attacker's, and a friend's bids of little more than a hundredth of each."""

    def rescued(self) -> list[int]:
        """How often each of the four, and a stranger's fifth, was rescued at the first tick that may."""
        world = World(traders=15)
        world.process(deposit(owner(50), 10_000_000 * DOLLAR, BTC + 1))
        for trader in range(5):
            lots = HEAVY - 100_000 * (trader == 4)
            assert world.order(5 + trader, SELL, PRICES[BTC], lots).status == "resting"
            assert world.order(trader, BUY, PRICES[BTC], lots).status == "filled"
        ticks(world, PRICES[BTC], 2)
        for place in range(80):
            bid = world.order(10 + place // 20, BUY, LOW - 505, HEAVY // 100 + 1_000, slot=2 + place % 20)
            assert bid.status == "resting"
        ticks(world, LOW - 500, 2)
        world.check()
        return [sum(one.account == FIRST + trader for one in world.engine.rescues) for trader in range(5)]

    def test_off_they_take_a_tick_whole(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(liquidator, "_STEPS_OF_A_TURN", 16)
        assert self.rescued() == [16, 16, 16, 16, 0]

    def test_on_he_has_his_turn(self) -> None:
        assert self.rescued() == [16, 12, 12, 12, 12]
