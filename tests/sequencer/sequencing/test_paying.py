"""What is taken by what its bytes on L1 cost: who pays for himself, and what an exit is worth."""

from typing import Any, Final

import pytest

from prover.signing.signed import SignedOperation, read
from prover.stf import codes, constants
from sequencer.engine.engine import Engine
from sequencer.engine.money.posting import COST_PPM, OF_ACCOUNT, OF_ALL, fees, is_dear, pays
from sequencer.engine.records import UNPAID_KEY
from sequencer.sequencing.paying import order_pays, takes
from sequencer.sequencing.staged_store import BufferedStore
from tests.sequencer.node_world import (
    BTC,
    BUY,
    DOLLAR,
    DOMAIN,
    FIRST,
    IOC,
    PRICES,
    SELL,
    World,
    key,
    order,
    request,
    signed_request,
)

PRICE = PRICES[BTC]
# 128,000 micro-dollars: at 500 gwei and 4,000 dollars an ether. Two orders and a fill are 237 bytes: 30 dollars.
BYTE = 128_000
_PAIR: Final = 2 * constants.ORDER_LENGTH + constants.FILL_LENGTH
_DAY: Final = 86_400_000


def held(lots: int = 100_000) -> World:
    """Account 1 is long, account 0 short, and account 2 bids for more than both have."""
    world = World(3, dollars=1_000_000)
    world.order(0, SELL, PRICE, lots)
    world.order(1, BUY, PRICE, lots)
    assert world.position(1) == lots
    assert world.order(2, BUY, PRICE, 10 * lots, slot=2).status == "resting"
    return world


def asked(world: World, size: int, byte_micros: int = BYTE, side: int = SELL, **changes: Any) -> bool:
    """Whether an order of account 1 pays for itself."""
    given = {"price": PRICE, "slot": 9, **changes}
    return order_pays(world.engine, order(world.now, FIRST + 1, side, size=size, **given), byte_micros, world.now)


def least_paid(world: World, byte_micros: int) -> int:
    """The fewest lots whose fees pay for two orders and a fill."""
    listed = world.engine.globals.markets[BTC]
    cost = _PAIR * byte_micros - world.engine.globals.posting_fee
    return next(lots for lots in range(1, 10**6) if fees(listed, lots, PRICE) >= cost)


def test_an_order_pays_by_the_fees_of_what_it_meets_and_the_posting_fee() -> None:
    world = held()
    least = least_paid(world, 1_000)
    assert [asked(world, lots, 1_000) for lots in (least, least - 1)] == [True, False]
    assert [asked(world, lots, 1_000, reduce_only=1) for lots in (least, least - 1)] == [True, False]


def test_what_rests_waits_or_is_never_posted_costs_nothing() -> None:
    world = held()
    assert asked(world, 1, price=PRICE + 1)
    assert asked(world, 1, side=BUY, price=PRICE - 1)
    assert asked(world, 1, trigger=constants.TRIGGER_AT_OR_BELOW, trigger_price=PRICE - 9)
    # A sale where nothing is long closes nothing.
    world.order(0, SELL, PRICE + 10, 100_000, slot=3)
    assert asked(world, 1_000, side=BUY, price=PRICE + 10, reduce_only=1)
    soft = signed_request(constants.CANCEL, request(world.now, FIRST + 1, max_posting_fee=0), key(1))
    assert takes(world.engine, read_of(world, soft), BYTE, world.now)


def read_of(world: World, operation: bytes) -> SignedOperation:
    return read(world.engine.domain, operation)


@pytest.mark.parametrize("market", [3, 16, 255])
def test_a_market_that_is_not_there_is_left_to_the_law(market: int) -> None:
    world = held()
    assert asked(world, 100, market=market)
    refused = world.order(1, SELL, PRICE, 100, market=market, reduce_only=1, slot=9)
    assert refused.code == codes.NO_MARKET


def test_an_account_that_is_not_there_pays_for_nothing() -> None:
    world = held()
    given = order(world.now, 9_999, SELL, PRICE, 100, reduce_only=1)
    assert order_pays(world.engine, given, BYTE, world.now)
    assert not order_pays(world.engine, order(world.now, 9_999, SELL, PRICE, 100), BYTE, world.now)


def test_a_whole_exit_is_worth_a_hundredth_of_what_it_closes() -> None:
    """Three thousand dollars at 500 gwei; a part of a position is worth its fees."""
    world = held(7_000)
    cost = _PAIR * BYTE - world.engine.globals.posting_fee
    listed = world.engine.globals.markets[BTC]
    worth = (cost - fees(listed, 7_000, PRICE)) * constants.PPM <= 7_000 * PRICE * COST_PPM
    assert worth
    assert asked(world, 7_000, reduce_only=1)
    assert asked(world, 10**6, reduce_only=1)
    assert not asked(world, 6_999, reduce_only=1)
    assert not asked(world, 7_000)
    # Its maker is too small there, and brings up its own bytes.
    assert not asked(held(2_000), 2_000, reduce_only=1)


def test_a_whole_exit_that_is_not_met_whole_is_a_part() -> None:
    world = held(7_000)
    world.order(0, SELL, PRICE, 63_001, slot=5)
    assert [resting[2] for resting in world.resting()] == [6_999]
    assert not asked(world, 7_000, reduce_only=1)


