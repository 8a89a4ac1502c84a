"""As `test_corners.py`, of rescues and closes: exact bounds are searched by the law itself, one lot or tick further."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
import pytest

from prover.signing import operations
from prover.state.state import State
from prover.stf import codes as c
from prover.stf import constants, containers, margin, rescue
from tests.prover.stf.test_corners import ALICE, PRICES, distinct, ordered, rich
from tests.twins import venue
from tests.twins.venue import DOLLAR, NOW, OWNERS, account, position

MARKET: Final = 1
FUND: Final = constants.insurance_account(MARKET)
ORACLE: Final = PRICES[MARKET]
MAKER: Final = ALICE
VICTIMS: Final = range(ALICE + 1, ALICE + 40)


def judged(globals: containers.Globals, settled: containers.Account, kinder: bool = True) -> containers.Risk:
    previous = [listed.previous_price for listed in globals.markets]
    return rescue.judged_at(kinder, globals.risk, previous, settled)


def worth(globals: containers.Globals, row: containers.Account, equity: Callable[[int], int]) -> containers.Account:
    """The row with so much settled money that its equity is what `equity` says of its maintenance requirement."""
    settled, _ = margin.settle(globals.risk, row, NOW)
    risk = judged(globals, settled)
    every = margin.sums(risk, settled, constants.MARKETS)
    missing = equity(every.maintenance) - margin.collateral(settled) - every.value
    return msgspec.structs.replace(row, settled=row.settled + missing)


def trader(globals: containers.Globals, salt: int, sign: int, lots: int = 20_000) -> containers.Account:
    """An account with a position in each market, the largest in MARKET."""
    row = rich(salt, OWNERS[2], older=5 + salt, fresh=7 + salt, floor=0)
    held = row.positions.copy()
    held[MARKET] = position(sign * lots, sign * lots * (ORACLE + 3) + salt, globals.risk.funding_index[MARKET] - 10**6)
    return msgspec.structs.replace(row, positions=held)


def fund_of(globals: containers.Globals, sign: int, money: int, lots: int = 1_234, market: int = MARKET) -> Any:
    held = position(sign * lots, sign * lots * PRICES[market] + 11, globals.risk.funding_index[market] + 10**7)
    return account(OWNERS[3], money, {market: held} if lots else None, older=3, fresh=5)


def move(tag: int, account_index: int, lots: int, maker: int = 0, other: int = 0) -> bytes:
    first = maker if tag in (constants.LIQUIDATE, constants.UNWIND) else MARKET
    asked = containers.Rescue(maker=first, market=first, account=account_index, other=other, lots=lots)
    return operations.rescue_bytes(tag, asked)


def forced(account_index: int, lots: int) -> bytes:
    return venue.entry(constants.FORCED_RESCUE, operations.forced_rescue_payload(MARKET, account_index, lots))


class Chunk:
    """Operations that are tried before they are taken."""

    def __init__(self, state: State, *first: bytes) -> None:
        self.state = state
        self.operations: list[bytes] = []
        self.expected: list[int | None] = []
        self.add(c.OK, *first)

    def add(self, code: int, *more: bytes) -> None:
        self.operations += more
        self.expected += [code] * len(more)

    def try_more(self, *more: bytes) -> None:
        """What these come to is for both twins to agree about."""
        self.operations += more
        self.expected += [None] * len(more)

    def edge(self, code: int, make: Callable[[int], bytes], good: int, bad: int) -> int:
        """Adds the first one that is refused, and then the last one that is not."""
        while abs(good - bad) > 1:
            middle = (good + bad) // 2
            played = venue.Played(self.state, venue.body_of([*self.operations, make(middle)]))
            good, bad = (middle, bad) if played.codes[-1] == c.OK else (good, middle)
        self.add(code, make(bad))
        self.add(c.OK, make(good))
        return good

    def run(self) -> None:
        codes = venue.run(self.state, *self.operations).codes
        expected = [found if code is None else code for code, found in zip(self.expected, codes, strict=True)]
        assert list(codes) == expected


def state_with(globals: containers.Globals, rows: Sequence[containers.Account], fund: containers.Account) -> State:
    maker = rich(0, floor=0, settled=10**12)
    victims = dict(zip(VICTIMS, rows, strict=False))
    return venue.build_state(globals, {FUND: fund, MAKER: maker, **victims})


def rests(sign: int, price: int, slot: int, size: int = 10**6, **fields: Any) -> bytes:
    """The order that takes what somebody of this sign holds."""
    side = constants.BUY if sign > 0 else constants.SELL
    values = {"market": MARKET, "side": side, "size": size, "limit_price": price, "slot": slot} | fields
    return ordered(MAKER, **values)


def dearest(state: State, sign: int, victim: int) -> tuple[int, int]:
    """The dearest price at which a hundred lots of somebody may be liquidated, and one tick more."""
    good, bad = ORACLE, ORACLE - sign * 14_000
    while abs(good - bad) > 1:
        middle = (good + bad) // 2
        chunk = [rests(sign, middle, 1), move(constants.LIQUIDATE, victim, 100)]
        is_good = venue.Played(state, venue.body_of(chunk)).codes[-1] == c.OK
        good, bad = (middle, bad) if is_good else (good, middle)
    return good, bad


@pytest.mark.parametrize("sign", [1, -1])
def test_a_liquidation_is_as_large_and_as_dear_as_it_may_be(sign: int) -> None:
    globals = distinct()
    shares: list[Callable[[int], int]] = [
        lambda maintenance: maintenance * 4 // 5,
        lambda maintenance: maintenance * 9 // 10,
        lambda maintenance: maintenance,
        lambda maintenance: maintenance - 1,
        lambda _: 0,
        lambda _: -1,
        lambda maintenance: maintenance // 7,
        lambda maintenance: maintenance * 3 // 10,
    ]
    rows = [worth(globals, trader(globals, salt, sign), share) for salt, share in enumerate(shares, 1)]
    first, second, third, fourth, fifth, sixth, seventh, eighth = VICTIMS[:8]
    state = state_with(globals, rows, fund_of(globals, -sign, 10**9))

    good, bad = dearest(state, sign, first)
    # Far below maintenance the zero price is nearer than what a liquidation may cost.
    zero, beyond = dearest(state, sign, eighth)
    chunk = Chunk(
        state,
        rests(sign, bad, 1),
        rests(sign, good, 2),
        rests(sign, ORACLE + sign * 57, 3),
        rests(sign, ORACLE + sign * 45, 4),
        rests(sign, ORACLE - sign * 15_001, 6, max_fee_ppm=0),
        rests(sign, ORACLE, 7, max_fee_ppm=101),
        rests(sign, ORACLE - sign * 15_001, 8, time_in_force=constants.IMMEDIATE_OR_CANCEL),
        rests(sign, beyond, 9),
        rests(sign, zero, 10),
    )
    chunk.add(c.POST_ONLY, move(constants.LIQUIDATE, first, 100, 6))
    chunk.add(c.LIQUIDATION_PRICE, move(constants.LIQUIDATE, eighth, 100, 7))
    chunk.add(c.OK, move(constants.LIQUIDATE, eighth, 100, 8))
    chunk.add(c.PRICE_BAND, move(constants.LIQUIDATE, first, 100, 4))
    chunk.add(c.FEE_ABOVE_MAXIMUM, move(constants.LIQUIDATE, first, 100, 5))
    chunk.add(c.LIQUIDATION_PRICE, move(constants.LIQUIDATE, first, 100, 0))
    chunk.add(c.OK, move(constants.LIQUIDATE, first, 100, 1))
    chunk.edge(c.TOO_MANY_LOTS, lambda lots: move(constants.LIQUIDATE, second, lots, 2), 1, 20_000)
    chunk.add(c.HEALTHY, move(constants.LIQUIDATE, third, 1, 2))
    chunk.edge(c.TOO_MANY_LOTS, lambda lots: move(constants.LIQUIDATE, fourth, lots, 3), 1, 20_000)
    chunk.add(c.INSOLVENT, move(constants.LIQUIDATE, sixth, 1, 2))
    chunk.add(c.OK, move(constants.LIQUIDATE, fifth, 1, 2))
    chunk.edge(c.OVERFILLED, lambda lots: move(constants.LIQUIDATE, seventh, lots, 2), 1, 40_000)
    chunk.run()


@pytest.mark.parametrize("sign", [1, -1])
def test_what_would_be_no_order_any_more_goes_with_the_rest(sign: int) -> None:
    globals = distinct()

    def small(lots: int, equity: Callable[[int], int]) -> containers.Account:
        held = position(sign * lots, -sign * lots * 5, globals.risk.funding_index[MARKET])
        return worth(globals, account(OWNERS[2], 0, {MARKET: held}), equity)

    def state(missing: int) -> State:
        rows = [
            small(60, lambda maintenance: maintenance - missing),
            small(60, lambda maintenance: maintenance - missing - 1),
            small(2, lambda maintenance: maintenance - 1),
            small(1, lambda maintenance: maintenance - 1),
            small(2, lambda maintenance: maintenance - 1),
        ]
        return state_with(globals, rows, fund_of(globals, -sign, 10**9))

    def chunk(missing: int) -> Chunk:
        price = ORACLE + sign * 57
        made = Chunk(
            state(missing),
            rests(sign, price, 1, 100),
            rests(-sign, price, 2, 100),
            rests(sign, ORACLE + sign * 15_001, 3, 100),
            rests(sign, ORACLE + sign * 15_000, 4, 100),
        )
        made.add(c.TOO_MANY_LOTS, move(constants.LIQUIDATE, VICTIMS[0], 60))
        made.add(c.OK, move(constants.LIQUIDATE, VICTIMS[1], 60))
        made.add(c.MISMATCHED, move(constants.LIQUIDATE, VICTIMS[2], 2, 1))
        made.add(c.PRICE_BAND, move(constants.LIQUIDATE, VICTIMS[2], 1, 2))
        made.add(c.OK, move(constants.LIQUIDATE, VICTIMS[2], 1, 3))
        made.add(c.OK, move(constants.LIQUIDATE, VICTIMS[4], 2), move(constants.LIQUIDATE, VICTIMS[3], 1))
        return made

    def is_good(missing: int) -> bool:
        tried = chunk(missing)
        return venue.Played(tried.state, venue.body_of(tried.operations[:5])).codes[-1] == c.OK

    refused, taken = 0, 200_000
    while taken - refused > 1:
        middle = (refused + taken) // 2
        refused, taken = (refused, middle) if is_good(middle) else (middle, taken)
    chunk(refused).run()


@pytest.mark.parametrize("pays", [True, False])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_fund_takes_as_much_as_it_may(sign: int, pays: bool) -> None:
    globals = distinct()
    shares: list[Callable[[int], int]] = [
        lambda maintenance: -(-maintenance * 2 // 3),
        lambda maintenance: -(-maintenance * 2 // 3) - 1,
        lambda maintenance: maintenance // 2,
        lambda maintenance: -maintenance // 3,
        lambda maintenance: maintenance - 1,
        lambda maintenance: maintenance,
        lambda maintenance: -(-maintenance * 2 // 3),
    ]
    rows = [worth(globals, trader(globals, salt, sign), share) for salt, share in enumerate(shares, 1)]
    first, second, third, fourth, fifth, sixth, seventh = VICTIMS[:7]
    rows.append(account(OWNERS[2], -5))
    take, all_lots = constants.TAKE_OVER, 20_000
    chunk = Chunk(state_with(globals, rows, fund_of(globals, -sign, 10**9)))
    chunk.add(c.HEALTHY, move(take, first, 1))
    chunk.add(c.OK, move(take, second, 7))
    chunk.add(c.OVERFILLED, move(take, third, all_lots + 1), move(take, third, 0))
    chunk.add(c.HEALTHY, forced(sixth, 5))
    chunk.add(c.OVERFILLED, forced(sixth, 0))
    # Nobody, and somebody who holds nothing and owes.
    chunk.add(c.NO_ACCOUNT, forced(VICTIMS[20], 0))
    chunk.add(c.OK, move(take, VICTIMS[7], 1))
    # Gently: as many as bring it back, and not one more.
    chunk.add(c.OK, forced(fifth, constants.SIZE_BOUND - 1))
    chunk.add(c.HEALTHY, forced(fifth, 1))
    chunk.add(c.OK, forced(seventh, 2_000), forced(seventh, constants.SIZE_BOUND - 1))
    # Ten times its equity of what pays for itself, a quarter of it to whoever is below zero.
    chunk.edge(c.FUND_LIMIT, lambda lots: move(take, fourth if pays else third, lots), 0 if pays else 1, all_lots)
    chunk.run()


@pytest.mark.parametrize("sign", [1, -1])
def test_a_fund_keeps_its_own_requirement(sign: int) -> None:
    globals = distinct()
    globals.risk.initial_ppm[MARKET] = 300_000
    rows = [worth(globals, trader(globals, salt, sign), lambda maintenance: maintenance // 2) for salt in (1, 2)]
    chunk = Chunk(state_with(globals, rows, fund_of(globals, sign, 10**9, 1_000)))
    chunk.edge(c.FUND_LIMIT, lambda lots: move(constants.TAKE_OVER, VICTIMS[0], lots), 1, 20_000)
    chunk.run()


@pytest.mark.parametrize("sign", [1, -1])
def test_who_is_deleveraged_bears_no_more_than_he_may(sign: int) -> None:
    globals = distinct()
    rows = [
        worth(globals, trader(globals, 1, sign), lambda _: -1),
        worth(globals, trader(globals, 2, sign), lambda _: 0),
        worth(globals, trader(globals, 3, sign), lambda maintenance: -maintenance),
        # Opposite: in profit, with little profit, with a loss and money, with little money.
        trader(globals, 4, -sign, 9_000),
        worth(globals, trader(globals, 5, -sign, 9_001), lambda maintenance: maintenance),
        worth(globals, trader(globals, 6, -sign, 9_002), lambda maintenance: maintenance // 3),
        worth(globals, trader(globals, 7, -sign, 9_003), lambda _: -1),
        trader(globals, 8, -sign, 9_004),
        worth(globals, trader(globals, 9, sign, 20_008), lambda _: -1),
    ]
    for at in (3, 4, 5, 7):
        held = rows[at].positions.copy()
        lots = held[MARKET].size
        gain = {3: 400_000, 7: 50}.get(at, 50_000) * sign * abs(lots)
        held[MARKET] = position(lots, lots * ORACLE - abs(gain), held[MARKET].funding)
        rows[at] = msgspec.structs.replace(rows[at], positions=held)
    rows[4] = worth(globals, rows[4], lambda maintenance: maintenance + 10**6)
    rows[5] = worth(globals, rows[5], lambda maintenance: maintenance // 3)
    broke, even, deep, winner, close_by, poor, debtor, slight, broken = VICTIMS[:9]
    lever = constants.DELEVERAGE
    # The fund pays a quarter of its equity, and a little more than that is owed.
    chunk = Chunk(state_with(globals, rows, fund_of(globals, -sign, 10**8, 100)))

    def by(other: int, who: int = deep) -> Callable[[int], bytes]:
        return lambda lots: move(lever, who, lots, other=other)

    chunk.add(c.HEALTHY, by(winner, even)(1))
    chunk.add(c.OVERFILLED, by(winner, broke)(0), by(winner, broke)(20_001))
    chunk.add(c.OK, by(winner, broke)(17), by(winner, broken)(8))
    chunk.add(c.NO_OPPOSITE, by(winner)(9_001), by(broke)(1))
    chunk.add(c.OK, by(winner)(2_000), by(winner)(900))
    chunk.add(c.OK, by(close_by)(1))
    chunk.try_more(by(close_by)(3_000), by(poor)(777), by(debtor)(1), by(slight)(777), by(slight)(3_000))
    chunk.run()


@pytest.mark.parametrize("sign", [1, -1])
def test_a_fund_is_reduced_and_unwinds_as_far_as_it_may(sign: int) -> None:
    globals = distinct()
    poor = worth(globals, fund_of(globals, sign, 0, 20_000), lambda maintenance: maintenance - 1)
    healthy = worth(globals, fund_of(globals, sign, 0, 20_000), lambda maintenance: maintenance)
    rows = [trader(globals, 1, -sign, 30_000), trader(globals, 2, sign)]
    chunk = Chunk(state_with(globals, rows, healthy))
    chunk.add(c.HEALTHY, move(constants.DELEVERAGE, FUND, 1, other=VICTIMS[0]))
    chunk.run()
    chunk = Chunk(state_with(globals, rows, poor))
    chunk.add(c.NO_OPPOSITE, move(constants.DELEVERAGE, FUND, 1, other=VICTIMS[1]))
    chunk.edge(c.TOO_MANY_LOTS, lambda lots: move(constants.DELEVERAGE, FUND, lots, other=VICTIMS[0]), 1, 20_000)
    chunk.add(c.HEALTHY, move(constants.DELEVERAGE, FUND, 1, other=VICTIMS[0]))
    chunk.run()
    # A thousand ppm, exactly, and a tick more; then as much as an hour allows.
    orders = [rests(sign, ORACLE - sign * away, 1 + at) for at, away in enumerate((301, 300, -150))]
    richer = worth(globals, fund_of(globals, sign, 0, 200_000), lambda _: 2_000 * DOLLAR)
    chunk = Chunk(state_with(globals, rows, richer), *orders, rests(-sign, ORACLE, 9))
    chunk.add(c.PRICE_BAND, move(constants.UNWIND, 0, 1_000, 0))
    chunk.add(c.MISMATCHED, move(constants.UNWIND, 0, 1_000, 3))
    chunk.add(c.OK, move(constants.UNWIND, 0, 1_000, 1))
    chunk.edge(c.FUND_LIMIT, lambda lots: move(constants.UNWIND, 0, lots, 2), 1, 198_000)
    chunk.run()


def step(other: int, lots: int) -> bytes:
    asked = containers.Rescue(maker=MARKET, market=MARKET, account=0, other=other, lots=lots)
    return operations.rescue_bytes(constants.CLOSE_STEP, asked)


@pytest.mark.parametrize("away", [0, 1])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_head_is_closed_lot_by_lot_at_its_limit_and_no_further(sign: int, away: int) -> None:
    globals = distinct(
        head_account=VICTIMS[0],
        head_market=MARKET,
        head_lots=15_000,
        head_time=NOW - 1,
        streak=constants.STEADY_TICKS,
        tick_queued=0,
    )
    rows = [
        trader(globals, 1, sign),
        trader(globals, 2, -sign, 9_000),
        worth(globals, trader(globals, 3, -sign, 9_000), lambda _: -1_000_003),
        trader(globals, 4, sign),
    ]
    settled, _ = margin.settle(globals.risk, rows[0], NOW)
    worse = judged(globals, settled, kinder=False).price[MARKET]
    globals.head_limit = worse + sign * away
    rows[0] = worth(globals, rows[0], lambda maintenance: maintenance * 5)
    state = venue.build_state(
        globals,
        {FUND: fund_of(globals, sign, 2 * 10**8), MAKER: rich(0), **dict(zip(VICTIMS, rows, strict=False))},
        begun=1,
    )
    chunk = Chunk(state)
    if away:
        chunk.add(c.LIMIT, step(FUND, 1))
        chunk.add(c.NO_HEAD, step(FUND, 1))
    else:
        chunk.add(c.OVERFILLED, step(FUND, 0))
        chunk.add(c.FUND_FIRST, step(VICTIMS[1], 1))
        chunk.add(c.OK, step(FUND, 1), step(FUND, 3_000))
        chunk.add(c.FUND_LIMIT, step(FUND, 10_999))
        chunk.add(c.NO_OPPOSITE, step(VICTIMS[3], 8_000), step(VICTIMS[1], 9_001))
        chunk.try_more(step(VICTIMS[2], 4_000), step(VICTIMS[1], 4_000), step(VICTIMS[1], 4_000), step(FUND, 1))
    chunk.run()


@pytest.mark.parametrize(
    ("equity", "kinder", "code"),
    [(0, False, c.OK), (-1, False, c.UNSTEADY), (0, True, c.UNSTEADY), (-1, True, c.INSOLVENT)],
)
@pytest.mark.parametrize("sign", [1, -1])
def test_a_head_below_zero_waits_where_one_price_alone_is_to_blame(
    sign: int, equity: int, kinder: bool, code: int
) -> None:
    globals = distinct(head_account=VICTIMS[0], head_market=MARKET, head_lots=5_000, head_time=NOW - 1)
    row = worth(globals, trader(globals, 1, sign), lambda _: equity)
    if not kinder:
        settled, _ = margin.settle(globals.risk, row, NOW)
        missing = equity - margin.equity(judged(globals, settled, kinder=False), settled)
        row = msgspec.structs.replace(row, settled=row.settled + missing)
    fund = {FUND: fund_of(globals, sign, 10**10)}
    chunk = Chunk(venue.build_state(globals, {**fund, VICTIMS[0]: row}, begun=1))
    chunk.add(code, step(FUND, 5))
    chunk.run()


@pytest.mark.parametrize("more", [0, 1])
def test_a_forced_rescue_takes_a_price_of_five_minutes_and_waits_so_long_for_steady_ones(more: int) -> None:
    globals = distinct(streak=constants.STEADY_TICKS - 1, tick_time=NOW - constants.FORCED_PRICE_AGE)
    rows = [worth(globals, trader(globals, 1, 1), lambda maintenance: maintenance // 2)]
    state = state_with(globals, rows, fund_of(globals, 1, 10**10))
    payload = operations.forced_rescue_payload(MARKET, VICTIMS[0], 5)
    entries = [venue.entry(constants.FORCED_RESCUE, payload, time=NOW + at) for at in (0, 1)]

    codes = venue.run(state, *entries, timestamp=NOW + more).codes

    assert codes == ((c.OK if more else c.UNSTEADY), c.STALE)


@pytest.mark.parametrize("aside", [(1,), (2,), (1, 2)])
def test_in_a_market_without_a_price_nothing_is_closed_and_no_rescue_decided(aside: tuple[int, ...]) -> None:
    globals = venue.free_of_charge(streak=constants.STEADY_TICKS, head_account=ALICE, head_market=constants.MARKETS)
    globals.head_time = NOW - 1
    for market in aside:
        globals.markets[market].previous_price = 0
    held = {market: position(10_000, 10_000 * globals.risk.price[market]) for market in (1, 2)}
    other = {market: position(-30_000, -30_000 * globals.risk.price[market]) for market in (1, 2)}
    rows = {ALICE: account(OWNERS[1], 10**5 * DOLLAR, held), ALICE + 1: account(OWNERS[2], DOLLAR, held)}
    rows |= {ALICE + 2: account(OWNERS[3], 10**6 * DOLLAR, other), ALICE + 3: account(OWNERS[4], DOLLAR, held)}
    rows |= {market + 1: account(containers.NOBODY, 10**6 * DOLLAR) for market in (1, 2)}

    def step(market: int) -> bytes:
        asked = containers.Rescue(0, market, 0, constants.insurance_account(market), 10_000)
        return operations.rescue_bytes(constants.CLOSE_STEP, asked)

    def taken(index: int, tag: int = constants.TAKE_OVER) -> bytes:
        return operations.rescue_bytes(tag, containers.Rescue(0, MARKET, index, ALICE + 2, 5_000))

    chunk = [step(1), step(2), step(1), taken(ALICE + 1), taken(ALICE + 1, constants.DELEVERAGE), forced(ALICE + 3, 5)]
    is_aside = 1 in aside
    steps = {
        (1,): (c.UNSTEADY, c.OK, c.STALE),
        (2,): (c.OK, c.STALE, c.NO_HEAD),
        (1, 2): (c.STALE, c.NO_HEAD, c.NO_HEAD),
    }
    rescues = (c.UNSTEADY, c.UNSTEADY, c.STALE) if is_aside else (c.OK, c.HEALTHY, c.OK)
    state = venue.build_state(globals, rows, begun=1)

    assert venue.run(state, *chunk).codes == (*steps[aside], *rescues)
