"""Mutated withdrawal proofs against the shipped bridge: none is taken, and nothing is paid but what was granted.

One bridge has lived: two final batches, one of them under the number of a lie that was rolled back, one batch that is
not final, and a lie above the tip. Beside it stand another deployment and the other side of a chain split. Every
mutation starts from a claim that would be paid, or that was paid already; honest ones are paid in between.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from random import Random
from typing import Any, Final

import msgspec

from l1_bridge.codec.batch import WITHDRAWALS_DEPTH, Withdrawal, WithdrawalTree
from l1_bridge.contracts.artifact import Artifact
from l1_bridge.hashing import keccak
from tests.l1_bridge.evm import Evm, Reverted, account, compile_stub
from tests.l1_bridge.harness import DOLLAR, PARAMETERS, SEQUENCER, STRANGER, Harness

OTHER_CHAIN: Final = 1_337
# Of each of the two final trees; the second one goes on from the first.
GRANTED: Final = (200, 520)
# Paid before anything else; the last two share no word of bits with the first.
PAID: Final = (0, 7, 255, 256)
# Honest claims are paid after so many mutations, and dropped again.
CONTROL: Final = 50
WORD: Final = 2**256
MUTATIONS: Final = (
    "bits",
    "siblings",
    "index",
    "amount",
    "recipient",
    "commitment",
    "batch_number",
    "double_claim",
    "not_final",
    "rolled_back",
    "node_as_leaf",
    "cut_off",
    "other_chain",
    "other_deployment",
)


class Claim(msgspec.Struct, frozen=True):
    """Arguments of a claim, as the bridge's ABI has them."""

    number: int
    words: tuple[Any, ...]
    index: int
    recipient: bytes
    amount_micros: int
    proof: tuple[bytes, ...]


class Venue:
    """A bridge with a history, what it granted, and what of that is final."""

    def __init__(self, evm: Evm, rng: Random, bridge: Artifact | None) -> None:
        self.harness = Harness(evm, compile_stub("StubReferee"), bridge_artifact=bridge)
        self.rng = rng
        self.granted: list[Withdrawal] = []
        self.trees: dict[int, WithdrawalTree] = {}
        self.counts: dict[int, int] = {}
        self._live()

    def _live(self) -> None:
        venue = self.harness
        venue.take_seat()
        self._grant(GRANTED[0])
        self.loot = [Withdrawal(index, STRANGER, DOLLAR * self.rng.randrange(1, 9)) for index in range(8)]
        self.lied = WithdrawalTree([each.leaf() for each in self.loot])
        self.lie = venue.commit_lie(withdrawals_root=self.lied.root, withdrawn_total_micros=10**10)
        self.lying_words = venue.commitments[self.lie].words()
        venue.prove(self.lie)
        venue.take_seat()
        self._grant(GRANTED[1])
        venue.evm.now += PARAMETERS.window_seconds
        self._grant(GRANTED[1] + 9)
        venue.commit_lie(withdrawals_root=self.lied.root, withdrawn_total_micros=10**10)
        venue.prove(venue.tip)
        assert venue.tip == 3
        assert self.lie == 2

    def _grant(self, count: int) -> None:
        """A batch whose tree holds so many withdrawals, and a deposit that covers all of them."""
        while len(self.granted) < count:
            index = len(self.granted)
            amount = self.rng.randrange(1, 5 * DOLLAR)
            self.granted.append(Withdrawal(index, account(100 + self.rng.randrange(9)), amount))
        tree = self.harness.commit_withdrawals(self.granted[:count]) if self.trees else self._first(count)
        self.trees[self.harness.tip], self.counts[self.harness.tip] = tree, count

    def _first(self, count: int) -> WithdrawalTree:
        self.harness.deposit(10**10, sender=SEQUENCER)
        return self.harness.commit_withdrawals(self.granted[:count])

    def honest(self, number: int, index: int) -> Claim:
        """The claim of a withdrawal out of a batch that granted it."""
        granted = self.granted[index]
        words = self.harness.commitments[number].words()
        proof = tuple(self.trees[number].proof(index))
        return Claim(number, words, index, granted.recipient, granted.amount_micros, proof)

    def any_honest(self, number: int | None = None) -> Claim:
        """Some claim out of a final batch, not paid yet."""
        number = number or self.rng.choice([1, 2])
        index = self.rng.choice([each for each in range(self.counts[number]) if each not in PAID])
        return self.honest(number, index)

    def calldata(self, claim: Claim) -> bytes:
        """The transaction's input."""
        fields = (claim.number, claim.words, claim.index, claim.recipient, claim.amount_micros, list(claim.proof))
        return self.harness.bridge.artifact.encode_call("claim", *fields)


