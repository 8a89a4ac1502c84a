"""The grace after missing ticks: nothing grows and no money leaves, and the books are as they were when it ends."""

import pytest

from prover.state.genesis import DEVNET_GRACE_MS
from prover.stf import codes, constants
from sequencer.engine import placing
from sequencer.views.preview import preview_order
from tests.sequencer.node_world import BTC, BUY, FIRST, IOC, LOTS, PRICES, RECIPIENT, SELL, START, World, order

PRICE = PRICES[BTC]


def gapped(world: World, gap_ms: int = constants.TICK_GAP + constants.TICK_STEP) -> None:
    """The next tick after a gap."""
    world.seal()
    world.now = world.engine.globals.tick_time + gap_ms - constants.TICK_STEP
    assert world.tick().code == codes.OK


@pytest.fixture
def world() -> World:
    """Trader 0 is short and trader 1 long, both with more in the book; trader 2 only quotes. Then ticks are missing."""
    world = World(4)
    until = START + constants.HOUR
    world.order(0, SELL, PRICE, LOTS)
    world.order(1, BUY, PRICE, LOTS)
    world.order(0, BUY, PRICE - 10, 400, slot=2, expires_at=until)
    world.order(2, BUY, PRICE - 20, LOTS, expires_at=until)
    world.order(2, SELL, PRICE + 20, LOTS, slot=2, expires_at=until)
    return world


RESTING = [(0, 2, 400), (2, 1, LOTS), (2, 2, LOTS)]


def test_a_gap_of_a_minute_is_none(world: World) -> None:
    gapped(world, constants.TICK_GAP)
    assert world.engine.globals.grace_until == 0
    assert world.order(3, BUY, PRICE + 20).status == "filled"
    assert world.request(constants.WITHDRAW, 3, amount=1, recipient=RECIPIENT).code == codes.OK
    world.check()


def test_growing_orders_are_refused_at_arrival_and_reductions_taken(world: World) -> None:
    gapped(world)
    assert world.engine.globals.grace_until == world.now + DEVNET_GRACE_MS
    for trader, side, price, changes in (
        (3, BUY, PRICE + 20, {}),
        (3, SELL, PRICE + 50, {"post_only": 1}),
        (1, BUY, PRICE - 50, {}),
        # Through flat to the other side: what is beyond grows.
        (1, SELL, PRICE - 10, {"size": 2 * LOTS + 1}),
    ):
        refused = world.order(trader, side, price, **{"slot": 9, **changes})
        assert (refused.code, refused.changed) == (codes.GRACE, False)
    for tag, fields in (
        (constants.WITHDRAW, {"recipient": RECIPIENT}),
        (constants.TRANSFER, {"other": constants.NEW_ACCOUNT}),
    ):
        assert world.request(tag, 3, amount=2 * constants.CREATION_FEE, **fields).code == codes.GRACE
    assert world.resting() == RESTING
    # The short's bid closes it: both sides shrink.
    reduced = world.order(1, SELL, PRICE - 10, 300, reduce_only=1, slot=9)
    assert [(fill.maker, fill.size) for fill in reduced.fills] == [(FIRST, 300)]
    # An order that only happens to reduce is as good.
    assert world.order(1, SELL, PRICE - 10, 100, slot=10).filled == 100
    assert world.order(1, SELL, PRICE + 30, 100, reduce_only=1, slot=11).status == "resting"
    world.check()


LEAVING = {"reduce_only": 1, "slot": 9, "time_in_force": IOC}


def test_a_maker_that_would_grow_stays_and_the_reduction_takes_nothing(world: World) -> None:
    world.request(constants.CANCEL, 0, slot=2)
    gapped(world)
    halted = world.order(1, SELL, PRICE - 20, 300, **LEAVING)
    assert (halted.code, halted.status, halted.refusal, halted.filled) == (codes.OK, "expired", "GRACE", 0)
    assert world.resting() == RESTING[1:]
    world.tick()
    world.seal()
    world.tick()
    assert world.now == world.engine.globals.grace_until
    served = world.order(1, SELL, PRICE - 20, 300, **LEAVING)
    assert [(fill.maker, fill.size) for fill in served.fills] == [(FIRST + 2, 300)]
    assert world.order(3, BUY, PRICE + 20).status == "filled"
    world.check(flush_every=1)


