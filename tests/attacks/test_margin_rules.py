"""Attacks on money's rules, each with its rule off (the loss is shown) and on (the code, and an unchanged state)."""

from typing import ClassVar

import pytest

from prover.state.state import State
from prover.stf import codes as c
from prover.stf import constants, custody, margin, markets, signatures, trading
from tests.attacks.law_variants import python_chunk, rule_off
from tests.attacks.test_law_rules import MAKER, TAKER, assert_refused, fill, maker_order, taker_order, traders
from tests.prover.stf.test_market_life import BTC, LONG, change, state_of
from tests.twins import venue
from tests.twins.venue import DOLLAR, KEYS, NOW, OWNERS, account, build_state, order, position


class TestM1Slots:
    """An agent that may sign the highest sequence in every slot makes the account useless."""

    cancel = venue.signed_request(constants.CANCEL, venue.request(MAKER, sequence=2**48 - 1), KEYS[1])

    def test_off_a_slot_is_used_up_for_ever(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, signatures, "if sequence > created_at:", "if False:")
        newest = maker_order(sequence=NOW)
        assert python_chunk(traders(), self.cancel, newest).operation_codes == [c.OK, c.OK]
        chunk = python_chunk(traders(), self.cancel, newest, taker_order(), fill())
        assert chunk.operation_codes[-1] == c.USED

    def test_on_a_sequence_is_no_younger_than_its_signature(self) -> None:
        assert_refused(traders(), self.cancel, code=c.SEQUENCE_AHEAD)


class TestH9Hold:
    """A withdrawal that is held back for a week and applied then, when its owner needs the money elsewhere."""

    held = venue.signed_request(
        constants.WITHDRAW,
        venue.request(MAKER, amount=400 * DOLLAR, recipient=OWNERS[1], expires_at=NOW + 604_800_000),
        KEYS[1],
    )

    def test_off_it_is_applied_a_day_later(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, signatures, "if expires_at > created_at + lifetime:", "if False:")
        chunk = python_chunk(traders(), self.held)
        assert chunk.operation_codes == [c.OK]
        assert chunk.accounts[MAKER].settled == 600 * DOLLAR

    def test_on_a_request_lives_ten_minutes(self) -> None:
        assert_refused(traders(), self.held, code=c.LIFETIME)
        lived = venue.request(MAKER, amount=DOLLAR, recipient=OWNERS[1], expires_at=NOW + constants.REQUEST_LIFETIME)
        assert venue.run(traders(), venue.signed_request(constants.WITHDRAW, lived, KEYS[1])).codes == (c.OK,)


class TestM2Indices:
    """Sixteen million isolated accounts of a micro-dollar each, and nobody can sign up any more."""

    def opening(self, amount: int) -> bytes:
        request = venue.request(MAKER, amount=amount, other=constants.NEW_ACCOUNT)
        return venue.signed_request(constants.TRANSFER, request, KEYS[1])

    def test_off_an_index_costs_a_micro_dollar(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, custody, "request.amount <= constants.CREATION_FEE", "False")
        rule_off(monkeypatch, custody, "        fee = constants.CREATION_FEE\n", "        fee = 0\n")
        monkeypatch.setattr(constants, "CREATION_FEE", 0)
        chunk = python_chunk(traders(), self.opening(1))
        assert chunk.operation_codes == [c.OK]
        assert chunk.accounts[MAKER].settled == 1_000 * DOLLAR - 1

    def test_on_an_index_costs_a_dollar(self) -> None:
        assert_refused(traders(), self.opening(DOLLAR), code=c.TOO_SMALL)
        state = traders()
        assert venue.run(state, self.opening(DOLLAR + 1)).codes == (c.OK,)
        assert state.account(MAKER).settled == 999 * DOLLAR - 1


class TestM6Dust:
    """A fill of one lot costs its operator cents on L1 and brings it a ten-thousandth of that."""

    dust = (
        venue.signed_order(order(MAKER, side=constants.SELL, size=1), KEYS[1]),
        venue.signed_order(order(TAKER, size=1), KEYS[2]),
        fill(1),
    )

    def test_off_one_lot_is_traded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, trading, "        return codes.TOO_SMALL\n", "        return codes.OK\n")
        assert python_chunk(traders(), *self.dust).operation_codes == [c.OK] * 3

    def test_on_an_order_has_a_least_notional(self) -> None:
        state = traders()
        assert venue.run(state, *self.dust).codes == (c.TOO_SMALL, c.TOO_SMALL, c.NO_ORDER)


class TestM5Floor:
    """A withdrawal down to the initial requirement of a tier with high leverage leaves nothing for a jump."""

    def state(self) -> State:
        long = account(OWNERS[1], 1_000 * DOLLAR, positions={0: position(10_000, 10_000 * 600_000)})
        short = account(OWNERS[2], 1_000 * DOLLAR, positions={0: position(-10_000, -10_000 * 600_000)})
        return build_state(accounts={MAKER: long, TAKER: short})

    # 6,000 dollars of notional: two per cent of it is 120, a tenth 600.
    def withdrawal(self, dollars: int) -> bytes:
        request = venue.request(MAKER, amount=dollars * DOLLAR, recipient=OWNERS[1])
        return venue.signed_request(constants.WITHDRAW, request, KEYS[1])

    def test_off_eight_hundred_of_a_thousand_leave(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(constants, "WITHDRAWAL_FLOOR_PPM", 0)
        chunk = python_chunk(self.state(), self.withdrawal(800))
        assert chunk.operation_codes == [c.OK]
        assert chunk.accounts[MAKER].settled == 200 * DOLLAR

    def test_on_a_tenth_of_the_notional_stays(self) -> None:
        assert_refused(self.state(), self.withdrawal(401), code=c.MARGIN)
        assert venue.run(self.state(), self.withdrawal(400)).codes == (c.OK,)


class TestH7Governor:
    """A governor that raises the maintenance requirement over night takes everybody's equity by liquidation."""

    raised: ClassVar = {"initial_ppm": 400_000, "maintenance_ppm": 300_000}

    def test_off_a_sound_account_is_below_maintenance_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, markets, "        return codes.STEP_LIMIT\n", "        return codes.OK\n")
        # A bitcoin of 60,000 dollars on 10,000: a sixth.
        state = state_of()
        chunk = python_chunk(state, change(state, **self.raised))
        assert chunk.operation_codes == [c.OK]
        required = margin.requirement(100_000, BTC, chunk.globals.risk.maintenance_ppm[0])
        assert required == 18_000 * DOLLAR > margin.collateral(state.account(LONG))

    def test_on_a_change_is_a_quarter_at_most(self) -> None:
        state = state_of()
        before = state.commitment.globals_hash
        assert venue.run(state, change(state, **self.raised)).codes == (c.STEP_LIMIT,)
        assert state.commitment.globals_hash == before

    def test_on_the_next_quarter_waits_thirty_days(self) -> None:
        state = state_of()
        first = state.globals.risk.initial_ppm[0] * 5 // 4
        second = first * 5 // 4
        assert venue.run(state, change(state, initial_ppm=first)).codes == (c.OK,)
        assert venue.run(state, change(state, initial_ppm=second)).codes == (c.TOO_SOON,)
        assert state.globals.risk.initial_ppm[0] == first
