"""Payees that are contracts: whoever takes no ether, burns all gas or calls back harms nobody but himself.

A dispute that pays while it decides can be bricked by whom it pays; here every payment is fetched afterwards, alone.
"""

import pytest

from l1_bridge.codec.batch import Withdrawal, WithdrawalTree
from l1_bridge.codec.calls import encode_call, encode_prove_fraud
from l1_bridge.contracts.artifact import Artifact
from tests.l1_bridge.evm import Contract, Evm, Reverted, compile_stub, compile_without
from tests.l1_bridge.harness import (
    CHALLENGER,
    DOLLAR,
    PARAMETERS,
    SEQUENCER,
    STRANGER,
    SUCCESSOR,
    TRADER,
    Harness,
)

REFUSES, ANSWERS, BURNS = 1, 2, 3
HALF = PARAMETERS.bond_wei // 2
GAS = 16_000_000
PAYS_AT_ONCE = {
    "    bond.release_at = self._final_at(number - 1)\n": """
    bond.release_at = self._final_at(number - 1)
    raw_call(msg.sender, b"", value=bond.reward_wei)
    bond.reward_wei = 0
""",
}


class Payee:
    """A contract in a mood, beside a bridge with a lie on top of an honest batch."""

    def __init__(self, mood: int, bridge: Artifact | None = None) -> None:
        self.venue = Harness(Evm(), compile_stub("StubReferee"), bridge_artifact=bridge)
        self.contract: Contract = self.venue.evm.deploy(compile_stub("StubPayee"))
        self.set_mood(mood)
        self.venue.take_seat()
        self.venue.commit()
        self.lie = self.venue.commit_lie()

    def set_mood(self, mood: int, payload: bytes = b"") -> None:
        self.contract.send("set_mood", mood, self.venue.bridge.address, payload, sender=STRANGER)

    def act(self, payload: bytes, value_wei: int = 0) -> None:
        """A call of the bridge by the contract, in a block of its own."""
        self.venue.evm.now += 0
        fields = (self.venue.bridge.address, payload, GAS)
        self.contract.send("act", *fields, sender=STRANGER, value_wei=value_wei)

    def prove(self) -> None:
        """Proves the lie as the contract."""
        self.act(encode_prove_fraud(self.venue.batches[self.lie], 1, b""))


@pytest.fixture(scope="module")
def paying(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """A bridge that pays a prover while it judges."""
    return compile_without(PAYS_AT_ONCE, tmp_path_factory.mktemp("paying"))


@pytest.mark.parametrize("mood", [REFUSES, BURNS])
def test_off_a_prover_that_takes_no_ether_cannot_prove(paying: Artifact, mood: int) -> None:
    payee = Payee(mood, paying)
    with pytest.raises(Reverted):
        payee.prove()
    # The lie stands, and is final one window later.
    payee.venue.evm.now += PARAMETERS.window_seconds
    assert payee.venue.bridge.call("final_number") == payee.lie


@pytest.mark.parametrize("mood", [REFUSES, BURNS])
def test_on_he_proves_and_leaves_his_reward_where_it_is(mood: int) -> None:
    payee = Payee(mood)
    venue = payee.venue
    payee.prove()
    assert venue.tip == payee.lie - 1
    assert (venue.bond(1).prover, venue.bond(1).reward_wei) == (payee.contract.address, HALF)
    venue.evm.now += PARAMETERS.window_seconds
    for _ in range(2):
        with pytest.raises(Reverted):
            venue.bridge.send("collect_reward", 1, sender=CHALLENGER, gas=300_000)
        assert venue.bond(1).reward_wei == HALF
    # Once he takes ether, anybody may have it sent to him.
    payee.set_mood(0)
    venue.bridge.send("collect_reward", 1, sender=CHALLENGER)
    assert venue.evm.balance_wei(payee.contract.address) == HALF


def test_on_everybody_else_is_paid_meanwhile() -> None:
    payee = Payee(REFUSES)
    venue = payee.venue
    payee.prove()
    venue.deposit(5 * DOLLAR)
    venue.take_seat(SUCCESSOR)
    withdrawal = Withdrawal(0, TRADER, DOLLAR)
    tree = WithdrawalTree([withdrawal.leaf()])
    granted = venue.next_commitment(withdrawals_root=tree.root, withdrawn_total_micros=DOLLAR)
    venue.commit(granted, sender=SUCCESSOR)
    venue.evm.now += PARAMETERS.window_seconds
    with pytest.raises(Reverted):
        venue.bridge.send("collect_reward", 1, sender=CHALLENGER)
    venue.claim(venue.tip, withdrawal, tree.proof(0))
    venue.bridge.send("resign", venue.evm.now, sender=SUCCESSOR)
    before = venue.evm.balance_wei(SUCCESSOR)
    venue.bridge.send("withdraw_bond", 2, sender=SUCCESSOR)
    assert venue.evm.balance_wei(SUCCESSOR) == before + PARAMETERS.bond_wei


def test_on_a_holder_that_takes_no_ether_keeps_his_bond_locked_and_the_seat_free() -> None:
    payee = Payee(REFUSES)
    venue = payee.venue
    venue.prove(payee.lie)
    payee.act(encode_call("take_seat", "x"), PARAMETERS.bond_wei)
    payee.act(encode_call("resign", venue.evm.now))
    with pytest.raises(Reverted, match="REFUSED"):
        payee.act(encode_call("withdraw_bond", 2))
    assert venue.bond(2).amount_wei == PARAMETERS.bond_wei
    venue.take_seat(SEQUENCER)
    venue.commit()
    payee.set_mood(0)
    payee.act(encode_call("withdraw_bond", 2))
    assert venue.evm.balance_wei(payee.contract.address) == PARAMETERS.bond_wei


@pytest.mark.parametrize("which", ["withdraw_bond", "collect_reward"])
def test_on_whoever_calls_back_while_he_is_paid_finds_the_lock(which: str) -> None:
    payee = Payee(0)
    venue = payee.venue
    payee.prove()
    payee.act(encode_call("take_seat", "x"), PARAMETERS.bond_wei)
    payee.act(encode_call("resign", venue.evm.now))
    venue.evm.now += PARAMETERS.window_seconds
    bond_id = 2 if which == "withdraw_bond" else 1
    # The same payment again, or whatever else moves money.
    payee.set_mood(ANSWERS, encode_call(which, bond_id))
    payee.act(encode_call(which, bond_id))
    assert payee.contract.call("answered")
    assert not payee.contract.call("succeeded")
    assert payee.contract.call("failure") == b""
    assert venue.evm.balance_wei(payee.contract.address) == (PARAMETERS.bond_wei if bond_id == 2 else HALF)


def test_off_a_prover_that_takes_it_is_paid_at_once(paying: Artifact) -> None:
    payee = Payee(0, paying)
    payee.prove()
    assert payee.venue.evm.balance_wei(payee.contract.address) == HALF
