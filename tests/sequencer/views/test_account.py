"""An account's numbers against an independent reading, and prices and shocks right by their definition."""

from fractions import Fraction
from math import ceil
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prover.standing import met_by_order
from prover.state.trial import one_side
from prover.stf import codes, constants, containers, encoding, margin
from sequencer.engine.reservation import Sums
from sequencer.schema.accounts import BuyingPower, Maturing, Outlook
from sequencer.schema.params import HIGHEST_SHOCK_BP, LOWEST_SHOCK_BP
from sequencer.schema.values import as_hex
from sequencer.views.account import (
    HIGHEST_PRICE,
    buying_power,
    code_of_fill,
    last_taken,
    liquidation_price,
    outlook,
    positions_of,
    ratio_ppm,
    room_of_shock,
    uniform_shock,
    view,
)
from tests.sequencer.node_world import BTC, BUY, DOLLAR, ETH, FIRST, PRICES, SELL, START, World

OWNER = b"\x77" * 20
# The devnet's markets, and one that has no label.
NAMES = ("BTC", "ETH", "SOL", "#3")
EPOCH = START // constants.EPOCH
EXAMPLES = settings(max_examples=60)


def seen_at(risk: containers.Risk, account: containers.Account, now_ms: int, posting_fee: int = 0) -> Outlook:
    """An account without its buying power, which globals are needed for."""
    return view(risk, account, now_ms, NAMES, FIRST, posting_fee, {})


def risk_of(prices: list[int], maintenance: list[int], initial: list[int], funding: list[int]) -> containers.Risk:
    """Markets 0 and up; the others are absent."""

    def wide(values: list[int]) -> list[int]:
        return values + [0] * (constants.MARKETS - len(values))

    return containers.Risk(
        price=wide(prices), funding_index=wide(funding), initial_ppm=wide(initial), maintenance_ppm=wide(maintenance)
    )


