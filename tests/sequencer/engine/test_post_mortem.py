"""What a post-mortem tells of each kind of rescue is what the law did: an account kept by hand beside the engine's.

Each scene has two markets and two last ticks whose prices differ in both, the better one being another in each.
"""

from copy import deepcopy
from fractions import Fraction
from math import ceil, floor
from typing import Final

import msgspec
import pytest

from prover.signing import operations
from prover.stf import codes, constants, containers, encoding, margin
from sequencer.engine.effects import Processed
from sequencer.engine.liquidator import Liquidator
from sequencer.engine.post_mortem import (
    DELEVERAGING,
    FORCED_CLOSE,
    FORCED_RESCUE,
    JUDGED_PRICES,
    LAST_TICK,
    LIQUIDATION,
    TAKE_OVER,
    UNWINDING,
    PostMortem,
)
from tests.sequencer.node_world import (
    BTC,
    BUY,
    DEPOSITOR,
    DOLLAR,
    ETH,
    FIRST,
    PRICES,
    SELL,
    World,
    deposit,
    leave,
    owner,
)

# 4.2 million dollars on 100,000: maintenance 50,400, close-out 33,600.
HELD: Final = {BTC: 4_000_000, ETH: 6_000_000}
INITIAL_PPM, MAINTENANCE_PPM = 20_000, 12_000
LONG, SHORT = 1, -1
MOST: Final = 2**56 - 1
Moves = tuple[int, int]

# What BTC and ETH lost at a tick, in ppm; of the two last ticks one is better in BTC and the other in ETH.
HEALTHY: Final = (10_000, 10_000)
BELOW: Final = ((13_000, 13_000), (12_500, 13_500))
OUT: Final = ((16_000, 17_000), (17_000, 16_500))
# Below maintenance at judged prices, below close-out at those of the last tick.
OUT_TODAY: Final = ((14_500, 14_500), (17_000, 14_400))
BROKE: Final = ((26_000, 27_000), (27_000, 26_500))


