"""What stands beside the state: whose store it is, and what survives a crash."""

import pytest

from l1_bridge.codec.batch import BridgeId
from prover.history.records import CURSOR, SCHEMA, Cursor, ForeignStore, Intent, Payment, Records
from prover.state.overlay import Overlay
from prover.state.store import MemoryStore

BRIDGE = BridgeId(31_337, b"\x11" * 20)
INTENT = Intent(b"\x07" * 32, b"\x01" * 20, 7)


def opened(store: MemoryStore, bridge: BridgeId = BRIDGE) -> Records:
    """As by a new process: nothing of what an overlay held back is there."""
    return Records(Overlay(store), bridge, 5)


def test_a_new_store_is_its_bridges_from_the_first_moment() -> None:
    store = MemoryStore()
    opened(store)
    assert opened(store).cursor() == Cursor(SCHEMA, 31_337, b"\x11" * 20, 5)
    for other in (BridgeId(1, b"\x11" * 20), BridgeId(31_337, b"\x12" * 20)):
        with pytest.raises(ForeignStore, match="belongs to the bridge"):
            opened(store, other)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [({b"x": b"y"}, "something else"), ({CURSOR: b"\xc1"}, "another version")],
)
def test_a_store_of_something_else_is_refused(content: dict[bytes, bytes], sentence: str) -> None:
    store = MemoryStore()
    store.write(content, sync=False)
    with pytest.raises(ForeignStore, match=sentence):
        opened(store)


def test_an_intent_is_durable_and_everything_else_waits() -> None:
    store = MemoryStore()
    records = opened(store)
    records.put_queue_entry(3, b"\x03" * 32, b"entry")
    assert records.queue_operation(3) == b"entry"
    assert opened(store).queue_operation(3) is None
    records.remember_intent(INTENT)
    assert opened(store).intent(INTENT.batch_hash) == INTENT
    assert opened(store).intent(b"\x08" * 32) is None


def test_payments_are_durable_and_replace_what_was_remembered() -> None:
    store = MemoryStore()
    records = opened(store)
    assert records.payments() == ()
    # More wei than 64 bits hold.
    first, second = (Payment(at, (100 * 10**18 + at).to_bytes(32, "big")) for at in (1, 2))
    records.remember_payments([first, second])
    assert opened(store).payments() == (first, second)
    assert [paid.wei for paid in opened(store).payments()] == [100 * 10**18 + 1, 100 * 10**18 + 2]
    records.remember_payments([second])
    assert opened(store).payments() == (second,)


def test_an_entry_of_the_queue_has_its_chain_hash() -> None:
    records = opened(MemoryStore())
    for index in (300, 2, 255):
        records.put_queue_entry(index, bytes([index % 256]) * 32, b"%d" % index)
    assert (records.queue_hash(2), records.queue_operation(2)) == (b"\x02" * 32, b"2")
    assert (records.queue_hash(3), records.queue_operation(3)) == (None, None)
