"""A preview is what then happens in a real engine, and changes nothing."""

from random import Random
from typing import Any

import msgspec
import pytest

from prover.stf import codes, constants, containers
from sequencer.engine.effects import Left
from sequencer.engine.engine import EngineLimits
from sequencer.engine.order_book import Limits
from sequencer.schema.accounts import Foreseen, Outlook
from sequencer.views.account import outlook
from sequencer.views.preview import Opened, _trial, opened_by, preview_order, preview_request
from tests.sequencer.node_world import (
    BTC,
    BUY,
    DOLLAR,
    ETH,
    FIRST,
    FOK,
    GTC,
    IOC,
    LOTS,
    PRICES,
    RECIPIENT,
    SELL,
    World,
    deposit,
    key,
    order,
    owner,
    request,
    signed_order,
    signed_request,
)

PRICE = PRICES[BTC]


def snapshot(world: World) -> list[Any]:
    """Everything that an input could change."""
    engine = world.engine
    chunk = engine.view
    books = [(book.resting(), triggers.waiting()) for book, triggers in zip(engine.books, engine.triggers, strict=True)]
    accounts = [engine.account(index) for index in range(engine.globals.next_account)]
    return [
        engine.state.root,
        msgspec.structs.asdict(engine.globals),
        msgspec.structs.asdict(chunk.commitment),
        list(chunk.operation_codes),
        list(chunk.lookups),
        books,
        accounts,
        dict(engine.orders._open),
        dict(engine.orders._taken),
        engine.chunk_count,
    ]


def seen_now(world: World, account: int) -> Outlook:
    """An account as the engine has it, with what it could buy and sell."""
    engine = world.engine
    return outlook(engine.globals, engine.view.clock(), account, engine.account(account), world.open(account - FIRST))


def previewed(world: World, given: containers.Order) -> Foreseen:
    """The preview of an order, which leaves no trace."""
    before = snapshot(world)
    seen = preview_order(world.engine, given, world.now)
    assert snapshot(world) == before
    return seen


