"""Published examples and formulas of other venues, as vectors on this law's functions, as far as the laws coincide.

They do not coincide here, and no vector pretends it:
- dYdX v3: initial requirements that grow with the position (incremental initial fraction); ours do not grow with it.
- dYdX v4: notional rounded towards zero, maintenance rounded up twice (a micro-dollar apart); fillable price and
  liquidation fee, which are no numbers of an account's view; there open interest raises what every position needs,
  here only what a leg needs that grows.
- Hyperliquid: maintenance tiers by size; a leverage that is set for each market, ours is one bound for the account;
  isolated positions within one account, ours stand in accounts of their own; a liquidation price "topped up to the
  initial requirement" for orders not yet filled.
- Lighter: in pre-liquidation it is the ratio to the initial requirement that must not fall, ours is to maintenance;
  the close-out level decides about liquidations, which are no numbers of an account's view.
Our liquidation price is a tick price at which equity is below the requirement: where a published price is where both
are equal, ours is the first tick past it.
"""

from collections.abc import Callable
from fractions import Fraction
from math import ceil, floor

import msgspec
import pytest

from prover.stf import codes, containers, custody, encoding, margin, trading
from sequencer.account_view import buying_power, liquidation_price, standing, view
from sequencer.margin_calls import next_level
from tests.sequencer.node_world import BTC, DOLLAR, FIRST, PRICES, START, World, genesis
from tests.sequencer.test_account_view import account_of, risk_of

# Lots of 10^-4 and ticks of 10^-2 dollars: one times one is a micro-dollar.
LOT, TICK = 10_000, 100
CLOCK = containers.Clock(now=START, priced=True, grace=False, steady=True)


def market_of(*rows: tuple[float, int, int]) -> containers.Risk:
    """Markets as (price in dollars, initial ppm, maintenance ppm)."""
    return risk_of(
        [round(p * TICK) for p, _, _ in rows], [m for _, _, m in rows], [i for _, i, _ in rows], [0] * len(rows)
    )


def trader(dollars: float, *positions: tuple[float, float]) -> containers.Account:
    """Collateral before any trade, and (size, entry price in dollars) by market."""
    held = {
        index: (round(size * LOT), round(size * LOT) * round(entry * TICK), 0)
        for index, (size, entry) in enumerate(positions)
        if size
    }
    return account_of(round(dollars * DOLLAR), held)


def traded(risk: containers.Risk, account: containers.Account, size: int, price: int) -> containers.Traded:
    """A trade in the first market without a fee, its growing leg at the market's own fraction."""
    return trading.trade(risk, CLOCK, account, 0, size, price, 0, risk.initial_ppm[0])


def first_tick_past(price: Fraction, size: float) -> int | None:
    """The tick beyond a price at which equity and requirement are equal; None where it would be no price."""
    tick = floor(price * TICK) + 1 if size < 0 else ceil(price * TICK) - 1
    return tick if tick > 0 else None


# dYdX v4, docs.dydx.xyz concepts/trading/liquidations ("Isolated liquidation price", "Cross liquidation price").


def test_dydx_v4_isolated_liquidation_price() -> None:
    """1,000 dollars, short 3 ETH at 3,000, maintenance 5%: 10,000 / 3.15 = 3,174.60, equity there 476.19."""
    risk, account = market_of((3_000, 100_000, 50_000)), trader(1_000, (-3, 3_000))
    found = liquidation_price(risk, account, 0)
    assert found == first_tick_past(Fraction(10_000 * 100, 315), -3) == 317_461
    there = standing(market_of((3_174.60, 100_000, 50_000)), account)
    assert (there.equity, there.maintenance) == (476_200_000, 476_190_000)
    # The long of the same terms, as a client of that venue tests the formula: (1,000 - 9,000) / (0.15 - 3) = 2,807.017.
    long = trader(1_000, (3, 3_000))
    assert liquidation_price(risk, long, 0) == first_tick_past(Fraction(8_000 * 100, 285), 3) == 280_701


