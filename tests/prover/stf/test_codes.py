"""Every code of every operation by one example: both twins agree, and a refusal leaves the whole state as it was."""

import random
from collections.abc import Callable
from itertools import combinations_with_replacement
from typing import Any, Final

import pytest

from prover.signing import operations
from prover.state.state import State
from prover.stf import codes as c
from prover.stf import constants, containers, encoding
from prover.stf.replay import HEAD_ENDS, KINDS
from tests.soak.scenes import SCENES, scene
from tests.twins import venue
from tests.twins.venue import DOLLAR, KEYS, NOW, OWNERS, account, build_state, order, position
from tests.vectors.law_table import NAMES, PAIRS, UNKNOWN

BTC: Final = 600_000
MAKER, TAKER, THIN, FULL_UP, EMPTY = 17, 18, 19, 20, 21
PRICES: Final = [BTC, 300_000, 1_500_000]
LATE: Final = NOW + constants.MAX_PRICE_AGE + 1

# The devnet's.
POSTING_FEE: Final = 500

Operations = list[bytes]


def fresh_state(withdrawals: int = 0) -> State:
    """Two traders, a thin account, one at the bound; market 2 is closed."""
    globals = venue.globals_of(withdrawal_count=withdrawals, frontier=[bytes([7 + level]) * 32 for level in range(32)])
    globals.markets[2].status = constants.MARKET_CLOSED
    return build_state(
        globals,
        {
            MAKER: account(
                OWNERS[1],
                positions={0: position(-100, -100 * BTC)},
                agents=[encoding.agent_word(OWNERS[5], NOW - 1, 0, 255), 0],
            ),
            TAKER: account(OWNERS[2], floor=3),
            THIN: account(OWNERS[1], 10 * DOLLAR, {0: position(500, 500 * BTC - 5 * DOLLAR)}),
            FULL_UP: account(OWNERS[1], constants.COLLATERAL_BOUND - 5),
            # One micro-dollar is missing for a request.
            EMPTY: account(OWNERS[1], 10 * DOLLAR, {0: position(100, 100 * BTC + 10 * DOLLAR - POSTING_FEE + 1)}),
        },
        {MAKER << 8 | 9: containers.Slot(sequence=5, filled=0)},
    )


def sell(key: int = 1, index: int = MAKER, **fields: Any) -> bytes:
    return venue.signed_order(order(index, side=constants.SELL, size=10_000, **fields), KEYS[key])


def buy(key: int = 2, index: int = TAKER, **fields: Any) -> bytes:
    return venue.signed_order(order(index, **({"size": 10_000, "sequence": 3} | fields)), KEYS[key])


def fill(size: int = 10_000, maker: int = 0, taker: int = 1) -> bytes:
    return operations.fill_bytes(maker, taker, size)


def request(tag: int, key: int = 1, index: int = MAKER, **fields: Any) -> bytes:
    needed: dict[int, dict[str, Any]] = {
        constants.WITHDRAW: {"amount": DOLLAR, "recipient": venue.RECIPIENT},
        constants.TRANSFER: {"amount": DOLLAR, "other": THIN},
        constants.CANCEL_ALL: {"slot": 0},
        constants.SET_AGENT: {"other": 1, "recipient": OWNERS[6], "amount": NOW, "last_slot": 255},
        constants.SET_LEVERAGE: {"amount": 50_000},
    }
    return venue.signed_request(tag, venue.request(index, **(needed.get(tag, {}) | fields)), KEYS[key])


def tick(**changes: Any) -> bytes:
    values: dict[str, Any] = {"time": NOW + 5_000, "prices": PRICES} | changes
    return venue.tick(**values)


def rescue(tag: int) -> bytes:
    return operations.rescue_bytes(tag, containers.Rescue(maker=0, market=0, account=MAKER, other=TAKER, lots=1))


def entry(tag: int) -> bytes:
    if tag == constants.FORCED_RESCUE:
        return venue.entry(tag, operations.forced_rescue_payload(0, MAKER, 1))
    if tag == constants.FORCED_TICK:
        return venue.entry(tag, tick()[1:])
    if tag in (constants.SET_MARKET, constants.SET_VENUE):
        return venue.entry(tag, bytes(constants.SET_MARKET_LENGTH))
    return venue.entry(tag, venue.owned(tag, MAKER))


