"""Attacks by signatures that are held back or stolen, and by what costs next to nothing, each with its rule off and on.

Off: the Python law without the rule, and the loss that follows. On: both twins, their code, and a state as it was.
"""

from typing import Any

import pytest

from prover.state.audit import conservation
from prover.state.state import State
from prover.stf import codes as c
from prover.stf import constants, custody, encoding, signatures, trading
from tests.attacks.law_variants import python_chunk, rule_off
from tests.attacks.stage import (
    ATTACKER,
    BITCOIN,
    BTC,
    POOL,
    PPM,
    STEP,
    VICTIM,
    bid,
    ceil,
    forced,
    row_of,
    stage,
    value,
)
from tests.attacks.test_law_rules import assert_refused, fill, traders
from tests.twins import venue
from tests.twins.venue import DOLLAR, KEYS, NOW, OWNERS, account


class TestH9HoldAndReplay:
    """A request that fails now must not be kept and applied when its owner has forgotten it."""

    WEEK = 7 * 24 * constants.HOUR
    SIBLING = 20

    def state(self) -> State:
        return stage({VICTIM: account(OWNERS[1]), self.SIBLING: account(OWNERS[1], 0)})

    def signed(self, kind: str, **fields: Any) -> bytes:
        tag, own = {
            "withdraw": (constants.WITHDRAW, {"amount": 1_000 * DOLLAR, "recipient": venue.RECIPIENT}),
            "transfer": (constants.TRANSFER, {"amount": 1_000 * DOLLAR, "other": self.SIBLING}),
            "agent": (constants.SET_AGENT, {"recipient": venue.AGENTS[0], "amount": NOW + 10**10, "last_slot": 9}),
            "leverage": (constants.SET_LEVERAGE, {"amount": 100_000}),
            "cancel": (constants.CANCEL, {}),
        }[kind]
        values = {"slot": 2, "expires_at": NOW + constants.REQUEST_LIFETIME} | own | fields
        return venue.signed_request(tag, venue.request(VICTIM, **values), KEYS[1])

    def test_off_a_withdrawal_of_last_week_is_made(self, monkeypatch: pytest.MonkeyPatch) -> None:
        state = self.state()
        now = venue.later(state, NOW + self.WEEK)
        rule_off(monkeypatch, signatures, "        return codes.EXPIRED\n", "        pass\n")
        chunk = python_chunk(state, self.signed("withdraw"), timestamp=now)

        assert chunk.operation_codes == [c.OK]
        assert chunk.commitment.withdrawn_total == 1_000 * DOLLAR

    @pytest.mark.parametrize("kind", ["withdraw", "transfer", "agent", "leverage", "cancel"])
    def test_on_a_request_lives_ten_minutes(self, kind: str) -> None:
        state = self.state()
        ends = NOW + constants.REQUEST_LIFETIME
        venue.later(state, ends - 4 * STEP)
        assert_refused(state, self.signed(kind, expires_at=ends + 1), code=c.LIFETIME, timestamp=ends)
        in_time = self.state()
        venue.later(in_time, ends - 4 * STEP)
        assert venue.run(in_time, self.signed(kind), timestamp=ends).codes == (c.OK,)
        assert_refused(in_time, self.signed(kind), code=c.USED, timestamp=ends)
        assert_refused(state, self.signed(kind), code=c.EXPIRED, timestamp=ends + 1)

    def test_off_a_request_lives_as_long_as_somebody_likes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        state = self.state()
        now = venue.later(state, NOW + self.WEEK)
        rule_off(monkeypatch, signatures, "        return codes.LIFETIME\n", "        pass\n")
        held_back = self.signed("transfer", expires_at=now)

        assert python_chunk(state, held_back, timestamp=now).operation_codes == [c.OK]

    def test_off_requests_that_raise_the_floor_cancel_every_order(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule = "        floor=account.floor,\n        settled=account.settled + amount,\n"
        rule_off(monkeypatch, custody, rule, rule.replace("account.floor", "2 if amount < 0 else account.floor"))
        state = self.state()
        trade = venue.trade(state, POOL, VICTIM, 1_000)
        chunk = python_chunk(state, self.signed("withdraw", amount=DOLLAR), *trade)

        assert chunk.operation_codes[-1] == c.CANCELLED

    def test_on_a_request_takes_its_slot_and_no_other(self) -> None:
        state = self.state()
        trade = venue.trade(state, POOL, VICTIM, 1_000)
        assert venue.run(state, self.signed("withdraw", amount=DOLLAR), *trade).codes == (c.OK,) * 4
        assert state.account(VICTIM).floor == 0


class TestM1Slots:
    """A stolen agent's key must neither brick an account nor take its money."""

    AGENT = venue.AGENTS[0]
    LAST = 2**48 - 1

    def state(self, first: int = 0, last: int = 100, until: int = NOW + 10**9) -> State:
        return stage({VICTIM: account(agents=[encoding.agent_word(self.AGENT, until, first, last), 0]), 20: account()})

    def by_agent(self, tag: int, **fields: Any) -> bytes:
        return venue.signed_request(tag, venue.request(VICTIM, **fields), venue.KEY_OF[self.AGENT])

    def test_off_one_signature_ends_an_account(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, signatures, "        return codes.SEQUENCE_AHEAD\n", "        pass\n")
        state = self.state()
        brick = self.by_agent(constants.CANCEL_ALL, slot=0, sequence=self.LAST)
        # No sequence that fits its field is valid any more, not even the owner's own for his money.
        rest = [venue.withdrawal(state, VICTIM, DOLLAR, sequence=self.LAST), bid(BTC, index=VICTIM, sequence=NOW)]
        trade = [*rest, bid(BTC, side=constants.SELL), fill(BITCOIN, 0, 1)]

        assert python_chunk(state, brick, *trade).operation_codes == [c.OK, c.CANCELLED, c.OK, c.OK, c.CANCELLED]

    @pytest.mark.parametrize(("tag", "slot"), [(constants.CANCEL_ALL, 0), (constants.CANCEL, 1)])
    def test_on_a_sequence_is_at_most_the_time_of_its_signature(self, tag: int, slot: int) -> None:
        state = self.state()
        for sequence in (NOW + 1, self.LAST):
            assert_refused(state, self.by_agent(tag, slot=slot, sequence=sequence), code=c.SEQUENCE_AHEAD)
        order = bid(BTC, index=VICTIM, sequence=NOW + 1)
        assert_refused(state, order, code=c.SEQUENCE_AHEAD)
        assert venue.run(state, self.by_agent(tag, slot=slot, sequence=NOW)).codes == (c.OK,)
        # A moment later the owner signs again.
        later = NOW + 1
        again = venue.withdrawal(state, VICTIM, DOLLAR, later, sequence=later)
        assert venue.run(state, again, timestamp=later).codes == (c.OK,)

    def test_off_an_agent_of_some_slots_cancels_in_all(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule = "encoding.bits(agent, 8, 8) > slot or encoding.bits(agent, 0, 8) < slot or "
        rule_off(monkeypatch, signatures, rule)
        cancels = [self.by_agent(constants.CANCEL, slot=slot) for slot in (4, 11, 255)]

        assert python_chunk(self.state(5, 10), *cancels).operation_codes == [c.OK] * 3

    def test_on_an_agent_has_its_slots_and_its_time(self) -> None:
        state = self.state(5, 10)
        for slot in (4, 11, 255):
            assert_refused(state, self.by_agent(constants.CANCEL, slot=slot), code=c.AGENT_LIMITS)
        assert_refused(state, self.by_agent(constants.CANCEL_ALL, slot=0), code=c.AGENT_LIMITS)
        assert_refused(self.state(until=NOW - 1), self.by_agent(constants.CANCEL), code=c.AGENT_LIMITS)
        for slot in (5, 10):
            assert venue.run(state, self.by_agent(constants.CANCEL, slot=slot)).codes == (c.OK,)

    def payment(self) -> bytes:
        return self.by_agent(constants.WITHDRAW, amount=1_000 * DOLLAR, recipient=venue.RECIPIENT)

    def test_off_an_agent_takes_the_money(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule = "signatures.permitted(signatures.owned(account, signer),"
        instead = "signatures.permitted(signatures.entrusted(account, signer, request.slot, terms.clock.now),"
        rule_off(monkeypatch, custody, rule, instead)
        chunk = python_chunk(self.state(), self.payment())

        assert chunk.operation_codes == [c.OK]
        assert (chunk.commitment.withdrawn_total, value(row_of(chunk, VICTIM))) == (1_000 * DOLLAR, 0)

    def test_on_an_agent_orders_and_cancels_only(self) -> None:
        state = self.state()
        for operation in (
            self.payment(),
            self.by_agent(constants.TRANSFER, amount=DOLLAR, other=20),
            self.by_agent(constants.SET_AGENT, recipient=self.AGENT, amount=NOW, other=1),
            self.by_agent(constants.SET_LEVERAGE, amount=PPM),
        ):
            assert_refused(state, operation, code=c.BAD_SIGNATURE)

    def test_on_the_queue_dismisses_an_agent_that_cancels_without_end(self) -> None:
        # As far ahead as clocks may differ: at this moment the owner has no sequence left, for his money either.
        state, ahead = self.state(), NOW + constants.CLOCK_TOLERANCE
        cancel = self.by_agent(constants.CANCEL_ALL, slot=0, sequence=ahead, **venue.at(ahead))
        assert venue.run(state, cancel).codes == (c.OK,)
        late = venue.withdrawal(state, VICTIM, DOLLAR, ahead, sequence=ahead)
        assert_refused(state, late, code=c.CANCELLED)
        grant = forced(constants.FORCED_AGENT)
        assert venue.run(state, grant, forced(constants.FORCED_WITHDRAW, amount=DOLLAR)).codes == (c.OK, c.OK)
        assert (state.account(VICTIM).agents, state.commitment.withdrawn_total) == ([0, 0], DOLLAR)
        assert_refused(state, cancel, code=c.BAD_SIGNATURE)
        # A moment later the owner signs again, and nobody is in his way.
        now = NOW + 1
        again = venue.withdrawal(state, VICTIM, DOLLAR, now, sequence=ahead + 1, **venue.at(ahead + 1))
        assert venue.run(state, again, timestamp=now).codes == (c.OK,)


class TestM2Indices:
    """Indices are never used again: whoever could open accounts for nothing would end sign-ups for ever."""

    def opening(self, amount: int, count: int) -> list[bytes]:
        slots = range(1, count + 1)
        fields = {"amount": amount, "other": constants.NEW_ACCOUNT}
        requests = [venue.request(VICTIM, slot=slot, **fields) for slot in slots]
        return [venue.signed_request(constants.TRANSFER, request, KEYS[1]) for request in requests]

    def test_off_twenty_indices_cost_twenty_micro_dollars_that_stay_ones_own(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rule_off(monkeypatch, custody, "constants.CREATION_FEE", "0")
        chunk = python_chunk(stage({}), *self.opening(1, 20))

        assert chunk.operation_codes == [c.OK] * 20
        assert chunk.globals.next_account == POOL + 1 + 20
        assert row_of(chunk, constants.FEE_ACCOUNT).fresh == 0

    def test_on_each_costs_a_dollar(self) -> None:
        state = stage({})
        for amount in (1, constants.CREATION_FEE):
            assert_refused(state, *self.opening(amount, 1), code=c.TOO_SMALL)
        assert venue.run(state, *self.opening(constants.CREATION_FEE + 1, 20)).codes == (c.OK,) * 20

        assert state.globals.next_account == POOL + 1 + 20
        assert state.account(constants.FEE_ACCOUNT).fresh == 20 * DOLLAR
        assert [state.account(POOL + 1 + i).settled for i in range(20)] == [1] * 20
        assert conservation(state).sound


class TestM6Dust:
    """A fill is bytes on L1: whoever trades single lots would have the operator pay for them."""

    POSTING = 500
    # Ten dollars: 17 lots.
    LEAST = ceil(10 * DOLLAR, BTC)

    def fees(self, lots: int) -> int:
        return ceil(lots * BTC * 100, PPM) + ceil(lots * BTC * 450, PPM)

    def dust(self, lots: int, **taker: int) -> tuple[bytes, bytes, bytes]:
        """Two orders of so many lots and their whole fill."""
        maker = venue.order(VICTIM, side=constants.SELL, size=lots)
        buyer = venue.order(ATTACKER, size=lots, **taker)
        return venue.signed_order(maker, KEYS[1]), venue.signed_order(buyer, KEYS[2]), fill(lots)

    def test_off_a_lot_costs_less_than_its_bytes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, trading, "        return codes.TOO_SMALL\n", "        pass\n")
        chunk = python_chunk(traders(), *self.dust(1))

        assert chunk.operation_codes[-1] == c.OK
        assert row_of(chunk, constants.FEE_ACCOUNT).fresh == self.fees(1) + self.POSTING < 1_000

    def test_on_an_order_is_worth_ten_dollars_or_closes(self) -> None:
        state = traders()
        for lots in (1, self.LEAST - 1):
            for order in self.dust(lots)[:2]:
                assert_refused(state, order, code=c.TOO_SMALL)
        assert venue.run(state, *self.dust(self.LEAST)).codes == (c.OK,) * 3
        # What is left of a position may be smaller.
        closing = venue.order(VICTIM, size=1, reduce_only=1, sequence=2)
        assert venue.run(state, venue.signed_order(closing, KEYS[1])).codes == (c.OK,)

    def test_off_posting_is_free(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, trading, "        taker_fee = taker_fee + posting_fee\n", "        pass\n")
        chunk = python_chunk(traders(), *self.dust(self.LEAST))

        assert row_of(chunk, constants.FEE_ACCOUNT).fresh == self.fees(self.LEAST) < 6_000

    def test_off_an_order_that_is_cut_up_pays_for_every_cut(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, trading, "    if taken_before == 0:\n", "    if True:\n")
        maker, taker, _ = self.dust(self.LEAST)
        chunk = python_chunk(traders(), maker, taker, *[fill(1)] * self.LEAST)

        assert chunk.operation_codes == [c.OK] * (self.LEAST + 2)
        assert row_of(chunk, constants.FEE_ACCOUNT).fresh == self.LEAST * (self.fees(1) + self.POSTING)

    def test_on_posting_is_paid_once_and_as_signed(self) -> None:
        state = traders()
        assert_refused(state, *self.dust(self.LEAST, max_posting_fee=self.POSTING - 1), code=c.FEE_ABOVE_MAXIMUM)
        maker, taker, _ = self.dust(self.LEAST, max_posting_fee=self.POSTING)
        assert venue.run(state, maker, taker, *[fill(1)] * self.LEAST).codes == (c.OK,) * (self.LEAST + 2)
        assert state.account(constants.FEE_ACCOUNT).fresh == self.LEAST * self.fees(1) + self.POSTING


class TestD1FreeOperations:
    """Two dollars must not make the operator post 65 kB an hour."""

    FEE = 500_000

    def state(self) -> State:
        return stage({VICTIM: account(OWNERS[1]), ATTACKER: account(OWNERS[2], 2 * DOLLAR)}, posting_fee=self.FEE)

    def cancels(self, count: int, **fields: Any) -> list[bytes]:
        values = {"slot": 9, "max_posting_fee": self.FEE} | fields
        made = [venue.request(ATTACKER, **({"sequence": sequence} | values)) for sequence in range(1, count + 1)]
        return [venue.signed_request(constants.CANCEL, request, KEYS[2]) for request in made]

    def test_off_bytes_cost_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, custody, "-terms.posting_fee", "0")
        posted = self.cancels(constants.MAX_ACCOUNT_REFERENCES)
        chunk = python_chunk(self.state(), *posted)

        assert chunk.operation_codes == [c.OK] * len(posted)
        assert sum(map(len, posted)) == constants.MAX_ACCOUNT_REFERENCES * constants.CANCEL_LENGTH
        assert row_of(chunk, ATTACKER).settled == 2 * DOLLAR

    def test_off_whoever_orders_takes_what_nobody_signed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, signatures, "        return codes.FEE_ABOVE_MAXIMUM\n", "        pass\n")
        chunk = python_chunk(self.state(), *self.cancels(1, max_posting_fee=0))

        assert chunk.operation_codes == [c.OK]
        assert row_of(chunk, ATTACKER).settled == 2 * DOLLAR - self.FEE

    def test_on_each_is_paid_within_what_was_signed_until_the_money_is_gone(self) -> None:
        state = self.state()
        for most in (0, self.FEE - 1):
            assert_refused(state, *self.cancels(1, max_posting_fee=most), code=c.FEE_ABOVE_MAXIMUM)
        assert venue.run(state, *self.cancels(6)).codes == (c.OK,) * 4 + (c.INSOLVENT,) * 2
        assert state.account(ATTACKER).settled == 0
        assert state.account(constants.FEE_ACCOUNT).fresh == 2 * DOLLAR
        assert conservation(state).sound
