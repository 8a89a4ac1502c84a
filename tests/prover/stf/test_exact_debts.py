"""As `test_exact_rescues.py`, of forced rescues, calls and debts: who pays, to the micro-dollar, by which factor."""

from typing import Final

import msgspec
import pytest

from prover.signing import operations
from prover.stf import codes as c
from prover.stf import constants, containers
from tests.prover.stf.test_exact_corners import Fills
from tests.prover.stf.test_exact_rescues import MAINTENANCE, PRICE, Stages, even, fractions, holder, priced
from tests.twins import venue
from tests.twins.venue import DOLLAR, EPOCH, KEYS, NOW, OWNERS, account, position

ALICE: Final = venue.FIRST
ONE: Final = constants.MANTISSA_ONE


def owing(globals: containers.Globals, factors: list[int], **pool: int) -> containers.Globals:
    """Globals whose debts have these factors, the newest last, and sums of unsettled money."""
    debts = msgspec.structs.replace(globals.risk.debts, factors=factors)
    globals.risk = msgspec.structs.replace(globals.risk, debts=debts)
    values = {"epoch": EPOCH, "older": 0, "fresh": 0, "receivable": 0, "owed": 0} | pool
    globals.pool = containers.Pool(**values)
    return globals


def since(first: int, exponent: int = 0) -> list[int]:
    """A factor for each epoch from this one on, each a little lower."""
    return [
        (first + at) * constants.FACTOR_BOUND + (exponent + at) * constants.MANTISSA_BOUND + ONE - at * 2**40
        for at in range(constants.FACTORS)
    ]


