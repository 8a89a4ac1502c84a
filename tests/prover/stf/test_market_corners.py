"""As `test_corners.py`, of ticks and parameters: each bound by one less, exactly, and by one more."""

from collections.abc import Iterator
from typing import Any, Final

import msgspec
import pytest

from prover.signing import operations
from prover.signing.reports import tick_digest
from prover.stf import codes as c
from prover.stf import constants, containers, encoding
from tests.prover.stf.test_corners import distinct
from tests.twins import venue
from tests.twins.venue import NOW, OWNERS

LABEL: Final = b"A market of which every byte is used"[:31] + b"\x06"
Fields = dict[str, Any]
# One that is in every range, with room on both sides.
GIVEN: Final[Fields] = {
    "status": constants.MARKET_OPEN,
    "label": LABEL,
    "initial_ppm": 200_000,
    "maintenance_ppm": 100_000,
    "maker_fee_ppm": 401,
    "taker_fee_ppm": 603,
    "band_ppm": 100_000,
    "funding_cap_ppb": 4_000_000,
    "funding_interest_ppb": -80_000,
    "funding_damping_ppb": 80_000,
    "minimum_notional": 40_000_000,
    "price": 0,
    "interest_lower": 2**60 + 4,
    "interest_upper": 2**61 + 8,
    "unwind_band_ppm": 3_200,
}
LISTED: Final[list[tuple[Fields, bool]]] = [
    ({"initial_ppm": 4_999, "maintenance_ppm": 2_500}, False),
    ({"initial_ppm": 5_000, "maintenance_ppm": 2_499}, False),
    ({"initial_ppm": 5_000, "maintenance_ppm": 2_500}, True),
    ({"initial_ppm": constants.PPM + 1}, False),
    ({"initial_ppm": constants.PPM, "maintenance_ppm": 750_001}, False),
    ({"initial_ppm": constants.PPM, "maintenance_ppm": 750_000}, True),
    ({"maker_fee_ppm": 604}, False),
    ({"maker_fee_ppm": 603, "band_ppm": 10_000}, True),
    ({"taker_fee_ppm": 1_001}, False),
    ({"taker_fee_ppm": 1_000, "band_ppm": 500_000}, True),
    ({"band_ppm": 9_999}, False),
    ({"band_ppm": 500_001}, False),
    ({"unwind_band_ppm": 5_001}, False),
    ({"unwind_band_ppm": 5_000}, True),
    ({"unwind_band_ppm": 99}, False),
    ({"unwind_band_ppm": 100}, True),
    ({"funding_cap_ppb": 40_000_001}, False),
    ({"funding_cap_ppb": 40_000_000, "funding_interest_ppb": 125_000}, True),
    ({"funding_interest_ppb": 125_001}, False),
    ({"funding_interest_ppb": -125_001}, False),
    ({"funding_damping_ppb": 125_001}, False),
    ({"price": 9_999}, False),
    ({"funding_interest_ppb": -125_000, "funding_damping_ppb": 125_000, "price": 10_000}, True),
    ({"minimum_notional": 0}, False),
    ({"minimum_notional": 1_000_000_001}, False),
    ({"minimum_notional": 1_000_000_000}, True),
    ({"interest_lower": 1, "interest_upper": 0}, False),
    ({"interest_lower": 0, "interest_upper": 0}, False),
    ({"interest_lower": 0, "interest_upper": 1}, True),
    ({"interest_lower": 1, "interest_upper": 1}, False),
    ({"interest_lower": 1, "interest_upper": 2, "minimum_notional": 1}, True),
    ({"label": LABEL[:31] + b"\x07"}, False),
    ({"status": constants.MARKET_CLOSED}, False),
]


def set_market(market: int, **fields: Any) -> bytes:
    given = containers.Parameters(market=market, **(GIVEN | fields))
    return venue.entry(constants.SET_MARKET, operations.market_payload(given), venue.OPERATOR)


def as_given(listed: containers.Market) -> containers.Market:
    """A market as if it stood at these parameters."""
    named = {name: value for name, value in GIVEN.items() if name in containers.Market.__struct_fields__}
    terms = encoding.funding_terms(*(GIVEN[f"funding_{each}_ppb"] for each in ("cap", "interest", "damping")))
    return msgspec.structs.replace(listed, **named, funding_terms=terms)


def test_a_market_is_listed_within_the_laws_ranges() -> None:
    chunk, expected = [set_market(4), set_market(16)], [c.NO_MARKET, c.NO_MARKET]
    market = 3
    for fields, is_good in LISTED:
        chunk.append(set_market(market, **({"price": 2**48 - 1} | fields)))
        expected.append(c.OK if is_good else c.OUT_OF_RANGE)
        market += is_good

    assert venue.run(venue.build_state(distinct()), *chunk).codes == tuple(expected)


