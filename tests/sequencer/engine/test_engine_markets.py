"""The life of a market in the venue: listed, reduced, settled over an hour, folded at each account's next touch."""

from typing import Any

from prover.signing import operations
from prover.standing import won_where_over
from prover.state.genesis import TIERS, label
from prover.stf import codes, constants, containers, encoding, margin
from sequencer.engine.effects import Processed
from sequencer.engine.engine import Engine
from sequencer.sequencing.staged_store import BufferedStore
from sequencer.views.account import outlook
from sequencer.views.contribution import Moves, contribution
from sequencer.views.explain import explain
from sequencer.views.markets import index_of, market_views, names
from sequencer.views.preview import preview_order, preview_request
from tests.sequencer.node_world import (
    BTC,
    BUY,
    DOLLAR,
    ETH,
    FIRST,
    LOTS,
    PRICES,
    SELL,
    World,
    leave,
    order,
    owner,
    request,
    tick,
)

DOGE = 3
DOGE_PRICE = 250_000


def changed(world: World, market: int, **changes: Any) -> Processed:
    """An entry of the governor for a market that stands, or the next one, as `small` tier unless changed."""
    globals = world.engine.globals
    tier = TIERS["small"]
    now = globals.markets[market] if market < globals.market_count else None
    fields: dict[str, Any] = {
        "market": market,
        "status": constants.MARKET_OPEN if now is None else now.status,
        "label": label("DOGE", 3) if now is None else now.label,
        "initial_ppm": tier.initial_ppm if now is None else globals.risk.initial_ppm[market],
        "maintenance_ppm": tier.maintenance_ppm if now is None else globals.risk.maintenance_ppm[market],
        "maker_fee_ppm": 100 if now is None else now.maker_fee_ppm,
        "taker_fee_ppm": 450 if now is None else now.taker_fee_ppm,
        "band_ppm": tier.band_ppm if now is None else now.band_ppm,
        "unwind_band_ppm": tier.unwind_band_ppm if now is None else now.unwind_band_ppm,
        "funding_cap_ppb": tier.funding_cap_ppb if now is None else encoding.funding_cap(now.funding_terms),
        "funding_interest_ppb": 0,
        "funding_damping_ppb": 0,
        "price": DOGE_PRICE if now is None else 0,
        "minimum_notional": 1 if now is None else now.minimum_notional,
        "interest_lower": tier.interest_lower_micros if now is None else now.interest_lower,
        "interest_upper": tier.interest_upper_micros if now is None else now.interest_upper,
    }
    payload = operations.market_payload(containers.Parameters(**(fields | changes)))
    return world.process(operations.entry_bytes(constants.SET_MARKET, containers.NOBODY, world.now, payload))


def ticked(world: World, prices: tuple[int, ...], after: int = constants.TICK_STEP) -> None:
    """A tick so much later."""
    world.seal()
    world.now += after
    assert world.process(tick(world.now, prices, (0,) * len(prices), world.domain)).code == codes.OK


