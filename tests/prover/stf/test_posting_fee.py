"""The flat posting fee: of an order at its first fill as a taker, of a request at once; never above what is signed."""

import pytest

from prover.signing import operations
from prover.state.audit import conservation
from prover.state.state import State
from prover.stf import codes, constants, containers
from tests.twins import venue

FEE = 500
MOVES_NOTHING = (constants.CANCEL, constants.CANCEL_ALL, constants.SET_AGENT, constants.SET_LEVERAGE)
PAYMENTS = (constants.WITHDRAW, constants.TRANSFER)


def fees_taken(cuts: list[int], max_posting_fee: int = FEE) -> tuple[list[int], int]:
    """Codes of the fills, and what the fee account got when one taker order is cut so against one maker order."""
    state = venue.build_state(
        venue.globals_of(posting_fee=FEE),
        {
            0: venue.account(venue.OPERATOR, 0),
            17: venue.account(venue.OWNERS[1], 1_000_000 * venue.DOLLAR),
            18: venue.account(venue.OWNERS[2], 1_000_000 * venue.DOLLAR),
        },
    )
    maker = venue.order(17, side=constants.SELL, size=1_000, limit_price=600_000, max_posting_fee=0)
    taker = venue.order(18, side=constants.BUY, size=1_000, limit_price=600_000, max_posting_fee=max_posting_fee)
    fills = [operations.fill_bytes(0, 1, size) for size in cuts]
    outcome = venue.run(
        state, venue.signed_order(maker, venue.KEYS[1]), venue.signed_order(taker, venue.KEYS[2]), *fills
    )
    return list(outcome.codes[2:]), state.account(0).fresh


def test_an_order_cut_into_many_fills_pays_it_once() -> None:
    whole_codes, whole = fees_taken([1_000])
    cut_codes, cut = fees_taken([100] * 10)
    assert whole_codes == [codes.OK]
    assert cut_codes == [codes.OK] * 10
    # 600 dollars at 100 and 450 ppm: the fractions are exact, so nothing but the flat fee could differ.
    assert whole == cut == 600 * 550 + FEE


def test_an_order_that_signed_less_is_not_filled() -> None:
    assert fees_taken([1_000], max_posting_fee=FEE - 1) == ([codes.FEE_ABOVE_MAXIMUM], 0)


def funded(settled: int, older: int = 0, fresh: int = 0, size: int = 0, loss: int = 0) -> State:
    """Account 17 with money of three ages and a position that has lost so much; 18 is its owner's, 19 opposite."""
    price = venue.globals_of().risk.price[0]
    globals = venue.globals_of(posting_fee=FEE)
    rows = {
        17: venue.account(
            venue.OWNERS[1], settled, {0: venue.position(size, size * price + loss)}, older=older, fresh=fresh
        ),
        18: venue.account(venue.OWNERS[1], 0),
        19: venue.account(venue.OWNERS[3], 10**12, {0: venue.position(-size, -size * price - loss)}),
    }
    return venue.balanced(globals, rows)


def request(tag: int, amount: int = 0, max_posting_fee: int = FEE, sequence: int = 1) -> bytes:
    """A request of account 17."""
    own = {
        constants.WITHDRAW: {"recipient": venue.RECIPIENT},
        constants.TRANSFER: {"other": 18},
        constants.CANCEL_ALL: {"slot": 0},
    }
    fields = {"amount": amount, "max_posting_fee": max_posting_fee, "sequence": sequence} | own.get(tag, {})
    return venue.signed_request(tag, venue.request(17, **fields), venue.KEYS[1])


def ages(row: containers.Account) -> tuple[int, int, int]:
    """Money by age, the oldest first."""
    return row.settled, row.older, row.fresh


@pytest.mark.parametrize("tag", MOVES_NOTHING)
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((1_000, 600, 700), (1_000, 600, 200)),
        ((1_000, 600, 300), (1_000, 400, 0)),
        ((1_000, 100, 300), (900, 0, 0)),
        ((FEE, 0, 0), (0, 0, 0)),
    ],
)
def test_a_request_pays_the_youngest_money_first(
    tag: int, before: tuple[int, int, int], after: tuple[int, int, int]
) -> None:
    state = funded(*before)
    assert venue.run(state, request(tag)).codes == (codes.OK,)
    assert ages(state.account(17)) == after
    assert state.account(constants.FEE_ACCOUNT).fresh == FEE
    assert conservation(state).sound


@pytest.mark.parametrize("tag", MOVES_NOTHING + PAYMENTS)
def test_a_request_that_signed_less_is_not_posted(tag: int) -> None:
    state, amount = funded(10 * FEE), int(tag in PAYMENTS)
    for most in (0, FEE - 1):
        assert venue.run(state, request(tag, amount, most)).codes == (codes.FEE_ABOVE_MAXIMUM,)
    assert state.account(constants.FEE_ACCOUNT).fresh == 0
    assert venue.run(state, request(tag, amount, 2**24 - 1)).codes == (codes.OK,)
    assert state.account(constants.FEE_ACCOUNT).fresh == FEE


@pytest.mark.parametrize("tag", MOVES_NOTHING)
def test_what_moves_no_money_needs_no_more_than_an_equity_that_pays_for_it(tag: int) -> None:
    # 600 dollars of notional on an equity of one fee: far below maintenance.
    assert venue.run(funded(10**7, size=1_000, loss=10**7 - FEE), request(tag)).codes == (codes.OK,)
    assert venue.run(funded(10**7, size=1_000, loss=10**7 - FEE + 1), request(tag)).codes == (codes.INSOLVENT,)
    # Collateral may go below zero where a position is in profit.
    state = funded(0, size=1_000, loss=-FEE)
    assert venue.run(state, request(tag)).codes == (codes.OK,)
    assert ages(state.account(17)) == (-FEE, 0, 0)


@pytest.mark.parametrize("tag", PAYMENTS)
def test_a_payment_leaves_its_fee_and_its_requirements_behind(tag: int) -> None:
    assert venue.run(funded(10_000), request(tag, 10_000 - FEE)).codes == (codes.OK,)
    assert venue.run(funded(10_000), request(tag, 10_001 - FEE)).codes == (codes.COLLATERAL,)
    # Young money pays the fee and does not leave itself.
    assert venue.run(funded(10_000, fresh=FEE), request(tag, 10_000)).codes == (codes.OK,)
    # 600 dollars of notional: a tenth of it stays.
    kept = 60 * venue.DOLLAR
    assert venue.run(funded(kept + 10_000, size=1_000), request(tag, 10_000 - FEE)).codes == (codes.OK,)
    assert venue.run(funded(kept + 10_000, size=1_000), request(tag, 10_001 - FEE)).codes == (codes.MARGIN,)


def test_a_transfer_to_a_new_account_pays_both_fees() -> None:
    state = funded(3 * venue.DOLLAR)
    fields = {"amount": 2 * venue.DOLLAR, "other": constants.NEW_ACCOUNT, "max_posting_fee": FEE}
    signed = venue.signed_request(constants.TRANSFER, venue.request(17, **fields), venue.KEYS[1])
    assert venue.run(state, signed).codes == (codes.OK,)
    assert state.account(constants.FEE_ACCOUNT).fresh == constants.CREATION_FEE + FEE
    assert state.account(17).settled == venue.DOLLAR - FEE
    assert state.account(20).settled == 2 * venue.DOLLAR - constants.CREATION_FEE
