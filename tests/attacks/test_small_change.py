"""Attacks with small change: dust for strangers, single lots, and a liquidation of oneself instead of a trade.

None of them pays, but each looks as if it might; where a rule is what keeps it from paying, the rule is off first.
"""

import pytest

from prover.signing import operations
from prover.state.audit import conservation
from prover.state.state import State
from prover.stf import codes as c
from prover.stf import constants, custody, margin, rescue, trading
from tests.attacks.law_variants import python_chunk, rule_off
from tests.attacks.stage import (
    ATTACKER,
    BITCOIN,
    BTC,
    MAINTENANCE_PPM,
    PPM,
    STEP,
    VICTIM,
    bid,
    ceil,
    held,
    liquidate,
    row_of,
    size_of,
    stage,
    value,
)
from tests.attacks.test_law_rules import assert_refused
from tests.twins import venue
from tests.twins.venue import DOLLAR, KEYS, NOW, OWNERS, account

MAKER_PPM, TAKER_PPM = 100, 450
FEES = {"maker_fee_ppm": MAKER_PPM, "taker_fee_ppm": TAKER_PPM}
EPOCH = constants.EPOCH


class TestDustDeposits:
    """Anybody may pay into any account: that locks no money up, keeps no rescue away and costs no index."""

    def state(self) -> State:
        return stage({VICTIM: account(OWNERS[1], 100 * DOLLAR, fresh=50 * DOLLAR)})

    def dust(self, amount: int = 1, index: int = VICTIM) -> bytes:
        return venue.deposit(OWNERS[1], amount, index)

    def test_off_dust_locks_a_strangers_money_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # One age for all money of an account, that of the newest.
        ages = "        settled=account.settled + amount,\n        older=account.older,\n        fresh=account.fresh,\n"
        newest = "        settled=0,\n        older=0,\n        fresh=margin.collateral(account) + amount,\n"
        rule_off(monkeypatch, custody, ages, newest)
        state = self.state()
        chunk = python_chunk(state, self.dust(), venue.withdrawal(state, VICTIM, 100 * DOLLAR))

        assert chunk.operation_codes == [c.OK, c.COLLATERAL]

    def test_on_settled_money_leaves_as_before(self) -> None:
        state = self.state()
        assert venue.run(state, *[self.dust()] * 20).codes == (c.OK,) * 20
        leaving = venue.withdrawal(state, VICTIM, 100 * DOLLAR + 20)
        assert venue.run(state, leaving).codes == (c.OK,)
        assert conservation(state).sound

    def test_on_profit_matures_as_if_nobody_paid_in(self) -> None:
        state = self.state()
        now = NOW
        for _ in range(8):
            now += EPOCH // 4
            assert venue.run(state, self.dust(), timestamp=now).codes == (c.OK,)
        now = venue.later(state, now + STEP)
        leaving = venue.withdrawal(state, VICTIM, 150 * DOLLAR + 8, now)
        assert venue.run(state, leaving, timestamp=now).codes == (c.OK,)

    def test_on_dust_keeps_no_rescue_away(self) -> None:
        # A dollar below maintenance: a micro-dollar does not heal, a dollar does, and it was the stranger's.
        sick = held(BITCOIN, 719)
        state = stage({VICTIM: sick})
        assert venue.run(state, self.dust(999_999)).codes == (c.OK,)
        assert venue.run(state, bid(BTC), liquidate(1)).codes == (c.OK, c.OK)
        state = stage({VICTIM: sick})
        assert venue.run(state, self.dust(DOLLAR)).codes == (c.OK,)
        assert_refused(state, bid(BTC), liquidate(1), code=c.HEALTHY)

    def test_on_dust_under_a_wrong_name_goes_back_to_whom_it_came_from(self) -> None:
        state = self.state()
        before = state.globals.next_account
        wrong = venue.deposit(OWNERS[2], 1, VICTIM)
        assert venue.run(state, *[wrong] * 5).codes == (c.REFUNDED,) * 5
        assert (state.globals.next_account, state.globals.withdrawal_count) == (before, 5)
        assert state.account(VICTIM).settled == 100 * DOLLAR


