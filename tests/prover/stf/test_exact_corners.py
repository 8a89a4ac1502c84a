"""As `test_corners.py`: what only an exact number, a single lot or the last bit tells apart."""

from typing import Any, Final

import msgspec
import pytest

from prover.signing import operations, signatures
from prover.signing.recover import recover_fast
from prover.stf import codes as c
from prover.stf import constants, containers, margin
from prover.stf.signatures import HALF_ORDER
from tests.prover.stf.test_exact_rescues import FUND, PRICE, closing, even, fractions, holder, priced
from tests.twins import venue
from tests.twins.venue import DOLLAR, KEYS, NOW, OWNERS, account, position

ALICE: Final = venue.FIRST
# What the other one of a fill trades with.
OTHER: Final = ALICE
Side = dict[str, Any]


class Fills:
    """Fills, each of two orders of its own: of somebody who has a row of his own, and of one who has enough."""

    def __init__(self, globals: containers.Globals) -> None:
        self.globals = globals
        self.rows = {OTHER: account(OWNERS[1], 2**60)}
        self.orders: list[bytes] = []
        self.fills: list[bytes] = []
        self.expected: list[int] = []

    def add(self, code: int, row: containers.Account, lots: int, filled: int | None = None, **fields: Any) -> None:
        """Somebody makes, the other one takes as much at the same price; `takes` are fields of the taker's order."""
        index = max(self.rows) + 1
        self.rows[index] = row
        takes = fields.pop("takes", {})
        price = self.globals.risk.price[fields.get("market", 0)]
        makes = {"side": constants.SELL, "size": lots, "limit_price": price} | fields
        taken = makes | {"slot": index - OTHER, "side": 1 - makes["side"], "reduce_only": 0} | takes
        at = len(self.orders)
        key = venue.KEY_OF[row.owner]
        self.orders.append(venue.signed_order(venue.order(index, **makes), key))
        self.orders.append(venue.signed_order(venue.order(OTHER, **taken), KEYS[1]))
        self.fills.append(operations.fill_bytes(at, at + 1, lots if filled is None else filled))
        self.expected.append(code)

    def run(self) -> None:
        """Both twins, and the codes."""
        state = venue.build_state(self.globals, self.rows)

        codes = venue.run(state, *self.orders, *self.fills).codes

        assert list(codes) == [c.OK] * len(self.orders) + self.expected


def test_a_fill_is_decided_by_the_last_lot_bit_and_micro_dollar() -> None:
    globals = even()
    fills = Fills(globals)
    # One lot is a position like others; a taker who wants all of his gets it of a larger maker.
    fills.add(c.OK, holder(globals, 0, 1, DOLLAR), 1, reduce_only=1)
    fills.add(c.OK, account(OWNERS[2]), 30, 20, takes={"size": 20, "time_in_force": constants.FILL_OR_KILL})
    # More lots than an order has, by the highest of its seven bytes alone.
    fills.add(c.OVERFILLED, account(OWNERS[2]), 9, 2**48 + 7)
    # What others hold is worth, and requires, what it does: 15,000 and 9,000 a lot.
    for less, code in ((1, c.MAKER_MARGIN), (0, c.OK)):
        fills.add(code, holder(globals, 1, 20, 23 * 15_000 - less), 3)
    for away, code in ((901, c.MAKER_MARGIN), (900, c.OK)):
        row = holder(globals, 0, 100, 108_000)
        row.positions[1] = position(20, 20 * PRICE - DOLLAR)
        fills.add(code, msgspec.structs.replace(row, settled=row.settled - DOLLAR), 50, limit_price=PRICE - away)
    # What a position has cost says nothing of its lots.
    fills.add(c.OK, holder(globals, 0, 100, 400_000, 5), 50)
    # A fee is paid before the bound is looked at.
    globals.markets[2].maker_fee_ppm = 100
    fills.add(c.OK, account(OWNERS[2], constants.COLLATERAL_BOUND - 1 + 300), 10, market=2, max_fee_ppm=100)
    fills.run()


def test_a_leg_needs_its_last_micro_dollar_even_where_prices_are_single_ticks() -> None:
    globals = even()
    fills = Fills(globals)
    # One millionth more than a whole number is required.
    priced(globals, 0, pow(20_001, -1, constants.PPM))
    fractions(globals, 0, 20_001, 10_000)
    needed = margin.requirement(globals.risk.price[0], 1, 20_001)
    # A bound that begins at nothing; a fund that has nothing, and a market of ten micro-dollars.
    bounds = {"interest_lower": 0, "interest_upper": 12 * PRICE}
    globals.markets[1] = msgspec.structs.replace(globals.markets[1], **bounds, fund=2**60)
    scaled = margin.requirement(PRICE, 3, margin.scaled_ppm(globals.markets[1], PRICE, 3, 50_000))
    globals.markets[2] = msgspec.structs.replace(globals.markets[2], interest_lower=2**60, interest_upper=2**61, fund=0)
    priced(globals, 2, 1)
    for market, lots, equity in ((0, 1, needed), (1, 3, scaled), (2, 10, 10)):
        fills.add(c.MAKER_MARGIN, account(OWNERS[2], equity - 1), lots, market=market)
        globals.markets[market].open_interest = 0
    for market, lots, equity in ((0, 1, needed), (1, 3, scaled), (2, 10, 10)):
        fills.add(c.OK, account(OWNERS[2], equity), lots, market=market)
    fills.run()


