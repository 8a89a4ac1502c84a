"""A market is listed, changed, only reduced, settled at an hour's mean; every account is folded at its next touch."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import pytest

from prover.signing import operations
from prover.signing.reports import tick_digest
from prover.state.audit import conservation
from prover.state.state import State
from prover.stf import codes as c
from prover.stf import constants, containers, encoding, margin, markets, rescue
from tests.attacks.law_variants import python_chunk, rule_off
from tests.twins import venue
from tests.twins.venue import DOLLAR, NOW, OWNERS, account, position

LONG, SHORT = 17, 18
BTC: Final = 600_000
BITCOIN: Final = 100_000
DOGE: Final = b"DOGE".ljust(31, b"\x00") + b"\x01"
MONTH: Final = constants.PARAMETER_PERIOD
# Ticks, of a listing.
NAMED: Final = 20_000
UNBOUNDED: Final = {"interest_lower": 0, "interest_upper": 0}
Status = int


def state_of(status: Status = constants.MARKET_OPEN, lots: int = BITCOIN, **market: Any) -> State:
    globals = venue.free_of_charge()
    globals.markets[0] = msgspec.structs.replace(globals.markets[0], status=status, **market)
    rows = {
        LONG: account(OWNERS[1], 10_000 * DOLLAR, {0: position(lots, lots * BTC)}),
        SHORT: account(OWNERS[2], 10_000 * DOLLAR, {0: position(-lots, -lots * BTC)}),
    }
    return venue.balanced(globals, rows)


def change(state: State, market: int = 0, **fields: Any) -> bytes:
    """An entry of the governor that leaves everything as it is but for these fields, or lists one more."""
    like = market if market < state.globals.market_count else 2
    row, risk = state.globals.markets[like], state.globals.risk
    values = {name: getattr(row, name) for name in containers.Parameters.__struct_fields__ if hasattr(row, name)}
    values |= {**venue.terms_of(row), "market": market, "initial_ppm": risk.initial_ppm[like]}
    values |= {"maintenance_ppm": risk.maintenance_ppm[like], "price": 0}
    if market == state.globals.market_count:
        values |= {"price": NAMED, "interest_lower": 10**12, "interest_upper": 10**13}
    return venue.entry(
        constants.SET_MARKET, operations.market_payload(containers.Parameters(**(values | fields))), venue.OPERATOR
    )


def minutes(state: State, prices: list[int], count: int = 60, first: int = constants.TICK_GAP) -> int:
    """Ticks a minute apart, the first one so much later, these prices in turn; answers with the time of the last."""
    now = state.globals.tick_time + first - constants.TICK_GAP
    for minute in range(count):
        now += constants.TICK_GAP
        tick = venue.tick(now, [prices[minute % len(prices)], 300_000, 1_500_000], market_count=3)
        assert venue.run(state, tick, timestamp=now).codes == (c.OK,)
    return now


def counted(state: State) -> tuple[int, int]:
    """What is counted of market 0's hour: the sum of price times ms, and ms."""
    return divmod(state.globals.markets[0].settling, constants.SETTLING_SHIFT)


