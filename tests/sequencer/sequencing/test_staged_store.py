"""Writes that wait, numbered where they reach the store: one that is missing is noticed."""

import pytest

from prover.state.store import MemoryStore, StoreUnavailable
from sequencer.engine.records import WRITE_KEY, number_key
from sequencer.sequencing.staged_store import BufferedStore, require_every_write


def written(count: int) -> MemoryStore:
    """So many writes."""
    store = MemoryStore()
    buffered = BufferedStore(store)
    for number in range(count):
        buffered.write({b"row": b"%d" % number}, sync=True)
        buffered.stage(number + 1)
        buffered.flush()
    return store


def test_reads_see_what_waits_and_the_store_what_was_flushed() -> None:
    store = MemoryStore()
    buffered = BufferedStore(store)
    buffered.write({b"a": b"1", b"b": b"2"}, sync=True)
    assert (buffered.get(b"a"), store.get(b"a")) == (b"1", None)
    buffered.stage(1)
    buffered.write({b"b": None}, sync=True)
    buffered.flush()
    assert (store.get(b"a"), store.get(b"b"), buffered.get(b"b")) == (b"1", b"2", None)


def test_what_the_journal_does_not_hold_is_not_staged() -> None:
    store = MemoryStore()
    buffered = BufferedStore(store)
    for cursor in (1, 2):
        buffered.write({b"row": b"%d" % cursor}, sync=True)
        buffered.stage(cursor)
    assert buffered.staged(0) is None
    staged = buffered.staged(1)
    assert staged is not None
    buffered.persist(staged)
    buffered.persisted(staged)
    assert (store.get(b"row"), buffered.get(b"row")) == (b"1", b"2")
    assert require_every_write(store) == 1


def test_writes_are_counted_over_openings_and_the_oldest_forgotten() -> None:
    store = written(1_030)
    assert require_every_write(store) == 1_030
    assert len(list(store.iterate(WRITE_KEY))) == 1_024
    again = BufferedStore(store)
    again.write({b"row": b""}, sync=True)
    again.stage(1)
    again.flush()
    assert require_every_write(store) == 1_031


@pytest.mark.parametrize("lost", [1, 5, 9])
def test_a_write_that_is_gone_is_noticed(lost: int) -> None:
    store = written(10)
    store.write({number_key(WRITE_KEY, lost): None}, sync=True)
    with pytest.raises(StoreUnavailable, match=f"has lost write {lost} of 10"):
        BufferedStore(store)


def test_the_newest_may_be_gone_it_was_never_acknowledged() -> None:
    store = written(10)
    store.write({number_key(WRITE_KEY, 10): None}, sync=True)
    assert require_every_write(store) == 9
