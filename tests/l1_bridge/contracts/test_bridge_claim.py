"""claim: each withdrawal of a final batch is paid once, to its recipient, and to nobody else's loss."""

import msgspec
import pytest

from l1_bridge.codec.batch import Withdrawal, WithdrawalTree, merkle_root
from l1_bridge.codec.events import Claimed
from l1_bridge.contracts.artifact import Artifact
from l1_bridge.hashing import keccak
from tests.l1_bridge.evm import Evm, Reverted, account, compile_stub
from tests.l1_bridge.harness import DOLLAR, PARAMETERS, SEQUENCER, STRANGER, Harness

RETURNS_FALSE, REVERTS, CALLS_BACK = 2, 3, 4
PAYEES = [Withdrawal(index, account(100 + index), (index + 1) * DOLLAR) for index in range(5)]
TOTAL = sum(payee.amount_micros for payee in PAYEES)


def granted(venue: Harness, withdrawals: list[Withdrawal] = PAYEES) -> WithdrawalTree:
    """A deposit of twice the money, then a batch that grants the withdrawals."""
    venue.take_seat()
    venue.deposit(2 * TOTAL)
    return venue.commit_withdrawals(withdrawals)


@pytest.fixture
def final(venue: Harness) -> tuple[Harness, WithdrawalTree]:
    """A bridge with five withdrawals in a final batch."""
    tree = granted(venue)
    venue.evm.now += PARAMETERS.window_seconds
    return venue, tree


def refused(
    venue: Harness, reason: str, number: int, withdrawal: Withdrawal, proof: list[bytes], **changes: int
) -> None:
    """A claim that must fail with this word and pay nothing."""
    before = (venue.bridge.call("vault_micros"), venue.token.call("balanceOf", venue.bridge.address))
    with pytest.raises(Reverted) as failure:
        venue.claim(number, withdrawal, proof, **changes)  # type: ignore[arg-type]
    assert failure.value.reason == reason
    assert (venue.bridge.call("vault_micros"), venue.token.call("balanceOf", venue.bridge.address)) == before


def test_every_withdrawal_is_paid_once(final: tuple[Harness, WithdrawalTree]) -> None:
    venue, tree = final
    for payee in PAYEES:
        assert not venue.bridge.call("is_claimed", payee.index)
        event = venue.event(venue.claim(1, payee, tree.proof(payee.index)))
        assert event == Claimed(
            index=payee.index, recipient=payee.recipient, amount_micros=payee.amount_micros, batch_number=1
        )
        assert venue.token.call("balanceOf", payee.recipient) == payee.amount_micros
        assert venue.bridge.call("is_claimed", payee.index)
    for payee in PAYEES:
        refused(venue, "ALREADY_CLAIMED", 1, payee, tree.proof(payee.index))
    assert venue.bridge.call("vault_micros") == TOTAL
    assert venue.bridge.call("claimed_total_micros") == TOTAL
    assert venue.token.call("balanceOf", venue.bridge.address) == TOTAL


def test_nothing_is_paid_before_the_window_has_passed(venue: Harness) -> None:
    tree = granted(venue)
    venue.evm.now += PARAMETERS.window_seconds - 1
    refused(venue, "NOT_FINAL", 1, PAYEES[0], tree.proof(0))
    venue.evm.now += 1
    venue.claim(1, PAYEES[0], tree.proof(0))


def test_a_later_batch_pays_what_an_earlier_one_granted_but_not_twice(final: tuple[Harness, WithdrawalTree]) -> None:
    venue, _ = final
    longer = [*PAYEES, Withdrawal(5, account(105), DOLLAR)]
    tree = venue.commit_withdrawals(longer)
    venue.claim(1, PAYEES[0], WithdrawalTree([payee.leaf() for payee in PAYEES]).proof(0))
    refused(venue, "NOT_FINAL", 2, longer[5], tree.proof(5))
    venue.evm.now += PARAMETERS.window_seconds
    refused(venue, "ALREADY_CLAIMED", 2, PAYEES[0], tree.proof(0))
    venue.claim(2, PAYEES[1], tree.proof(1))
    venue.claim(2, longer[5], tree.proof(5))


