"""Where one more or one less decides, and what random chunks seldom come to: each chunk of these is published."""

from typing import Any, Final

import msgspec
import pytest

from prover.signing import operations
from prover.stf import codes as c
from prover.stf import constants, containers, encoding
from prover.stf.replay import KINDS, is_entry
from tests.prover.stf.test_market_life import change, state_of
from tests.twins import venue
from tests.twins.venue import DOLLAR, KEYS, NOW, OWNERS, account, position

ALICE: Final = venue.FIRST
# An operation of each, refused: they take room all the same. The first three look at an account.
FILLERS: Final = (constants.CANCEL_ALL, constants.ORDER, constants.DEPOSIT, constants.FILL, constants.TICK)


def blank(tag: int) -> bytes:
    """An operation of nothing but zeros, of the right length."""
    if not is_entry(tag) or tag == constants.DEPOSIT:
        return bytes([tag]) + bytes(KINDS[tag].length - 1)
    lengths = {
        constants.FORCED_RESCUE: constants.FORCED_RESCUE_LENGTH,
        constants.FORCED_WITHDRAW: constants.FORCED_WITHDRAW_LENGTH,
        constants.FORCED_CLOSE: constants.FORCED_CLOSE_LENGTH,
        constants.LEAVE: constants.LEAVE_LENGTH,
        constants.FORCED_AGENT: constants.FORCED_AGENT_LENGTH,
        constants.FORCED_TICK: constants.TICK_HEAD_LENGTH - 1,
        constants.SET_MARKET: constants.SET_MARKET_LENGTH,
        constants.SET_VENUE: constants.SET_VENUE_LENGTH,
    }
    return venue.entry(tag, bytes(lengths[tag]), containers.NOBODY, 0)


def filled(weight: int, accounts: int) -> list[bytes]:
    """Refused operations that take exactly so much weight and look at exactly so many accounts."""
    first, second, third, fourth, fifth = (KINDS[tag].weight for tag in FILLERS)
    # As many orders as may be: they take slots as well.
    for orders in range(accounts, -1, -1):
        for cancels in range(accounts - orders + 1):
            deposits = accounts - cancels - orders
            left = weight - cancels * first - orders * second - deposits * third
            for fills in range(max(left, -1) // fourth + 1):
                if (left - fills * fourth) % fifth == 0:
                    counts = (cancels, orders, deposits, fills, (left - fills * fourth) // fifth)
                    return [blank(tag) for tag, count in zip(FILLERS, counts, strict=True) for _ in range(count)]
    raise AssertionError((weight, accounts))


@pytest.mark.parametrize("tag", sorted(KINDS))
def test_the_last_operation_takes_exactly_what_a_chunk_has_left(tag: int) -> None:
    kind = KINDS[tag]
    room = filled(constants.MAX_WEIGHT - kind.weight, constants.MAX_ACCOUNT_REFERENCES - kind.accounts)
    state = venue.build_state(accounts={ALICE: account()})

    *before, last, after = venue.run(state, *room, blank(tag), blank(constants.FILL)).codes

    assert c.FULL not in before
    assert (last == c.FULL, after) == (False, c.FULL)


@pytest.mark.parametrize("tag", sorted(KINDS))
def test_one_kilogas_more_than_there_is_left_is_too_much(tag: int) -> None:
    kind = KINDS[tag]
    room = filled(constants.MAX_WEIGHT - kind.weight + 1, constants.MAX_ACCOUNT_REFERENCES - kind.accounts)

    *before, last = venue.run(venue.build_state(accounts={ALICE: account()}), *room, blank(tag)).codes

    assert c.FULL not in before
    assert last == c.FULL


def test_one_account_more_than_there_is_left_is_too_much() -> None:
    room = [blank(constants.DEPOSIT)] * constants.MAX_ACCOUNT_REFERENCES

    *before, last = venue.run(venue.build_state(), *room, blank(constants.UNWIND)).codes

    assert c.FULL not in before
    assert last == c.FULL


@pytest.mark.parametrize("fields", [{"amount": 1}, {"first_slot": 0, "last_slot": 1}])
def test_nobody_is_trusted_by_the_one_word_that_is_zero(fields: dict[str, int]) -> None:
    state = venue.build_state(accounts={ALICE: account()})
    dismissal = venue.request(ALICE, recipient=containers.NOBODY, **fields)

    made = venue.signed_request(constants.SET_AGENT, dismissal, KEYS[1])

    assert venue.run(state, made).codes == (c.NOT_CANONICAL,)


@pytest.mark.parametrize("fields", [{"label": b"X".ljust(31, b"\0") + b"\5"}, {"status": constants.MARKET_CLOSED}])
def test_a_market_keeps_its_label_and_stays_listed(fields: dict[str, bytes | int]) -> None:
    state = state_of()

    assert venue.run(state, change(state, **fields)).codes == (c.OUT_OF_RANGE,)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"maker_fee_ppm": 100, "taker_fee_ppm": 100}, c.OK),
        ({"maker_fee_ppm": 101, "taker_fee_ppm": 101}, c.STEP_LIMIT),
        ({"maker_fee_ppm": 0, "taker_fee_ppm": 101}, c.STEP_LIMIT),
        ({"minimum_notional": 12_500_000}, c.OK),
        ({"minimum_notional": 12_500_001}, c.STEP_LIMIT),
    ],
)
def test_a_parameter_moves_by_one_step(fields: dict[str, int], code: int) -> None:
    state = state_of()
    assert state.globals.markets[0].minimum_notional == 10_000_000

    assert venue.run(state, change(state, **fields)).codes == (code,)


