"""What a challenger may try with a witness, and a sequencer with bytes: seven traps, each with its rule off and on.

A referee that is led to another root makes an honest chunk look like fraud; one that is led to revert lets a lie stand.
"""

import random
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from prover.contracts.referee import RefereeRefused, intrinsic_gas
from prover.signing import operations
from prover.signing.recover import recover_fast
from prover.state import multiproof, witness
from prover.state.state import State
from prover.stf import codes as c
from prover.stf import constants, containers, encoding
from prover.stf.replay import KINDS, Chunk, is_entry, payload_length
from tests.attacks.law_variants import VariantReferee, refusal, without_witness_rules
from tests.twins import venue
from tests.twins.venue import DOLLAR, DOMAIN, KEYS, NOW, OWNERS, account, build_state, order, position

HINTS_AT = encoding.COMMITMENT_BYTES + encoding.GLOBALS_BYTES
# Operations of one length.
WHOLE = {tag: kind.length for tag, kind in KINDS.items() if tag != constants.TICK}


class Case:
    """A chunk of an honest sequencer: bodies, witness and the root that is right."""

    def __init__(self, state: State, *operations_: bytes, body: bytes | None = None) -> None:
        self.state = state
        self.body = venue.body_of(operations_) if body is None else body
        self.pre_root = state.root
        self.chunk: Chunk = state.chunk(recover_fast)
        self.chunk.run(self.body)
        self.witness = witness.build(state.tree, self.chunk)
        self.post_root = state.seal(self.chunk)

    def refused(self, forged: bytes) -> str:
        return refusal(DOMAIN, self.pre_root, self.body, forged)

    def judged(self, referee: Any, forged: bytes) -> bytes:
        return bytes(referee.replay(DOMAIN, self.pre_root, self.body, forged, gas=2**32))

    def with_row(self, leaf_index: int, payload: bytes) -> bytes:
        """The witness with another payload for one leaf."""
        row = self.chunk.loaded_accounts.get(leaf_index >> 8) if leaf_index & 255 == 0 else None
        honest = (
            encoding.account_payload(row)
            if row is not None
            else encoding.slot_payload(self.chunk.loaded_slots[leaf_index])
        )
        old, new = (leaf_index.to_bytes(4, "big") + part for part in (honest, payload))
        assert self.witness.count(old) == 1
        return self.witness.replace(old, new)


@pytest.fixture(scope="module")
def careless() -> VariantReferee:
    """The referee without the rules that this file attacks."""
    return without_witness_rules()


@pytest.fixture(scope="module")
def case() -> Case:
    """A filled trade."""
    return traded(trader_state())


def trader_state(**changes: Any) -> State:
    return build_state(venue.globals_of(**changes), {17: account(OWNERS[1]), 18: account(OWNERS[2])})


def traded(state: State) -> Case:
    return Case(
        state,
        venue.signed_order(order(17, side=constants.SELL), KEYS[1]),
        venue.signed_order(order(18), KEYS[2]),
        operations.fill_bytes(0, 1, 10_000),
    )


class TestTrap1EmptyLeaf:
    """An empty leaf is empty by its whole hash, never by one field."""

    def opened(self) -> tuple[Case, bytes]:
        case = Case(trader_state(), venue.deposit(OWNERS[3], DOLLAR))
        forged = account(containers.NOBODY, 0, {0: position(10**6, -(10**15))}, epoch=0)
        return case, case.with_row(19 << 8, encoding.account_payload(forged))

    def test_off_a_new_account_inherits_forged_positions(self, careless: VariantReferee) -> None:
        case, forged = self.opened()

        assert case.judged(careless, case.witness) == case.post_root
        assert case.judged(careless, forged) != case.post_root

    def test_on_the_forged_leaf_does_not_authenticate(self) -> None:
        case, forged = self.opened()

        assert case.refused(forged) == "tree root"

    def used(self) -> tuple[Case, bytes]:
        case = traded(trader_state())
        return case, case.with_row(17 << 8 | 1, encoding.slot_payload(containers.Slot(sequence=0, filled=2**60)))

    def test_off_a_fresh_slot_is_forged_to_be_filled(self, careless: VariantReferee) -> None:
        # An order of sequence 0 reads what the slot of sequence 0 says.
        state = trader_state()
        case = Case(
            state,
            venue.signed_order(order(17, side=constants.SELL, sequence=0), KEYS[1]),
            venue.signed_order(order(18), KEYS[2]),
            operations.fill_bytes(0, 1, 10_000),
        )
        forged = case.with_row(17 << 8 | 1, encoding.slot_payload(containers.Slot(sequence=0, filled=2**60)))

        assert case.chunk.operation_codes == [c.OK] * 3
        assert case.judged(careless, forged) != case.post_root
        assert case.refused(forged) == "tree root"

    def test_on_the_forged_slot_does_not_authenticate(self) -> None:
        case, forged = self.used()

        assert case.refused(forged) == "tree root"