def test_dydx_v4_cross_liquidation_price() -> None:
    """1,000 dollars, short 1.5 ETH at 3,000 (5%), long 1,000 STRK at 1.75 (10%): 5,325 / 1.575 = 3,380.95."""
    risk = market_of((3_000, 100_000, 50_000), (1.75, 200_000, 100_000))
    account = trader(1_000, (-1.5, 3_000), (1_000, 1.75))
    assert view(risk, account, START).positions[1].maintenance_micros == 175 * DOLLAR
    found = liquidation_price(risk, account, 0)
    assert found == first_tick_past(Fraction(5_325_000, 1_575), -1.5) == 338_096


def dydx_price(equity: Fraction, size: Fraction, price: Fraction, fraction: Fraction, others: Fraction) -> Fraction:
    """p' = (e - s p - MMR_o) / (|s| MMF - s), as dYdX v4 publishes it."""
    return (equity - size * price - others) / (abs(size) * fraction - size)


def hyperliquid_price(
    equity: Fraction, size: Fraction, price: Fraction, fraction: Fraction, others: Fraction
) -> Fraction:
    """price - side * margin_available / size / (1 - l * side) with margin_available = account value - maintenance."""
    side = 1 if size > 0 else -1
    available = equity - (others + abs(size) * price * fraction)
    return price - side * available / abs(size) / (1 - fraction * side)


@pytest.mark.parametrize("formula", [dydx_price, hyperliquid_price])
@pytest.mark.parametrize(
    ("dollars", "sizes", "prices", "ppms"),
    [
        (1_000, (-3.0,), (3_000,), (50_000,)),
        (1_000, (-1.5, 1_000.0), (3_000, 1.75), (50_000, 100_000)),
        (2_500, (0.3, -2.0, 10.0), (60_000, 3_000, 150), (12_500, 20_000, 25_000)),
        (900, (0.25, 1.0), (60_000, 3_000), (12_000, 12_000)),
    ],
)
def test_both_published_formulas_give_our_prices(
    formula: Callable[..., Fraction],
    dollars: float,
    sizes: tuple[float, ...],
    prices: tuple[float, ...],
    ppms: tuple[int, ...],
) -> None:
    """dYdX v4 as above; Hyperliquid, hyperliquid-docs trading/liquidations: the same number by another formula."""
    risk = market_of(*((price, 2 * ppm, ppm) for price, ppm in zip(prices, ppms, strict=True)))
    account = trader(dollars, *zip(sizes, prices, strict=True))
    for market, size in enumerate(sizes):
        others = sum(
            (Fraction(str(abs(s))) * Fraction(str(p)) * Fraction(m, 10**6))
            for other, (s, p, m) in enumerate(zip(sizes, prices, ppms, strict=True))
            if other != market
        )
        exact = [Fraction(str(value)) for value in (dollars, size, prices[market])]
        expected = formula(*exact, Fraction(ppms[market], 10**6), Fraction(others))
        assert liquidation_price(risk, account, market) == first_tick_past(expected, size)


def test_the_common_mistake_overstates_the_room() -> None:
    """TorchTrade issue 344: one unit long at 100, equity 5, 0.4%; another position needs 4: 99 / 0.996 = 99.3976.

    The common formula, which leaves the other's requirement out, says 95.38 (the issue's estimate: 95.40).
    """
    risk = market_of((100, 50_000, 4_000), (100, 50_000, 40_000))
    account = trader(5, (1, 100), (1, 100))
    assert liquidation_price(risk, account, 0) == first_tick_past(Fraction(99_000, 996), 1) == 9_939
    assert liquidation_price(market_of((100, 50_000, 4_000)), trader(5, (1, 100)), 0) == 9_538


# dYdX v3 (StarkEx Perpetual): position/status.cairo, and the v3 API's "Portfolio margining".