@pytest.mark.parametrize(("left", "paid"), [(1, DOLLAR), (0, 0)])
def test_a_forced_withdrawal_pays_while_there_is_a_leaf_for_it(left: int, paid: int) -> None:
    globals = venue.globals_of(withdrawal_count=constants.MAX_WITHDRAWALS - left)
    state = venue.build_state(globals, {ALICE: account()})
    asked = venue.owned(constants.FORCED_WITHDRAW, ALICE, amount=DOLLAR)

    outcome = venue.run(state, venue.entry(constants.FORCED_WITHDRAW, asked))

    assert (outcome.codes == (c.OK,)) is (left == 1)
    assert state.commitment.withdrawn_total == paid
    assert state.globals.withdrawal_count == constants.MAX_WITHDRAWALS


def test_where_all_seven_signers_are_the_quorum_all_seven_are_counted() -> None:
    state = venue.build_state(venue.globals_of(quorum=7))
    tick = venue.tick(NOW + 5_000, [601_000, 301_000, 1_501_000], signers=range(7))

    assert venue.run(state, tick).codes == (c.OK,)
    assert state.globals.risk.price[0] == 601_000


# Rows and markets whose fields all differ: whoever reads one for another comes to something else.
OWNER: Final = OWNERS[1]
# With the lowest bit set, which stands beside the time in an entry's head.
ODD: Final = next(number for number in range(2, 20) if OWNERS[number][-1] & 1)
SECOND, THIRD, FOURTH, FIFTH, SIXTH, SEVENTH, EIGHTH = range(ALICE + 1, ALICE + 8)
PRICES: Final = (600_000, 300_000, 1_500_000)
POSTING_FEE: Final = 499


def distinct(**changes: Any) -> containers.Globals:
    """Globals whose fields are all different and none zero."""
    values = {
        "posting_fee": POSTING_FEE,
        "withdrawal_count": 11,
        "frontier": [bytes([7 + level]) * 32 for level in range(32)],
        "deposited_total": 2**50 + 1,
        "funding_dust": -(2**40) - 3,
        "grace_period": 11_000,
        "grace_until": NOW,
        "streak": constants.STEADY_TICKS,
        "venue_changed_at": 5,
    }
    globals = venue.globals_of(**(values | changes))
    for market, listed in enumerate(globals.markets[: globals.market_count]):
        step = market + 1
        listed.maker_fee_ppm += step
        listed.taker_fee_ppm += 7 * step
        listed.premium_ppb = 11 * step
        listed.open_interest = 10**10 * step + 1
        listed.fund = 10**18 * step + 3
        listed.interest_lower, listed.interest_upper = 2**80 + step, 2**81 - step
        listed.turned_over = 13 * step + 23 * step * constants.UNWOUND
        listed.paid_out = 17 * step
        listed.previous_price += (-1) ** (market + 1) * 19 * step
        globals.risk.initial_ppm[market] += 23 * step
        globals.risk.maintenance_ppm[market] += 29 * step
        globals.risk.funding_index[market] = (-1) ** market * 10**9 * 1_009 * step + step
    return globals


def rich(salt: int, owner: bytes = OWNER, **changes: Any) -> containers.Account:
    """An account whose fields are all different and none zero, with positions in three markets, both ways."""
    positions = {}
    for market, price in enumerate(PRICES):
        size = (-1) ** (market + salt) * (1_000 + 10 * salt + market)
        positions[market] = position(size, size * price + 31 * salt + market, 10**9 * (37 * salt + market) + 5 * market)
    values = {
        "floor": 3 + salt,
        "older": 10_000 * DOLLAR + 5 * salt,
        "fresh": 1_000 * DOLLAR + 7 * salt,
        "initial_ppm": 30_000 + salt,
        "agents": [
            encoding.agent_word(venue.AGENTS[0], NOW, 2, 7 + salt),
            encoding.agent_word(venue.AGENTS[1], NOW + salt, 0, 255),
        ],
    }
    row = account(owner, 100_000 * DOLLAR + 3 * salt, positions, **values)
    return msgspec.structs.replace(row, **changes)


def asked(tag: int, index: int, key: bytes = KEYS[1], **fields: Any) -> bytes:
    """A request that is good and pays exactly the posting fee."""
    return venue.signed_request(tag, venue.request(index, **({"max_posting_fee": POSTING_FEE} | fields)), key)


def ordered(index: int, key: bytes = KEYS[1], **fields: Any) -> bytes:
    """An order, signed."""
    return venue.signed_order(venue.order(index, **fields), key)


@pytest.mark.parametrize("ago", range(3))
def test_requests_change_what_they_name_and_nothing_else(ago: int) -> None:
    rows = {index: rich(index, epoch=venue.EPOCH - ago) for index in range(ALICE, EIGHTH + 1)}
    sequences = {index: rows[index].floor for index in rows}
    slots = {index << 8 | 5: containers.Slot(sequences[index], 9) for index in rows}
    state = venue.build_state(distinct(), rows, slots)

    def good(tag: int, index: int, **fields: Any) -> bytes:
        return asked(tag, index, **({"slot": 5, "sequence": sequences[index]} | fields))

    agent = KEYS[20]
    chunk = (
        good(constants.WITHDRAW, ALICE, amount=99_999 * DOLLAR, recipient=venue.RECIPIENT),
        good(constants.TRANSFER, SECOND, amount=100_500 * DOLLAR, other=THIRD),
        good(constants.TRANSFER, THIRD, amount=123 * DOLLAR, other=constants.NEW_ACCOUNT),
        good(constants.CANCEL, FOURTH, key=agent, slot=5),
        good(constants.CANCEL_ALL, FIFTH, key=KEYS[21], slot=0, sequence=NOW),
        good(constants.SET_AGENT, SIXTH, other=0, recipient=OWNERS[9], amount=2**48 - 1, first_slot=7, last_slot=7),
        good(constants.SET_AGENT, SEVENTH, other=1, recipient=containers.NOBODY, first_slot=0, last_slot=0),
        good(constants.SET_LEVERAGE, EIGHTH, amount=constants.PPM),
    )

    assert set(venue.run(state, *chunk).codes) == {c.OK}


