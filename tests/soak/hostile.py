"""A hostile seat against everybody else: what it wins on each forced path, beside the bound computed before it moves.

A case is one history: signed prices, a stranger or own accounts, an entry on L1 and how long the seat is silent. The
bound follows from these alone (PROTOCOL.md 10.6). Then the operator searches with all prices before its eyes: which
ticks there are, at which times of its clock, in which order, served when and posted when. The shipped law says what
comes of it, and a batch that the bridge would not take wins nothing.
"""

from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Any, Final, NamedTuple

import pytest

from prover.signing import operations
from prover.state.genesis import DEVNET_MARKETS
from prover.stf import codes, constants, containers, debts, rescue
from prover.stf.constants import PPM
from tests.attacks.law_variants import rule_off
from tests.soak.hostile_omission import beyond_the_fund, omitted_liquidation, winner_open, won_back
from tests.soak.hostile_seat import (
    DAY,
    ENTERED,
    FUND,
    MINUTE,
    OLD_RULES,
    OPERATOR,
    OTHER_OWN,
    OWN,
    PRICE,
    RICH,
    SHIPPED,
    STEP,
    STRANGER,
    VICTIM,
    WATCHER,
    Case,
    Refused,
    Rules,
    Seat,
    grid,
    holding,
    own_trade,
    posted_at,
    row,
    tick,
    ticks,
    value,
)
from tests.soak.hostile_silence import silent_seat
from tests.soak.hostile_traders import Traders
from tests.twins import venue
from tests.twins.venue import DOLLAR, NOW

# Plans that the operator weighs by signed prices.
WEIGHED: Final = 40
# What fits into a chunk.
DEPOSITS: Final = constants.MAX_ACCOUNT_REFERENCES
TICKS: Final = constants.MAX_WEIGHT // constants.TICK_WEIGHT
# Histories of the old rules before a loss counts as not found.
OLD_HISTORIES: Final = 400


def forced_close(case: Case) -> None:
    """A stranger closes through L1; the operator is the other side, at a price and a moment that it picks."""
    rng, prices, rules = case.rng, case.prices, case.rules
    first, last = case.entered - 3 * STEP, case.until + SHIPPED.lag
    low, high = prices.low(first, last), prices.high(first, last)
    limit = 0
    if rng.random() < 0.5 and not rules.drain:
        limit = prices.at(case.entered) * (PPM + rng.randint(-50_000, 10_000) * (1 if case.is_long else -1)) // PPM
    if limit and case.is_long:
        low = min(max(low, limit), high)
    elif limit:
        high = max(min(high, limit), low)
    case.bound = case.range_bound(low, high, constants.FORCED_PENALTY_PPM)
    money = case.lots * PRICE * rng.randint(1, 30) // 10
    fund = rng.choice([0, 0, money * 4])

    def play(plan: tuple[int, int, int, bool]) -> None:
        last_tick, stepped, posted, is_queued = plan
        price = prices.at(NOW)
        seat = Seat(
            {
                FUND: holding(containers.NOBODY, fund, 0, 0),
                VICTIM: holding(STRANGER, money, case.signed, price),
                OWN: holding(OPERATOR, RICH, -case.signed, price),
            },
            rules,
        )
        asked = venue.owned(constants.FORCED_CLOSE, VICTIM, amount=case.lots, limit=limit)
        bodies = [seat.enqueue(case.entered, constants.FORCED_CLOSE, asked, STRANGER)]
        evidence = ticks(prices, last_tick)
        if is_queued:
            at = max(last_tick, case.entered)
            evidence = [seat.enqueue(at, constants.FORCED_TICK, each[1:], OPERATOR) for each in evidence]
        lots = case.lots if rng.random() < 0.7 else rng.randint(1, case.lots)
        move = [
            operations.rescue_bytes(constants.CLOSE_STEP, containers.Rescue(0, 0, VICTIM, other, lots))
            for other in (FUND, OWN)
        ]
        before = seat.account(VICTIM)
        seat.chunk(stepped, *bodies, *evidence, *move, is_late=seat.is_late(stepped))
        seat.commit(posted)
        after = seat.account(VICTIM)
        # Against the price at which it is posted, and against a seat that had served the entry at once.
        case.won(max(value(before, at) - value(after, at) for at in (prices.at(posted), prices.at(case.entered))))

    weighed = []
    for _ in range(WEIGHED):
        last_tick = grid(rng.randrange(case.entered + STEP, case.until))
        is_queued = rng.random() < 0.4
        oldest = constants.HEAD_PATIENCE if is_queued else rules.step_age
        stepped = max(case.entered, min(last_tick + rng.choice([0, rng.randrange(oldest)]), case.until))
        posted = posted_at(case, stepped, rng)
        sign = 1 if case.is_long else -1
        paid = prices.at(last_tick)
        if limit == 0 or (paid - limit) * sign >= 0:
            gains = (sign * (prices.at(posted) - paid), sign * (prices.at(case.entered) - paid))
            weighed.append((max(gains), (last_tick, stepped, posted, is_queued)))
    for plan in case.best(weighed):
        play(plan)