def test_makers_that_are_too_small_are_nobody_elses_cost() -> None:
    world = held()
    for slot in range(20, 40):
        world.order(0, BUY, PRICE + 1, 17, slot=slot)
    least = least_paid(world, 1_000)
    assert not pays(world.engine.globals.markets[BTC], 17, PRICE, 1_000)
    # Within its part of the day the small maker takes his lots; behind it it leaves.
    assert [asked(world, lots + 340, 1_000) for lots in (least, least - 1)] == [True, False]
    world.engine.ledger.unpaid.note(FIRST, OF_ACCOUNT, world.now)
    assert [asked(world, lots, 1_000) for lots in (least, least - 1)] == [True, False]


def test_a_request_pays_where_the_posting_fee_covers_its_bytes() -> None:
    world = held()
    cancel = read_of(world, signed_request(constants.CANCEL, request(world.now, FIRST + 1), key(1)))
    most = world.engine.globals.posting_fee // constants.CANCEL_LENGTH
    world.engine.ledger.unpaid.note(FIRST + 1, OF_ACCOUNT, world.now)
    assert [takes(world.engine, cancel, byte_micros, world.now) for byte_micros in (0, most, most + 1)] == [
        True,
        True,
        False,
    ]


def test_what_does_not_pay_is_borne_within_the_day_of_an_account_and_of_all() -> None:
    world = held()
    unpaid = world.engine.ledger.unpaid
    small = [
        read_of(world, world.signed(order(world.now, FIRST + trader, SELL, PRICE, 17, slot=8), trader))
        for trader in (0, 1)
    ]

    def taken(now: int) -> list[bool]:
        return [takes(world.engine, one, BYTE, now) for one in small]

    assert taken(world.now) == [True, True]
    unpaid.note(FIRST, OF_ACCOUNT - 1, world.now)
    assert taken(world.now) == [True, True]
    unpaid.note(FIRST, 1, world.now)
    assert taken(world.now) == [False, True]
    unpaid.note(FIRST + 7, OF_ALL - OF_ACCOUNT - 1, world.now)
    assert taken(world.now) == [False, True]
    unpaid.note(FIRST + 7, 1, world.now)
    assert taken(world.now) == [False, False]
    assert taken(world.now + _DAY) == [True, True]
    unpaid.note(FIRST + 7, 1, world.now + _DAY)
    assert taken(world.now + _DAY) == [True, True]


def test_of_an_account_a_hundredth_of_its_collateral_is_borne() -> None:
    """A crowd of accounts of a dollar would use up what is borne of all, and keep everybody else out."""
    unpaid = held().engine.ledger.unpaid
    unpaid.note(FIRST, DOLLAR, 0)
    bears = [unpaid.bears(FIRST, money, 0) for money in (-DOLLAR, 0, DOLLAR, 100 * DOLLAR, 101 * DOLLAR, 10**15)]
    assert bears == [False] * 4 + [True] * 2
    assert [unpaid.bears(FIRST + 1, money, 0) for money in (-1, 99, 100)] == [False, False, True]
    unpaid.note(FIRST, OF_ACCOUNT - DOLLAR, 0)
    assert not unpaid.bears(FIRST, 10**15, 0)


def test_who_pays_more_than_his_bytes_owes_nothing_and_has_nothing_saved() -> None:
    world = held()
    unpaid = world.engine.ledger.unpaid
    unpaid.note(FIRST, -DOLLAR, world.now)
    unpaid.note(FIRST, 0, world.now)
    unpaid.note(FIRST, 3, world.now)
    assert unpaid.of(FIRST, world.now) == 3


def test_a_refused_order_is_not_counted() -> None:
    world = held()
    world.byte_micros = BYTE
    refused = world.order(1, SELL, PRICE, 17, slot=0)
    assert not refused.changed
    assert world.engine.ledger.unpaid.of(FIRST + 1, world.now) == 0


def test_a_restart_counts_on_and_the_next_day_begins_with_nothing() -> None:
    world = held()
    unpaid = world.engine.ledger.unpaid
    unpaid.note(FIRST + 1, 7, world.now)
    unpaid.note(FIRST + 1, 3, world.now)
    unpaid.note(FIRST + 2, OF_ALL - 10, world.now)
    world.seal()
    again = Engine(BufferedStore(world.store), DOMAIN)
    assert [again.ledger.unpaid.of(FIRST + trader, world.now) for trader in (1, 2, 3)] == [10, OF_ALL - 10, 0]
    assert not again.ledger.unpaid.bears(FIRST + 3, 10_000 * DOLLAR, world.now)
    assert again.ledger.unpaid.of(FIRST + 1, world.now + _DAY) == 0
    world.now += _DAY
    unpaid.note(FIRST + 3, 1, world.now)
    world.engine.store.stage(world.engine.inputs)
    world.engine.store.flush()
    assert [int.from_bytes(name[-4:], "big") for name, _ in world.store.iterate(UNPAID_KEY)] == [FIRST + 3]


def test_dear_is_where_the_highest_posting_fee_does_not_cover_the_longest_request() -> None:
    assert [is_dear(byte_micros) for byte_micros in (0, 8_403, 8_404)] == [False, False, True]


def test_an_order_that_is_met_and_one_that_is_posted_count_alike() -> None:
    world = held()
    world.byte_micros = BYTE
    before = world.engine.ledger.unpaid.of(FIRST + 1, world.now)
    outcome = world.order(1, SELL, PRICE, 17, slot=8, time_in_force=IOC)
    assert outcome.filled == 17
    fee = fees(world.engine.globals.markets[BTC], 17, PRICE) + world.engine.globals.posting_fee
    cost = world.engine.ledger.unpaid.of(FIRST + 1, world.now) - before
    assert abs(cost - (_PAIR * BYTE - fee)) <= 2
