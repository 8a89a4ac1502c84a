"""enqueue, announce, enact: what anybody forces on the sequencer, and what the governor may say, in the open."""

import msgspec
import pytest

from l1_bridge.codec.batch import extend_queue_hash
from l1_bridge.codec.events import Announced, Enqueued, Retracted, decode_log
from l1_bridge.contracts.artifact import Artifact
from l1_bridge.hashing import ZERO_HASH, keccak
from tests.l1_bridge.contracts.test_bridge_commit import refused
from tests.l1_bridge.evm import Evm, Reverted
from tests.l1_bridge.harness import GOVERNOR, PARAMETERS, STRANGER, TRADER, Harness

FEE = PARAMETERS.entry_fee_wei
DELAY = PARAMETERS.governance_delay_seconds
FORTNIGHT = 14 * 86_400
LEAVE, FORCED_TICK, SET_MARKET, SET_VENUE = 19, 21, 22, 23
LENGTHS = {16: 11, 17: 11, 18: 17, 19: 3, 20: 32, 22: 98, 23: 27}
ANYBODYS = range(16, 22)


def payload_of(tag: int) -> bytes:
    """A payload of the length that the tag needs; a tick says that it has five signers and three markets."""
    if tag == FORCED_TICK:
        return bytes(6) + b"\x05\x03" + bytes(5 * (65 + 10 * 3))
    return bytes(LENGTHS[tag])


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

    @pytest.mark.parametrize("tag", ANYBODYS)
    def test_a_payload_has_the_length_that_its_tag_needs_and_no_other(self, venue: Harness, tag: int) -> None:
        needed = payload_of(tag)
        for payload in (b"", needed[:-1], needed + b"\x00", needed + bytes(1_603 - len(needed))):
            with pytest.raises(Reverted, match="ENTRY_LENGTH"):
                enqueue(venue, tag, payload)
        assert len(enqueue(venue, tag, needed).operation) == 29 + len(needed)

    @pytest.mark.parametrize(("signers", "markets"), [(0, 0), (0, 16), (1, 0), (7, 16)])
    def test_a_ticks_length_follows_from_its_own_counts(self, venue: Harness, signers: int, markets: int) -> None:
        tick = bytes(6) + bytes([signers, markets]) + bytes(signers * (65 + 10 * markets))
        for payload in (tick[:-1], tick + b"\x00"):
            with pytest.raises(Reverted, match="ENTRY_LENGTH"):
                enqueue(venue, FORCED_TICK, payload)
        enqueue(venue, FORCED_TICK, tick)

    @pytest.mark.parametrize(("signers", "markets"), [(8, 1), (1, 17), (255, 0), (0, 255)])
    def test_a_tick_of_more_signers_or_markets_than_there_can_be_is_refused(
        self, venue: Harness, signers: int, markets: int
    ) -> None:
        tick = bytes(6) + bytes([signers, markets]) + bytes(min(signers * (65 + 10 * markets), 1_595))
        with pytest.raises(Reverted, match="ENTRY_LENGTH"):
            enqueue(venue, FORCED_TICK, tick)

    def test_a_payload_beyond_the_bound_is_refused(self, venue: Harness) -> None:
        with pytest.raises(Reverted):
            enqueue(venue, payload=bytes(1_604))

    @pytest.mark.parametrize("tag", [0, 1, 6, 15, SET_MARKET, SET_VENUE, 24, 272])
    def test_tags_of_others_are_refused(self, venue: Harness, tag: int) -> None:
        with pytest.raises(Reverted, match="ENTRY_TAG"):
            enqueue(venue, tag)

    @pytest.mark.parametrize("tag", ANYBODYS)
    def test_each_waits_as_long_as_it_weighs(self, venue: Harness, tag: int) -> None:
        first, second = enqueue(venue), enqueue(venue, tag, payload_of(tag))
        weight = venue.bridge.call("ENTRY_WEIGHTS_KILOGAS", tag - 16)

        assert second.due_at - first.due_at == PARAMETERS.spacing_seconds * weight // 600

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


class TestSeveralAtOnce:
    def many(self, venue: Harness, *tags: int, value_wei: int | None = None) -> list[Enqueued]:
        """What the bridge says of entries that one transaction queues."""
        fee = len(tags) * FEE if value_wei is None else value_wei
        entries = [(tag, payload_of(tag)) for tag in tags]
        receipt = venue.bridge.send("enqueue_many", entries, sender=TRADER, value_wei=fee)
        events = [decode_log(venue.id, log) for log in receipt.logs]
        assert all(isinstance(event, Enqueued) for event in events)
        return [event for event in events if isinstance(event, Enqueued)]

    def test_evidence_and_request_stand_one_right_behind_the_other(self, venue: Harness) -> None:
        enqueue(venue)
        found = self.many(venue, FORCED_TICK, FORCED_TICK, FORCED_TICK, 16)
        assert [event.index for event in found] == [1, 2, 3, 4]
        assert [event.operation[0] for event in found] == [FORCED_TICK] * 3 + [16]
        assert {event.enqueued_at for event in found} == {venue.evm.now}
        assert found[0].operation == entry_of(venue, FORCED_TICK, TRADER, payload_of(FORCED_TICK))
        assert venue.burned_wei == 5 * FEE
        assert venue.bridge.call("queue_length") == 5

    def test_one_that_is_refused_takes_the_others_along(self, venue: Harness) -> None:
        with pytest.raises(Reverted, match="ENTRY_TAG"):
            self.many(venue, LEAVE, SET_VENUE)
        for value_wei in (FEE, 3 * FEE, 0):
            with pytest.raises(Reverted, match="ENTRY_FEE"):
                self.many(venue, LEAVE, LEAVE, value_wei=value_wei)
        assert (venue.bridge.call("queue_length"), venue.burned_wei) == (0, 0)

    def test_none_and_five_are_refused(self, venue: Harness) -> None:
        with pytest.raises(Reverted, match="ENTRY_COUNT"):
            self.many(venue)
        with pytest.raises(Reverted):
            self.many(venue, *[LEAVE] * 5)


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


