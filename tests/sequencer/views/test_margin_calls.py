"""Margin calls over a sequence of ticks: each level once, eased with hysteresis, told to those who listen."""

from itertools import pairwise

import pytest

from prover.stf import codes, constants, containers
from sequencer.engine.engine import Engine
from sequencer.schema.accounts import MarginCall
from sequencer.sequencing.staged_store import BufferedStore
from sequencer.views.account import Standing
from sequencer.views.margin_calls import EASING, LEVELS, MarginCalls, next_level
from tests.sequencer.desk import Desk
from tests.sequencer.node_world import BTC, BUY, DOMAIN, FIRST, PRICES, SELL, World, tick

PRICE = PRICES[BTC]


def at(percent: float) -> Standing:
    """A standing with this margin ratio."""
    return Standing(equity=1_000_000, initial=0, maintenance=round(10_000 * percent), notional=0)


@pytest.mark.parametrize(
    ("before", "percent", "after"),
    [
        (0, 49.9, 0), (0, 50, 50), (0, 69.9, 50), (0, 99.9, 90), (0, 100, 100), (0, 340, 100),
        (50, 45, 50), (50, 44.9, 0), (50, 70, 70), (70, 69, 70), (70, 64.9, 50), (80, 75, 80), (80, 74.9, 70),
        (90, 44, 0), (90, 46, 50), (100, 95, 100), (100, 94.9, 90), (100, 66, 70), (100, 0, 0),
    ],
)  # fmt: skip
def test_a_level_rises_when_reached_and_eases_five_points_below(before: int, percent: float, after: int) -> None:
    assert next_level(before, at(percent)) == after


def test_no_equity_is_the_highest_call_and_no_position_is_none() -> None:
    assert next_level(0, Standing(0, 5, 3, 9)) == 100
    assert next_level(0, Standing(-7, 5, 3, 9)) == 100
    assert next_level(100, Standing(-7, 0, 0, 0)) == 0
    assert next_level(100, Standing(0, 0, 0, 0)) == 0


def test_levels_are_one_easing_apart_at_least() -> None:
    """Else a ratio could ease past a level that it still reaches."""
    assert all(high - low >= EASING for low, high in pairwise(LEVELS))


@pytest.fixture
def world() -> World:
    """Trader 1 is long one BTC with 2,000 dollars, trader 0 short, trader 2 holds nothing."""
    world = World(3, dollars=2_000)
    world.order(0, SELL, PRICE, 100_000)
    assert world.order(1, BUY, PRICE, 100_000).status == "filled"
    return world


