"""Both stores keep one contract; the one on disk also survives its process."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from prover.state.leveldb import LevelDbStore
from prover.state.store import MemoryStore, Store, StoreUnavailable

ROWS = 50

WRITER = """
import sys
from prover.state.leveldb import LevelDbStore

store = LevelDbStore(sys.argv[1])
number = int.from_bytes((store.get(b"row00") or b"")[:8], "big")
while True:
    number += 1
    value = number.to_bytes(8, "big") * 64
    puts = {b"row%02d" % row: value for row in range(50)}
    puts[b"old%d" % (number - 1)] = None
    puts[b"old%d" % number] = b""
    store.write(puts, sync=number % 2 == 0)
    print(number, flush=True)
"""


@pytest.fixture(params=["memory", "leveldb"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    opened: Store = MemoryStore() if request.param == "memory" else LevelDbStore(tmp_path / "store")
    yield opened
    opened.close()


def test_what_was_put_is_got(store: Store) -> None:
    store.write({b"a": b"1", b"b": b"", b"": b"empty key"}, sync=True)
    assert [store.get(key) for key in (b"a", b"b", b"", b"c")] == [b"1", b"", b"empty key", None]


def test_batch_overwrites_and_deletes(store: Store) -> None:
    store.write({b"a": b"1", b"b": b"2"}, sync=False)
    store.write({b"a": None, b"b": b"3", b"never there": None}, sync=False)
    assert list(store.iterate(b"")) == [(b"b", b"3")]


def test_iterate_is_sorted_and_keeps_to_its_prefix(store: Store) -> None:
    puts = {b"b2": b"4", b"a": b"1", b"b": b"2", b"b\xff\xff": b"5", b"c": b"6", b"b1": b"3"}
    store.write(dict(puts), sync=False)
    assert list(store.iterate(b"b")) == [(b"b", b"2"), (b"b1", b"3"), (b"b2", b"4"), (b"b\xff\xff", b"5")]
    assert list(store.iterate(b"")) == sorted(puts.items())
    assert list(store.iterate(b"d")) == []


def test_iterate_up_to_the_last_possible_key(store: Store) -> None:
    store.write({b"\xff": b"1", b"\xff\xff": b"2", b"\xfe": b"0"}, sync=False)
    assert list(store.iterate(b"\xff")) == [(b"\xff", b"1"), (b"\xff\xff", b"2")]


def test_iterate_shows_the_moment_of_the_call(store: Store) -> None:
    store.write({b"a": b"1", b"b": b"2"}, sync=False)
    entries = store.iterate(b"")
    store.write({b"a": b"9", b"b": None, b"c": b"3"}, sync=False)
    assert list(entries) == [(b"a", b"1"), (b"b", b"2")]


def test_closed_store_refuses_use(store: Store) -> None:
    store.close()
    with pytest.raises(AssertionError):
        store.get(b"a")
    with pytest.raises(AssertionError):
        store.write({}, sync=False)
    with pytest.raises(AssertionError):
        store.iterate(b"")


def test_batch_that_cannot_be_built_writes_nothing(tmp_path: Path) -> None:
    store = LevelDbStore(tmp_path)
    with pytest.raises(TypeError):
        store.write({b"a": b"1", b"b": "text"}, sync=False)  # type: ignore[dict-item]
    assert list(store.iterate(b"")) == []
    store.close()


def test_reopened_directory_holds_what_was_written(tmp_path: Path) -> None:
    store = LevelDbStore(tmp_path / "deep" / "store")
    store.write({b"a": b"1"}, sync=False)
    store.close()
    reopened = LevelDbStore(tmp_path / "deep" / "store")
    assert reopened.get(b"a") == b"1"
    reopened.close()


def test_directory_in_use_is_one_clear_sentence(tmp_path: Path) -> None:
    holder = LevelDbStore(tmp_path)
    with pytest.raises(StoreUnavailable) as refusal:
        LevelDbStore(tmp_path)
    assert str(refusal.value) == f"The store at {tmp_path} is in use by another process."
    holder.close()
    LevelDbStore(tmp_path).close()


def test_damaged_directory_is_one_clear_sentence(tmp_path: Path) -> None:
    LevelDbStore(tmp_path).close()
    (tmp_path / "CURRENT").write_bytes(b"no manifest")
    with pytest.raises(StoreUnavailable, match=r"^The store at .* is damaged and must be rebuilt"):
        LevelDbStore(tmp_path)


def test_path_that_is_a_file_is_one_clear_sentence(tmp_path: Path) -> None:
    (tmp_path / "lock in the way").write_bytes(b"")
    with pytest.raises(StoreUnavailable, match=r"^The store at .* cannot be opened: "):
        LevelDbStore(tmp_path / "lock in the way")


def test_damaged_block_is_never_read_as_a_value(tmp_path: Path) -> None:
    store = LevelDbStore(tmp_path)
    keys = [b"%06d" % number for number in range(2000)]
    store.write({key: os.urandom(100) for key in keys}, sync=True)
    store.close()
    LevelDbStore(tmp_path).close()  # recovery moves the log into a table
    table = next(path for path in tmp_path.iterdir() if path.suffix in {".ldb", ".sst"})
    contents = bytearray(table.read_bytes())
    contents[len(contents) // 2] ^= 1
    table.write_bytes(contents)
    damaged = LevelDbStore(tmp_path)
    with pytest.raises(StoreUnavailable, match="cannot be read"):
        list(damaged.iterate(b""))
    with pytest.raises(StoreUnavailable, match="cannot be read"):
        [damaged.get(key) for key in keys]
    damaged.close()


def test_killed_writer_leaves_whole_batches_only(tmp_path: Path) -> None:
    acknowledged = 0
    for life in range(3):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            for _ in range(40 + 7 * life):
                acknowledged = int(writer.stdout.readline())
            writer.send_signal(signal.SIGKILL)
        assert writer.returncode == -signal.SIGKILL
        store = LevelDbStore(tmp_path)
        entries = dict(store.iterate(b"row"))
        last = {int.from_bytes(value[:8], "big") for value in entries.values()}
        assert len(entries) == ROWS
        assert len(last) == 1
        assert all(len(value) == 512 and value == value[:8] * 64 for value in entries.values())
        assert min(last) >= acknowledged
        assert list(store.iterate(b"old")) == [(b"old%d" % min(last), b"")]
        store.close()


def written(path: Path) -> Path:
    """A store whose newest writes are in LevelDB's log alone; the log."""
    store = LevelDbStore(path)
    for number in range(20):
        store.write({b"%d" % number: os.urandom(4_000)}, sync=True)
    store.close()
    (log,) = path.glob("*.log")
    return log


