"""deposit: what arrives is booked, its bytes are chained and logged, due times are spaced by work."""

import msgspec
import pytest

from l1_bridge.codec.batch import extend_queue_hash
from l1_bridge.codec.calls import QueueEntry, decode_record
from l1_bridge.codec.events import Enqueued
from l1_bridge.contracts.artifact import Artifact
from l1_bridge.hashing import ZERO_HASH
from tests.l1_bridge.evm import Evm, Reverted, compile_stub
from tests.l1_bridge.harness import DEPOSITOR, DOLLAR, NEW_ACCOUNT, PARAMETERS, STRANGER, TRADER, Harness

TAKES_A_FEE, RETURNS_FALSE, REVERTS, CALLS_BACK = 1, 2, 3, 4
# 3 seconds per 60 kilogas, 100 kilogas a deposit
SPACING = 5


def enqueued(venue: Harness, **named: int | bytes) -> Enqueued:
    """The event of one deposit."""
    event = venue.event(venue.deposit(**named))  # type: ignore[arg-type]
    assert isinstance(event, Enqueued)
    return event


def entry(venue: Harness, index: int) -> QueueEntry:
    """An entry as the bridge stores it."""
    return decode_record(QueueEntry, venue.bridge.call_raw("queue_entry", index))


def test_h11_the_entry_is_depositor_owner_account_and_what_arrived(venue: Harness) -> None:
    event = enqueued(venue, amount_micros=5 * DOLLAR, account_index=0x010203)
    operation = b"\x01" + DEPOSITOR + TRADER + b"\x01\x02\x03" + (5 * DOLLAR).to_bytes(8, "big")
    assert len(operation) == 52
    chain = extend_queue_hash(ZERO_HASH, operation)
    assert event == Enqueued(
        index=0, chain_hash=chain, enqueued_at=venue.evm.now, due_at=venue.evm.now, operation=operation
    )
    assert entry(venue, 0) == QueueEntry(chain_hash=chain, enqueued_at=venue.evm.now, due_at=venue.evm.now)
    assert venue.token.call("balanceOf", venue.bridge.address) == 5 * DOLLAR
    assert venue.bridge.call("vault_micros") == 5 * DOLLAR
    assert venue.bridge.call("queue_length") == 1


def test_the_queue_is_one_hash_chain(venue: Harness) -> None:
    chain = ZERO_HASH
    assert venue.bridge.call("queue_hash", 0) == chain
    for index in range(4):
        event = enqueued(venue, amount_micros=(index + 1) * DOLLAR)
        chain = extend_queue_hash(chain, event.operation)
        assert (event.index, event.chain_hash, venue.bridge.call("queue_hash", index + 1)) == (index, chain, chain)
    for call in (("queue_hash", 5), ("queue_entry", 4)):
        with pytest.raises(Reverted, match="QUEUE_INDEX"):
            venue.bridge.call(*call)


def test_c2_a_flood_is_due_no_faster_than_it_can_be_served(venue: Harness) -> None:
    start = venue.evm.now
    assert [enqueued(venue).due_at for _ in range(3)] == [start, start + SPACING, start + 2 * SPACING]
    venue.evm.now += SPACING
    late = enqueued(venue)
    assert (late.enqueued_at, late.due_at) == (start + SPACING, start + 3 * SPACING)
    # the spacing is forgotten once it has passed
    venue.evm.now += 1_000
    assert enqueued(venue).due_at == venue.evm.now


@pytest.fixture
def fast(stub_referee: Artifact) -> Harness:
    """A bridge of the shipped spacing: a second for 600 kilogas."""
    return Harness(Evm(), stub_referee, parameters=msgspec.structs.replace(PARAMETERS, spacing_seconds=1))