ENTRIES: Final = {
    "to a trader": venue.deposit(OWNER, 4_567, SECOND),
    "to a fund": venue.deposit(OWNERS[9], 7_654, 2),
    "to the last fund": venue.deposit(OWNERS[9], 6_543, 16),
    "to fees": venue.deposit(OWNERS[9], 5_678, 0),
    "to a new one": venue.deposit(OWNERS[9], 8_765),
    "of nothing": venue.deposit(OWNERS[9], 0),
}


@pytest.mark.parametrize(("age", "grace", "ago"), [(20_000, 0, 0), (20_001, 0, 1), (20_000, 1, 2)])
def test_entries_change_what_they_name_and_nothing_else(age: int, grace: int, ago: int) -> None:
    globals = distinct(grace_until=NOW + grace, tick_time=NOW - age)
    epoch = venue.EPOCH - ago
    rows = {index: rich(index, epoch=epoch) for index in (2, 3, *range(ALICE, EIGHTH + 1))}
    rows[THIRD] = rich(THIRD, epoch=epoch, positions=[containers.EMPTY] * constants.MARKETS)
    rows[FIFTH] = rich(FIFTH, OWNERS[ODD], epoch=epoch, floor=2**47)
    rows[SIXTH] = rich(SIXTH, epoch=epoch, older=5, fresh=7)
    rows[EIGHTH] = rich(EIGHTH, epoch=epoch, older=5, fresh=7, initial_ppm=constants.PPM)
    state = venue.build_state(globals, rows)
    everything = {"amount": constants.EVERYTHING}

    def named(index: int, **fields: Any) -> bytes:
        return venue.entry(constants.FORCED_AGENT, venue.owned(constants.FORCED_AGENT, index, **fields))

    chunk = (
        *ENTRIES.values(),
        venue.entry(constants.FORCED_WITHDRAW, venue.owned(constants.FORCED_WITHDRAW, ALICE, amount=12_345)),
        venue.entry(constants.FORCED_WITHDRAW, venue.owned(constants.FORCED_WITHDRAW, SECOND, **everything)),
        venue.entry(constants.FORCED_WITHDRAW, venue.owned(constants.FORCED_WITHDRAW, SIXTH, **everything)),
        venue.entry(constants.FORCED_WITHDRAW, venue.owned(constants.FORCED_WITHDRAW, EIGHTH, **everything)),
        named(FOURTH, agent_index=0, agent=OWNERS[9], expires_at=2**48 - 1, first_slot=3, last_slot=3),
        named(FOURTH, agent_index=1),
        named(SEVENTH, agent_index=constants.FLOOR_INDEX),
        venue.entry(constants.FORCED_AGENT, venue.owned(constants.FORCED_AGENT, FIFTH, agent_index=2), OWNERS[ODD]),
        venue.entry(constants.LEAVE, venue.owned(constants.LEAVE, THIRD)),
        venue.entry(constants.LEAVE, venue.owned(constants.LEAVE, FIFTH), OWNERS[ODD], NOW - 1),
    )

    assert venue.run(state, *chunk).codes == (*[c.OK] * 3, c.REFUNDED, c.OK, c.ZERO_AMOUNT, *[c.OK] * 10)


@pytest.mark.parametrize("lots", [1, constants.SIZE_BOUND - 1])
def test_a_forced_close_begins_with_what_it_names(lots: int) -> None:
    state = venue.build_state(distinct(), {ALICE: rich(ALICE, OWNERS[ODD], epoch=venue.EPOCH - 1)})
    payload = venue.owned(constants.FORCED_CLOSE, ALICE, market=1, amount=lots, limit=2**47 + 5)

    def close(market: int) -> bytes:
        named = venue.owned(constants.FORCED_CLOSE, ALICE, market=market, amount=1)
        return venue.entry(constants.FORCED_CLOSE, named, OWNERS[ODD])

    chunk = (close(16), close(15), venue.entry(constants.FORCED_CLOSE, payload, OWNERS[ODD], NOW - 1), close(2))

    assert venue.run(state, *chunk).codes == (c.NO_MARKET, c.OVERFILLED, c.OK, c.HEAD_UNFINISHED)


@pytest.mark.parametrize("ago", range(3))
@pytest.mark.parametrize("side", [constants.BUY, constants.SELL])
def test_a_trade_is_booked_on_the_rows_of_both_sides(side: int, ago: int) -> None:
    rows = {index: rich(index, OWNERS[index - ALICE + 1], epoch=venue.EPOCH - ago) for index in (ALICE, SECOND, THIRD)}
    slots = {ALICE << 8 | 3: containers.Slot(NOW, 100), SECOND << 8 | 4: containers.Slot(31, 7)}
    state = venue.build_state(distinct(), rows, slots)

    def one(index: int, market: int, is_side: int, size: int, price: int, **fields: Any) -> bytes:
        return ordered(
            index,
            **({"key": KEYS[index - ALICE + 1], "sequence": 50, "max_posting_fee": POSTING_FEE} | fields),
            market=market,
            side=is_side,
            size=size,
            limit_price=price,
        )

    chunk = [
        # Grows or turns, in three parts; a maker that was filled before, a taker that was not.
        one(ALICE, 1, side, 500_000, 300_011, slot=3, sequence=NOW, max_fee_ppm=102),
        one(SECOND, 1, 1 - side, 400_000, 300_011, slot=4, max_fee_ppm=464),
        # Reduces, to nothing at last.
        one(THIRD, 2, side, 1_192, 1_499_997, slot=5),
        one(ALICE, 2, 1 - side, 1_172, 1_499_997, slot=6),
        one(SECOND, 2, 1 - side, 1_182, 1_499_997, slot=7),
        operations.fill_bytes(0, 1, 100_000),
        operations.fill_bytes(0, 1, 299_999),
        operations.fill_bytes(0, 1, 1),
        operations.fill_bytes(2, 3, 10),
        operations.fill_bytes(2, 4, 1_182),
    ]

    assert set(venue.run(state, *chunk).codes) == {c.OK}


