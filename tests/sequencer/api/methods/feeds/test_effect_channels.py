"""The table of channels: every effect stands in it, and says what it concerns where it speaks."""

from typing import get_args

from prover.stf import constants
from sequencer.api.methods.feeds.effect_channels import ACCOUNT, BOOK, PRICES, SPEAKS_ON, TRADES, keys, speaking
from sequencer.engine.effects import AnyEffect, accounts_of, markets_of
from tests.sequencer.node_world import BTC, BUY, FIRST, SELL, World
from tests.sequencer.node_world import PRICES as TICK_PRICES


def test_every_effect_stands_in_the_table() -> None:
    assert set(SPEAKS_ON) == set(get_args(AnyEffect))


def test_a_trade_speaks_of_its_market_and_both_sides() -> None:
    world = World(3)
    world.order(0, SELL, TICK_PRICES[BTC])
    told = world.order(1, BUY, TICK_PRICES[BTC]).effects
    assert (keys(told, BOOK, markets_of), keys(told, ACCOUNT, accounts_of)) == ([BTC], [FIRST, FIRST + 1])
    assert len(speaking(told, TRADES)) == 1
    assert speaking(told, PRICES) == []


def test_a_tick_speaks_of_all_markets_and_prices() -> None:
    world = World(1)
    told = world.tick().effects
    assert keys(told, BOOK, markets_of) == list(range(world.engine.globals.market_count))
    assert speaking(told, PRICES) != []


def test_a_refusal_speaks_to_nobody() -> None:
    world = World(1)
    told = world.request(constants.CANCEL, 0, slot=0).effects
    assert [SPEAKS_ON[type(effect)] for effect in told] == [()]
