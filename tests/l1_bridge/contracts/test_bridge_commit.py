"""commit: every guard refuses once and lets pass once."""

from typing import Any

import pytest

from l1_bridge.codec.batch import Chunk, Commitment
from l1_bridge.codec.calls import BatchRecord
from l1_bridge.codec.events import BatchCommitted
from l1_bridge.hashing import ZERO_HASH, keccak
from tests.l1_bridge.evm import Reverted
from tests.l1_bridge.harness import PARAMETERS, SEQUENCER, STRANGER, Harness, honest_chunk


def refused(venue: Harness, reason: str, *arguments: Any, **named: Any) -> None:
    """A commit that must fail with this word and change nothing."""
    before = venue.head
    with pytest.raises(Reverted) as failure:
        venue.commit(*arguments, **named)
    assert failure.value.reason == reason
    assert venue.head == before


def test_an_honest_batch_becomes_the_head_and_its_log_carries_everything(seated: Harness) -> None:
    seated.deposit()
    seated.evm.now += 10
    first = Chunk(b"any bytes", keccak(b"some root"))
    last = seated.next_commitment(withdrawn_total_micros=3)
    parent = seated.head
    event = seated.event(seated.commit(last, [first, honest_chunk(last)]))

    assert isinstance(event, BatchCommitted)
    assert event.batch.chunks == (first, honest_chunk(last))
    assert event.batch.commitment == last
    assert event.batch.header.committer == SEQUENCER
    assert event.batch.header.parent_hash == parent.batch_hash
    assert event.batch_hash == event.batch.batch_hash(seated.id)
    assert seated.head == BatchRecord(
        number=1,
        batch_hash=event.batch_hash,
        last_root=last.root(),
        bond_id=1,
        committed_at=seated.evm.now,
        queue_count=1,
        withdrawn_total_micros=3,
    )
    assert seated.bridge.call("is_canonical", 1, event.batch_hash)
    assert not seated.bridge.call("is_canonical", 1, parent.batch_hash)
    assert not seated.bridge.call("is_canonical", 2, ZERO_HASH)


def test_only_the_seat_holder_commits(seated: Harness) -> None:
    refused(seated, "NOT_SEAT_HOLDER", sender=STRANGER)
    seated.commit()


def test_nobody_commits_while_the_seat_is_open(venue: Harness) -> None:
    refused(venue, "NOT_SEAT_HOLDER")


def test_the_parent_is_the_tip_and_nothing_else(seated: Harness) -> None:
    seated.commit()
    genesis, tip = seated.bridge.call("record", 0), seated.head
    for parent in ((0, genesis[1]), (1, genesis[1]), (2, tip.batch_hash), (2, ZERO_HASH)):
        refused(seated, "PARENT", parent=parent)
    seated.commit(parent=(1, tip.batch_hash))


@pytest.mark.parametrize("count", [0, 25])
def test_a_batch_has_1_to_24_chunks(seated: Harness, count: int) -> None:
    commitment = seated.next_commitment()
    with pytest.raises(Reverted):
        seated.commit(commitment, [honest_chunk(commitment)] * count)
    seated.commit(commitment, [Chunk(b"any bytes", keccak(b"any"))] * 23 + [honest_chunk(commitment)])


def test_chunks_and_roots_are_as_many(seated: Harness) -> None:
    commitment = seated.next_commitment()
    head = seated.head
    with pytest.raises(Reverted, match="CHUNK_COUNT"):
        seated.bridge.send(
            "commit",
            head.number,
            head.batch_hash,
            [b"", b""],
            [commitment.root()],
            commitment.words(),
            sender=SEQUENCER,
        )


def test_a_chunk_has_at_most_8192_bytes(seated: Harness) -> None:
    commitment = seated.next_commitment()
    with pytest.raises(Reverted):
        seated.commit(commitment, [Chunk(b"a" * 7601, commitment.root())])
    seated.commit(commitment, [Chunk(b"a" * 7600, commitment.root())])