def abi_words(tag: int, payload: bytes) -> bytes:
    """abi_encode(tag, payload), of which an announcement is the hash."""
    padded = payload + bytes(-len(payload) % 32)
    return b"".join(word.to_bytes(32, "big") for word in (tag, 64, len(payload))) + padded


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

    def test_what_is_announced_has_its_tags_length(self, venue: Harness) -> None:
        for tag, size in ((SET_VENUE, 26), (SET_VENUE, 28), (SET_MARKET, 27), (SET_VENUE, 98)):
            with pytest.raises(Reverted, match="ENTRY_LENGTH"):
                venue.bridge.send("announce", tag, bytes(size), sender=GOVERNOR)

    def test_k1_a_second_step_that_comes_too_soon_is_refused_and_not_burned(self, venue: Harness) -> None:
        steps = [b"\x00" * 98, b"\x00" + b"\x02" * 97, b"\x01" + b"\x00" * 97]
        for payload in steps:
            venue.bridge.send("announce", SET_MARKET, payload, sender=GOVERNOR)
        self.announce(venue)
        venue.evm.now += DELAY
        venue.bridge.send("enact", SET_MARKET, steps[0], sender=STRANGER)
        with pytest.raises(Reverted, match="TOO_SOON"):
            venue.bridge.send("enact", SET_MARKET, steps[1], sender=STRANGER)
        # another market, and the venue, have a clock of their own
        venue.bridge.send("enact", SET_MARKET, steps[2], sender=STRANGER)
        self.enact(venue)
        # what was refused still stands
        announcement = keccak(abi_words(SET_MARKET, steps[1]))
        assert venue.bridge.call("announced_at", announcement) == venue.evm.now - DELAY

    def test_k1_the_same_parameters_are_enacted_again_after_thirty_one_days(self, venue: Harness) -> None:
        self.announce(venue)
        venue.evm.now += DELAY
        self.enact(venue)
        enacted_at = venue.evm.now
        venue.evm.now = enacted_at + 31 * 86_400 - DELAY - 1
        self.announce(venue)
        venue.evm.now = enacted_at + 31 * 86_400 - 1
        with pytest.raises(Reverted, match="TOO_SOON"):
            self.enact(venue)
        venue.evm.now += 1
        self.enact(venue)

    def test_of_two_announcements_about_one_market_whoever_comes_first_chooses(self, venue: Harness) -> None:
        first, second = b"\x00" * 98, b"\x00" + b"\x02" * 97
        for payload in (first, second):
            venue.bridge.send("announce", SET_MARKET, payload, sender=GOVERNOR)
        venue.evm.now += DELAY + 14 * 86_400 - 1
        with venue.evm.rolled_back():
            venue.bridge.send("enact", SET_MARKET, first, sender=STRANGER)
        venue.bridge.send("enact", SET_MARKET, second, sender=STRANGER)
        with pytest.raises(Reverted, match="TOO_SOON"):
            venue.bridge.send("enact", SET_MARKET, first, sender=STRANGER)
        venue.evm.now += 31 * 86_400
        with pytest.raises(Reverted, match="TOO_LATE"):
            venue.bridge.send("enact", SET_MARKET, first, sender=STRANGER)
        # It is taken back and announced anew, and then has its time.
        venue.bridge.send("retract", keccak(abi_words(SET_MARKET, first)), sender=GOVERNOR)
        venue.bridge.send("announce", SET_MARKET, first, sender=GOVERNOR)
        venue.evm.now += DELAY
        venue.bridge.send("enact", SET_MARKET, first, sender=STRANGER)

    def test_of_two_listings_the_second_may_be_enacted_first_and_is_gone(self, venue: Harness) -> None:
        first, second = bytes([3]) + bytes(97), bytes([4]) + bytes(97)
        venue.bridge.send("announce", SET_MARKET, first, sender=GOVERNOR)
        venue.evm.now += 86_400
        venue.bridge.send("announce", SET_MARKET, second, sender=GOVERNOR)
        venue.evm.now += DELAY - 1
        # A day apart, the first has its time before the second may be enacted.
        with pytest.raises(Reverted, match="TOO_EARLY"):
            venue.bridge.send("enact", SET_MARKET, second, sender=STRANGER)
        with venue.evm.rolled_back():
            venue.bridge.send("enact", SET_MARKET, first, sender=GOVERNOR)
        # Where nobody enacts it in that day, a stranger enacts the second, of which the law makes no market.
        venue.evm.now += 1
        venue.bridge.send("enact", SET_MARKET, second, sender=STRANGER)
        venue.bridge.send("enact", SET_MARKET, first, sender=GOVERNOR)
        venue.bridge.send("announce", SET_MARKET, second, sender=GOVERNOR)
        venue.evm.now += DELAY
        with pytest.raises(Reverted, match="TOO_SOON"):
            venue.bridge.send("enact", SET_MARKET, second, sender=GOVERNOR)

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
    announced = venue.bridge.send("announce", SET_VENUE, bytes(27), sender=GOVERNOR)
    assert announced.logs
    venue.evm.now += DELAY
    venue.bridge.send("freeze", sender=STRANGER)
    with pytest.raises(Reverted, match="FROZEN"):
        enqueue(venue)
    with pytest.raises(Reverted, match="FROZEN"):
        venue.bridge.send("enact", SET_VENUE, bytes(27), sender=STRANGER)
