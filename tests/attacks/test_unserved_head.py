"""A seat ends a leave by silence: half an hour of its own clock, and it is over, and the positions stay.

The chain's clock may lag by an hour, so nobody need wait for it; and a watcher's ticks stand behind the leave, where
they need not be taken before it is over. So nobody left by force, and no batch was ever late.
"""

from random import Random
from typing import Final

import pytest

from prover.signing import operations
from prover.stf import codes as c
from prover.stf import constants, containers, rescue
from tests.attacks.law_variants import rule_off
from tests.soak import hostile_seat as seat_of
from tests.soak.hostile_seat import (
    DAY,
    FUND,
    MINUTE,
    NOW,
    OPERATOR,
    OWN,
    PRICE,
    STRANGER,
    WATCHER,
    Prices,
    Refused,
    Seat,
)
from tests.twins import venue

LOTS: Final = 100_000
SILENCE: Final = constants.HEAD_PATIENCE
STEP: Final = operations.rescue_bytes(constants.CLOSE_STEP, containers.Rescue(0, 0, seat_of.VICTIM, FUND, LOTS))


def calm() -> Prices:
    """The same price all day."""
    prices = Prices(Random(1), DAY // MINUTE)
    prices.base, prices.noise = [PRICE] * len(prices.base), [0] * len(prices.noise)
    return prices


def watched(seat: Seat, prices: Prices, at: int) -> list[bytes]:
    """A watcher enters three ticks."""
    return [seat.enqueue(at, constants.FORCED_TICK, tick[1:], WATCHER) for tick in seat_of.ticks(prices, at)]


def asked(prices: Prices) -> tuple[Seat, int]:
    """A long has entered his leave; the seat trades right up to it, and begins it."""
    rows = {
        seat_of.VICTIM: seat_of.row(STRANGER, 20_000, LOTS),
        OWN: seat_of.row(OPERATOR, 10**6, -LOTS),
        seat_of.OTHER_OWN: seat_of.row(OPERATOR, 10**6),
        FUND: seat_of.row(containers.NOBODY, 10**6),
    }
    seat = Seat(rows, seat_of.SHIPPED)
    entered = NOW + constants.HOUR
    leave = seat.enqueue(entered, constants.LEAVE, venue.owned(constants.LEAVE, seat_of.VICTIM), STRANGER)
    traded = entered - 1_000
    fill = seat_of.own_trade(seat, traded, 100, PRICE)
    assert seat.chunk(traded, seat_of.tick(prices, seat_of.grid(traded)), *fill) == (c.OK,) * 4
    assert seat.chunk(entered, leave) == (c.OK,)
    return seat, entered


def own_entry(seat: Seat, at: int) -> bytes:
    """What the seat itself enters, about nobody, so that time has passed on L1."""
    return seat.enqueue(at, constants.LEAVE, bytes(constants.LEAVE_LENGTH), OPERATOR)


def test_off_half_an_hour_of_the_seats_clock_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    silent = "under.clock.now > max(under.entered_at, under.tick_time) + constants.HEAD_PATIENCE"
    rule_off(monkeypatch, rescue, "under.limit == constants.HEAD_OVER", silent)
    prices = calm()
    seat, entered = asked(prices)
    ticks = watched(seat, prices, entered + MINUTE)
    ended = entered + SILENCE + 1
    assert seat.chunk(ended, STEP, *ticks) == (c.STALE, c.OK, c.OK, c.OK)
    # And it trades on, in the same batch.
    fill = seat_of.own_trade(seat, ended, 100, PRICE)
    assert seat.chunk(ended, seat_of.tick(prices, seat_of.grid(ended)), *fill) == (c.OK,) * 4
    assert not seat.is_late(ended)
    seat.commit(ended)
    assert seat.commitment.queue_count == len(seat.queue)
    assert seat_of.size(seat.account(seat_of.VICTIM)) == LOTS


def test_on_its_own_clock_ends_nothing_and_it_is_late() -> None:
    seat, entered = asked(calm())
    for silent in (SILENCE + 1, seat.rules.inclusion, DAY):
        assert seat.trial(entered + silent, STEP).operation_codes == [c.UNSTEADY]
    seat.commit(entered)
    late = entered + seat.rules.inclusion
    assert seat.is_late(late)
    assert seat.chunk(late, STEP) == (c.UNSTEADY,)
    with pytest.raises(Refused, match="INCLUSION"):
        seat.commit(late)


def test_on_an_entry_of_its_own_comes_behind_a_watchers_ticks() -> None:
    prices = calm()
    seat, entered = asked(prices)
    ticks = watched(seat, prices, entered + 20 * MINUTE)
    bought = own_entry(seat, entered + SILENCE + MINUTE)
    late = entered + SILENCE + MINUTE
    assert seat.trial(late, STEP, *ticks, bought, STEP).operation_codes == [c.UNSTEADY, *[c.OK] * 3, c.RESERVED, c.OK]
    # To leave the ticks out is to leave out what comes behind them as well.
    assert seat.trial(late, bought, STEP).commitment.queue_hash != seat.chain[2]
    assert seat.chunk(late, *ticks, bought, STEP)[-1] == c.OK
    assert seat_of.size(seat.account(seat_of.VICTIM)) == 0


def two_leaves(seat: Seat, entered: int) -> bytes:
    """Somebody else leaves a minute later, and holds what is behind him."""
    payload = venue.owned(constants.LEAVE, OWN)
    return seat.enqueue(entered + MINUTE, constants.LEAVE, payload, OPERATOR)


def test_off_two_leaves_and_a_dead_oracle_hold_all_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "PRICES_GONE", 10**15)
    seat, entered = asked(calm())
    other = two_leaves(seat, entered)
    behind = own_entry(seat, entered + DAY)
    for days in (1, 3, 14):
        held = seat.trial(entered + days * DAY, STEP, other, STEP, behind)
        assert held.operation_codes == [c.UNSTEADY, c.HEAD_UNFINISHED, c.UNSTEADY, c.RESERVED]
        # What is behind the second is not the next one of the queue.
        assert held.commitment.queue_hash != seat.chain[held.commitment.queue_taken]


def test_on_two_leaves_and_a_dead_oracle_hold_nothing_for_ever() -> None:
    seat, entered = asked(calm())
    other = two_leaves(seat, entered)
    behind = own_entry(seat, entered + DAY)
    gone = seat.globals.tick_time + constants.PRICES_GONE
    assert seat.trial(gone, STEP).operation_codes == [c.UNSTEADY]
    # Whoever withheld the ticks had lost the seat: off a devnet after two days at the latest.
    assert gone - entered > 2 * DAY
    step = operations.rescue_bytes(constants.CLOSE_STEP, containers.Rescue(0, 0, OWN, FUND, LOTS))
    assert seat.chunk(gone + 1, STEP, other, step, behind) == (c.STALE, c.OK, c.STALE, c.RESERVED)
    assert seat.commitment.queue_count == len(seat.queue)


def test_on_where_no_tick_came_for_half_an_hour_it_is_over() -> None:
    seat, entered = asked(calm())
    early, behind = own_entry(seat, entered + SILENCE), own_entry(seat, entered + SILENCE + 1)
    assert seat.chunk(entered + SILENCE + 1, early, STEP) == (c.RESERVED, c.UNSTEADY)
    assert seat.chunk(entered + SILENCE + 1, behind, STEP) == (c.RESERVED, c.STALE)
    assert seat_of.size(seat.account(seat_of.VICTIM)) == LOTS