def prices_at(side: int, moves: Moves) -> tuple[int, ...]:
    """The prices at which a long (1) or short (-1) has lost so much."""
    moved = [price - side * price * ppm // constants.PPM for price, ppm in zip(PRICES, (*moves, 0), strict=True)]
    return tuple(moved)


def venue(side: int, fund: int = 0) -> World:
    """Trader 0 holds BTC against trader 1 and ETH against trader 2."""
    world = World(traders=6)
    endow(world, fund)
    for trader, (market, lots) in enumerate(HELD.items(), start=1):
        for index, bought in ((trader, side == SHORT), (0, side == LONG)):
            slot = market + 1
            world.order(index, BUY if bought else SELL, PRICES[market], lots, market=market, slot=slot)
    return world


def endow(world: World, fund: int) -> None:
    """Dollars for both insurance accounts."""
    for market in HELD if fund else ():
        assert world.process(deposit(owner(50), fund * DOLLAR, market + 1)).code == codes.OK


def fall(world: World, side: int, *moves: Moves) -> Processed:
    """One tick after another; what the last one brought, and none before it any rescue."""
    for place, moved in enumerate(moves):
        world.seal()
        outcome = world.tick(prices_at(side, moved))
        assert outcome.code == codes.OK
        assert place == len(moves) - 1 or not outcome.rescues
    return outcome


def bid(world: World, side: int, price: int) -> None:
    """Trader 3 would take all of trader 0's BTC."""
    assert world.order(3, BUY if side == LONG else SELL, price, HELD[BTC]).status == "resting"


def force(world: World, lots: int = MOST, account: int = FIRST) -> Processed:
    """Anybody forces the rescue of an account's BTC."""
    payload = operations.forced_rescue_payload(BTC, account, lots)
    return world.process(operations.entry_bytes(constants.FORCED_RESCUE, DEPOSITOR, world.now, payload))


def force_close(world: World, lots: int) -> Processed:
    """Trader 0 closes BTC by the queue."""
    entry = msgspec.structs.replace(
        encoding.entry(constants.FORCED_CLOSE, 0, 0), account=FIRST, market=BTC, amount=lots
    )
    payload = operations.entry_payload(constants.FORCED_CLOSE, entry)
    return world.process(operations.entry_bytes(constants.FORCED_CLOSE, owner(0), world.now - 1, payload))


class Ledger:
    """One account in integers by hand, without funding: money, and size and cost by market."""

    def __init__(self, row: containers.Account) -> None:
        held = [encoding.unpack(position) for position in row.positions]
        self.money = margin.collateral(row)
        self.legs = {market: (leg.size, leg.cost) for market, leg in enumerate(held) if leg.size}

    def standing(self, prices: list[int]) -> tuple[int, int, int]:
        """Equity, initial and maintenance requirement."""
        equity, initial, maintenance = self.money, 0, 0
        for market, (size, cost) in self.legs.items():
            equity += size * prices[market] - cost
            initial += ceil(Fraction(abs(size) * prices[market] * INITIAL_PPM, constants.PPM))
            maintenance += ceil(Fraction(abs(size) * prices[market] * MAINTENANCE_PPM, constants.PPM))
        return equity, initial, maintenance

    def close(self, market: int, closed: int, quote: int, fee: int = 0) -> None:
        """Takes lots (negative of a short) out of a position for their quote."""
        size, cost = self.legs.pop(market)
        left = cost * (abs(size) - abs(closed)) // abs(size)
        self.money += quote - (cost - left) - fee
        if size != closed:
            self.legs[market] = (size - closed, left)

    def paid_by_open(self, fallen: int, prices: list[int]) -> int:
        """What others have won pays for settled money that has fallen, as another cost; PROTOCOL.md 7.4."""
        won = {market: size * prices[market] - cost for market, (size, cost) in self.legs.items()}
        paid = left = max(min(fallen, sum(won.values())), 0)
        for market, (size, cost) in sorted(self.legs.items()):
            part = min(left, max(won[market], 0))
            self.legs[market] = (size, cost + part)
            left -= part
        self.money += paid
        return paid


def told(record: PostMortem, when: str) -> tuple[int | None, ...]:
    """Equity, initial, maintenance as a post-mortem has them."""
    return tuple(getattr(record, f"{name}_{when}_micros") for name in ("equity", "initial", "maintenance"))


def check(record: PostMortem, before: Ledger, two: tuple[list[int], list[int]], quote: int) -> None:
    """A post-mortem beside the account by hand, which is moved by it; quote: what the law pays, negative of a short.

    two: judged prices and those at which the law counts.
    """
    judged, counted = two
    market = record.market
    side = LONG if before.legs[market][0] > 0 else SHORT
    closed = side * record.lots
    equity, initial, maintenance = before.standing(counted)
    assert told(record, "before") == (equity, initial, maintenance)
    judged_equity, _, judged_maintenance = before.standing(judged)
    assert (record.judged_equity_micros, record.judged_maintenance_micros) == (judged_equity, judged_maintenance)
    assert record.judged_price_ticks == judged[market]
    assert record.quote_micros == side * quote
    rounded = ceil if side == LONG else floor
    assert record.price_ticks == rounded(Fraction(record.quote_micros, record.lots))
    before.close(market, closed, quote, record.fee_micros)
    *_, maintenance_after = after = before.standing(counted)
    assert told(record, "after") == after
    if record.kind == UNWINDING:
        assert record.zero_price_ticks is None
    else:
        discount = equity - Fraction(equity * maintenance_after, maintenance)
        assert record.zero_price_ticks == rounded(counted[market] - discount / closed)
        assert side * record.price_ticks >= side * record.zero_price_ticks


def keeps_its_ratio(record: PostMortem) -> bool:
    """Whether equity over maintenance is what it was, but for a micro-dollar of rounding for the account."""
    exact = Fraction(record.equity_before_micros * record.maintenance_after_micros, record.maintenance_before_micros)
    return record.equity_after_micros == ceil(exact)


def premium(ledger: Ledger, prices: list[int], market: int, closed: int) -> int:
    """What the account gets over the price for lots at its zero price."""
    equity, _, maintenance = ledger.standing(prices)
    size, _ = ledger.legs[market]
    leg, rest = (
        ceil(Fraction(abs(lots) * prices[market] * MAINTENANCE_PPM, constants.PPM)) for lots in (size, size - closed)
    )
    return ceil(Fraction(equity * (maintenance - leg + rest), maintenance)) - equity


def judged_prices(side: int, moves: tuple[Moves, Moves], kinder: bool = True) -> list[int]:
    """Of the last two prices of each market the better one, or the worse one."""
    pairs = zip(*[prices_at(side, moved) for moved in moves], strict=True)
    return [max(pair) if (side == LONG) == kinder else min(pair) for pair in pairs]


def rest(world: World, ledger: Ledger) -> None:
    """What was kept by hand is the engine's account, and the venue is whole."""
    kept = Ledger(world.engine.account(FIRST))
    assert (kept.money, kept.legs) == (ledger.money, ledger.legs)
    world.check()


@pytest.mark.parametrize("side", [LONG, SHORT])
def test_a_liquidation_is_judged_and_paid_at_the_better_prices(side: int) -> None:
    world = venue(side)
    judged = judged_prices(side, BELOW)
    limit = judged[BTC] - side * 200
    bid(world, side, limit)
    ledger = Ledger(world.engine.account(FIRST))
    (record,) = fall(world, side, HEALTHY, *BELOW).rescues
    assert (record.kind, record.counted_at, record.price_ticks) == (LIQUIDATION, JUDGED_PRICES, limit)
    assert 0 <= record.judged_equity_micros < record.judged_maintenance_micros
    # One lot less leaves it below its initial requirement, and the lots that were closed do not, with the fee paid.
    fewer = side * (record.lots - 1)
    less = deepcopy(ledger)
    less.close(BTC, fewer, fewer * limit)
    less_equity, less_initial, _ = less.standing(judged)
    fee = abs(fewer) * limit * MAINTENANCE_PPM // 10**6 // 10
    told = record.one_lot_less_equity_micros, record.one_lot_less_initial_micros
    assert told == (less_equity - fee, less_initial)
    assert less_equity - fee < less_initial
    check(record, ledger, (judged, judged), side * record.lots * limit)
    assert record.equity_after_micros >= record.initial_after_micros
    rest(world, ledger)


@pytest.mark.parametrize("side", [LONG, SHORT])
def test_a_take_over_is_judged_at_the_better_prices_and_paid_at_the_last(side: int) -> None:
    world = venue(side, fund=3_000_000)
    judged, last = judged_prices(side, OUT), list(prices_at(side, OUT[1]))
    ledger = Ledger(world.engine.account(FIRST))
    records = fall(world, side, HEALTHY, *OUT).rescues
    assert [record.market for record in records] == [BTC, ETH]
    for record in records:
        market = record.market
        assert (record.kind, record.counted_at, record.lots) == (TAKE_OVER, LAST_TICK, HELD[market])
        assert record.judged_equity_micros * 3 < record.judged_maintenance_micros * 2
        closed = side * record.lots
        quote = closed * last[market] + premium(ledger, last, market, closed)
        elsewhere = closed * judged[market] + premium(ledger, judged, market, closed)
        # At the judged prices it would be another price, until the better one of what is left is the last.
        assert (abs(quote - elsewhere) > 100 * record.lots) == (market == BTC)
        check(record, ledger, (judged, last), quote)
        assert record.price_ticks == record.zero_price_ticks
        assert keeps_its_ratio(record)
        taken = encoding.unpack(world.engine.account(market + 1).positions[market])
        assert (taken.size, taken.cost) == (closed, quote)
        assert (record.one_lot_less_equity_micros, record.paid_by_fund_micros) == (None, 0)
    rest(world, ledger)


@pytest.mark.parametrize("side", [LONG, SHORT])
@pytest.mark.parametrize("fund", [0, 1_000])
def test_below_zero_each_rescue_is_paid_at_the_zero_price_of_the_last_tick(side: int, fund: int) -> None:
    world = venue(side, fund)
    judged, last = judged_prices(side, BROKE), list(prices_at(side, BROKE[1]))
    ledger = Ledger(world.engine.account(FIRST))
    records = fall(world, side, HEALTHY, *BROKE).rescues
    kinds = [record.kind for record in records]
    assert (DELEVERAGING in kinds, TAKE_OVER in kinds) == (True, fund > 0)
    assert set(kinds) <= {DELEVERAGING, TAKE_OVER}
    for record in records:
        assert (record.counted_at, record.account) == (LAST_TICK, FIRST)
        assert record.judged_equity_micros < 0
        closed = side * record.lots
        over = premium(ledger, last, record.market, closed)
        check(record, ledger, (judged, last), closed * last[record.market] + over)
        assert record.price_ticks == record.zero_price_ticks
        assert keeps_its_ratio(record)
        assert record.paid_by_fund_micros == over or (record.kind == DELEVERAGING and record.paid_by_fund_micros < over)
        assert record.one_lot_less_equity_micros is None
    assert any(record.paid_by_fund_micros for record in records) == (fund > 0)
    rest(world, ledger)


@pytest.mark.parametrize("side", [LONG, SHORT])
@pytest.mark.parametrize("most", [MOST, 100_000])
def test_a_gentle_forced_rescue_is_told_with_its_bound_of_lots(side: int, most: int) -> None:
    world = venue(side, fund=3_000_000)
    judged, last = judged_prices(side, BELOW), list(prices_at(side, BELOW[1]))
    ledger = Ledger(world.engine.account(FIRST))
    assert not fall(world, side, HEALTHY, *BELOW).rescues
    (record,) = force(world, most).rescues
    assert (record.kind, record.counted_at) == (FORCED_RESCUE, LAST_TICK)
    equity, _, maintenance = ledger.standing(last)
    assert maintenance * 2 <= equity * 3
    assert equity < maintenance
    closed = side * record.lots
    lost = Fraction(3 * MAINTENANCE_PPM * (maintenance - equity) * last[BTC], 2 * constants.PPM * maintenance)
    assert 0 < record.lots <= most
    fewer = closed - side
    less = deepcopy(ledger)
    less.close(BTC, fewer, fewer * last[BTC] - ceil((record.lots - 1) * lost))
    less_equity, less_initial, _ = less.standing(last)
    assert (record.one_lot_less_equity_micros, record.one_lot_less_initial_micros) == (less_equity, less_initial)
    assert less_equity < less_initial
    check(record, ledger, (judged, last), closed * last[BTC] - floor(record.lots * lost))
    # The whole bound brings it back to its initial requirement; fewer lots, if somebody asks for fewer, do not.
    assert (record.equity_after_micros >= record.initial_after_micros) == (most == MOST)
    assert (record.lots == most) == (most != MOST)
    rest(world, ledger)
    assert not force(world, 0).rescues


@pytest.mark.parametrize("side", [LONG, SHORT])
def test_a_forced_rescue_below_close_out_is_told_as_a_take_over(side: int) -> None:
    world = venue(side, fund=3_000_000)
    judged, last = judged_prices(side, OUT_TODAY), list(prices_at(side, OUT_TODAY[1]))
    ledger = Ledger(world.engine.account(FIRST))
    assert not fall(world, side, HEALTHY, *OUT_TODAY).rescues
    (record,) = force(world, 1_000_001).rescues
    assert (record.kind, record.counted_at, record.lots) == (FORCED_RESCUE, LAST_TICK, 1_000_001)
    # The node took nothing over: at the better prices it is no case for that yet.
    assert record.judged_equity_micros * 3 >= record.judged_maintenance_micros * 2
    assert record.equity_before_micros * 3 < record.maintenance_before_micros * 2
    closed = side * record.lots
    quote = closed * last[BTC] + premium(ledger, last, BTC, closed)
    check(record, ledger, (judged, last), quote)
    assert record.price_ticks == record.zero_price_ticks
    assert keeps_its_ratio(record)
    assert (record.one_lot_less_equity_micros, record.one_lot_less_initial_micros) == (None, None)
    rest(world, ledger)


@pytest.mark.parametrize("side", [LONG, SHORT])
@pytest.mark.parametrize(("moves", "is_whole"), [(((-1_000, 1_000), (1_000, -1_000)), True), (OUT_TODAY, False)])
def test_a_forced_close_is_judged_and_paid_at_the_worse_prices(
    side: int, moves: tuple[Moves, Moves], is_whole: bool
) -> None:
    """With money enough it costs the whole penalty; where margin is thin, what keeps the ratio."""
    world = venue(side, fund=3_000_000)
    worse = judged_prices(side, moves, kinder=False)
    ledger = Ledger(world.engine.account(FIRST))
    assert not fall(world, side, HEALTHY, *moves).rescues
    (record,) = force_close(world, 1_234_567).rescues
    assert (record.kind, record.counted_at, record.lots) == (FORCED_CLOSE, JUDGED_PRICES, 1_234_567)
    closed = side * record.lots
    penalty = record.lots * worse[BTC] // 100
    spare = -premium(ledger, worse, BTC, closed)
    assert (penalty <= spare) == is_whole
    money = ledger.money
    check(record, ledger, (worse, worse), closed * worse[BTC] - min(penalty, spare))
    last = list(prices_at(side, moves[-1]))
    assert bool(ledger.paid_by_open(money - ledger.money, last)) == is_whole
    assert (record.price_ticks == record.zero_price_ticks) == keeps_its_ratio(record) == (not is_whole)
    assert record.one_lot_less_equity_micros is None
    rest(world, ledger)


def test_what_a_leaver_is_paid_out_is_no_part_of_the_last_close() -> None:
    moves = ((11_000, 11_500), (11_500, 11_000))
    world = venue(LONG, fund=3_000_000)
    worse = judged_prices(LONG, moves, kinder=False)
    ledger = Ledger(world.engine.account(FIRST))
    assert not fall(world, LONG, HEALTHY, *moves).rescues
    records = world.process(leave(world.now - 1, FIRST, owner(0))).rescues
    assert [(record.kind, record.market, record.lots) for record in records] == [
        (FORCED_CLOSE, market, lots) for market, lots in HELD.items()
    ]
    for record in records:
        market, closed = record.market, record.lots
        loss = min(closed * worse[market] // 100, -premium(ledger, worse, market, closed))
        check(record, ledger, (worse, worse), closed * worse[market] - loss)
    assert records[-1].equity_after_micros == ledger.money == world.engine.withdrawals[-1].amount
    assert margin.collateral(world.engine.account(FIRST)) == 0
    world.check()


def test_a_close_against_a_debtor_tells_what_was_borne(monkeypatch: pytest.MonkeyPatch) -> None:
    """The only short is below zero, and no fund: whoever leaves bears of what is missing what the lots have won."""
    # As of a seat that leaves a debtor as he is.
    monkeypatch.setattr(Liquidator, "_deleverage", lambda *_: False)
    world = World(traders=3, dollars=1_500)
    world.process(deposit(owner(2), 50_000 * DOLLAR, FIRST + 2))
    price, lots = PRICES[BTC], 100_000
    world.order(0, SELL, price, lots)
    world.order(1, BUY, price, lots)
    dear = price * 1_037 // 1_000
    fall(world, SHORT, (22_000, 0))
    world.order(1, SELL, dear, lots, slot=3)
    world.order(2, BUY, dear, lots, slot=3)
    moves = ((54_000, 0), (55_000, 0))
    assert not fall(world, SHORT, (30_000, 0), *moves).rescues
    worse, last = list(prices_at(SHORT, moves[0])), list(prices_at(SHORT, moves[1]))
    ledger, debtor = Ledger(world.engine.account(FIRST + 2)), Ledger(world.engine.account(FIRST))
    (record,) = world.process(leave(world.now - 1, FIRST + 2, owner(2))).rescues
    assert (record.kind, record.lots, record.counterparty) == (FORCED_CLOSE, lots, FIRST)
    discount = lots * worse[BTC] // 100
    won = lots * worse[BTC] - ledger.legs[BTC][1]
    missing = premium(debtor, last, BTC, -lots)
    assert 0 < won - discount < missing
    check(record, ledger, (worse, worse), lots * worse[BTC] - won)
    world.check()


@pytest.mark.parametrize("side", [LONG, SHORT])
def test_an_unwinding_is_told_at_the_last_tick_and_has_no_zero_price(side: int) -> None:
    world = venue(side, fund=3_000_000)
    fall(world, side, HEALTHY, *OUT)
    # Worse for the fund than the tick before: judged, it would be at another price.
    further = (18_000, 16_000)
    last = list(prices_at(side, further))
    limit = last[BTC] - side * 500
    assert world.order(3, BUY if side == LONG else SELL, limit, 1_000_000).status == "resting"
    ledger = Ledger(world.engine.account(BTC + 1))
    (record,) = fall(world, side, further).rescues
    assert (record.kind, record.account, record.counterparty) == (UNWINDING, BTC + 1, FIRST + 3)
    assert (record.counted_at, record.price_ticks, record.lots) == (LAST_TICK, limit, 1_000_000)
    check(record, ledger, (last, last), side * record.lots * limit)
    assert record.one_lot_less_equity_micros is None
    world.check()