class Campaign:
    """Draws mutations, sends them, and counts what the bridge said."""

    def __init__(self, seed: int, bridge: Artifact | None = None) -> None:
        self.rng = Random(seed)
        evm = Evm()
        # The other one first: its life moves the clock on.
        self.other = Venue(evm, self.rng, bridge)
        self.venue = Venue(evm, self.rng, bridge)
        contracts = (self.venue.harness.bridge.address, self.venue.harness.token.address)
        self.other_side = evm.split(OTHER_CHAIN, *contracts)
        self.honest = [self.venue.honest(n, index) for n in (1, 2) for index in range(self.venue.counts[n])]
        self.paid = [claim for claim in self.honest if claim.index in PAID]
        for claim in self.paid:
            if claim.number == 2:
                self._send(self.venue.calldata(claim))
        self._payable = set(self.honest) - set(self.paid)
        self.by_mutation: Counter[str] = Counter()
        self.by_reason: Counter[str] = Counter()
        self.taken: list[str] = []
        self.controls = 0

    def run(self, cases: int) -> None:
        """So many mutations, kinds in turn."""
        held = self._money()
        while sum(self.by_mutation.values()) < cases:
            kind = MUTATIONS[sum(self.by_mutation.values()) % len(MUTATIONS)]
            calldata, evm = self._mutated(kind)
            self.by_mutation[kind] += 1
            with evm.rolled_back():
                try:
                    self._send(calldata, evm)
                except Reverted as refused:
                    self.by_reason[refused.reason or "bare"] += 1
                else:
                    self.taken.append(f"{kind}: {calldata.hex()}")
            if sum(self.by_mutation.values()) % CONTROL == 1:
                self._control()
        assert self._money() == held

    def _mutated(self, kind: str) -> tuple[bytes, Evm]:
        evm = self.venue.harness.evm
        if kind == "other_chain":
            return self.venue.calldata(self.venue.any_honest()), self.other_side
        if kind == "bits":
            return self._flipped(), evm
        if kind == "cut_off":
            whole = self.venue.calldata(self.venue.any_honest())
            return whole[: -self.rng.choice([1, 31, 32, 64, self.rng.randrange(1, len(whole) - 4)])], evm
        draw: Callable[[], Claim] = getattr(self, f"_{kind}")
        claim = draw()
        while claim in self._payable:
            claim = draw()
        return self.venue.calldata(claim), evm

    def _flipped(self) -> bytes:
        calldata = bytearray(self.venue.calldata(self.venue.any_honest()))
        for _ in range(self.rng.choice([1, 1, 1, 2, 8])):
            bit = self.rng.randrange(32, 8 * len(calldata))
            calldata[bit // 8] ^= 1 << bit % 8
        return bytes(calldata)

    def _siblings(self) -> Claim:
        claim, rng = self.venue.any_honest(), self.rng
        proof = list(claim.proof)
        at, other = rng.randrange(WITHDRAWALS_DEPTH), rng.randrange(WITHDRAWALS_DEPTH)
        foreign = self.venue.any_honest().proof
        changed = rng.choice(
            [
                [*proof[:at], rng.randbytes(32), *proof[at + 1 :]],
                [*proof[:at], keccak(proof[at]), *proof[at + 1 :]],
                [*proof[:at], bytes(32), *proof[at + 1 :]],
                [*proof[:at], foreign[at], *proof[at + 1 :]],
                [*proof[:at], proof[other], *proof[at + 1 :]],
                [*proof[1:], bytes(32)],
                [bytes(32), *proof[:-1]],
                proof[::-1],
                list(foreign),
                rng.sample(proof, len(proof)),
            ]
        )
        return msgspec.structs.replace(claim, proof=tuple(changed))

    def _index(self) -> Claim:
        claim, rng = self.venue.any_honest(), self.rng
        index = rng.choice(
            [
                claim.index ^ 1 << rng.randrange(32),
                claim.index + (1 << 32) * rng.choice([1, 2, 2**223]),
                rng.randrange(self.venue.counts[claim.number]),
                rng.randrange(2**32),
                2**32 - 1,
                WORD - 1,
            ]
        )
        return msgspec.structs.replace(claim, index=index)

    def _amount(self) -> Claim:
        claim, rng = self.venue.any_honest(), self.rng
        amount = claim.amount_micros
        other = self.venue.any_honest().amount_micros
        changed = rng.choice([amount + 1, amount - 1, 2 * amount, 0, other, WORD - 1, amount + 2**64])
        return msgspec.structs.replace(claim, amount_micros=changed)

    def _recipient(self) -> Claim:
        claim, rng = self.venue.any_honest(), self.rng
        recipient = rng.choice([STRANGER, bytes(20), rng.randbytes(20), self.venue.any_honest().recipient])
        return msgspec.structs.replace(claim, recipient=recipient)

    def _commitment(self) -> Claim:
        claim, rng = self.venue.any_honest(), self.rng
        words = list(claim.words)
        at = rng.randrange(len(words))
        if isinstance(words[at], bytes):
            words[at] = rng.choice([bytes(32), rng.randbytes(32), keccak(words[at]), self.venue.lied.root])
        else:
            words[at] = rng.choice([words[at] + 1, max(words[at] - 1, 0), 0, WORD - 1, rng.randrange(WORD)])
        whole = rng.choice([tuple(words)] * 3 + [self.venue.harness.commitments[n].words() for n in (0, 1, 2, 3)])
        return msgspec.structs.replace(claim, words=whole)

    def _batch_number(self) -> Claim:
        claim, rng = self.venue.any_honest(), self.rng
        return msgspec.structs.replace(claim, number=rng.choice([0, 3 - claim.number, 3, 4, 5, 2**40, WORD - 1]))

    def _double_claim(self) -> Claim:
        """A withdrawal that was paid, out of the same batch, out of another one, or for another payee."""
        claim = self.rng.choice(self.paid)
        return self.rng.choice([claim, claim, msgspec.structs.replace(claim, recipient=STRANGER)])

    def _not_final(self) -> Claim:
        fresh = self.rng.randrange(GRANTED[1], self.venue.counts[3])
        return self.venue.honest(3, self.rng.choice([fresh, self.venue.any_honest().index]))

    def _rolled_back(self) -> Claim:
        """A withdrawal of a lie, under its own commitment and under that of the batch which took its number."""
        venue, rng = self.venue, self.rng
        stolen = rng.choice(venue.loot)
        words = rng.choice([venue.lying_words, venue.harness.commitments[4].words(), venue.honest(2, 1).words])
        proof = tuple(venue.lied.proof(stolen.index))
        return Claim(rng.choice([1, 2, 3, 4]), words, stolen.index, stolen.recipient, stolen.amount_micros, proof)

    def _node_as_leaf(self) -> Claim:
        """An inner node's two children as a withdrawal's words, with the node's own path."""
        claim, rng = self.venue.any_honest(), self.rng
        level = rng.randrange(1, 6)
        path = [*claim.proof[level:], *[bytes(32)] * level]
        index = rng.choice([claim.index >> level, claim.index, int.from_bytes(claim.proof[0], "big") % 2**32])
        amount = int.from_bytes(claim.proof[level - 1], "big")
        return msgspec.structs.replace(claim, index=index, amount_micros=amount, proof=tuple(path))

    def _other_deployment(self) -> Claim:
        claim = self.other.any_honest()
        words = self.rng.choice([claim.words, self.venue.any_honest(claim.number).words])
        return msgspec.structs.replace(claim, words=words)

    def _control(self) -> None:
        """An honest claim is paid, to the recipient, exactly."""
        venue = self.venue.harness
        claim = self.venue.any_honest()
        with venue.evm.rolled_back():
            before = venue.token.call("balanceOf", claim.recipient)
            self._send(self.venue.calldata(claim))
            assert venue.token.call("balanceOf", claim.recipient) == before + claim.amount_micros
        self.controls += 1

    def _send(self, calldata: bytes, evm: Evm | None = None) -> None:
        (evm or self.venue.harness.evm).send(STRANGER, self.venue.harness.bridge.address, calldata)

    def _money(self) -> tuple[int, int]:
        venue = self.venue.harness
        return venue.bridge.call("vault_micros"), venue.token.call("balanceOf", venue.bridge.address)


def violations(campaign: Campaign) -> Iterator[str]:
    """Every mutation that was paid, and every kind that was never drawn."""
    yield from campaign.taken
    yield from (f"{kind} was never drawn" for kind in MUTATIONS if not campaign.by_mutation[kind])


def run(cases: int, seed: int) -> tuple[dict[str, Any], list[str]]:
    """Mutations by kind, refusals by reason, and how many honest claims were paid in between."""
    campaign = Campaign(seed)
    campaign.run(cases)
    summary = {
        "cases": cases,
        "taken": len(campaign.taken),
        "honest_paid": campaign.controls,
        "by_mutation": dict(campaign.by_mutation),
        "by_reason": dict(sorted(campaign.by_reason.items())),
    }
    return summary, list(violations(campaign))
