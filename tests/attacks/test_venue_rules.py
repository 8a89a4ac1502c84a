"""Attacks by the clock of funding, by pairs of own accounts and by the governor, each with its rule off and on.

Off: the Python law without the rule, and the loss that follows. On: both twins, their code, and a state as it was.
"""

from typing import Any, Final

import pytest

from prover.signing import operations
from prover.signing.reports import tick_digest
from prover.state.audit import conservation
from prover.state.state import State
from prover.stf import codes as c
from prover.stf import constants, containers, encoding, margin, markets, rescue
from prover.stf.replay import Chunk, take_tick
from tests.attacks.law_variants import python_chunk, rule_off
from tests.attacks.stage import (
    ATTACKER,
    BITCOIN,
    BTC,
    ETH,
    INITIAL_PPM,
    MAINTENANCE_PPM,
    POOL,
    PPM,
    SOL,
    STEP,
    VICTIM,
    bid,
    ceil,
    debts,
    forced_rescue,
    held,
    liquidate,
    row_of,
    size_of,
    stage,
    ticks,
    value,
)
from tests.attacks.stage import rescue as move
from tests.attacks.test_law_rules import assert_refused, fill
from tests.prover.stf.test_market_life import DOGE, change
from tests.twins import venue
from tests.twins.venue import DOLLAR, KEYS, NOW, OWNERS, account

MOST_PREMIUM = 2**31 - 1
MONTH = constants.PARAMETER_PERIOD