def forced(market: int, index: int, lots: int) -> bytes:
    """A forced rescue of L1's queue."""
    payload = operations.forced_rescue_payload(market, index, lots)
    return venue.entry(constants.FORCED_RESCUE, payload, venue.DEPOSITOR)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_forced_rescue_takes_exactly_so_many_lots(sign: int) -> None:
    globals = even()
    stages = Stages(globals)
    chunk = []
    # One lot brings it back; two would be left, an order or a micro-dollar less.
    for market, more in ((0, 0), (1, 1)):
        fractions(globals, market, 40_000, 30_000)
        globals.markets[market].minimum_notional = 2 * PRICE + more
        chunk.append(forced(market, stages.held(market, sign * 3, 3 * MAINTENANCE - 1), 3))
    # Two thirds of maintenance, and a micro-dollar less.
    for market, less in ((2, 0), (3, 1)):
        chunk.append(forced(market, stages.held(market, sign * 20, 20 * MAINTENANCE * 2 // 3 - less), 7))
    for market in range(4):
        stages.fund(market, 10 * DOLLAR)
    state = stages.state()

    assert venue.run(state, *chunk).codes == (c.OK,) * 4
    lots = [abs(state.account(constants.insurance_account(market)).positions[market].size) for market in range(4)]
    assert lots == [1, 3, 7, 7]


@pytest.mark.parametrize("age", [constants.FORCED_PRICE_AGE + 1, 0])
def test_the_first_of_two_reasons_not_to_force_a_rescue_is_said(age: int) -> None:
    globals = even(tick_time=NOW - age)
    stages = Stages(globals)
    stages.fund(0, DOLLAR)
    held = stages.held(0, 10, 0)
    priced(globals, 1, 0)
    fund = constants.insurance_account(0)
    other = constants.insurance_account(2)
    stages.fund(2, DOLLAR, 1)
    chunk = (forced(1, held + 1, 0), forced(1, held, 0), forced(0, held, 0), forced(0, fund, 1), forced(2, other, 1))
    called = c.STALE if age else c.HEALTHY

    # A fund that holds nothing asks for no price.
    codes = (c.NO_ACCOUNT, c.NO_MARKET, c.OVERFILLED, c.HEALTHY, called)
    assert venue.run(stages.state(), *chunk).codes == codes


@pytest.mark.parametrize("ago", [constants.FACTORS + 3, constants.FACTORS, 6])
def test_money_is_judged_by_the_factor_at_the_end_of_its_epoch(ago: int) -> None:
    factors = since(EPOCH - ago)
    rows = {
        ALICE + at: account(OWNERS[1], older=DOLLAR + at, fresh=2 * DOLLAR + at, epoch=EPOCH - ago - 3 + at)
        for at in range(20)
    }
    # Whoever was touched later has paid already: by an exponent, and by a mantissa alone.
    newer = [factors[10] % constants.FACTOR_BOUND, factors[5] % constants.FACTOR_BOUND - 2**60]
    for at, factor in enumerate(newer, 20):
        rows[ALICE + at] = account(OWNERS[1], older=DOLLAR, fresh=3, epoch=EPOCH - ago + 5, factor=factor)
    state = venue.build_state(owing(even(), factors, fresh=2**40, receivable=2**40), rows)
    requests = [venue.signed_request(constants.CANCEL, venue.request(index), KEYS[1]) for index in rows]

    assert set(venue.run(state, *requests).codes) == {c.OK}


@pytest.mark.parametrize("ago", range(4))
def test_sums_of_unsettled_money_age_like_the_money(ago: int) -> None:
    globals = owing(even(), [0] * constants.FACTORS, epoch=EPOCH - ago, older=5 * DOLLAR, fresh=7 * DOLLAR)
    state = venue.build_state(globals, {ALICE: account()})

    assert venue.run(state, venue.signed_request(constants.CANCEL, venue.request(ALICE), KEYS[1])).codes == (c.OK,)
    older, fresh = [(5, 7), (7, 0), (0, 0), (0, 0)][ago]
    assert (state.globals.pool.older, state.globals.pool.fresh) == (older * DOLLAR, fresh * DOLLAR)


def test_who_is_named_by_an_entry_and_not_settled_owes_as_before() -> None:
    rows = {ALICE: account(OWNERS[1], older=DOLLAR, fresh=2 * DOLLAR, epoch=EPOCH - 1)}
    state = venue.build_state(owing(even(), since(EPOCH - 15), fresh=2**40, receivable=2**40), rows)
    named = venue.owned(constants.FORCED_AGENT, ALICE, agent=OWNERS[9])

    assert venue.run(state, venue.entry(constants.FORCED_AGENT, named)).codes == (c.OK,)
    assert state.globals.pool.receivable == 2**40


# Unsettled money, what of it is left once the debt is paid, and the exponent of the factor before.
FALLS: Final = [
    (2**31, 1, 0),
    (2**32, 1, 2**32 - 1),
    (2**32, 1, 2**32 - 32),
    (2**33, 1, 0),
    (3, 2, 7),
    (DOLLAR, 0, 5),
]


@pytest.mark.parametrize(("whole", "left", "exponent"), FALLS)
def test_a_factor_falls_by_what_is_paid_and_rounds_down(whole: int, left: int, exponent: int) -> None:
    newest = (EPOCH - 2) * constants.FACTOR_BOUND + exponent * constants.MANTISSA_BOUND + ONE
    factors = [*(at * 2**100 + at for at in range(1, constants.FACTORS)), newest]
    globals = owing(even(), factors, older=whole // 3, fresh=whole - whole // 3)
    stages = Stages(globals)
    stages.fund(0, 0)
    other = stages.held(0, -1, DOLLAR)
    stages.add(c.OK, constants.DELEVERAGE, 0, stages.held(0, 1, left - whole), 1, other)
    stages.run()


def test_a_debt_of_one_is_one() -> None:
    globals = owing(even(), since(EPOCH - 15), fresh=100)
    stages = Stages(globals)
    stages.fund(0, 0)
    stages.add(c.OK, constants.DELEVERAGE, 0, stages.held(0, 1, -1), 1, stages.held(0, -1, DOLLAR))
    stages.run()


# What is owed, what of that unsettled money has, and whether a clock stood still before.
OWED: Final = [
    (1, 5, 0),
    (constants.MOST_OWED, 0, 0),
    (constants.MOST_OWED + 1, 0, 0),
    (constants.MOST_OWED + 1, 1, NOW - 7 * constants.EPOCH),
    (constants.MOST_OWED + 2, 1, NOW - 7 * constants.EPOCH),
]


@pytest.mark.parametrize(("owed", "whole", "stands"), OWED)
def test_a_tick_takes_what_is_owed_and_so_much_may_stay(owed: int, whole: int, stands: int) -> None:
    globals = owing(even(market_count=1), since(EPOCH - 15), fresh=whole, owed=owed)
    globals.risk = msgspec.structs.replace(globals.risk, debts=containers.Debts(stands, globals.risk.debts.factors))
    if stands:
        globals.pool = msgspec.structs.replace(globals.pool, epoch=stands // constants.EPOCH)
    state = venue.build_state(globals)

    assert venue.run(state, venue.tick(NOW + 5_000, [PRICE], market_count=1)).codes == (c.OK,)
    assert state.globals.pool.owed == max(owed - whole, 0)


def test_no_sum_of_unsettled_money_passes_its_bound() -> None:
    fills = Fills(owing(even(), [0] * constants.FACTORS, fresh=constants.POOL_BOUND - 1))
    # Two micro-dollars are won.
    fills.add(c.OK, holder(fills.globals, 0, 10, DOLLAR, 10 * PRICE - 2), 10)
    fills.run()


@pytest.mark.parametrize("sign", [1, -1])
def test_below_zero_a_fund_is_made_to_take_all(sign: int) -> None:
    globals = owing(even(), since(EPOCH - 15), fresh=10_000)
    stages = Stages(globals)
    chunk, codes = [], []

    def rescued(market: int, equity: int, code: int) -> None:
        chunk.append(forced(market, stages.held(market, sign * 10, equity), 10))
        codes.append(code)

    stages.fund(0, 0)
    rescued(0, 0, c.FUND_LIMIT)
    stages.fund(1, 0)
    rescued(1, -1, c.OK)
    # A thousand is left of a quarter of its equity.
    stages.fund(2, 100_000)
    globals.markets[2].paid_out = 24_000
    rescued(2, -4_000, c.OK)
    # One is left beside the initial requirement of what it holds.
    stages.fund(3, 150_001, sign * 10)
    rescued(3, -4, c.OK)
    stages.fund(4, -5, sign * (constants.SIZE_BOUND - 10), cost=0)
    rescued(4, -4, c.OUT_OF_BOUNDS)
    # At the better of two prices it stands at zero, or a micro-dollar below.
    for market, equity, code in ((5, -10, c.FUND_LIMIT), (6, -11, c.OK)):
        globals.markets[market].previous_price = PRICE + sign
        stages.fund(market, 0)
        rescued(market, equity, code)
    state = stages.state()

    assert venue.run(state, *chunk).codes == tuple(codes)
    assert [market.paid_out for market in state.globals.markets[:4]] == [0, 0, 25_000, 1]
    assert state.globals.pool.receivable == 1 + 3_000 + 3 + 11
    assert [state.account(index + 1).positions[index].size for index in (1, 2, 3)] == [sign * 10, sign * 10, sign * 20]


@pytest.mark.parametrize("sign", [1, -1])
def test_a_fund_is_called_for_what_it_is_below_zero(sign: int) -> None:
    globals = owing(even(), since(EPOCH - 15), fresh=10_000)
    stages = Stages(globals)
    cases = ((0, 5, -1, c.OK), (1, 5, 0, c.HEALTHY), (2, 10, -10, c.HEALTHY), (3, 10, -11, c.OK), (4, 0, -7, c.OK))
    for market, lots, equity, _ in cases:
        stages.fund(market, equity, sign * lots)
        globals.markets[market].previous_price = PRICE + (sign if market in (2, 3) else 0)
    stages.fund(5, -1)
    globals.markets[5].status = constants.MARKET_CLOSED
    state = stages.state()

    # The fee account is no fund.
    chunk = [forced(0, 0, 0), *(forced(market, constants.insurance_account(market), 0) for market in range(6))]
    assert venue.run(state, *chunk).codes == (c.RESERVED, *(code for *_, code in cases), c.OK)
    assert state.globals.pool.receivable == 1 + 11 + 7 + 1


@pytest.mark.parametrize(
    ("changes", "code"), [({"tick_time": NOW - constants.FORCED_PRICE_AGE - 1}, c.STALE), ({"streak": 2}, c.UNSTEADY)]
)
def test_a_call_asks_for_the_evidence_of_a_rescue(changes: dict[str, int], code: int) -> None:
    stages = Stages(even(**changes))
    stages.fund(0, -1, 1)

    assert venue.run(stages.state(), forced(0, 1, 1)).codes == (code,)


@pytest.mark.parametrize("changes", [{"tick_time": NOW - constants.FORCED_PRICE_AGE - 1}, {"streak": 2}])
def test_whoever_owes_without_a_position_is_called_at_any_price(changes: dict[str, int]) -> None:
    globals = owing(even(**changes), since(EPOCH - 15), fresh=10_000)
    stages = Stages(globals)
    stages.fund(0, -2)
    debtor, other, richer = (stages.who(account(OWNERS[1], money)) for money in (-3, -5, 0))
    take = operations.rescue_bytes(constants.TAKE_OVER, containers.Rescue(0, 0, other, 0, 0))
    state = stages.state()

    chunk = (forced(0, 1, 1), forced(1, debtor, 0), take, forced(0, debtor, 7), take, forced(0, richer, 1))
    assert venue.run(state, *chunk).codes == (c.OK, c.OK, c.OK, c.HEALTHY, c.HEALTHY, c.HEALTHY)
    assert state.globals.pool.receivable == 2 + 3 + 5
    assert [state.account(index).settled for index in (1, debtor, other)] == [0, 0, 0]


@pytest.mark.parametrize("sign", [1, -1])
def test_what_is_held_in_a_market_that_is_over_becomes_money(sign: int) -> None:
    globals = owing(even(), since(EPOCH - 15), fresh=10_000)
    globals.markets[1].status = constants.MARKET_SETTLED
    fractions(globals, 1, 0, 0)
    stages = Stages(globals)
    won, lost, owes = (stages.held(1, sign * 10, money) for money in (9, 1, -4))
    both = holder(globals, 1, sign * 10, -6)
    both.positions[2] = position(sign, sign * PRICE)
    more = stages.who(both)
    state = stages.state()

    take = [operations.rescue_bytes(constants.TAKE_OVER, containers.Rescue(0, 1, each, 0, 1)) for each in (won, more)]
    again = [forced(1, more, 1), forced(2, won, 1)]
    codes = (c.OK, c.OK, c.OK, c.OK, c.NO_MARKET, c.HEALTHY)
    assert venue.run(state, *take, forced(1, lost, 0), forced(1, owes, 0), *again).codes == codes
    # Whoever holds anything else is not called for what he owes.
    assert state.globals.pool.receivable == 4
    assert [state.account(index).positions[1].size for index in (won, lost, owes, more)] == [0] * 4
    assert state.account(more).positions[2].size == sign


@pytest.mark.parametrize("sign", [1, -1])
def test_an_entry_may_name_what_is_half_as_large(sign: int) -> None:
    globals = even()
    stages = Stages(globals)
    entries = []
    # Half of the largest, a lot less than half, and less than that of whoever is below zero.
    for lots, equity in ((10, MAINTENANCE), (9, MAINTENANCE), (9, 0), (1, -1)):
        both = holder(globals, 1, sign * lots, equity)
        both.positions[2] = position(sign * 20, sign * 20 * PRICE)
        entries.append(forced(1, stages.who(both), constants.SIZE_BOUND - 1))
    stages.fund(1, DOLLAR)

    codes = (c.OK, c.NOT_LARGEST, c.NOT_LARGEST, c.OK)
    assert venue.run(stages.state(), *entries).codes == codes


@pytest.mark.parametrize("ahead", [0, -1, -3 * constants.EPOCH])
def test_a_clock_stands_still_where_it_is(ahead: int) -> None:
    globals = owing(even(), since(EPOCH - 20), fresh=50)
    globals.risk = msgspec.structs.replace(globals.risk, debts=containers.Debts(ahead, globals.risk.debts.factors))
    globals.pool = msgspec.structs.replace(globals.pool, epoch=(NOW + ahead) // constants.EPOCH)
    stages = Stages(globals)
    stages.fund(1, 0)
    # A micro-dollar more than may be owed is missing.
    entry = forced(1, stages.held(1, 10, -constants.MOST_OWED - 51), 10)
    state = stages.state()

    assert venue.run(state, entry).codes == (c.OK,)
    assert (state.globals.pool.owed, state.globals.risk.debts.clock) == (constants.MOST_OWED + 1, NOW + ahead)


def shown(clock: int, **changes: int) -> containers.Globals:
    """Globals whose money ages by this clock; further changes by name."""
    globals = even(**changes)
    debts = msgspec.structs.replace(globals.risk.debts, clock=clock)
    globals.risk = msgspec.structs.replace(globals.risk, debts=debts)
    return globals


ALONE: Final = constants.QUEUE_ONLY_BIT


@pytest.mark.parametrize(
    ("clock", "stated", "after"),
    [
        (0, NOW + 7 + ALONE, -7),
        (-5, NOW + 7 + ALONE, -12),
        (NOW - 9, NOW + 7 + ALONE, NOW - 9),
        (1, NOW + 7 + ALONE, 1),
        (-5, NOW - 7 + ALONE, -5),
        (0, NOW + 7, 0),
        (-5, NOW + 7, -5),
    ],
)
def test_money_does_not_age_in_a_chunk_that_serves_the_queue_alone(clock: int, stated: int, after: int) -> None:
    state = venue.build_state(shown(clock))

    assert venue.run(state, timestamp=stated).codes == ()
    assert state.globals.risk.debts.clock == after
    assert state.commitment.timestamp == max(stated % ALONE, NOW)


@pytest.mark.parametrize(("clock", "alone", "after"), [(-5, ALONE, -12), (-5, 0, -5), (NOW - 9, ALONE, NOW - 9)])
def test_nor_by_the_time_that_an_entry_brings_to_it(clock: int, alone: int, after: int) -> None:
    state = venue.build_state(shown(clock), {ALICE: account()})
    voids = venue.owned(constants.FORCED_AGENT, ALICE, agent_index=2)
    # One that is older brings nothing.
    entries = [venue.entry(constants.FORCED_AGENT, voids, time=NOW + moved) for moved in (5, 4, 7)]

    assert venue.run(state, *entries, timestamp=NOW + 3 + alone).codes == (c.OK,) * 3
    assert state.globals.risk.debts.clock == after
    assert state.commitment.timestamp == NOW + 7


@pytest.mark.parametrize("alone", [ALONE, 0])
def test_an_entry_that_waits_leaves_the_clock_of_money_where_it_was(alone: int) -> None:
    globals = shown(-5, streak=2)
    stages = Stages(globals)
    stages.fund(0, DOLLAR)
    held = stages.held(0, 10, 0)
    payload = operations.forced_rescue_payload(0, held, 1)
    entry = venue.entry(constants.FORCED_RESCUE, payload, venue.DEPOSITOR, NOW + 7)
    state = stages.state()
    deposit = venue.deposit(OWNERS[1], DOLLAR)

    assert venue.run(state, entry, deposit, timestamp=NOW + 3 + alone).codes == (c.UNSTEADY, c.OK)
    assert state.globals.risk.debts.clock == (-8 if alone else -5)
    assert state.commitment.timestamp == NOW + 3


def test_a_close_that_waits_leaves_it_too() -> None:
    globals = shown(0, head_account=ALICE, head_market=0, head_lots=1, head_time=NOW)
    holding = holder(globals, 0, 3, 10 * DOLLAR)
    state = venue.build_state(globals, {ALICE: holding}, begun=1)
    close = venue.owned(constants.FORCED_CLOSE, ALICE, amount=1)
    entry = venue.entry(constants.FORCED_CLOSE, close, holding.owner, NOW + 9)

    assert venue.run(state, entry, timestamp=NOW + 2 + ALONE).codes == (c.HEAD_UNFINISHED,)
    assert (state.globals.risk.debts.clock, state.commitment.timestamp) == (-2, NOW + 2)


@pytest.mark.parametrize("stated", [NOW, 0])
def test_before_the_first_time_of_a_venue_there_is_none_to_stand_still(stated: int) -> None:
    state = venue.build_state(shown(0), {ALICE: account()}, timestamp=0)
    voids = venue.owned(constants.FORCED_AGENT, ALICE, agent_index=2)

    assert venue.run(state, venue.entry(constants.FORCED_AGENT, voids), timestamp=stated + ALONE).codes == (c.OK,)
    assert (state.globals.risk.debts.clock, state.commitment.timestamp) == (0, NOW)


@pytest.mark.parametrize(("alone", "settled"), [(ALONE, 1), (0, 6)])
def test_what_matures_is_judged_by_it_before_anything_else_of_the_chunk(alone: int, settled: int) -> None:
    rows = {ALICE: account(OWNERS[1], DOLLAR, older=2 * DOLLAR, fresh=3 * DOLLAR)}
    state = venue.build_state(shown(0), rows)
    everything = venue.owned(constants.FORCED_WITHDRAW, ALICE, amount=constants.EVERYTHING)

    assert venue.run(
        state, venue.entry(constants.FORCED_WITHDRAW, everything), timestamp=NOW + 2 * constants.EPOCH + alone
    ).codes == (c.OK,)
    assert state.commitment.withdrawn_total == settled * DOLLAR


@pytest.mark.parametrize("alone", [ALONE, 0])
def test_a_debt_stops_it_where_it_is(alone: int) -> None:
    globals = shown(-5)
    stages = Stages(globals)
    stages.fund(0, 0)
    stages.held(0, -1, 0)
    debtor = stages.held(0, 1, -constants.MOST_OWED - 1)
    state = stages.state()

    assert venue.run(state, forced(0, debtor, 1), timestamp=NOW + 7 + alone).codes == (c.OK,)
    assert state.globals.risk.debts.clock == NOW - 5 + (0 if alone else 7)