def test_a_flipped_byte_in_the_log_is_no_hole_that_nobody_sees(tmp_path: Path) -> None:
    log = written(tmp_path)
    contents = bytearray(log.read_bytes())
    contents[len(contents) // 2] ^= 1
    log.write_bytes(contents)
    with pytest.raises(StoreUnavailable, match="is damaged and must be rebuilt from L1 or a back-up"):
        LevelDbStore(tmp_path, is_strict=True)
    # Who can begin anew opens it all the same, with what is left.
    store = LevelDbStore(tmp_path)
    assert len(list(store.iterate(b""))) < 20
    store.close()


def test_a_log_that_a_power_cut_ended_is_whole_batches(tmp_path: Path) -> None:
    log = written(tmp_path)
    os.truncate(log, log.stat().st_size - 100)
    store = LevelDbStore(tmp_path, is_strict=True)
    assert len(list(store.iterate(b""))) == 19
    store.close()


@pytest.mark.parametrize("gone", ["CURRENT", "MANIFEST-*"])
def test_where_files_of_a_store_are_left_none_is_created(tmp_path: Path, gone: str) -> None:
    written(tmp_path)
    for path in tmp_path.glob(gone):
        path.unlink()
    before = sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith("LO"))
    for is_strict in (True, False):
        with pytest.raises(StoreUnavailable, match="is damaged"):
            LevelDbStore(tmp_path, is_strict=is_strict)
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith("LO")) == before


def test_an_opening_that_failed_in_an_empty_directory_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "LOCK").touch()
    LevelDbStore(tmp_path).close()


def test_a_table_that_is_none_is_said_where_rows_are_walked(tmp_path: Path) -> None:
    for _ in range(2):
        with closing(LevelDbStore(tmp_path / "store")) as opened:
            opened.write({b"a": b"1" * 100}, sync=True)
    (table, *_) = (tmp_path / "store").glob("*.ldb")
    table.write_bytes(b"\x07" * table.stat().st_size)
    with closing(LevelDbStore(tmp_path / "store", is_strict=True)) as opened, pytest.raises(StoreUnavailable):
        list(opened.iterate(b""))