def test_in_a_grace_what_is_out_of_bounds_is_so_first() -> None:
    fills = Fills(even(grace_until=NOW + 1))
    fills.add(c.OUT_OF_BOUNDS, holder(fills.globals, 0, 1 - constants.SIZE_BOUND, 2**80), 1)
    fills.add(c.GRACE, account(OWNERS[2]), 1)
    fills.run()


@pytest.mark.parametrize("stale", [0, 1])
def test_the_first_of_two_reasons_against_a_fill_is_said(stale: int) -> None:
    globals = even(tick_time=NOW - constants.MAX_PRICE_AGE - stale)
    fills = Fills(globals)
    priced(globals, 1, 0)
    fills.add(c.MISMATCHED, account(OWNERS[2]), 1, market=1, limit_price=9, takes={"market": 2})
    fills.add(c.NO_MARKET, account(OWNERS[2]), 1, market=1, limit_price=9)
    fills.add(c.STALE if stale else c.POST_ONLY, account(OWNERS[2]), 1, takes={"post_only": 1})
    fills.run()


def test_a_deposit_is_the_funds_where_it_names_one_of_sixteen() -> None:
    rows = {ALICE: account(OWNERS[1]), constants.FEE_ACCOUNT: account(venue.OPERATOR, 7)}
    chunk = (
        venue.deposit(OWNERS[1], 5, ALICE),
        venue.deposit(venue.OPERATOR, 5, constants.FEE_ACCOUNT),
        venue.deposit(OWNERS[1], 5, constants.RESERVED_ACCOUNTS - 1),
    )

    assert venue.run(venue.build_state(even(), rows), *chunk).codes == (c.OK, c.OK, c.OK)
    assert venue.run(venue.build_state(even(), {ALICE + 1: account()}), chunk[0]).codes == (c.REFUNDED,)


LATE: Final = (2**24 + 3) * constants.EPOCH


def test_every_bit_of_an_account_is_read() -> None:
    lots = {market: position(market + 1, -market, market) for market in range(8, constants.MARKETS)}
    rows = {
        ALICE: account(OWNERS[1], positions=lots, floor=2**48 + 5),
        ALICE + 1: account(OWNERS[1], epoch=2**24 + 2, older=3, fresh=5),
        ALICE + 2: account(OWNERS[1], epoch=2**24 + 2, factor=(2**32 - 1) * 2**64 + 2**63, older=3, fresh=5),
    }
    deposits = [venue.deposit(OWNERS[1], 1, index) for index in rows]

    assert venue.run(venue.build_state(even(tick_time=LATE), rows, timestamp=LATE), *deposits).codes == (c.OK,) * 3


def test_a_signature_may_have_the_largest_low_s_and_a_request_the_lowest_sequence() -> None:
    message = venue.request(ALICE, max_posting_fee=0)
    digest = signatures.request_digest(venue.DOMAIN, constants.CANCEL, message)
    # Whoever that is.
    r = int.from_bytes(venue.sign(KEYS[1], digest)[:32], "big")
    owner = recover_fast(digest, 27, r, HALF_ORDER)
    signed = operations.request_bytes(constants.CANCEL, message, r.to_bytes(32, "big") + HALF_ORDER.to_bytes(32, "big"))
    first = venue.request(ALICE + 1, slot=0, sequence=0)
    odd = venue.request(ALICE + 2, amount=30_001, max_posting_fee=0)
    state = venue.build_state(
        even(), {ALICE: account(owner), ALICE + 1: account(OWNERS[2]), ALICE + 2: account(OWNERS[3])}
    )

    codes = venue.run(
        state,
        signed,
        venue.signed_request(constants.CANCEL_ALL, first, KEYS[2]),
        venue.signed_request(constants.SET_LEVERAGE, odd, KEYS[3]),
    ).codes

    assert codes == (c.OK, c.OK, c.OK)


