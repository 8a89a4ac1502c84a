"""prove_fraud: only a differing answer is fraud, a roll-back costs the same whatever follows, only the liar pays."""

import msgspec
import pytest

from l1_bridge.codec.batch import Batch, Chunk, Header
from l1_bridge.codec.events import RolledBack
from l1_bridge.contracts.artifact import Artifact
from l1_bridge.hashing import keccak
from tests.l1_bridge.evm import Reverted
from tests.l1_bridge.harness import (
    CHALLENGER,
    PARAMETERS,
    SEQUENCER,
    STRANGER,
    SUCCESSOR,
    Harness,
    honest_chunk,
)
from tests.l1_bridge.simulation import rollback_gas

BOND = PARAMETERS.bond_wei


def refused(venue: Harness, reason: str, number: int, *arguments: int, **named: object) -> None:
    """A proof that must fail with this word and change nothing."""
    before = (venue.head, venue.bond(1))
    with pytest.raises(Reverted) as failure:
        venue.prove(number, *arguments, **named)  # type: ignore[arg-type]
    assert failure.value.reason == reason
    assert (venue.head, venue.bond(1)) == before


def test_a_lie_is_undone_its_committer_slashed_and_the_seat_opened(seated: Harness) -> None:
    seated.commit()
    good = seated.head
    lie = seated.commit_lie()
    burned_before = seated.burned_wei
    event = seated.event(seated.prove(lie))

    assert isinstance(event, RolledBack)
    batch = seated.batches[lie]
    assert event == RolledBack(
        number=lie,
        batch_hash=batch.batch_hash(seated.id),
        prover=CHALLENGER,
        chunk_index=1,
        claimed_root=batch.chunks[1].post_root,
        replayed_root=batch.chunks[0].post_root,
        rollback_counter=1,
        bond_id=1,
        burned_wei=BOND // 2,
        reward_wei=BOND // 2,
        release_at=good.committed_at + PARAMETERS.window_seconds,
    )
    assert seated.head == good
    assert not seated.bridge.call("is_canonical", lie, event.batch_hash)
    assert seated.burned_wei == burned_before + BOND // 2
    assert seated.bridge.call("seat")[1] == 0
    with pytest.raises(Reverted, match="NOT_SEAT_HOLDER"):
        seated.commit()


def test_honest_chunks_are_never_fraud(seated: Harness) -> None:
    lie = seated.commit_lie()
    refused(seated, "HONEST_CHUNK", lie, 0)
    refused(seated, "CHUNK_INDEX", lie, 2)
    refused(seated, "CHUNK_INDEX", lie, 2**256 - 1)
    seated.prove(lie, 1)


def test_the_pre_root_is_the_one_before_this_chunk(seated: Harness) -> None:
    def digest(pre_root: bytes, body: bytes) -> Chunk:
        return Chunk(body, keccak(seated.id.domain_separator() + pre_root + keccak(body)))

    for _ in range(2):
        parent_root = seated.head.last_root
        first = digest(parent_root, b"first bytes")
        second = digest(first.post_root, b"second bytes")
        last = seated.next_commitment()
        seated.commit(last, [first, second, honest_chunk(last)])
        for chunk_index in range(3):
            refused(seated, "HONEST_CHUNK", seated.tip, chunk_index)
    # the same second chunk on the wrong predecessor is a lie
    last = seated.next_commitment()
    seated.commit(last, [first, digest(parent_root, b"second bytes"), honest_chunk(last)])
    seated.prove(seated.tip, 1)
    assert seated.tip == 2


def test_short_and_junk_chunks_are_provable(seated: Harness) -> None:
    for body in (b"123456", b"\x7f" * 7600):
        if seated.bridge.call("seat")[1] == 0:
            seated.take_seat()
        last = seated.next_commitment()
        seated.commit(last, [Chunk(body, keccak(b"wrong")), honest_chunk(last)])
        seated.prove(seated.tip, 0)
        assert seated.tip == 0