def test_m14_a_rolled_back_grant_pays_nothing_and_its_index_stays_free(venue: Harness) -> None:
    venue.take_seat()
    venue.deposit(2 * TOTAL)
    venue.commit()
    thief = Withdrawal(0, STRANGER, TOTAL)
    loot = WithdrawalTree([thief.leaf()])
    lie = venue.commit_lie(withdrawals_root=loot.root, withdrawn_total_micros=TOTAL)
    venue.prove(lie)
    venue.evm.now += 2 * PARAMETERS.window_seconds
    refused(venue, "NOT_CANONICAL", lie, thief, loot.proof(0))
    venue.take_seat()
    tree = venue.commit_withdrawals(PAYEES)
    # the number is canonical again, the old tree is not
    refused(venue, "NOT_FINAL", lie, thief, loot.proof(0))
    venue.evm.now += PARAMETERS.window_seconds
    refused(venue, "PROOF", lie, thief, loot.proof(0))
    venue.claim(lie, PAYEES[0], tree.proof(0))


def test_a_claim_names_the_very_leaf(final: tuple[Harness, WithdrawalTree]) -> None:
    venue, tree = final
    proof = tree.proof(2)
    for wrong in (
        msgspec.structs.replace(PAYEES[2], recipient=STRANGER),
        msgspec.structs.replace(PAYEES[2], amount_micros=PAYEES[2].amount_micros + 1),
        msgspec.structs.replace(PAYEES[2], index=3),
        msgspec.structs.replace(PAYEES[2], index=2**31 + 2),
    ):
        refused(venue, "PROOF", 1, wrong, proof)
    for level in (0, 1, 2, 31):
        changed = list(proof)
        changed[level] = keccak(changed[level])
        refused(venue, "PROOF", 1, PAYEES[2], changed)
    refused(venue, "INDEX", 1, msgspec.structs.replace(PAYEES[2], index=2**32 + 2), proof)
    refused(venue, "INDEX", 1, msgspec.structs.replace(PAYEES[2], index=2**256 - 1), proof)
    refused(venue, "COMMITMENT", 1, PAYEES[2], proof, withdrawn_total_micros=2**200)
    venue.claim(1, PAYEES[2], proof)


def test_a_proof_has_32_siblings_so_no_inner_node_passes_for_a_leaf(final: tuple[Harness, WithdrawalTree]) -> None:
    venue, tree = final
    arguments = (1, venue.commitments[1].words(), 0, PAYEES[0].recipient, PAYEES[0].amount_micros, tree.proof(0))
    calldata = venue.bridge.artifact.encode_call("claim", *arguments)
    with pytest.raises(Reverted):
        venue.evm.send(STRANGER, venue.bridge.address, calldata[:-32])
    # a leaf hashes 128 bytes and a node 64: the digest of two leaves is not the leaf of any withdrawal
    assert merkle_root(PAYEES[0].leaf(), 0, tree.proof(0)[:1]) == keccak(PAYEES[0].leaf() + PAYEES[1].leaf())
    venue.evm.send(STRANGER, venue.bridge.address, calldata)


def test_claims_never_pass_what_was_granted_in_all(venue: Harness) -> None:
    venue.take_seat()
    venue.deposit(2 * TOTAL)
    tree = venue.commit_withdrawals(PAYEES, withdrawn_total_micros=TOTAL - 1)
    venue.evm.now += PARAMETERS.window_seconds
    for payee in PAYEES[:-1]:
        venue.claim(1, payee, tree.proof(payee.index))
    refused(venue, "WITHDRAWN_TOTAL", 1, PAYEES[-1], tree.proof(PAYEES[-1].index))


