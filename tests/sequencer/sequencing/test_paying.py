"""What is taken by what its bytes on L1 cost: who pays for himself, and what an exit is worth."""

from typing import Any, Final

import msgspec
import pytest

from prover.signing.signed import SignedOperation, read
from prover.stf import codes, constants
from sequencer.engine.engine import Engine
from sequencer.engine.money.posting import COST_PPM, OF_ALL, OF_OWNER, Payer, fees, is_dear, payer, pays
from sequencer.engine.records import CANCEL_MAKER, CANCEL_TAKER, UNPAID_KEY
from sequencer.sequencing import paying
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
    owner,
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


def payer_of(trader: int, settled: int = 0) -> Payer:
    """Whoever brings up a trader's bytes."""
    return Payer(FIRST + trader, owner(trader), settled)


def unpaid_of(engine: Engine, trader: int, now: int) -> int:
    """What a trader's account has had of the day."""
    return engine.ledger.unpaid.of(payer_of(trader).keys[0], now)


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


def test_what_is_not_filled_does_not_pay() -> None:
    """A lot is left of an order that has paid; behind it stand an own order, and one that is over and not out yet."""
    world = held()
    least = least_paid(world, 1_000)
    world.order(0, BUY, PRICE + 3, least, slot=3)
    assert world.order(1, SELL, PRICE + 3, least - 1, slot=4).status == "filled"
    own = world.order(1, BUY, PRICE + 1, 10 * least, slot=5)
    over = world.order(2, BUY, PRICE + 2, 10 * least, slot=3, expires_at=world.now + 1)
    assert (own.status, over.status) == ("resting", "resting")
    assert asked(world, 3 * least, 1_000)
    world.now += 2
    assert not asked(world, 3 * least, 1_000)
    given = order(world.now, FIRST + 1, SELL, PRICE, 3 * least, slot=9)
    world.engine.ledger.unpaid.note(payer_of(1), OF_OWNER, world.now)
    signed = read_of(world, world.signed(given, 1))
    # Where own orders leave, it meets who stands behind them.
    assert [takes(world.engine, signed, 1_000, world.now, choice) for choice in (CANCEL_TAKER, CANCEL_MAKER)] == [
        False,
        True,
    ]


def test_so_many_are_looked_at_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """An order that the law refuses for want of margin is free, and would have the whole book looked at."""
    world = held()
    for slot in (5, 6):
        assert world.order(1, BUY, PRICE + slot, 100, slot=slot).status == "resting"
    given = order(world.now, FIRST + 1, SELL, PRICE, 10**9, slot=9)
    answers = dict[int, bool]()
    for most in (3, 2, 1):
        monkeypatch.setattr(paying, "_MOST_MET", most)
        answers[most] = order_pays(world.engine, given, 1_000, world.now, CANCEL_MAKER)
    # Who may be behind them is not known: it is no order that meets nobody.
    assert answers == {3: True, 2: False, 1: False}
    assert order_pays(world.engine, msgspec.structs.replace(given, limit_price=PRICE + 9), 1_000, world.now)


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
    world.engine.ledger.unpaid.note(payer_of(0), OF_OWNER, world.now)
    assert [asked(world, lots, 1_000) for lots in (least, least - 1)] == [True, False]


def test_a_request_pays_where_the_posting_fee_covers_its_bytes() -> None:
    world = held()
    cancel = read_of(world, signed_request(constants.CANCEL, request(world.now, FIRST + 1), key(1)))
    most = world.engine.globals.posting_fee // constants.CANCEL_LENGTH
    world.engine.ledger.unpaid.note(payer_of(1), OF_OWNER, world.now)
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
    unpaid.note(payer_of(0), OF_OWNER - 1, world.now)
    assert taken(world.now) == [True, True]
    unpaid.note(payer_of(0), 1, world.now)
    assert taken(world.now) == [False, True]
    unpaid.note(payer_of(7), OF_ALL - OF_OWNER - 1, world.now)
    assert taken(world.now) == [False, True]
    unpaid.note(payer_of(7), 1, world.now)
    assert taken(world.now) == [False, False]
    assert taken(world.now + _DAY) == [True, True]
    unpaid.note(payer_of(7), 1, world.now + _DAY)
    assert taken(world.now + _DAY) == [True, True]


def test_of_an_account_a_hundredth_of_what_has_settled_is_borne() -> None:
    """A crowd of accounts of a dollar would use up what is borne of all, and keep everybody else out."""
    unpaid = held().engine.ledger.unpaid
    unpaid.note(payer_of(0), DOLLAR, 0)
    money = -DOLLAR, 0, DOLLAR, 100 * DOLLAR, 101 * DOLLAR, 10**15
    assert [unpaid.bears(payer_of(0, settled), 0) for settled in money] == [False] * 4 + [True] * 2
    assert [unpaid.bears(payer_of(1, settled), 0) for settled in (-1, 99, 100)] == [False, False, True]
    unpaid.note(payer_of(0), OF_OWNER - DOLLAR, 0)
    assert not unpaid.bears(payer_of(0, 10**15), 0)