def test_the_commitment_opens_the_last_root_and_no_other(seated: Harness) -> None:
    commitment = seated.next_commitment()
    other = Chunk(b"any bytes", keccak(b"any"))
    refused(seated, "COMMITMENT", commitment, [honest_chunk(commitment), other])
    seated.commit(commitment, [other, honest_chunk(commitment)])


@pytest.mark.parametrize("version", [0, 3, 5, 2**256 - 1])
def test_another_version_of_the_law_is_refused(seated: Harness, version: int) -> None:
    refused(seated, "LAW_VERSION", seated.next_commitment(law_version=version))


def test_c1_l2_time_runs_neither_ahead_of_l1_nor_too_far_behind(seated: Harness) -> None:
    seated.evm.now += 1_000
    now_ms = seated.evm.now * 1000
    oldest_ms = now_ms - PARAMETERS.max_lag_seconds * 1000
    refused(seated, "TIMESTAMP_AHEAD", seated.next_commitment(timestamp_ms=now_ms + 1))
    refused(seated, "TIMESTAMP_AHEAD", seated.next_commitment(timestamp_ms=2**256 - 1))
    refused(seated, "TIMESTAMP_BEHIND", seated.next_commitment(timestamp_ms=oldest_ms - 1))
    refused(seated, "TIMESTAMP_BEHIND", seated.next_commitment(timestamp_ms=0))
    seated.commit(seated.next_commitment(timestamp_ms=oldest_ms))
    seated.commit(seated.next_commitment(timestamp_ms=now_ms))


def test_c1_the_lag_counts_from_the_first_chunk(seated: Harness) -> None:
    seated.evm.now += 1_000
    last = seated.next_commitment()
    oldest_ms = seated.evm.now * 1000 - PARAMETERS.max_lag_seconds * 1000
    for queue_only in (False, True):
        for first_ms in (0, oldest_ms - 1):
            first = honest_chunk(last, b"first", queue_only=queue_only, time_ms=first_ms)
            refused(seated, "TIMESTAMP_BEHIND", last, [first, honest_chunk(last, queue_only=queue_only)])
    # what comes later may say what it likes: the law's clock never goes back
    first = honest_chunk(last, b"first", time_ms=oldest_ms)
    seated.commit(last, [first, honest_chunk(last, time_ms=0)])


def test_every_body_says_a_time(seated: Harness) -> None:
    last = seated.next_commitment()
    for short in (b"", b"12345"):
        refused(seated, "CHUNK_TIME", last, [Chunk(short, keccak(b"any")), honest_chunk(last)])
        refused(seated, "CHUNK_TIME", last, [honest_chunk(last, b"first"), Chunk(short, last.root())])
    seated.commit(last, [honest_chunk(last, b"first"), Chunk(b"123456", last.root())])


def test_the_queue_is_consumed_in_order_and_never_given_back(seated: Harness) -> None:
    for _ in range(3):
        seated.deposit()
    hash_of_2 = seated.bridge.call("queue_hash", 2)
    refused(seated, "QUEUE_COUNT", seated.next_commitment(queue_count=4, queue_hash=ZERO_HASH))
    refused(seated, "QUEUE_COUNT", seated.next_commitment(queue_count=2**256 - 1, queue_hash=ZERO_HASH))
    refused(seated, "QUEUE_HASH", seated.next_commitment(queue_count=1, queue_hash=hash_of_2))
    refused(seated, "QUEUE_HASH", seated.next_commitment(queue_count=2, queue_hash=ZERO_HASH))
    seated.commit(seated.next_commitment(queue_count=2, queue_hash=hash_of_2))
    hash_of_1 = seated.bridge.call("queue_hash", 1)
    refused(seated, "QUEUE_COUNT", seated.next_commitment(queue_count=1, queue_hash=hash_of_1))
    seated.commit(seated.next_commitment(queue_count=2, queue_hash=hash_of_2))
    seated.commit()


