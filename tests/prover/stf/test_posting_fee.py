"""The flat posting fee: once an order, at its first fill as a taker, never above the signed maximum."""

from prover.signing import operations
from prover.stf import codes, constants
from tests.twins import venue

FEE = 500


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
    return list(outcome.codes[2:]), state.account(0).settled


def test_an_order_cut_into_many_fills_pays_it_once() -> None:
    whole_codes, whole = fees_taken([1_000])
    cut_codes, cut = fees_taken([100] * 10)
    assert whole_codes == [codes.OK]
    assert cut_codes == [codes.OK] * 10
    # 600 dollars at 100 and 450 ppm: the fractions are exact, so nothing but the flat fee could differ.
    assert whole == cut == 600 * 550 + FEE


def test_an_order_that_signed_less_is_not_filled() -> None:
    assert fees_taken([1_000], max_posting_fee=FEE - 1) == ([codes.FEE_ABOVE_MAXIMUM], 0)
