"""As `test_market_corners.py`: two faults at once, the first tick of all, and a market that is set aside alone."""

from typing import Final

from prover.signing import operations
from prover.signing.reports import tick_digest
from prover.stf import codes as c
from prover.stf import constants, encoding
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


def test_a_first_price_is_one_within_the_multiple_of_the_named_one() -> None:
    globals = even(market_count=6)
    times = constants.LISTING_MULTIPLE
    # Price that is named, price that is reported, price that there is then.
    firsts = [
        (100_000, times * 100_000, times * 100_000),
        (100_000, times * 100_000 + 1, 0),
        (times * 25_000, 25_000, 25_000),
        (times * 25_000 + 1, 25_000, 0),
        (0, PRICE, PRICE),
    ]
    for market, (named, _, _) in enumerate(firsts):
        globals.risk.price[market], globals.markets[market].previous_price = 0, named
    state = venue.build_state(globals)

    tick = said(NEXT, [*(told for _, told, _ in firsts), PRICE], [0, 1, 2, 3, 4])

    assert venue.run(state, tick).codes == (c.OK,)
    assert state.globals.risk.price[:6] == [*(then for _, _, then in firsts), PRICE]


def test_a_price_is_named_where_there_is_none_and_funding_moves_by_its_least_step() -> None:
    globals = even(market_count=6)
    least = constants.FUNDING_STEP_PPB
    for market in range(6):
        globals.markets[market] = as_given(globals.markets[market])
        globals.markets[market].funding_terms = encoding.funding_terms(40_000, 9, 20_000)
        fractions(globals, market, GIVEN["initial_ppm"], GIVEN["maintenance_ppm"])
    globals.risk.price[0], globals.risk.price[1] = 0, 1
    as_it_is = {"funding_cap_ppb": 40_000, "funding_interest_ppb": 9, "funding_damping_ppb": 20_000}
    changes: list[tuple[int, dict[str, int], int]] = [
        (0, {"price": constants.LEAST_LISTING_TICKS - 1}, c.OUT_OF_RANGE),
        (0, {"price": constants.LEAST_LISTING_TICKS}, c.OK),
        (1, {"price": constants.LEAST_LISTING_TICKS}, c.OUT_OF_RANGE),
        (2, {"funding_cap_ppb": 40_000 - least - 1}, c.STEP_LIMIT),
        (2, {"funding_cap_ppb": 40_000 - least}, c.OK),
        (3, {"funding_interest_ppb": 9 - least - 1}, c.STEP_LIMIT),
        (3, {"funding_interest_ppb": 9 - least}, c.OK),
        (4, {"funding_damping_ppb": 20_000 + least + 1}, c.STEP_LIMIT),
        (4, {"funding_damping_ppb": 20_000 + least}, c.OK),
    ]
    chunk = [set_market(market, **(as_it_is | fields)) for market, fields, _ in changes]
    # An interest that is odd beside a damping that decides.
    chunk.append(said(NEXT, [PRICE] * 6, [0, 1, 2, 3, 4]))
    globals.markets[5].funding_terms = encoding.funding_terms(40_000, 35_001, 20_000)

    assert venue.run(venue.build_state(globals), *chunk).codes == (*(code for *_, code in changes), c.OK)