def two_faults() -> list[tuple[bytes, int]]:
    """Requests and orders with two faults each, of checks that follow one another, and the code of the first."""
    late = constants.REQUEST_LIFETIME
    times = [
        ({"created_at": NOW + 10_001, "expires_at": NOW - 1}, c.NOT_YET),
        ({"created_at": NOW - late - 2, "expires_at": NOW - 1}, c.EXPIRED),
        ({"expires_at": NOW + late + 1, "sequence": NOW + 1}, c.LIFETIME),
        ({"created_at": NOW - 9, "expires_at": NOW, "sequence": NOW - 8, "max_posting_fee": 0}, c.SEQUENCE_AHEAD),
        ({"slot": 9, "sequence": 2}, c.CANCELLED),
        ({"slot": 9, "sequence": 6, "max_posting_fee": 0}, c.USED),
        (
            {"slot": 9, "sequence": 7, "max_posting_fee": POSTING_FEE - 1, "recipient": containers.NOBODY},
            c.FEE_ABOVE_MAXIMUM,
        ),
    ]
    good: dict[str, Any] = {"sequence": 5, "recipient": venue.RECIPIENT, "amount": DOLLAR}
    found = [(asked(constants.WITHDRAW, ALICE, **(good | fields)), code) for fields, code in times]
    stop = {"reduce_only": 1, "trigger": 2, "trigger_price": 1}
    flags: list[tuple[dict[str, Any], int]] = [
        ({"slot": 0, "key": KEYS[9]}, c.BAD_SIGNATURE),
        ({"expires_at": NOW - 1, "market": 200}, c.EXPIRED),
        ({"market": 200, "size": 1, "limit_price": 1}, c.NO_MARKET),
        ({"market": 3}, c.NO_MARKET),
        ({"size": 16, "limit_price": 625_000}, c.OK),
        ({"size": 16, "limit_price": 624_999}, c.TOO_SMALL),
        ({"reduce_only": 1, "size": 1, "limit_price": 1}, c.OK),
        ({"expires_at": NOW + constants.ORDER_LIFETIME}, c.OK),
        ({"expires_at": NOW + constants.ORDER_LIFETIME + 1, "reduce_only": 1}, c.LIFETIME),
        ({"expires_at": NOW + constants.ORDER_LIFETIME + 1, **stop, "reduce_only": 0}, c.LIFETIME),
        ({"expires_at": NOW + constants.IMMEDIATE_LIFETIME, "time_in_force": 2}, c.OK),
        ({"expires_at": NOW + constants.IMMEDIATE_LIFETIME + 1, "time_in_force": 1}, c.LIFETIME),
        ({"expires_at": NOW + constants.STOP_LIFETIME, **stop, "time_in_force": 1}, c.OK),
        ({"expires_at": NOW + constants.STOP_LIFETIME + 1, **stop}, c.LIFETIME),
        ({"expires_at": NOW, "created_at": NOW - constants.ORDER_LIFETIME}, c.OK),
        ({"created_at": NOW + constants.CLOCK_TOLERANCE}, c.OK),
        ({"trigger_price": 1}, c.NOT_CANONICAL),
        ({"trigger": 1}, c.NOT_CANONICAL),
        ({"trigger": 3, "trigger_price": 1}, c.NOT_CANONICAL),
        ({"time_in_force": 3}, c.NOT_CANONICAL),
        ({"post_only": 1, "time_in_force": 1}, c.NOT_CANONICAL),
        ({"post_only": 1}, c.OK),
        ({"limit_price": 0}, c.NOT_CANONICAL),
        # Agents: each end of the slots, the last millisecond, the other agent of the same name.
        ({"key": KEYS[20], "slot": 2}, c.OK),
        ({"key": KEYS[20], "slot": 1}, c.AGENT_LIMITS),
        ({"key": KEYS[20], "slot": 8}, c.AGENT_LIMITS),
        ({"key": KEYS[21], "slot": 255}, c.OK),
        ({"key": KEYS[21], "account": SECOND}, c.AGENT_LIMITS),
        ({"key": KEYS[20], "account": THIRD, "slot": 6}, c.OK),
        ({"key": KEYS[20], "account": THIRD, "slot": 5}, c.OK),
    ]
    for fields, code in flags:
        values = {"account": ALICE, "sequence": 5} | fields
        found.append((ordered(values.pop("account"), values.pop("key", KEYS[1]), **values), code))
    return found