@pytest.mark.parametrize("dollars", [1_874.999999, 1_875.0, 1_875.000001])
def test_dydx_v3_is_well_leveraged_exactly_where_we_are_not_below(dollars: float) -> None:
    """TR <= TV * 2^32 in the fixed points of the Cairo program, at the edge of 60,000 dollars times 2^-5."""
    price, size = 60_000, -1
    risk, account = market_of((price, 50_000, 31_250)), trader(dollars, (size, price))
    # Micro-dollars a lot in 32.32; a risk factor of 0.32, which holds 2^-5 exactly.
    internal, factor = (price * TICK) << 32, (31_250 << 32) // 10**6
    value = margin.collateral(account) - account.positions[0].cost
    total_value = (value << 32) + round(size * LOT) * internal
    total_risk = abs(round(size * LOT)) * internal * factor
    assert (total_risk <= total_value << 32) == (standing(risk, account).room >= 0)


def test_dydx_v3_account_value_and_free_collateral() -> None:
    """Total account value = Q + sum(S P), free collateral = value - sum |S P I|; the example BTC market's 5% and 3%.

    Q is what remains of the deposit after paying for the positions: our collateral less the positions' costs.
    """
    risk = market_of((60_000, 50_000, 30_000), (3_000, 50_000, 30_000))
    account = trader(10_000, (1, 58_000), (-10, 3_100))
    quote = 10_000 - 58_000 + 31_000
    total = quote + 60_000 - 30_000
    seen = view(risk, account, START)
    assert seen.equity_micros == total * DOLLAR == 13_000 * DOLLAR
    assert seen.initial_micros == (3_000 + 1_500) * DOLLAR
    assert seen.free_collateral_micros == 8_500 * DOLLAR
    assert seen.maintenance_micros == 2_700 * DOLLAR


