"""When the deleveraging rankings are sorted anew: at each tick, and more rarely where very many hold positions."""

import pytest

from sequencer.views import rankings
from sequencer.views.rankings import Rankings
from tests.sequencer.node_world import BTC, BUY, PRICES, SELL, World


def orders(found: Rankings) -> list[int]:
    """Accounts of the shorts' ranking."""
    return [place.account for place in found.of_side(BTC, -1)]


@pytest.fixture
def world() -> World:
    """Trader 0 is short, trader 1 long."""
    world = World(4)
    world.order(0, SELL, PRICES[BTC], 100_000)
    world.order(1, BUY, PRICES[BTC], 100_000)
    world.seal()
    return world


def fall(world: World, price: int) -> None:
    world.seal()
    world.tick((price, *PRICES[1:]))


def test_it_is_sorted_once_a_tick(world: World) -> None:
    found = Rankings(world.engine)
    assert orders(found) == []
    fall(world, PRICES[BTC] - 1_000)
    first = found.of_side(BTC, -1)
    assert len(first) == 1
    assert found.of_side(BTC, -1) is first
    fall(world, PRICES[BTC] - 1_000)
    assert found.of_side(BTC, -1) is not first


def test_with_many_accounts_it_stays_for_several_ticks(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rankings, "HOLDERS_A_TICK", 1)
    found = Rankings(world.engine)
    first = found.of_side(BTC, -1)
    kept = []
    for _ in range(7):
        fall(world, PRICES[BTC] - 1_000)
        kept.append(found.of_side(BTC, -1) is first)
        first = found.of_side(BTC, -1)
    # Two holders, one a tick: it lasts for two ticks beside its own.
    assert kept == [True, True, False, True, True, False, True]