def forced_rescue(case: Case) -> None:
    """Somebody below maintenance is rescued through L1, by a watcher or the operator, with evidence that it picks."""
    rng, prices, rules = case.rng, case.prices, case.rules
    low = prices.low(case.entered - constants.FORCED_PRICE_AGE - 3 * STEP, case.until + SHIPPED.lag)
    high = prices.high(case.entered - constants.FORCED_PRICE_AGE - 3 * STEP, case.until + SHIPPED.lag)
    maintenance_ppm = DEVNET_MARKETS[0].maintenance_ppm
    # A gentle rescue costs at most half of the maintenance requirement, one at the zero price at most two thirds.
    case.bound = case.range_bound(low, high, maintenance_ppm * 2 // 3)
    evidence_at = grid(case.entered - rng.randrange(constants.FORCED_PRICE_AGE))
    price = prices.at(evidence_at)
    money = case.lots * price * maintenance_ppm // PPM * rng.randint(-10, 105) // 100

    def play(plan: tuple[int, int, int, int]) -> None:
        evidence_tick, newer_tick, served, posted = plan
        seat = Seat(
            {
                FUND: row(containers.NOBODY, 10**9),
                VICTIM: holding(STRANGER, money, case.signed, price),
                OWN: holding(OPERATOR, RICH, -case.signed, price),
            },
            rules,
        )
        asked = operations.forced_rescue_payload(0, VICTIM, operations.ALL_LOTS)
        evidence = ticks(prices, evidence_tick)
        bodies = [seat.enqueue(case.entered, constants.FORCED_TICK, each[1:], WATCHER) for each in evidence]
        entry = seat.enqueue(case.entered, constants.FORCED_RESCUE, asked, WATCHER)
        newer = ticks(prices, newer_tick) if newer_tick else []
        before = seat.account(VICTIM)
        seat.chunk(served, *bodies, *newer, entry, is_late=seat.is_late(served))
        seat.commit(posted)
        after = seat.account(VICTIM)
        # One side's loss is the other's gain: whoever is rescued may be a stranger or the operator itself.
        case.won(abs(value(before, prices.at(posted)) - value(after, prices.at(posted))))

    weighed = []
    for _ in range(WEIGHED):
        evidence_tick = evidence_at if rng.random() < 0.3 else grid(case.entered - rng.randrange(295_000))
        served = rng.randrange(case.entered, case.until)
        newer_tick = grid(rng.randrange(evidence_tick + 3 * STEP, served + 4 * STEP))
        newer_tick = newer_tick if newer_tick <= served and rng.random() < 0.5 else 0
        paid = prices.at(newer_tick or evidence_tick)
        posted = posted_at(case, served, rng)
        equity = money + case.signed * (paid - price)
        if 0 <= equity * PPM < case.lots * paid * maintenance_ppm:
            weighed.append((abs(prices.at(posted) - paid), (evidence_tick, newer_tick, served, posted)))
    for plan in case.best(weighed):
        play(plan)


def forced_withdraw(case: Case) -> None:
    """The operator takes its own money out at a price that has moved, and leaves the debt behind."""
    rng, prices, rules = case.rng, case.prices, case.rules
    # A young price leaves a tenth of notional, and may be as old as the lag; any price leaves a quarter.
    first, last = case.entered - case.silence - 3 * STEP - MINUTE, case.entered + SHIPPED.inclusion + SHIPPED.lag
    first = max(first, NOW + MINUTE)
    young = SHIPPED.lag + constants.MAX_PRICE_AGE
    worst = prices.worst_fall if case.is_long else prices.worst_rise
    case.bound = case.lots * max(
        worst(first, last, young, constants.WITHDRAWAL_FLOOR_PPM),
        worst(first, last, last - first, constants.FORCED_FLOOR_PPM),
    )
    price = prices.at(NOW)
    money = case.lots * price * rng.randint(3, 20) // 10

    def play(plan: tuple[int, int, int]) -> None:
        last_tick, served, posted = plan
        own, other = holding(OPERATOR, money, case.signed, price), holding(OPERATOR, RICH, -case.signed, price)
        seat = Seat({OWN: own, OTHER_OWN: other}, rules)
        assert seat.chunk(last_tick, *ticks(prices, last_tick)) == (codes.OK,) * 3
        seat.commit(last_tick)
        asked = venue.owned(constants.FORCED_WITHDRAW, OWN, amount=constants.EVERYTHING)
        entry = seat.enqueue(case.entered, constants.FORCED_WITHDRAW, asked, OPERATOR)
        seat.chunk(served, entry, is_late=seat.is_late(served))
        seat.commit(posted)
        left = value(seat.account(OWN), prices.at(posted))
        case.won(min(-left, seat.commitment.withdrawn_total))

    weighed = []
    for _ in range(WEIGHED):
        served = rng.randrange(case.entered, case.entered + SHIPPED.inclusion)
        oldest = rng.choice([constants.MAX_PRICE_AGE, served - first - 3 * STEP])
        last_tick = grid(max(served - rng.randrange(oldest), first + 4 * STEP))
        posted = posted_at(case, served, rng)
        moved = (prices.at(last_tick) - prices.at(posted)) * (1 if case.is_long else -1)
        weighed.append((moved * PPM // prices.at(last_tick), (last_tick, served, posted)))
    for plan in case.best(weighed):
        play(plan)


def delay_of_an_exit(case: Case) -> None:
    """A stranger's withdrawal waits while the seat trades; ms of L2 time, in which it still did, in micro-seconds."""
    rng, rules = case.rng, case.rules
    case.bound = SHIPPED.inclusion * 1_000
    case.prices.base, case.prices.noise = [PRICE] * (DAY // MINUTE), [0] * (MINUTE // STEP)
    flood = rng.choice([0, rng.randrange(40), 960 if rules.drain else 0])
    seat = Seat(
        {VICTIM: row(STRANGER, 1_000), OWN: row(OPERATOR, 10**6), OTHER_OWN: row(OPERATOR, 10**6)},
        rules,
    )
    for _ in range(flood):
        seat.entered(case.entered - 1, venue.deposit(OPERATOR, DOLLAR, OWN))
    asked = venue.owned(constants.FORCED_WITHDRAW, VICTIM, amount=DOLLAR)
    seat.enqueue(case.entered, constants.FORCED_WITHDRAW, asked, STRANGER)
    now = NOW + ENTERED - MINUTE
    while now < case.entered + rules.lag + 2 * rules.inclusion:
        # In step, or as far behind as the bridge lets it; a burst of hours where nothing forbids it.
        now += rng.choice([rng.randrange(1, 20 * MINUTE), rng.randrange(1, constants.HOUR), rules.lag // 2])
        begun = max(now - rng.choice([0, rng.randrange(rules.lag)]), seat.now)
        ends = rng.choice([begun, now, rng.randrange(begun, now + 1)]) if begun <= now else now
        # The last moment at which the bridge has no objection is the best one.
        brink = case.entered + rules.inclusion - 1
        if begun <= brink <= now and rng.random() < 0.5:
            ends = brink
        begun, ends = min(begun, ends), max(min(ends, now), seat.now)
        is_late = seat.is_late(ends)
        traded = _post(case, seat, now, (begun, ends), is_late)
        if seat.commitment.queue_count > flood:
            return
        if traded:
            case.won((traded - case.entered) * 1_000)


def _post(case: Case, seat: Seat, now: int, times: tuple[int, int], is_late: bool) -> int:
    """A batch of two chunks in which own accounts trade with each other, and some of the queue: when they last did."""
    rng = case.rng
    saved = dict(seat.rows), dict(seat.slots), seat.globals, seat.commitment
    traded = 0
    for time in times:
        at = max(grid(time), seat.globals.tick_time + STEP)
        fill = own_trade(seat, time, 100, case.prices.at(at))
        codes_ = seat.chunk(time, tick(case.prices, at), *fill, is_late=is_late)
        if codes_[-1] == codes.OK:
            traded = time
    # Of what stands in front of the stranger: work that excuses, where any does, and some of it otherwise.
    waiting = [operation for _, operation in seat.queue[seat.commitment.queue_taken : -1]]
    needed = 200 if seat.rules.drain and seat.refusal(now) == "INCLUSION" else rng.randrange(9)
    for begin in range(0, min(needed, len(waiting)), DEPOSITS):
        seat.chunk(times[1], *waiting[begin : min(begin + DEPOSITS, needed)], is_late=is_late)
    try:
        seat.commit(now)
    except Refused:
        seat.rows, seat.slots, seat.globals, seat.commitment = saved
        seat.chunks, seat.work = [], 0
        return 0
    return traded


def settlement(case: Case) -> None:
    """A market settles while the operator holds one side of it and picks the ticks of its last hour."""
    rng, prices, rules = case.rng, case.prices, case.rules
    begin = NOW + constants.HOUR
    minutes = range(60)
    every = [prices.at(begin + (place + 1) * STEP) for place in range(constants.HOUR // STEP)]
    mean = sum(every) // len(every)
    # A tick stands for up to a minute before it, and a quarter of the hour may be left out.
    sign = 1 if case.is_long else -1
    spans = [(begin + minute * MINUTE, begin + (minute + 2) * MINUTE) for minute in minutes]
    if case.is_long:
        reached = sorted((prices.high(*span) - mean for span in spans), reverse=True)
    else:
        reached = sorted((mean - prices.low(*span) for span in spans), reverse=True)
    counted = constants.LEAST_SETTLING_TIME // MINUTE
    case.bound = case.lots * max(sum(reached[:counted]) // counted + 2, 0)
    seat = Seat(
        {
            OWN: holding(OPERATOR, RICH, case.signed, PRICE),
            VICTIM: holding(STRANGER, RICH, -case.signed, PRICE),
        },
        rules,
        status=constants.MARKET_SETTLING,
        changed_at=NOW,
    )
    left_out = set(sorted(minutes, key=lambda minute: sign * prices.base[(begin - NOW) // MINUTE + minute])[:15])
    if rng.random() < 0.2:
        left_out = set(rng.sample(minutes, rng.randrange(15)))
    picked = [begin]
    for minute in minutes:
        times = [begin + minute * MINUTE + place * STEP for place in range(1, 13)]
        times = [time for time in times if time <= picked[-1] + MINUTE] if minute - 1 not in left_out else times
        if minute not in left_out and times:
            picked.append(max(times, key=lambda time: sign * prices.at(time)))
    picked.append(begin + constants.HOUR + STEP)
    assert seat.chunk(begin, tick(prices, begin)) == (codes.OK,)
    seat.commit(begin)
    # The whole hour in one batch, when it is over: as much as the operator can know when it picks.
    for first in range(1, len(picked), TICKS):
        times = picked[first : first + TICKS]
        assert set(seat.chunk(times[-1], *(tick(prices, time) for time in times))) == {codes.OK}
    seat.commit(picked[-1])
    if seat.globals.markets[0].status == constants.MARKET_SETTLED:
        case.won(case.lots * sign * (seat.globals.risk.price[0] - mean))


PATHS: Final[dict[str, Callable[[Case], None]]] = {
    "omitted_liquidation": omitted_liquidation,
    "forced_close": forced_close,
    "forced_rescue": forced_rescue,
    "forced_withdraw": forced_withdraw,
    "settlement": settlement,
    "delay_of_an_exit": delay_of_an_exit,
    "beyond_the_fund": beyond_the_fund,
}
# Played beside others, by the same number.
BESIDE: Final[dict[str, dict[str, Callable[[Case], None]]]] = {
    "beyond_the_fund": {"won_back": won_back, "silent_seat": silent_seat, "winner_open": winner_open}
}


STRANGERS: Final = "strangers"


class Old(NamedTuple):
    """A case that the search has to find where its rule is missing: what it wins above its bound, and how it was."""

    excess: Callable[[str], int]
    without: Callable[[pytest.MonkeyPatch], None] = lambda patch: None


def _any_price_of_any_age(patch: pytest.MonkeyPatch) -> None:
    """Steps of a close as they were: at whatever price is there."""
    rule_off(patch, rescue, "return under.clock.priced or (young and under.tick_queued == 1)", "return True")


def _open_profit_alone_pays(patch: pytest.MonkeyPatch) -> None:
    """Deleveraging in which what the counterparty has not won is paid by nobody, and so not at all."""
    bears = "    return codes.OK, min(rest, min(won, spare))\n"
    rule_off(patch, rescue, bears, "    if min(won, spare) < rest:\n        return codes.INDEBTED, 0\n" + bears)


def _silence_matures(patch: pytest.MonkeyPatch) -> None:
    """Money that ages by the clock alone, also where nobody but the queue is served."""
    rule_off(patch, debts, "    return clock + before - now", "    return clock")


def _excess(path: str, rules: Rules | None = None) -> Callable[[str], int]:
    def excess(seed: str) -> int:
        case = played(path, seed, rules or OLD_RULES)
        return case.gain - case.bound

    return excess


def strangers_lost(seed: str) -> tuple[int, int]:
    """What strangers lose of settled money and deposits in one history of traders and an honest operator, at most."""
    traders = Traders(Random(f"{STRANGERS}:{seed}"))
    return traders.run(), traders.bound


def _strangers_excess(seed: str) -> int:
    lost, bound = strangers_lost(seed)
    return lost - bound


OLD: Final = {
    "C1": Old(_excess("omitted_liquidation")),
    "C3": Old(_excess("forced_close"), _any_price_of_any_age),
    "G1": Old(_strangers_excess, _open_profit_alone_pays),
    "H1": Old(_excess("delay_of_an_exit")),
    "silence": Old(_excess("silent_seat", SHIPPED), _silence_matures),
}


def played(path: str, seed: str, rules: Rules = SHIPPED) -> Case:
    """One history of a path, by its seed."""
    case = Case(Random(f"{path}:{seed}"), rules)
    beside = {name: play for each in BESIDE.values() for name, play in each.items()}
    (PATHS | beside)[path](case)
    return case


def found(name: str, seed: int) -> bool:
    """Whether some history wins more than the bound under the rules as they were."""
    with pytest.MonkeyPatch.context() as patch:
        OLD[name].without(patch)
        for number in range(OLD_HISTORIES):
            with suppress(Refused):
                if OLD[name].excess(f"{seed}:{number}") > 0:
                    return True
    return False


def run(cases: int, seed: int, history: int = -1) -> tuple[dict[str, Any], list[str]]:
    """So many histories, paths in turn, or one of them again: the pair of the largest gain over its bound a path."""
    broken: list[str] = []
    shown: dict[str, Case] = {}
    lost, histories_with_loss = (0, 0), 0
    names = [*PATHS, STRANGERS]
    for number in [history] if history >= 0 else range(cases):
        path = names[number % len(names)]
        again = f"--seed {seed} --history {number}"
        if path == STRANGERS:
            missing = strangers_lost(f"{seed}:{number}")
            lost = max(lost, missing)
            histories_with_loss += missing[0] > 0
            broken += [f"strangers lose {missing[0]}, above {missing[1]}: {again}"] if missing[0] > missing[1] else []
            continue
        for each in (path, *BESIDE.get(path, {})):
            case = played(each, f"{seed}:{number}")
            if case.gain > case.bound:
                broken.append(f"{each}: {case.gain} above {case.bound}: {again}")
            before = shown.setdefault(each, case)
            if case.gain * max(before.bound, 1) > before.gain * max(case.bound, 1):
                shown[each] = case
    old = [name for name in OLD if history < 0 and found(name, seed)]
    broken += [f"{name} is not found under the old rules" for name in OLD if name not in old and history < 0]
    told = {path: {"gain_micros": case.gain, "bound_micros": case.bound} for path, case in sorted(shown.items())}
    summary = {
        "cases": cases if history < 0 else 1,
        "by_path": told,
        "strangers_settled_lost_micros": lost[0],
        "strangers_bound_micros": lost[1],
        "strangers_histories_with_loss": histories_with_loss,
        "old_rules_found": old,
    }
    return summary, broken
