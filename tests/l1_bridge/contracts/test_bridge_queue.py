"""enqueue, announce, enact: what anybody forces on the sequencer, and what the governor may say, in the open."""

import msgspec
import pytest

from l1_bridge.codec.batch import extend_queue_hash
from l1_bridge.codec.events import Announced, Enqueued, Retracted
from l1_bridge.contracts.artifact import Artifact
from l1_bridge.hashing import ZERO_HASH, keccak
from tests.l1_bridge.contracts.test_bridge_commit import refused
from tests.l1_bridge.evm import Evm, Reverted
from tests.l1_bridge.harness import GOVERNOR, PARAMETERS, STRANGER, TRADER, Harness

FEE = PARAMETERS.entry_fee_wei
DELAY = PARAMETERS.governance_delay_seconds
FORTNIGHT = 14 * 86_400
LEAVE, SET_MARKET, SET_VENUE = 19, 22, 23


def enqueue(venue: Harness, tag: int = LEAVE, payload: bytes = b"\x00\x00\x11", fee: int = FEE) -> Enqueued:
    receipt = venue.bridge.send("enqueue", tag, payload, sender=TRADER, value_wei=fee)
    event = venue.event(receipt)
    assert isinstance(event, Enqueued)
    return event


def entry_of(venue: Harness, tag: int, sender: bytes, payload: bytes) -> bytes:
    time = (venue.evm.now * 1000).to_bytes(6, "big")
    return bytes([tag]) + sender + time + len(payload).to_bytes(2, "big") + payload


