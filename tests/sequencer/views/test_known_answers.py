"""Published examples and formulas of other venues, as vectors on this law's functions, as far as the laws coincide.

Each vector begins with what it takes from whom: numbers that were published, or a formula that was, with numbers of our
own. SOURCES has the addresses.

They do not coincide here, and no vector pretends it:
- dYdX v3: initial requirements that grow with the position (incremental initial fraction); ours do not grow with it.
- dYdX v4: notional rounded towards zero, maintenance rounded up twice (a micro-dollar apart); there the fillable price
  alone bounds a liquidation, and a fund pays what is below the bankruptcy price, here both bound it; a liquidation fee
  of what was traded, ours is of the maintenance margin; there open interest raises what every position needs, here only
  what a leg needs that grows.
- Hyperliquid: maintenance tiers by size; a leverage that is set for each market, ours is one bound for the account;
  isolated positions within one account, ours stand in accounts of their own; a liquidation price "topped up to the
  initial requirement" for orders not yet filled.
- Funding: ours accrues with every tick, theirs is the mean of an hour, paid at its end; an interest
  takes the place of a premium that is near it here (as of Hyperliquid), in dYdX v4 it is added, which is the same where
  there is no premium; dYdX v4 caps by what initial margin is above maintenance, ours is a number of the market.
- Lighter: in pre-liquidation it is the ratio to the initial requirement that must not fall, ours is to maintenance;
  a close-out fraction by market, ours is two thirds of maintenance everywhere.
Our liquidation price is a tick price at which equity is below the requirement: where a published price is where both
are equal, ours is the first tick past it.
"""

import re
import sys
from collections.abc import Callable
from fractions import Fraction
from math import ceil, floor
from typing import Final

import msgspec
import pytest

from prover.standing import met_by_order
from prover.stf import codes, constants, containers, custody, encoding, margin, markets, rescue, trading
from sequencer.oracle.premium import Measured, PremiumRule, premium_ppb
from sequencer.views.account import buying_power, liquidation_price
from sequencer.views.margin_calls import next_level
from tests.sequencer.node_world import BTC, DOLLAR, FIRST, PRICES, START, World, genesis
from tests.sequencer.views.test_account import account_of, risk_of, seen_at

_CHAIN: Final = "https://github.com/dydxprotocol/v4-chain/blob/84d4664bae71e3a077adaac67fb77ad19cd28d30/protocol/"
_DOCS: Final = "https://github.com/dydxprotocol/v4-documentation/blob/3e475b73231a5de7e5a8a55c54047d94578060e5/docs/pages/concepts/"
_CAIRO: Final = (
    "https://github.com/starkware-libs/stark-perpetual/blob/40f02826f783aa18a7401099c70afb29a8a8bbb1/"
    "src/services/perpetual/cairo/position/"
)
_HYPERLIQUID: Final = "https://hyperliquid.gitbook.io/hyperliquid-docs/trading/"
SOURCES: Final = {
    "v3 status": _CAIRO + "status.cairo",
    "v3 transitions": _CAIRO + "validate_state_transition.cairo",
    "v3 contracts": "https://help.dydx.exchange/en/articles/4800587-l2-perpetual-contract-specs",
    "v4 keeper": _CHAIN + "x/clob/keeper/liquidations.go",
    "v4 keeper's tests": _CHAIN + "x/clob/keeper/liquidations_test.go",
    "v4 perpetuals": _CHAIN + "x/perpetuals/lib/lib.go",
    "v4 genesis": _CHAIN + "testing/genesis.sh",
    "v4 liquidations": _DOCS + "trading/liquidations.mdx",
    "v4 margin": _DOCS + "trading/margin.mdx",
    "v4 web": "https://github.com/dydxprotocol/v4-web/blob/2248cb6/src/bonsai/calculators/subaccount.ts",
    "v4 portfolio": _DOCS.replace("concepts", "interaction") + "integration/integration-portfolio.mdx",
    "Hyperliquid tiers": _HYPERLIQUID + "margin-tiers",
    "Hyperliquid liquidations": _HYPERLIQUID + "liquidations",
    "Hyperliquid margining": _HYPERLIQUID + "margining",
    "Hyperliquid funding": _HYPERLIQUID + "funding",
    "Hyperliquid payments": "https://huggingface.co/datasets/ironflow/hyperliquid-funding",
    "v4 funding": _DOCS.replace("3e475b73231a5de7e5a8a55c54047d94578060e5", "85a2541848e9c32208482c7b46d2a95079f91afa")
    + "trading/funding.mdx",
    "Lighter liquidations": "https://docs.lighter.xyz/perpetual-futures/liquidations-and-insurance-fund",
    "TorchTrade": "https://github.com/TorchTrade/torchtrade/issues/344",
}
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
    return trading.trade(risk, CLOCK, account, containers.Leg(0, size, price, 0, risk.initial_ppm[0]))


