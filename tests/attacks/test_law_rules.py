"""Attacks on the law, each with its rule off (the loss is shown) and on (the code, and a state that did not change)."""

from collections.abc import Iterable
from typing import Any

import pytest

from prover.signing.signatures import order_digest
from prover.signing.typed_data import domain_separator
from prover.state.state import State
from prover.stf import codes as c
from prover.stf import constants, containers, custody, encoding, margin, signatures, trading
from prover.stf.replay import Chunk
from tests.attacks.law_variants import python_chunk, rule_off
from tests.twins import venue
from tests.twins.venue import DOLLAR, KEYS, NOW, OWNERS, account, build_state, order, position

MAKER, TAKER = 17, 18
BTC = 600_000
POSTING_FEE = venue.globals_of().posting_fee


def traders(**accounts: containers.Account) -> State:
    """A maker and a taker with a thousand dollars each, or with what is given."""
    rows = {"maker": account(OWNERS[1]), "taker": account(OWNERS[2])} | accounts
    return build_state(accounts={MAKER: rows["maker"], TAKER: rows["taker"]})


def maker_order(**fields: Any) -> bytes:
    return venue.signed_order(order(MAKER, side=constants.SELL, size=10_000, **fields), KEYS[1])


def taker_order(**fields: Any) -> bytes:
    return venue.signed_order(order(TAKER, size=10_000, **fields), KEYS[2])


def fill(size: int = 10_000, maker: int = 0, taker: int = 1) -> bytes:
    return venue.operations.fill_bytes(maker, taker, size)


def money(chunk: Chunk) -> int:
    """Collateral less cost of the chunk's rows, in micro-dollars: what no operation but deposits may raise."""

    def of(rows: Iterable[containers.Account]) -> int:
        return sum(margin.collateral(row) - sum(held.cost for held in row.positions) for row in rows)

    return of(chunk.accounts.values()) - of(chunk.loaded_accounts.values())


def assert_refused(state: State, *operations: bytes, code: int, timestamp: int = NOW) -> None:
    """Both twins refuse the last operation with this code, and the tree and the globals stay as they were."""
    before = (state.commitment.tree_root, state.commitment.globals_hash, state.commitment.withdrawals_root)
    outcome = venue.run(state, *operations, timestamp=timestamp)
    assert outcome.codes[-1] == code, [c.SENTENCE[each][0] for each in outcome.codes]
    after = (state.commitment.tree_root, state.commitment.globals_hash, state.commitment.withdrawals_root)
    assert before == after