class TestEnqueue:
    def test_the_entry_is_tag_sender_time_length_and_payload(self, venue: Harness) -> None:
        event = enqueue(venue)
        operation = entry_of(venue, LEAVE, TRADER, b"\x00\x00\x11")

        assert event.operation == operation
        assert event.chain_hash == extend_queue_hash(ZERO_HASH, operation)
        assert (event.index, event.enqueued_at, event.due_at) == (0, venue.evm.now, venue.evm.now)

    @pytest.mark.parametrize("size", [0, 1, 1_507])
    def test_any_payload_up_to_the_bound(self, venue: Harness, size: int) -> None:
        assert len(enqueue(venue, payload=b"\x99" * size).operation) == 29 + size

    def test_a_payload_beyond_the_bound_is_refused(self, venue: Harness) -> None:
        with pytest.raises(Reverted):
            enqueue(venue, payload=bytes(1_508))

    @pytest.mark.parametrize("tag", [0, 1, 6, 15, SET_MARKET, SET_VENUE, 24, 272])
    def test_tags_of_others_are_refused(self, venue: Harness, tag: int) -> None:
        with pytest.raises(Reverted, match="ENTRY_TAG"):
            enqueue(venue, tag)

    @pytest.mark.parametrize("tag", range(16, 22))
    def test_each_waits_as_long_as_it_weighs(self, venue: Harness, tag: int) -> None:
        first, second = enqueue(venue), enqueue(venue, tag)
        weight = venue.bridge.call("ENTRY_WEIGHTS_KILOGAS", tag - 16)

        assert second.due_at - first.due_at == -(-PARAMETERS.spacing_seconds * weight // 60)

    @pytest.mark.parametrize("fee", [0, FEE - 1, FEE + 1])
    def test_the_fee_is_exact_and_burned(self, venue: Harness, fee: int) -> None:
        with pytest.raises(Reverted, match="ENTRY_FEE"):
            enqueue(venue, fee=fee)
        assert venue.burned_wei == 0
        enqueue(venue)
        assert venue.burned_wei == FEE

    def test_deposits_and_entries_are_one_chain(self, venue: Harness) -> None:
        deposited = venue.event(venue.deposit())
        assert isinstance(deposited, Enqueued)
        event = enqueue(venue)

        assert event.index == 1
        assert event.chain_hash == extend_queue_hash(deposited.chain_hash, event.operation)


class TestAnOpenEntry:
    """A forced close that is only partly done is in the chain, and still owed."""

    def test_the_chain_is_compared_after_what_was_taken(self, seated: Harness) -> None:
        events = [enqueue(seated) for _ in range(2)]
        chain = [ZERO_HASH, *(event.chain_hash for event in events)]
        refused(seated, "QUEUE_HASH", seated.next_commitment(queue_count=0, queue_taken=1, queue_hash=chain[0]))
        refused(seated, "QUEUE_HASH", seated.next_commitment(queue_count=0, queue_taken=1, queue_hash=chain[2]))
        refused(seated, "QUEUE_COUNT", seated.next_commitment(queue_count=2, queue_taken=3, queue_hash=chain[2]))
        refused(seated, "QUEUE_COUNT", seated.next_commitment(queue_count=2, queue_taken=1, queue_hash=chain[1]))
        seated.commit(seated.next_commitment(queue_count=0, queue_taken=1, queue_hash=chain[1]))
        seated.commit(seated.next_commitment(queue_count=0, queue_taken=2, queue_hash=chain[2]))
        seated.commit(seated.next_commitment(queue_count=2, queue_taken=2, queue_hash=chain[2]))

    def test_its_clock_runs_on(self, seated: Harness) -> None:
        enqueue(seated)
        begun = {"queue_count": 0, "queue_taken": 1}
        seated.commit(seated.next_commitment(**begun))
        seated.evm.now += PARAMETERS.inclusion_seconds
        late = seated.next_commitment(**begun)
        refused(seated, "INCLUSION", late)
        # Step after step of one close, and nothing beside them.
        seated.commit(late, queue_only=True)
        seated.evm.now += PARAMETERS.unseat_seconds
        seated.bridge.send("unseat", sender=STRANGER)


class TestGovernor:
    payload = b"\x01" * 27

    def announce(self, venue: Harness, tag: int = SET_VENUE, sender: bytes = GOVERNOR) -> Announced:
        event = venue.event(venue.bridge.send("announce", tag, self.payload, sender=sender))
        assert isinstance(event, Announced)
        return event

    def enact(self, venue: Harness) -> Enqueued:
        event = venue.event(venue.bridge.send("enact", SET_VENUE, self.payload, sender=STRANGER))
        assert isinstance(event, Enqueued)
        return event

    def test_what_was_announced_long_enough_ago_is_enacted_by_anybody(self, venue: Harness) -> None:
        announced = self.announce(venue)
        assert announced.enactable_at == venue.evm.now + DELAY
        assert (announced.tag, announced.payload) == (SET_VENUE, self.payload)
        venue.evm.now += DELAY - 1
        with pytest.raises(Reverted, match="TOO_EARLY"):
            self.enact(venue)
        venue.evm.now += 1

        assert self.enact(venue).operation == entry_of(venue, SET_VENUE, GOVERNOR, self.payload)
        with pytest.raises(Reverted, match="NOT_ANNOUNCED"):
            self.enact(venue)

    def test_it_expires_and_can_be_announced_anew(self, venue: Harness) -> None:
        announced = self.announce(venue)
        venue.evm.now += DELAY + FORTNIGHT
        with pytest.raises(Reverted, match="TOO_LATE"):
            self.enact(venue)
        with pytest.raises(Reverted, match="ANNOUNCED"):
            self.announce(venue)
        event = venue.event(venue.bridge.send("retract", announced.announcement, sender=GOVERNOR))
        assert event == Retracted(announced.announcement)
        self.announce(venue)
        venue.evm.now += DELAY + FORTNIGHT - 1
        self.enact(venue)

    def test_nobody_else_announces_or_retracts(self, venue: Harness) -> None:
        with pytest.raises(Reverted, match="NOT_GOVERNOR"):
            self.announce(venue, sender=STRANGER)
        announced = self.announce(venue)
        with pytest.raises(Reverted, match="NOT_GOVERNOR"):
            venue.bridge.send("retract", announced.announcement, sender=STRANGER)
        with pytest.raises(Reverted, match="NOT_ANNOUNCED"):
            venue.bridge.send("retract", keccak(b"another"), sender=GOVERNOR)

    @pytest.mark.parametrize("tag", [1, LEAVE, 21, 24])
    def test_only_parameters(self, venue: Harness, tag: int) -> None:
        with pytest.raises(Reverted, match="ENTRY_TAG"):
            self.announce(venue, tag)

    def test_another_payload_is_another_announcement(self, venue: Harness) -> None:
        self.announce(venue)
        venue.evm.now += DELAY
        with pytest.raises(Reverted, match="NOT_ANNOUNCED"):
            venue.bridge.send("enact", SET_VENUE, self.payload + b"\x00", sender=STRANGER)
        with pytest.raises(Reverted, match="NOT_ANNOUNCED"):
            venue.bridge.send("enact", SET_MARKET, self.payload, sender=STRANGER)

    def test_a_bridge_without_a_governor_never_changes(self, stub_referee: Artifact) -> None:
        venue = Harness(Evm(), stub_referee, parameters=msgspec.structs.replace(PARAMETERS, governor=bytes(20)))
        with pytest.raises(Reverted, match="NOT_GOVERNOR"):
            self.announce(venue)


def test_a_frozen_bridge_takes_no_entries(venue: Harness) -> None:
    enqueue(venue)
    announced = venue.bridge.send("announce", SET_VENUE, b"", sender=GOVERNOR)
    assert announced.logs
    venue.evm.now += DELAY
    venue.bridge.send("freeze", sender=STRANGER)
    with pytest.raises(Reverted, match="FROZEN"):
        enqueue(venue)
    with pytest.raises(Reverted, match="FROZEN"):
        venue.bridge.send("enact", SET_VENUE, b"", sender=STRANGER)