def first_tick_past(price: Fraction, size: float) -> int | None:
    """The tick beyond a price at which equity and requirement are equal; None where it would be no price."""
    tick = floor(price * TICK) + 1 if size < 0 else ceil(price * TICK) - 1
    return tick if tick > 0 else None


# dYdX v4, "Isolated liquidation price" and "Cross liquidation price".


def test_dydx_v4_isolated_liquidation_price() -> None:
    """Published numbers, v4 liquidations: 1,000 dollars, short 3 ETH at 3,000, 5%: 3,174.60, equity there 476.2."""
    risk, account = market_of((3_000, 100_000, 50_000)), trader(1_000, (-3, 3_000))
    found = liquidation_price(risk, account, 0)
    assert found == first_tick_past(Fraction(10_000 * 100, 315), -3) == 317_461
    there = met_by_order(market_of((3_174.60, 100_000, 50_000)), account)
    assert (there.equity, there.maintenance) == (476_200_000, 476_190_000)
    # By the same formula a long of the same terms: (1,000 - 9,000) / (0.15 - 3) = 2,807.017.
    long = trader(1_000, (3, 3_000))
    assert liquidation_price(risk, long, 0) == first_tick_past(Fraction(8_000 * 100, 285), 3) == 280_701


def test_dydx_v4_cross_liquidation_price() -> None:
    """Published numbers, v4 liquidations: short 1.5 ETH at 3,000 (5%), long 1,000 STRK at 1.75 (10%): 3,380.95."""
    risk = market_of((3_000, 100_000, 50_000), (1.75, 200_000, 100_000))
    account = trader(1_000, (-1.5, 3_000), (1_000, 1.75))
    assert seen_at(risk, account, START).positions[1].maintenance_micros == 175 * DOLLAR
    found = liquidation_price(risk, account, 0)
    assert found == first_tick_past(Fraction(5_325_000, 1_575), -1.5) == 338_096


def dydx_price(equity: Fraction, size: Fraction, price: Fraction, fraction: Fraction, others: Fraction) -> Fraction:
    """p' = (e - s p - MMR_o) / (|s| MMF - s): v4 liquidations."""
    return (equity - size * price - others) / (abs(size) * fraction - size)


def hyperliquid_price(
    equity: Fraction, size: Fraction, price: Fraction, fraction: Fraction, others: Fraction
) -> Fraction:
    """price - side * (account value - maintenance) / size / (1 - l * side): Hyperliquid liquidations."""
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
    """Published formula, v4 liquidations and Hyperliquid liquidations: the same number in other words."""
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
    """Published numbers, TorchTrade: one unit long at 100, equity 5, 0.4%, another needs 4: 99 / 0.996 = 99.40.

    The common formula, which leaves the other's requirement out, says 95.38 (the issue's estimate: 95.40).
    """
    risk = market_of((100, 50_000, 4_000), (100, 50_000, 40_000))
    account = trader(5, (1, 100), (1, 100))
    assert liquidation_price(risk, account, 0) == first_tick_past(Fraction(99_000, 996), 1) == 9_939
    assert liquidation_price(market_of((100, 50_000, 4_000)), trader(5, (1, 100)), 0) == 9_538


# dYdX v4: bankruptcy price and fillable price of a liquidation, which are the two bounds of ours.


