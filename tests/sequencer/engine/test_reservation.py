"""What open orders reserve: held to a reading of its own, and what follows from it for orders, money and books."""

from random import Random

import pytest

from prover.standing import met_by_order
from prover.stf import codes, constants, containers, encoding, margin
from sequencer.engine.effects import Left, Reason
from sequencer.engine.engine import Engine
from sequencer.engine.reservation import NOTHING, Sums, cover, most_lots, with_lots
from sequencer.sequencing.staged_store import BufferedStore
from sequencer.views.account import outlook
from sequencer.views.preview import preview_order
from tests.sequencer.node_world import (
    BTC,
    BUY,
    DOLLAR,
    DOMAIN,
    ETH,
    FIRST,
    IOC,
    LOTS,
    PRICES,
    RECIPIENT,
    SELL,
    World,
    order,
)

PRICE = PRICES[BTC]
ABOVE, BELOW = constants.TRIGGER_AT_OR_ABOVE, constants.TRIGGER_AT_OR_BELOW


def reserved(world: World, trader: int) -> int:
    """What open orders need above the positions, by another way: every order walked over, each side in turn."""
    engine = world.engine
    risk = engine.globals.risk
    settled, _ = margin.settle(risk, engine.account(FIRST + trader), engine.view.clock().now)
    extra = 0
    for market in range(engine.globals.market_count):
        held, price = encoding.unpack(settled.positions[market]).size, risk.price[market]
        ppm = max(risk.initial_ppm[market], settled.initial_ppm)
        own = margin.requirement(price, held, ppm)
        sides = [own]
        for side, way in ((BUY, 1), (SELL, -1)):
            lots = worse = 0
            for given, left, is_armed in engine.open_orders(FIRST + trader):
                if (given.market, given.side, given.reduce_only) == (market, side, 0):
                    lots += left
                    measure = given.trigger_price if is_armed else price
                    worse += left * max(0, way * (given.limit_price - measure))
            size = held + way * lots
            if abs(size) > abs(held) or size * held < 0:
                sides.append(margin.requirement(price, size, ppm) + worse)
        extra += max(sides) - own
    return extra


def free(world: World, trader: int) -> int:
    """What neither positions nor open orders need."""
    engine = world.engine
    settled, _ = margin.settle(engine.globals.risk, engine.account(FIRST + trader), engine.view.clock().now)
    now = met_by_order(engine.globals.risk, settled)
    return now.equity - now.initial - reserved(world, trader)