def test_a_maker_that_would_grow_hides_nobody_who_reduces(world: World) -> None:
    """Bids in front of all others cost nothing, and who leaves would be refused for as long as the grace lasts."""
    world.order(3, BUY, PRICE - 5, 100, expires_at=START + constants.HOUR)
    gapped(world)
    leaving = order(world.now, FIRST + 1, SELL, PRICE - 20, 500, **LEAVING)
    foreseen = preview_order(world.engine, leaving, world.now)
    served = world.process(world.signed(leaving, 1))
    assert [(fill.maker, fill.size) for fill in served.fills] == [(FIRST, 400)]
    assert [(fill.maker, fill.size_lots) for fill in foreseen.fills] == [(FIRST, 400)]
    assert (served.status, served.refusal) == (foreseen.status, foreseen.refusal) == ("expired", "GRACE")
    # Nobody has lost his place, and what is left of a taker never crosses who was passed over.
    assert world.resting() == [*RESTING[1:], (3, 1, 100)]
    assert world.order(1, SELL, PRICE - 5, 500, reduce_only=1, slot=10).status == "expired"
    assert world.order(1, SELL, PRICE - 4, 500, reduce_only=1, slot=11).status == "resting"
    world.check(flush_every=1)


def test_of_a_maker_that_would_turn_what_reduces_is_filled(world: World) -> None:
    world.request(constants.CANCEL, 0, slot=2)
    until = START + constants.HOUR
    world.order(0, BUY, PRICE - 5, 1_500, slot=3, expires_at=until)
    world.order(3, SELL, PRICE - 10, 500)
    assert (world.position(0), world.position(3)) == (-500, -500)
    world.order(3, BUY, PRICE - 20, 100, slot=2, expires_at=until)
    gapped(world)
    served = world.order(1, SELL, PRICE - 20, 600, **LEAVING)
    assert [(fill.maker, fill.size) for fill in served.fills] == [(FIRST, 500), (FIRST + 3, 100)]
    assert (served.status, world.position(0), world.position(1)) == ("filled", 0, 400)
    assert world.resting() == [*RESTING[1:], (0, 3, 500)]
    world.check(flush_every=1)


def test_so_many_are_passed_over_at_most(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    until = START + constants.HOUR
    for slot in (1, 2):
        world.order(3, BUY, PRICE - 5, 100, slot=slot, expires_at=until)
    gapped(world)
    monkeypatch.setattr(placing, "_MAKERS_PASSED", 1)
    assert world.order(1, SELL, PRICE - 20, 300, **LEAVING).filled == 0
    monkeypatch.setattr(placing, "_MAKERS_PASSED", 2)
    assert world.order(1, SELL, PRICE - 20, 300, **{**LEAVING, "slot": 10}).filled == 300


def test_triggers_wait_for_the_end_of_a_grace(world: World) -> None:
    stop = {"trigger": constants.TRIGGER_AT_OR_BELOW, "trigger_price": PRICE, "reduce_only": 1}
    world.tick((PRICE + 100, *PRICES[1:]))
    world.order(1, SELL, PRICE - 20, 600, slot=9, expires_at=START + constants.HOUR, **stop)
    assert world.waiting() == [(1, 9)]
    gapped(world)
    assert (world.waiting(), world.position(1)) == ([(1, 9)], LOTS)
    # Cancels and dismissals are not held up, nor is what expires.
    world.tick()
    world.seal()
    fired = world.tick()
    assert [(fill.maker, fill.size) for fill in fired.fills] == [(FIRST, 400), (FIRST + 2, 200)]
    assert world.waiting() == []
    world.check(flush_every=1)