def look(world: World, calls: MarginCalls, per_mille: int) -> list[tuple[int, int, int]]:
    """(trader, level before, level after) of what changes when BTC is at so many thousandths of its first price."""
    world.seal()
    assert world.tick((PRICE * per_mille // 1_000, *PRICES[1:])).code == codes.OK
    globals = world.engine.globals
    found = calls.look()
    assert all(call.tick_time_ms == globals.tick_time for call in found.values())
    assert [call.account for call in found.values()] == list(found)
    return [(index - FIRST, call.previous_percent, call.level_percent) for index, call in found.items()]


def test_a_fall_and_a_recovery(world: World) -> None:
    """Margin ratios of trader 1: 36, 52, 70, 79, 91, 119, none, 99, 85, 74, 66, 50, 43 percent."""
    calls = MarginCalls(world.engine)
    told = [look(world, calls, at) for at in (1_000, 990, 983, 982, 980, 977, 966, 979, 981, 983, 985, 991, 995)]
    assert told == [
        [],
        [(1, 0, 50)],
        [(1, 50, 70)],
        [],
        [(1, 70, 90)],
        [(1, 90, 100)],
        [],
        [],
        [(1, 100, 80)],
        [(1, 80, 70)],
        [],
        [(1, 70, 50)],
        [(1, 50, 0)],
    ]
    assert calls.standing(10) == []


def test_a_wobble_is_told_once(world: World) -> None:
    calls = MarginCalls(world.engine)
    # 66, 70+, 69.9, 66, 74, 70 percent; then far away, and back.
    told = [look(world, calls, at) for at in (985, 983, 984, 985, 983, 984, 1_003, 983)]
    assert told == [[(1, 0, 50)], [(1, 50, 70)], [], [], [], [], [(1, 70, 0)], [(1, 0, 70)]]


def test_who_closes_is_told_so_and_then_skipped(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = MarginCalls(world.engine)
    assert world.engine.holders == {FIRST, FIRST + 1}
    look(world, calls, 983)
    assert [call.account for call in calls.standing(10)] == [FIRST + 1]
    now = PRICE * 983 // 1_000
    world.order(0, BUY, now, 100_000, slot=2)
    assert world.order(1, SELL, now, 100_000, slot=2).status == "filled"
    assert look(world, calls, 983) == [(1, 70, 0)]
    assert (calls.standing(10), world.engine.holders) == ([], set())
    asked: list[int] = []
    monkeypatch.setattr(world.engine, "account", asked.append)
    assert calls.look() == {}
    assert asked == []


def test_a_tick_looks_at_nobody_who_is_far_from_a_call(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = MarginCalls(world.engine)
    assert look(world, calls, 1_000) == []
    assert calls.last_look(FIRST + 1) is None
    asked: list[int] = []
    account = world.engine.account
    monkeypatch.setattr(world.engine, "account", lambda index: asked.append(index) or account(index))
    assert look(world, calls, 991) == []
    assert asked == []
    assert look(world, calls, 990) == [(1, 0, 50)]
    assert set(asked) == {FIRST + 1}
    assert (found := calls.last_look(FIRST + 1)) is not None
    assert found.level_percent == 50


def test_a_start_looks_at_nobody_again_and_finds_who_comes_near(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.seal()
    world.engine = Engine(BufferedStore(world.store), DOMAIN)
    asked: list[int] = []
    read = world.engine.account

    def account(index: int) -> containers.Account:
        asked.append(index)
        return read(index)

    calls = MarginCalls(world.engine)
    monkeypatch.setattr(world.engine, "account", account)
    assert look(world, calls, 1_000) == []
    assert asked == []
    # Whoever is second on one engine finds the same as the first, and takes nothing from it.
    second = MarginCalls(world.engine)
    changes = look(world, calls, 980)
    assert changes
    assert [(call.account - FIRST, call.level_percent) for call in second.look().values()] == [
        (who, at) for who, _, at in changes
    ]


def test_the_worst_stand_first_and_the_list_is_cut() -> None:
    calls = MarginCalls(World().engine)
    calls._looks = {
        index: MarginCall(index, level, level, 0, 0, 0, 0)
        for index, level in ((20, 50), (18, 100), (21, 0), (19, 100), (17, 70))
    }
    assert [call.account for call in calls.standing(3)] == [18, 19, 17]
    assert [call.account for call in calls.standing(9)] == [18, 19, 17, 20]


def test_a_restarted_engine_knows_who_holds_positions(world: World) -> None:
    world.seal()
    assert Engine(BufferedStore(world.store), DOMAIN).holders == {FIRST, FIRST + 1}


@pytest.mark.trio
async def test_a_call_is_told_on_both_channels(desk: Desk) -> None:
    await desk.order(0, SELL, PRICE, 600_000)
    await desk.order(1, BUY, PRICE, 600_000)
    desk.channels.told = []
    desk.clock.now += constants.TICK_STEP
    price = PRICE * 990 // 1_000
    await desk.venue.submit(tick(desk.clock.now, (price, *PRICES[1:])))
    (call,) = [data for channel, data in desk.channels.told if channel == "margin_calls"]
    assert (call["account"], call["previous_percent"], call["level_percent"]) == (FIRST + 1, 0, 50)
    assert call["maintenance_micros"] == str(600_000 * price * 12_000 // 10**6)
    (account,) = [data for channel, data in desk.channels.told if channel == f"account:{FIRST + 1}"]
    assert (account["margin_call"], account["margin_call_percent"]) == (call, 50)
    assert desk.channels.opened["margin_calls"]() == [{**call, "previous_percent": 50}]
    # The same prices again: nothing to tell.
    desk.channels.told = []
    desk.clock.now += constants.TICK_STEP
    await desk.venue.submit(tick(desk.clock.now, (price, *PRICES[1:])))
    assert desk.channels.names() == {"prices", "funding"}


@pytest.mark.trio
async def test_nothing_is_valued_for_a_channel_that_nobody_opened(desk: Desk) -> None:
    desk.channels.is_open = desk.channels.changed = lambda channel: False  # type: ignore[method-assign]
    await desk.order(0, SELL, PRICE, 600_000)
    assert not desk.channels.names() & {"margin_calls", f"account:{FIRST}"}