def heavy() -> Operations:
    """Refused operations that leave no weight for any other."""
    # One tick less than fit, so that there is a choice.
    made = [operations.tick_bytes(0, 0, [])] * (constants.MAX_WEIGHT // constants.TICK_WEIGHT - 1)
    room = constants.MAX_WEIGHT - constants.TICK_WEIGHT * len(made)
    others = [fill(), request(constants.CANCEL_ALL, key=3), *map(rescue, (constants.UNWIND, constants.DELEVERAGE))]
    for count in range(1, 9):
        for chosen in combinations_with_replacement(others, count):
            if 0 <= room - sum(KINDS[each[0]].weight for each in chosen) < constants.SET_VENUE_WEIGHT:
                return [*made, *chosen]
    raise AssertionError(room)


def signed_examples(tag: int) -> dict[int, Operations]:
    """What every signed request on an account can be refused for."""
    later = constants.REQUEST_LIFETIME
    return {
        c.NOT_CANONICAL: [request(tag, slot=1 if tag == constants.CANCEL_ALL else 0)],
        c.NO_ACCOUNT: [request(tag, index=999)],
        c.BAD_SIGNATURE: [request(tag, key=3)],
        c.NOT_YET: [request(tag, created_at=NOW + 10_001, expires_at=NOW + 10_002)],
        c.EXPIRED: [request(tag, created_at=NOW - 5, expires_at=NOW - 1)],
        c.LIFETIME: [request(tag, expires_at=NOW + later + 1)],
        c.SEQUENCE_AHEAD: [request(tag, sequence=NOW + 1)],
        c.CANCELLED: [request(tag, key=2, index=TAKER, sequence=2)],
        c.USED: [request(tag, slot=9, sequence=4)],
        c.FEE_ABOVE_MAXIMUM: [request(tag, max_posting_fee=POSTING_FEE - 1)],
        c.OK: [request(tag, created_at=NOW + 10_000, expires_at=NOW + 10_000)],
        c.FULL: [venue.deposit(OWNERS[1], 0)] * constants.MAX_ACCOUNT_REFERENCES + [request(tag)],
        c.MALFORMED: [request(tag)[:-1]],
    }


def free_examples(tag: int) -> dict[int, Operations]:
    """The same where no money moves but the posting fee: all that the account has may go for it."""
    last = request(tag, index=EMPTY, max_posting_fee=POSTING_FEE)
    return signed_examples(tag) | {c.INSOLVENT: [last]}


EXAMPLES: Final[dict[int, dict[int, Operations]]] = {
    UNKNOWN: {c.MALFORMED: [b"\x18"]},
    constants.DEPOSIT: {
        c.OK: [venue.deposit(OWNERS[1], 5, MAKER)],
        c.ZERO_AMOUNT: [venue.deposit(OWNERS[1], 0, MAKER)],
        c.REFUNDED: [venue.deposit(OWNERS[1], 5, FULL_UP)],
        c.WITHDRAWALS_FULL: [venue.deposit(OWNERS[1], 5, TAKER)],
        c.FULL: [venue.deposit(OWNERS[1], 0)] * (constants.MAX_ACCOUNT_REFERENCES + 1),
        c.MALFORMED: [venue.deposit(OWNERS[1], 5)[:-1]],
    },
    constants.WITHDRAW: signed_examples(constants.WITHDRAW)
    | {
        c.NO_RECIPIENT: [request(constants.WITHDRAW, recipient=containers.NOBODY)],
        c.WITHDRAWALS_FULL: [request(constants.WITHDRAW)],
        c.ZERO_AMOUNT: [request(constants.WITHDRAW, amount=0)],
        c.STALE: [request(constants.WITHDRAW, created_at=LATE, expires_at=LATE)],
        c.COLLATERAL: [request(constants.WITHDRAW, amount=1_000 * DOLLAR - POSTING_FEE + 1)],
        c.MARGIN: [request(constants.WITHDRAW, index=THIN, amount=10 * DOLLAR - POSTING_FEE)],
    },
    constants.TRANSFER: signed_examples(constants.TRANSFER)
    | {
        c.SAME_ACCOUNT: [request(constants.TRANSFER, other=MAKER)],
        c.NOT_OWNER: [request(constants.TRANSFER, other=TAKER)],
        c.ZERO_AMOUNT: [request(constants.TRANSFER, amount=0)],
        c.STALE: [request(constants.TRANSFER, created_at=LATE, expires_at=LATE)],
        c.COLLATERAL: [request(constants.TRANSFER, amount=1_000 * DOLLAR - POSTING_FEE + 1)],
        c.MARGIN: [request(constants.TRANSFER, index=THIN, other=MAKER, amount=10 * DOLLAR - POSTING_FEE)],
        c.OUT_OF_BOUNDS: [request(constants.TRANSFER, other=FULL_UP, amount=5)],
        c.TOO_SMALL: [request(constants.TRANSFER, other=constants.NEW_ACCOUNT, amount=constants.CREATION_FEE)],
    },
    constants.CANCEL: free_examples(constants.CANCEL) | {c.AGENT_LIMITS: [request(constants.CANCEL, key=5)]},
    constants.CANCEL_ALL: {
        code: example for code, example in free_examples(constants.CANCEL_ALL).items() if code != c.USED
    }
    | {c.AGENT_LIMITS: [request(constants.CANCEL_ALL, key=5)]},
    constants.SET_AGENT: free_examples(constants.SET_AGENT),
    constants.SET_LEVERAGE: free_examples(constants.SET_LEVERAGE),
    constants.TICK: {
        c.OK: [tick()],
        c.OFF_GRID: [tick(time=NOW + 5_001)],
        c.OLD_TICK: [tick(time=NOW)],
        c.QUORUM: [tick(signers=range(4))],
        c.DUPLICATE_SIGNER: [tick(signers=[0, 0, 1, 2, 3])],
        c.UNSORTED_SIGNERS: [tick(signers=[0, 1, 2, 4, 3])],
        c.BAD_SIGNERS: [tick(forged=4)],
        c.ZERO_PRICE: [tick(prices=[0, 0, 0])],
        c.FULL: [operations.tick_bytes(0, 0, [])] * (constants.MAX_WEIGHT // constants.TICK_WEIGHT) + [tick()],
        c.MALFORMED: [tick()[:-1]],
    },
    constants.ORDER: {
        c.OK: [sell()],
        c.RESERVED: [sell(index=16)],
        c.NO_ACCOUNT: [sell(index=999)],
        c.BAD_SIGNATURE: [sell(key=2)],
        c.AGENT_LIMITS: [sell(key=5)],
        c.NOT_CANONICAL: [sell(trigger_price=1)],
        c.NOT_YET: [sell(created_at=NOW + 10_001)],
        c.EXPIRED: [sell(created_at=NOW - 5, expires_at=NOW - 1)],
        c.LIFETIME: [sell(expires_at=NOW + constants.ORDER_LIFETIME + 1)],
        c.SEQUENCE_AHEAD: [sell(sequence=NOW + 1)],
        c.NO_MARKET: [sell(market=3)],
        c.TOO_SMALL: [venue.signed_order(order(MAKER, size=1), KEYS[1])],
        c.FULL: [venue.deposit(OWNERS[1], 0)] * constants.MAX_ACCOUNT_REFERENCES + [sell()],
        c.MALFORMED: [sell()[:-1]],
    },
    constants.FILL: {
        c.OK: [sell(), buy(), fill()],
        c.NO_ORDER: [sell(), buy(), fill(taker=2)],
        c.SAME_ACCOUNT: [sell(), buy(key=1, index=MAKER), fill()],
        c.MISMATCHED: [sell(), buy(market=1, limit_price=BTC), fill()],
        c.NO_MARKET: [sell(market=2), buy(market=2), fill()],
        c.STALE: [sell(expires_at=LATE), buy(expires_at=LATE), fill()],
        c.POST_ONLY: [sell(), buy(post_only=1), fill()],
        c.ALL_OR_NOTHING: [sell(), buy(time_in_force=constants.FILL_OR_KILL), fill(9_999)],
        c.NOT_CROSSED: [sell(limit_price=BTC + 1), buy(), fill()],
        c.PRICE_BAND: [sell(limit_price=BTC * 21 // 20 + 1), buy(limit_price=BTC * 2), fill()],
        c.FEE_ABOVE_MAXIMUM: [sell(), buy(max_posting_fee=499), fill()],
        c.CANCELLED: [sell(), buy(sequence=2), fill()],
        c.USED: [sell(slot=9, sequence=4), buy(), fill()],
        c.OVERFILLED: [sell(), buy(), fill(10_001)],
        c.NOT_TRIGGERED: [sell(), buy(trigger=constants.TRIGGER_AT_OR_BELOW, trigger_price=BTC - 1), fill()],
        c.REDUCE_ONLY: [sell(), buy(reduce_only=1), fill()],
        c.OUT_OF_BOUNDS: [
            venue.signed_order(order(MAKER, side=constants.SELL, size=2**56 - 1), KEYS[1]),
            venue.signed_order(order(TAKER, size=2**56 - 1, sequence=3), KEYS[2]),
            fill(2**56 - 100),
        ],
        c.MAKER_MARGIN: [sell(index=THIN), buy(), fill()],
        c.TAKER_MARGIN: [sell(), buy(key=1, index=THIN, sequence=1), fill()],
        c.FULL: [fill()] * (constants.MAX_WEIGHT // constants.FILL_WEIGHT + 1),
        c.MALFORMED: [fill()[:-1]],
    },
    **{
        tag: {
            c.FULL: [venue.deposit(OWNERS[1], 0)] * constants.MAX_ACCOUNT_REFERENCES + [rescue(tag)],
            c.MALFORMED: [rescue(tag)[:-1]],
        }
        for tag in (
            constants.LIQUIDATE,
            constants.TAKE_OVER,
            constants.DELEVERAGE,
            constants.UNWIND,
            constants.CLOSE_STEP,
        )
    },
    **{
        tag: {c.FULL: [*heavy(), entry(tag)], c.MALFORMED: [entry(tag)[:-1]]}
        for tag in KINDS
        if tag >= constants.FORCED_RESCUE
    },
}
ACCEPTED: Final = (c.OK, c.REFUNDED, c.WITHDRAWALS_FULL, c.ZERO_AMOUNT)


def leaves(state: State) -> dict[bytes, bytes]:
    return dict(state.store.iterate(b"l"))


def test_there_is_an_example_for_every_pair() -> None:
    assert {(tag, code) for tag, of_tag in EXAMPLES.items() for code in of_tag} | SCENES == PAIRS


@pytest.mark.parametrize(
    ("tag", "code"), sorted(PAIRS), ids=[f"{NAMES[tag]}-{c.SENTENCE[code][0]}" for tag, code in sorted(PAIRS)]
)
def test_code(tag: int, code: int) -> None:
    full = code == c.WITHDRAWALS_FULL
    if (tag, code) in SCENES:
        state, done, timestamp = scene(random.Random(tag), tag, code)
    else:
        state = fresh_state(withdrawals=constants.MAX_WITHDRAWALS if full else 3)
        done, timestamp = EXAMPLES[tag][code], LATE if code == c.STALE else NOW
    before, globals_before = leaves(state), encoding.globals_bytes(state.globals)
    outcome = venue.run(state, *done, timestamp=timestamp)

    assert c.SENTENCE[outcome.codes[-1]][0] == c.SENTENCE[code][0]
    if tag == constants.CLOSE_STEP and code in HEAD_ENDS:
        assert state.globals.head_account == 0
    elif code not in ACCEPTED or (code == c.WITHDRAWALS_FULL and tag == constants.WITHDRAW):
        assert leaves(state) == before
        assert encoding.globals_bytes(state.globals) == globals_before
        assert state.commitment.withdrawn_total == 0


CHANGES: Final[list[tuple[str, Operations, Callable[[State], Any], Any]]] = [
    ("withdraw", [request(constants.WITHDRAW)], lambda s: s.account(MAKER).settled, 999 * DOLLAR - POSTING_FEE),
    ("withdraw", [request(constants.WITHDRAW)], lambda s: s.slot(MAKER << 8 | 1), containers.Slot(2, 0)),
    ("withdraw", [request(constants.WITHDRAW)], lambda s: s.commitment.withdrawn_total, DOLLAR),
    ("transfer", [request(constants.TRANSFER)], lambda s: s.account(THIN).settled, 11 * DOLLAR),
    ("cancel", [request(constants.CANCEL, slot=9, sequence=5)], lambda s: s.slot(MAKER << 8 | 9).sequence, 6),
    ("cancel all", [request(constants.CANCEL_ALL, sequence=7)], lambda s: s.account(MAKER).floor, 8),
    (
        "set agent",
        [request(constants.SET_AGENT, first_slot=4)],
        lambda s: s.account(MAKER).agents[1],
        (int.from_bytes(OWNERS[6], "big") << 64) | (NOW << 16) | 0x04FF,
    ),
    ("set leverage", [request(constants.SET_LEVERAGE)], lambda s: s.account(MAKER).initial_ppm, 50_000),
    ("set leverage", [request(constants.SET_LEVERAGE)], lambda s: s.slot(MAKER << 8 | 1), containers.Slot(2, 0)),
    ("deposit", [venue.deposit(OWNERS[9], 5)], lambda s: s.account(EMPTY + 1).owner, OWNERS[9]),
    ("deposit", [venue.deposit(OWNERS[9], 5)], lambda s: s.globals.next_account, EMPTY + 2),
    ("deposit", [venue.deposit(OWNERS[9], 5)], lambda s: s.commitment.queue_taken, 1),
    ("tick", [tick(prices=[1, 2, 3])], lambda s: s.globals.risk.price[:4], [1, 2, 3, 0]),
    ("tick", [tick(prices=[1, 2, 3])], lambda s: s.globals.markets[0].previous_price, BTC),
    ("fill", [sell(), buy(), fill(7)], lambda s: s.slot(TAKER << 8 | 1), containers.Slot(3, 7)),
    ("fill", [sell(), buy(), fill(7)], lambda s: s.account(TAKER).positions[0].cost, 7 * BTC),
    # ceil(7 * 600_000 * 100 / 10^6) + ceil(7 * 600_000 * 450 / 10^6) + 500
    ("fill", [sell(), buy(), fill(7)], lambda s: s.account(0).fresh, 420 + 1_890 + 500),
    ("fill", [sell(), buy(), fill(7)], lambda s: s.globals.markets[0].open_interest, 7),
]


@pytest.mark.parametrize(("name", "done", "read", "expected"), CHANGES)
def test_what_an_accepted_operation_changes(
    name: str, done: Operations, read: Callable[[State], Any], expected: Any
) -> None:
    state = fresh_state()
    assert set(venue.run(state, *done).codes) == {c.OK}
    assert read(state) == expected


def test_full_takes_no_room_and_what_is_smaller_still_fits() -> None:
    fills = [fill()] * (constants.MAX_WEIGHT // constants.FILL_WEIGHT - 1)
    outcome = venue.run(fresh_state(), *fills, request(constants.TRANSFER), sell(), tick())

    assert outcome.codes[-3:] == (c.FULL, c.OK, c.FULL)
    assert outcome.chunk.weight <= constants.MAX_WEIGHT


def test_a_deposit_that_is_full_is_not_consumed() -> None:
    state = fresh_state()
    most = constants.MAX_ACCOUNT_REFERENCES
    outcome = venue.run(state, *[venue.deposit(OWNERS[1], 1)] * (most + 2))

    assert outcome.codes == (c.OK,) * constants.MAX_ACCOUNT_REFERENCES + (c.FULL,) * 2
    assert state.commitment.queue_count == most
    assert state.globals.next_account == EMPTY + 1 + most


def test_every_operation_fits_alone_into_an_empty_chunk() -> None:
    for kind in KINDS.values():
        assert kind.weight <= constants.MAX_WEIGHT
        assert kind.accounts <= constants.MAX_ACCOUNT_REFERENCES
        assert kind.slots <= constants.MAX_SLOT_REFERENCES
