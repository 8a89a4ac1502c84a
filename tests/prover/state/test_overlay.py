"""The overlay reads as if it had written, writes whole, and knows the way back."""

from hypothesis import given
from hypothesis import strategies as st

from prover.state.overlay import Overlay
from prover.state.store import MemoryStore

KEYS = st.sampled_from([b"a", b"ab", b"b", b"ba", b"bb", b"c"])
ENTRIES = st.dictionaries(KEYS, st.binary(max_size=2))
PUTS = st.dictionaries(KEYS, st.none() | st.binary(max_size=2))


def filled(entries: dict[bytes, bytes]) -> MemoryStore:
    store = MemoryStore()
    store.write(entries, sync=False)
    return store


def everything(key: bytes) -> bool:
    return True


@given(ENTRIES, PUTS, PUTS)
def test_what_waits_is_read_as_if_written_and_undone_as_if_never(
    entries: dict[bytes, bytes], first: dict[bytes, bytes | None], second: dict[bytes, bytes | None]
) -> None:
    below, written = filled(entries), filled(entries)
    overlay = Overlay(below)
    overlay.write(first, sync=False)
    written.write(first, sync=False)
    between = list(written.iterate(b""))
    mark = overlay.mark()
    overlay.write(second, sync=False)
    written.write(second, sync=False)
    for prefix in (b"", b"a", b"b", b"bb", b"d"):
        assert list(overlay.iterate(prefix)) == list(written.iterate(prefix))
    assert all(overlay.get(key) == written.get(key) for key in (b"a", b"bb", b"c"))
    assert list(below.iterate(b"")) == sorted(entries.items())

    undo = overlay.undo(mark, everything)
    overlay.flush(sync=True)
    assert list(below.iterate(b"")) == list(written.iterate(b""))
    overlay.write(undo, sync=False)
    assert list(overlay.iterate(b"")) == between


@given(ENTRIES, PUTS, PUTS)
def test_a_restored_mark_forgets_what_came_after(
    entries: dict[bytes, bytes], first: dict[bytes, bytes | None], second: dict[bytes, bytes | None]
) -> None:
    overlay = Overlay(filled(entries))
    overlay.write(first, sync=False)
    before = list(overlay.iterate(b""))
    mark = overlay.mark()
    overlay.write(second, sync=False)
    overlay.restore(mark)
    assert list(overlay.iterate(b"")) == before


def test_the_way_back_holds_only_what_changed_and_is_asked_for() -> None:
    overlay = Overlay(filled({b"a": b"1", b"b": b"1", b"c": b"1"}))
    overlay.write({b"a": b"2", b"b": b"1", b"c": None, b"d": b"1"}, sync=False)
    assert overlay.undo({}, everything) == {b"a": b"1", b"c": b"1", b"d": None}
    assert overlay.undo({}, lambda key: key == b"d") == {b"d": None}