class TestTrap2ZeroSibling:
    """A sibling that is announced may not be zero: the empty subtree has one encoding."""

    def announced(self) -> tuple[Case, bytes]:
        case = Case(trader_state())
        # One leaf, the fee account: height, mask, siblings, and two words of padding.
        at = len(case.witness) - 64 - self.proof_length(case)
        mask = int.from_bytes(case.witness[at + 1 : at + 5], "big")
        level = next(level for level in range(32) if not mask >> level & 1)
        before = sum(mask >> lower & 1 for lower in range(level))
        cut = at + 5 + 32 * before
        forged = (
            case.witness[: at + 1]
            + (mask | 1 << level).to_bytes(4, "big")
            + case.witness[at + 5 : cut]
            + bytes(32)
            + case.witness[cut:]
        )
        return case, forged

    def proof_length(self, case: Case) -> int:
        return len(multiproof.prove(case.state.tree, [0]))

    def test_on_it_is_refused(self) -> None:
        case, forged = self.announced()

        assert case.refused(forged) == "sibling"

    def test_off_the_second_line_holds(self, careless: VariantReferee) -> None:
        # parent(0, 0) = 0 stands in one function for both roots, so that this law loses nothing even then.
        case, forged = self.announced()

        assert case.judged(careless, forged) == case.post_root


class TestTrap3UnloadedRow:
    """Tables are zero where nothing was loaded: a hint beyond them would name the account zero."""

    def paid(self) -> tuple[Case, bytes]:
        state = build_state(accounts={constants.FEE_ACCOUNT: account(venue.OPERATOR, 50 * DOLLAR)})
        request = venue.request(constants.FEE_ACCOUNT, amount=DOLLAR, recipient=venue.RECIPIENT)
        case = Case(state, venue.signed_request(constants.WITHDRAW, request, venue.OPERATOR_KEY))
        assert case.chunk.operation_codes == [c.OK]
        assert case.witness[HINTS_AT + 3] == 0
        return case, case.witness[: HINTS_AT + 3] + b"\x07" + case.witness[HINTS_AT + 4 :]

    def test_off_the_fee_account_is_made_to_vanish(self, careless: VariantReferee) -> None:
        case, forged = self.paid()

        assert case.judged(careless, forged) != case.post_root

    def test_on_the_hint_is_refused(self) -> None:
        case, forged = self.paid()

        assert case.refused(forged) == "hint"

    @pytest.mark.parametrize("row", [0, 1, 3, constants.MAX_ACCOUNT_ROWS - 1, constants.MAX_ACCOUNT_ROWS, 255])
    def test_on_a_hint_names_its_own_row_or_is_refused(self, row: int) -> None:
        case = traded(trader_state())
        hints = list(case.witness[HINTS_AT + 3 : HINTS_AT + 7])
        for place, honest in enumerate(hints):
            if row != honest:
                at = HINTS_AT + 3 + place
                assert case.refused(case.witness[:at] + bytes([row]) + case.witness[at + 1 :]) == "hint"