def compare(world: World, trader: int, given: containers.Order) -> Foreseen:
    """The preview, equal to what then happens."""
    seen = previewed(world, given)
    # Valued at the time at which the order comes, when a grace may be over or profit have matured.
    now = _trial(world.engine, world.now, owner(trader)).clock()
    account = world.engine.account(given.account)
    assert seen.before == outlook(world.engine.globals, now, given.account, account, world.open(given.account - FIRST))
    outcome = world.process(signed_order(given, key(trader)))
    assert seen.code == outcome.code, (seen, outcome)
    assert seen.after == seen_now(world, given.account)
    if outcome.code != codes.OK:
        assert (seen.status, seen.after) == ("refused", seen.before)
        return seen
    assert (seen.status, seen.filled_lots, seen.remaining_lots) == (outcome.status, outcome.filled, outcome.remaining)
    assert seen.refusal == outcome.refusal
    fills = [(fill.maker, fill.price_ticks, fill.size_lots, fill.fee_micros) for fill in seen.fills]
    assert fills == [(fill.maker, fill.price, fill.size, fill.fee) for fill in outcome.fills]
    return seen


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_what_was_previewed_happens(seed: int) -> None:
    random = Random(seed)
    # Poor traders meet the margin rule, a small book its bound, small chunks their end between two orders.
    limits = EngineLimits(book=Limits(orders=6, orders_of_account=3), chunk_bytes=3_000)
    world = World(5, limits=limits, dollars=120)
    world.process(deposit(owner(0), 120 * DOLLAR))
    owned = [FIRST, FIRST + 1, FIRST + 2, FIRST + 3, FIRST + 4, FIRST + 5]
    seen: set[str] = set()
    for _ in range(250):
        world.now += random.randrange(0, 900)
        if random.random() < 0.3:
            world.seal()
        trader = random.randrange(6)
        roll = random.random()
        if roll < 0.12:
            prices = tuple(price * random.randrange(992, 1_009) // 1_000 for price in PRICES)
            world.tick(prices, (random.randrange(-400, 400), 0, 0))
        elif roll < 0.22:
            seen.add(money(world, random, trader % 5, owned))
        else:
            seen.add(trade(world, random, trader))
    assert {"resting", "filled", "expired", "refused", "applied"} <= seen, seen


def trade(world: World, random: Random, trader: int) -> str:
    """A random order of a trader; number 5 is a second account of trader 0."""
    in_force = random.choice((GTC, GTC, GTC, IOC, FOK))
    trigger = random.choice((0, 0, 0, 0, constants.TRIGGER_AT_OR_ABOVE, constants.TRIGGER_AT_OR_BELOW))
    given = order(
        world.now,
        FIRST + trader,
        random.choice((BUY, SELL)),
        PRICE * random.randrange(994, 1_007) // 1_000,
        random.choice((20, 300, LOTS, 4 * LOTS, 20 * LOTS)),
        slot=random.randrange(1, 5),
        time_in_force=in_force,
        post_only=int(in_force == GTC and random.random() < 0.2),
        reduce_only=int(random.random() < 0.15),
        trigger=trigger,
        trigger_price=PRICE * random.randrange(995, 1_006) // 1_000 if trigger else 0,
        max_fee_ppm=400 if random.random() < 0.03 else 1_000,
        expires_at=world.now + (9_000 if in_force != GTC else random.choice((3_000, 9_000, 60_000))),
    )
    return compare(world, trader if trader < 5 else 0, given).status


def money(world: World, random: Random, trader: int, owned: list[int]) -> str:
    """A random transfer or withdrawal."""
    tag = random.choice((constants.WITHDRAW, constants.TRANSFER))
    changes = {"recipient": RECIPIENT} if tag == constants.WITHDRAW else {"other": random.choice(owned)}
    given = request(world.now, FIRST + trader, amount=random.choice((1, 10, 300)) * DOLLAR, **changes)
    before = snapshot(world)
    seen = preview_request(world.engine, tag, given, world.now)
    assert snapshot(world) == before
    outcome = world.process(signed_request(tag, given, key(trader)))
    assert (seen.code, seen.status) == (outcome.code, "applied" if outcome.code == codes.OK else "refused")
    assert seen.after == seen_now(world, given.account)
    if tag == constants.TRANSFER:
        assert seen.other_after == seen_now(world, given.other)
    else:
        assert seen.other_after is None
    return seen.status


def test_a_walk_through_the_book_and_what_rests_of_it() -> None:
    world = World(3)
    world.order(0, SELL, PRICE, 300)
    world.order(0, SELL, PRICE + 10, 400, slot=2)
    seen = compare(world, 1, order(world.now, FIRST + 1, BUY, PRICE + 10, 1_000))
    assert [(fill.price_ticks, fill.size_lots) for fill in seen.fills] == [(PRICE, 300), (PRICE + 10, 400)]
    assert (seen.status, seen.remaining_lots) == ("partially_filled", 300)
    # What the account pays itself: the taker's fees and the posting fee, once.
    taker = [-(-fill.price_ticks * fill.size_lots * 450 // 10**6) for fill in seen.fills]
    assert seen.fees_micros == sum(taker) + world.engine.globals.posting_fee
    assert seen.if_filled is not None
    assert [leg.size_lots for leg in seen.if_filled.positions] == [1_000]
    # The rest is then filled by another at its limit: the account is as foreseen.
    world.order(2, SELL, PRICE + 10, 300)
    assert seen_now(world, FIRST + 1) == seen.if_filled


def test_what_could_still_be_bought_is_foreseen_with_the_open_interest_that_the_order_adds() -> None:
    world = World(2, dollars=100_000)
    listed = world.engine.globals.markets[BTC]
    listed.fund, listed.interest_lower, listed.interest_upper = 10**15, 0, 1_000_000 * DOLLAR
    world.order(0, SELL, PRICE, 100_000)
    seen = compare(world, 1, order(world.now, FIRST + 1, BUY, PRICE, 100_000))
    before, after = seen.before.buying_power[BTC], seen.after.buying_power[BTC]
    # In two steps as far as in one: the second counts what the first has opened.
    assert before.buy_lots - 100_010 < after.buy_lots <= before.buy_lots - 100_000
    assert after.sell_lots > before.sell_lots
    assert 0 < seen.after.buying_power[ETH].buy_lots < seen.before.buying_power[ETH].buy_lots
    # A refused order leaves it as it is.
    refused = compare(world, 1, order(world.now, FIRST + 1, BUY, PRICE, 10**9, slot=2))
    assert (refused.status, refused.after.buying_power) == ("refused", refused.before.buying_power)


def test_an_order_that_takes_the_slot_of_one_on_the_other_side_does_not_meet_it() -> None:
    world = World(2)
    world.order(1, SELL, PRICE, 500)
    world.now += 1
    seen = compare(world, 1, order(world.now, FIRST + 1, BUY, PRICE, 500))
    assert (seen.status, seen.refusal) == ("resting", "")
    world.now += 1
    again = order(world.now, FIRST + 1, SELL, PRICE, 500, slot=2)
    assert compare(world, 1, again).refusal == "SELF_TRADE"


def test_the_same_order_again_is_answered_as_it_stands() -> None:
    world = World(2)
    given = order(world.now, FIRST, SELL, PRICE, 500)
    assert compare(world, 0, given).status == "resting"
    seen = compare(world, 0, given)
    assert (seen.status, seen.remaining_lots, seen.before) == ("resting", 500, seen.after)


def test_an_order_of_a_dismissed_agent_is_no_maker() -> None:
    world = World(3)
    world.grant(0, 50, amount=world.now + 3_000)
    world.agent_order(50, 0, SELL, PRICE)
    world.order(1, SELL, PRICE)
    world.seal()
    world.now += 3_000
    seen = compare(world, 2, order(world.now, FIRST + 2, BUY, PRICE, 300))
    assert [fill.maker for fill in seen.fills] == [FIRST]
    world.seal()
    world.now += 1
    seen = compare(world, 2, order(world.now, FIRST + 2, BUY, PRICE, 300, slot=2))
    assert [fill.maker for fill in seen.fills] == [FIRST + 1]
    # Within one chunk too, where the law would still fill the order that the chunk holds.
    world.grant(0, 50)
    world.now += 1
    world.agent_order(50, 0, SELL, PRICE - 10)
    seen = compare(world, 2, order(world.now, FIRST + 2, BUY, PRICE, 300, slot=3))
    assert [fill.maker for fill in seen.fills] == [FIRST]
    world.now += 1
    world.dismiss(0)
    seen = compare(world, 2, order(world.now, FIRST + 2, BUY, PRICE, 300, slot=4))
    assert [fill.maker for fill in seen.fills] == [FIRST + 1]
    world.check()


def test_a_transfer_to_a_new_account_and_a_bound_of_leverage() -> None:
    world = World(2)
    given = request(world.now, FIRST, amount=100 * DOLLAR, other=constants.NEW_ACCOUNT)
    seen = preview_request(world.engine, constants.TRANSFER, given, world.now)
    assert (seen.code, seen.other, seen.other_before, seen.fees_micros) == (
        codes.OK,
        FIRST + 2,
        None,
        constants.CREATION_FEE + world.engine.globals.posting_fee,
    )
    assert world.process(signed_request(constants.TRANSFER, given, key(0))).opened == seen.other
    assert seen.after == seen_now(world, FIRST)
    assert seen.other_after == seen_now(world, FIRST + 2)
    assert seen.other_after.buying_power[BTC].buy_lots > 0
    poor = request(world.now, FIRST, slot=9, amount=constants.CREATION_FEE, other=constants.NEW_ACCOUNT)
    refused = preview_request(world.engine, constants.TRANSFER, poor, world.now)
    assert (refused.refusal, refused.other_before, refused.other_after, refused.fees_micros) == (
        "TOO_SMALL",
        None,
        None,
        0,
    )
    world.order(0, SELL, PRICE)
    world.order(1, BUY, PRICE)
    bound = request(world.now, FIRST + 1, amount=100_000)
    seen = preview_request(world.engine, constants.SET_LEVERAGE, bound, world.now)
    assert (seen.before.initial_micros, seen.after.initial_micros) == (12 * DOLLAR, 60 * DOLLAR)
    assert (seen.other, seen.other_before, seen.other_after) == (None, None, None)
    world.process(signed_request(constants.SET_LEVERAGE, bound, key(1)))
    assert seen.after == seen_now(world, FIRST + 1)
    assert seen.after.buying_power[BTC].buy_lots < seen.before.buying_power[BTC].buy_lots
    wrong = preview_request(
        world.engine, constants.SET_LEVERAGE, request(world.now, FIRST, amount=constants.PPM + 1), world.now
    )
    assert (wrong.refusal, wrong.after) == ("NOT_CANONICAL", wrong.before)


def test_an_order_in_an_account_that_a_transfer_would_open_is_what_then_happens() -> None:
    world = World(3)
    world.order(1, SELL, PRICE, 100 * LOTS)

    def seen_with(micros: int, size: int) -> Foreseen:
        before = snapshot(world)
        transfer = request(world.now, FIRST, amount=micros, other=constants.NEW_ACCOUNT)
        opened = opened_by(world.engine, transfer, world.now)
        if isinstance(opened, Opened):
            given = order(world.now, opened.account, BUY, PRICE, size)
            opened = preview_order(world.engine, given, world.now, opened)
        assert snapshot(world) == before
        return opened

    # The transfer's own refusal is told; then what the money would not carry; then what it does.
    assert seen_with(constants.CREATION_FEE, LOTS).refusal == "TOO_SMALL"
    assert seen_with(51 * DOLLAR, 10 * LOTS).status == "refused"
    seen = seen_with(51 * DOLLAR, LOTS)
    assert (seen.status, seen.before.equity_micros, seen.after.account) == ("filled", 50 * DOLLAR, FIRST + 3)
    transfer = request(world.now, FIRST, amount=51 * DOLLAR, other=constants.NEW_ACCOUNT)
    assert world.process(signed_request(constants.TRANSFER, transfer, key(0))).opened == FIRST + 3
    outcome = world.process(signed_order(order(world.now, FIRST + 3, BUY, PRICE), key(0)))
    assert outcome.status == "filled"
    assert seen.after == seen_now(world, FIRST + 3)


def test_orders_that_a_withdrawal_leaves_uncovered_are_foreseen() -> None:
    world = World(1, dollars=100)
    for slot in (1, 2, 3):
        world.order(0, BUY, PRICE - 10, 2 * LOTS, slot=slot)
    little = request(world.now, FIRST, amount=DOLLAR, recipient=RECIPIENT)
    assert preview_request(world.engine, constants.WITHDRAW, little, world.now).leaving == []
    given = request(world.now, FIRST, amount=60 * DOLLAR, recipient=RECIPIENT)
    seen = preview_request(world.engine, constants.WITHDRAW, given, world.now)
    outcome = world.process(signed_request(constants.WITHDRAW, given, key(0)))
    gone = [effect.order for effect in outcome.effects if isinstance(effect, Left)]
    assert len(gone) in (1, 2)
    assert seen.leaving == gone
    assert seen.after == seen_now(world, FIRST)


def test_a_grace_is_foreseen() -> None:
    world = World(2)
    world.seal()
    world.now += constants.TICK_GAP
    world.tick()
    refused = compare(world, 0, order(world.now, FIRST, SELL, PRICE))
    assert refused.refusal == "GRACE"
    payment = request(world.now, FIRST, amount=DOLLAR, recipient=RECIPIENT)
    assert preview_request(world.engine, constants.WITHDRAW, payment, world.now).refusal == "GRACE"
    world.seal()
    world.now += 10_000 - 1
    assert compare(world, 0, order(world.now, FIRST, SELL, PRICE)).refusal == "GRACE"
    world.now += 1
    assert compare(world, 0, order(world.now, FIRST, SELL, PRICE)).status == "resting"


def test_stale_prices_and_strangers_are_said_and_not_raised() -> None:
    world = World(1)
    stranger = order(world.now, FIRST + 7, SELL, PRICE)
    assert previewed(world, stranger).refusal == "NO_ACCOUNT"
    world.seal()
    world.now += constants.MAX_PRICE_AGE + 1
    seen = previewed(world, order(world.now, FIRST, SELL, PRICE))
    assert (seen.code, seen.refusal, seen.if_filled) == (codes.STALE, "STALE", None)
    nothing = preview_request(
        world.engine, constants.WITHDRAW, request(world.now, FIRST, recipient=RECIPIENT), world.now
    )
    assert nothing.refusal == "ZERO_AMOUNT"


@pytest.mark.parametrize("market", [3, constants.MARKETS, 255])
def test_a_market_that_is_not_there_is_said_and_not_raised(market: int) -> None:
    world = World(1)
    assert preview_order(world.engine, order(world.now, FIRST, BUY, PRICE, market=market), world.now).code == (
        codes.NO_MARKET
    )


def test_a_rest_that_the_law_would_not_take_promises_nothing() -> None:
    world = World(2, dollars=100)
    # 100 dollars stand for 5,000 dollars of BTC at most; half of them are gone by the fill.
    world.order(1, SELL, PRICE, 4_000)
    given = order(world.now, FIRST, BUY, PRICE, 8_000)
    seen = compare(world, 0, given)
    assert seen.status == "partially_filled"
    assert seen.if_filled is not None
    later = previewed(world, order(world.now, FIRST, SELL, PRICE + 500, 13_000, slot=2))
    assert (later.status, later.code) == ("refused", codes.TAKER_MARGIN)
    most = later.largest_size_lots
    assert most is not None
    assert 0 < most < 13_000
    for lots, code in ((most, codes.OK), (most + 1, codes.MARGIN)):
        again = previewed(world, order(world.now, FIRST, SELL, PRICE + 500, lots, slot=2))
        assert again.code == code
    assert previewed(world, order(world.now, FIRST, SELL, 1, most, slot=2)).largest_size_lots is None


def test_that_a_chunk_ends_before_the_order_is_foreseen() -> None:
    """The open chunk's clock stands before the maker's end; the order has no room there, and finds the next one's."""
    world = World(44)
    for number in range(19):
        world.order(2 * number % 40, SELL, PRICE, 100, slot=number + 1)
        world.order(2 * number % 40 + 1, BUY, PRICE, 100, slot=number + 1)
    world.order(40, SELL, PRICE, 100, expires_at=world.now + 500)
    world.order(41, SELL, PRICE + 1, 100)
    world.now += 900
    before = world.engine.chunk_count
    seen = compare(world, 42, order(world.now, FIRST + 42, BUY, PRICE + 1, 100))
    assert [fill.maker for fill in seen.fills] == [FIRST + 41]
    assert world.engine.chunk_count == before + 1
    world.check()


def test_that_a_chunk_ends_within_the_match_is_foreseen() -> None:
    """More makers than a chunk holds, and all of them past their end by the clock of the second chunk but two."""
    world = World(60)
    world.seal()
    world.order(58, SELL, PRICE, 100)
    world.order(59, BUY, PRICE, 100)
    for trader in range(50):
        world.order(trader, SELL, PRICE + trader, 100, expires_at=world.now + (60_000 if trader > 47 else 500))
    world.now += 900
    before = world.engine.chunk_count
    seen = compare(world, 55, order(world.now, FIRST + 55, BUY, PRICE + 100, 5_000))
    makers = [fill.maker - FIRST for fill in seen.fills]
    assert makers[-2:] == [48, 49]
    assert 30 < len(makers) < 50
    assert world.engine.chunk_count > before
    world.check()
