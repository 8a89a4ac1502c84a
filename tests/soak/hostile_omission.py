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
    STRANGER,
    THIRD_OWN,
    VICTIM,
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
LAST_HEIR: Final = HEIR + 1
# What strangers have not settled, beside the fund.
STRANGERS_TO_FUND: Final = (1, 10, 100)
# Until profit has matured, whatever the epoch in which it is made.
MATURES: Final = 2 * constants.EPOCH


def omitted_liquidation(case: Case) -> None:
    """A loser that its fund can take over at once: at most a twentieth of the fund, whatever prices do to it."""
    fund, price, margin_ppm = opened(case, 1)
    begun = grid(case.entered)
    reach = SHIPPED.lag + PATIENCE + SHIPPED.inclusion + case.silence
    ppm = venue.globals_of().risk.maintenance_ppm[0]
    until = begun + reach + MATURES
    prices = case.prices
    moved = max(prices.worst_fall(begun, until, reach, ppm), prices.worst_rise(begun, until, reach, ppm))
    case.bound = min(fund, case.lots * moved)

    def play(plan: tuple[int, int]) -> None:
        lost_at, posted = plan
        seat, brought = own_sides(case, fund, price, margin_ppm)
        posted = handed_over(case, seat, lost_at, posted, heirs(case))
        leaves = matured_at(case, lost_at)
        posted = watched(case, seat, posted, leaves)
        case.won(gained(seat, case.prices, leaves) - brought)
        seat.commit(max(posted, leaves))

    for plan in case.best(plans(case, price)):
        play(plan)


def beyond_the_fund(case: Case) -> None:
    """As much as the fund lets be open at all, which it is made to take; what is won back does not count.

    Nor does what prices move in the last hours before the profit leaves, in which nobody is called any more.
    """
    case.bound = loser_beyond(case, counts_won_back=False)


def won_back(case: Case) -> None:
    """The same with what heirs win back of an open loss, which somebody else has taken out as profit before."""
    fund_and_range = loser_beyond(case, counts_won_back=True)
    begun, until = held_over(case)
    case.bound = fund_and_range + case.lots * (case.prices.high(begun, until) - case.prices.low(begun, until))


def winner_open(case: Case) -> None:
    """The winner keeps its position until the loser's debt is paid: by a stranger's profit of the day."""
    fund, price, margin_ppm = opened(case, 20 * constants.FUND_MULTIPLE_UPPER)
    case.strangers = fund * case.rng.choice(STRANGERS_TO_FUND)
    begun, until = held_over(case)
    moved = case.prices.high(begun, until) - case.prices.low(begun, until)
    case.bound = min(fund + case.strangers, case.lots * moved)

    def play(plan: tuple[int, int]) -> None:
        lost_at, posted = plan
        seat, brought = own_sides(case, fund, price, margin_ppm)
        seat.chunk(lost_at, *ticks(case.prices, lost_at))
        seat.commit(posted)
        sold = posted + SHIPPED.lag + PATIENCE + 2 * SHIPPED.inclusion
        posted = watched(case, seat, posted, sold)
        posted = handed_over(case, seat, max(grid(sold), grid(posted) + STEP), 0, heirs(case))
        leaves = matured_at(case, seat.now)
        posted = watched(case, seat, posted, leaves)
        case.won(gained(seat, case.prices, leaves) - brought - before_a_call(case, leaves))
        seat.commit(max(posted, leaves))

    for plan in case.best(plans(case, price)):
        play(plan)


def held_over(case: Case) -> tuple[int, int]:
    """From the first position on until the last profit has left."""
    begun = grid(case.entered)
    return begun, begun + case.rules.lag + case.silence + 2 * (MATURES + constants.HOUR)