def test_h8_no_excuse_leaves_an_entry_behind_for_longer_than_the_inclusion_time(seated: Harness) -> None:
    seated.deposit()
    enqueued_at = seated.evm.now
    waiting = {"queue_count": 0}
    seated.evm.now += 100
    late_ms = (enqueued_at + PARAMETERS.inclusion_seconds) * 1000
    refused(seated, "INCLUSION", seated.next_commitment(**waiting, timestamp_ms=late_ms))
    refused(seated, "INCLUSION", seated.next_commitment(**waiting))
    # serving the entry at the end is no excuse for what was put in front of it
    refused(seated, "INCLUSION")
    # L2 time decides: the same batch, sealed earlier, stays legal however late L1 takes it
    seated.commit(seated.next_commitment(**waiting, timestamp_ms=late_ms - 1))
    refused(seated, "INCLUSION")


def late_batch(commitment: Commitment, *queue_only: bool) -> list[Chunk]:
    """A chunk for each word of whether it serves the queue alone; the last opens the commitment."""
    return [honest_chunk(commitment, queue_only=alone) for alone in queue_only]


def test_each_chunk_of_a_late_batch_serves_the_queue_alone(seated: Harness) -> None:
    seated.deposit()
    seated.evm.now += PARAMETERS.inclusion_seconds
    late = seated.next_commitment()
    for chunks in ((False,), (True, False), (False, True)):
        refused(seated, "INCLUSION", late, late_batch(late, *chunks))
    refused(seated, "INCLUSION", late, [Chunk(b"any bytes", keccak(b"any")), honest_chunk(late, queue_only=True)])
    seated.commit(late, late_batch(late, True, True))
    # what is owed no longer asks nothing of the next batch
    seated.commit(late, late_batch(late, False, False))


def test_no_chunk_of_another_batch_does(seated: Harness) -> None:
    # nothing owed; something that has not waited long enough, to the millisecond
    nothing = seated.next_commitment()
    for chunks in ((True,), (True, False), (False, True)):
        refused(seated, "INCLUSION", nothing, late_batch(nothing, *chunks))
    seated.deposit()
    late_ms = (seated.evm.now + PARAMETERS.inclusion_seconds) * 1000
    seated.evm.now += PARAMETERS.inclusion_seconds
    early, late = (seated.next_commitment(queue_count=0, timestamp_ms=late_ms - less) for less in (1, 0))
    refused(seated, "INCLUSION", early, late_batch(early, True))
    # what only its end makes late serves the queue alone from its beginning
    seated.commit(late, [honest_chunk(late, queue_only=True, time_ms=late_ms - 1), *late_batch(late, True)])


def test_a_late_batch_may_leave_entries_behind_and_the_next_is_late_again(seated: Harness) -> None:
    for _ in range(2):
        seated.deposit()
    seated.evm.now += PARAMETERS.inclusion_seconds
    for count in (0, 1):
        some = seated.next_commitment(queue_count=count)
        refused(seated, "INCLUSION", some)
        seated.commit(some, late_batch(some, True))
    last = seated.next_commitment(queue_count=2)
    refused(seated, "INCLUSION", last)
    seated.commit(last, late_batch(last, True))
    seated.commit()


def test_totals_never_shrink_and_fit_their_fields(seated: Harness) -> None:
    seated.commit(seated.next_commitment(withdrawn_total_micros=7))
    refused(seated, "WITHDRAWN_TOTAL", seated.next_commitment(withdrawn_total_micros=6))
    refused(seated, "WITHDRAWN_TOTAL", seated.next_commitment(withdrawn_total_micros=2**80))
    seated.commit(seated.next_commitment(withdrawn_total_micros=2**80 - 1))
    assert seated.head.withdrawn_total_micros == 2**80 - 1
    assert (seated.head.queue_count, seated.head.committed_at, seated.head.bond_id) == (0, seated.evm.now, 1)
