"""A bracket: stop and target wait for their entry's first fill, and whichever does its work ends the entry's rest."""

from copy import deepcopy
from typing import Any

import pytest

from prover.signing.operations import order_name
from prover.stf import codes, constants
from sequencer.engine.effects import Armed, Left, Processed, Reason
from sequencer.engine.engine import Engine
from sequencer.engine.records import Terms
from sequencer.sequencing.staged_store import BufferedStore
from tests.sequencer.node_world import BTC, BUY, DOMAIN, FIRST, GTC, IOC, LOTS, PRICES, SELL, START, World

PRICE = PRICES[BTC]
ENTRY, STOP, TARGET = 1, 2, 3


def child(world: World, slot: int, entry: str, **changes: Any) -> Processed:
    """A stop or a target of trader 0 behind an entry that buys."""
    is_stop = slot == STOP
    fields: dict[str, Any] = {
        "reduce_only": 1,
        "time_in_force": IOC,
        "trigger": constants.TRIGGER_AT_OR_BELOW if is_stop else constants.TRIGGER_AT_OR_ABOVE,
        "trigger_price": PRICE - 1_000 if is_stop else PRICE + 1_000,
        "terms": Terms(group=7, after=entry),
        **changes,
    }
    price = PRICE - 2_000 if is_stop else PRICE + 500
    fields.setdefault("expires_at", world.now + 600_000)
    return world.order(0, fields.pop("side", SELL), price, LOTS, slot=slot, **fields)


def bracket(world: World, price: int = PRICE - 100) -> str:
    """An entry of trader 0 with both; its name."""
    entry = order_name(FIRST, ENTRY, world.now)
    assert world.order(0, BUY, price, slot=ENTRY).status == "resting"
    assert [child(world, slot, entry).status for slot in (STOP, TARGET)] == ["dormant", "dormant"]
    return entry


def ends(outcome: Processed, reason: Reason = Reason.LINKED) -> list[int]:
    """Slots of orders that left for that reason."""
    return [
        int(effect.order, 16) >> 48 & 0xFF
        for effect in outcome.effects
        if isinstance(effect, Left) and effect.reason is reason
    ]


def armed(outcome: Processed) -> list[int]:
    """Slots of orders that were woken."""
    return [int(effect.order, 16) >> 48 & 0xFF for effect in outcome.effects if isinstance(effect, Armed)]


def test_nothing_fires_before_the_entry_has_a_fill() -> None:
    world = World(3)
    bracket(world)
    ticked = world.tick((PRICE + 1_500, *PRICES[1:]))
    assert (ticked.fills, ends(ticked), world.waiting()) == ([], [], [(0, STOP), (0, TARGET)])
    # And one that is reached already fires as soon as it has.
    filled = world.order(1, SELL, PRICE - 100, 400, time_in_force=IOC)
    assert armed(filled) == [STOP, TARGET]
    world.order(2, BUY, PRICE + 600, slot=5)
    assert world.engine.has_more(world.now, queue_only=False)
    fired = world.process(b"")
    assert [fill.size for fill in fired.fills] == [400]
    assert (world.position(0), world.waiting(), ends(fired)) == (0, [], [ENTRY])
    world.check()


def test_each_fill_of_the_entry_raises_what_a_stop_may_reduce() -> None:
    world = World(3)
    bracket(world)
    world.order(1, SELL, PRICE - 100, 300, time_in_force=IOC)
    world.order(1, SELL, PRICE - 100, 200, slot=2, time_in_force=IOC)
    assert world.position(0) == 500
    world.order(2, BUY, PRICE - 1_900, LOTS, slot=5)
    ticked = world.tick((PRICE - 1_000, *PRICES[1:]))
    assert [fill.size for fill in ticked.fills] == [500]
    # The rest of the entry would open a position that nobody stops.
    assert (ends(ticked), world.position(0), world.waiting()) == ([ENTRY], 0, [])
    assert world.resting() == [(2, 5, LOTS - 500)]
    assert len(world.engine.orders.followers) == len(world.engine.orders.links) == 0
    world.check()