def settled(world: World, up: tuple[int, ...]) -> None:
    """ETH settles in the first full hour that begins an hour later: half of it at the old price, half at another."""
    begin = -(-(world.now + constants.HOUR) // constants.HOUR) * constants.HOUR
    ticked(world, PRICES, begin - world.now)
    for minute in range(60):
        ticked(world, PRICES if minute < 30 else up, 60_000)
    assert world.engine.globals.markets[ETH].status == constants.MARKET_SETTLING
    ticked(world, up)
    assert world.engine.globals.markets[ETH].status == constants.MARKET_SETTLED


def test_a_listed_market_is_traded_from_its_first_tick() -> None:
    world = World(traders=2)
    assert changed(world, DOGE).code == codes.OK
    assert world.order(0, SELL, DOGE_PRICE, LOTS, market=DOGE).code == codes.NO_MARKET, "no price yet"
    world.seal()
    world.now += constants.TICK_STEP
    assert world.process(tick(world.now, PRICES)).code == codes.QUORUM, "three prices are too few"
    assert world.process(tick(world.now, (*PRICES, DOGE_PRICE), (0,) * 4)).code == codes.OK
    assert world.order(0, SELL, DOGE_PRICE, LOTS, market=DOGE).status == "resting"
    assert world.order(1, BUY, DOGE_PRICE, LOTS, market=DOGE).status == "filled"
    assert world.position(1, DOGE) == LOTS
    assert changed(world, DOGE + 2).code == codes.NO_MARKET
    world.check()


def test_a_market_ends_at_the_mean_of_an_hour() -> None:
    world = World(traders=3)
    assert world.order(0, SELL, PRICES[ETH], LOTS, market=ETH).status == "resting"
    assert world.order(1, BUY, PRICES[ETH], LOTS, market=ETH).status == "filled"
    assert world.order(2, BUY, PRICES[ETH] - 10, LOTS, market=ETH).status == "resting"
    assert changed(world, ETH, status=constants.MARKET_REDUCE_ONLY).code == codes.OK
    assert world.resting(ETH) == [], "what would grow is taken out of the book"
    assert changed(world, ETH, status=constants.MARKET_SETTLING).code == codes.TOO_SOON
    ticked(world, PRICES, constants.PARAMETER_PERIOD)
    assert changed(world, ETH, status=constants.MARKET_SETTLING).code == codes.OK
    # Half an hour at the old price, half at one that is 300 dollars higher.
    up = (PRICES[BTC], PRICES[ETH] + 30_000, PRICES[2])
    settled(world, up)
    market = world.engine.globals.markets[ETH]
    assert (market.status, market.open_interest) == (constants.MARKET_SETTLED, 0)
    mean = PRICES[ETH] + 15_000
    assert world.engine.globals.risk.price[ETH] == mean
    ticked(world, up)
    assert world.engine.globals.risk.price[ETH] == mean, "for ever"
    again = changed(world, ETH, status=constants.MARKET_OPEN, initial_ppm=20_000, maintenance_ppm=12_000)
    assert again.code == codes.NO_MARKET
    # The position is there until its account is touched, and money afterwards.
    assert world.position(1, ETH) == LOTS
    before = margin.collateral(world.engine.account(FIRST + 1))
    paid = world.request(constants.WITHDRAW, 1, amount=DOLLAR, recipient=b"\x77" * 20)
    assert paid.code == codes.OK
    row = world.engine.account(FIRST + 1)
    assert encoding.unpack(row.positions[ETH]).size == 0
    assert margin.collateral(row) == before - DOLLAR - world.engine.globals.posting_fee + LOTS * 15_000
    world.check()


def ended(world: World, up: tuple[int, ...]) -> None:
    """ETH comes to its end: half an hour at the old price, half at another."""
    assert changed(world, ETH, status=constants.MARKET_REDUCE_ONLY).code == codes.OK
    ticked(world, PRICES, constants.PARAMETER_PERIOD)
    assert changed(world, ETH, status=constants.MARKET_SETTLING).code == codes.OK
    settled(world, up)


def indebted(traders: int = 2) -> World:
    """The first trader has won what the second has not, and the market in which they did is over."""
    world = World(traders=traders, dollars=1_000)
    for trader, side in ((0, SELL), (1, BUY)):
        assert world.order(trader, side, PRICES[ETH], 30_000, market=ETH).code == codes.OK
    # Two dollars of loss on each dollar of margin, between two ticks.
    ended(world, (PRICES[BTC], PRICES[ETH] * 60 // 100, PRICES[2]))
    assert owed(world) > 0
    return world


def owed(world: World) -> int:
    """What the second trader is below zero; micro-dollars."""
    row = world.engine.account(FIRST + 1)
    return -margin.collateral(margin.settle(world.engine.globals.risk, row, world.now)[0])


def test_whoever_a_settlement_leaves_in_debt_is_called_and_who_won_it_there_pays() -> None:
    world = indebted()
    debt = owed(world)
    ticked(world, PRICES)
    for index in (FIRST, FIRST + 1):
        assert world.engine.account(index).positions[ETH] is containers.EMPTY
    pool = world.engine.globals.pool
    assert (owed(world), pool.receivable, pool.owed) == (0, debt, 0)
    # The winner's own profit, not his deposit.
    winner, _ = margin.settle(world.engine.globals.risk, world.engine.account(FIRST), world.now)
    assert 0 <= winner.fresh < world.engine.account(FIRST).fresh
    world.check()


def test_no_more_are_touched_than_have_won_what_is_missing() -> None:
    world = World(traders=4, dollars=1_000)
    # One has lost what two have won; the first of those alone has won what is missing.
    for trader, lots in ((0, 20_000), (2, 5_000), (3, 5_000)):
        assert world.order(trader, SELL, PRICES[ETH], lots, market=ETH).code == codes.OK
    assert world.order(1, BUY, PRICES[ETH], 30_000, market=ETH).code == codes.OK
    ended(world, (PRICES[BTC], PRICES[ETH] * 60 // 100, PRICES[2]))
    risk = world.engine.globals.risk
    assert 0 < owed(world) < won_where_over(risk, world.engine.account(FIRST))[0]
    ticked(world, PRICES)
    left = [world.engine.account(FIRST + trader).positions[ETH] is not containers.EMPTY for trader in range(4)]
    assert (owed(world), left) == (0, [False, False, True, True])
    world.check()


def test_a_crowd_of_debts_takes_a_part_of_the_places() -> None:
    """Twenty have won what twenty others owe: at each tick sixteen are touched, and other rescues have the rest."""
    world = World(traders=40, dollars=1_000)
    for trader in range(40):
        side = SELL if trader < 20 else BUY
        assert world.order(trader, side, PRICES[ETH], 30_000, market=ETH).code == codes.OK
    ended(world, (PRICES[BTC], PRICES[ETH] * 60 // 100, PRICES[2]))
    left: list[int] = []
    for _ in range(4):
        ticked(world, PRICES)
        left.append(sum(world.position(trader, ETH) != 0 for trader in range(40)))
    # Three have won what is not missing, and nobody touches them.
    assert left == [24, 8, 3, 3]
    assert world.engine.globals.pool.owed == 0
    world.check()


def test_nobody_is_touched_for_a_debt_that_is_not_there() -> None:
    world = World(traders=2)
    for trader, side in ((0, SELL), (1, BUY)):
        assert world.order(trader, side, PRICES[ETH], LOTS, market=ETH).code == codes.OK
    ended(world, PRICES)
    for _ in range(4):
        ticked(world, PRICES)
    assert world.position(1, ETH) == LOTS


def test_whoever_leaves_a_debt_behind_is_called_after_a_restart_too() -> None:
    world = indebted()
    left = world.process(leave(world.now - 1, FIRST + 1, owner(1)))
    assert left.code == codes.OK
    assert world.engine.account(FIRST + 1).positions == [containers.EMPTY] * constants.MARKETS
    debt = owed(world)
    assert debt > 0
    world.seal()
    world.engine = Engine(BufferedStore(world.store), world.domain)
    for _ in range(3):
        ticked(world, PRICES)
    assert (owed(world), world.engine.globals.pool.receivable) == (0, debt)
    world.check()


def test_a_settled_position_is_shown_as_money_before_its_account_is_touched() -> None:
    world = World(traders=2)
    for trader, side in ((0, SELL), (1, BUY)):
        assert world.order(trader, side, PRICES[ETH], LOTS, market=ETH).code == codes.OK
    ended(world, PRICES)
    engine = world.engine
    told = outlook(engine.globals, engine.view.clock(), FIRST + 1, engine.account(FIRST + 1), {})
    assert told.positions == []
    assert told.collateral_micros == margin.collateral(world.engine.account(FIRST + 1))
    assert market_views(engine.globals)[ETH].status == "settled"
    assert [row.market for row in told.buying_power if row.buy_lots] == ["BTC", "SOL"]


def test_money_in_a_market_s_last_hour_stays_until_its_mean_is_known() -> None:
    world = World(traders=2)
    for trader, side in ((0, SELL), (1, BUY)):
        assert world.order(trader, side, PRICES[ETH], 300_000, market=ETH).code == codes.OK
    free = 100_000 * DOLLAR - 90_000 * DOLLAR
    assert changed(world, ETH, status=constants.MARKET_REDUCE_ONLY).code == codes.OK
    ticked(world, PRICES, constants.PARAMETER_PERIOD)
    assert changed(world, ETH, status=constants.MARKET_SETTLING).code == codes.OK
    for _ in range(4):
        ticked(world, PRICES)
    # 90,000 dollars of ether count in full; before they counted a tenth.
    asked = {"recipient": b"\x77" * 20}
    assert world.request(constants.WITHDRAW, 1, amount=free, **asked).code == codes.MARGIN
    assert world.request(constants.WITHDRAW, 1, amount=free - 1_000 * DOLLAR, slot=2, **asked).code == codes.OK
    world.check()


def test_markets_of_one_name_are_told_apart() -> None:
    world = World(traders=1)
    for market, text in ((3, label("BTC", 2)), (4, b"\xff\x1b[31m".ljust(31, b"\x00") + b"\x02"), (5, label("0", 0))):
        assert changed(world, market, label=text).code == codes.OK
    globals = world.engine.globals
    assert names(globals) == ["BTC", "ETH", "SOL", "BTC#3", "??[31m", "0#5"]
    assert [index_of(globals, name) for name in names(globals)] == list(range(6))
    assert len({row.name for row in market_views(globals)}) == 6


def test_an_account_that_holds_something_settled_is_explained_previewed_and_shocked() -> None:
    world = World(traders=2)
    for market, price in ((ETH, PRICES[ETH]), (BTC, PRICES[BTC])):
        for trader, side in ((0, SELL), (1, BUY)):
            assert world.order(trader, side, price, LOTS, market=market, slot=1 + market).code == codes.OK
    up = (PRICES[BTC], PRICES[ETH] + 30_000, PRICES[2])
    ended(world, up)
    engine, account = world.engine, world.engine.account(FIRST + 1)
    clock = engine.view.clock()
    found = explain(engine.globals, clock, FIRST + 1, account, {}, None, lambda seen: {})
    numbers = {number.name: number.value for number in found}
    seen = outlook(engine.globals, clock, FIRST + 1, account, {})
    assert numbers["equity"] == seen.equity_micros
    assert numbers["collateral"] == seen.collateral_micros
    assert numbers["folded"] == numbers["ETH.settled_value"] == LOTS * 15_000
    money = margin.collateral(account)
    assert numbers["collateral"] == money + LOTS * 15_000 - (numbers["funding_payment"] or 0)
    told = contribution(engine.globals, engine.view.clock(), FIRST + 1, account, Moves(-10))
    assert told.equity_micros == numbers["equity"]
    asked = order(world.now, FIRST + 1, BUY, PRICES[BTC], LOTS, slot=9)
    preview = preview_order(engine, asked, world.now)
    assert preview.before.equity_micros == numbers["equity"]
    gone = request(world.now, FIRST + 1, amount=DOLLAR, recipient=b"\x77" * 20, slot=9)
    assert preview_request(engine, constants.WITHDRAW, gone, world.now).code == codes.OK
