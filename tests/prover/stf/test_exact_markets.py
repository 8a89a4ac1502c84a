"""As `test_market_corners.py`: two faults at once, the first tick of all, and a market that is set aside alone."""

from typing import Final

from prover.signing import operations
from prover.signing.reports import tick_digest
from prover.stf import codes as c
from prover.stf import constants
from tests.prover.stf.test_exact_rescues import PRICE, even, fractions, priced
from tests.prover.stf.test_market_corners import GIVEN, as_given, set_market
from tests.twins import venue
from tests.twins.venue import KEYS, NOW, SIGNER_KEYS

NEXT: Final = NOW + constants.TICK_STEP


def said(time: int, prices: list[int], indices: list[int]) -> bytes:
    """A tick in which these signers say the same, whoever has no key of his own with another's."""
    every = prices + [0] * (constants.MARKETS - len(prices))
    none = [0] * constants.MARKETS
    digest = tick_digest(venue.DOMAIN, time, every, none)
    keys = [*SIGNER_KEYS, KEYS[0]]
    return operations.tick_bytes(
        time, len(prices), [(index, every, none, venue.sign(keys[index], digest)) for index in indices]
    )


def test_a_tick_that_is_old_and_off_the_grid_is_off_the_grid_and_there_is_no_eighth_signer() -> None:
    prices = [PRICE] * 3
    chunk = (said(NOW - 1, prices, [0, 1, 2, 3, 4]), said(NEXT, prices, [0, 1, 2, 3, constants.SIGNERS]))

    assert venue.run(venue.build_state(even(market_count=3)), *chunk).codes == (c.OFF_GRID, c.BAD_SIGNERS)


def test_no_grace_begins_with_the_first_tick_of_all() -> None:
    state = venue.build_state(even(market_count=3, tick_time=0, grace_until=0))

    assert venue.run(state, said(NEXT, [PRICE] * 3, [0, 1, 2, 3, 4])).codes == (c.OK,)
    assert state.globals.grace_until == 0


def test_what_most_signers_have_no_price_of_is_set_aside_alone() -> None:
    globals = even(market_count=6)
    priced(globals, 1, 0)
    priced(globals, 2, 1)
    for market, status in ((3, constants.MARKET_REDUCE_ONLY), (4, constants.MARKET_SETTLING)):
        globals.markets[market].status = status
    state = venue.build_state(globals)

    assert venue.run(state, said(NEXT, [0, 0, 0, 0, 0, PRICE], [0, 1, 2, 3, 4])).codes == (c.OK,)
    assert [listed.status for listed in state.globals.markets[:6]] == [
        constants.MARKET_REDUCE_ONLY,
        constants.MARKET_OPEN,
        constants.MARKET_REDUCE_ONLY,
        constants.MARKET_REDUCE_ONLY,
        constants.MARKET_SETTLING,
        constants.MARKET_OPEN,
    ]


def test_the_first_of_two_faults_of_parameters_is_said() -> None:
    globals = even(market_count=2)
    for market in range(2):
        globals.markets[market] = as_given(globals.markets[market])
        fractions(globals, market, GIVEN["initial_ppm"], GIVEN["maintenance_ppm"])
    globals.markets[0].status = constants.MARKET_SETTLING
    globals.markets[1].interest_lower = 0
    more = GIVEN["interest_upper"] * 5 // 4
    chunk = (
        set_market(0, label=b"Another".ljust(32, b"\0")),
        set_market(1, minimum_notional=0, interest_lower=0, interest_upper=0),
        set_market(1, interest_lower=0, interest_upper=more + 1),
        set_market(1, interest_lower=0, interest_upper=more),
    )

    expected = (c.NO_MARKET, c.OUT_OF_RANGE, c.STEP_LIMIT, c.OK)
    assert venue.run(venue.build_state(globals), *chunk).codes == expected