def bankruptcy_quote(equity: int, notionals: list[int], needed: list[int], every: int) -> int:
    """-DNNV - floor(TNC * |DMMR| / TMMR), micro-dollars received: v4 keeper, GetBankruptcyPriceInQuoteQuantums.

    The position's notional and requirement are before and after.
    """
    return notionals[0] - notionals[1] - equity * abs(needed[1] - needed[0]) // every


def fillable_price(
    equity: Fraction, notional: Fraction, size: Fraction, position: Fraction, every: Fraction, spread: Fraction
) -> Fraction:
    """(PNNV - ABR * SMMR * PMMR) / PS, ABR = 1 - TNC / TMMR within 0 and 1: v4 keeper, GetFillablePrice with BA = 1."""
    rating = min(max(1 - equity / every, Fraction(0)), Fraction(1))
    return (notional - rating * spread * position) / size


# Lots of 10^-8 BTC and of 10^-9 ETH, as the chain counts them, with ticks that make micro-dollars of one times one.
CHAIN_BTC, CHAIN_ETH = 10**8, 10**9
CHAIN_TICKS: Final = [500, 3]


def chain_account(dollars: int, btc: int, eth: int = 0) -> tuple[containers.Risk, containers.Account]:
    """BTC at 50,000 and ETH at 3,000 dollars, 20% and 10%; a quote balance, and lots of both."""
    risk = risk_of(CHAIN_TICKS, [100_000] * 2, [200_000] * 2, [0] * 2)
    held = {market: (lots, 0, 0) for market, lots in enumerate((btc, eth)) if lots}
    return risk, account_of(dollars * DOLLAR, held)