class TestTrap4Preimages:
    """No leaf's preimage is as long as a node's, so that no node passes for a leaf."""

    def test_no_preimage_has_the_length_of_a_node(self, monkeypatch: pytest.MonkeyPatch) -> None:
        lengths: list[int] = []

        def spy(data: bytes) -> bytes:
            lengths.append(len(data))
            return bytes(32)

        commitment = trader_state().commitment
        monkeypatch.setattr(encoding, "keccak256", spy)
        encoding.account_hash(account())
        encoding.slot_hash(containers.Slot(1, 2))
        encoding.withdrawal_hash(1, venue.RECIPIENT, 2)
        encoding.globals_hash(venue.globals_of())
        encoding.state_root(commitment)

        assert lengths == [832, 32, 128, 13_824, 288]
        assert 64 not in lengths


class TestTrap5Malleability:
    """What is hashed is what was decoded: no other witness leads to another root."""

    @settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
    @given(data=st.data())
    def test_a_changed_byte_is_refused_or_says_nothing(self, case: Case, data: st.DataObject) -> None:
        end = len(case.witness)
        # Most of a witness is globals; what else there is stands at its end.
        at = data.draw(st.one_of(st.integers(0, end - 1), st.integers(HINTS_AT, end - 1)))
        flip = data.draw(st.integers(1, 255))
        forged = case.witness[:at] + bytes([case.witness[at] ^ flip]) + case.witness[at + 1 :]
        try:
            root = case.judged(venue.referee(), forged)
        except RefereeRefused:
            return
        assert root == case.post_root

    @settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
    @given(length=st.integers(0, HINTS_AT + 708))
    def test_a_cut_witness_is_refused_or_says_nothing(self, case: Case, length: int) -> None:
        try:
            root = case.judged(venue.referee(), case.witness[:length])
        except RefereeRefused:
            return
        assert root == case.post_root

    def test_more_leaves_than_needed_say_nothing(self) -> None:
        state = trader_state()
        case = Case(state)
        chunk = trader_state().chunk(recover_fast)
        chunk._account(17)
        chunk._account(18)
        chunk._slot(18 << 8 | 5)
        wide = witness.build(trader_state().tree, chunk)

        assert len(wide) > len(case.witness)
        assert case.judged(venue.referee(), wide) == case.post_root

    @pytest.mark.parametrize("fault", ["pre-root", "globals"])
    def test_another_state_is_refused(self, case: Case, fault: str) -> None:
        at = 40 if fault == "pre-root" else 288 + 31
        forged = case.witness[:at] + bytes([case.witness[at] ^ 1]) + case.witness[at + 1 :]

        assert case.refused(forged) == fault

    def test_rows_that_are_not_ascending_are_refused(self, case: Case) -> None:
        rows = case.chunk.loaded_slots
        first, second = sorted(rows)
        one, two = (leaf.to_bytes(4, "big") + encoding.slot_payload(rows[leaf]) for leaf in (first, second))
        assert case.witness.count(two) == 1

        assert case.refused(case.witness.replace(two, one)) == "order"

    def test_without_the_fee_account_it_is_refused(self, case: Case) -> None:
        fees = bytes(4) + encoding.account_payload(case.chunk.loaded_accounts[0])
        count = case.witness[HINTS_AT]
        forged = case.witness.replace(fees, b"")
        forged = forged[:HINTS_AT] + bytes([count - 1]) + forged[HINTS_AT + 1 :]

        assert case.refused(forged) == "fee account"

    def test_no_leaves_at_all_is_refused(self, case: Case) -> None:
        assert case.refused(case.witness[:HINTS_AT] + b"\x00" + case.witness[HINTS_AT + 1 :]) == "fee account"

    def test_more_leaves_than_the_referee_holds_is_refused(self, case: Case) -> None:
        case.refused(case.witness[:HINTS_AT] + bytes([constants.MAX_LEAVES + 1]) + case.witness[HINTS_AT + 1 :])


