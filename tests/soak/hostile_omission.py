"""What a seat wins that liquidates nobody of its own, against watchers who force rescues once a loss is posted.

Own accounts stand on both sides. The loser is kept from every rescue that the bridge lets the seat put off, the winner
hands its position on to a third account, so that its profit is realised, and leaves as soon as that has matured.
"""

from typing import Final

from prover.signing import operations
from prover.state.trial import decide_rescue
from prover.stf import codes, constants, containers, margin
from tests.soak.hostile_seat import (
    FUND,
    MINUTE,
    OPERATOR,
    OTHER_OWN,
    OWN,
    RICH,
    SHIPPED,
    STEP,
    THIRD_OWN,
    WATCHER,
    Case,
    Prices,
    Seat,
    grid,
    holding,
    own_trade,
    posted_at,
    size,
    ticks,
    value,
)
from tests.soak.ledger import signature
from tests.soak.rescuing import probe_lots
from tests.twins import venue
from tests.twins.venue import NOW

# How long a watcher waits once a posted state shows an account below maintenance, or below close-out, ms.
PATIENCE: Final = 600_000
CLOSE_OUT_PATIENCE: Final = 180_000
LOSER, WINNER, HEIR = OWN, OTHER_OWN, THIRD_OWN
# Until profit has matured, whatever the epoch in which it is made.
MATURES: Final = 2 * constants.EPOCH


def omitted_liquidation(case: Case) -> None:
    """A loser that its fund can take over at once: at most a twentieth of the fund, whatever prices do to it."""
    omitted(case, 1)


def beyond_the_fund(case: Case) -> None:
    """As much as the fund lets be open at all, of which it can take over but a part."""
    omitted(case, 20 * constants.FUND_MULTIPLE_UPPER)


def omitted(case: Case, twentieths: int) -> None:
    """The operator trades with itself, omits the loser's rescue, and the winner leaves with what the loser owes."""
    rng = case.rng
    opened = grid(case.entered)
    reach = SHIPPED.lag + PATIENCE + SHIPPED.inclusion + case.silence
    # Until the winner has left, and the last batch with it.
    last = opened + case.rules.lag + case.silence + MATURES + 2 * constants.HOUR + case.rules.lag
    prices = case.prices = Prices(rng, (last - NOW) // MINUTE)
    fund = round(10 ** rng.uniform(11, 14))
    price = prices.at(opened)
    most = fund * twentieths // 20 // price
    case.lots = max(most * rng.randint(1, 100) // 100, 1)
    maintenance_ppm = venue.globals_of().risk.maintenance_ppm[0]
    moved = max(
        prices.worst_fall(opened, opened + reach + MATURES, reach, maintenance_ppm),
        prices.worst_rise(opened, opened + reach + MATURES, reach, maintenance_ppm),
    )
    case.bound = min(fund, case.lots * moved)
    margin_ppm = rng.randint(maintenance_ppm, 3 * maintenance_ppm)

    def play(plan: tuple[int, int]) -> None:
        lost_at, posted = plan
        seat = Seat(
            {
                FUND: holding(containers.NOBODY, fund, 0, 0),
                LOSER: holding(OPERATOR, case.lots * price * margin_ppm // constants.PPM, case.signed, price),
                WINNER: holding(OPERATOR, RICH, -case.signed, price),
                HEIR: holding(OPERATOR, RICH, 0, 0),
            },
            case.rules,
            interest_lower=constants.COLLATERAL_BOUND // 4,
            interest_upper=constants.COLLATERAL_BOUND // 2,
        )
        seat.chunk(opened, *ticks(prices, opened))
        seat.commit(opened)
        hand_over = own_trade(seat, lost_at, case.lots, prices.at(lost_at), *heirs(case))
        seat.chunk(lost_at, *ticks(prices, lost_at), *hand_over)
        seat.commit(posted)
        leaves = grid((lost_at // constants.EPOCH + 2) * constants.EPOCH + rng.randrange(1, constants.HOUR))
        posted, paid = watched(case, seat, posted, leaves)
        profit = withdrawn(seat, prices, leaves) - RICH
        seat.commit(max(posted, leaves))
        owed = max(-value(seat.account(LOSER), prices.at(leaves)), 0)
        # What the fund has paid for the loser and what nobody has, as far as the winner is gone with it.
        case.won(min(paid + owed, profit))

    weighed = []
    for _ in range(30):
        lost_at = grid(rng.randrange(opened + 3 * STEP, opened + case.rules.lag + case.silence))
        posted = posted_at(case, lost_at, rng)
        lost = (price - prices.at(lost_at)) * (1 if case.is_long else -1)
        weighed.append((lost, (lost_at, posted)))
    for plan in case.best(weighed):
        play(plan)


def heirs(case: Case) -> tuple[int, int]:
    """Seller and buyer of a hand-over: the winner is short where the loser is long."""
    return (HEIR, WINNER) if case.is_long else (WINNER, HEIR)


def watched(case: Case, seat: Seat, posted: int, until: int) -> tuple[int, int]:
    """Watchers force the loser's rescue whenever signed prices and posted positions show it below maintenance.

    The seat serves each as late as it may. Answers with the last post, and what the fund has paid above the oracle
    price.
    """
    now, paid = posted, 0
    while True:
        price = case.prices.at(now)
        equity = value(seat.account(LOSER), price)
        lots = abs(size(seat.account(LOSER)))
        maintenance = margin.requirement(price, lots, seat.globals.risk.maintenance_ppm[0])
        entered = now + (CLOSE_OUT_PATIENCE if equity * 3 < maintenance * 2 else PATIENCE)
        served = entered + seat.rules.inclusion - 1
        if lots == 0 or served >= until:
            return posted, paid
        now = entered
        if equity >= maintenance:
            continue
        asked = operations.forced_rescue_payload(0, LOSER, asked_lots(seat, case.prices, entered))
        evidence = [
            seat.enqueue(entered, constants.FORCED_TICK, each[1:], WATCHER)
            for each in ticks(case.prices, grid(entered))
        ]
        entry = seat.enqueue(entered, constants.FORCED_RESCUE, asked, WATCHER)
        before = seat.account(LOSER)
        seat.chunk(served, *evidence, entry, is_late=seat.is_late(served))
        oracle = seat.globals.risk.price[0]
        paid += max(value(seat.account(LOSER), oracle) - value(before, oracle), 0)
        now = posted = posted_at(case, served, case.rng)
        seat.commit(posted)


def asked_lots(seat: Seat, prices: Prices, entered: int) -> int:
    """The largest part that the law would take, as a guard asks for it; all where it would take none."""
    trial = seat.trial(entered, *ticks(prices, grid(entered)))
    for lots in probe_lots(abs(size(seat.account(LOSER)))):
        move = containers.Rescue(0, 0, LOSER, 0, lots)
        if decide_rescue(trial, constants.FORCED_RESCUE, move).code == codes.OK:
            return lots
    return operations.ALL_LOTS


def withdrawn(seat: Seat, prices: Prices, now: int) -> int:
    """All of the winner's money that may leave leaves."""
    seat.chunk(now, *ticks(prices, now))
    row, _ = margin.settle(seat.globals.risk, seat.account(WINNER), now)
    if row.settled > 0:
        request = venue.request(WINNER, recipient=venue.RECIPIENT, amount=row.settled, **venue.at(now))
        signed = operations.request_bytes(constants.WITHDRAW, request, signature(OPERATOR))
        assert seat.chunk(now, signed) == (codes.OK,)
    return seat.commitment.withdrawn_total