@pytest.mark.parametrize(("age", "grace", "refused"), [(20_000, 0, None), (20_001, 1, c.STALE), (20_000, 1, c.GRACE)])
def test_the_first_of_two_faults_decides_and_each_bound_holds_exactly(
    age: int, grace: int, refused: int | None
) -> None:
    globals = distinct()
    index = globals.risk.funding_index[0]
    agents = [encoding.agent_word(venue.AGENTS[0], NOW, 2, 7), encoding.agent_word(venue.AGENTS[1], NOW, 0, 255)]
    ended = encoding.agent_word(venue.AGENTS[1], NOW - 1, 0, 255)
    parted = [encoding.agent_word(venue.AGENTS[0], NOW, slot, slot) for slot in (5, 6)]
    rows = {
        ALICE: rich(0, floor=5, agents=agents),
        SECOND: rich(1, floor=5, agents=[agents[0], ended]),
        THIRD: rich(2, floor=5, agents=parted),
        # Less than its settled money may leave, and as much.
        FOURTH: account(OWNER, 1_000 * DOLLAR, {0: position(5_000, 5_000 * 600_000 + 500 * DOLLAR, index)}),
        FIFTH: account(OWNER, 1_000 * DOLLAR + POSTING_FEE),
    }
    globals.tick_time, globals.grace_until = NOW - age, NOW + grace
    state = venue.build_state(globals, rows, {ALICE << 8 | 9: containers.Slot(7, 3)})
    # Of the notional a tenth stays.
    spendable = (1_000 - 500 - 300) * DOLLAR - POSTING_FEE
    payments = [
        (FOURTH, 0, c.ZERO_AMOUNT),
        (FOURTH, 1_000 * DOLLAR - POSTING_FEE + 1, c.COLLATERAL),
        (FOURTH, spendable + 1, c.MARGIN),
        (FOURTH, spendable, c.OK),
        (FIFTH, 1_000 * DOLLAR + 1, c.COLLATERAL),
        (FIFTH, 1_000 * DOLLAR, c.OK),
    ]
    made = two_faults()
    for account_index, amount, code in payments:
        paid = asked(constants.WITHDRAW, account_index, amount=amount, recipient=venue.RECIPIENT)
        made.append((paid, code if refused is None or amount == 0 else refused))

    assert venue.run(state, *(each for each, _ in made)).codes == tuple(code for _, code in made)


# Two orders and how many lots are filled of them: maker, taker, lots, code.
Pair = tuple[dict[str, Any], dict[str, Any], int, int]
FEES: Final = {"max_fee_ppm": 101}
NOW_OR_NEVER: Final = {"time_in_force": constants.IMMEDIATE_OR_CANCEL}
WHOLE: Final = {"time_in_force": constants.FILL_OR_KILL}
PAIRS: Final[list[Pair]] = [
    ({**NOW_OR_NEVER}, {**WHOLE}, 9, c.POST_ONLY),
    ({}, {"post_only": 1}, 9, c.POST_ONLY),
    ({"limit_price": 600_001}, {**WHOLE}, 9, c.ALL_OR_NOTHING),
    ({"limit_price": 700_000}, {"limit_price": 699_999}, 9, c.NOT_CROSSED),
    ({"limit_price": 630_001, "max_fee_ppm": 0}, {"limit_price": 700_000}, 9, c.PRICE_BAND),
    ({"limit_price": 569_999, "max_fee_ppm": 0}, {}, 9, c.PRICE_BAND),
    ({"limit_price": 630_000, "max_fee_ppm": 101}, {"limit_price": 630_000, "max_fee_ppm": 457}, 9, c.OK),
    ({"limit_price": 570_000, "max_fee_ppm": 100}, {"max_fee_ppm": 457}, 9, c.FEE_ABOVE_MAXIMUM),
    ({"limit_price": 570_000, "max_fee_ppm": 101}, {"max_fee_ppm": 456}, 9, c.FEE_ABOVE_MAXIMUM),
    ({"max_posting_fee": 0}, {"max_posting_fee": POSTING_FEE}, 9, c.OK),
    ({}, {"max_posting_fee": POSTING_FEE - 1, "sequence": 4}, 0, c.FEE_ABOVE_MAXIMUM),
    ({"sequence": 4}, {"sequence": 4}, 0, c.CANCELLED),
    ({"slot": 9, "sequence": 6}, {}, 0, c.USED),
    ({"trigger": 1, "trigger_price": 600_001}, {}, 0, c.OVERFILLED),
    ({"trigger": 1, "trigger_price": 600_001, "reduce_only": 1, "size": 9}, {}, 9, c.NOT_TRIGGERED),
    ({"trigger": 2, "trigger_price": 599_999}, {}, 9, c.NOT_TRIGGERED),
    ({"trigger": 1, "trigger_price": 600_000}, {"trigger": 2, "trigger_price": 600_000}, 9, c.OK),
    ({"slot": 9, "sequence": 7, "size": 30}, {"size": 30}, 28, c.OVERFILLED),
    ({"slot": 9, "sequence": 7, "size": 30}, {"size": 30}, 27, c.OK),
    ({"size": 2_000}, {"reduce_only": 1, "size": 2_000}, 975, c.REDUCE_ONLY),
    ({"size": 2_000}, {"reduce_only": 1, "size": 2_000}, 974, c.OK),
    ({}, {"reduce_only": 1}, 1, c.REDUCE_ONLY),
]


@pytest.mark.parametrize("first", range(3))
def test_the_first_fault_of_two_orders_decides_and_each_bound_holds_exactly(first: int) -> None:
    sides = {"side": constants.SELL}
    rows = {ALICE: rich(0, floor=5), SECOND: rich(1, OWNERS[2], floor=5)}
    state = venue.build_state(distinct(), rows, {ALICE << 8 | 9: containers.Slot(7, 3)})
    pairs = PAIRS[first * 7 : first * 7 + 8]
    orders, fills, expected = [], [], []
    for at, (maker, taker, lots, code) in enumerate(pairs):
        common = {"sequence": 5, "size": 100, "limit_price": 600_000, "slot": at + 10}
        orders.append(ordered(ALICE, **(common | sides | maker)))
        orders.append(ordered(SECOND, KEYS[2], **(common | taker)))
        fills.append(operations.fill_bytes(2 * at, 2 * at + 1, lots))
        expected.append(code)

    codes = venue.run(state, *orders, *fills).codes

    assert list(codes[len(orders) :]) == expected