def test_of_an_owner_no_more_is_borne_for_having_accounts() -> None:
    unpaid = held().engine.ledger.unpaid
    unpaid.note(payer_of(0), OF_OWNER - 1, 0)
    other = Payer(FIRST + 9, owner(0), 1_000 * DOLLAR)
    assert unpaid.bears(other, 0)
    unpaid.note(other, 1, 0)
    assert not unpaid.bears(other, 0)
    assert unpaid.bears(payer_of(1, 1_000 * DOLLAR), 0)


def test_what_is_won_counts_once_it_has_settled() -> None:
    world = held()
    account, risk = world.engine.account(FIRST), world.engine.globals.risk
    won = msgspec.structs.replace(account, settled=1, older=2, fresh=4, epoch=world.now // constants.EPOCH)
    epochs = [payer(risk, FIRST, won, world.now + count * constants.EPOCH) for count in range(3)]
    assert [(one.owner, one.settled) for one in epochs] == [(owner(0), 1), (owner(0), 3), (owner(0), 7)]


def test_a_withdrawal_is_worth_a_hundredth_of_itself_however_much_was_borne() -> None:
    world = held()
    world.engine.ledger.unpaid.note(payer_of(7), OF_ALL, world.now)
    cost = constants.WITHDRAW_LENGTH * 1_000 - world.engine.globals.posting_fee
    for tag, amount, is_taken in (
        (constants.WITHDRAW, 100 * cost, True),
        (constants.WITHDRAW, 100 * cost - 1, False),
        (constants.TRANSFER, 100 * cost, False),
    ):
        asking = request(world.now, FIRST + 1, amount=amount, recipient=owner(1))
        signed = read_of(world, signed_request(tag, asking, key(1)))
        assert takes(world.engine, signed, 1_000, world.now) == is_taken


def test_who_pays_more_than_his_bytes_owes_nothing_and_has_nothing_saved() -> None:
    world = held()
    unpaid = world.engine.ledger.unpaid
    unpaid.note(payer_of(0), -DOLLAR, world.now)
    unpaid.note(payer_of(0), 0, world.now)
    unpaid.note(payer_of(0), 3, world.now)
    assert unpaid_of(world.engine, 0, world.now) == 3


def test_a_refused_order_is_not_counted() -> None:
    world = held()
    world.byte_micros = BYTE
    refused = world.order(1, SELL, PRICE, 17, slot=0)
    assert not refused.changed
    assert unpaid_of(world.engine, 1, world.now) == 0


def test_a_restart_counts_on_and_the_next_day_begins_with_nothing() -> None:
    world = held()
    unpaid = world.engine.ledger.unpaid
    unpaid.note(payer_of(1), 7, world.now)
    unpaid.note(payer_of(1), 3, world.now)
    unpaid.note(payer_of(2), OF_ALL - 10, world.now)
    world.seal()
    again = Engine(BufferedStore(world.store), DOMAIN)
    assert [unpaid_of(again, trader, world.now) for trader in (1, 2, 3)] == [10, OF_ALL - 10, 0]
    assert not again.ledger.unpaid.bears(payer_of(3, 10_000 * DOLLAR), world.now)
    assert unpaid_of(again, 1, world.now + _DAY) == 0
    world.now += _DAY
    unpaid.note(payer_of(3), 1, world.now)
    world.engine.store.stage(world.engine.inputs)
    world.engine.store.flush()
    kept = {name[len(UNPAID_KEY) :] for name, _ in world.store.iterate(UNPAID_KEY)}
    assert kept == set(payer_of(3).keys)


def test_dear_is_where_the_highest_posting_fee_does_not_cover_the_longest_request() -> None:
    assert [is_dear(byte_micros) for byte_micros in (0, 8_403, 8_404)] == [False, False, True]


def test_an_order_that_is_met_and_one_that_is_posted_count_alike() -> None:
    world = held()
    world.byte_micros = BYTE
    before = unpaid_of(world.engine, 1, world.now)
    outcome = world.order(1, SELL, PRICE, 17, slot=8, time_in_force=IOC)
    assert outcome.filled == 17
    fee = fees(world.engine.globals.markets[BTC], 17, PRICE) + world.engine.globals.posting_fee
    cost = unpaid_of(world.engine, 1, world.now) - before
    assert abs(cost - (_PAIR * BYTE - fee)) <= 2