def test_claims_never_pass_the_booked_money(venue: Harness) -> None:
    venue.take_seat()
    venue.deposit(TOTAL - 1)
    venue.token.send("mint", venue.bridge.address, TOTAL, sender=STRANGER)
    tree = venue.commit_withdrawals(PAYEES)
    venue.evm.now += PARAMETERS.window_seconds
    for payee in PAYEES[:-1]:
        venue.claim(1, payee, tree.proof(payee.index))
    refused(venue, "VAULT", 1, PAYEES[-1], tree.proof(PAYEES[-1].index))


@pytest.fixture
def odd(stub_referee: Artifact, stub_token: Artifact) -> tuple[Harness, WithdrawalTree]:
    """A bridge whose token has bad habits, with five withdrawals in a final batch."""
    venue = Harness(Evm(), stub_referee, stub_token)
    tree = granted(venue)
    venue.evm.now += PARAMETERS.window_seconds
    return venue, tree


def test_m14_a_payee_whom_the_token_refuses_blocks_only_himself(odd: tuple[Harness, WithdrawalTree]) -> None:
    venue, tree = odd
    venue.token.send("refuse", PAYEES[0].recipient, sender=STRANGER)
    refused(venue, "BLOCKED", 1, PAYEES[0], tree.proof(0))
    for payee in PAYEES[1:]:
        venue.claim(1, payee, tree.proof(payee.index))
    assert not venue.bridge.call("is_claimed", 0)


def test_a_transfer_that_says_false_is_no_payment(odd: tuple[Harness, WithdrawalTree]) -> None:
    venue, tree = odd
    for number, reason in ((RETURNS_FALSE, "TOKEN"), (REVERTS, "REFUSED")):
        venue.token.send("set_habit", number, STRANGER, b"", sender=STRANGER)
        refused(venue, reason, 1, PAYEES[0], tree.proof(0))
    venue.token.send("set_habit", 0, STRANGER, b"", sender=STRANGER)
    venue.claim(1, PAYEES[0], tree.proof(0))


def test_a_token_that_calls_back_is_not_paid_twice(odd: tuple[Harness, WithdrawalTree]) -> None:
    venue, tree = odd
    payload = venue.bridge.artifact.encode_call(
        "claim",
        1,
        venue.commitments[1].words(),
        PAYEES[1].index,
        PAYEES[1].recipient,
        PAYEES[1].amount_micros,
        tree.proof(1),
    )
    venue.token.send("set_habit", CALLS_BACK, venue.bridge.address, payload, sender=STRANGER)
    venue.claim(1, PAYEES[0], tree.proof(0))
    assert not venue.bridge.call("is_claimed", 1)


def test_a_token_that_returns_nothing_pays(stub_referee: Artifact) -> None:
    class Silent(Harness):
        def fund(self, holder: bytes, amount_micros: int) -> None:
            self.token.send("mint", holder, amount_micros, sender=holder)

    venue = Silent(Evm(), stub_referee, compile_stub("StubSilentToken"))
    tree = granted(venue)
    venue.evm.now += PARAMETERS.window_seconds
    venue.claim(1, PAYEES[0], tree.proof(0))
    assert venue.token.call("balanceOf", PAYEES[0].recipient) == PAYEES[0].amount_micros


def test_claims_go_on_after_a_freeze(final: tuple[Harness, WithdrawalTree]) -> None:
    venue, tree = final
    venue.deposit()
    venue.evm.now += PARAMETERS.window_seconds + PARAMETERS.freeze_grace_seconds
    venue.bridge.send("freeze", sender=STRANGER)
    venue.claim(1, PAYEES[0], tree.proof(0))


def test_a_claim_costs_little(final: tuple[Harness, WithdrawalTree]) -> None:
    venue, tree = final
    assert venue.claim(1, PAYEES[0], tree.proof(0), sender=SEQUENCER).gas_used < 170_000