@pytest.mark.parametrize("equity", [0, -1])
def test_who_owes_exactly_what_a_request_costs_may_make_it(equity: int) -> None:
    collateral = 10 * DOLLAR + POSTING_FEE + equity
    row = account(OWNER, collateral, {0: position(100, 100 * 600_000 + 10 * DOLLAR)})
    state = venue.build_state(venue.globals_of(posting_fee=POSTING_FEE), {ALICE: row, 5: account(containers.NOBODY, 0)})
    late = venue.owned(constants.FORCED_AGENT, SECOND, agent=OWNERS[ODD], first_slot=3, last_slot=2)
    chunk = (
        asked(constants.CANCEL, ALICE),
        asked(constants.SET_AGENT, ALICE, other=2, slot=2, recipient=OWNERS[9]),
        # Of no account, and reserved.
        venue.entry(constants.LEAVE, venue.owned(constants.LEAVE, 5)),
        venue.entry(constants.FORCED_AGENT, late),
    )
    expected = (c.INSOLVENT if equity else c.OK, c.NOT_CANONICAL, c.RESERVED, c.NO_ACCOUNT)

    assert venue.run(state, *chunk).codes == expected


@pytest.mark.parametrize("first_slot", [0, 1, 3])
def test_a_grant_reaches_from_its_first_slot_to_its_last(first_slot: int) -> None:
    agents = [encoding.agent_word(venue.AGENTS[0], NOW, first_slot, 7), 0]
    state = venue.build_state(distinct(), {ALICE: rich(0, floor=0, agents=agents), SECOND: rich(1, OWNERS[ODD])})
    odd = {"agent": OWNERS[ODD], "agent_index": 1}
    chunk = (
        asked(constants.CANCEL, ALICE, KEYS[20], slot=8),
        asked(constants.CANCEL, ALICE, KEYS[20], slot=7),
        asked(constants.CANCEL_ALL, ALICE, KEYS[20], slot=0),
        venue.entry(
            constants.FORCED_AGENT, venue.owned(constants.FORCED_AGENT, ALICE, **odd, first_slot=3, last_slot=2)
        ),
        venue.entry(
            constants.FORCED_AGENT, venue.owned(constants.FORCED_AGENT, ALICE, **odd, first_slot=2, last_slot=3)
        ),
    )
    expected = (c.AGENT_LIMITS, c.OK, c.AGENT_LIMITS if first_slot else c.OK, c.BAD_ENTRY, c.OK)

    assert venue.run(state, *chunk).codes == expected


@pytest.mark.parametrize("left", [1, 0])
def test_an_index_is_given_away_as_long_as_there_is_one(left: int) -> None:
    globals = distinct(next_account=constants.NEW_ACCOUNT - left)
    near = {ALICE: rich(0, settled=2**40, floor=0), SECOND: account(OWNER, constants.COLLATERAL_BOUND - 10)}
    state = venue.build_state(globals, near)
    fee = constants.CREATION_FEE
    chunk = (
        venue.deposit(OWNER, 9, SECOND),
        venue.deposit(OWNER, 1, SECOND),
        asked(constants.TRANSFER, ALICE, amount=1, other=SECOND),
        asked(constants.TRANSFER, ALICE, amount=fee, other=constants.NEW_ACCOUNT),
        venue.deposit(OWNER, 10),
        asked(constants.TRANSFER, ALICE, amount=fee + 1, other=constants.NEW_ACCOUNT),
    )
    new = (c.TOO_SMALL, c.OK) if left else (c.ACCOUNTS_FULL, c.REFUNDED)

    assert venue.run(state, *chunk).codes == (c.OK, c.REFUNDED, c.OUT_OF_BOUNDS, *new, c.ACCOUNTS_FULL)


def test_who_takes_no_slot_has_room_where_all_slots_are_taken() -> None:
    orders = [blank(constants.ORDER)] * constants.MAX_SLOT_REFERENCES
    others = [constants.FILL, constants.TICK, constants.FORCED_TICK, constants.SET_MARKET, constants.SET_VENUE]

    codes = venue.run(venue.build_state(), *orders, *map(blank, others)).codes

    assert c.FULL not in codes


CANONICAL: Final[list[dict[str, int]]] = [
    {"slot": 0},
    {"size": 0},
    {"limit_price": 0},
    {"unused": 1},
    {"time_in_force": 3},
    {"trigger": 3, "trigger_price": 1},
    {"post_only": 1, "time_in_force": 2},
    {"post_only": 1, "time_in_force": 1},
]


def test_each_bit_of_an_order_and_of_a_grant_is_of_one_meaning() -> None:
    state = venue.build_state(distinct(), {ALICE: rich(0, floor=0)})
    orders = [ordered(ALICE, **fields) for fields in CANONICAL]
    nobody = [{"expires_at": 1}, {"last_slot": 1}]
    grants = [
        venue.entry(constants.FORCED_AGENT, venue.owned(constants.FORCED_AGENT, ALICE, **each)) for each in nobody
    ]
    floors: list[dict[str, Any]] = [{"agent": OWNERS[9]}, {"agent_index": 3}]
    for fields in floors:
        named = venue.owned(constants.FORCED_AGENT, ALICE, **({"agent_index": constants.FLOOR_INDEX} | fields))
        grants.append(venue.entry(constants.FORCED_AGENT, named))

    codes = venue.run(state, *orders, *grants).codes

    assert codes == (*[c.NOT_CANONICAL] * len(orders), *[c.BAD_ENTRY] * len(grants))


def test_a_chunk_of_nothing_moves_the_clock() -> None:
    state = venue.build_state()

    assert venue.run(state, timestamp=NOW + 1).codes == ()
    assert state.commitment.timestamp == NOW + 1