def test_they_leave_with_an_entry_that_had_no_fill() -> None:
    world = World(2)
    bracket(world)
    gone = world.request(constants.CANCEL, 0, slot=ENTRY, max_posting_fee=0)
    assert (ends(gone, Reason.CANCELLED), ends(gone), world.waiting()) == ([ENTRY], [STOP, TARGET], [])
    world.check()


def test_they_stay_with_the_position_of_an_entry_that_had_one() -> None:
    world = World(2)
    bracket(world)
    world.order(1, SELL, PRICE - 100, 300, time_in_force=IOC)
    gone = world.request(constants.CANCEL, 0, slot=ENTRY, max_posting_fee=0)
    assert (ends(gone), world.waiting(), world.position(0)) == ([], [(0, STOP), (0, TARGET)], 300)
    world.check()


def test_an_entry_that_is_moved_takes_them_along() -> None:
    world = World(2)
    bracket(world)
    world.now += 1
    moved = world.order(0, BUY, PRICE - 50, slot=ENTRY)
    assert (ends(moved), len(world.engine.orders.followers)) == ([], 2)
    filled = world.order(1, SELL, PRICE - 50, 300, time_in_force=IOC)
    assert armed(filled) == [STOP, TARGET]
    world.check()


def test_an_entry_that_is_moved_into_its_fill_wakes_them() -> None:
    world = World(2)
    bracket(world)
    world.order(1, SELL, PRICE, LOTS, slot=5)
    world.now += 1
    moved = world.order(0, BUY, PRICE, slot=ENTRY)
    assert (moved.status, armed(moved), ends(moved)) == ("filled", [STOP, TARGET], [])
    world.check()


def test_an_entry_that_is_turned_round_ends_them() -> None:
    world = World(2)
    bracket(world)
    world.now += 1
    assert ends(world.order(0, SELL, PRICE + 50, slot=ENTRY)) == [STOP, TARGET]
    world.check()


def test_a_stop_entry_wakes_them_when_it_fires() -> None:
    world = World(2)
    entry = order_name(FIRST, ENTRY, world.now)
    fires = {"trigger": constants.TRIGGER_AT_OR_ABOVE, "trigger_price": PRICE + 100}
    assert world.order(0, BUY, PRICE + 200, slot=ENTRY, **fires).status == "armed"
    assert child(world, STOP, entry).status == "dormant"
    world.order(1, SELL, PRICE + 100, slot=5)
    ticked = world.tick((PRICE + 100, *PRICES[1:]))
    assert (armed(ticked), world.position(0)) == ([STOP], LOTS)
    world.check()


def test_behind_an_entry_that_is_filled_already_they_are_armed_at_once() -> None:
    world = World(2)
    entry = order_name(FIRST, ENTRY, world.now)
    world.order(0, BUY, PRICE, slot=ENTRY)
    world.order(1, SELL, PRICE, time_in_force=IOC)
    assert child(world, STOP, entry).status == "armed"
    world.check()


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"reduce_only": 0, "time_in_force": GTC, "expires_at": START + 9_000}, codes.MISMATCHED),
        (
            {"trigger": constants.NO_TRIGGER, "trigger_price": 0, "time_in_force": GTC, "expires_at": START + 9_000},
            codes.MISMATCHED,
        ),
        ({"side": BUY}, codes.MISMATCHED),
        ({"market": 1}, codes.MISMATCHED),
        ({"terms": Terms(after=order_name(FIRST, 9, 9))}, codes.NO_ORDER),
        ({"terms": Terms(after=order_name(FIRST + 1, 4, 1_800_000_000_000))}, codes.MISMATCHED),
    ],
)
def test_what_cannot_come_after_is_refused(changes: dict[str, Any], code: int) -> None:
    world = World(2)
    entry = order_name(FIRST, ENTRY, world.now)
    world.order(0, BUY, PRICE - 100, slot=ENTRY)
    world.order(1, BUY, PRICE - 100, slot=4)
    refused = child(world, STOP, entry, **changes)
    assert (refused.code, refused.changed) == (code, False)
    assert refused.refusal
    world.check()