def account_of(collateral: int, positions: dict[int, tuple[int, int, int]], **changes: Any) -> containers.Account:
    """Settled collateral, and positions by market as (size, cost, funding index); further fields by name."""
    held = [containers.EMPTY] * constants.MARKETS
    for market, (size, cost, funding) in positions.items():
        held[market] = containers.Position(size=size, cost=cost, funding=funding)
    row = msgspec.structs.replace(encoding.no_account(), owner=OWNER, settled=collateral, epoch=EPOCH, positions=held)
    return msgspec.structs.replace(row, **changes)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[containers.Risk, containers.Account]:
    """One to four markets, positions near their price, collateral near what they need, funding due, profit maturing."""
    count = draw(st.integers(1, 4))
    prices = [draw(st.one_of(st.integers(1, 50), st.integers(1_000, 2_000_000))) for _ in range(count)]
    maintenance = [draw(st.one_of(st.integers(1_000, 100_000), st.just(1_000_000))) for _ in range(count)]
    initial = [min(1_000_000, ppm * 2) for ppm in maintenance]
    funding = [draw(st.integers(-(10**12), 10**12)) for _ in range(count)]
    positions: dict[int, tuple[int, int, int]] = {}
    need = 0
    for market in range(count):
        size = draw(st.one_of(st.just(0), st.integers(-5, 5), st.integers(-(10**7), 10**7)))
        if size:
            entry = max(1, prices[market] * draw(st.integers(700, 1_300)) // 1_000)
            positions[market] = (size, size * entry, draw(st.integers(-(10**12), 10**12)))
            need += size * (entry - prices[market]) + abs(size) * prices[market] * maintenance[market] // 10**6
    spare = draw(st.one_of(st.integers(-20, 20), st.integers(0, 10**6), st.integers(0, max(1, abs(need) * 3))))
    # An account in debt has no profit that matures: losses eat it first.
    most = max(0, need + spare)
    fresh = draw(st.integers(0, most))
    older = draw(st.integers(0, most - fresh))
    changes = {
        "older": older,
        "fresh": fresh,
        "epoch": EPOCH - draw(st.integers(0, 3)),
        "initial_ppm": draw(st.one_of(st.just(0), st.integers(1, 1_000_000))),
    }
    return risk_of(prices, maintenance, initial, funding), account_of(
        need + spare - older - fresh, positions, **changes
    )


def oracle(risk: containers.Risk, account: containers.Account) -> dict[str, Any]:
    """The margin law once more, in fractions, from its text alone (PROTOCOL.md §7)."""
    held = {m: p for m, p in enumerate(account.positions) if p.size}
    owed = sum((Fraction(p.size * (risk.funding_index[m] - p.funding), 10**9) for m, p in held.items()), Fraction())
    payment = ceil(owed)
    collateral = account.settled + account.older + account.fresh - payment
    # Profit needs two ends of an epoch to settle; losses eat the youngest money first.
    age = EPOCH - account.epoch
    older, fresh = [(account.older, account.fresh), (account.fresh, 0)][age] if age < 2 else (0, 0)
    settled = collateral if older + fresh < payment else collateral + payment - older - fresh
    # What an account owes itself is paid first.
    settled = min(collateral, 0) if settled < 0 else settled
    equity = collateral + sum(p.size * risk.price[m] - p.cost for m, p in held.items())
    notional = {m: abs(p.size) * risk.price[m] for m, p in held.items()}
    fraction = {m: max(risk.initial_ppm[m], account.initial_ppm) for m in held}
    initial = sum(ceil(Fraction(n * fraction[m], 10**6)) for m, n in notional.items())
    maintenance = sum(ceil(Fraction(n * risk.maintenance_ppm[m], 10**6)) for m, n in notional.items())
    floor = max(initial, ceil(Fraction(sum(notional.values()), 10)))

    def ratio(part: int) -> int | None:
        return 0 if part == 0 == equity else None if equity <= 0 else ceil(Fraction(part * 10**6, equity))

    return {
        "collateral_micros": collateral,
        "settled_micros": settled,
        "equity_micros": equity,
        "initial_micros": initial,
        "maintenance_micros": maintenance,
        "notional_micros": sum(notional.values()),
        "reserved_micros": 0,
        "free_collateral_micros": max(0, equity - initial),
        "withdrawable_micros": max(0, min(settled, equity - floor)),
        "margin_usage_ppm": ratio(initial),
        "margin_ratio_ppm": ratio(maintenance),
        "leverage_ppm": ratio(sum(notional.values())),
    }


def is_below(risk: containers.Risk, settled: containers.Account) -> bool:
    """E < MM by the oracle above."""
    seen = oracle(risk, settled)
    return bool(seen["equity_micros"] < seen["maintenance_micros"])


def at_price(risk: containers.Risk, market: int, price: int) -> containers.Risk:
    """The same markets with one other price."""
    return msgspec.structs.replace(risk, price=[price if m == market else p for m, p in enumerate(risk.price)])


@EXAMPLES
@given(worlds())
def test_every_number_is_that_of_an_independent_reading(world: tuple[containers.Risk, containers.Account]) -> None:
    risk, account = world
    seen = seen_at(risk, account, START)
    expected = oracle(risk, account)
    assert {name: getattr(seen, name) for name in expected} == expected
    assert seen.owner == as_hex(OWNER)
    assert seen.settled_micros + sum(part.amount_micros for part in seen.maturing) == seen.collateral_micros
    assert [leg.market for leg in seen.positions] == [NAMES[m] for m, p in enumerate(account.positions) if p.size]
    assert sum(leg.unrealised_micros for leg in seen.positions) == seen.equity_micros - seen.collateral_micros
    assert sum(leg.maintenance_micros for leg in seen.positions) == seen.maintenance_micros
    is_called = seen.margin_ratio_ppm is None or seen.margin_ratio_ppm > 10**6
    assert is_called == (seen.equity_micros < seen.maintenance_micros)


@EXAMPLES
@given(worlds())
def test_a_liquidation_price_is_the_first_at_which_the_account_is_below(
    world: tuple[containers.Risk, containers.Account],
) -> None:
    risk, account = world
    settled, _ = margin.settle(risk, account, START)
    for market, held in positions_of(settled):
        found = liquidation_price(risk, settled, market)
        safest, worst = (HIGHEST_PRICE, 1) if held.size > 0 else (1, HIGHEST_PRICE)
        if found is None:
            assert not is_below(at_price(risk, market, worst), settled)
        elif is_below(at_price(risk, market, safest), settled):
            assert found == risk.price[market]
        else:
            one_before = found + (1 if held.size > 0 else -1)
            assert is_below(at_price(risk, market, found), settled)
            assert not is_below(at_price(risk, market, one_before), settled)
            # On the side against the position if the account is not below now, else on the other.
            is_against = found < risk.price[market] if held.size > 0 else found > risk.price[market]
            assert is_against == (not is_below(risk, settled))


def shocked_room(risk: containers.Risk, settled: containers.Account, factor: int) -> Fraction:
    """Room at prices times factor / 10,000, requirements rounded up to ten-thousandths of a micro-dollar."""
    room = Fraction(margin.collateral(settled))
    for market, held in positions_of(settled):
        price = Fraction(risk.price[market] * factor, 10_000)
        need = abs(held.size) * price * Fraction(risk.maintenance_ppm[market], 10**6)
        room += held.size * price - held.cost - Fraction(ceil(need * 10_000), 10_000)
    return room


@EXAMPLES
@given(worlds(), st.sampled_from((-1, 1)))
def test_no_smaller_shock_liquidates(world: tuple[containers.Risk, containers.Account], direction: int) -> None:
    risk, account = world
    settled, _ = margin.settle(risk, account, START)
    # Every smaller shock is asked, so the range is cut short.
    most = 400
    found = uniform_shock(risk, settled, direction, most)
    below = [bp for bp in range(most + 1) if shocked_room(risk, settled, 10_000 + direction * bp) < 0]
    assert found == (below[0] if below else None)
    assert room_of_shock(risk, settled, direction)(7) == 10_000 * shocked_room(risk, settled, 10_000 + 7 * direction)


@EXAMPLES
@given(worlds())
def test_the_widest_shocks_are_right_at_their_edge(world: tuple[containers.Risk, containers.Account]) -> None:
    risk, account = world
    settled, _ = margin.settle(risk, account, START)
    seen = seen_at(risk, account, START)
    for direction, most, found in ((-1, -LOWEST_SHOCK_BP, seen.fall_bp), (1, HIGHEST_SHOCK_BP, seen.rise_bp)):
        if found is None:
            assert shocked_room(risk, settled, 10_000 + direction * most) >= 0
        else:
            assert shocked_room(risk, settled, 10_000 + direction * found) < 0
            assert found == 0 or shocked_room(risk, settled, 10_000 + direction * (found - 1)) >= 0


def test_a_shock_on_a_flat_line_is_the_first_and_not_any() -> None:
    # Long and short nearly cancel: room changes by less than the rounding of the requirements from one to the next.
    risk = risk_of([1, 1], [300_000, 300_000], [500_000, 500_000], [0, 0])
    settled = account_of(0, {0: (5, 0, 0), 1: (-1, 0, 0)})
    for collateral in range(-6, 3):
        some = msgspec.structs.replace(settled, settled=collateral)
        for direction in (-1, 1):
            below = [bp for bp in range(1_001) if shocked_room(risk, some, 10_000 + direction * bp) < 0]
            assert uniform_shock(risk, some, direction, 1_000) == (below[0] if below else None)


def test_profit_settles_in_two_steps_and_only_settled_money_may_leave() -> None:
    risk = risk_of([5], [10_000], [20_000], [0])
    account = account_of(100, {}, older=20, fresh=3)
    ends = (EPOCH + 1) * constants.EPOCH
    seen = seen_at(risk, account, START)
    assert (seen.collateral_micros, seen.settled_micros, seen.withdrawable_micros) == (123, 100, 100)
    assert seen.maturing == [Maturing(20, ends), Maturing(3, ends + constants.EPOCH)]
    for now_ms, settled, maturing in (
        (ends - 1, 100, seen.maturing),
        (ends, 120, [Maturing(3, ends + constants.EPOCH)]),
        (ends + constants.EPOCH - 1, 120, [Maturing(3, ends + constants.EPOCH)]),
        (ends + constants.EPOCH, 123, []),
    ):
        later = seen_at(risk, account, now_ms)
        assert (later.settled_micros, later.withdrawable_micros, later.maturing) == (settled, settled, maturing)
        assert later.collateral_micros == 123


@pytest.mark.parametrize(("posting_fee", "withdrawable"), [(0, 100), (23, 100), (24, 99), (122, 1), (123, 0), (500, 0)])
def test_the_posting_fee_of_taking_money_out_eats_the_youngest_first(posting_fee: int, withdrawable: int) -> None:
    risk = risk_of([5], [10_000], [20_000], [0])
    account = account_of(100, {}, older=20, fresh=3)
    assert seen_at(risk, account, START, posting_fee).withdrawable_micros == withdrawable


def test_an_owner_s_bound_of_leverage_raises_what_is_asked_of_every_leg_and_lowers_none() -> None:
    risk = risk_of([1_000_000, 1_000_000], [10_000, 100_000], [20_000, 200_000], [0, 0])
    positions = {0: (1_000, 1_000 * DOLLAR, 0), 1: (1_000, 1_000 * DOLLAR, 0)}
    free = seen_at(risk, account_of(500 * DOLLAR, positions), START)
    bound = seen_at(risk, account_of(500 * DOLLAR, positions, initial_ppm=100_000), START)
    assert [leg.initial_micros for leg in free.positions] == [20 * DOLLAR, 200 * DOLLAR]
    assert [leg.initial_micros for leg in bound.positions] == [100 * DOLLAR, 200 * DOLLAR]
    assert (free.initial_ppm, bound.initial_ppm) == (0, 100_000)
    assert (bound.initial_micros, bound.maintenance_micros) == (300 * DOLLAR, free.maintenance_micros)
    assert bound.free_collateral_micros == 200 * DOLLAR


def test_the_other_positions_requirements_are_counted() -> None:
    """A short of 1.5 alone has more room than beside a long that needs maintenance of its own."""
    alone = account_of(1_000 * DOLLAR, {0: (-15_000, -15_000 * 300_000, 0)})
    beside = account_of(1_000 * DOLLAR, {0: (-15_000, -15_000 * 300_000, 0), 1: (1_000, 1_750 * DOLLAR, 0)})
    risk = risk_of([300_000, 1_750_000], [50_000, 100_000], [100_000, 200_000], [0, 0])
    free, bound = liquidation_price(risk, alone, 0), liquidation_price(risk, beside, 0)
    assert free is not None
    assert bound is not None
    assert bound < free


def test_no_position_no_liquidation() -> None:
    risk = risk_of([5], [10_000], [20_000], [0])
    for collateral in (0, 7):
        seen = seen_at(risk, account_of(collateral, {}), START)
        assert (seen.margin_ratio_ppm, seen.fall_bp, seen.rise_bp, seen.positions) == (0, None, None, [])
    with pytest.raises(AssertionError):
        liquidation_price(risk, account_of(1, {}), 0)
    # A long that is paid in full has no price at which it is below, a short always has one.
    assert liquidation_price(risk, account_of(10, {0: (1, 5, 0)}), 0) is None
    assert liquidation_price(risk, account_of(10**9, {0: (-1, -5, 0)}), 0) is not None


@pytest.mark.parametrize(
    ("part", "whole", "ppm"),
    [(0, 0, 0), (0, -5, None), (0, 5, 0), (1, 0, None), (1, -1, None), (1, 3, 333_334), (3, 3, 1_000_000)],
)
def test_a_ratio_is_rounded_up_and_none_of_nothing(part: int, whole: int, ppm: int | None) -> None:
    assert ratio_ppm(part, whole) == ppm


# Buying power, in a venue.


def holder(size: int, side: int = BUY, dollars: int = 5_000) -> World:
    """Trader 1 holds so many lots of BTC."""
    world = World(2, dollars=dollars)
    if size:
        world.order(0, BUY + SELL - side, PRICES[BTC], size=size)
        assert world.order(1, side, PRICES[BTC], size=size).filled == size
    return world


@pytest.mark.parametrize(("size", "side"), [(0, BUY), (20_000, BUY), (20_000, SELL)])
def test_buying_power_is_what_the_law_takes_and_not_one_lot_more(size: int, side: int) -> None:
    world = holder(size, side)
    globals, account = world.engine.globals, world.engine.account(FIRST + 1)
    clock = world.engine.view.clock()
    for market in (BTC, ETH):
        power = buying_power(globals, clock, account, market, {})
        price, listed = globals.risk.price[market], globals.markets[market]
        for lots, direction in ((power.buy_lots, 1), (power.sell_lots, -1)):

            def code(more: int, direction: int = direction, lots: int = lots) -> int:
                size = lots + more
                fee = margin.ceil_div(size * price * listed.taker_fee_ppm, 10**6) + globals.posting_fee  # noqa: B023
                return one_side(globals, clock, account, market, direction * size, price, fee).code  # noqa: B023

            assert lots > 0
            assert (code(0), code(1)) == (codes.OK, codes.MARGIN)


@pytest.mark.parametrize(("size", "side"), [(0, BUY), (20_000, BUY), (20_000, SELL)])
def test_buying_power_is_found_by_few_questions(size: int, side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = holder(size, side).engine
    asked: list[int] = []

    def counted(*given: Any) -> int:
        asked.append(given[-1])
        return code_of_fill(*given)

    monkeypatch.setattr("sequencer.views.account.code_of_fill", counted)
    outlook(engine.globals, engine.view.clock(), FIRST + 1, engine.account(FIRST + 1), {})
    # Two sides of three markets: the last that is taken, and the first that is not. Halving alone asked forty times.
    assert len(asked) == 6 * 2, asked


def test_an_account_beside_its_open_orders_is_added_up_once_for_all_markets(monkeypatch: pytest.MonkeyPatch) -> None:
    world = holder(20_000)
    engine, open = world.engine, {BTC: Sums(buy_lots=100), ETH: Sums(sell_lots=50)}
    given = engine.globals, engine.view.clock(), FIRST + 1, engine.account(FIRST + 1), open
    added, questions = list[int](), list[int]()
    sums = margin.sums
    monkeypatch.setattr(margin, "sums", lambda *asked: added.append(asked[-1]) or sums(*asked))
    monkeypatch.setattr(
        "sequencer.views.account.code_of_fill", lambda *asked: questions.append(asked[-1]) or code_of_fill(*asked)
    )
    view(engine.globals.risk, given[3], given[1].now, NAMES, FIRST + 1, engine.globals.posting_fee, open)
    alone = len(added)
    outlook(*given)
    # The law adds it up for each question, and the view as it does without any buying power.
    assert len(added) == alone + alone + len(questions) + 1


@given(last=st.integers(0, 10**9), taken=st.integers(0, 10**9), guess=st.integers(-(10**9), 10**10))
def test_the_last_that_is_taken_is_found_from_any_guess(last: int, taken: int, guess: int) -> None:
    last = max(last, taken)
    asked: list[int] = []

    def is_taken(lots: int) -> bool:
        asked.append(lots)
        assert lots > taken
        return lots <= last

    assert last_taken(is_taken, taken, guess) == last
    assert len(asked) <= 70
    assert len(asked) <= 2 or abs(guess - last) > 1 or guess < taken


def test_an_account_below_its_initial_requirement_can_only_sell() -> None:
    world = holder(400_000)
    world.tick((PRICES[BTC] * 993 // 1000, *PRICES[1:]))
    engine = world.engine
    now = met_by_order(engine.globals.risk, engine.account(FIRST + 1))
    assert now.maintenance <= now.equity < now.initial
    power = buying_power(engine.globals, engine.view.clock(), engine.account(FIRST + 1), BTC, {})
    assert power.buy_lots == 0
    assert power.sell_lots > 400_000
    # With nothing left, the law takes no reduction either.
    world.tick((PRICES[BTC] * 970 // 1000, *PRICES[1:]))
    assert buying_power(engine.globals, engine.view.clock(), engine.account(FIRST + 1), BTC, {}) == BuyingPower(
        "BTC", 0, 0
    )
    seen = seen_at(engine.globals.risk, engine.account(FIRST + 1), world.now)
    assert (seen.equity_micros < 0, seen.margin_ratio_ppm, seen.free_collateral_micros) == (True, None, 0)
    assert (seen.fall_bp, seen.rise_bp) == (0, 0)


def test_a_closed_or_unpriced_market_has_no_buying_power() -> None:
    world = World(0)
    world.process(b"")
    engine = world.engine
    account = account_of(10**12, {})
    assert buying_power(engine.globals, engine.view.clock(), account, BTC, {}) == BuyingPower("BTC", 0, 0)
    world = holder(0)
    world.engine.globals.markets[BTC].status = constants.MARKET_CLOSED
    engine = world.engine
    assert buying_power(engine.globals, engine.view.clock(), account, BTC, {}) == BuyingPower("BTC", 0, 0)
    assert buying_power(engine.globals, engine.view.clock(), account, ETH, {}).buy_lots > 0