def test_bytes_header_and_pairs_are_the_posted_ones(seated: Harness) -> None:
    lie = seated.commit_lie()
    batch = seated.batches[lie]
    refused(seated, "BODY", lie, body=batch.chunks[1].body + b"?")
    for change in (
        {"parent_hash": keccak(b"other")},
        {"rollback_counter": 1},
        {"committer": STRANGER},
        {"number": 2},
        {"number": 0},
    ):
        refused(seated, "NOT_CANONICAL", lie, header=msgspec.structs.replace(batch.header, **change))
    honest_pairs = (batch.chunks[0], batch.chunks[0])
    seated.batches[lie] = msgspec.structs.replace(batch, chunks=honest_pairs)
    refused(seated, "NOT_CANONICAL", lie)
    seated.batches[lie] = msgspec.structs.replace(batch, chunks=batch.chunks[:1])
    refused(seated, "NOT_CANONICAL", lie, 0)
    seated.batches[lie] = batch
    seated.prove(lie)


def test_genesis_cannot_be_proven_wrong(seated: Harness) -> None:
    header = Header(number=0, parent_hash=bytes(32), rollback_counter=0, committer=bytes(20))
    seated.batches[0] = Batch(header, (Chunk(b"genesis of a test", keccak(b"any")),), seated.commitments[0])
    refused(seated, "NOT_CANONICAL", 0, 0)


def test_h5_provable_until_the_window_ends_and_final_from_then_on(seated: Harness) -> None:
    lie = seated.commit_lie()
    committed_at = seated.evm.now
    seated.evm.now = committed_at + PARAMETERS.window_seconds
    refused(seated, "FINAL", lie)
    assert seated.bridge.call("final_number") == lie
    seated.evm.now -= 1
    assert seated.bridge.call("final_number") == 0
    seated.prove(lie)
    assert seated.tip == 0


def test_h10_a_failing_or_starving_referee_is_never_fraud(seated: Harness) -> None:
    lie = seated.commit_lie()
    refused(seated, "WITNESS", lie, witness=b"revert")
    refused(seated, "GAS_FLOOR", lie, gas=PARAMETERS.proof_gas_floor)
    refused(seated, "", lie, 0, witness=b"burn", gas=2_000_000)
    refused(seated, "", lie, 1, witness=b"burn", gas=2_000_000)
    seated.prove(lie)


def test_h10_no_gas_limit_turns_an_honest_chunk_into_fraud(seated: Harness) -> None:
    seated.commit()
    lie_free = seated.head
    reasons = set()
    for gas in range(30_000, 900_000, 9_000):
        with pytest.raises(Reverted) as failure:
            seated.prove(1, 0, gas=gas)
        reasons.add(failure.value.reason)
    assert "HONEST_CHUNK" in reasons
    assert "GAS_FLOOR" in reasons
    assert seated.head == lie_free


def test_followers_are_dropped_but_not_slashed(seated: Harness) -> None:
    lie = seated.commit_lie()
    seated.bridge.send("resign", seated.evm.now, sender=SEQUENCER)
    seated.take_seat(SUCCESSOR)
    for _ in range(3):
        seated.commit(sender=SUCCESSOR)
    seated.prove(lie)
    assert seated.tip == 0
    assert seated.bond(2).amount_wei == BOND
    assert not seated.bond(2).slashed
    assert seated.bridge.call("seat")[1] == 2
    # and the follower goes on at once, on the surviving parent
    seated.commit(sender=SUCCESSOR)
    assert seated.tip == 1


def test_h5_a_batch_posted_again_after_a_roll_back_is_another_batch(seated: Harness) -> None:
    lie = seated.commit_lie()
    good = seated.next_commitment()
    seated.commit(good)
    first_time = seated.batches[2]
    seated.prove(lie)
    refused(seated, "NOT_CANONICAL", lie)
    seated.take_seat(SEQUENCER)
    seated.commit_lie()
    assert seated.batches[1].batch_hash(seated.id) != first_time.batch_hash(seated.id)
    assert seated.batches[1].header.rollback_counter == 1
    # batch 2 still lies in storage above the tip, and is nobody's
    assert not seated.bridge.call("is_canonical", 2, first_time.batch_hash(seated.id))
    seated.commit(good)
    assert not seated.bridge.call("is_canonical", 2, first_time.batch_hash(seated.id))
    assert seated.bridge.call("is_canonical", 2, seated.batches[2].batch_hash(seated.id))