def test_an_entry_that_left_without_a_fill_has_no_followers_any_more() -> None:
    world = World(1)
    entry = order_name(FIRST, ENTRY, world.now)
    world.order(0, BUY, PRICE - 100, slot=ENTRY)
    world.request(constants.CANCEL, 0, slot=ENTRY, max_posting_fee=0)
    assert child(world, STOP, entry).code == codes.NO_ORDER


def test_nothing_waits_for_an_order_that_only_reduces() -> None:
    """It leaves with the position that it reduces, and no fill of it would ever wake them."""
    world = World(2)
    world.order(0, SELL, PRICE, slot=9)
    assert world.order(1, BUY, PRICE, time_in_force=IOC).status == "filled"
    bracket(world)
    world.now += 1
    entry = order_name(FIRST, ENTRY, world.now)
    moved = world.order(0, BUY, PRICE - 100, slot=ENTRY, reduce_only=1)
    assert (moved.status, ends(moved), world.waiting()) == ("resting", [STOP, TARGET], [])
    assert child(world, STOP, entry).code == codes.MISMATCHED
    assert world.waiting() == []
    world.check()


def test_a_dormant_order_ends_with_its_time() -> None:
    world = World(2)
    entry = order_name(FIRST, ENTRY, world.now)
    world.order(0, BUY, PRICE - 100, slot=ENTRY)
    child(world, STOP, entry, expires_at=world.now + 20_000)
    world.seal()
    world.now += 20_000
    assert ends(world.tick(), Reason.EXPIRED) == [STOP]
    assert (world.waiting(), len(world.engine.orders.followers)) == ([], 0)
    world.check()


def test_a_cancel_of_all_takes_dormant_orders_too() -> None:
    world = World(2)
    bracket(world)
    gone = world.request(constants.CANCEL_ALL, 0, slot=0, max_posting_fee=0)
    assert sorted(ends(gone, Reason.CANCELLED)) == [ENTRY, STOP, TARGET]
    assert len(world.engine.orders.followers) == 0
    world.check()


def test_a_bracket_comes_back_from_the_store_as_it_stood() -> None:
    world = World(2)
    bracket(world)
    world.seal()
    again = Engine(BufferedStore(deepcopy(world.store)), DOMAIN)
    assert len(again.orders.followers) == 2
    assert [again.orders.signed(order).dormant for order in again.triggers[BTC].waiting()] == [True, True]
    assert again.triggers[BTC].due(PRICE + 5_000) is None
    world.order(1, SELL, PRICE - 100, 300, time_in_force=IOC)
    world.seal()
    again = Engine(BufferedStore(deepcopy(world.store)), DOMAIN)
    assert [again.orders.signed(order).dormant for order in again.triggers[BTC].waiting()] == [False, False]
    due = again.triggers[BTC].due(PRICE + 5_000)
    assert due is not None
    assert due.slot == TARGET


def test_an_order_replaces_what_stands_or_nothing() -> None:
    world = World(1)
    first = order_name(FIRST, ENTRY, world.now)
    world.order(0, BUY, PRICE - 100, slot=ENTRY)
    world.now += 1
    moved = world.order(0, BUY, PRICE - 90, slot=ENTRY, terms=Terms(replaces=first))
    assert moved.status == "resting"
    world.now += 1
    # It was filled, cancelled or moved meanwhile: the second would stand beside what came of the first.
    refused = world.order(0, BUY, PRICE - 80, slot=ENTRY, terms=Terms(replaces=first))
    assert (refused.code, world.resting()) == (codes.NO_ORDER, [(0, ENTRY, LOTS)])
    assert world.order(0, BUY, PRICE - 80, slot=9, terms=Terms(replaces=first)).code == codes.NO_ORDER
    world.check()
