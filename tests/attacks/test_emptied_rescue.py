"""A seat empties a forced rescue: one newer tick in front of its evidence, and the one before it is of before a fall.

The watcher's three ticks are old then, one tick alone is not steady, and five minutes of the seat's clock later a
rescue was decided at the kinder of the last two: the price at which the account was healthy, an hour or more ago.
"""

from typing import Final

import pytest

from prover.signing import operations
from prover.stf import codes as c
from prover.stf import constants, containers, rescue
from tests.attacks.law_variants import rule_off
from tests.soak import hostile_seat as seat_of
from tests.soak.hostile_seat import FUND, MINUTE, NOW, OPERATOR, OTHER_OWN, OWN, PRICE, STEP, WATCHER, Seat

LOTS: Final = 100_000
FELL: Final = PRICE * 9 // 10
# Dollars of whoever is four thousand below zero then, and of a fund that is a thousand below.
MARGIN: Final = 2_000
FUND_MARGIN: Final = 5_000
WAITS: Final = constants.FORCED_PRICE_AGE
# The two rules: what only the tick before the last speaks for waits, of an account and of a fund.
DISPUTED: Final = "equity < needed or under.clock.now"


def fallen(fund: int = 10**6, fund_lots: int = 0) -> tuple[Seat, int]:
    """Prices fall while the seat ticks nothing, and nothing is late; its own loser stands open. When that is."""
    rows = {
        OWN: seat_of.row(OPERATOR, MARGIN, LOTS),
        OTHER_OWN: seat_of.row(OPERATOR, 10**6, -LOTS - fund_lots),
        FUND: seat_of.row(containers.NOBODY, fund, fund_lots),
    }
    seat = Seat(rows, seat_of.SHIPPED)
    begun = NOW + constants.HOUR
    three = [seat_of.signed(time, PRICE) for time in (begun - 2 * STEP, begun - STEP, begun)]
    assert seat.chunk(begun, *three) == (c.OK,) * 3
    seat.commit(begun)
    return seat, begun + 11 * MINUTE


def asked(seat: Seat, entered: int, account: int = OWN) -> tuple[list[bytes], bytes]:
    """A watcher enters three ticks and a rescue in one transaction."""
    times = (entered - 2 * STEP, entered - STEP, entered)
    ticks = [seat.enqueue(entered, constants.FORCED_TICK, seat_of.signed(time, FELL)[1:], WATCHER) for time in times]
    payload = operations.forced_rescue_payload(0, account, operations.ALL_LOTS)
    return ticks, seat.enqueue(entered, constants.FORCED_RESCUE, payload, WATCHER)


def slipped(seat: Seat, entered: int, ticks: list[bytes]) -> int:
    """The seat puts one signed tick in front, newer than all three; answers with when its rescue has waited."""
    newer = entered + STEP
    assert seat.chunk(newer, seat_of.signed(newer, FELL), *ticks) == (c.OK, *[c.OLD_TICK] * 3)
    return newer + WAITS + 1


def test_off_who_is_below_zero_is_healthy_by_a_price_of_before(monkeypatch: pytest.MonkeyPatch) -> None:
    rule_off(monkeypatch, rescue, DISPUTED, "True or under.clock.now")
    seat, entered = fallen()
    ticks, wanted = asked(seat, entered)
    waited = slipped(seat, entered, ticks)
    assert seat.chunk(waited, wanted) == (c.HEALTHY,)
    seat.commit(waited)
    # The queue is served, nothing is late, and a loser of four thousand dollars stays where it is.
    assert seat.commitment.queue_count == len(seat.queue)
    loser = seat.account(OWN)
    assert (seat_of.size(loser), seat_of.value(loser, FELL)) == (LOTS, -4_000 * 10**6)


def test_on_it_waits_for_three_in_a_row_and_makes_the_seat_late() -> None:
    seat, entered = fallen()
    ticks, wanted = asked(seat, entered)
    waited = slipped(seat, entered, ticks)
    late = entered + seat.rules.inclusion
    for now in (waited, late, entered + seat_of.DAY):
        assert seat.trial(now, wanted).operation_codes == [c.UNSTEADY]
    seat.commit(waited)
    assert seat.is_late(late)
    more = [seat_of.signed(waited // STEP * STEP + place * STEP, FELL) for place in range(3)]
    assert seat.chunk(waited + 3 * STEP, *more, wanted) == (c.OK,) * 4
    assert seat_of.size(seat.account(OWN)) == 0


@pytest.mark.parametrize("entered_by", [OWN, FUND])
def test_on_where_prices_are_gone_for_days_nothing_waits(entered_by: int) -> None:
    seat, entered = fallen(FUND_MARGIN, LOTS)
    ticks, wanted = asked(seat, entered, entered_by)
    slipped(seat, entered, ticks)
    gone = entered + STEP + constants.PRICES_GONE
    assert seat.trial(gone, wanted).operation_codes == [c.UNSTEADY]
    assert seat.trial(gone + 1, wanted).operation_codes == [c.HEALTHY]


def test_on_who_is_healthy_at_both_or_below_at_both_waits_five_minutes_as_ever() -> None:
    for price, code in ((PRICE, c.HEALTHY), (FELL, c.OK)):
        seat, entered = fallen()
        for time, stands in ((entered - STEP, price), (entered + STEP, price)):
            assert seat.chunk(time, seat_of.signed(time, stands)) == (c.OK,)
        payload = operations.forced_rescue_payload(0, OWN, operations.ALL_LOTS)
        wanted = seat.enqueue(entered, constants.FORCED_RESCUE, payload, WATCHER)
        after = entered + STEP + WAITS
        assert seat.trial(after, wanted).operation_codes == [c.UNSTEADY]
        assert seat.trial(after + 1, wanted).operation_codes == [code]


def test_off_a_fund_below_zero_is_healthy_by_a_price_of_before(monkeypatch: pytest.MonkeyPatch) -> None:
    rule_off(monkeypatch, rescue, DISPUTED, "True or under.clock.now")
    seat, entered = fallen(FUND_MARGIN, LOTS)
    ticks, wanted = asked(seat, entered, FUND)
    assert seat.chunk(slipped(seat, entered, ticks), wanted) == (c.HEALTHY,)


def test_on_a_fund_waits_as_well_and_is_called() -> None:
    seat, entered = fallen(FUND_MARGIN, LOTS)
    ticks, wanted = asked(seat, entered, FUND)
    waited = slipped(seat, entered, ticks)
    assert seat.trial(waited, wanted).operation_codes == [c.UNSTEADY]
    more = [seat_of.signed(waited // STEP * STEP + place * STEP, FELL) for place in range(3)]
    assert seat.chunk(waited + 3 * STEP, *more, wanted) == (c.OK,) * 4
    assert seat_of.value(seat.account(FUND), FELL) == 0