class TestC1Time:
    """A sequencer that could turn the clock back would fill what has long expired, knowing the future."""

    stale = (maker_order(), taker_order(), fill())

    def state(self) -> State:
        state = traders()
        venue.run(state, timestamp=NOW + 15_000)
        return state

    def test_off_an_expired_order_is_filled(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def turned_back(self: Chunk, timestamp: int, _: bool) -> None:
            self.commitment.timestamp = timestamp

        monkeypatch.setattr(Chunk, "open", turned_back)
        chunk = python_chunk(self.state(), *self.stale, timestamp=NOW)

        assert chunk.operation_codes == [c.OK, c.OK, c.OK]
        assert chunk.accounts[MAKER].positions[0].size == -10_000

    def test_on_the_clock_never_goes_back(self) -> None:
        state = self.state()
        outcome = venue.run(state, *self.stale, timestamp=NOW)

        assert outcome.codes == (c.EXPIRED, c.EXPIRED, c.NO_ORDER)
        assert state.commitment.timestamp == NOW + 15_000

    def test_on_a_body_without_a_whole_timestamp_keeps_the_clock(self) -> None:
        state = self.state()
        outcome = venue.run_body(state, b"\xff" * 5)

        assert outcome.codes == ()
        assert state.commitment.timestamp == NOW + 15_000


class TestC6Orders:
    """Everything that a trader signs away with an order is checked by the law, not by the node."""

    def test_off_a_cancelled_order_is_filled(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, signatures, "        return codes.USED\n", "        return codes.OK\n")
        state = traders()
        venue_cancel = venue.signed_request(constants.CANCEL, venue.request(MAKER, sequence=1), KEYS[1])
        chunk = python_chunk(state, venue_cancel, maker_order(), taker_order(), fill())

        assert chunk.operation_codes == [c.OK] * 4

    def test_on_a_cancelled_order_is_used(self) -> None:
        state = traders()
        venue.run(state, venue.signed_request(constants.CANCEL, venue.request(MAKER, sequence=1), KEYS[1]))
        assert_refused(state, maker_order(), taker_order(), fill(), code=c.USED)

    def test_off_an_order_below_the_floor_is_filled(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, signatures, "        return codes.CANCELLED\n", "        return codes.OK\n")
        cancel_all = venue.signed_request(constants.CANCEL_ALL, venue.request(MAKER, slot=0, sequence=9), KEYS[1])
        chunk = python_chunk(traders(), cancel_all, maker_order(), taker_order(), fill())

        assert chunk.operation_codes == [c.OK] * 4

    def test_on_cancel_all_covers_every_slot(self) -> None:
        state = traders()
        request = venue.request(MAKER, slot=0, sequence=9)
        venue.run(state, venue.signed_request(constants.CANCEL_ALL, request, KEYS[1]))
        for slot in (1, 7, 255):
            assert_refused(state, maker_order(slot=slot, sequence=9), taker_order(), fill(), code=c.CANCELLED)

    def test_a_replaced_order_cannot_be_filled_after_the_newer_one(self) -> None:
        state = traders()
        newer = maker_order(sequence=11)
        outcome = venue.run(state, newer, taker_order(), fill(100), maker_order(sequence=10), fill(100, maker=2))

        assert outcome.codes == (c.OK, c.OK, c.OK, c.OK, c.USED)

    def test_off_a_stop_is_filled_before_it_fires(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(trading, "triggered", lambda order, price: True)
        stop = taker_order(trigger=constants.TRIGGER_AT_OR_ABOVE, trigger_price=BTC + 1)

        assert python_chunk(traders(), maker_order(), stop, fill()).operation_codes[-1] == c.OK

    @pytest.mark.parametrize(
        ("trigger", "price"), [(constants.TRIGGER_AT_OR_ABOVE, BTC + 1), (constants.TRIGGER_AT_OR_BELOW, BTC - 1)]
    )
    def test_on_a_stop_waits_for_its_price(self, trigger: int, price: int) -> None:
        waiting = taker_order(trigger=trigger, trigger_price=price)
        assert_refused(traders(), maker_order(), waiting, fill(), code=c.NOT_TRIGGERED)
        fired = taker_order(trigger=trigger, trigger_price=BTC)
        assert venue.run(traders(), maker_order(), fired, fill()).codes[-1] == c.OK

    def test_off_a_reduce_only_order_turns_the_position(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, trading, "            return codes.REDUCE_ONLY\n", "            return codes.OK\n")
        short = account(OWNERS[2], positions={0: position(-100, -100 * BTC)})
        chunk = python_chunk(traders(taker=short), maker_order(), taker_order(reduce_only=1), fill(250))

        assert chunk.operation_codes[-1] == c.OK
        assert chunk.accounts[TAKER].positions[0].size == 150

    @pytest.mark.parametrize("held", [0, 100, -249])
    def test_on_reduce_only_neither_opens_grows_nor_turns(self, held: int) -> None:
        row = account(OWNERS[2], positions={0: position(held, held * BTC)})
        assert_refused(traders(taker=row), maker_order(), taker_order(reduce_only=1), fill(250), code=c.REDUCE_ONLY)

    def test_on_reduce_only_reduces(self) -> None:
        row = account(OWNERS[2], positions={0: position(-250, -250 * BTC)})
        state = traders(taker=row)
        assert venue.run(state, maker_order(), taker_order(reduce_only=1), fill(250)).codes[-1] == c.OK
        assert state.account(TAKER).positions[0].size == 0

    def test_off_a_post_only_order_takes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, trading, "        return codes.POST_ONLY\n", "        pass\n")
        chunk = python_chunk(traders(), maker_order(), taker_order(post_only=1), fill())

        assert chunk.operation_codes[-1] == c.OK
        paid = chunk.accounts[constants.FEE_ACCOUNT].fresh
        assert paid > 10_000 * BTC * 100 // constants.PPM * 2

    def test_on_a_post_only_order_only_makes(self) -> None:
        assert_refused(traders(), maker_order(), taker_order(post_only=1), fill(), code=c.POST_ONLY)
        assert venue.run(traders(), maker_order(post_only=1), taker_order(), fill()).codes[-1] == c.OK

    @pytest.mark.parametrize("kind", [constants.IMMEDIATE_OR_CANCEL, constants.FILL_OR_KILL])
    def test_on_an_immediate_order_never_rests(self, kind: int) -> None:
        assert_refused(traders(), maker_order(time_in_force=kind), taker_order(), fill(), code=c.POST_ONLY)

    def test_on_an_immediate_order_lives_ten_seconds(self) -> None:
        late = taker_order(time_in_force=constants.IMMEDIATE_OR_CANCEL, expires_at=NOW + 10_001)
        assert_refused(traders(), maker_order(), late, code=c.LIFETIME)

    def test_off_a_fill_or_kill_is_filled_in_part(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, trading, "        return codes.ALL_OR_NOTHING\n", "        pass\n")
        partial = python_chunk(traders(), maker_order(), taker_order(time_in_force=constants.FILL_OR_KILL), fill(9_999))

        assert partial.operation_codes[-1] == c.OK

    def test_on_a_fill_or_kill_is_whole(self) -> None:
        whole = taker_order(time_in_force=constants.FILL_OR_KILL)
        assert_refused(traders(), maker_order(), whole, fill(9_999), code=c.ALL_OR_NOTHING)
        assert venue.run(traders(), maker_order(), whole, fill(10_000)).codes[-1] == c.OK

    def test_off_an_order_is_filled_again_and_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, trading, "        return codes.OVERFILLED\n", "        pass\n")
        chunk = python_chunk(traders(), maker_order(), taker_order(), fill(), fill())

        assert chunk.operation_codes[-1] == c.OK
        assert chunk.accounts[TAKER].positions[0].size == 20_000

    def test_on_fills_of_one_order_add_up_across_chunks(self) -> None:
        state = traders()
        assert venue.run(state, maker_order(), taker_order(), fill(9_000)).codes[-1] == c.OK
        assert_refused(state, maker_order(), taker_order(), fill(1_001), code=c.OVERFILLED)
        assert venue.run(state, maker_order(), taker_order(), fill(1_000)).codes[-1] == c.OK

    def test_on_fees_stay_within_the_signature(self) -> None:
        for maker, taker in (
            (maker_order(max_fee_ppm=99), taker_order()),
            (maker_order(), taker_order(max_fee_ppm=449)),
            (maker_order(), taker_order(max_posting_fee=499)),
        ):
            assert_refused(traders(), maker, taker, fill(), code=c.FEE_ABOVE_MAXIMUM)
        exact = (maker_order(max_fee_ppm=100), taker_order(max_fee_ppm=450, max_posting_fee=500), fill())
        assert venue.run(traders(), *exact).codes[-1] == c.OK

    def test_on_the_price_is_within_both_limits_and_the_band(self) -> None:
        assert_refused(traders(), maker_order(limit_price=BTC + 1), taker_order(), fill(), code=c.NOT_CROSSED)
        far = BTC + BTC // 20
        crossing = taker_order(limit_price=far + 1)
        assert venue.run(traders(), maker_order(limit_price=far), crossing, fill(1)).codes[-1] == c.OK
        assert_refused(traders(), maker_order(limit_price=far + 1), crossing, fill(1), code=c.PRICE_BAND)


