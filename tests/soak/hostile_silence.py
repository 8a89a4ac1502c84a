"""What a seat wins that is silent for hours, its winner's exit standing in front of its loser's rescue in the queue.

The winner has handed its position on, so that its profit is realised, and enters its exit on L1 as soon as that is
posted. A watcher enters the loser's rescue when signed prices show it. Then the seat posts nothing until profit would
have matured by its clock, and serves both, in that order, in one late batch, as the bridge lets it.
"""

from prover.signing import operations
from prover.stf import constants, margin
from tests.soak.hostile_omission import (
    CLOSE_OUT_PATIENCE,
    LOSER,
    MATURES,
    PATIENCE,
    WINNER,
    asked_lots,
    before_a_call,
    gained,
    handed_over,
    heirs,
    matured_at,
    opened,
    own_sides,
    plans,
    watched,
)
from tests.soak.hostile_seat import (
    DAY,
    MINUTE,
    OPERATOR,
    STEP,
    WATCHER,
    Case,
    Seat,
    grid,
    posted_at,
    size,
    ticks,
    value,
)
from tests.twins import venue


def silent_seat(case: Case) -> None:
    """A loser beyond its fund, whose rescue is served behind its winner's exit, hours after both were entered."""
    case.silence = case.rng.randrange(constants.HOUR, DAY - constants.HOUR)
    fund, price, margin_ppm = opened(case, 20 * constants.FUND_MULTIPLE_UPPER)
    begun = grid(case.entered)
    until = begun + 2 * (case.rules.lag + case.silence + MATURES + constants.HOUR)
    case.bound = min(fund, case.lots * (case.prices.high(begun, until) - case.prices.low(begun, until)))

    def play(plan: tuple[int, int]) -> None:
        lost_at, posted = plan
        seat, brought = own_sides(case, fund, price, margin_ppm)
        posted = handed_over(case, seat, lost_at, posted, heirs(case))
        posted = served_late(case, seat, posted)
        out = seat.commitment.withdrawn_total
        # As old as money is, and as late as that lets it leave.
        clock = seat.globals.risk.debts.clock
        behind = max(-clock, 0)
        leaves = matured_at(case, seat.now - behind) + grid(behind)
        posted = watched(case, seat, posted, leaves)
        case.won(out + gained(seat, case.prices, leaves) - brought - before_a_call(case, leaves))
        seat.commit(max(posted, leaves))

    for plan in case.best(plans(case, price)):
        play(plan)


def served_late(case: Case, seat: Seat, posted: int) -> int:
    """Exit and rescue are entered, and served in a late batch of two chunks; when it is posted."""
    rng = case.rng
    tag = rng.choice([constants.FORCED_WITHDRAW, constants.LEAVE])
    leaving = seat.enqueue(posted, tag, venue.owned(tag, WINNER, amount=constants.EVERYTHING), OPERATOR)
    served = posted + seat.rules.inclusion + max(case.silence - rng.choice([0, rng.randrange(case.silence)]), MINUTE)
    entered = seen_at(case, seat, posted, served)
    asked = []
    if entered:
        payload = operations.forced_rescue_payload(0, LOSER, asked_lots(seat, case.prices, entered))
        evidence = ticks(case.prices, grid(entered))
        asked = [seat.enqueue(entered, constants.FORCED_TICK, each[1:], WATCHER) for each in evidence]
        asked.append(seat.enqueue(entered, constants.FORCED_RESCUE, payload, WATCHER))
    assert seat.is_late(served)
    first = rng.choice([posted, served])
    seat.chunk(max(first, served - seat.rules.lag), leaving, is_late=True)
    seat.chunk(served, *asked, is_late=True)
    posted = posted_at(case, seat.chunks[0][0], rng)
    seat.commit(max(posted, served))
    return max(posted, served)


def seen_at(case: Case, seat: Seat, begin: int, end: int) -> int:
    """When a watcher enters the loser's rescue, by the signed price of each minute; 0 where there is nothing to see."""
    held = seat.account(LOSER)
    lots = abs(size(held))
    for now in range(begin, end, MINUTE):
        price = case.prices.at(now)
        maintenance = margin.requirement(price, lots, seat.globals.risk.maintenance_ppm[0])
        equity = value(held, price)
        if lots > 0 and equity < maintenance:
            entered = now + (CLOSE_OUT_PATIENCE if equity * 3 < maintenance * 2 else PATIENCE) + STEP
            return entered if entered < end else 0
    return 0