def test_what_stood_without_a_price_is_none_before_the_one_that_comes_back() -> None:
    state = venue.build_state(distinct(tick_time=NOW - 2 * constants.TICK_STEP))
    first = state.globals.risk.price[0]
    others = state.globals.risk.price[1:3]
    assert first != 0
    seen = []
    for time, price in ((NOW - constants.TICK_STEP, 0), (NOW, first + 7), (NOW + constants.TICK_STEP, first + 9)):
        assert venue.run(state, venue.tick(time, [price, *others])).codes == (c.OK,)
        seen.append((state.globals.risk.price[0], state.globals.markets[0].previous_price))

    assert seen == [(first, constants.SET_ASIDE), (first + 7, 0), (first + 9, first + 7)]


STEPS: Final = {
    **{name: abs(GIVEN[name]) // 4 for name in GIVEN if name not in ("status", "label", "price")},
    "maker_fee_ppm": 100,
    "taker_fee_ppm": 100,
}


@pytest.mark.parametrize("sign", [1, -1])
def test_a_parameter_moves_by_a_step_and_no_further(sign: int) -> None:
    globals = distinct(market_count=constants.MARKETS)
    since = NOW - constants.PARAMETER_PERIOD
    for market in range(constants.MARKETS):
        row = msgspec.structs.replace(as_given(globals.markets[0]), changed_at=since + (market == 12))
        globals.markets[market] = msgspec.structs.replace(row, previous_price=market + 1, premium_ppb=-market)
        globals.risk.price[market] = 100 + market
        globals.risk.initial_ppm[market], globals.risk.maintenance_ppm[market] = 200_000, 100_000
    globals.markets[13].status = globals.markets[14].status = constants.MARKET_REDUCE_ONLY
    chunk, expected = [], []
    for market, (name, step) in enumerate(STEPS.items()):
        for more, code in ((1, c.STEP_LIMIT), (0, c.OK)):
            chunk.append(set_market(market, **{name: GIVEN[name] + sign * (step + more)}))
            expected.append(code)
    others: list[tuple[int, Fields, int]] = [
        (12, {"taker_fee_ppm": 1}, c.OUT_OF_RANGE),
        (12, {"taker_fee_ppm": 999}, c.TOO_SOON),
        (12, {"status": constants.MARKET_SETTLING}, c.OUT_OF_RANGE),
        (13, {"status": constants.MARKET_SETTLED}, c.OUT_OF_RANGE),
        (13, {"status": constants.MARKET_SETTLING}, c.OK),
        (13, {}, c.NO_MARKET),
        (14, {"status": constants.MARKET_OPEN, "initial_ppm": 200_001}, c.OK),
        (15, {"status": constants.MARKET_SETTLING}, c.OUT_OF_RANGE),
        (15, {"interest_lower": 0, "interest_upper": 0}, c.OUT_OF_RANGE),
        (15, {"status": constants.MARKET_REDUCE_ONLY, "interest_lower": GIVEN["interest_lower"] - 7}, c.OK),
    ]
    for market, fields, code in others:
        chunk.append(set_market(market, **fields))
        expected.append(code)

    assert venue.run(venue.build_state(globals), *chunk).codes == tuple(expected)


@pytest.mark.parametrize(
    ("fee", "period", "fees", "periods"),
    [
        (80_000, 2_000_000, (60_000, 100_000), (1_500_000, 2_500_000)),
        (3, 7, (1, 10_003), (0, 300_007)),
        (1_000_000, 3_600_000, (750_000, 1_000_000), (2_700_000, 3_600_000)),
    ],
)
@pytest.mark.parametrize("end", [0, 1])
def test_the_venue_moves_by_a_step_and_no_further(
    fee: int, period: int, fees: tuple[int, int], periods: tuple[int, int], end: int
) -> None:
    globals = distinct(posting_fee=fee, grace_period=period, venue_changed_at=NOW - constants.PARAMETER_PERIOD)
    globals.signers = [*globals.signers[:5], containers.NOBODY, globals.signers[6]]
    given = {"posting_fee": fees[end], "grace_period": periods[end], "signer_index": 6, "signer": OWNERS[9]}
    sign = 2 * end - 1
    refused: list[tuple[Fields, int]] = [
        ({"signer_index": 7}, c.OUT_OF_RANGE),
        ({"signer_index": 5}, c.OUT_OF_RANGE),
        ({"signer": globals.signers[6]}, c.OUT_OF_RANGE),
        ({"signer": globals.signers[0]}, c.OUT_OF_RANGE),
        ({"posting_fee": 0}, c.OUT_OF_RANGE),
        ({"posting_fee": 1_000_001}, c.OUT_OF_RANGE),
        ({"grace_period": 3_600_001}, c.OUT_OF_RANGE),
    ]
    if 1 < fees[end] < 1_000_000:
        refused.append(({"posting_fee": fees[end] + sign}, c.STEP_LIMIT))
    if 0 < periods[end] < 3_600_000:
        refused.append(({"grace_period": periods[end] + sign}, c.STEP_LIMIT))

    def made(fields: Fields) -> bytes:
        payload = operations.venue_payload(containers.VenueParameters(**(given | fields)))
        return venue.entry(constants.SET_VENUE, payload, venue.OPERATOR)

    # Then once more, with all that would be refused then.
    soon = made({"posting_fee": 1_000_000, "grace_period": 3_600_000, "signer": containers.NOBODY})
    chunk = [*(made(fields) for fields, _ in refused), made({}), made({"signer_index": 7}), soon]
    expected = (*(code for _, code in refused), c.OK, c.OUT_OF_RANGE, c.TOO_SOON)

    assert venue.run(venue.build_state(globals), *chunk).codes == expected


HOUR: Final = constants.HOUR
# Before NOW, which begins an hour, and after it; the time of the last tick and of this one.
TICKS: Final = [
    (-5_000, 0),
    (0, 5_000),
    (-5_000, 5_000),
    (5_000, 65_000),
    (5_000, 70_000),
    (-15_000, 10_000),
]


def reports(time: int, markets: int) -> Iterator[tuple[int, list[int], list[int], bytes]]:
    """Of each signer another price and premium of each market, in another order."""
    rest = [0] * (constants.MARKETS - markets)
    for place, index in enumerate((0, 1, 3, 4, 6)):
        prices = [600_000 + 7 * market + (place * (market + 2)) % 5 * 1_000 for market in range(markets)] + rest
        premiums = [(place * (market + 1)) % 5 * 300_001 - 700_000 * (market % 3) for market in range(markets)] + rest
        digest = tick_digest(venue.DOMAIN, time, prices, premiums)
        yield index, prices, premiums, venue.sign(venue.SIGNER_KEYS[index], digest)


@pytest.mark.parametrize("queued", [False, True])
@pytest.mark.parametrize(("last", "time"), TICKS)
def test_a_tick_moves_every_market_by_its_own(last: int, time: int, queued: bool) -> None:
    count = constants.MARKETS
    globals = distinct(market_count=count, tick_time=NOW + last, streak=1 + queued, grace_until=NOW - 77)
    start = (NOW + time - 1) // HOUR * HOUR
    least = constants.LEAST_SETTLING_TIME
    for market in range(count):
        globals.risk.price[market] = 500_000 + market
        globals.risk.initial_ppm[market], globals.risk.maintenance_ppm[market] = 40_000 + market, 20_000 + market
        globals.risk.funding_index[market] = (-1) ** market * 10**12 + market
        row = globals.markets[market]
        globals.markets[market] = msgspec.structs.replace(
            row,
            status=constants.MARKET_OPEN,
            funding_terms=encoding.funding_terms(500_000 + market, 900 * market - 7_000, 1_000 * market),
            fund=3,
            paid_out=5,
            turned_over=7,
        )
    globals.risk.funding_index[3] = constants.FUNDING_BOUND - 1
    globals.risk.funding_index[4] = -constants.FUNDING_BOUND + 1
    settling = [(start - HOUR, least), (start - HOUR + 1, least), (start - HOUR, least - 1), (start - 2 * HOUR, 0)]
    for at, (changed_at, counted) in enumerate(settling):
        row = globals.markets[8 + at]
        row.status, row.changed_at = constants.MARKET_SETTLING, changed_at
        row.settling = 123_457 * counted * constants.SETTLING_SHIFT + counted
    globals.markets[13].status = constants.MARKET_SETTLED
    globals.risk.initial_ppm[13] = globals.risk.maintenance_ppm[13] = 0
    globals.markets[14].status = constants.MARKET_REDUCE_ONLY
    tick = operations.tick_bytes(NOW + time, count, list(reports(NOW + time, count)))
    made = venue.entry(constants.FORCED_TICK, tick[1:], time=NOW + time - 10_000) if queued else tick

    # As much ahead of the clock as it may be.
    state = venue.build_state(globals, timestamp=NOW + time - 10_000)

    assert venue.run(state, made, made, timestamp=NOW + time - 10_000).codes == (c.OK, c.OLD_TICK)