class TestC7Aliasing:
    """Two copies of one row would let the second write undo the first."""

    def test_off_a_trade_with_oneself_makes_a_position_from_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(
            monkeypatch,
            trading,
            "    if maker.account == taker.account:\n        return codes.SAME_ACCOUNT\n",
        )
        cheap = venue.signed_order(order(MAKER, slot=2, size=10_000, limit_price=BTC), KEYS[1])
        chunk = python_chunk(traders(), maker_order(), cheap, fill())

        assert chunk.operation_codes[-1] == c.OK
        assert chunk.accounts[MAKER].positions[0].size == 10_000
        assert money(chunk) < 0

    def test_on_a_trade_with_oneself_is_refused(self) -> None:
        own = venue.signed_order(order(MAKER, slot=2, size=10_000), KEYS[1])
        assert_refused(traders(), maker_order(), own, fill(), code=c.SAME_ACCOUNT)

    def test_off_a_transfer_to_oneself_mints(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, custody, "    if request.account == request.other:\n", "    if False:\n")
        # The receiving copy is written last: the payment is lost or, the other way round, minted.
        transfer = venue.signed_request(constants.TRANSFER, venue.request(MAKER, amount=DOLLAR, other=MAKER), KEYS[1])
        chunk = python_chunk(traders(), transfer)

        assert chunk.operation_codes == [c.OK]
        assert abs(money(chunk)) == DOLLAR

    def test_on_a_transfer_to_oneself_is_refused(self) -> None:
        transfer = venue.signed_request(constants.TRANSFER, venue.request(MAKER, amount=DOLLAR, other=MAKER), KEYS[1])
        assert_refused(traders(), transfer, code=c.SAME_ACCOUNT)

    @staticmethod
    def sibling(profit: int) -> State:
        """A maker with so much fresh profit and nothing else, beside an account of the same owner."""
        rows = {MAKER: account(OWNERS[1], 0, fresh=profit), 20: account(OWNERS[1], 0)}
        return build_state(accounts={TAKER: account(OWNERS[2]), **rows})

    def moved_on(self, state: State) -> list[bytes]:
        """The profit goes to the own account, and out of the venue."""
        profit = state.account(MAKER).fresh - POSTING_FEE
        leaving = venue.withdrawal(state, 20, profit - POSTING_FEE)
        return [venue.transfer(state, MAKER, 20, profit), leaving]

    def test_off_profit_settles_by_changing_accounts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        keeps = "receiving = received(terms, receiving, paid, given)"
        rule_off(monkeypatch, custody, keeps, "receiving = credited(receiving, request.amount)")
        state = self.sibling(50 * DOLLAR)
        chunk = python_chunk(state, *self.moved_on(state))

        assert chunk.operation_codes == [c.OK, c.OK]
        # Made in this very chunk's epoch, and gone: no debt that a loser leaves behind can reach it any more.
        assert chunk.commitment.withdrawn_total == 50 * DOLLAR - 2 * POSTING_FEE

    def test_on_money_keeps_its_age_wherever_it_goes(self) -> None:
        state = self.sibling(50 * DOLLAR)
        transfer, leaving = self.moved_on(state)
        assert venue.run(state, transfer).codes == (c.OK,)
        assert_refused(state, leaving, code=c.COLLATERAL)

    def test_on_one_order_listed_twice_has_one_row(self) -> None:
        state = traders()
        outcome = venue.run(state, maker_order(), taker_order(), maker_order(), fill(), fill(maker=2))

        assert outcome.codes == (c.OK, c.OK, c.OK, c.OK, c.OVERFILLED)

    def test_on_two_orders_of_one_slot_and_sequence_share_what_is_filled(self) -> None:
        twice = maker_order(limit_price=BTC - 1)
        outcome = venue.run(traders(), maker_order(), twice, taker_order(), fill(6_000, 0, 2), fill(4_001, 1, 2))

        assert outcome.codes[-1] == c.OVERFILLED

    def test_off_fees_of_reserved_accounts_alias_the_fee_account(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(
            monkeypatch,
            trading,
            "    if order.account < constants.RESERVED_ACCOUNTS:\n        return codes.RESERVED\n",
        )
        state = build_state(accounts={0: account(venue.OPERATOR, 10**12), TAKER: account(OWNERS[2])})
        own = venue.signed_order(order(0, side=constants.SELL, size=10_000), venue.OPERATOR_KEY)
        chunk = python_chunk(state, own, taker_order(), fill())

        assert chunk.operation_codes[-1] == c.OK
        assert chunk.accounts[0].positions[0].size == -10_000

    @pytest.mark.parametrize("index", [0, 1, 16])
    def test_on_reserved_accounts_do_not_trade(self, index: int) -> None:
        state = build_state(accounts={index: account(venue.OPERATOR, 10**12), TAKER: account(OWNERS[2])})
        own = venue.signed_order(order(index, side=constants.SELL, size=10_000), venue.OPERATOR_KEY)
        assert_refused(state, own, code=c.RESERVED)


class TestH11DepositIdentity:
    """After a reorg an index may be somebody else's: a deposit names its owner, and never fails."""

    def test_off_a_stranger_is_credited(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, custody, " or account.owner != entry.owner", "")
        chunk = python_chunk(traders(), venue.deposit(OWNERS[3], 5 * DOLLAR, MAKER))

        assert chunk.operation_codes == [c.OK]
        assert chunk.accounts[MAKER].settled == 1_005 * DOLLAR

    @pytest.mark.parametrize(
        ("owner", "index"),
        [
            (OWNERS[3], MAKER),
            (OWNERS[1], 999),
            (containers.NOBODY, 999),
            (containers.NOBODY, constants.FEE_ACCOUNT),
            (containers.NOBODY, constants.NEW_ACCOUNT),
        ],
    )
    def test_on_it_becomes_a_withdrawal_to_the_depositor(self, owner: bytes, index: int) -> None:
        state = traders()
        tree_root = state.commitment.tree_root
        outcome = venue.run(state, venue.deposit(owner, 5 * DOLLAR, index))

        assert outcome.codes == (c.REFUNDED,)
        assert state.commitment.tree_root == tree_root
        assert state.commitment.withdrawn_total == 5 * DOLLAR
        assert state.commitment.queue_count == 1
        leaf = encoding.withdrawal_hash(0, venue.DEPOSITOR, 5 * DOLLAR)
        assert state.globals.frontier[0] == leaf
        assert state.globals.withdrawal_count == 1

    def test_off_an_account_of_nobody_is_opened(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, custody, "entry.owner == containers.NOBODY or ", "")
        chunk = python_chunk(traders(), venue.deposit(containers.NOBODY, 5 * DOLLAR))

        assert chunk.operation_codes == [c.OK]
        # Money that nobody can ever sign for, under an owner that also stands for "no account".
        assert chunk.accounts[19].owner == containers.NOBODY

    def test_on_indices_are_never_handed_out_twice(self) -> None:
        state = traders()
        venue.run(state, venue.deposit(OWNERS[3], 1), venue.deposit(OWNERS[4], 2), venue.deposit(OWNERS[5], 0))

        assert [state.account(index).owner for index in (19, 20, 21)] == [OWNERS[3], OWNERS[4], containers.NOBODY]
        assert state.globals.next_account == 21

    def test_on_the_last_index_is_no_account(self) -> None:
        globals = venue.globals_of(next_account=constants.NEW_ACCOUNT - 1)
        state = build_state(globals)
        outcome = venue.run(state, venue.deposit(OWNERS[3], 1), venue.deposit(OWNERS[4], 2))

        assert outcome.codes == (c.OK, c.REFUNDED)
        assert state.account(constants.NEW_ACCOUNT - 1).owner == OWNERS[3]
        assert state.account(constants.NEW_ACCOUNT).owner == containers.NOBODY
        assert state.globals.next_account == constants.NEW_ACCOUNT


class TestM3NegativeEquity:
    """An account below zero may not walk away flat: the hole would be everybody's."""

    def bankrupt(self) -> containers.Account:
        return account(OWNERS[2], DOLLAR, {0: position(-10_000, -10_000 * BTC + 20 * DOLLAR)})

    def test_off_it_closes_and_leaves_a_debt(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(margin, "only_reduced", lambda *arguments: True)
        chunk = python_chunk(traders(taker=self.bankrupt()), maker_order(), taker_order(reduce_only=1), fill())

        assert chunk.operation_codes[-1] == c.OK
        left = chunk.accounts[TAKER]
        assert left.settled < -19 * DOLLAR + 10_000
        assert left.positions[0].size == 0

    @pytest.mark.parametrize("size", [10_000, 5_000])
    def test_on_it_is_refused_whole_and_in_part(self, size: int) -> None:
        assert_refused(
            traders(taker=self.bankrupt()), maker_order(), taker_order(reduce_only=1), fill(size), code=c.TAKER_MARGIN
        )

    def test_on_between_zero_and_maintenance_it_may_reduce(self) -> None:
        thin = account(OWNERS[2], 21 * DOLLAR, {0: position(-10_000, -10_000 * BTC + 20 * DOLLAR)})
        state = traders(taker=thin)
        equity = 21 * DOLLAR - 20 * DOLLAR
        assert equity < 10_000 * BTC * 12_000 // constants.PPM
        outcome = venue.run(state, maker_order(limit_price=BTC - 600), taker_order(reduce_only=1), fill(5_000))

        assert outcome.codes[-1] == c.OK
        assert state.account(TAKER).positions[0].size == -5_000

    def test_on_without_a_price_nothing_trades(self) -> None:
        state = build_state(venue.globals_of(prices=()), {MAKER: account(OWNERS[1]), TAKER: account(OWNERS[2])})
        assert_refused(state, maker_order(), taker_order(), fill(), code=c.NO_MARKET)

    def test_on_one_lot_of_a_cheap_market_still_needs_margin(self) -> None:
        assert margin.requirement(1, 1, 1) == 1
        assert margin.requirement(1, -1, 1) == 1
        assert margin.requirement(1, 0, 1) == 0


class TestM4Encoding:
    """What the law cannot read ends the chunk; what nobody may sign is refused, so that one order has one encoding."""

    def test_off_unused_bits_give_one_signature_two_encodings(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, trading, "order.unused != 0 or ", "")
        good = maker_order()
        other = good[:5] + bytes([good[5] | 0x80]) + good[6:]
        chunk = python_chunk(traders(), other)

        assert other != good
        assert chunk.operation_codes == [c.OK]

    def test_on_unused_bits_are_zero(self) -> None:
        good = maker_order()
        assert_refused(traders(), good[:5] + bytes([good[5] | 0x80]) + good[6:], code=c.NOT_CANONICAL)

    @pytest.mark.parametrize("tag", [0, 24, 25, 127, 255])
    def test_on_an_unknown_tag_ends_the_chunk(self, tag: int) -> None:
        outcome = venue.run(traders(), bytes([tag]) + bytes(118), venue.deposit(OWNERS[3], DOLLAR))

        assert outcome.codes == (c.MALFORMED,)

    @pytest.mark.parametrize("missing", [1, 64, 112])
    def test_on_a_cut_off_operation_ends_the_chunk(self, missing: int) -> None:
        outcome = venue.run(traders(), venue.deposit(OWNERS[3], DOLLAR), maker_order()[:-missing])

        assert outcome.codes == (c.OK, c.MALFORMED)

    def test_on_a_tick_that_announces_more_than_there_is_ends_the_chunk(self) -> None:
        whole = venue.tick(NOW + 5_000, [BTC, 300_000, 1_500_000])
        for announced in (6, 255):
            outcome = venue.run(traders(), whole[:7] + bytes([announced]) + whole[8:], venue.deposit(OWNERS[3], 1))
            assert outcome.codes == (c.MALFORMED,)


class TestSignatures:
    """A second signature from the first, or none at all."""

    def digest_owner(self, s: int) -> tuple[bytes, bytes]:
        """An owner whose order 'signature' has this s: made from r and s, without any key."""
        message = order(MAKER, side=constants.SELL, size=10_000)
        digest = order_digest(venue.DOMAIN, message)
        good = venue.sign(KEYS[1], digest)
        owner = venue.recover_fast(digest, 27, int.from_bytes(good[:32], "big"), s)
        assert owner != containers.NOBODY
        return owner, venue.operations.order_bytes(message, good[:32] + s.to_bytes(32, "big"))

    def test_off_a_high_s_is_taken(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(signatures, "HALF_ORDER", 2**255)
        owner, operation = self.digest_owner(signatures.HALF_ORDER - 1)
        state = build_state(accounts={MAKER: account(owner)})

        assert python_chunk(state, operation).operation_codes == [c.OK]

    def test_on_the_largest_s_is_half_of_the_order(self) -> None:
        for s, code in (
            (signatures.HALF_ORDER, c.OK),
            (signatures.HALF_ORDER + 1, c.BAD_SIGNATURE),
            (2**255 - 1, c.BAD_SIGNATURE),
        ):
            owner, operation = self.digest_owner(s)
            assert venue.run(build_state(accounts={MAKER: account(owner)}), operation).codes == (code,)

    def test_on_nobody_never_signs(self) -> None:
        state = build_state(accounts={MAKER: account(OWNERS[1])})
        nothing = venue.operations.order_bytes(order(999), bytes(64))
        assert_refused(state, nothing, code=c.NO_ACCOUNT)
        assert_refused(state, venue.operations.order_bytes(order(MAKER), bytes(64)), code=c.BAD_SIGNATURE)

    def test_on_another_domain_is_another_signature(self) -> None:
        message = order(MAKER)
        for domain in (
            domain_separator(1, venue.BRIDGE),
            domain_separator(venue.CHAIN_ID, b"\x12" * 20),
        ):
            foreign = venue.operations.order_bytes(message, venue.sign(KEYS[1], order_digest(domain, message)))
            assert_refused(traders(), foreign, code=c.BAD_SIGNATURE)

    def test_on_a_withdrawal_cannot_be_replayed(self) -> None:
        state = traders()
        request = venue.request(MAKER, amount=DOLLAR, recipient=venue.RECIPIENT)
        withdraw = venue.signed_request(constants.WITHDRAW, request, KEYS[1])
        assert venue.run(state, withdraw).codes == (c.OK,)
        assert_refused(state, withdraw, code=c.USED)

    def test_off_a_withdrawal_is_replayed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, signatures, "        return codes.USED\n", "        return codes.OK\n")
        request = venue.request(MAKER, amount=DOLLAR, recipient=venue.RECIPIENT)
        withdraw = venue.signed_request(constants.WITHDRAW, request, KEYS[1])
        chunk = python_chunk(traders(), withdraw, withdraw)

        assert chunk.operation_codes == [c.OK, c.OK]
        assert chunk.commitment.withdrawn_total == 2 * DOLLAR


class TestOurOwn:
    """Holes that were found in this law itself."""

    def test_a_flood_of_the_shortest_operations_does_not_outrun_the_referee(self) -> None:
        nothing = venue.operations.tick_bytes(NOW, 0, [])
        assert len(nothing) == constants.TICK_HEAD_LENGTH
        room = (constants.MAX_CHUNK_BYTES - constants.TIMESTAMP_LENGTH) // len(nothing)
        assert room + 1 <= constants.MAX_OPERATIONS
        deposits = venue.deposit(OWNERS[3], DOLLAR)
        tick_count = (constants.MAX_CHUNK_BYTES - constants.TIMESTAMP_LENGTH - len(deposits)) // len(nothing)
        outcome = venue.run(traders(), *[nothing] * tick_count, deposits)

        assert len(outcome.body) > constants.MAX_CHUNK_BYTES - len(nothing)
        assert outcome.codes[-1] == c.OK
        assert len(outcome.codes) == tick_count + 1 > 820

    def test_the_longest_body_is_all_read(self) -> None:
        nothing = venue.operations.tick_bytes(NOW, 0, [])
        body = venue.body_of([nothing] * (constants.MAX_OPERATIONS - 1)) + b"\x06" * 7
        assert len(body) == constants.MAX_CHUNK_BYTES
        outcome = venue.run_body(traders(), body)

        assert len(outcome.codes) == constants.MAX_OPERATIONS
        assert outcome.codes[-1] == c.MALFORMED

    def test_a_position_that_turns_leaves_its_cost_behind(self) -> None:
        # Turn after turn would take it past its bound.
        size, won = 2**40, 2**90
        long = account(OWNERS[2], 2**90, {0: position(size, size * BTC - won)})
        state = build_state(accounts={MAKER: account(OWNERS[1], 2**90), TAKER: long})
        buy = venue.signed_order(order(MAKER, size=2**50), KEYS[1])
        sell = venue.signed_order(order(TAKER, side=constants.SELL, size=2**50), KEYS[2])
        assert venue.run(state, buy, sell, fill(2 * size - 1)).codes[-1] == c.OK
        turned = state.account(TAKER)
        assert turned.positions[0].cost == -(size - 1) * BTC
        # All that it had won, less what the trade cost it.
        assert 0 < won - turned.fresh < size * BTC // 1_000

    def test_the_last_withdrawal_leaf_does_not_erase_the_tree(self) -> None:
        globals = venue.globals_of(
            frontier=[bytes([level + 1]) * 32 for level in range(32)],
            withdrawal_count=constants.MAX_WITHDRAWALS - 1,
            posting_fee=0,
        )
        state = build_state(globals, {MAKER: account(OWNERS[1])})
        requests = [
            venue.signed_request(
                constants.WITHDRAW, venue.request(MAKER, slot=slot, amount=1, recipient=venue.RECIPIENT), KEYS[1]
            )
            for slot in (1, 2)
        ]
        outcome = venue.run(state, *requests, venue.deposit(containers.NOBODY, 7))

        assert outcome.codes == (c.OK, c.WITHDRAWALS_FULL, c.WITHDRAWALS_FULL)
        assert state.commitment.withdrawals_root != containers.NO_HASH
        assert state.account(constants.FEE_ACCOUNT).fresh == 7