def loser_beyond(case: Case, counts_won_back: bool) -> int:
    """Plays a loser beyond its fund, whose winner hands on twice; answers with the bound of what is not won back."""
    fund, price, margin_ppm = opened(case, 20 * constants.FUND_MULTIPLE_UPPER)
    # What the fund has taken it holds until the last profit has left.
    begun, until = held_over(case)
    bound = min(fund, case.lots * (case.prices.high(begun, until) - case.prices.low(begun, until)))

    def play(plan: tuple[int, int]) -> None:
        lost_at, posted = plan
        seat, brought = own_sides(case, fund, price, margin_ppm)
        posted = handed_over(case, seat, lost_at, posted, heirs(case))
        # The heir hands on too, once, when the fund has the loser's lots.
        again = grid(max(lost_at + case.rng.randrange(STEP, MATURES), posted + 3 * STEP))
        posted = watched(case, seat, posted, again)
        worst = min(value(seat.account(HEIR), seen) for seen in seat.seen)
        posted = handed_over(case, seat, max(again, grid(posted) + STEP), 0, heirs(case, 1))
        again_whole = max(seat.account(HEIR).settled - max(worst, 0), 0)
        leaves = matured_at(case, seat.now)
        posted = watched(case, seat, posted, leaves)
        beside = 0 if counts_won_back else again_whole + before_a_call(case, leaves)
        case.won(gained(seat, case.prices, leaves) - brought - beside)
        seat.commit(max(posted, leaves))

    for plan in case.best(plans(case, price)):
        play(plan)
    return bound


def before_a_call(case: Case, leaves: int) -> int:
    """What the loser's lots lose before profit leaves, in the time in which a rescue that is asked for is too late."""
    begun = max(leaves - case.rules.lag - PATIENCE - case.rules.inclusion, grid(case.entered))
    price = case.prices.at(grid(leaves))
    move = case.prices.high(begun, leaves) - price if case.is_long else price - case.prices.low(begun, leaves)
    return case.lots * max(move, 0)


