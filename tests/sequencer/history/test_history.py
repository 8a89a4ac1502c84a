"""History beside an engine: it adds up to the law's own money, lasts through crashes, and is as long as it may be."""

from copy import deepcopy

import pytest

from prover.stf import constants, encoding, margin
from sequencer.engine.effects import Ticked
from sequencer.engine.engine import Engine
from sequencer.engine.records import Input, Terms
from sequencer.history.books import Books, Seen
from sequencer.history.history import History
from sequencer.history.records import (
    CANDLES,
    DAY,
    FILLS,
    HISTORY_KEY,
    INTERVALS,
    MINUTE,
    MOVEMENTS,
    OF_ORACLE,
    OF_TRADES,
    PAYMENTS,
    RATES,
    SAMPLES,
    TRADES,
    Kept,
    series_of,
)
from sequencer.sequencing.staged_store import BufferedStore
from tests.sequencer.history import ledgers
from tests.sequencer.history.ledgers import flow, history_of, input_of
from tests.sequencer.node_world import (
    BTC,
    BUY,
    DOLLAR,
    DOMAIN,
    FIRST,
    LOTS,
    PRICES,
    RECIPIENT,
    SELL,
    START,
    deposit,
    genesis_store,
    key,
    order,
    owner,
    signed_order,
)

PRICE = PRICES[BTC]
# 4.5 million dollars on 100,000.
HEAVY = 7_500_000


def test_both_sides_of_a_trade_with_role_fee_and_the_names_of_orders() -> None:
    world = ledgers.Kept()
    world.order(0, SELL, PRICE, terms=Terms(client="mine"))
    (fill,) = world.order(1, BUY, PRICE, 400).fills
    (made,), (taken,) = world.rows(FILLS, FIRST), world.rows(FILLS, FIRST + 1)
    assert (made.role, made.lots, made.client, made.order, made.position) == (
        "maker",
        -400,
        "mine",
        fill.maker_order,
        -400,
    )
    assert (taken.role, taken.lots, taken.client, taken.order, taken.position) == (
        "taker",
        400,
        "",
        fill.taker_order,
        400,
    )
    assert (made.fee, taken.fee) == (fill.maker_fee, fill.fee - fill.maker_fee)
    assert (made.other, taken.other, made.realised, taken.realised) == (FIRST + 1, FIRST, 0, 0)
    assert [made.collateral, taken.collateral] == [
        margin.collateral(world.engine.account(FIRST + trader)) for trader in (0, 1)
    ]
    assert [row.fill for row in world.rows(TRADES, BTC)] == [fill]
    world.order(0, BUY, PRICE - 50, 400, slot=2)
    world.order(1, SELL, PRICE - 50, 400, slot=2)
    assert [row.realised for row in world.rows(FILLS, FIRST)] == [0, 400 * 50]
    assert [row.realised for row in world.rows(FILLS, FIRST + 1)] == [0, -400 * 50]