def test_dydx_v3_a_reduction_passes_and_a_growth_does_not() -> None:
    """validate_state_transition.cairo: not well leveraged, then holdings only shrink and TV/TR does not fall."""
    risk, account = market_of((60_000, 50_000, 30_000)), trader(1_000, (1, 60_000))
    assert standing(risk, account).room < 0
    price = 60_000 * TICK
    assert traded(risk, account, -LOT // 10, price).code == codes.OK
    assert traded(risk, account, LOT // 10, price).code == codes.MARGIN
    # 100 dollars of equity for a tenth of 1,800 of requirement: ratio kept. Any worse, and it falls.
    kept = price - 100 * DOLLAR // (LOT // 10)
    assert traded(risk, account, -LOT // 10, kept).code == codes.OK
    assert traded(risk, account, -LOT // 10, kept - 1).code == codes.MARGIN


# dYdX v4: liquidity tiers (testing/genesis.sh) and the portfolio page's definitions.


@pytest.mark.parametrize(
    ("tier", "initial", "fraction", "maintenance"),
    [
        ("Large-Cap", 20_000, 600_000, 12_000),
        ("Mid-Cap", 50_000, 600_000, 30_000),
        ("Small-Cap", 100_000, 500_000, 50_000),
        ("Long-Tail", 200_000, 500_000, 100_000),
        ("Safety", 1_000_000, 200_000, 200_000),
        ("FX", 10_000, 500_000, 5_000),
    ],
)
def test_dydx_v4_tiers(tier: str, initial: int, fraction: int, maintenance: int) -> None:
    """MMR = ceil(ceil(|N| base) fraction); ours rounds once, so that it is the same or a micro-dollar less."""
    assert initial * fraction == maintenance * 10**6, tier
    for notional in (1, 33, 999_999, 7_777_777_777, 123_456_789_012_345):
        base = ceil(Fraction(notional * initial, 10**6))
        theirs = ceil(Fraction(base * fraction, 10**6))
        assert margin.requirement(notional, 1, initial) == base
        assert 0 <= theirs - margin.requirement(notional, 1, maintenance) <= 1


def test_dydx_v4_usage_leverage_and_buying_power() -> None:
    """Margin usage = 1 - free / equity, leverage = sum |N| / equity, buying power = free collateral / IMF."""
    risk, account = (
        market_of((60_000, 20_000, 12_000), (3_000, 50_000, 30_000)),
        trader(4_000, (0.5, 60_000), (-2, 3_000)),
    )
    seen = view(risk, account, START)
    assert (seen.initial_micros, seen.free_collateral_micros) == (900 * DOLLAR, 3_100 * DOLLAR)
    assert seen.margin_usage_ppm == 10**6 - 3_100 * 10**6 // 4_000 == 225_000
    assert seen.leverage_ppm == 9 * 10**6
    # Without fees and positions, what the law lets through is the published number to the lot.
    world = World(2, dollars=1_000)
    globals = world.engine.globals
    globals.posting_fee = globals.markets[BTC].taker_fee_ppm = 0
    power = buying_power(globals, world.engine.view.clock(), world.engine.account(FIRST), BTC)
    assert power.buy_lots == power.sell_lots == 1_000 * DOLLAR * 10**6 // 20_000 // PRICES[BTC]


@pytest.mark.parametrize(
    ("open_notional", "percent"),
    [(0, 5), (25, 5), (27.5, 14.5), (30, 24), (37.5, 52.5), (49.99, 99.962), (50, 100), (75, 100)],
)
def test_dydx_v4_initial_fraction_by_open_interest(open_notional: float, percent: float) -> None:
    """docs.dydx.xyz, "Margin": min(base + max(scale * (1 - base), 0), 100%), scale = (OI - lower) / (upper - lower).

    In millions of dollars: a base of 5% between 25 and 50, and a fund that lowers neither bound.
    """
    price, million = 10 * TICK, 10**6 * DOLLAR
    listed = msgspec.structs.replace(
        encoding.globals_from_bytes(genesis()).markets[0],
        interest_lower=25 * million,
        interest_upper=50 * million,
        fund=million,
    )
    lots = round(open_notional * million) // price
    fraction = margin.scaled_ppm(listed, price, lots, 50_000)
    assert fraction == round(percent * 10_000)
    # A growing leg is taken exactly where the equity covers it, one that shrinks at the market's own fraction.
    risk, size = market_of((10, 50_000, 30_000)), 100 * LOT
    for short, code in ((0, codes.OK), (1, codes.MARGIN)):
        account = account_of(size * price * fraction // 10**6 - short, {})
        assert trading.trade(risk, CLOCK, account, 0, size, price, 0, fraction).code == code
    poor = trader(50, (100, 10))
    assert trading.trade(risk, CLOCK, poor, 0, -size // 2, price, 0, fraction).code == codes.OK


def test_dydx_v4_a_trader_caps_the_leverage() -> None:
    """A leverage of 10 in a market of 20 asks for a tenth; one of 50 changes nothing: the stricter one holds."""
    risk = market_of((60_000, 50_000, 30_000))
    for leverage, dollars in ((10, 6_000), (50, 3_000), (0, 3_000)):
        bound = 10**6 // leverage if leverage else 0
        for short, code in ((0, codes.OK), (1, codes.MARGIN)):
            account = account_of(dollars * DOLLAR - short, {}, initial_ppm=bound)
            assert traded(risk, account, LOT, 60_000 * TICK).code == code
        held = msgspec.structs.replace(trader(dollars, (1, 60_000)), initial_ppm=bound)
        assert standing(risk, held).initial == dollars * DOLLAR
        assert standing(risk, held).maintenance == 1_800 * DOLLAR


# Hyperliquid: trading/margin-tiers, trading/liquidations, and the withdrawal rule of its margining page.


@pytest.mark.parametrize(("leverage", "maintenance"), [(40, 12_500), (25, 20_000), (20, 25_000), (10, 50_000)])
def test_hyperliquid_maintenance_is_half_of_the_initial_at_most_leverage(leverage: int, maintenance: int) -> None:
    """Up to the first tier, which is where tiers by size begin: 1 / (2 * maximum leverage)."""
    assert maintenance == 10**6 // (2 * leverage)
    risk, account = market_of((50_000, 10**6 // leverage, maintenance)), trader(100_000, (1, 50_000))
    assert standing(risk, account).maintenance == 50_000 * DOLLAR // (2 * leverage)


def test_hyperliquid_cross_margin_ratio() -> None:
    """Maintenance margin / account value; liquidation where account value < maintenance."""
    risk, account = market_of((50_000, 25_000, 12_500)), trader(1_250, (1, 50_000))
    assert view(risk, account, START).margin_ratio_ppm == 500_000
    assert next_level(0, standing(risk, account)) == 50
    edge = trader(625, (1, 50_000))
    assert view(risk, edge, START).margin_ratio_ppm == 10**6
    assert standing(risk, edge).room == 0
    assert liquidation_price(risk, edge, 0) == 50_000 * TICK - 1


@pytest.mark.parametrize(("dollars", "withdrawable"), [(12_000, 2_000), (10_000, 0), (9_000, 0)])
def test_hyperliquid_keeps_a_tenth_of_the_open_notional(dollars: int, withdrawable: int) -> None:
    """What remains is max(sum of initial, 10% of notional): 100,000 at 40x need 2,500, and 10,000 stay."""
    risk, account = market_of((50_000, 25_000, 12_500)), trader(dollars, (2, 50_000))
    assert view(risk, account, START).withdrawable_micros == withdrawable * DOLLAR
    amount = withdrawable * DOLLAR
    if amount:
        assert custody.check_payment(risk, CLOCK, account, amount) == codes.OK
    assert custody.check_payment(risk, CLOCK, account, amount + 1) == codes.MARGIN


# Lighter: docs.lighter.xyz perpetual-futures/liquidations-and-insurance-fund.


def test_lighter_account_value_and_the_three_states() -> None:
    """AV = collateral + sum((mark - entry) * position); pre-liquidation is M <= AV < I, liquidation AV < M."""
    risk = market_of((51_000, 100_000, 60_000), (2_900, 100_000, 60_000))
    for collateral, is_healthy, is_liquidated in ((7_000, True, False), (4_000, False, False), (2_000, False, True)):
        now = standing(risk, trader(collateral, (1, 50_000), (-5, 3_000)))
        assert now.equity == (collateral + 1_000 + 500) * DOLLAR
        assert (now.initial, now.maintenance) == (6_550 * DOLLAR, 3_930 * DOLLAR)
        assert (now.equity >= now.initial, now.room < 0) == (is_healthy, is_liquidated)
    pre = trader(4_000, (1, 50_000), (-5, 3_000))
    # Pre-liquidation: a position only shrinks.
    assert traded(risk, pre, -LOT // 2, 51_000 * TICK).code == codes.OK
    assert traded(risk, pre, LOT // 2, 51_000 * TICK).code == codes.MARGIN


@pytest.mark.parametrize(("size", "lots"), [(1, 2_500), (-1, -2_500)])
def test_lighter_zero_price_keeps_the_margin_ratio(size: int, lots: int) -> None:
    """P0 = mark * (1 - side * M * AV / MMR): closing a part there keeps AV / MMR; a tick worse is refused."""
    mark = 50_000
    risk, account = market_of((mark, 100_000, 60_000)), trader(1_500, (size, mark))
    before = standing(risk, account)
    assert (before.equity, before.maintenance) == (1_500 * DOLLAR, 3_000 * DOLLAR)
    zero = Fraction(mark * TICK) * (1 - size * Fraction(60_000, 10**6) * Fraction(before.equity, before.maintenance))
    assert zero == 4_850_000 if size > 0 else zero == 5_150_000
    closed = traded(risk, account, -lots, int(zero))
    assert closed.code == codes.OK
    after = standing(risk, closed.account)
    assert after.equity * before.maintenance == before.equity * after.maintenance
    assert traded(risk, account, -lots, int(zero) - size).code == codes.MARGIN
