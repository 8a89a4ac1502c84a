"""What is tried at arrival, whom an order may meet, and what stood in its way (venue cases O4, O6, O7, O9)."""

import pytest

from prover.stf import codes
from sequencer.engine.effects import Left, Reason, Shrunk
from sequencer.engine.records import CANCEL_MAKER, DECREMENT, Terms
from tests.sequencer.node_world import BTC, BUY, FIRST, FOK, IOC, LOTS, PRICES, SELL, World, key, order, signed_order

PRICE = PRICES[BTC]
WIDE = PRICE + 100_000


@pytest.mark.parametrize("time_in_force", [IOC, FOK])
def test_a_wide_limit_is_tried_at_what_it_would_be_filled_at(time_in_force: int) -> None:
    world = World(2, dollars=40)
    world.order(0, SELL, PRICE, 500)
    taken = world.order(1, BUY, WIDE, 500, time_in_force=time_in_force)
    assert (taken.code, taken.filled) == (codes.OK, 500)
    assert [fill.price for fill in taken.fills] == [PRICE]
    world.check()


def test_what_rests_is_tried_at_its_own_price() -> None:
    world = World(2, dollars=40)
    world.order(0, SELL, PRICE, 500)
    refused = world.order(1, BUY, WIDE, 2_000)
    assert refused.code == codes.TAKER_MARGIN
    assert refused.most_lots is not None
    assert 0 < refused.most_lots < 2_000
    assert world.order(1, BUY, WIDE, refused.most_lots).code == codes.OK


def test_what_is_not_covered_is_refused_before_any_of_it_is_filled() -> None:
    world = World(2, dollars=40)
    world.order(0, SELL, PRICE, 500)
    world.order(0, SELL, PRICE + 25_000, 1_000, slot=2)
    assert world.order(1, BUY, WIDE, 1_500, time_in_force=IOC).code == codes.TAKER_MARGIN
    assert world.position(1) == 0


def test_who_is_called_closes_with_a_wide_limit_that_is_no_reduce_only_order() -> None:
    """Tried at its own limit it would leave less than nothing; it is filled at what is bid."""
    world = World(3, dollars=400)
    most = 18_000
    world.order(0, SELL, PRICE, most)
    assert world.order(1, BUY, PRICE, most).filled == most
    world.seal()
    lower = PRICE * 982 // 1_000
    world.tick((lower, *PRICES[1:]))
    world.order(2, BUY, lower, most)
    growing = world.order(1, BUY, lower, 200, slot=2)
    closed = world.order(1, SELL, lower * 96 // 100, most, slot=3, time_in_force=IOC)
    assert (growing.code, closed.code, closed.filled) == (codes.TAKER_MARGIN, codes.OK, most)
    assert {fill.price for fill in closed.fills} == {lower}
    world.check()


def test_fill_or_kill_says_how_much_stood_there() -> None:
    world = World(3)
    world.order(0, SELL, PRICE, 400)
    world.order(1, SELL, PRICE, 600)
    killed = world.order(2, BUY, PRICE, LOTS, time_in_force=FOK)
    assert (killed.status, killed.refusal, killed.met) == ("expired", "ALL_OR_NOTHING", ("", 400))
    assert killed.filled == 0
    assert world.order(2, BUY, PRICE, 400, time_in_force=FOK, slot=2).met == ("", 0)


def test_a_taker_is_told_which_order_of_its_owner_stood_in_the_way() -> None:
    world = World(2)
    name = world.order(0, SELL, PRICE, 400, slot=9).order
    met = world.order(0, BUY, PRICE, LOTS)
    assert (met.status, met.refusal, met.met) == ("expired", "SELF_TRADE", (name, 400))
    assert world.resting() == [(0, 9, 400)]


def test_the_maker_gives_way_where_its_owner_says_so() -> None:
    world = World(2)
    world.order(0, SELL, PRICE, 400, slot=9)
    world.order(1, SELL, PRICE, 300)
    taken = world.order(0, BUY, PRICE, 300, terms=Terms(self_trade=CANCEL_MAKER))
    assert (taken.status, taken.filled) == ("filled", 300)
    left = [effect for effect in taken.effects if isinstance(effect, Left)]
    assert [(effect.reason, effect.lots) for effect in left] == [(Reason.SELF_TRADE, 400)]
    assert world.resting() == []
    world.check()


@pytest.mark.parametrize(("size", "resting"), [(1_000, [(0, 1, 600)]), (400, []), (300, [(0, 9, 100)])])
def test_both_lose_what_they_have_in_common(size: int, resting: list[tuple[int, int, int]]) -> None:
    world = World(2)
    world.order(0, SELL, PRICE, 400, slot=9)
    met = world.order(0, BUY, PRICE, size, terms=Terms(self_trade=DECREMENT))
    assert (met.filled, world.resting(), world.position(0)) == (0, resting, 0)
    assert met.status == ("resting" if size > 400 else "cancelled")
    shrunk = [effect for effect in met.effects if isinstance(effect, Shrunk)]
    assert len(shrunk) == (0 if size == 400 else 1)
    if size > 400:
        # The law would fill the whole of it: the venue does not.
        assert [one.size for one in world.order(1, SELL, PRICE, LOTS, time_in_force=IOC).fills] == [600]
    world.check()


def test_an_agent_lets_an_order_of_his_own_account_leave() -> None:
    world = World(6)
    world.order(0, SELL, PRICE, 400)
    world.grant(0, 5)
    agents = order(world.now, FIRST, BUY, PRICE, 300, slot=3)
    taken = world.process(signed_order(agents, key(5)), Terms(self_trade=CANCEL_MAKER))
    assert [effect.reason for effect in taken.effects if isinstance(effect, Left)] == [Reason.SELF_TRADE]


def test_a_smaller_size_keeps_its_place_and_a_larger_one_loses_it() -> None:
    world = World(4)
    for trader in range(3):
        world.order(trader, SELL, PRICE)
    world.now += 1
    kept = world.order(0, SELL, PRICE, 600)
    assert [effect.reason for effect in kept.effects if isinstance(effect, Left)] == [Reason.REPLACED]
    assert world.resting() == [(0, 1, 600), (1, 1, LOTS), (2, 1, LOTS)]
    assert world.engine.books[BTC].depth(1)[1] == [(PRICE, 600 + 2 * LOTS)]
    assert world.order(1, SELL, PRICE, LOTS + 1).status == "resting"
    assert world.resting() == [(0, 1, 600), (2, 1, LOTS), (1, 1, LOTS + 1)]
    # Another price is another place, however small.
    world.now += 1
    world.order(0, SELL, PRICE + 1, 500)
    taken = world.order(3, BUY, PRICE, 100, time_in_force=IOC)
    assert [fill.maker - FIRST for fill in taken.fills] == [2]
    world.check()


def test_what_took_a_place_over_ends_at_its_own_time() -> None:
    world = World(2)
    world.order(0, SELL, PRICE, expires_at=world.now + 3_000)
    world.now += 1
    world.order(0, SELL, PRICE, 600, expires_at=world.now + 20_000)
    world.now += 5_000
    world.tick()
    assert world.resting() == [(0, 1, 600)]
    world.now += 20_000
    world.seal()
    world.tick()
    assert world.resting() == []
    world.check()