def test_funding_is_booked_when_an_account_is_touched_and_rounded_once() -> None:
    world = ledgers.Kept()
    world.order(0, SELL, PRICE, LOTS)
    world.order(1, BUY, PRICE, LOTS)
    for _ in range(3):
        world.tick(premiums=(50_000, 0, 0))
    assert world.rows(PAYMENTS, FIRST + 1) == []
    before = margin.collateral(world.engine.account(FIRST + 1))
    world.request(constants.WITHDRAW, 1, amount=DOLLAR, recipient=RECIPIENT)
    (paid,) = world.rows(PAYMENTS, FIRST + 1)
    (leg,) = paid.funding
    index = world.engine.globals.risk.funding_index[BTC]
    assert (leg.market, leg.lots, leg.index) == (BTC, LOTS, index)
    assert paid.paid == -(-LOTS * (index - leg.index_before) // 10**9) > 0
    assert paid.collateral == before - paid.paid
    # Touched again before the next tick nothing is due.
    world.request(constants.WITHDRAW, 1, amount=DOLLAR, recipient=RECIPIENT, slot=201)
    assert len(world.rows(PAYMENTS, FIRST + 1)) == 1
    rate = world.rows(RATES, BTC)[-1]
    assert (rate.index, rate.time) == (index, START - START % 3_600_000)


@pytest.mark.parametrize("seed", range(4))
def test_the_rows_of_an_account_come_to_its_money(seed: int) -> None:
    world = ledgers.Kept()
    flow(world, seed, 250)
    traded = 0
    for account in range(FIRST, world.engine.globals.next_account):
        assert world.balance(account) == margin.collateral(world.engine.account(account)), account
        rows = world.rows(FILLS, account)
        traded += len(rows)
        for market in range(world.engine.globals.market_count):
            held = encoding.unpack(world.engine.account(account).positions[market]).size
            assert sum(row.lots for row in rows if row.market == market) == held
    assert traded > 50
    assert sum(len(world.rows(PAYMENTS, FIRST + trader)) for trader in range(4)) > 20
    world.check()


@pytest.mark.parametrize(
    ("kind", "bid", "fund", "price"),
    [
        ("liquidation", 593_950, 0, 594_000),
        ("take_over", 0, 2_000_000, 591_500),
        ("deleveraging", 0, 0, 585_000),
        ("unwinding", 591_450, 2_000_000, 591_500),
    ],
)
def test_a_rescue_stands_among_the_fills_of_both_sides(kind: str, bid: int, fund: int, price: int) -> None:
    world = ledgers.Kept()
    world.process(deposit(owner(50), (fund + 1) * DOLLAR, BTC + 1))
    world.order(1, SELL, PRICE, HEAVY)
    world.order(0, BUY, PRICE, HEAVY)
    if bid and not fund:
        world.order(3, BUY, bid, HEAVY)
    for _ in range(4):
        world.tick((price, *PRICES[1:]))
    if bid and fund:
        world.order(3, BUY, bid, HEAVY)
        world.tick((price, *PRICES[1:]))
    assert kind in {record.kind for record in world.engine.rescues}
    # Whose order is met has a fill as ever, and who is rescued against it none of its own.
    role = "liquidation" if kind == "unwinding" else kind
    assert role in {row.role for account in (BTC + 1, FIRST) for row in world.rows(FILLS, account)}
    for account in range(FIRST, FIRST + 4):
        rows = world.rows(FILLS, account)
        held = encoding.unpack(world.engine.account(account).positions[BTC])
        assert sum(row.lots for row in rows) == (rows[-1].position if rows else 0) == held.size
        assert world.balance(account) == margin.collateral(world.engine.account(account))


def test_a_crash_between_group_and_flush_leaves_no_row_out_and_none_double() -> None:
    world = ledgers.Kept()
    flow(world, 7, 120)
    world.seal()
    flow(world, 8, 9)
    # The journal has everything, the store what was sealed.
    crashed = Engine(BufferedStore(deepcopy(world.store)), DOMAIN)
    History(crashed)
    assert crashed.cursor < len(world.journal)
    for late in world.journal[crashed.cursor :]:
        assert crashed.process(input_of(late)).changed
    end = Input(world.now, b"")
    for engine in (crashed, world.engine):
        engine.process(end)
        engine.flush(engine.inputs)
    assert history_of(crashed.store._store) == history_of(world.store)
    anew = Engine(BufferedStore(genesis_store()), DOMAIN)
    History(anew)
    for count, given in enumerate((*world.journal, end), start=1):
        anew.process(input_of(given))
        if count % 50 == 0:
            anew.flush(count)
    anew.flush(len(world.journal) + 1)
    assert history_of(anew.store._store) == history_of(world.store)


def test_what_comes_again_is_booked_once_and_a_refusal_never() -> None:
    world = ledgers.Kept()
    world.order(0, SELL, PRICE)
    operation = signed_order(order(world.now, FIRST + 1, BUY, PRICE, 400), key(1))
    for _ in range(2):
        world.process(operation)
    world.order(1, BUY, PRICE, 1)
    assert len(world.rows(FILLS, FIRST + 1)) == len(world.rows(TRADES, BTC)) == 1


def test_candles_of_trades_and_of_the_oracle() -> None:
    world = ledgers.Kept()
    for step, price in enumerate((PRICE, PRICE + 90, PRICE - 60)):
        world.now = START + step * 1_000
        world.order(0, SELL, price, 400, slot=1 + step)
        world.order(1, BUY, price, 400, slot=1 + step)
    world.later(5 * MINUTE)
    started = world.now - world.now % MINUTE
    world.order(0, SELL, PRICE + 5, 100, slot=9)
    world.order(1, BUY, PRICE + 5, 100, slot=9)
    minutes = world.rows(CANDLES, series_of(BTC, OF_TRADES, 0))
    assert [(row.time, row.open, row.high, row.low, row.close, row.lots, row.count) for row in minutes] == [
        (START, PRICE, PRICE + 90, PRICE - 60, PRICE - 60, 1_200, 3),
        (started, PRICE + 5, PRICE + 5, PRICE + 5, PRICE + 5, 100, 1),
    ]
    assert minutes[0].quote == 400 * (3 * PRICE + 30)
    days = world.rows(CANDLES, series_of(BTC, OF_TRADES, list(INTERVALS).index("1d")))
    assert [(row.time, row.lots, row.close) for row in days] == [(START - START % DAY, 1_300, PRICE + 5)]
    world.tick((PRICE + 700, *PRICES[1:]))
    told = world.rows(CANDLES, series_of(BTC, OF_ORACLE, 1))
    assert [(row.low, row.high, row.close, row.lots) for row in told][-1] == (PRICE, PRICE + 700, PRICE + 700, 0)


def test_a_day_forgets_minute_by_minute() -> None:
    world = ledgers.Kept()
    assert world.history.day(BTC, world.now).count == 0
    for step in range(3):
        world.later(DAY // 2)
        world.order(0, SELL, PRICE + step, 400, slot=1 + step)
        world.order(1, BUY, PRICE + step, 400, slot=1 + step)
    day = world.history.day(BTC, world.now)
    assert (day.lots, day.count, day.open, day.close, day.high, day.low) == (
        800, 2, PRICE + 1, PRICE + 2, PRICE + 2, PRICE + 1
    )  # fmt: skip
    world.order(0, SELL, PRICE, 100, slot=9)
    world.order(1, BUY, PRICE, 100, slot=9)
    assert world.history.day(BTC, world.now).lots == 900
    assert world.history.day(BTC, world.now + DAY - MINUTE).lots == 500
    assert world.history.day(BTC, world.now + DAY).lots == 0


def test_lists_are_shortened_by_whoever_has_time_a_bounded_number_at_once() -> None:
    world = ledgers.Kept()
    world.history.kept = {"fills": Kept(5, 400)}
    for step in range(12):
        world.order(0, SELL, PRICE, 100, slot=1 + step)
        world.order(1, BUY, PRICE, 100, slot=1 + step)
    assert world.history.let_go(world.now, 3) == 3
    while world.history.let_go(world.now, 4):
        pass
    assert len(world.rows(FILLS, FIRST)) == len(world.rows(FILLS, FIRST + 1)) == 5
    assert len(world.rows(TRADES, BTC)) == 12
    world.seal()
    kept = [key for key in history_of(world.store) if key.startswith(HISTORY_KEY + FILLS.letter)]
    assert len(kept) == 10


def test_a_turn_looks_at_a_bounded_number_of_lists_and_leaves_none_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sequencer.history.history._MOST_LOOKED_AT", 2)
    monkeypatch.setattr("sequencer.history.history._LOOKED_AT", 0)
    world = ledgers.Kept()
    world.history.kept = {"fills": Kept(1, 400)}
    for step in range(3):
        world.order(0, SELL, PRICE, 100, slot=1 + step)
        world.order(1, BUY, PRICE, 100, slot=1 + step)
    waiting, turns = len(world.history.lists.grown), 0
    assert waiting > 6
    while world.history.lists.grown:
        world.history.let_go(world.now, 99)
        turns += 1
        assert len(world.history.lists.grown) == max(0, waiting - 2 * turns)
    assert [len(world.rows(FILLS, FIRST + trader)) for trader in (0, 1)] == [1, 1]


def test_a_tick_older_than_what_was_said_before_a_resequencing_changes_no_candle() -> None:
    world = ledgers.Kept()
    world.later(3 * MINUTE)
    minutes = series_of(BTC, OF_ORACLE, 0)
    said = world.rows(CANDLES, minutes)
    assert [row.time for row in said] == sorted({row.time for row in said})
    books, before = Books(world.history.lists), deepcopy(said)
    prices = list(world.engine.globals.risk.price)
    seen = Seen(1, world.now, world.engine.globals)
    books.book([Ticked(time_ms=said[-1].time - 1, markets=1, prices=prices)], seen)
    assert world.rows(CANDLES, minutes) == before
    books.book([Ticked(time_ms=said[-1].time + MINUTE, markets=1, prices=prices)], seen)
    assert [row.time for row in world.rows(CANDLES, minutes)][-1] == before[-1].time + MINUTE


def test_a_sample_is_what_an_account_is_worth_and_no_clock_goes_back_in_it() -> None:
    world = ledgers.Kept()
    world.order(0, SELL, PRICE)
    world.order(1, BUY, PRICE)
    world.tick((PRICE + 1_000, *PRICES[1:]))
    for time in (world.now, world.now, world.now - 1, world.now + 1):
        world.history.sample(FIRST, time)
    sample, later = world.rows(SAMPLES, FIRST)
    assert (sample.time, later.time) == (world.now, world.now + 1)
    settled, _ = margin.settle(world.engine.globals.risk, world.engine.account(FIRST), world.engine.view.clock().now)
    assert sample.equity == margin.equity(world.engine.globals.risk, settled)
    assert sample.collateral - sample.equity == LOTS * 1_000


def test_money_that_moves() -> None:
    world = ledgers.Kept()
    world.request(constants.TRANSFER, 0, amount=9 * DOLLAR, other=constants.NEW_ACCOUNT)
    opened = world.engine.accounts_of(owner(0))[-1]
    fee = world.engine.globals.posting_fee
    told = [(row.kind, row.amount, row.fee, row.other) for row in world.rows(MOVEMENTS, FIRST)]
    assert told == [("deposit", 100_000 * DOLLAR, 0, None), ("transfer", -9 * DOLLAR, fee, opened)]
    (came,) = world.rows(MOVEMENTS, opened)
    assert (came.amount, came.fee, came.other) == (9 * DOLLAR, constants.CREATION_FEE, FIRST)
    world.request(constants.WITHDRAW, 0, amount=DOLLAR, recipient=RECIPIENT, slot=201)
    world.request(constants.CANCEL, 0, slot=3)
    paid, cost = world.rows(MOVEMENTS, FIRST)[2:]
    assert (paid.kind, paid.amount, paid.withdrawal) == ("withdrawal", -DOLLAR, 0)
    assert (cost.kind, cost.amount, cost.fee) == ("fee", 0, fee)
    assert world.request(constants.WITHDRAW, 0, amount=10**15, recipient=RECIPIENT, slot=202).code != 0
    assert len(world.rows(MOVEMENTS, FIRST)) == 4