class TestOneLotFarming:
    """Fees are rounded: against the payer by less than a micro-dollar a fill, so that cutting up never pays."""

    # A lot of a thousandth of a dollar: a taker's fee of 0.45 micro-dollars.
    PRICE = 1_000
    LOTS = 40_000

    def state(self) -> State:
        rows = {VICTIM: account(OWNERS[1], 10**4 * DOLLAR), ATTACKER: account(OWNERS[2], 10**4 * DOLLAR)}
        state = stage(rows, market=FEES)
        state.globals.risk.price[0] = state.globals.markets[0].previous_price = self.PRICE
        return state

    def trade(self, fills: list[int]) -> list[bytes]:
        lots = self.LOTS
        fields = {"size": lots, "limit_price": self.PRICE}
        maker = venue.order(VICTIM, side=constants.SELL, **fields)
        taker = venue.order(ATTACKER, **fields)
        orders = [venue.signed_order(maker, KEYS[1]), venue.signed_order(taker, KEYS[2])]
        return [*orders, *(operations.fill_bytes(0, 1, size) for size in fills)]

    def paid(self, fills: list[int]) -> tuple[int, int]:
        """Fees of both sides for so many fills, and lots that changed hands."""
        chunk = python_chunk(self.state(), *self.trade(fills))
        assert set(chunk.operation_codes) == {c.OK}
        return row_of(chunk, constants.FEE_ACCOUNT).fresh, size_of(row_of(chunk, ATTACKER))

    def test_off_single_lots_trade_for_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule = "margin.ceil_div(size * price * market."
        rule_off(monkeypatch, trading, rule, rule.replace("ceil", "floor"))

        assert self.paid([1] * 40) == (0, 40)
        assert self.paid([40]) == (22, 40)

    def test_on_every_cut_costs_a_micro_dollar_more(self) -> None:
        assert self.paid([40]) == (4 + 18, 40)
        assert self.paid([1] * 40) == (40 * (1 + 1), 40)
        assert self.paid([7] * 5 + [5]) == (5 * (1 + 4) + (1 + 3), 40)

    @pytest.mark.parametrize("size", [1, 3, 8, 24])
    def test_on_whoever_cuts_gains_less_than_a_micro_dollar_a_fill(self, size: int) -> None:
        # It goes to the fee account, which has to post the fill: a hundred bytes on L1 for two micro-dollars at most.
        whole, cut = self.paid([24])[0], self.paid([size] * (24 // size))[0]
        assert whole <= cut < whole + 2 * (24 // size)


class TestSelfLiquidation:
    """An own order takes the other side of an own liquidation: a trade without a taker's fee, and without a gain."""

    def state(self, dollars: int) -> State:
        """A bitcoin long; maintenance is 720 dollars."""
        return stage({VICTIM: held(BITCOIN, dollars)}, market=FEES)

    def zero_price(self, dollars: int) -> int:
        """At or above the price at which equity over maintenance stays as it is."""
        return BTC - BTC * MAINTENANCE_PPM * dollars // 720 // PPM

    def test_off_at_the_market_it_would_be_the_cheaper_trade(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule = "    return max(min(maintenance * constants.LIQUIDATION_FEE_PPM // constants.PPM, improvement), 0)\n"
        rule_off(monkeypatch, rescue, rule, "    return 0\n")
        chunk = python_chunk(self.state(600), bid(BTC), liquidate(1_000))

        assert chunk.operation_codes == [c.OK, c.OK]
        assert value(row_of(chunk, VICTIM)) == 600 * DOLLAR

    def test_on_at_the_market_it_costs_more_than_a_takers_fee(self) -> None:
        lots = 1_000
        state = self.state(600)
        assert venue.run(state, bid(BTC), liquidate(lots)).codes == (c.OK, c.OK)

        paid = 600 * DOLLAR - value(state.account(VICTIM))
        assert paid == lots * BTC * MAINTENANCE_PPM // PPM // 10
        assert paid > 2 * ceil(lots * BTC * TAKER_PPM, PPM)
        # The fund's, not the operator's.
        assert state.account(1).fresh == paid
        assert conservation(state).sound

    @pytest.mark.parametrize("dollars", [1, 300, 430])
    def test_on_at_the_zero_price_nothing_is_won_but_the_takers_fee(self, dollars: int) -> None:
        lots = 1_000
        price = self.zero_price(dollars)
        state = self.state(dollars)
        before = value(state.account(VICTIM)) + value(state.account(ATTACKER))
        assert venue.run(state, bid(price), liquidate(lots)).codes == (c.OK, c.OK)

        own = value(state.account(VICTIM)) + value(state.account(ATTACKER))
        fee = ceil(lots * price * MAKER_PPM, PPM)
        assert own == before - fee - state.account(1).fresh
        # What was closed lost its share of the equity: whoever is faster than the friend has that.
        assert value(state.account(VICTIM)) <= dollars * DOLLAR - lots * dollars * DOLLAR // BITCOIN + 1_000
        assert conservation(state).sound

    def test_on_a_price_below_it_is_refused(self) -> None:
        price = self.zero_price(300) - 1
        assert_refused(self.state(300), bid(price), liquidate(1_000), code=c.LIQUIDATION_PRICE)

    def test_on_lot_by_lot_less_is_closed_than_at_once(self) -> None:
        """Each step is judged anew: it ends where the account has its maintenance margin again."""
        lots, price = 1_000, BTC
        state = stage({VICTIM: held(lots, 7, BTC)}, market=FEES)
        every = margin.requirement(BTC, lots, MAINTENANCE_PPM)
        assert value(state.account(VICTIM)) < every
        steps = 0
        for sequence in range(1, 40):
            outcome = venue.run(state, bid(price, sequence=sequence, lots=17), *[liquidate(1)] * 17)
            steps += outcome.codes.count(c.OK) - 1
            if c.HEALTHY in outcome.codes:
                break
        else:
            pytest.fail("it never ends")
        left = state.account(VICTIM)
        assert value(left) >= margin.requirement(BTC, size_of(left), MAINTENANCE_PPM)
        # At once: until the initial margin is there again.
        whole = stage({VICTIM: held(lots, 7, BTC)}, market=FEES)
        assert venue.run(whole, bid(price, lots=lots), liquidate(steps + 1)).codes[-1] == c.OK
        assert size_of(left) == lots - steps