class TestTrap7CutOff:
    """What stands behind the chunk is chosen by the challenger: an operation that is cut off is not read."""

    def cut(self) -> Case:
        # The body ends on a word, so that the witness's length is what follows it: the deposit's amount.
        deposit = bytes([constants.DEPOSIT]) + b"\x99" * 19
        body = venue.body_of([operations.fill_bytes(0, 0, 1)] * 7 + [deposit])
        assert len(body) % 32 == 0
        return Case(trader_state(), body=body)

    def test_off_the_challenger_writes_the_amount(self, careless: VariantReferee) -> None:
        case = self.cut()
        roots = {case.judged(careless, case.witness + bytes(32 * extra)) for extra in range(3)}

        assert len(roots) == 3
        assert case.post_root not in roots

    def test_on_it_is_malformed_whatever_follows(self) -> None:
        case = self.cut()
        roots = {case.judged(venue.referee(), case.witness + bytes(32 * extra)) for extra in range(3)}

        assert case.chunk.operation_codes[-1] == c.MALFORMED
        assert roots == {case.post_root}


def garbage(tag: int, seed: int) -> bytes:
    """Random bytes that are a whole operation of a tag."""
    rng = random.Random(seed)
    if is_entry(tag) and tag != constants.DEPOSIT:
        payload = rng.randbytes(rng.choice([payload_length(tag, 0), rng.randrange(200)]))
        return venue.entry(tag, payload, rng.randbytes(20), rng.randrange(2**48))
    return bytes([tag]) + rng.randbytes(WHOLE[tag] - 1)


class TestAnyBody:
    """Any bytes are a legal chunk: both twins come to the same root, and nothing makes the referee revert."""

    @settings(max_examples=120)
    @given(body=st.binary(max_size=900))
    @example(body=b"")
    @example(body=b"\xff" * 6)
    @example(body=b"\x06" * 7_600)
    @example(body=b"\x01" * 7_600)
    @example(body=b"\x08" * 7_600)
    def test_garbage(self, body: bytes) -> None:
        venue.run_body(trader_state(), body)

    @settings(max_examples=120)
    @given(parts=st.lists(st.tuples(st.sampled_from(sorted(WHOLE)), st.integers(0, 2**64)), max_size=30))
    def test_known_tags_over_garbage(self, parts: list[tuple[int, int]]) -> None:
        body = venue.body_of(garbage(tag, seed) for tag, seed in parts)
        outcome = venue.run_body(trader_state(), body)

        assert len(outcome.codes) == len(parts)


class TestGas:
    """With any amount of gas the referee answers the same root or nothing."""

    def test_a_sweep_over_limits_gives_one_root_or_a_revert(self) -> None:
        state = build_state(
            accounts={
                17: account(OWNERS[1], 10**10, {m: position(10, 10 * 600_000, -5) for m in range(3)}),
                18: account(OWNERS[2], 10**10),
                19: account(OWNERS[1], 10**10),
            }
        )
        case = Case(
            state,
            venue.deposit(OWNERS[3], DOLLAR),
            venue.signed_order(order(17, side=constants.SELL), KEYS[1]),
            venue.signed_order(order(18), KEYS[2]),
            operations.fill_bytes(0, 1, 10_000),
            venue.tick(NOW + 5_000, [600_100, 300_000, 1_500_000], [5, 5, 5]),
            venue.signed_request(
                constants.WITHDRAW, venue.request(18, slot=2, amount=5, recipient=venue.RECIPIENT), KEYS[2]
            ),
            venue.signed_request(constants.TRANSFER, venue.request(17, slot=2, amount=5, other=19), KEYS[1]),
            venue.signed_request(constants.CANCEL, venue.request(17, slot=3), KEYS[1]),
            venue.signed_request(constants.CANCEL_ALL, venue.request(18, slot=0), KEYS[2]),
        )
        assert case.chunk.operation_codes == [c.OK] * 9
        referee = venue.referee()
        referee.replay(DOMAIN, case.pre_root, case.body, case.witness, gas=2**32)
        calldata = referee._referee.encode_call("replay", DOMAIN, case.pre_root, case.body, case.witness)
        intrinsic, used = intrinsic_gas(calldata), referee.gas_used
        answered = refused = 0
        for limit in [
            *range(intrinsic, intrinsic + used, used // 150),
            *range(intrinsic + used, intrinsic + 2 * used, used // 50),
        ]:
            try:
                root = referee.replay(DOMAIN, case.pre_root, case.body, case.witness, gas=limit)
            except RefereeRefused:
                refused += 1
                continue
            answered += 1
            assert root == case.post_root, limit

        assert refused >= 140
        assert answered >= 40