def test_a_fill_names_two_orders_that_are_there() -> None:
    state = venue.build_state(distinct(), {ALICE: rich(0, floor=0), SECOND: rich(1, OWNERS[2], floor=0)})
    orders = (ordered(ALICE, side=constants.SELL), ordered(SECOND, KEYS[2], market=1, limit_price=300_000))

    fills = [operations.fill_bytes(*pair, 1) for pair in [(2, 0), (0, 2), (0, 0), (0, 1)]]

    assert venue.run(state, *orders, *fills).codes[2:] == (c.NO_ORDER, c.NO_ORDER, c.SAME_ACCOUNT, c.MISMATCHED)


# Bounds of open interest, the fund, and the fraction that a leg needs at 6,000,000 of notional.
SCALED: Final = [
    # Where there is no bound nothing has leverage, whatever the fund has.
    ((0, 0), 2**60, 1_000_000),
    ((6_000_000, 12_000_000), 2**60, 20_000),
    ((9_000_000, 12_000_000), 2**60, 20_000),
    ((1, 6_000_000), 2**60, 1_000_000),
    ((1, 5_999_999), 2**60, 1_000_000),
    ((4_000_000, 13_000_001), 2**60, 237_778),
    ((2**70, 2**71), 160_000, 510_000),
    ((3_000_000, 2**71), 160_000, 608_000),
    ((2**70, 7_000_000), 160_000, 673_334),
    ((2**70, 2**71), 0, 1_000_000),
    ((2**70, 2**71), -1, 1_000_000),
]