def test_the_longest_entry_is_one_and_a_head_alone_is_none() -> None:
    longest = venue.entry(constants.LEAVE, bytes(constants.MAX_ENTRY_BYTES - constants.ENTRY_HEAD_LENGTH))
    head = venue.entry(constants.LEAVE, bytes(constants.LEAVE_LENGTH))[: constants.ENTRY_HEAD_LENGTH]

    assert venue.run(venue.build_state(), longest, head).codes == (c.BAD_ENTRY, c.MALFORMED)


def test_an_entry_of_no_known_tag_is_none() -> None:
    entry = venue.entry(constants.SET_VENUE, bytes(constants.SET_VENUE_LENGTH))

    assert venue.run(venue.build_state(), bytes([constants.SET_VENUE + 1]) + entry[1:]).codes == (c.MALFORMED,)


def test_what_a_withdrawal_pays_is_not_said_by_the_time_at_which_it_expires() -> None:
    state = venue.build_state(accounts={ALICE: account()})
    paid = venue.withdrawal(state, ALICE, DOLLAR, expires_at=NOW + 9_999)

    assert venue.run(state, paid).codes == (c.OK,)
    assert state.commitment.withdrawn_total == DOLLAR


def test_a_tick_that_ends_with_its_head_is_cut_off() -> None:
    tick = venue.tick(NOW + 5_000, [600_000, 300_000, 1_500_000])[: constants.TICK_HEAD_LENGTH]

    assert venue.run(venue.build_state(), tick).codes == (c.MALFORMED,)


def test_the_least_time_of_a_chunk_that_serves_the_queue_alone() -> None:
    state = venue.build_state(accounts={ALICE: account()})
    chunk = (venue.signed_order(venue.order(ALICE), KEYS[1]), venue.deposit(OWNERS[1], 5, ALICE))

    assert venue.run(state, *chunk, timestamp=constants.QUEUE_ONLY_BIT).codes == (c.QUEUE_ONLY, c.OK)


def test_whoever_leaves_is_paid_whatever_his_index() -> None:
    leaver = 2**23
    head = {"head_account": leaver, "head_market": constants.MARKETS, "head_lots": 0}

    closing(even(), {leaver: account(OWNERS[1], DOLLAR)}, (FUND, 1, c.OK), **head)


@pytest.mark.parametrize("late", [0, 1])
@pytest.mark.parametrize(("head_age", "tick_age"), [(0, 1), (1, 0)])
def test_a_head_is_over_with_an_entry_of_half_an_hour_later(head_age: int, tick_age: int, late: int) -> None:
    globals = even(tick_time=NOW - tick_age)
    head = {"head_account": ALICE, "head_market": 0, "head_lots": 3, "head_time": NOW - head_age, "head_limit": 5}
    for name, value in head.items():
        setattr(globals, name, value)
    rows = {1: account(OWNERS[3], 0), ALICE: holder(globals, 0, 3, 10 * DOLLAR)}
    state = venue.build_state(globals, rows, begun=1)
    passing = [venue.deposit(containers.NOBODY, 5), venue.about_nobody(NOW + constants.HEAD_PATIENCE + late)]
    step = operations.rescue_bytes(constants.CLOSE_STEP, containers.Rescue(0, 0, ALICE, FUND, 3))

    assert venue.run(state, *passing).codes == (c.REFUNDED, c.RESERVED)
    assert state.globals.head_limit == (constants.HEAD_OVER if late else 5)
    assert venue.run(state, step, timestamp=state.commitment.timestamp).codes == (c.STALE if late else c.UNSTEADY,)


@pytest.mark.parametrize(
    ("head_age", "tick_age", "code"),
    [
        (constants.HEAD_PATIENCE, constants.PRICES_GONE + 1, c.UNSTEADY),
        (constants.HEAD_PATIENCE + 1, constants.PRICES_GONE, c.UNSTEADY),
        (constants.HEAD_PATIENCE + 1, constants.PRICES_GONE + 1, c.STALE),
    ],
)
def test_without_a_tick_for_three_days_a_head_ends_by_itself(head_age: int, tick_age: int, code: int) -> None:
    globals = even(tick_time=NOW - tick_age)

    closing(globals, {ALICE: holder(globals, 0, 3, 10 * DOLLAR)}, (FUND, 1, code), head_time=NOW - head_age)


@pytest.mark.parametrize("dollars", [10, 0])
def test_who_leaves_and_finds_no_price_pays_the_funding_that_is_due_first(dollars: int) -> None:
    globals = even(tick_time=NOW - constants.HEAD_PATIENCE - 1)
    leaver = holder(globals, 0, 3, dollars * DOLLAR)
    globals.risk.funding_index[0] = 7
    head = {"head_account": ALICE, "head_market": constants.MARKETS, "head_lots": 0, "head_limit": constants.HEAD_OVER}

    closing(globals, {ALICE: leaver}, (FUND, 1, c.STALE), head_time=NOW - constants.HEAD_PATIENCE - 1, **head)
