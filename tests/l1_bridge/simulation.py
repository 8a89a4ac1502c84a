"""Everybody around one bridge at random, honest and lying, against a small model of what must come of it."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from l1_bridge.codec.batch import Chunk, Withdrawal, WithdrawalTree
from l1_bridge.codec.calls import Deadlines, Seat, decode_record, encode_prove_fraud
from l1_bridge.contracts.artifact import Artifact
from l1_bridge.hashing import keccak
from tests.l1_bridge.evm import Evm, Reverted, account
from tests.l1_bridge.harness import CHALLENGER, DOLLAR, PARAMETERS, Harness, honest_chunk

WINDOW = PARAMETERS.window_seconds
MISS_MEMORY = 30 * 86_400


@dataclass
class ModelBatch:
    """What the model knows of a canonical batch."""

    bond_id: int
    committed_at: int
    is_lie: bool
    withdrawals: list[Withdrawal]
    batch_hash: bytes


@dataclass
class ModelBond:
    """What the model knows of a bond."""

    holder: bytes
    amount_wei: int
    last_batch_at: int = 0
    lied: bool = False
    is_lost: bool = False  # by the last of three misses: what is left waits for a proof
    reward_wei: int = 0
    prover: bytes = bytes(20)
    release_at: int = 0


@dataclass
class Model:
    """The bridge in a few lists: chain without genesis, bonds by id, money in and out."""

    chain: list[ModelBatch] = field(default_factory=list)
    dropped: list[tuple[int, bytes]] = field(default_factory=list)
    bonds: dict[int, ModelBond] = field(default_factory=dict)
    seat_bond_id: int = 0
    seated_bond_id: int = 0  # the same, and stays behind a resignation until the seat is another's
    deposited_micros: int = 0
    claimed: dict[int, Withdrawal] = field(default_factory=dict)
    missed_at: list[int] = field(default_factory=list)
    lost_at: dict[bytes, int] = field(default_factory=dict)
    is_just_opened: bool = False  # by a proof, a miss or a bond taken home, in this block


def refusal_of(attempt: Callable[[], object]) -> str | None:
    """The reason for which a call is refused; None if it goes through."""
    try:
        attempt()
    except Reverted as refusal:
        return refusal.reason
    return None


class Simulation:
    """One seeded run; `step` lets somebody act and then checks the bridge against the model."""

    def __init__(self, seed: int, referee: Artifact) -> None:
        self.random = random.Random(seed)
        self.venue = Harness(Evm(), referee)
        self.model = Model()
        self.succeeded: dict[str, int] = {}

    def step(self) -> None:
        """One act of somebody."""
        acts = {
            "take_seat": 2,
            "deposit": 3,
            "commit": 8,
            "lie": 2,
            "prove": 3,
            "claim": 5,
            "resign": 1,
            "unseat": 1,
            "withdraw_bond": 2,
            "collect_reward": 2,
            "wait": 5,
        }
        act = self.random.choices(list(acts), list(acts.values()))[0]
        if getattr(self, f"_{act}")():
            self.succeeded[act] = self.succeeded.get(act, 0) + 1
        self._check()

    def _attempt(self, expected: bool, function: str, *arguments: Any, sender: bytes, value_wei: int = 0) -> bool:
        refusal = refusal_of(lambda: self.venue.bridge.send(function, *arguments, sender=sender, value_wei=value_wei))
        assert (refusal is None) is expected, f"{function}: {refusal}"
        return expected

    def _take_seat(self) -> bool:
        if self.random.random() < 0.8:
            self._pass_time(0)
        holder = account(self.random.randrange(20, 30))
        lost_at = self.model.lost_at.get(holder, -PARAMETERS.unseat_seconds)
        has_waited = self.venue.evm.now >= lost_at + PARAMETERS.unseat_seconds
        is_open = self.model.seat_bond_id == 0 and not self.model.is_just_opened and has_waited
        bond_wei = PARAMETERS.bond_wei
        if self._attempt(is_open, "take_seat", "", sender=holder, value_wei=bond_wei):
            bond_id = len(self.model.bonds) + 1
            self.model.bonds[bond_id] = ModelBond(holder, bond_wei)
            self.model.seat_bond_id = self.model.seated_bond_id = bond_id
        return is_open

    def _deposit(self) -> bool:
        amount = self.random.randrange(DOLLAR, 50 * DOLLAR)
        self.venue.deposit(amount)
        self.model.deposited_micros += amount
        return True

    def _commit(self, is_lie: bool = False) -> bool:
        if self.model.seat_bond_id == 0:
            return False
        bond = self.model.bonds[self.model.seat_bond_id]
        withdrawals = list(self.model.chain[-1].withdrawals) if self.model.chain else []
        granted = sum(withdrawal.amount_micros for withdrawal in withdrawals)
        free = self.model.deposited_micros - granted
        if free > 0 and (is_lie or self.random.random() < 0.5):
            amount = self.random.randrange(1, free + 1)
            withdrawals.append(Withdrawal(len(withdrawals), account(self.random.randrange(60, 70)), amount))
            granted += amount
        tree = WithdrawalTree([withdrawal.leaf() for withdrawal in withdrawals])
        commitment = self.venue.next_commitment(
            withdrawals_root=tree.root,
            withdrawn_total_micros=granted,
            tree_root=keccak(self.random.randbytes(8)),
        )
        # the lie: what the parent's state stays under the law is claimed to be another state
        is_late, now_ms = self.venue.is_late(commitment), commitment.timestamp_ms
        before = honest_chunk(self.venue.commitments[self.venue.tip], queue_only=is_late, time_ms=now_ms).body
        chunk = Chunk(before, commitment.root()) if is_lie else honest_chunk(commitment, queue_only=is_late)
        self.venue.commit(commitment, [chunk], sender=bond.holder)
        bond.last_batch_at = self.venue.evm.now
        bond.lied = bond.lied or is_lie
        batch_hash = self.venue.batches[self.venue.tip].batch_hash(self.venue.id)
        self.model.chain.append(
            ModelBatch(self.model.seat_bond_id, self.venue.evm.now, is_lie, withdrawals, batch_hash)
        )
        return True

    def _lie(self) -> bool:
        return self._commit(is_lie=True)

    def _prove(self, number: int | None = None) -> bool:
        if not self.venue.batches:
            return False
        number = number or self.random.choice(list(self.venue.batches))
        is_canonical = number <= len(self.model.chain)
        batch = self.model.chain[number - 1] if is_canonical else None
        expected = batch is not None and batch.is_lie and self.venue.evm.now < batch.committed_at + WINDOW
        prover = account(self.random.randrange(40, 45)) if self.random.random() < 0.3 else CHALLENGER
        refusal = refusal_of(lambda: self.venue.prove(number, 0, sender=prover))
        assert (refusal is None) is expected, f"a proof: {refusal}"
        if batch is None or not expected:
            return False
        for index in range(number - 1, len(self.model.chain)):
            self.model.dropped.append((index + 1, self.model.chain[index].batch_hash))
        del self.model.chain[number - 1 :]
        bond = self.model.bonds[batch.bond_id]
        bond.reward_wei += min(bond.amount_wei, PARAMETERS.bond_wei // 2)
        bond.amount_wei = 0
        bond.prover = prover
        bond.release_at = self.model.chain[-1].committed_at + WINDOW if self.model.chain else 0
        if self.model.seated_bond_id == batch.bond_id:
            owed = decode_record(Deadlines, self.venue.bridge.call_raw("deadlines"))
            now = self.venue.evm.now
            if owed.due_at and now >= owed.due_at + PARAMETERS.inclusion_seconds:
                self.model.missed_at.append(now)
                self.model.lost_at[bond.holder] = now
            self._open()
        return True

    def _open(self) -> None:
        self.model.seat_bond_id = self.model.seated_bond_id = 0
        self.model.is_just_opened = True

    def _claim(self) -> bool:
        if not self.model.chain:
            return False
        number = self.random.randrange(1, len(self.model.chain) + 1)
        batch = self.model.chain[number - 1]
        if not batch.withdrawals:
            return False
        withdrawal = self.random.choice(batch.withdrawals)
        tree = WithdrawalTree([each.leaf() for each in batch.withdrawals])
        expected = self.venue.evm.now >= batch.committed_at + WINDOW and withdrawal.index not in self.model.claimed
        refusal = refusal_of(lambda: self.venue.claim(number, withdrawal, tree.proof(withdrawal.index)))
        assert (refusal is None) is expected, f"a claim: {refusal}"
        if not expected:
            return False
        self.model.claimed[withdrawal.index] = withdrawal
        return True

    def _resign(self) -> bool:
        if self.model.seat_bond_id == 0:
            return False
        holder = self.model.bonds[self.model.seat_bond_id].holder
        refusal = refusal_of(lambda: self.venue.bridge.send("resign", self.venue.evm.now, sender=holder))
        assert refusal in (None, "WORK_OWED", "WAS_LATE")
        if refusal is not None:
            return False
        self.model.seat_bond_id = 0
        return True

    def _unseat(self) -> bool:
        if self.random.random() < 0.5:
            self._deposit()
            self._pass_time(PARAMETERS.unseat_seconds + 10)
        refusal = refusal_of(lambda: self.venue.bridge.send("unseat", sender=CHALLENGER))
        assert refusal in (None, "SEAT_OPEN", "NOTHING_OWED", "TOO_EARLY")
        if refusal is not None:
            return False
        bond = self.model.bonds[self.model.seat_bond_id]
        now = self.venue.evm.now
        before = [at for at in self.model.missed_at if at > now - MISS_MEMORY]
        bond.is_lost = len(before) >= 2
        bond.amount_wei -= bond.amount_wei >> (1 if bond.is_lost else 2 - len(before))
        self.model.missed_at.append(now)
        self.model.lost_at[bond.holder] = now
        self._open()
        return True

    def _withdraw_bond(self) -> bool:
        if not self.model.bonds:
            return False
        bond_id = self.random.choice(list(self.model.bonds))
        bond = self.model.bonds[bond_id]
        expected = (
            bond_id != self.model.seat_bond_id
            and bond.amount_wei > 0
            and not bond.is_lost
            and self.venue.evm.now >= bond.last_batch_at + WINDOW
        )
        if self._attempt(expected, "withdraw_bond", bond_id, sender=bond.holder):
            bond.amount_wei = 0
            if bond_id == self.model.seated_bond_id:
                self._open()
        return expected

    def _collect_reward(self) -> bool:
        if not self.model.bonds:
            return False
        bond_id = self.random.choice(list(self.model.bonds))
        bond = self.model.bonds[bond_id]
        expected = bond.reward_wei > 0 and self.venue.evm.now >= bond.release_at
        before = self.venue.evm.balance_wei(bond.prover)
        if self._attempt(expected, "collect_reward", bond_id, sender=CHALLENGER if expected else account(45)):
            assert self.venue.evm.balance_wei(bond.prover) == before + bond.reward_wei
            bond.reward_wei = 0
        return expected

    def _wait(self) -> bool:
        self._pass_time(self.random.choice((1, 10, 50, 200)))
        return True

    def _pass_time(self, seconds: int) -> None:
        until = self.venue.evm.now + seconds
        # the one honest challenger: no lie becomes final
        for number, batch in enumerate(self.model.chain, 1):
            if batch.is_lie and batch.committed_at + WINDOW <= until:
                assert self._prove(number)
                break
        self.venue.evm.now = until
        self.model.is_just_opened = False

    def _check(self) -> None:
        venue, model = self.venue, self.model
        tip = len(model.chain)
        assert venue.tip == tip
        for number, batch in enumerate(model.chain, 1):
            assert venue.bridge.call("is_canonical", number, batch.batch_hash)
        for number, batch_hash in model.dropped:
            assert not venue.bridge.call("is_canonical", number, batch_hash)
        final = [number for number, batch in enumerate(model.chain, 1) if venue.evm.now >= batch.committed_at + WINDOW]
        assert venue.bridge.call("final_number") == max(final, default=0)
        assert not any(model.chain[number - 1].is_lie for number in final)

        claimed = sum(withdrawal.amount_micros for withdrawal in model.claimed.values())
        vault = model.deposited_micros - claimed
        assert venue.bridge.call("vault_micros") == vault
        assert venue.token.call("balanceOf", venue.bridge.address) == vault
        assert venue.bridge.call("claimed_total_micros") == claimed

        assert decode_record(Seat, venue.bridge.call_raw("seat")).bond_id == model.seat_bond_id
        held = 0
        for bond_id, bond in model.bonds.items():
            stored = venue.bond(bond_id)
            assert (stored.amount_wei, stored.reward_wei) == (bond.amount_wei, bond.reward_wei)
            assert not stored.slashed or bond.lied or bond.is_lost, "an honest bond was slashed"
            held += bond.amount_wei + bond.reward_wei
        assert venue.evm.balance_wei(venue.bridge.address) == held


def rollback_gas(followers: int, referee: Artifact) -> int:
    """Gas of the proof of a lie that so many batches follow, in one breath with them: their storage is still warm."""
    venue, lie = _followed_lie(followers, referee)
    gas_used = venue.prove(lie).gas_used
    assert venue.tip == lie - 1
    return gas_used


def rollback_gas_in_a_block(followers: int, referee: Artifact) -> int:
    """The same proof in a block of its own, on py-evm, refunds not counted."""
    venue, lie = _followed_lie(followers, referee)
    proof = encode_prove_fraud(venue.batches[lie], 1, b"")
    contracts = (venue.bridge.address, proof, venue.referee.address)
    needed = venue.evm.gas_in_a_block(CHALLENGER, *contracts, keys=lie + followers + 1)
    assert needed is not None
    return needed


def _followed_lie(followers: int, referee: Artifact) -> tuple[Harness, int]:
    venue = Harness(Evm(), referee)
    venue.take_seat()
    lie = venue.commit_lie()
    for _ in range(followers):
        venue.commit()
    return venue, lie
