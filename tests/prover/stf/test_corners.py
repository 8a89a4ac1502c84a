"""Where one more or one less decides, and what random chunks seldom come to: each chunk of these is published."""

from typing import Final

import pytest

from prover.stf import codes as c
from prover.stf import constants, containers
from prover.stf.replay import KINDS, is_entry
from tests.prover.stf.test_market_life import change, state_of
from tests.twins import venue
from tests.twins.venue import DOLLAR, KEYS, NOW, account

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
    for cancels in range(accounts + 1):
        for orders in range(accounts - cancels + 1):
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


def test_one_kilogas_more_than_there_is_left_is_too_much() -> None:
    room = filled(constants.MAX_WEIGHT - constants.FILL_WEIGHT + 1, 20)

    *before, last = venue.run(venue.build_state(), *room, blank(constants.FILL)).codes

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