def test_a_flood_of_light_entries_puts_deadlines_off_by_what_they_weigh(fast: Harness) -> None:
    """With a second for 600 kilogas a deposit of 100 adds a second in six, and not one each."""
    start = fast.evm.now
    due = [enqueued(fast).due_at - start for _ in range(16)]

    assert due == [100 * count // 600 for count in range(16)] == [0] * 6 + [1] * 6 + [2] * 4
    assert [entry(fast, index).due_at - start for index in range(16)] == due
    fast.evm.now += 1
    assert enqueued(fast).due_at - start == 100 * 16 // 600


@pytest.mark.parametrize("account_index", [0, NEW_ACCOUNT])
def test_any_account_of_three_bytes_may_be_named(venue: Harness, account_index: int) -> None:
    assert enqueued(venue, account_index=account_index).operation[41:44] == account_index.to_bytes(3, "big")


def refused(venue: Harness, reason: str, amount: int, owner: bytes = TRADER, account_index: int = NEW_ACCOUNT) -> None:
    """A deposit that must fail with this word and leave money and queue as they are."""
    venue.fund(DEPOSITOR, 2**70)
    before = (venue.bridge.call("queue_length"), venue.bridge.call("vault_micros"))
    with pytest.raises(Reverted) as failure:
        venue.bridge.send("deposit", owner, account_index, amount, sender=DEPOSITOR)
    assert failure.value.reason == reason
    assert (venue.bridge.call("queue_length"), venue.bridge.call("vault_micros")) == before


def test_a_deposit_has_an_owner_an_account_and_an_amount_in_range(venue: Harness) -> None:
    refused(venue, "ACCOUNT_INDEX", DOLLAR, account_index=NEW_ACCOUNT + 1)
    refused(venue, "OWNER_ZERO", DOLLAR, owner=bytes(20))
    refused(venue, "DEPOSIT_TOO_SMALL", DOLLAR - 1)
    refused(venue, "DEPOSIT_TOO_SMALL", 0)
    refused(venue, "DEPOSIT_TOO_LARGE", 2**64)
    venue.deposit(DOLLAR)
    venue.deposit(2**64 - 1)


def test_without_money_or_approval_nothing_is_queued(venue: Harness) -> None:
    with pytest.raises(Reverted, match="ALLOWANCE"):
        venue.bridge.send("deposit", TRADER, NEW_ACCOUNT, DOLLAR, sender=STRANGER)
    venue.token.send("approve", venue.bridge.address, DOLLAR, sender=STRANGER)
    with pytest.raises(Reverted, match="BALANCE"):
        venue.bridge.send("deposit", TRADER, NEW_ACCOUNT, DOLLAR, sender=STRANGER)
    assert venue.bridge.call("queue_length") == 0


@pytest.fixture
def odd(stub_referee: Artifact, stub_token: Artifact) -> Harness:
    """A bridge whose token has bad habits."""
    return Harness(Evm(), stub_referee, stub_token)


def habit(venue: Harness, number: int, payload: bytes = b"") -> None:
    """Gives the token one bad habit."""
    venue.token.send("set_habit", number, venue.bridge.address, payload, sender=STRANGER)


def test_h11_what_arrived_counts_and_not_what_was_asked_for(odd: Harness) -> None:
    habit(odd, TAKES_A_FEE)
    event = enqueued(odd, amount_micros=10 * DOLLAR)
    assert event.operation[44:] == (9 * DOLLAR).to_bytes(8, "big")
    assert odd.bridge.call("vault_micros") == 9 * DOLLAR


def test_money_that_was_sent_unasked_is_nobodys_deposit(odd: Harness) -> None:
    odd.token.send("mint", odd.bridge.address, 7 * DOLLAR, sender=STRANGER)
    assert enqueued(odd, amount_micros=2 * DOLLAR).operation[44:] == (2 * DOLLAR).to_bytes(8, "big")
    assert odd.bridge.call("vault_micros") == 2 * DOLLAR


@pytest.mark.parametrize(("number", "reason"), [(RETURNS_FALSE, "TOKEN"), (REVERTS, "REFUSED")])
def test_a_token_that_refuses_makes_no_entry(odd: Harness, number: int, reason: str) -> None:
    habit(odd, number)
    with pytest.raises(Reverted, match=reason):
        odd.deposit()
    assert odd.bridge.call("queue_length") == 0


def test_a_token_that_calls_back_finds_the_door_locked(odd: Harness) -> None:
    odd.token.send("mint", odd.token.address, 5 * DOLLAR, sender=STRANGER)
    habit(odd, CALLS_BACK, odd.bridge.artifact.encode_call("deposit", TRADER, NEW_ACCOUNT, 5 * DOLLAR))
    odd.deposit()
    assert odd.bridge.call("queue_length") == 1
    assert odd.token.call("failure") == b""


def test_a_token_that_returns_nothing_is_taken_at_its_word(stub_referee: Artifact) -> None:
    class Silent(Harness):
        def fund(self, holder: bytes, amount_micros: int) -> None:
            self.token.send("mint", holder, amount_micros, sender=holder)

    silent = Silent(Evm(), stub_referee, compile_stub("StubSilentToken"))
    assert enqueued(silent).operation[44:] == (5 * DOLLAR).to_bytes(8, "big")