@pytest.mark.parametrize("seed", range(4))
def test_it_is_what_a_walk_over_every_order_gives_and_nothing_is_accepted_beyond_it(seed: int) -> None:
    random = Random(seed)
    world = World(4, dollars=40)
    accepted = refused = 0
    for _ in range(250):
        world.now += random.randrange(0, 700)
        if random.random() < 0.2:
            world.seal()
        trader, market = random.randrange(4), random.choice((BTC, ETH))
        price = world.engine.globals.risk.price[market]
        roll = random.random()
        if roll < 0.1:
            world.tick(tuple(price * random.randrange(995, 1_006) // 1_000 for price in PRICES))
            continue
        if roll < 0.15:
            world.request(constants.CANCEL, trader, slot=random.randrange(1, 6))
            continue
        before = free(world, trader)
        trigger = random.choice((0, 0, 0, ABOVE, BELOW))
        given = order(
            world.now,
            FIRST + trader,
            random.choice((BUY, SELL)),
            price * random.randrange(990, 1_011) // 1_000,
            random.choice((60, 500, 900)) * PRICE // price,
            market=market,
            slot=random.randrange(1, 6),
            reduce_only=int(random.random() < 0.15),
            time_in_force=IOC if random.random() < 0.2 else 0,
            trigger=trigger,
            trigger_price=price * random.randrange(990, 1_011) // 1_000 if trigger else 0,
        )
        outcome = world.process(world.signed(given, trader))
        accepted += outcome.code == codes.OK
        refused += outcome.code == codes.MARGIN
        if outcome.code == codes.OK:
            fees = 2 * (given.size * given.limit_price // 1_000 + DOLLAR // 100)
            assert free(world, trader) >= min(before, 0) - fees
        engine = world.engine
        for index in range(4):
            row = engine.account(FIRST + index)
            seen = outlook(engine.globals, engine.view.clock(), FIRST + index, row, world.open(index))
            assert seen.reserved_micros == reserved(world, index)
            assert seen.free_collateral_micros == max(0, free(world, index))
    assert accepted > 60
    assert refused > 2
    # Added up again from the store it is the same.
    world.tick()
    world.seal()
    again = Engine(BufferedStore(world.store), DOMAIN)
    prices = world.engine.globals.risk.price
    kept = [again.orders.reserved(FIRST + index, prices) for index in range(4)]
    assert kept == [world.open(index) for index in range(4)]
    world.check()


# The attack, and what is refused.


def test_two_dollars_rest_or_arm_no_more_than_their_margin_bears() -> None:
    for fields in ({}, {"trigger": ABOVE, "trigger_price": PRICE + 10}):
        world = World(2, dollars=2)
        taken = [world.order(0, BUY, PRICE, LOTS // 20, slot=slot, **fields).code for slot in range(1, 100)]
        # A thirty-dollar order reserves 60 cents at 2%.
        assert taken.count(codes.OK) == 3
        assert set(taken[3:]) == {codes.MARGIN}
        world.check()


def test_off_armed_orders_would_need_nothing() -> None:
    """Without the reservation each of them passes: the law asks a waiting order for no margin before it fires."""
    world = World(1, dollars=2)
    given = order(world.now, FIRST, BUY, PRICE, 100 * LOTS, trigger=ABOVE, trigger_price=PRICE + 10)
    settled = world.engine.account(FIRST)
    risk = world.engine.globals.risk
    assert most_lots(risk, settled, {}, given, is_armed=True) < given.size
    assert world.process(world.signed(given, 0)).code == codes.MARGIN
    reducing = order(world.now, FIRST, SELL, PRICE, 100 * LOTS, trigger=ABOVE, trigger_price=PRICE + 10, reduce_only=1)
    assert world.process(world.signed(reducing, 0)).code == codes.REDUCE_ONLY, "nothing to reduce"


def test_the_refusal_names_the_bound_and_the_largest_size_which_passes() -> None:
    world = World(2, dollars=100)
    world.order(0, BUY, PRICE, 3_000)
    refused = world.order(0, BUY, PRICE - 10, 8_000, slot=2)
    assert refused.code == codes.MARGIN
    # 1,800 of 5,000 dollars are bought already.
    assert "64.000000 dollars" in refused.refusal
    most = refused.most_lots
    assert most is not None
    assert f"{most} lots are the largest size" in refused.refusal
    assert world.order(0, BUY, PRICE - 10, most + 1, slot=2).code == codes.MARGIN
    assert world.order(0, BUY, PRICE - 10, most, slot=2).status == "resting"
    world.check()


def test_an_order_that_is_too_large_alone_is_told_the_largest_size_too() -> None:
    world = World(2, dollars=100)
    refused = world.order(0, BUY, PRICE + 100, 10_000)
    most = refused.most_lots
    assert refused.code == codes.TAKER_MARGIN
    assert most is not None
    assert world.order(0, BUY, PRICE + 100, most + 1).code == codes.TAKER_MARGIN
    assert world.order(0, BUY, PRICE + 100, most).status == "resting"


def test_buys_and_sells_are_not_added_up() -> None:
    world = World(2, dollars=100)
    assert world.order(0, BUY, PRICE - 10, 7_000).status == "resting"
    assert world.order(0, SELL, PRICE + 10, 7_000, slot=2).status == "resting"
    assert world.order(0, SELL, PRICE + 20, 7_000, slot=3).code == codes.MARGIN


def test_what_only_shrinks_a_position_reserves_nothing() -> None:
    world = World(2, dollars=100)
    world.order(1, SELL, PRICE, 7_000)
    assert world.order(0, BUY, PRICE, 7_000).status == "filled"
    assert world.order(0, SELL, PRICE + 10, 7_000, slot=2).status == "resting"
    assert reserved(world, 0) == 0
    # Beyond it the position would turn, and the whole side counts.
    assert world.order(0, SELL, PRICE + 20, 8_000, slot=3).status == "resting"
    assert reserved(world, 0) == margin.requirement(PRICE, 1_000, 20_000)
    assert world.order(0, SELL, PRICE + 20, 1_000, slot=4).code == codes.MARGIN
    assert world.order(0, SELL, PRICE + 20, 1_000, slot=4, reduce_only=1).status == "resting"


def test_a_limit_worse_than_the_price_counts_in_full() -> None:
    world = World(2, dollars=100)
    assert world.order(0, BUY, PRICE + 3_000, 2_000).status == "resting"
    needed = margin.requirement(PRICE, 2_000, 20_000) + 2_000 * 3_000
    assert reserved(world, 0) == needed
    world.tick((PRICE + 1_000, *PRICES[1:]))
    assert reserved(world, 0) == margin.requirement(PRICE + 1_000, 2_000, 20_000) + 2_000 * 2_000
    # One that waits is measured by the price at which it fires.
    assert world.order(0, SELL, PRICE - 700, 500, slot=2, trigger=BELOW, trigger_price=PRICE - 500).code == 0
    assert world.open(0)[BTC] == Sums(2_000, 500, 2_000 * 2_000, 500 * 200)


def test_what_may_rest_is_worth_no_gain_at_its_own_limit() -> None:
    """The law values a fill at its limit: a sixth below the price it would bear an order of any size."""
    world, whole = World(3, dollars=100), 1_000_000
    for limit, side in ((PRICE * 5 // 6, BUY), (PRICE * 7 // 6, SELL)):
        refused = world.order(0, side, limit, whole)
        most = refused.most_lots
        assert (refused.code, most) == (codes.MARGIN, 100 * DOLLAR * 50 // PRICE)
        foreseen = preview_order(world.engine, order(world.now, FIRST, side, limit, whole), world.now)
        assert foreseen.code == codes.MARGIN
        assert world.order(0, side, limit, most + 1).code == codes.MARGIN
        assert world.order(0, side, limit, most).status == "resting"
        world.request(constants.CANCEL, 0, slot=1)
        world.now += 1
    # What is filled now or never has its gain at once.
    small = 100 * DOLLAR * 50 // PRICE // 2
    for seller in (1, 2):
        assert world.order(seller, SELL, PRICE * 995 // 1_000, small + 100).status == "resting"
    more = 2 * small + 200
    assert world.order(0, BUY, PRICE * 995 // 1_000, more).code == codes.MARGIN
    assert world.order(0, BUY, PRICE * 995 // 1_000, more, time_in_force=IOC).status == "filled"
    world.check()


def test_an_order_that_is_replaced_counts_no_more() -> None:
    world = World(2, dollars=100)
    assert world.order(0, BUY, PRICE, 8_000).status == "resting"
    world.now += 1
    assert world.order(0, BUY, PRICE - 10, 8_100).status == "resting"
    assert world.open(0)[BTC].buy_lots == 8_100


# What no longer fits.


def test_money_that_leaves_takes_the_newest_orders_along_and_leaves_reduce_only_ones() -> None:
    world = World(2, dollars=100)
    world.order(1, SELL, PRICE, 100)
    world.order(0, BUY, PRICE, 100)
    for slot in (2, 3, 4):
        assert world.order(0, BUY, PRICE - 100, 2_000, slot=slot).status == "resting"
    assert world.order(0, SELL, PRICE + 100, 100, slot=5, reduce_only=1).status == "resting"
    # The law alone says what may leave: open orders hold nobody's money.
    paid = world.request(constants.WITHDRAW, 0, slot=200, amount=60 * DOLLAR, recipient=RECIPIENT)
    assert paid.code == codes.OK
    left = [effect for effect in paid.effects if isinstance(effect, Left)]
    assert [(effect.lots, effect.reason) for effect in left] == [(2_000, Reason.MARGIN), (2_000, Reason.MARGIN)]
    assert [slot for _, slot, _ in world.resting()] == [2, 5]
    assert free(world, 0) >= 0
    world.check()


def test_a_bound_of_leverage_counts_for_open_orders() -> None:
    world = World(2, dollars=100)
    assert world.order(0, BUY, PRICE, 8_000).status == "resting"
    assert world.request(constants.SET_LEVERAGE, 0, amount=100_000).code == codes.OK
    assert world.resting() == []


def test_a_price_that_moves_takes_nothing_out_and_the_law_decides_at_the_fill() -> None:
    world = World(3, dollars=100)
    world.order(1, SELL, PRICE, 6_000)
    assert world.order(0, BUY, PRICE, 6_000).status == "filled"
    assert world.order(0, BUY, PRICE - 6_000, 1_000, slot=2).status == "resting"
    world.tick((PRICE - 5_000, *PRICES[1:]))
    assert free(world, 0) < 0
    assert [slot for trader, slot, _ in world.resting() if trader == 0] == [2]
    assert world.order(0, BUY, PRICE - 6_000, 100, slot=3).code in (codes.MARGIN, codes.TAKER_MARGIN)
    assert world.order(2, SELL, PRICE - 6_000, 1_000, time_in_force=IOC).status == "expired"
    assert [trader for trader, _, _ in world.resting()] == [], "it left where it would have been filled"


@pytest.mark.parametrize("seed", range(3))
def test_the_largest_size_is_the_last_that_is_covered(seed: int) -> None:
    random = Random(seed)
    world = World(2, dollars=100)
    world.order(1, SELL, PRICE, 6_000)
    world.order(0, BUY, PRICE, random.choice((500, 3_000)))
    risk = world.engine.globals.risk
    settled = world.engine.account(FIRST)
    for _ in range(200):
        open: dict[int, Sums] = {}
        for _ in range(random.randrange(3)):
            market = random.choice((BTC, ETH))
            limit = PRICES[market] * random.randrange(980, 1_021) // 1_000
            placed = order(0, FIRST, random.choice((BUY, SELL)), limit, market=market)
            open = with_lots(open, placed, random.randrange(1, 4_000), False, PRICES[market])
        limit = PRICE * random.randrange(980, 1_021) // 1_000
        given = order(0, FIRST, random.choice((BUY, SELL)), limit)
        now = cover(risk, settled, open)

        def covered(lots: int, open: dict[int, Sums] = open, given: containers.Order = given) -> bool:
            after = cover(risk, settled, with_lots(open, given, lots, False, PRICE))
            return after.free >= 0 or after.required <= cover(risk, settled, open).required

        most = most_lots(risk, settled, open, given, is_armed=False)
        assert most == 0 or covered(most)
        assert not covered(most + 1), (now, open, given)


def test_with_lots_forgets_what_is_nothing() -> None:
    given = order(0, FIRST, BUY, PRICE + 5)
    once = with_lots({}, given, 10, False, PRICE)
    assert once == {BTC: Sums(10, 0, 50, 0)}
    assert with_lots(once, given, -10, False, PRICE) == {}
    assert with_lots({}, order(0, FIRST, BUY, PRICE, reduce_only=1), 10, False, PRICE) == {}
    assert NOTHING.plus(given, 3, 4) == Sums(3, 0, 4, 0)