def hour(state: State, prices: list[int]) -> int:
    """An hour of the clock, from its beginning on, and the tick that ends it at a price that does not count."""
    minutes(state, prices)
    return minutes(state, [BTC // 2], 1, constants.TICK_STEP)


class TestListing:
    def test_a_new_market_trades_from_its_first_price_on(self) -> None:
        state = state_of()
        assert venue.run(state, change(state, 3, label=DOGE, status=1)).codes == (c.OK,)
        assert state.globals.market_count == 4
        assert state.globals.markets[3].label == DOGE
        before = venue.trade(state, LONG, SHORT, 1_000, NAMED, market=3)
        assert venue.run(state, *before).codes[-1] == c.NO_MARKET
        now = NOW + 5_000
        old = venue.tick(now, [BTC, 300_000, 1_500_000])
        new = venue.tick(now, [BTC, 300_000, 1_500_000, NAMED], market_count=4)
        assert venue.run(state, old, new, timestamp=now).codes == (c.QUORUM, c.OK)
        after = venue.trade(state, LONG, SHORT, 1_000, NAMED, market=3, now=now)
        # Its fund stands for it, and it has none yet: a trade asks for the whole notional.
        assert state.globals.markets[3].fund == 0
        assert margin.scaled_ppm(state.globals.markets[3], NAMED, 1, 20_000) == constants.PPM
        assert venue.run(state, *after, timestamp=now).codes[-1] == c.OK
        assert conservation(state).sound

    @pytest.mark.parametrize(
        "fields",
        [
            {"status": 2},
            {"label": bytes(32)},
            {"label": DOGE[:-1] + b"\x07"},
            {"price": 9_999},
            {"price": 0},
            UNBOUNDED,
        ],
    )
    def test_only_an_open_market_with_a_name_is_listed(self, fields: dict[str, Any]) -> None:
        state = state_of()
        assert venue.run(state, change(state, 3, **({"label": DOGE} | fields))).codes == (c.OUT_OF_RANGE,)
        assert venue.run(state, change(state, 4, label=DOGE)).codes == (c.NO_MARKET,)
        assert state.globals.market_count == 3

    def listed(self, **fields: Any) -> State:
        state = state_of()
        assert venue.run(state, change(state, 3, label=DOGE, **fields)).codes == (c.OK,)
        return state

    def first(self, price: int, after: int = 1) -> bytes:
        """A tick that says a price of the new market, so many steps later."""
        return venue.tick(NOW + after * constants.TICK_STEP, [BTC, 300_000, 1_500_000, price], market_count=4)

    def test_off_a_listing_wrong_by_one_decimal_opens_at_a_tenth(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whoever sells at a tenth before somebody mends it loses nine times of it."""
        rule_off(monkeypatch, markets, "known != 0 or named == 0", "True")
        state, now = self.listed(), NOW + constants.TICK_STEP
        sold = venue.trade(state, LONG, SHORT, 10_000, NAMED // 10, market=3, now=now)
        chunk = python_chunk(state, self.first(NAMED // 10), *sold, timestamp=now)
        assert chunk.operation_codes == [c.OK] * 4
        lost = chunk.accounts[LONG].positions[3].size * (NAMED - NAMED // 10)
        assert -lost == 9 * 10_000 * (NAMED // 10) == 180 * DOLLAR

    @pytest.mark.parametrize("price", [NAMED // 10, NAMED // 4 - 1, 4 * NAMED + 1, 2**48 - 1, 0])
    def test_on_a_first_price_far_from_the_named_one_is_none(self, price: int) -> None:
        state = self.listed()
        now = NOW + constants.TICK_STEP
        assert venue.run(state, self.first(price), timestamp=now).codes == (c.OK,)
        globals = state.globals
        assert (globals.risk.price[3], globals.risk.funding_index[3], globals.markets[3].premium_ppb) == (0, 0, 0)
        assert (globals.markets[3].previous_price, globals.markets[3].status) == (NAMED, constants.MARKET_OPEN)
        assert globals.risk.price[:3] == [BTC, 300_000, 1_500_000]
        refused = venue.trade(state, LONG, SHORT, 10_000, NAMED, market=3, now=now)
        assert venue.run(state, *refused, timestamp=now).codes[-1] == c.NO_MARKET

    @pytest.mark.parametrize("price", [NAMED // 4, NAMED, 4 * NAMED])
    def test_the_first_near_price_opens_it_and_then_it_may_go_anywhere(self, price: int) -> None:
        state = self.listed()
        far = (self.first(4 * NAMED + 1), self.first(price, 2), self.first(1, 3))
        assert venue.run(state, *far[:2], timestamp=NOW + 10_000).codes == (c.OK, c.OK)
        assert (state.globals.risk.price[3], state.globals.markets[3].previous_price) == (price, 0)
        assert venue.run(state, far[2], timestamp=NOW + 15_000).codes == (c.OK,)
        assert (state.globals.risk.price[3], state.globals.markets[3].previous_price) == (1, price)

    def test_a_market_without_a_price_is_named_again_a_month_later(self) -> None:
        state = self.listed()
        late = NOW + MONTH
        for price, code in ((9_999, c.OUT_OF_RANGE), (10 * NAMED, c.OK)):
            entry = change(state, 3, label=DOGE, price=price)
            assert venue.run(state, entry, timestamp=late).codes == (code,)
        assert state.globals.markets[3].previous_price == 10 * NAMED
        # What has a price has no other one.
        assert venue.run(state, change(state, 0, price=BTC)).codes == (c.OUT_OF_RANGE,)

    def test_a_change_without_a_price_keeps_the_named_one(self) -> None:
        state = self.listed()
        assert venue.run(state, change(state, 3, label=DOGE, price=0), timestamp=NOW + MONTH).codes == (c.OK,)
        assert state.globals.markets[3].previous_price == NAMED


class TestSteps:
    """H7: whoever holds the governor's key moves little, seldom, and in the open."""

    @pytest.mark.parametrize(
        ("fields", "code"),
        [
            ({"maintenance_ppm": 15_000}, c.OK),
            ({"maintenance_ppm": 15_001}, c.OUT_OF_RANGE),
            ({"initial_ppm": 25_000, "maintenance_ppm": 15_000}, c.OK),
            ({"initial_ppm": 25_001, "maintenance_ppm": 15_000}, c.STEP_LIMIT),
            ({"initial_ppm": 15_999, "maintenance_ppm": 9_000}, c.OK),
            ({"initial_ppm": 14_999, "maintenance_ppm": 9_000}, c.STEP_LIMIT),
            ({"maintenance_ppm": 8_999}, c.STEP_LIMIT),
            ({"taker_fee_ppm": 100}, c.OK),
            ({"taker_fee_ppm": 101}, c.STEP_LIMIT),
            ({"band_ppm": 62_500}, c.OK),
            ({"band_ppm": 62_501}, c.STEP_LIMIT),
            ({"unwind_band_ppm": 1_250}, c.OK),
            ({"unwind_band_ppm": 1_251}, c.STEP_LIMIT),
            ({"unwind_band_ppm": 749}, c.STEP_LIMIT),
            ({"interest_lower": 500 * 10**12}, c.OK),
            ({"interest_lower": 500 * 10**12 + 1}, c.STEP_LIMIT),
            ({"interest_upper": 750 * 10**12}, c.OK),
            ({"interest_upper": 750 * 10**12 - 1}, c.STEP_LIMIT),
            ({"funding_cap_ppb": 625_000}, c.OK),
            ({"funding_cap_ppb": 625_001}, c.STEP_LIMIT),
            # From zero by a step, too.
            ({"funding_interest_ppb": 12_500}, c.OK),
            ({"funding_interest_ppb": 12_501}, c.STEP_LIMIT),
            ({"funding_interest_ppb": -12_500}, c.OK),
            ({"funding_interest_ppb": -12_501}, c.STEP_LIMIT),
            ({"funding_damping_ppb": 12_500}, c.OK),
            ({"funding_damping_ppb": 12_501}, c.STEP_LIMIT),
        ],
    )
    def test_a_quarter_at_once_and_a_hundred_ppm_of_a_fee(self, fields: dict[str, Any], code: int) -> None:
        state = state_of()
        assert venue.run(state, change(state, **fields)).codes == (code,)

    def test_once_in_thirty_days(self) -> None:
        state = state_of()
        assert venue.run(state, change(state, initial_ppm=25_000)).codes == (c.OK,)
        assert venue.run(state, change(state, initial_ppm=30_000), timestamp=NOW + MONTH - 1).codes == (c.TOO_SOON,)
        assert venue.run(state, change(state, initial_ppm=30_000), timestamp=NOW + MONTH).codes == (c.OK,)
        # Another market has a clock of its own.
        assert venue.run(state, change(state, 1, initial_ppm=25_000), timestamp=NOW + MONTH).codes == (c.OK,)

    def test_a_bound_of_open_interest_moves_and_never_goes(self) -> None:
        state = state_of(interest_lower=4, interest_upper=8)
        assert venue.run(state, change(state, **UNBOUNDED)).codes == (c.OUT_OF_RANGE,)
        assert venue.run(state, change(state, interest_lower=0)).codes == (c.STEP_LIMIT,)
        assert venue.run(state, change(state, interest_lower=3, interest_upper=10)).codes == (c.OK,)


class TestVenue:
    def entry(self, state: State, **fields: Any) -> bytes:
        kept = {"posting_fee": 1, "grace_period": 10_000, "signer_index": 0, "signer": containers.NOBODY}
        payload = operations.venue_payload(containers.VenueParameters(**(kept | fields)))
        return venue.entry(constants.SET_VENUE, payload, venue.OPERATOR)

    def test_one_signer_takes_the_place_of_another(self) -> None:
        state = state_of()
        assert venue.run(state, self.entry(state, signer_index=6, signer=OWNERS[9])).codes == (c.OK,)
        assert state.globals.signers == [*venue.SIGNERS[:6], OWNERS[9]]
        with_new = venue.tick(NOW + 5_000, [BTC, 300_000, 1_500_000], signers=[0, 1, 2, 3, 6])
        assert venue.run(state, with_new, timestamp=NOW + 5_000).codes == (c.BAD_SIGNERS,)

    def test_once_in_thirty_days(self) -> None:
        state = state_of()
        assert venue.run(state, self.entry(state, posting_fee=7)).codes == (c.OK,)
        assert (state.globals.posting_fee, state.globals.venue_changed_at) == (7, NOW)
        again = self.entry(state, signer_index=1, signer=OWNERS[9])
        assert venue.run(state, again, timestamp=NOW + MONTH - 1).codes == (c.TOO_SOON,)
        assert venue.run(state, again, timestamp=NOW + MONTH).codes == (c.OK,)


class TestSetAside:
    """K3: a market that has no price stops no tick of the others; it is only reduced from then on, and may settle."""

    STEP: Final = constants.TICK_STEP

    def tick(self, state: State, *reports: list[int], premiums: Sequence[int] = (500, 500, 500)) -> int:
        """One report a signer, or the same of all five."""
        now = state.globals.tick_time + self.STEP
        each = list(reports) * (5 // len(reports))
        given = []
        for index, prices in enumerate(each):
            whole, rates = prices + [0] * 13, list(premiums) + [0] * 13
            given.append(
                (
                    index,
                    prices,
                    premiums,
                    venue.sign(venue.SIGNER_KEYS[index], tick_digest(venue.DOMAIN, now, whole, rates)),
                )
            )
        codes = venue.run(state, operations.tick_bytes(now, 3, given), timestamp=now).codes
        return codes[0]

    def test_off_it_stops_every_tick(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """As it was: without a price of each market there is no tick."""
        rule_off(
            monkeypatch,
            markets,
            "        if price != 0:\n",
            "        if price == 0:\n            ticked.code = codes.ZERO_PRICE\n            return ticked\n"
            "        if price != 0:\n",
        )
        state = state_of()
        chunk = python_chunk(state, venue.tick(NOW + self.STEP, [0, 300_000, 1_500_000]), timestamp=NOW + self.STEP)
        assert chunk.operation_codes == [c.ZERO_PRICE]
        assert chunk.globals.tick_time == NOW

    def test_on_the_others_go_on(self) -> None:
        state = state_of()
        index = list(state.globals.risk.funding_index)
        assert self.tick(state, [0, 300_100, 1_500_000]) == c.OK
        risk, market = state.globals.risk, state.globals.markets[0]
        assert (risk.price[:2], state.globals.tick_time) == ([BTC, 300_100], NOW + self.STEP)
        assert (risk.funding_index[0], market.premium_ppb) == (index[0], 0)
        assert risk.funding_index[1] != index[1]
        assert [each.status for each in state.globals.markets[:2]] == [2, 1]
        assert conservation(state).sound

    def test_what_is_set_aside_is_only_reduced(self) -> None:
        state = state_of()
        assert self.tick(state, [0, 300_000, 1_500_000]) == c.OK
        now = NOW + self.STEP
        grown = venue.trade(state, SHORT, LONG, 1_000, now=now)
        assert venue.run(state, *grown, timestamp=now).codes[-1] == c.MARKET_REDUCES
        reduced = venue.trade(state, LONG, SHORT, 1_000, now=now)
        assert venue.run(state, *reduced, timestamp=now).codes[-1] == c.OK
        # A price that comes back moves it again, and opens nothing: that is the governor's.
        assert self.tick(state, [BTC + 7, 300_000, 1_500_000]) == c.OK
        assert (state.globals.risk.price[0], state.globals.markets[0].status) == (BTC + 7, constants.MARKET_REDUCE_ONLY)
        opened = change(state, status=constants.MARKET_OPEN)
        assert venue.run(state, opened, timestamp=now + self.STEP).codes == (c.OK,)

    def test_it_takes_most_signers(self) -> None:
        none, some = [0, 300_000, 1_500_000], [BTC + 1, 300_000, 1_500_000]
        state = state_of()
        assert self.tick(state, none, none, some, some, some) == c.OK
        assert (state.globals.risk.price[0], state.globals.markets[0].status) == (BTC + 1, constants.MARKET_OPEN)
        assert self.tick(state, none, none, none, some, some) == c.OK
        assert (state.globals.risk.price[0], state.globals.markets[0].status) == (BTC + 1, constants.MARKET_REDUCE_ONLY)

    def test_it_settles_at_the_price_that_stands(self) -> None:
        state = state_of(constants.MARKET_SETTLING)
        minutes(state, [0])
        minutes(state, [0], 1, constants.TICK_STEP)
        assert (state.globals.markets[0].status, state.globals.risk.price[0]) == (constants.MARKET_SETTLED, BTC)
        assert conservation(state).sound

    def test_a_market_without_a_first_price_waits_for_it(self) -> None:
        state = state_of()
        state.globals.risk.price[2] = state.globals.markets[2].previous_price = 0
        state = venue.balanced(state.globals, {})
        assert self.tick(state, [BTC, 300_000, 0]) == c.OK
        assert (state.globals.risk.price[2], state.globals.markets[2].status) == (0, constants.MARKET_OPEN)
        assert self.tick(state, [BTC, 300_000, 9]) == c.OK
        assert state.globals.risk.price[2] == 9

    def test_no_price_at_all_is_no_tick(self) -> None:
        state = state_of()
        assert self.tick(state, [0, 0, 0]) == c.ZERO_PRICE
        assert state.globals.tick_time == NOW
        forced = venue.entry(constants.FORCED_TICK, venue.tick(NOW + self.STEP, [0, 0, 0])[1:], venue.DEPOSITOR)
        assert venue.run(state, forced, timestamp=NOW + self.STEP).codes == (c.ZERO_PRICE,)
        # What is over has its price for ever.
        state = state_of(constants.MARKET_SETTLED)
        assert self.tick(state, [0, 0, 0]) == c.OK


class TestReduceOnly:
    @pytest.mark.parametrize("status", [constants.MARKET_REDUCE_ONLY, constants.MARKET_SETTLING])
    def test_positions_only_shrink(self, status: Status) -> None:
        state = state_of(status)
        assert venue.run(state, *venue.trade(state, SHORT, LONG, 1_000)).codes[-1] == c.MARKET_REDUCES
        assert venue.run(state, *venue.trade(state, LONG, SHORT, 1_000)).codes[-1] == c.OK
        assert state.globals.markets[0].open_interest == BITCOIN - 1_000

    def test_nobody_turns_a_position(self) -> None:
        state = state_of(constants.MARKET_REDUCE_ONLY)
        assert venue.run(state, *venue.trade(state, LONG, SHORT, BITCOIN + 1)).codes[-1] == c.MARKET_REDUCES

    def test_from_open_to_settling_leads_over_reduce_only(self) -> None:
        state = state_of()
        assert venue.run(state, change(state, status=constants.MARKET_SETTLING)).codes == (c.OUT_OF_RANGE,)
        assert venue.run(state, change(state, status=constants.MARKET_REDUCE_ONLY)).codes == (c.OK,)
        later = NOW + MONTH
        assert venue.run(state, change(state, status=constants.MARKET_SETTLING), timestamp=later).codes == (c.OK,)
        again = change(state, status=constants.MARKET_OPEN)
        assert venue.run(state, again, timestamp=later + MONTH).codes == (c.NO_MARKET,)


class TestSettlement:
    def settled(self, prices: list[int]) -> tuple[State, int]:
        state = state_of(constants.MARKET_SETTLING)
        now = hour(state, prices)
        return state, now

    def test_at_the_mean_of_an_hour(self) -> None:
        state, _ = self.settled([BTC, BTC + 2_000])
        market, risk = state.globals.markets[0], state.globals.risk
        assert (market.status, market.open_interest) == (constants.MARKET_SETTLED, 0)
        assert (risk.price[0], risk.initial_ppm[0], risk.maintenance_ppm[0]) == (BTC + 1_000, 0, 0)
        assert conservation(state).sound

    def test_not_before_the_hour_is_over(self) -> None:
        state = state_of(constants.MARKET_SETTLING)
        minutes(state, [BTC])
        market = state.globals.markets[0]
        assert (market.status, counted(state)[1]) == (constants.MARKET_SETTLING, constants.HOUR)
        assert state.globals.risk.price[0] == BTC
        minutes(state, [BTC], 1, constants.TICK_STEP)
        assert state.globals.markets[0].status == constants.MARKET_SETTLED
        assert state.globals.markets[0].settling == 0

    @pytest.mark.parametrize(("ticks", "is_over"), [(45, True), (44, False)])
    def test_three_quarters_of_an_hour_must_be_counted(self, ticks: int, is_over: bool) -> None:
        state = state_of(constants.MARKET_SETTLING)
        minutes(state, [BTC + 1_000], ticks)
        rest = constants.HOUR - ticks * constants.TICK_GAP
        minutes(state, [BTC], 1, rest + constants.TICK_STEP)
        market = state.globals.markets[0]
        assert (market.status == constants.MARKET_SETTLED) == is_over
        if is_over:
            assert state.globals.risk.price[0] == BTC + 1_000
            return
        # The next hour counts alone, from its beginning on: the tick before it is of the last one.
        assert counted(state) == (5_000 * BTC, 5_000)
        minutes(state, [BTC - 1_000], 60, constants.TICK_GAP - constants.TICK_STEP)
        minutes(state, [BTC], 1, constants.TICK_STEP)
        assert state.globals.risk.price[0] == (5_000 * BTC + 3_595_000 * (BTC - 1_000)) // constants.HOUR

    @pytest.mark.parametrize(("later", "waits"), [(0, 1), (1, 2), (constants.HOUR, 2)])
    def test_it_is_a_full_hour_that_begins_an_hour_after_the_entry(self, later: int, waits: int) -> None:
        state = state_of(constants.MARKET_SETTLING, changed_at=NOW + later)
        for _ in range(waits):
            minutes(state, [BTC + 1_000])
            market = state.globals.markets[0]
            assert (market.status, market.settling) == (constants.MARKET_SETTLING, 0)
        minutes(state, [BTC - 1_000])
        assert counted(state)[1] == constants.HOUR
        minutes(state, [BTC], 1)
        assert state.globals.risk.price[0] == BTC - 1_000
        assert conservation(state).sound

    def test_a_tick_counts_a_minute_at_most_and_nothing_before_the_hour(self) -> None:
        state = state_of(constants.MARKET_SETTLING)
        minutes(state, [BTC], 1, constants.HOUR - 5_000)
        assert counted(state)[1] == constants.TICK_GAP
        minutes(state, [BTC], 1, 25_000)
        assert counted(state)[1] == 20_000
        minutes(state, [BTC], 1, 10 * constants.TICK_GAP)
        assert counted(state)[1] == 20_000 + constants.TICK_GAP

    def test_its_price_stands_whatever_is_signed_later(self) -> None:
        state, now = self.settled([BTC + 1_000])
        index = state.globals.risk.funding_index[0]
        now += 5_000
        tick = venue.tick(now, [1, 300_000, 1_500_000], [500, 0, 0])
        assert venue.run(state, tick, timestamp=now).codes == (c.OK,)
        assert (state.globals.risk.price[0], state.globals.risk.funding_index[0]) == (BTC + 1_000, index)

    def test_each_account_is_folded_at_its_next_touch(self) -> None:
        state, now = self.settled([BTC + 1_000])
        gain = BITCOIN * 1_000
        assert venue.run(state, venue.withdrawal(state, LONG, 1, now), timestamp=now).codes == (c.OK,)
        long = state.account(LONG)
        assert long.positions[0] is containers.EMPTY
        # What it won is profit like any other: fresh.
        assert (long.settled, long.fresh) == (10_000 * DOLLAR - 1, gain)
        # The other one waits, and nothing is made meanwhile.
        assert state.account(SHORT).positions[0].size == -BITCOIN
        assert conservation(state).sound
        leave = venue.entry(constants.LEAVE, venue.owned(constants.LEAVE, SHORT), OWNERS[2], now)
        assert venue.run(state, leave, timestamp=now).codes == (c.OK,)
        assert state.commitment.withdrawn_total == 1 + 10_000 * DOLLAR - gain
        assert margin.collateral(state.account(SHORT)) == 0
        assert conservation(state).sound

    def test_nothing_is_traded_or_rescued_there_any_more(self) -> None:
        state, now = self.settled([BTC])
        assert (
            venue.run(state, *venue.trade(state, LONG, SHORT, 1_000, now=now), timestamp=now).codes[-1] == c.NO_MARKET
        )
        payload = operations.forced_rescue_payload(0, LONG, 1)
        entry = venue.entry(constants.FORCED_RESCUE, payload, venue.DEPOSITOR, now)
        take = operations.rescue_bytes(constants.TAKE_OVER, containers.Rescue(0, 0, SHORT, 0, 1))
        move = operations.rescue_bytes(constants.DELEVERAGE, containers.Rescue(0, 0, LONG, SHORT, 1))
        # A touch makes money of what was held, once.
        assert venue.run(state, move, entry, take, timestamp=now).codes == (c.NO_MARKET, c.OK, c.OK)
        assert venue.run(state, entry, take, timestamp=now).codes == (c.HEALTHY, c.HEALTHY)

    def home(self, market: int = 1, account: int = 1) -> bytes:
        payload = operations.forced_rescue_payload(market, account, 1)
        return venue.entry(constants.FORCED_RESCUE, payload, venue.DEPOSITOR)

    def with_fund(self, dollars: int, held: int = 0, status: Status = constants.MARKET_SETTLING) -> State:
        """Market 0 over, its fund with so many dollars and lots that it took at BTC; market 1's has a dollar."""
        globals = venue.free_of_charge()
        globals.markets[0] = msgspec.structs.replace(globals.markets[0], status=status)
        rows = {1: account(containers.NOBODY, dollars * DOLLAR, {0: position(held, held * BTC)} if held else {})}
        rows |= {2: account(containers.NOBODY, DOLLAR, fresh=3), LONG: account(OWNERS[1], 0)}
        rows[SHORT] = account(OWNERS[2], 10_000 * DOLLAR, {0: position(-held, -held * BTC)} if held else {})
        state = venue.balanced(globals, rows)
        if status == constants.MARKET_SETTLING:
            hour(state, [BTC + 1_000])
        return state

    @pytest.mark.parametrize(("dollars", "held"), [(700_000, 0), (700_000, 5_000), (-1, 5_000)])
    def test_its_fund_goes_to_that_of_the_first_market_that_is_not_over(self, dollars: int, held: int) -> None:
        state = self.with_fund(dollars, held)
        assert venue.run(state, self.home()).codes == (c.OK,)
        row, other = state.account(1), state.account(2)
        assert (margin.collateral(row), row.positions[0]) == (0, containers.EMPTY)
        assert margin.collateral(other) == DOLLAR + 3 + dollars * DOLLAR + held * 1_000
        assert [market.fund for market in state.globals.markets[:2]] == [0, margin.collateral(other)]
        assert conservation(state).sound
        # Once.
        assert venue.run(state, self.home()).codes == (c.COLLATERAL,)

    def test_only_of_a_market_that_is_over_and_only_home(self) -> None:
        state = self.with_fund(5)
        assert venue.run(state, self.home(market=2)).codes == (c.NO_MARKET,)
        assert venue.run(state, self.home(market=3)).codes == (c.NO_MARKET,)
        assert venue.run(state, self.home(market=0)).codes == (c.HEALTHY,)
        assert venue.run(state, self.home(market=0, account=2)).codes == (c.NO_MARKET,)
        # A market that never was is not over.
        assert venue.run(state, self.home(account=9)).codes == (c.NO_MARKET,)
        assert venue.run(state, self.home(account=0)).codes == (c.RESERVED,)
        for status in (constants.MARKET_OPEN, constants.MARKET_REDUCE_ONLY):
            assert venue.run(self.with_fund(5, status=status), self.home()).codes == (c.NO_MARKET,)
        assert state.account(1).settled == 5 * DOLLAR

    @pytest.mark.parametrize(("dollars", "held"), [(0, 0), (-5, 0), (-5, 5_000), (4, -5_000)])
    def test_a_fund_that_has_nothing_stays(self, dollars: int, held: int) -> None:
        state = self.with_fund(dollars, held)
        assert dollars * DOLLAR + held * 1_000 <= 0
        assert venue.run(state, self.home()).codes == (c.COLLATERAL,)
        assert conservation(state).sound

    def test_what_would_pass_the_bounds_stays(self) -> None:
        state = self.with_fund(5)
        row = account(containers.NOBODY, constants.COLLATERAL_BOUND - 5 * DOLLAR)
        full = venue.balanced(state.globals, {1: state.account(1), 2: row})
        assert venue.run(full, self.home()).codes == (c.OUT_OF_BOUNDS,)

    def test_off_it_is_stranded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """K4: without this arm of the law the entry is a rescue of an account without an owner."""
        state = self.with_fund(700_000)
        alone = "return relieved(constants.FORCED_RESCUE, under, move, account, insurance)"
        rule_off(monkeypatch, rescue, "return sent_home(under, move, account, insurance)", alone)
        chunk = python_chunk(state, self.home())
        assert chunk.operation_codes == [c.NO_ACCOUNT]
        assert margin.collateral(chunk.accounts[1]) == 700_000 * DOLLAR

    def test_a_close_that_is_under_way_ends_with_its_market(self) -> None:
        state = state_of(constants.MARKET_SETTLING)
        close = venue.entry(constants.FORCED_CLOSE, venue.owned(constants.FORCED_CLOSE, LONG, amount=BITCOIN))
        assert venue.run(state, close).codes == (c.OK,)
        now = hour(state, [BTC])
        move = containers.Rescue(0, 0, 0, SHORT, 1)
        step = operations.rescue_bytes(constants.CLOSE_STEP, move)
        assert venue.run(state, step, timestamp=now).codes == (c.OK,)
        assert (state.commitment.queue_count, venue.begun(state.commitment)) == (1, 0)
        assert encoding.unpack(state.account(LONG).positions[0]).size == 0
        assert conservation(state).sound