@pytest.mark.parametrize("side", [constants.BUY, constants.SELL])
def test_a_leg_that_grows_needs_exactly_its_scaled_requirement(side: int) -> None:
    globals = venue.globals_of(market_count=len(SCALED))
    rows = {ALICE: account(OWNERS[2], 1_000 * DOLLAR)}
    orders, fills = [], []
    for market, (bounds, fund, ppm) in enumerate(SCALED):
        globals.risk.price[market], globals.risk.initial_ppm[market] = 600_000, 20_000
        globals.risk.maintenance_ppm[market] = 12_000
        # Ten lots are open once the fill has opened one.
        globals.markets[market] = msgspec.structs.replace(
            globals.markets[0],
            interest_lower=bounds[0],
            interest_upper=bounds[1],
            fund=fund,
            open_interest=9,
            minimum_notional=1,
        )
        limit = 600_007 if side == constants.BUY else 599_993
        fee = -(-limit * 100 // constants.PPM)
        exact = fee + 7 - (-600_000 * ppm // constants.PPM)
        # The owner's own bound is as much, or less.
        own = ppm - market % 2
        poor, rich_enough = 2 * market + SECOND, 2 * market + THIRD
        rows[poor], rows[rich_enough] = account(OWNER, exact - 1), account(OWNER, exact, initial_ppm=own)
        makes = {"side": side, "size": 1, "limit_price": limit, "market": market}
        orders += [ordered(poor, **makes), ordered(rich_enough, **makes)]
        orders.append(ordered(ALICE, KEYS[2], **(makes | {"side": 1 - side, "size": 2, "slot": market + 1})))
        at = 3 * market
        fills += [operations.fill_bytes(at, at + 2, 1), operations.fill_bytes(at + 1, at + 2, 1)]

    codes = venue.run(venue.build_state(globals, rows), *orders, *fills).codes

    assert codes[len(orders) :] == (c.MAKER_MARGIN, c.OK) * len(SCALED)


# What an account of 100 lots trades: lots, whether it loses or wins one tick too much by it, code. Its maintenance is
# 720,000 for these and 12,000 elsewhere: per 7,320 of equity 72 ticks a lot keep equity over maintenance as it is.
REDUCED: Final = [
    (50, 0, c.OK),
    (50, 1, c.MAKER_MARGIN),
    (100, 0, c.OK),
    (100, 1, c.MAKER_MARGIN),
    (150, -9, c.MAKER_MARGIN),
    (200, -9, c.MAKER_MARGIN),
    (300, -9, c.MAKER_MARGIN),
]


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("worth", [1, 0, -1])
def test_below_its_requirement_an_account_only_reduces(sign: int, worth: int) -> None:
    globals = venue.free_of_charge()
    globals.risk.price[1] = 100
    rows = {ALICE: account(OWNERS[2], 1_000 * DOLLAR)}
    orders, fills = [], []
    for at, (lots, more, _) in enumerate(REDUCED):
        held = {0: position(sign * 100, sign * 100 * 600_000 - 7), 1: position(-sign * 10_000, -sign * 10**6 + 5)}
        # The two positions are worth 2 together.
        rows[SECOND + at] = account(OWNER, worth * 7_320 - 2, held)
        price = 600_000 - sign * (72 * worth + more)
        makes = {"limit_price": price, "size": lots, "side": (1 + sign) // 2}
        orders.append(ordered(SECOND + at, **makes))
        orders.append(ordered(ALICE, KEYS[2], **(makes | {"side": (1 - sign) // 2, "slot": at + 1})))
        fills.append(operations.fill_bytes(2 * at, 2 * at + 1, lots))

    codes = venue.run(venue.build_state(globals, rows), *orders, *fills).codes

    assert codes[len(orders) :] == tuple(code for _, _, code in REDUCED)


# Money of an account of 100 lots, the owner's bound, ticks a lot that it loses by selling 50, code. What is left
# requires 600,000, or by that bound 900,000; whoever is below loses no more than half of his equity by it.
HALVED: Final = [
    (1_300_000, 0, 14_000, c.OK),
    (1_299_999, 0, 14_000, c.MAKER_MARGIN),
    (1_900_000, 30_000, 20_000, c.OK),
    (1_899_999, 30_000, 20_000, c.MAKER_MARGIN),
    (1_100_000, 19_999, 11_000, c.OK),
    (1_100_000, 19_999, 11_001, c.MAKER_MARGIN),
]


def test_a_reduction_leaves_what_is_left_its_requirement_or_costs_no_more_than_its_share() -> None:
    rows = {ALICE: account(OWNERS[2], 1_000 * DOLLAR)}
    orders, fills = [], []
    for at, (money, own, ticks, _) in enumerate(HALVED):
        rows[SECOND + at] = account(OWNER, money, {0: position(100, 100 * 600_000)}, initial_ppm=own)
        makes = {"limit_price": 600_000 - ticks, "size": 50, "side": constants.SELL}
        orders.append(ordered(SECOND + at, **makes))
        orders.append(ordered(ALICE, KEYS[2], **(makes | {"side": constants.BUY, "slot": at + 1})))
        fills.append(operations.fill_bytes(2 * at, 2 * at + 1, 50))
    state = venue.build_state(venue.free_of_charge(), rows)

    assert venue.run(state, *orders, *fills).codes[len(orders) :] == tuple(code for *_, code in HALVED)


SIZE: Final = constants.SIZE_BOUND - 1
RICH: Final = 2**90
# Lots held, their cost, settled money, lots that are sold, code: each bound by one less, exactly, and beyond.
BOUNDS: Final = [
    (-(SIZE - 100), 0, RICH, 100, c.OK),
    (-(SIZE - 100), 0, RICH, 101, c.OUT_OF_BOUNDS),
    (-100, -(constants.COST_BOUND - 1 - 60_000_000), RICH, 100, c.OK),
    (-100, -(constants.COST_BOUND - 60_000_000), RICH, 100, c.OUT_OF_BOUNDS),
    # What closes, wholly or partly, becomes money.
    (100, -60_000_000, constants.COLLATERAL_BOUND - 1 - 120_000_000, 100, c.OK),
    (100, -60_000_000, constants.COLLATERAL_BOUND - 120_000_000, 100, c.OUT_OF_BOUNDS),
    (101, -60_000_000, constants.COLLATERAL_BOUND - 1 - 119_405_940, 100, c.OK),
    (101, -60_000_000, constants.COLLATERAL_BOUND - 119_405_940, 100, c.OUT_OF_BOUNDS),
    (100, -60_000_000, constants.COLLATERAL_BOUND - 1 - 120_000_000, 101, c.OK),
    (100, -60_000_000, constants.COLLATERAL_BOUND - 120_000_000, 101, c.OUT_OF_BOUNDS),
]


def test_the_bounds_of_a_position_and_of_money_hold_exactly() -> None:
    rows = {ALICE: account(OWNERS[2], RICH)}
    orders, fills, expected = [], [], []
    for at, (size, cost, money, lots, code) in enumerate(BOUNDS):
        rows[SECOND + at] = account(OWNER, money, {0: position(size, cost)})
        makes = {"limit_price": 600_000, "size": lots, "side": constants.SELL}
        orders.append(ordered(SECOND + at, **makes))
        orders.append(ordered(ALICE, KEYS[2], **(makes | {"side": constants.BUY, "slot": at + 1})))
        fills.append(operations.fill_bytes(2 * at, 2 * at + 1, lots))
        expected.append(code)

    codes = venue.run(venue.build_state(venue.free_of_charge(), rows), *orders, *fills).codes

    assert codes[len(orders) :] == tuple(expected)


@pytest.mark.parametrize("grace", [1, 0])
def test_in_a_grace_and_where_a_market_reduces_positions_may_only_become_smaller(grace: int) -> None:
    globals = venue.free_of_charge(grace_until=NOW + grace)
    globals.markets[0].status = constants.MARKET_REDUCE_ONLY
    held = {SECOND + at: account(OWNER, positions={0: position(100, 60_000_000)}) for at in range(4)}
    rows = {ALICE: account(OWNERS[2], 1_000 * DOLLAR, {0: position(-1_000, -600_000_000)}), **held}
    orders, fills = [], []
    grown = c.GRACE if grace else c.MARKET_REDUCES
    for at, lots in enumerate((1, 100, 101, 150)):
        makes = {"size": lots, "side": constants.SELL}
        orders.append(ordered(SECOND + at, reduce_only=0, **(makes | {"size": 1_000})))
        orders.append(ordered(ALICE, KEYS[2], size=1_000, slot=at + 1))
        fills.append(operations.fill_bytes(2 * at, 2 * at + 1, lots))

    codes = venue.run(venue.build_state(globals, rows), *orders, *fills).codes

    assert codes[len(orders) :] == (c.OK, c.OK, grown, grown)


def test_no_signer_takes_a_place_that_nobody_has() -> None:
    globals = venue.globals_of()
    globals.signers = [*globals.signers[:6], containers.NOBODY]
    kept = globals.posting_fee, globals.grace_period
    payload = operations.venue_payload(containers.VenueParameters(*kept, 6, venue.OWNERS[9]))

    entry = venue.entry(constants.SET_VENUE, payload, venue.OPERATOR)

    assert venue.run(venue.build_state(globals), entry).codes == (c.OUT_OF_RANGE,)


def test_where_every_market_is_over_no_fund_has_a_home() -> None:
    globals = venue.globals_of()
    for market in globals.markets[: globals.market_count]:
        market.status = constants.MARKET_SETTLED
    none = [0] * constants.MARKETS
    globals.risk = msgspec.structs.replace(globals.risk, initial_ppm=none, maintenance_ppm=none)
    globals.markets[0].fund = DOLLAR
    state = venue.build_state(globals, {1: account(containers.NOBODY, DOLLAR)})

    entry = venue.entry(constants.FORCED_RESCUE, operations.forced_rescue_payload(1, 1, 1), venue.DEPOSITOR)

    assert venue.run(state, entry).codes == (c.NO_MARKET,)