@pytest.mark.parametrize("followers", [1, 300])
def test_c8_a_roll_back_costs_the_same_whatever_follows(stub_referee: Artifact, followers: int) -> None:
    assert rollback_gas(followers, stub_referee) == rollback_gas(0, stub_referee)


def test_h4_a_decoy_proof_does_not_take_the_reward_of_the_theft(seated: Harness) -> None:
    theft = seated.commit_lie()
    decoy = seated.commit_lie()
    seated.prove(decoy, sender=SEQUENCER)
    assert seated.tip == theft
    half = BOND // 2
    released_at = seated.head.committed_at + PARAMETERS.window_seconds
    assert (seated.bond(1).prover, seated.bond(1).reward_wei) == (SEQUENCER, half)
    with pytest.raises(Reverted, match="TOO_EARLY"):
        seated.bridge.send("collect_reward", 1, sender=SEQUENCER)
    seated.evm.now = released_at - 1
    with pytest.raises(Reverted, match="TOO_EARLY"):
        seated.bridge.send("collect_reward", 1, sender=SEQUENCER)

    # at the last moment the theft itself is proven: without a bond left, and the reward changes hands
    event = seated.event(seated.prove(theft, sender=CHALLENGER))
    assert isinstance(event, RolledBack)
    assert (event.burned_wei, event.reward_wei, event.release_at) == (0, half, 0)
    before = seated.evm.balance_wei(CHALLENGER)
    seated.bridge.send("collect_reward", 1, sender=STRANGER)
    assert seated.evm.balance_wei(CHALLENGER) == before + half
    with pytest.raises(Reverted, match="NOTHING_LEFT"):
        seated.bridge.send("collect_reward", 1, sender=CHALLENGER)
    assert seated.evm.balance_wei(seated.bridge.address) == 0


def test_h4_the_reward_is_released_when_the_parent_is_final(seated: Harness) -> None:
    seated.commit()
    committed_at = seated.evm.now
    seated.evm.now += 50
    seated.prove(seated.commit_lie())
    seated.evm.now = committed_at + PARAMETERS.window_seconds - 1
    with pytest.raises(Reverted, match="TOO_EARLY"):
        seated.bridge.send("collect_reward", 1, sender=CHALLENGER)
    seated.evm.now += 1
    before = seated.evm.balance_wei(CHALLENGER)
    seated.bridge.send("collect_reward", 1, sender=STRANGER)
    assert seated.evm.balance_wei(CHALLENGER) == before + BOND // 2


def test_a_slashed_bond_cannot_be_withdrawn(seated: Harness) -> None:
    seated.prove(seated.commit_lie())
    seated.evm.now += PARAMETERS.window_seconds
    with pytest.raises(Reverted, match="NOTHING_LEFT"):
        seated.bridge.send("withdraw_bond", 1, sender=SEQUENCER)


def test_a_proof_needs_no_bond_of_anybody(seated: Harness) -> None:
    seated.commit_lie()
    with pytest.raises(Reverted):
        seated.bridge.evm.send(CHALLENGER, seated.bridge.address, b"", value_wei=1)
    seated.prove(1, sender=STRANGER)
    assert seated.tip == 0


def test_the_largest_proof_leaves_the_gas_to_the_referee(seated: Harness) -> None:
    last = seated.next_commitment()
    body = honest_chunk(last, b"\x01" * (7600 - 294)).body
    seated.commit(
        last, [Chunk(body, keccak(b"wrong"))] + [Chunk(b"any bytes", keccak(b"any"))] * 22 + [honest_chunk(last)]
    )
    batch = seated.batches[1]
    calldata_gas = 98_304 * 16
    receipt = seated.prove(1, 0, witness=b"\x01" * 98_304)
    assert len(batch.chunks) == 24
    # memory and copying of the largest witness, 24 pairs and the roll-back: below a twentieth of the budget
    assert receipt.gas_used - calldata_gas < 500_000