def opened(case: Case, twentieths: int) -> tuple[int, int, int]:
    """Prices until the last winner has left, and lots of so much of a fund: it, their price, the loser's margin."""
    last = grid(case.entered) + 2 * (case.rules.lag + case.silence + MATURES + 2 * constants.HOUR)
    case.prices = Prices(case.rng, (last - NOW) // MINUTE)
    fund = round(10 ** case.rng.uniform(11, 14))
    price = case.prices.at(grid(case.entered))
    case.lots = max(fund * twentieths // 20 // price * case.rng.randint(1, 100) // 100, 1)
    maintenance_ppm = venue.globals_of().risk.maintenance_ppm[0]
    return fund, price, case.rng.randint(maintenance_ppm, 3 * maintenance_ppm)


def own_sides(case: Case, fund: int, price: int, margin_ppm: int) -> tuple[Seat, int]:
    """A seat with own accounts on both sides, and two to hand on to; and what they bring."""
    seat = Seat(
        {
            FUND: holding(containers.NOBODY, fund, 0, 0),
            LOSER: holding(OPERATOR, case.lots * price * margin_ppm // constants.PPM, case.signed, price),
            WINNER: holding(OPERATOR, RICH, -case.signed, price),
            HEIR: holding(OPERATOR, RICH, 0, 0),
            LAST_HEIR: holding(OPERATOR, RICH, 0, 0),
            VICTIM: venue.account(STRANGER, RICH, fresh=case.strangers),
        },
        case.rules,
        interest_lower=constants.COLLATERAL_BOUND // 4,
        interest_upper=constants.COLLATERAL_BOUND // 2,
    )
    seat.globals.pool = containers.Pool(venue.EPOCH, 0, case.strangers, 0, 0)
    brought = sum(margin.collateral(seat.account(index)) for index in (LOSER, WINNER, HEIR, LAST_HEIR))
    seat.chunk(grid(case.entered), *ticks(case.prices, grid(case.entered)))
    seat.commit(grid(case.entered))
    return seat, brought


def plans(case: Case, price: int) -> list[tuple[int, tuple[int, int]]]:
    """When the winner hands its position on, and when that is posted, by what the loser has lost."""
    weighed = []
    begun = grid(case.entered)
    for _ in range(30):
        lost_at = grid(case.rng.randrange(begun + 3 * STEP, begun + case.rules.lag + case.silence))
        posted = posted_at(case, lost_at, case.rng)
        lost = (price - case.prices.at(lost_at)) * (1 if case.is_long else -1)
        weighed.append((lost, (lost_at, posted)))
    return weighed


def handed_over(case: Case, seat: Seat, at: int, posted: int, pair: tuple[int, int]) -> int:
    """A hand-over at the signed price of a time, and when it is posted."""
    lots = max(abs(size(seat.account(index))) for index in pair)
    hand_over = own_trade(seat, at, lots, case.prices.at(at), *pair)
    seat.chunk(at, *ticks(case.prices, at), *hand_over)
    seat.seen = seat.seen[-1:]
    posted = posted or posted_at(case, at, case.rng)
    seat.commit(posted)
    return posted


def matured_at(case: Case, made: int) -> int:
    """Some time within the first hour in which profit of a time may leave."""
    return grid((made // constants.EPOCH + 2) * constants.EPOCH + case.rng.randrange(1, constants.HOUR))


def heirs(case: Case, generation: int = 0) -> tuple[int, int]:
    """Seller and buyer of a hand-over: the winner is short where the loser is long."""
    winner, heir = ((WINNER, HEIR), (HEIR, LAST_HEIR))[generation]
    return (heir, winner) if case.is_long else (winner, heir)


def watched(case: Case, seat: Seat, posted: int, until: int) -> int:
    """Watchers force the rescue of the loser and call the fund, as signed prices and posted positions show them.

    The seat serves each as late as it may. Answers with the last post.
    """
    now = posted
    while True:
        price = case.prices.at(now)
        equity = value(seat.account(LOSER), price)
        lots = abs(size(seat.account(LOSER)))
        maintenance = margin.requirement(price, lots, seat.globals.risk.maintenance_ppm[0])
        is_owing = value(seat.account(FUND), price) < 0
        is_urgent = is_owing or (lots > 0 and equity * 3 < maintenance * 2)
        entered = now + (CLOSE_OUT_PATIENCE if is_urgent else PATIENCE)
        served = entered + seat.rules.inclusion - 1
        if served >= until:
            return posted
        now = entered
        asked = []
        if lots > 0 and equity < maintenance:
            asked.append(operations.forced_rescue_payload(0, LOSER, asked_lots(seat, case.prices, entered)))
        if is_owing:
            asked.append(operations.forced_rescue_payload(0, FUND, operations.ALL_LOTS))
        if not asked:
            continue
        evidence = [
            seat.enqueue(entered, constants.FORCED_TICK, each[1:], WATCHER)
            for each in ticks(case.prices, grid(entered))
        ]
        entries = [seat.enqueue(entered, constants.FORCED_RESCUE, payload, WATCHER) for payload in asked]
        seat.chunk(served, *evidence, *entries, is_late=seat.is_late(served))
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


def gained(seat: Seat, prices: Prices, now: int) -> int:
    """What own accounts may take out at a time, or hold beside open profit, open losses taken off.

    A loss that was open at some evidence counts as lost: what is won back of it is bounded elsewhere (PROTOCOL.md 7.9).
    """
    seat.chunk(now, *ticks(prices, grid(now)))
    left = 0
    for index in (LOSER, WINNER, HEIR, LAST_HEIR):
        row, _ = margin.settle(seat.globals.risk, seat.account(index), now)
        left += max(min(row.settled, *(value(row, price) for price in seat.seen)), 0)
        if size(row) or row.settled <= 0:
            continue
        # Above the floor of one that has left.
        fields = {"slot": 2, "sequence": now, "recipient": venue.RECIPIENT, "amount": row.settled} | venue.at(now)
        request = venue.request(index, **fields)
        signed = operations.request_bytes(constants.WITHDRAW, request, signature(OPERATOR))
        assert seat.chunk(now, signed) == (codes.OK,)
    return left