class TestC4Funding:
    """The book is in no state: what funding grows by is signed, bounded, and the same however ticks are left out."""

    CAP = 500_000

    def state(self) -> State:
        return stage({VICTIM: held(BITCOIN, 10_000)}, fund=10_000)

    def paid(self, rate: int, elapsed: int) -> int:
        """What a long of a bitcoin pays at a rate, rounded as the law rounds."""
        return ceil(BITCOIN * (rate * BTC * elapsed // constants.HOUR), 10**9)

    def tick(self, time: int, premium: int, price: int = BTC) -> bytes:
        return venue.tick(time, [price, ETH, SOL], [premium])

    def touched(self, state: State, now: int, premium: int) -> list[bytes]:
        """A tick, and a withdrawal of a micro-dollar by which the victim pays what is due."""
        return [self.tick(now, premium), venue.withdrawal(state, VICTIM, 1, now)]

    def lost(self, state: State) -> int:
        return 10_000 * DOLLAR - 1 - value(state.account(VICTIM))

    def test_off_one_tick_takes_a_percent(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, markets, "max(min(damped, cap), -cap)", "damped")
        state, now = self.state(), NOW + STEP
        chunk = python_chunk(state, *self.touched(state, now, MOST_PREMIUM), timestamp=now)

        assert chunk.operation_codes == [c.OK, c.OK]
        lost = 10_000 * DOLLAR - 1 - value(row_of(chunk, VICTIM))
        assert lost == self.paid(MOST_PREMIUM, STEP) > 100 * DOLLAR

    @pytest.mark.parametrize("sign", [1, -1])
    def test_on_the_rate_ends_at_the_cap(self, sign: int) -> None:
        state, now = self.state(), NOW + STEP
        assert encoding.funding_cap(state.globals.markets[0].funding_terms) == self.CAP
        assert venue.run(state, *self.touched(state, now, sign * MOST_PREMIUM), timestamp=now).codes == (c.OK, c.OK)
        assert self.lost(state) == self.paid(sign * self.CAP, STEP)
        assert abs(self.lost(state)) < DOLLAR // 20
        assert conservation(state).sound

    def test_off_hours_without_ticks_are_paid_for_at_the_last_premium(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, markets, "min(elapsed, constants.TICK_GAP)", "elapsed")
        state, now = self.state(), NOW + 8 * constants.HOUR
        chunk = python_chunk(state, self.tick(now, MOST_PREMIUM), timestamp=now)
        owed = BITCOIN * chunk.globals.risk.funding_index[0] // 10**9

        assert owed == self.paid(self.CAP, 8 * constants.HOUR) == 240 * DOLLAR

    def test_on_a_gap_costs_a_minute(self) -> None:
        state, now = self.state(), NOW + 8 * constants.HOUR
        assert venue.run(state, self.tick(now, MOST_PREMIUM), timestamp=now).codes == (c.OK,)
        after = state.globals.grace_until
        assert venue.run(state, venue.withdrawal(state, VICTIM, 1, after), timestamp=after).codes == (c.OK,)
        assert self.lost(state) == self.paid(self.CAP, constants.TICK_GAP) == DOLLAR // 2

    def test_on_ticks_that_were_left_out_are_made_up_for(self) -> None:
        every, one = self.state(), self.state()
        ticks(every, *[BTC] * 12, premium=self.CAP)
        ticks(one, BTC, step=12 * STEP, premium=self.CAP)
        assert every.globals.risk.funding_index[0] == 12 * (self.CAP * BTC * STEP // constants.HOUR)
        assert one.globals.risk.funding_index[0] == self.CAP * BTC * 12 * STEP // constants.HOUR
        # Meanwhile nothing was filled: whoever skips more than four steps skips trading.
        state = self.state()
        late = NOW + constants.MAX_PRICE_AGE + 1
        trade = venue.trade(state, POOL, ATTACKER, 1_000, now=late)
        assert_refused(state, *trade, code=c.STALE, timestamp=late)

    def test_off_an_older_tick_brings_the_older_price_back(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, markets, "        return codes.OLD_TICK\n", "        pass\n")
        state = self.state()
        now = ticks(state, BTC, BTC * 9 // 10)
        buys = [bid(BTC, index=VICTIM, lots=1_000, now=now), bid(BTC, side=constants.SELL, now=now)]
        again = [self.tick(now - STEP, 0), self.tick(now - STEP, 0)]
        chunk = python_chunk(state, *again, *buys, fill(1_000, 0, 1), timestamp=now)

        assert chunk.operation_codes == [c.OK] * 5
        # Sold at the price before the fall: a tenth of the notional, beyond the band of today's price.
        assert value(row_of(chunk, ATTACKER), BTC * 9 // 10) == 10**6 * DOLLAR + 1_000 * BTC // 10

    @pytest.mark.parametrize("back", [0, STEP, 2 * STEP, 10**9])
    def test_on_no_tick_counts_twice(self, back: int) -> None:
        state = self.state()
        now = ticks(state, BTC, BTC * 9 // 10)
        assert_refused(state, self.tick(now - back, MOST_PREMIUM), code=c.OLD_TICK, timestamp=now)

    @pytest.mark.parametrize("ahead", [1, STEP - 1, STEP + 1, 3 * STEP])
    def test_on_ticks_stand_on_the_grid_and_not_in_the_future(self, ahead: int) -> None:
        assert_refused(self.state(), self.tick(NOW + ahead, MOST_PREMIUM), code=c.OFF_GRID)


class TestC5OneSignerIsOneVoice:
    """Two of seven signers who lie are two voices, however often and in whatever place a tick has them."""

    TWICE, UNSORTED = c.DUPLICATE_SIGNER, c.UNSORTED_SIGNERS
    UNKNOWN = FORGED = c.BAD_SIGNERS
    LIE = BTC // 2

    def tick(self, indices: list[int], keys: list[int], is_forced: bool) -> bytes:
        """A tick of half the price: whom it names, and whose keys signed."""
        price, premium, time = [self.LIE, ETH, SOL] + [0] * 13, [0] * 16, NOW + STEP
        digest = tick_digest(venue.DOMAIN, time, price, premium)
        signed = [venue.sign(venue.SIGNER_KEYS[key], digest) for key in keys]
        reports = [(index, price, premium, signature) for index, signature in zip(indices, signed, strict=True)]
        told = operations.tick_bytes(time, 3, reports)
        return venue.entry(constants.FORCED_TICK, told[1:], venue.DEPOSITOR, time) if is_forced else told

    @pytest.mark.parametrize("is_forced", [False, True])
    @pytest.mark.parametrize("indices", [[0, 0, 1, 2, 3], [0, 0, 0, 1, 1]])
    def test_off_fewer_than_a_quorum_move_the_price(
        self, monkeypatch: pytest.MonkeyPatch, indices: list[int], is_forced: bool
    ) -> None:
        rule_off(monkeypatch, markets, "if index <= last:", "if index < last:")
        chunk = python_chunk(stage({}), self.tick(indices, indices, is_forced), timestamp=NOW + STEP)

        assert chunk.operation_codes == [c.OK]
        assert chunk.globals.risk.price[0] == self.LIE

    @pytest.mark.parametrize("is_forced", [False, True])
    @pytest.mark.parametrize(
        ("indices", "keys", "code"),
        [
            ([0, 0, 1, 2, 3], [0, 0, 1, 2, 3], TWICE),
            ([0, 1, 2, 2, 3], [0, 1, 2, 2, 3], TWICE),
            ([0, 1, 2, 3, 3], [0, 1, 2, 3, 3], TWICE),
            ([0, 0, 0, 1, 1], [0, 0, 0, 1, 1], TWICE),
            ([6, 6, 6, 6, 6], [6, 6, 6, 6, 6], TWICE),
            ([0, 1, 0, 1, 2], [0, 1, 0, 1, 2], UNSORTED),
            ([0, 1, 2, 3, 7], [0, 1, 2, 3, 0], UNKNOWN),
            ([0, 1, 2, 3, 255], [0, 1, 2, 3, 0], UNKNOWN),
            ([0, 1, 2, 3, 4], [0, 1, 2, 0, 1], FORGED),
        ],
    )
    def test_on_five_different_ones_must_have_signed(
        self, indices: list[int], keys: list[int], code: int, is_forced: bool
    ) -> None:
        state = stage({})
        assert_refused(state, self.tick(indices, keys, is_forced), code=code, timestamp=NOW + STEP)
        assert (state.globals.risk.price[0], state.globals.tick_time) == (BTC, NOW)
        honest = self.tick([0, 1, 2, 3, 4], [0, 1, 2, 3, 4], is_forced)
        assert venue.run(state, honest, timestamp=NOW + STEP).codes == (c.OK,)


class TestC9Drain:
    """Long and short of one owner: the loser is left to itself, the winner sells to a third account and leaves."""

    WINNER, LOSER, HEIR = 20, 21, 22
    RISEN = BTC * 11 // 10
    IN, WON = 1_200, 6_000

    def state(self, fund: int = 0) -> State:
        rows = {
            self.WINNER: held(BITCOIN, self.IN, owner=OWNERS[4]),
            self.LOSER: held(-BITCOIN, self.IN, owner=OWNERS[5]),
            self.HEIR: account(OWNERS[6], 7_000 * DOLLAR),
        }
        return stage({18: account(OWNERS[2]), **rows}, fund=fund)

    def risen(self) -> tuple[State, int, list[bytes]]:
        state = self.state(fund=10_000)
        now = ticks(state, self.RISEN)
        return state, now, venue.trade(state, self.WINNER, self.HEIR, BITCOIN, self.RISEN, now=now)

    def leaving(self, state: State, now: int, dollars: int) -> bytes:
        return venue.withdrawal(state, self.WINNER, dollars * DOLLAR, now)

    def test_off_the_winner_leaves_a_hole(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule = "    fresh: int256 = account.fresh + change\n"
        rule_off(monkeypatch, margin, rule, "    fresh: int256 = account.fresh\n    settled = settled + change\n")
        state, now, handed_on = self.risen()
        chunk = python_chunk(state, *handed_on, self.leaving(state, now, self.IN + self.WON), timestamp=now)

        assert chunk.operation_codes == [c.OK] * 4
        left = [row_of(chunk, index) for index in (self.WINNER, self.LOSER, self.HEIR)]
        assert debts(left, self.RISEN) == (self.WON - self.IN) * DOLLAR
        # 9,400 dollars came in; what left and what is left of the heir's are 4,800 more.
        out = chunk.commitment.withdrawn_total + value(left[2], self.RISEN)
        assert out - (2 * self.IN + 7_000) * DOLLAR == (self.WON - self.IN) * DOLLAR

    def test_on_profit_waits_for_two_epochs(self) -> None:
        state, now, handed_on = self.risen()
        assert venue.run(state, *handed_on, timestamp=now).codes[-1] == c.OK
        assert state.account(self.WINNER).fresh == self.WON * DOLLAR
        for dollars in (self.IN + self.WON, self.IN + 1):
            assert_refused(state, self.leaving(state, now, dollars), code=c.COLLATERAL, timestamp=now)
        assert venue.run(state, self.leaving(state, now, self.IN), timestamp=now).codes == (c.OK,)
        # The last tick of the second epoch: still nothing.
        last = venue.later(state, NOW + 2 * constants.EPOCH - 4 * STEP)
        assert_refused(state, self.leaving(state, last, 1), code=c.COLLATERAL, timestamp=last)

    def test_on_meanwhile_anybody_has_the_loser_rescued_before_there_is_a_hole(self) -> None:
        state = self.state(fund=10_000)
        now = ticks(state, BTC + BTC // 200)
        assert_refused(state, forced_rescue(self.LOSER, time=now), code=c.HEALTHY, timestamp=now)
        price = BTC + BTC // 100
        now = ticks(state, price, price)
        maintenance = margin.requirement(price, BITCOIN, MAINTENANCE_PPM)
        assert 0 < value(state.account(self.LOSER), price) < maintenance
        assert venue.run(state, forced_rescue(self.LOSER, time=now), timestamp=now).codes == (c.OK,)

        loser = state.account(self.LOSER)
        assert -BITCOIN < size_of(loser) < 0
        assert value(loser, price) >= margin.requirement(price, size_of(loser), INITIAL_PPM)
        assert value(state.account(1), price) > 10_000 * DOLLAR
        assert conservation(state).sound

    def opening(self, fund: int = 1_000, lower: int = 10**13, upper: int = 10**14) -> State:
        rows = {20: account(OWNERS[4], self.IN * DOLLAR), 21: account(OWNERS[5], self.IN * DOLLAR)}
        return stage(rows, fund=fund, market={"interest_lower": lower, "interest_upper": upper})

    def test_off_open_interest_outgrows_the_fund(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(
            monkeypatch,
            margin,
            "    lower: int256 = min(market.interest_lower, fund * constants.FUND_MULTIPLE_LOWER)\n"
            "    upper: int256 = min(market.interest_upper, fund * constants.FUND_MULTIPLE_UPPER)\n",
            "    lower: int256 = market.interest_lower\n    upper: int256 = market.interest_upper\n",
        )
        state = self.opening()
        chunk = python_chunk(state, *venue.trade(state, self.LOSER, self.WINNER, BITCOIN))

        assert chunk.operation_codes[-1] == c.OK
        hole = debts([row_of(chunk, self.LOSER)], self.RISEN)
        assert hole == (self.WON - self.IN) * DOLLAR > 4 * 1_000 * DOLLAR

    def test_on_it_ends_at_a_multiple_of_the_fund(self) -> None:
        state = self.opening()
        most = 25 * 1_000 * DOLLAR // BTC
        for lots in (BITCOIN, 2 * most, most + most // 20):
            assert_refused(state, *venue.trade(state, self.LOSER, self.WINNER, lots), code=c.MAKER_MARGIN)
        assert venue.run(state, *venue.trade(state, self.LOSER, self.WINNER, most)).codes[-1] == c.OK
        assert debts([state.account(self.LOSER)], self.RISEN) < 25 * 1_000 * DOLLAR // 10 - self.IN * DOLLAR

    def test_off_a_market_without_a_bound_needs_no_fund(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule = "    fund: int256 = max(market.fund, 0)\n"
        rule_off(monkeypatch, margin, rule, f"    if market.interest_upper == 0:\n        return base_ppm\n{rule}")
        state = self.opening(0, 0, 0)
        chunk = python_chunk(state, *venue.trade(state, self.LOSER, self.WINNER, BITCOIN))

        assert chunk.operation_codes[-1] == c.OK
        assert debts([row_of(chunk, self.LOSER)], self.RISEN) == (self.WON - self.IN) * DOLLAR

    def test_on_without_a_fund_or_a_bound_everything_that_grows_is_paid_whole(self) -> None:
        whole = self.IN * DOLLAR // BTC
        for bounds in ((0, 0), (10**13, 10**14)):
            state = self.opening(0, *bounds)
            assert_refused(state, *venue.trade(state, self.LOSER, self.WINNER, whole + 1), code=c.MAKER_MARGIN)
            assert venue.run(state, *venue.trade(state, self.LOSER, self.WINNER, whole)).codes[-1] == c.OK
            assert debts([state.account(self.LOSER)], self.RISEN) == 0
            # Whoever holds may close, and reduce.
            assert venue.run(state, *venue.trade(state, self.WINNER, self.LOSER, whole)).codes[-1] == c.OK


class TestM12Straddle:
    """Isolated accounts stand for nothing but themselves: what they leave behind, the fund pays, by the hour."""

    HALF = BITCOIN // 2
    FUND, HOLE = 10_000, 1_500

    def state(self) -> State:
        return stage({VICTIM: held(self.HALF, -self.HOLE), 20: held(self.HALF, -self.HOLE)}, fund=self.FUND)

    def taken(self, *indices: int) -> list[bytes]:
        return [move(constants.TAKE_OVER, self.HALF, account=index) for index in indices]

    def test_off_it_pays_for_all_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule = "(under.listed.paid_out + paid_out) * constants.PPM > most * constants.PAYOUT_PPM"
        rule_off(monkeypatch, rescue, rule, "False")
        chunk = python_chunk(self.state(), *self.taken(VICTIM, 20))

        assert chunk.operation_codes == [c.OK, c.OK]
        assert value(row_of(chunk, 1)) == (self.FUND - 2 * self.HOLE) * DOLLAR < self.FUND * DOLLAR * 3 // 4

    def test_on_a_quarter_of_itself_an_hour(self) -> None:
        state = self.state()
        assert venue.run(state, *self.taken(VICTIM)).codes == (c.OK,)
        assert state.globals.markets[0].paid_out == self.HOLE * DOLLAR
        assert_refused(state, *self.taken(20), code=c.FUND_LIMIT)
        assert value(state.account(1)) == (self.FUND - self.HOLE) * DOLLAR
        venue.later(state, NOW + constants.HOUR)
        now = ticks(state, BTC, BTC)
        assert venue.run(state, move(constants.TAKE_OVER, self.HALF, account=20), timestamp=now).codes == (c.OK,)
        assert value(state.account(1)) == (self.FUND - 2 * self.HOLE) * DOLLAR
        assert conservation(state).sound


class TestC4Settlement:
    """A market must not settle at the best minutes of a day: the operator says which ticks there are."""

    HIGH = BTC + 12_000

    def state(self) -> State:
        return stage({VICTIM: held(BITCOIN, 13_000)}, market={"status": constants.MARKET_SETTLING})

    def picked(self) -> containers.Globals:
        """Three days in which the price is high for a minute an hour, and only that minute has a tick."""
        globals = self.state().globals
        for turn in range(1, 70):
            now = NOW + turn * constants.HOUR + 30 * 60_000
            tick = venue.tick(now, [self.HIGH, ETH, SOL])
            ticked = markets.tick(venue.DOMAIN, globals, now, tick + bytes(32), venue.recover_fast)
            assert ticked.code == c.OK
            take_tick(globals, ticked, 0)
        return globals

    def test_off_it_settles_at_the_best_minutes_of_days(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, markets, "    if last <= start:\n", "    if counted_time >= constants.HOUR:\n")
        globals = self.picked()
        assert globals.markets[0].status == constants.MARKET_SETTLED
        assert globals.risk.price[0] == self.HIGH

    def test_on_it_takes_three_quarters_of_one_hour(self) -> None:
        assert self.picked().markets[0].status == constants.MARKET_SETTLING

    def test_on_gaps_in_an_hour_are_worth_no_more_than_a_quarter(self) -> None:
        """Fifteen minutes may be left out, and each tick stands for a minute: nothing else is the operator's choice."""
        state = self.state()
        for minute in [*range(1, 31), *range(46, 61)]:
            now = NOW + minute * 60_000
            price = BTC if minute <= 30 else self.HIGH
            assert venue.run(state, venue.tick(now, [price, ETH, SOL]), timestamp=now).codes == (c.OK,)
        now += STEP
        assert venue.run(state, venue.tick(now, [BTC, ETH, SOL]), timestamp=now).codes == (c.OK,)
        assert state.globals.markets[0].status == constants.MARKET_SETTLED
        assert state.globals.risk.price[0] == BTC + 4_000


class TestSettlingCountsInFull:
    """An hour's mean is mostly known before the hour is over, and money that leaves is judged by one price."""

    def state(self) -> State:
        return stage({VICTIM: held(BITCOIN, 13_000)}, market={"status": constants.MARKET_REDUCE_ONLY})

    def settling(self, state: State) -> bytes:
        """The governor's entry by which market 0 begins to settle."""
        listed, risk = state.globals.markets[0], state.globals.risk
        given = containers.Parameters(
            market=0,
            status=constants.MARKET_SETTLING,
            label=listed.label,
            initial_ppm=risk.initial_ppm[0],
            maintenance_ppm=risk.maintenance_ppm[0],
            maker_fee_ppm=listed.maker_fee_ppm,
            taker_fee_ppm=listed.taker_fee_ppm,
            band_ppm=listed.band_ppm,
            unwind_band_ppm=listed.unwind_band_ppm,
            **venue.terms_of(listed),
            minimum_notional=max(listed.minimum_notional, 1),
            price=0,
            interest_lower=listed.interest_lower,
            interest_upper=listed.interest_upper,
        )
        return venue.entry(constants.SET_MARKET, operations.market_payload(given), containers.NOBODY)

    def withdrawal(self) -> bytes:
        """The victim takes out what a tenth of sixty thousand dollars leaves free."""
        fields = {"amount": 7_000 * DOLLAR, "recipient": venue.RECIPIENT}
        return venue.signed_request(constants.WITHDRAW, venue.request(VICTIM, **fields), venue.KEYS[1])

    def test_off_a_position_in_its_last_hour_counts_a_tenth(self, monkeypatch: pytest.MonkeyPatch) -> None:
        state = self.state()
        rule_off(monkeypatch, markets, "        changed.initial_ppm = constants.PPM\n", "        pass\n")
        chunk = python_chunk(state, self.settling(state), self.withdrawal())

        assert chunk.operation_codes == [c.OK, c.OK]

    def test_on_it_counts_in_full(self) -> None:
        state = self.state()
        assert venue.run(state, self.withdrawal()).codes == (c.OK,)
        state = self.state()
        assert venue.run(state, self.settling(state)).codes == (c.OK,)
        assert state.globals.risk.initial_ppm[0] == constants.PPM
        assert_refused(state, self.withdrawal(), code=c.MARGIN)


class TestH7Governor:
    """Whoever has the governor's key moves little, seldom, and within ranges: nobody is liquidated by a parameter."""

    def state(self) -> State:
        """Ten percent of equity behind a bitcoin, and a fund that may take it."""
        return stage({VICTIM: held(BITCOIN, 6_000)}, fund=10**6)

    take_over = move(constants.TAKE_OVER)

    def assert_taken(self, chunk: Chunk) -> None:
        """The victim's six thousand dollars are gone at a price that never moved."""
        assert set(chunk.operation_codes) == {c.OK}
        assert row_of(chunk, VICTIM).positions[0] is containers.EMPTY
        assert value(row_of(chunk, VICTIM)) == 0
        assert value(row_of(chunk, 1)) == (10**6 + 6_000) * DOLLAR

    def test_off_one_entry_takes_a_healthy_account(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, markets, "        return codes.STEP_LIMIT\n", "        pass\n")
        state = self.state()
        self.assert_taken(python_chunk(state, change(state, initial_ppm=PPM, maintenance_ppm=750_000), self.take_over))

    def test_on_a_quarter_of_itself_at_once(self) -> None:
        state = self.state()
        for fields in (
            {"initial_ppm": PPM, "maintenance_ppm": 750_000},
            {"initial_ppm": 25_000, "maintenance_ppm": 15_001},
            {"initial_ppm": 25_001, "maintenance_ppm": 15_000},
        ):
            assert_refused(state, change(state, **fields), code=c.STEP_LIMIT)
        assert venue.run(state, change(state, initial_ppm=25_000, maintenance_ppm=15_000)).codes == (c.OK,)
        assert_refused(state, self.take_over, code=c.HEALTHY)
        assert_refused(state, bid(BTC), liquidate(1), code=c.HEALTHY)

    @pytest.mark.parametrize(("late_days", "code"), [(0, c.OK), (1, c.OK), (2, c.TOO_SOON)])
    def test_a_step_behind_one_that_was_served_a_day_late_is_too_soon_and_announced_again(
        self, late_days: int, code: int
    ) -> None:
        """The bridge counts thirty-one days from where the first one was enacted, the law from where it was served."""
        state, day = venue.genesis_state(), 86_400_000
        codes = []
        for enacted, served, added in ((0, late_days, 1), (31, 31, 2), (62, 62, 2)):
            fee = state.globals.posting_fee + (added if not codes or codes[-1] == c.OK else 1)
            parameters = containers.VenueParameters(fee, state.globals.grace_period, 0, containers.NOBODY)
            payload = operations.venue_payload(parameters)
            entry = venue.entry(constants.SET_VENUE, payload, venue.OPERATOR, venue.NOW + enacted * day)
            codes += venue.run(state, entry, timestamp=venue.NOW + served * day).codes
        assert codes == [c.OK, code, c.OK]

    def steps(self, state: State, count: int) -> list[bytes]:
        initial_ppm, maintenance_ppm, entries = INITIAL_PPM, MAINTENANCE_PPM, []
        for _ in range(count):
            initial_ppm, maintenance_ppm = initial_ppm * 5 // 4, maintenance_ppm * 5 // 4
            entries.append(change(state, initial_ppm=initial_ppm, maintenance_ppm=maintenance_ppm))
        return entries

    def test_off_steps_of_a_quarter_in_one_chunk_take_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, markets, "        return codes.TOO_SOON\n", "        pass\n")
        state = self.state()
        # 12,000 ppm * 1.25^14 are 27 percent: one and a half of what the account has.
        self.assert_taken(python_chunk(state, *self.steps(state, 14), self.take_over))

    def test_on_one_step_in_thirty_days(self) -> None:
        state = self.state()
        first, second = self.steps(state, 2)
        assert venue.run(state, first).codes == (c.OK,)
        for later in (0, MONTH - 1):
            assert_refused(state, second, code=c.TOO_SOON, timestamp=NOW + later)
        assert venue.run(state, second, timestamp=NOW + MONTH).codes == (c.OK,)

    def test_off_a_market_is_listed_that_liquidates_whoever_opens(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, markets, "    elif not in_range(given):\n", "    elif False:\n")
        state = self.state()
        listing = change(state, 3, label=DOGE, initial_ppm=10_000, maintenance_ppm=20_000)
        risk = python_chunk(state, listing).globals.risk

        assert risk.initial_ppm[3] < risk.maintenance_ppm[3]

    @pytest.mark.parametrize(
        "fields",
        [
            {"initial_ppm": 10_000, "maintenance_ppm": 20_000},
            {"initial_ppm": 4_999, "maintenance_ppm": 2_500},
            {"initial_ppm": PPM + 1},
            {"maintenance_ppm": 2_499},
            {"maintenance_ppm": 37_501},
            {"maker_fee_ppm": 451},
            {"taker_fee_ppm": 1_001},
            {"band_ppm": 9_999},
            {"band_ppm": 500_001},
            {"unwind_band_ppm": 99},
            {"unwind_band_ppm": 5_001},
            {"funding_cap_ppb": 40_000_001},
            {"funding_interest_ppb": 125_001},
            {"funding_interest_ppb": -125_001},
            {"funding_damping_ppb": 125_001},
            {"minimum_notional": 0},
            {"minimum_notional": 10**9 + 1},
            {"interest_lower": 5, "interest_upper": 5},
            {"interest_lower": 5, "interest_upper": 0},
            {"interest_lower": 0, "interest_upper": 0},
        ],
    )
    def test_on_nothing_leaves_its_range_on_any_path(self, fields: dict[str, int]) -> None:
        state = self.state()
        assert_refused(state, change(state, **fields), code=c.OUT_OF_RANGE)
        assert_refused(state, change(state, 3, label=DOGE, **fields), code=c.OUT_OF_RANGE)

    def replaced(self, **fields: Any) -> bytes:
        kept = {"posting_fee": 1, "grace_period": 10_000, "signer_index": 0, "signer": containers.NOBODY}
        payload = operations.venue_payload(containers.VenueParameters(**(kept | fields)))
        return venue.entry(constants.SET_VENUE, payload, venue.OPERATOR)

    def seized(self, state: State) -> list[bytes]:
        """Five signers are replaced, and sign a price at which the victim has nothing."""
        price, time, own = [BTC // 2, ETH, SOL] + [0] * 13, NOW + STEP, range(9, 14)
        entries = [self.replaced(signer_index=i, signer=OWNERS[key]) for i, key in enumerate(own)]
        digest = tick_digest(venue.DOMAIN, time, price, [0] * 16)
        reports = [(i, price, [0] * 16, venue.sign(KEYS[key], digest)) for i, key in enumerate(own)]
        return [*entries, operations.tick_bytes(time, state.globals.market_count, reports)]

    def test_off_the_governor_is_the_oracle(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, markets, "        return codes.TOO_SOON\n", "        pass\n")
        state = self.state()
        chunk = python_chunk(state, *self.seized(state))

        assert chunk.operation_codes == [c.OK] * 6
        assert chunk.globals.risk.price[0] == BTC // 2
        assert value(row_of(chunk, VICTIM), BTC // 2) == -24_000 * DOLLAR

    def test_on_one_signer_in_thirty_days(self) -> None:
        state = self.state()
        first, *rest = self.seized(state)
        assert venue.run(state, first).codes == (c.OK,)
        assert state.globals.signers == [OWNERS[9], *venue.SIGNERS[1:]]
        for entry in rest[:-1]:
            assert_refused(state, entry, code=c.TOO_SOON)
        assert_refused(state, rest[-1], code=c.BAD_SIGNERS)
        assert state.globals.risk.price[0] == BTC

    @pytest.mark.parametrize(
        "fields",
        [
            {"posting_fee": 0},
            {"posting_fee": constants.MOST_POSTING_FEE + 1},
            {"grace_period": 3_600_001},
            {"signer_index": 7, "signer": OWNERS[9]},
            {"signer_index": 1, "signer": venue.SIGNERS[0]},
        ],
    )
    def test_on_the_venues_parameters_have_ranges_too(self, fields: dict[str, Any]) -> None:
        assert_refused(self.state(), self.replaced(**fields), code=c.OUT_OF_RANGE)

    LEAPS: Final = ({"posting_fee": 100_000}, {"grace_period": constants.MAX_GRACE})

    @pytest.mark.parametrize("fields", LEAPS)
    def test_off_nothing_becomes_the_most_in_one_step(
        self, monkeypatch: pytest.MonkeyPatch, fields: dict[str, int]
    ) -> None:
        rule_off(
            monkeypatch,
            markets,
            "    return abs(new - old) <= max(abs(old) // constants.STEP_DIVISOR, least)\n",
            "    return True\n",
        )
        state = self.state()
        assert (state.globals.posting_fee, state.globals.grace_period) == (0, 10_000)
        assert python_chunk(state, self.replaced(**fields)).operation_codes == [c.OK]

    @pytest.mark.parametrize("fields", LEAPS)
    def test_on_a_step_is_bounded_from_nothing_as_well(self, fields: dict[str, int]) -> None:
        assert_refused(self.state(), self.replaced(**fields), code=c.STEP_LIMIT)

    @pytest.mark.parametrize(
        ("name", "old", "least", "most"),
        [
            ("posting_fee", 0, 1, 10_000),
            ("posting_fee", 40_003, 30_003, 50_003),
            ("posting_fee", 400_003, 300_003, 500_003),
            ("grace_period", 0, 0, 300_000),
            ("grace_period", 1_200_003, 900_003, 1_500_003),
            ("grace_period", 2_400_000, 1_800_000, 3_000_000),
        ],
    )
    def test_on_it_is_a_quarter_or_a_cent_and_five_minutes(self, name: str, old: int, least: int, most: int) -> None:
        kept = {"posting_fee": 1, "grace_period": 10_000} | {name: old}
        for value_now, code in ((least - 1, False), (least, True), (most, True), (most + 1, False)):
            if value_now < 0 or (name == "posting_fee" and value_now < 1):
                continue
            state = stage({}, **kept)
            entry = self.replaced(**(kept | {name: value_now}))
            assert venue.run(state, entry).codes == (c.OK if code else c.STEP_LIMIT,)