@pytest.mark.parametrize(
    ("dollars", "btc", "eth", "market", "closed", "quote"),
    [
        # Slightly below maintenance, at zero equity, below zero; whole positions and halves, long and short.
        (-4_501, CHAIN_BTC // 10, 0, 0, CHAIN_BTC // 10, 4_501_000_000),
        (5_499, -CHAIN_BTC // 10, 0, 0, -CHAIN_BTC // 10, -5_499_000_000),
        (-5_000, CHAIN_BTC // 10, 0, 0, CHAIN_BTC // 10, 5_000_000_000),
        (-5_000, CHAIN_BTC // 10, 0, 0, CHAIN_BTC // 20, 2_500_000_000),
        (5_000, -CHAIN_BTC // 10, 0, 0, -CHAIN_BTC // 20, -2_500_000_000),
        (5_000, -CHAIN_BTC // 10, 0, 0, -CHAIN_BTC // 10, -5_000_000_000),
        (-5_100, CHAIN_BTC // 10, 0, 0, CHAIN_BTC // 10, 5_100_000_000),
        (4_900, -CHAIN_BTC // 10, 0, 0, -CHAIN_BTC // 10, -4_900_000_000),
        # Two positions: longs, shorts, one of each.
        (-490, CHAIN_BTC // 250, CHAIN_ETH // 10, 1, CHAIN_ETH // 10, 294_000_000),
        (510, -CHAIN_BTC // 250, -CHAIN_ETH // 10, 1, -CHAIN_ETH // 10, -306_000_000),
        (110, CHAIN_BTC // 250, -CHAIN_ETH // 10, 1, -CHAIN_ETH // 10, -306_000_000),
        # Rounded up from 2,775.11 and from -2,775.11.
        (-13, CHAIN_BTC, 0, 0, 21_347, 2_776),
        (13, -CHAIN_BTC, 0, 0, -21_347, -2_775),
        # Worth more than its position costs: no price is a loss.
        (1, CHAIN_BTC, 0, 0, CHAIN_BTC, -1_000_000),
    ],
)
def test_dydx_v4_bankruptcy_quotes(dollars: int, btc: int, eth: int, market: int, closed: int, quote: int) -> None:
    """Published numbers, v4 keeper's tests (TestGetBankruptcyPriceInQuoteQuantums): the quote at the zero price."""
    risk, account = chain_account(dollars, btc, eth)
    assert closed * CHAIN_TICKS[market] + rescue.premium_of(risk, account, market, closed) == quote
    every = margin.sums(risk, account, 2)
    size, price = account.positions[market].size, CHAIN_TICKS[market]
    needed = [margin.requirement(price, lots, 100_000) for lots in (size, size - closed)]
    equity = dollars * DOLLAR + every.value
    assert bankruptcy_quote(equity, [size * price, (size - closed) * price], needed, every.maintenance) == quote


@pytest.mark.parametrize(
    ("dollars", "btc", "eth", "market", "spread", "price"),
    [
        (-4_501, CHAIN_BTC // 10, 0, 0, "0.1", 49_999),
        (-4_501, CHAIN_BTC // 10, 0, 0, "0.2", 49_998),
        (-4_501, CHAIN_BTC // 10, 0, 0, "1", 49_990),
        (5_499, -CHAIN_BTC // 10, 0, 0, "0.1", 50_001),
        (5_499, -CHAIN_BTC // 10, 0, 0, "0.2", 50_002),
        (-5_000, CHAIN_BTC // 10, 0, 0, "0.1", 49_500),
        (5_000, -CHAIN_BTC // 10, 0, 0, "0.1", 50_500),
        (-5_500, CHAIN_BTC // 10, 0, 0, "0.1", 49_500),
        (4_500, -CHAIN_BTC // 10, 0, 0, "0.1", 50_500),
        (-490, CHAIN_BTC // 250, CHAIN_ETH // 10, 1, "0.1", 2_976),
    ],
)
def test_dydx_v4_fillable_prices(dollars: int, btc: int, eth: int, market: int, spread: str, price: int) -> None:
    """Published numbers, v4 keeper's tests (TestGetFillablePrice): the formula that the next test holds the law to."""
    risk, account = chain_account(dollars, btc, eth)
    every, lots = margin.sums(risk, account, 2), account.positions[market].size
    notional = Fraction(lots * CHAIN_TICKS[market], DOLLAR)
    found = fillable_price(
        dollars + Fraction(every.value, DOLLAR),
        notional,
        Fraction(lots, (CHAIN_BTC, CHAIN_ETH)[market]),
        abs(notional) / 10,
        Fraction(every.maintenance, DOLLAR),
        Fraction(spread),
    )
    assert found == price


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("lots", [1, LOT // 10])
@pytest.mark.parametrize("other", [0.0, 3.0, -3.0])
@pytest.mark.parametrize(
    ("ratio", "is_bankruptcy"),
    [("0", True), ("0.2", True), ("0.5", True), ("0.6", True), ("0.61", False), ("0.8", False), ("0.998", False)],
)
def test_dydx_v4_bounds_of_a_liquidation(side: int, lots: int, other: float, ratio: str, is_bankruptcy: bool) -> None:
    """Published formula, v4 keeper, with v4 genesis' numbers (BA = 1, SMMR = 1.5): neither bound is passed by a tick.

    1.5 (1 - E/MM) = E/MM at 0.6: below it the bankruptcy price binds, above it the fillable price.
    """
    risk = market_of((50_000, 200_000, 100_000), (3_000, 200_000, 100_000))
    maintenance = 5_000 + round(abs(other) * 300)
    equity = Fraction(ratio) * maintenance
    account = trader(float(equity), (side, 50_000), (other, 3_000))
    every = margin.sums(risk, account, 2)
    assert margin.collateral(account) + every.value == equity * DOLLAR
    assert every.maintenance == maintenance * DOLLAR
    closed = side * lots
    needed = [abs(side * LOT - gone) * 50_000 * TICK // 10 for gone in (0, closed)]
    notionals = [(side * LOT - gone) * 50_000 * TICK for gone in (0, closed)]
    quote = bankruptcy_quote(int(equity * DOLLAR), notionals, needed, maintenance * DOLLAR)
    fillable = fillable_price(
        equity, Fraction(side * 50_000), Fraction(side), Fraction(5_000), Fraction(maintenance), Fraction(3, 2)
    )
    bounds = [Fraction(quote, closed), fillable * TICK]
    worst = max(bounds) if side > 0 else min(bounds)
    assert (worst == bounds[0]) == is_bankruptcy
    # To the account's good, as v4 rounds a limit price to its ticks.
    edge = ceil(worst) if side > 0 else floor(worst)
    assert rescue.check_liquidation(risk, risk.price, account, 1, 0, edge, lots)[0] == codes.OK
    assert rescue.check_liquidation(risk, risk.price, account, 1, 0, edge - side, lots) == (codes.LIQUIDATION_PRICE, 0)


# dYdX v3 (StarkEx Perpetual). Its own guide is no longer served: of what it shared with v4, v4's pages are named.


@pytest.mark.parametrize("dollars", [1_874.999999, 1_875.0, 1_875.000001])
def test_dydx_v3_is_well_leveraged_exactly_where_we_are_not_below(dollars: float) -> None:
    """Published formula, v3 status: TR <= TV * 2^32 in its fixed points, at the edge of 60,000 dollars times 2^-5."""
    price, size = 60_000, -1
    risk, account = market_of((price, 50_000, 31_250)), trader(dollars, (size, price))
    # Micro-dollars a lot in 32.32; a risk factor of 0.32, which holds 2^-5 exactly.
    internal, factor = (price * TICK) << 32, (31_250 << 32) // 10**6
    value = margin.collateral(account) - account.positions[0].cost
    total_value = (value << 32) + round(size * LOT) * internal
    total_risk = abs(round(size * LOT)) * internal * factor
    assert (total_risk <= total_value << 32) == (met_by_order(risk, account).room >= 0)


def test_dydx_v3_account_value_and_free_collateral() -> None:
    """Published formula, v3 status and v4 portfolio: value = Q + sum(S P), free collateral = value - sum |S P I|.

    The fractions are v3 contracts': 5% and 3%.

    Q is what remains of the deposit after paying for the positions: our collateral less the positions' costs.
    """
    risk = market_of((60_000, 50_000, 30_000), (3_000, 50_000, 30_000))
    account = trader(10_000, (1, 58_000), (-10, 3_100))
    quote = 10_000 - 58_000 + 31_000
    total = quote + 60_000 - 30_000
    seen = seen_at(risk, account, START)
    assert seen.equity_micros == total * DOLLAR == 13_000 * DOLLAR
    assert seen.initial_micros == (3_000 + 1_500) * DOLLAR
    assert seen.free_collateral_micros == 8_500 * DOLLAR
    assert seen.maintenance_micros == 2_700 * DOLLAR


def test_dydx_v3_a_reduction_passes_and_a_growth_does_not() -> None:
    """Published formula, v3 transitions: not well leveraged, then holdings only shrink and TV/TR does not fall."""
    risk, account = market_of((60_000, 50_000, 30_000)), trader(1_000, (1, 60_000))
    assert met_by_order(risk, account).room < 0
    price = 60_000 * TICK
    assert traded(risk, account, -LOT // 10, price).code == codes.OK
    assert traded(risk, account, LOT // 10, price).code == codes.MARGIN
    # 100 dollars of equity for a tenth of 1,800 of requirement: ratio kept. Any worse, and it falls.
    kept = price - 100 * DOLLAR // (LOT // 10)
    assert traded(risk, account, -LOT // 10, kept).code == codes.OK
    assert traded(risk, account, -LOT // 10, kept - 1).code == codes.MARGIN


# dYdX v4: liquidity tiers and the definitions of its pages.


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
    """Published numbers, v4 genesis: MMR = ceil(ceil(|N| base) fraction); ours rounds once, a micro-dollar less."""
    assert initial * fraction == maintenance * 10**6, tier
    for notional in (1, 33, 999_999, 7_777_777_777, 123_456_789_012_345):
        base = ceil(Fraction(notional * initial, 10**6))
        theirs = ceil(Fraction(base * fraction, 10**6))
        assert margin.requirement(notional, 1, initial) == base
        assert 0 <= theirs - margin.requirement(notional, 1, maintenance) <= 1


def test_dydx_v4_usage_leverage_and_buying_power() -> None:
    """Published formula, v4 web and v4 portfolio: 1 - free / equity, sum |N| / equity, free collateral / IMF."""
    risk, account = (
        market_of((60_000, 20_000, 12_000), (3_000, 50_000, 30_000)),
        trader(4_000, (0.5, 60_000), (-2, 3_000)),
    )
    seen = seen_at(risk, account, START)
    assert (seen.initial_micros, seen.free_collateral_micros) == (900 * DOLLAR, 3_100 * DOLLAR)
    assert seen.margin_usage_ppm == 10**6 - 3_100 * 10**6 // 4_000 == 225_000
    assert seen.leverage_ppm == 9 * 10**6
    # Without fees and positions, what the law lets through is the published number to the lot.
    world = World(2, dollars=1_000)
    globals = world.engine.globals
    globals.posting_fee = globals.markets[BTC].taker_fee_ppm = 0
    power = buying_power(globals, world.engine.view.clock(), world.engine.account(FIRST), BTC, {})
    assert power.buy_lots == power.sell_lots == 1_000 * DOLLAR * 10**6 // 20_000 // PRICES[BTC]


@pytest.mark.parametrize(
    ("open_notional", "percent"),
    [(0, 5), (25, 5), (27.5, 14.5), (30, 24), (37.5, 52.5), (49.99, 99.962), (50, 100), (75, 100)],
)
def test_dydx_v4_initial_fraction_by_open_interest(open_notional: float, percent: float) -> None:
    """Published formula, v4 margin: min(base + max(s * (1 - base), 0), 100%), s = (OI - lower) / (upper - lower).

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
        assert trading.trade(risk, CLOCK, account, containers.Leg(0, size, price, 0, fraction)).code == code
    poor = trader(50, (100, 10))
    assert trading.trade(risk, CLOCK, poor, containers.Leg(0, -size // 2, price, 0, fraction)).code == codes.OK


def test_dydx_v4_a_trader_caps_the_leverage() -> None:
    """Published formula, v4 perpetuals: 10 in a market of 20 asks for a tenth, 50 changes nothing: the stricter."""
    risk = market_of((60_000, 50_000, 30_000))
    for leverage, dollars in ((10, 6_000), (50, 3_000), (0, 3_000)):
        bound = 10**6 // leverage if leverage else 0
        for short, code in ((0, codes.OK), (1, codes.MARGIN)):
            account = account_of(dollars * DOLLAR - short, {}, initial_ppm=bound)
            assert traded(risk, account, LOT, 60_000 * TICK).code == code
        held = msgspec.structs.replace(trader(dollars, (1, 60_000)), initial_ppm=bound)
        assert met_by_order(risk, held).initial == dollars * DOLLAR
        assert met_by_order(risk, held).maintenance == 1_800 * DOLLAR


# Hyperliquid: its tiers, its liquidations, and the withdrawal rule of its margining page.


@pytest.mark.parametrize(("leverage", "maintenance"), [(40, 12_500), (25, 20_000), (20, 25_000), (10, 50_000)])
def test_hyperliquid_maintenance_is_half_of_the_initial_at_most_leverage(leverage: int, maintenance: int) -> None:
    """Published numbers, Hyperliquid tiers: 1 / (2 * maximum leverage) up to where tiers by size begin; 2.5% at 20."""
    assert maintenance == 10**6 // (2 * leverage)
    risk, account = market_of((50_000, 10**6 // leverage, maintenance)), trader(100_000, (1, 50_000))
    assert met_by_order(risk, account).maintenance == 50_000 * DOLLAR // (2 * leverage)


def test_hyperliquid_cross_margin_ratio() -> None:
    """Published formula, Hyperliquid liquidations: maintenance / account value; liquidation below maintenance."""
    risk, account = market_of((50_000, 25_000, 12_500)), trader(1_250, (1, 50_000))
    assert seen_at(risk, account, START).margin_ratio_ppm == 500_000
    assert next_level(0, met_by_order(risk, account)) == 50
    edge = trader(625, (1, 50_000))
    assert seen_at(risk, edge, START).margin_ratio_ppm == 10**6
    assert met_by_order(risk, edge).room == 0
    assert liquidation_price(risk, edge, 0) == 50_000 * TICK - 1


@pytest.mark.parametrize(("dollars", "withdrawable"), [(12_000, 2_000), (10_000, 0), (9_000, 0)])
def test_hyperliquid_keeps_a_tenth_of_the_open_notional(dollars: int, withdrawable: int) -> None:
    """Published formula, Hyperliquid margining: max(sum of initial, 10% of notional): of 100,000 at 40x 10,000 stay."""
    risk, account = market_of((50_000, 25_000, 12_500)), trader(dollars, (2, 50_000))
    assert seen_at(risk, account, START).withdrawable_micros == withdrawable * DOLLAR
    amount = withdrawable * DOLLAR
    if amount:
        assert custody.check_payment(risk, CLOCK, account, amount, account.settled) == codes.OK
    assert custody.check_payment(risk, CLOCK, account, amount + 1, account.settled) == codes.MARGIN


# Funding: Hyperliquid, and dYdX v4 where the two coincide.

_BILLION: Final = 10**9


def hourly(eight_hours: str) -> int:
    """A rate that is said for eight hours, in ppb an hour."""
    rate = Fraction(eight_hours) * _BILLION / 8
    assert rate.denominator == 1
    return int(rate)


def terms(interest: str, damping: str, cap_hourly: str = "0.04") -> int:
    """Terms of funding: interest and damping for eight hours, the cap for one."""
    return encoding.funding_terms(int(Fraction(cap_hourly) * _BILLION), hourly(interest), hourly(damping))


HYPERLIQUID_TERMS: Final = terms("0.0001", "0.0005")


def paid(rate_ppb: int, size: float, price: int, hours: int = 1) -> int:
    """What a position of so many coins pays in whole hours of ticks, micro-dollars."""
    index = 0
    for _ in range(hours * constants.HOUR // constants.TICK_STEP):
        index = markets.accrued(index, rate_ppb, price * TICK, constants.TICK_STEP)
    return margin.ceil_div(round(size * LOT) * index, constants.FUNDING_SCALE)


def test_hyperliquid_funding_of_a_book_a_percent_above() -> None:
    """Published numbers, Hyperliquid funding: bid 10,100, spot 10,000: 0.95% for eight hours, an eighth each hour."""
    bids, asks = [(10_100 * TICK, 100 * LOT)], [(10_200 * TICK, 100 * LOT)]
    premium = premium_ppb(bids, asks, Measured(10_000 * TICK), PremiumRule(20_000 * DOLLAR, 2**31 - 1))
    assert premium == hourly("0.01")
    rate = markets.funding_rate(HYPERLIQUID_TERMS, premium)
    assert rate == hourly("0.0095") == 1_187_500
    assert paid(rate, 10, 10_000) == 118_750_000
    # A short gets a micro-dollar less: what rounds, rounds against the account.
    assert paid(rate, -10, 10_000) == -118_749_999


def test_hyperliquid_interest_without_a_premium() -> None:
    """Published numbers, Hyperliquid funding: 0.01% for eight hours, 0.00125% an hour: 12.5 ppm; 4% an hour at most."""
    for premium in ("0", "0.0001", "0.0006", "-0.0004"):
        assert markets.funding_rate(HYPERLIQUID_TERMS, hourly(premium)) == 12_500
    for sign in (1, -1):
        assert markets.funding_rate(HYPERLIQUID_TERMS, sign * hourly("0.3205")) == sign * 40_000_000
        assert markets.funding_rate(HYPERLIQUID_TERMS, sign * hourly("0.5")) == sign * 40_000_000
    assert paid(12_500, 1, 60_000, 24) == 24 * 750_000


@pytest.mark.parametrize(
    ("premium", "rate"),
    [
        ("-0.000691", "-0.000391"),
        ("-0.000281", "0.000019"),
        ("-0.000551", "-0.000251"),
        ("-0.000913", "-0.000613"),
        ("-0.000214", "0.000086"),
        ("-0.001782", "-0.001482"),
        ("-0.00032", "-0.00002"),
    ],
)
def test_hyperliquid_payments_of_2023(premium: str, rate: str) -> None:
    """Published numbers, Hyperliquid payments: of 12 May 2023, a premium each and the rate: then damped by 0.03%."""
    of_2023 = terms("0.0001", "0.0003")
    assert markets.funding_rate(of_2023, hourly(premium)) == hourly(rate)


def test_dydx_v4_funding_of_a_cross_market() -> None:
    """Published numbers, v4 funding: no interest, a cap of 600% * (5% - 3%) = 12% for eight hours."""
    cross = terms("0", "0", "0.015")
    assert markets.funding_rate(cross, hourly("0.08")) == hourly("0.08")
    for sign in (1, -1):
        assert markets.funding_rate(cross, sign * hourly("0.12")) == sign * hourly("0.12") == sign * 15_000_000
        assert markets.funding_rate(cross, sign * hourly("0.2")) == sign * 15_000_000


def test_dydx_v4_funding_of_an_isolated_market() -> None:
    """Published numbers, v4 funding: 0.125 basis points an hour, 1 in eight hours, where the book is at the price."""
    assert markets.funding_rate(terms("0.0001", "0.0001"), 0) == 12_500


# Lighter.


def test_lighter_account_value_and_the_three_states() -> None:
    """Published formula, Lighter liquidations: AV = collateral + sum((mark - entry) * size), M <= AV < I, AV < M."""
    risk = market_of((51_000, 100_000, 60_000), (2_900, 100_000, 60_000))
    for collateral, is_healthy, is_liquidated in ((7_000, True, False), (4_000, False, False), (2_000, False, True)):
        now = met_by_order(risk, trader(collateral, (1, 50_000), (-5, 3_000)))
        assert now.equity == (collateral + 1_000 + 500) * DOLLAR
        assert (now.initial, now.maintenance) == (6_550 * DOLLAR, 3_930 * DOLLAR)
        assert (now.equity >= now.initial, now.room < 0) == (is_healthy, is_liquidated)
    pre = trader(4_000, (1, 50_000), (-5, 3_000))
    # Pre-liquidation: a position only shrinks.
    assert traded(risk, pre, -LOT // 2, 51_000 * TICK).code == codes.OK
    assert traded(risk, pre, LOT // 2, 51_000 * TICK).code == codes.MARGIN


@pytest.mark.parametrize(("size", "lots"), [(1, 2_500), (-1, -2_500)])
def test_lighter_zero_price_keeps_the_margin_ratio(size: int, lots: int) -> None:
    """Published formula, Lighter liquidations: what keeps AV / MMR is P0 = mark * (1 - side * M * AV / MMR)."""
    mark = 50_000
    risk, account = market_of((mark, 100_000, 60_000)), trader(1_500, (size, mark))
    before = met_by_order(risk, account)
    assert (before.equity, before.maintenance) == (1_500 * DOLLAR, 3_000 * DOLLAR)
    zero = Fraction(mark * TICK) * (1 - size * Fraction(60_000, 10**6) * Fraction(before.equity, before.maintenance))
    assert zero == 4_850_000 if size > 0 else zero == 5_150_000
    closed = traded(risk, account, -lots, int(zero))
    assert closed.code == codes.OK
    after = met_by_order(risk, closed.account)
    assert after.equity * before.maintenance == before.equity * after.maintenance
    assert traded(risk, account, -lots, int(zero) - size).code == codes.MARGIN


def test_every_vector_says_what_was_published_and_where() -> None:
    vectors = {name: each.__doc__ for name, each in vars(sys.modules[__name__]).items() if name.startswith("test_")}
    del vectors["test_every_vector_says_what_was_published_and_where"]
    for name, text in vectors.items():
        assert re.match(r"Published (numbers|formula), ", text or ""), name
        assert any(source in (text or "") for source in SOURCES), name
    assert all(any(source in (text or "") for text in vectors.values()) for source in SOURCES)
