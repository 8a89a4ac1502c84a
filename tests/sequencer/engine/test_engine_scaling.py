"""Open-interest scaling in the venue: what may be ordered and filled falls as a market fills and its fund runs low."""

import msgspec
import pytest

from prover.state.genesis import DEVNET_MARKETS
from prover.state.trial import one_side
from prover.stf import codes, margin
from sequencer.views.account import buying_power
from tests.sequencer.node_world import BTC, BUY, DOLLAR, ETH, FIRST, PRICES, SELL, World, deposit, owner

PRICE = PRICES[BTC]
MILLION = 10**6 * DOLLAR
LISTINGS = (
    msgspec.structs.replace(DEVNET_MARKETS[BTC], interest_lower_micros=MILLION, interest_upper_micros=2 * MILLION),
    *DEVNET_MARKETS[1:],
)


def lots_of(dollars: int) -> int:
    """Lots of BTC worth so many dollars."""
    return dollars * DOLLAR // PRICE


def market(fund_dollars: int = 100_000, interest_dollars: int = 0) -> World:
    """Four traders with 100,000 dollars; traders 0 and 1 hold the open interest."""
    world = World(4, listings=LISTINGS, funds=False)
    if fund_dollars:
        assert world.process(deposit(owner(9), MILLION, ETH + 1)).code == codes.OK
        assert world.process(deposit(owner(9), fund_dollars * DOLLAR, BTC + 1)).code == codes.OK
    if interest_dollars:
        world.order(0, SELL, PRICE, lots_of(interest_dollars))
        assert world.order(1, BUY, PRICE, lots_of(interest_dollars)).status == "filled"
    return world


@pytest.mark.parametrize(
    ("interest", "ppm"), [(0, 20_000), (1_000_000, 20_000), (1_250_000, 265_000), (1_500_000, 510_000)]
)
def test_the_fraction_grows_from_the_lower_to_the_upper_bound(interest: int, ppm: int) -> None:
    """dYdX v4: base + (1 - base) * (notional - lower) / (upper - lower)."""
    listed, risk = market().engine.globals.markets[BTC], market().engine.globals.risk
    seen = margin.scaled_ppm(listed, PRICE, lots_of(interest), risk.initial_ppm[BTC])
    # A lot of 0.6 dollars is all that rounding may take away.
    assert ppm - 1 <= seen <= ppm


def test_an_empty_fund_lets_nobody_grow_on_credit() -> None:
    world = market(fund_dollars=0)
    assert world.order(0, SELL, PRICE, lots_of(101_000)).code == codes.TAKER_MARGIN
    assert world.order(0, SELL, PRICE, lots_of(90_000)).status == "resting"
    # No market is without a bound: without a fund nobody is given credit in the others either.
    assert world.order(1, SELL, PRICES[ETH], 500_000, market=ETH).code == codes.TAKER_MARGIN
    world.check()


def test_a_small_fund_lowers_the_bounds() -> None:
    """25 and 50 times 10,000 dollars come before the market's own million and two."""
    world = market(fund_dollars=10_000, interest_dollars=240_000)
    assert world.order(2, BUY, PRICE, lots_of(300_000)).code == codes.TAKER_MARGIN
    assert world.process(deposit(owner(9), 90_000 * DOLLAR, BTC + 1)).code == codes.OK
    assert world.order(2, BUY, PRICE, lots_of(300_000)).status == "resting"
    world.check()


def test_an_order_is_admitted_up_to_the_buying_power_and_no_lot_further() -> None:
    world = market(interest_dollars=1_000_000)
    engine = world.engine
    globals, clock, account = engine.globals, engine.view.clock(), engine.account(FIRST + 2)
    power = buying_power(globals, clock, account, BTC, {})
    # n * (0.02 + 0.98 n / 1,000,000) = 100,000 at n = 309,398 dollars; fees take a little of it.
    assert lots_of(308_500) < power.buy_lots < lots_of(309_398)
    assert power.buy_lots == power.sell_lots
    # The other market's power is what it always was.
    assert buying_power(globals, clock, account, ETH, {}).buy_lots * PRICES[ETH] > 4_800_000 * DOLLAR
    for lots, code in ((power.buy_lots, codes.OK), (power.buy_lots + 1, codes.MARGIN)):
        fee = margin.ceil_div(lots * PRICE * globals.markets[BTC].taker_fee_ppm, 10**6) + globals.posting_fee
        assert one_side(globals, clock, account, BTC, lots, PRICE, fee).code == code
    assert world.order(2, BUY, PRICE, power.buy_lots + 1).code == codes.TAKER_MARGIN
    assert world.order(2, BUY, PRICE, power.buy_lots).status == "resting"
    world.check()


def test_who_holds_may_close_however_full_the_market_is() -> None:
    world = market(interest_dollars=1_000_000)
    world.order(2, SELL, PRICE, lots_of(150_000))
    world.order(3, BUY, PRICE, lots_of(150_000))
    # 1.15 million of open interest: another dollar of it stands under a sixth, 170,000 dollars for all of trader 1's.
    assert world.order(1, BUY, PRICE, lots_of(1_000), slot=2).code == codes.TAKER_MARGIN
    assert world.order(0, BUY, PRICE, lots_of(500_000), slot=2, reduce_only=1).status == "resting"
    assert world.order(1, SELL, PRICE, lots_of(500_000), slot=2).status == "filled"
    globals = world.engine.globals
    assert globals.markets[BTC].open_interest == lots_of(1_000_000) + lots_of(150_000) - lots_of(500_000)
    world.check()


def test_a_maker_that_the_market_outgrew_leaves_and_the_next_one_serves() -> None:
    world = market(interest_dollars=900_000)
    for trader in (4, 5):
        world.process(deposit(owner(trader), 100_000 * DOLLAR))
    # Its 250,000 dollars need a sixth at 1.15 million of open interest, and nearly a half at 1.45.
    assert world.order(2, SELL, PRICE + 10, lots_of(250_000)).status == "resting"
    assert world.order(3, SELL, PRICE + 20, lots_of(50_000)).status == "resting"
    world.order(4, SELL, PRICE, lots_of(300_000))
    assert world.order(5, BUY, PRICE, lots_of(300_000)).status == "filled"
    taken = world.order(0, BUY, PRICE + 20, lots_of(250_000), slot=2, reduce_only=1)
    assert [(fill.maker, fill.size) for fill in taken.fills] == [(FIRST + 3, lots_of(50_000))]
    assert [trader for trader, _, _ in world.resting()] == [0]
    # As much of it as still fits would have been taken.
    assert world.order(2, SELL, PRICE + 20, lots_of(150_000), slot=2).status == "filled"
    world.check()
