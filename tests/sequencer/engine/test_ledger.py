"""The lists beside the tree: withdrawals from the store, rescues that are forgotten with their rows."""

from collections import deque

import msgspec
import pytest

from prover.state.store import MemoryStore
from prover.stf import encoding
from sequencer.engine.ledger import Withdrawals
from sequencer.engine.records import RESCUE_KEY, WithdrawalRecord
from sequencer.sequencing.staged_store import BufferedStore
from tests.sequencer.engine.test_liquidator import crowded, ticks
from tests.sequencer.node_world import DEPOSITOR, DOLLAR, RECIPIENT


def flushed(store: BufferedStore) -> None:
    store.stage(1)
    store.flush()


def test_a_withdrawal_is_read_from_where_it_is_kept() -> None:
    below = MemoryStore()
    store = BufferedStore(below)
    listed = Withdrawals(store)
    expected = [WithdrawalRecord(index, (DEPOSITOR, RECIPIENT)[index % 2], index * DOLLAR, 7) for index in range(5)]
    for record in expected:
        assert listed.add(record.recipient, record.amount, record.chunk) == record
    flushed(store)
    for one in (listed, Withdrawals(BufferedStore(below))):
        assert (len(one), list(one), one[-1]) == (5, expected, expected[4])
        assert list(one.newest_of(RECIPIENT)) == [expected[3], expected[1]]
        assert list(one.newest_of(b"\x99" * 20)) == []
        leaves = [encoding.withdrawal_hash(record.index, record.recipient, record.amount) for record in expected]
        assert (one.leaves(5), one.leaves(2), one.leaves(0)) == (leaves, leaves[:2], [])
        for index in (5, -6):
            with pytest.raises(IndexError):
                one[index]


def test_a_withdrawal_that_nobody_asks_for_costs_a_leaf_and_a_place() -> None:
    listed = Withdrawals(BufferedStore(MemoryStore()))
    for _ in range(1_000):
        listed.add(RECIPIENT, DOLLAR, 1)
    assert len(listed._leaves) == 32_000
    assert listed._of[RECIPIENT].itemsize * len(listed._of[RECIPIENT]) == 4_000


def test_rescues_that_are_no_longer_remembered_are_no_longer_kept() -> None:
    world = crowded(fund=2_000_000 * DOLLAR)
    ticks(world, 591_500)
    ledger = world.engine._ledger
    (record,) = world.engine.rescues
    ledger.rescues = deque([record], maxlen=3)
    for _ in range(7):
        ledger.note_rescue(msgspec.structs.replace(record))
    world.seal()
    kept = [int.from_bytes(key[len(RESCUE_KEY) :], "big") for key, _ in world.store.iterate(RESCUE_KEY)]
    assert kept == [one.number for one in ledger.rescues] == [5, 6, 7]
