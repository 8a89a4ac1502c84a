"""What was acknowledged is there after a kill, a power cut or a full disk, and damage is never taken for the end."""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sequencer.sequencing.journal import (
    FRAME_LENGTH,
    HEADER,
    HEADER_LENGTH,
    MAX_RECORD_BYTES,
    Cut,
    Disk,
    Journal,
    JournalCorrupt,
    JournalFailed,
    JournalFull,
    JournalInUse,
    Limits,
)
from tests.patience import PATIENCE_SECONDS

ROOMY = Limits(segment_bytes=2**20, pending_bytes=2**20)
# Room for the header and two records of ten bytes.
TIGHT = Limits(segment_bytes=HEADER_LENGTH + 2 * (FRAME_LENGTH + 10), pending_bytes=2**20)
FIRST_NAME = f"{1:020d}.journal"


def record(sequence: int) -> bytes:
    return b"record" + sequence.to_bytes(4, "big")


def write(directory: Path, groups: list[list[bytes]], limits: Limits = ROOMY) -> None:
    journal = Journal(directory, limits)
    for group in groups:
        journal.append(group)
        journal.commit()
    journal.close()


def read(directory: Path, from_sequence: int = 1) -> list[bytes]:
    """The records, whose sequences must run on from the first one asked for."""
    journal = Journal(directory, ROOMY)
    try:
        found = list(journal.replay(from_sequence))
        assert [sequence for sequence, _ in found] == list(range(from_sequence, journal.durable_sequence + 1))
        return [payload for _, payload in found]
    finally:
        journal.close()


def segments(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.journal"))


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 0x40
    path.write_bytes(data)


def corruption(directory: Path) -> JournalCorrupt:
    with pytest.raises(JournalCorrupt) as found:
        read(directory)
    return found.value


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "journal"


# Round trips, rotation, truncation.


@given(
    st.lists(st.lists(st.binary(max_size=60), min_size=1, max_size=6), max_size=8),
    st.integers(HEADER_LENGTH, 400),
    st.integers(1, 50),
)
@settings(max_examples=40)
def test_what_is_committed_is_read_back(groups: list[list[bytes]], segment_bytes: int, from_sequence: int) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        written: list[bytes] = []
        for group in groups:
            journal = Journal(directory, Limits(segment_bytes=segment_bytes, pending_bytes=2**20))
            assert journal.cut is None
            assert journal.append(group) == len(written) + len(group)
            assert journal.durable_sequence == len(written)
            written += group
            assert journal.commit() == journal.durable_sequence == len(written)
            assert [payload for _, payload in journal.replay(1)] == written
            journal.close()
        assert read(directory) == written
        start = min(from_sequence, len(written) + 1)
        assert read(directory, start) == written[start - 1 :]
        for segment in segments(directory):
            size = segment.stat().st_size
            frames = size - HEADER_LENGTH
            assert size <= segment_bytes or frames <= FRAME_LENGTH + 60


def test_what_is_not_committed_is_not_there(directory: Path) -> None:
    journal = Journal(directory, ROOMY)
    journal.append([record(1)])
    journal.commit()
    journal.append([record(2)])
    assert list(journal.replay(1)) == [(1, record(1))]
    journal.close()
    assert read(directory) == [record(1)]


def test_commit_of_nothing_is_no_write(directory: Path) -> None:
    journal = Journal(directory, ROOMY)
    assert journal.commit() == 0
    assert segments(directory)[0].stat().st_size == HEADER_LENGTH
    journal.close()


def test_a_group_goes_on_in_the_next_segment(directory: Path) -> None:
    files_before = os.listdir("/proc/self/fd")
    write(directory, [[record(i) for i in range(1, 8)]], TIGHT)
    assert os.listdir("/proc/self/fd") == files_before
    assert [int(path.stem) for path in segments(directory)] == [1, 3, 5, 7]
    assert read(directory, 4) == [record(i) for i in range(4, 8)]


def test_segments_that_nobody_needs_are_deleted_whole(directory: Path) -> None:
    write(directory, [[record(i)] for i in range(1, 8)], TIGHT)
    journal = Journal(directory, TIGHT)
    journal.truncate_before(4)
    assert [int(path.stem) for path in segments(directory)] == [3, 5, 7]
    assert journal.first_sequence == 3
    assert next(journal.replay(4)) == (4, record(4))
    with pytest.raises(JournalCorrupt):
        journal.replay(2)
    journal.truncate_before(8)
    assert [int(path.stem) for path in segments(directory)] == [7]
    with pytest.raises(AssertionError):
        journal.truncate_before(9)
    journal.append([record(8)])
    journal.commit()
    journal.close()
    assert read(directory, 7) == [record(7), record(8)]


def test_one_process_at_a_time(directory: Path) -> None:
    journal = Journal(directory, ROOMY)
    with pytest.raises(JournalInUse) as refused:
        Journal(directory, ROOMY)
    assert refused.value.code == "JOURNAL_IN_USE"
    journal.close()
    Journal(directory, ROOMY).close()


def test_a_closed_journal_refuses(directory: Path) -> None:
    journal = Journal(directory, ROOMY)
    journal.close()
    journal.close()
    for call in (lambda: journal.append([b""]), journal.commit, lambda: journal.truncate_before(1)):
        with pytest.raises(JournalFailed):
            call()


def test_too_many_bytes_wait(directory: Path) -> None:
    journal = Journal(directory, Limits(segment_bytes=1_000, pending_bytes=2 * (FRAME_LENGTH + 10)))
    journal.append([record(1), record(2)])
    with pytest.raises(JournalFull) as refused:
        journal.append([b""])
    assert refused.value.code == "JOURNAL_FULL"
    assert journal.commit() == 2
    assert journal.append([record(3)]) == 3
    journal.close()


@pytest.mark.parametrize("records", [[], [bytes(MAX_RECORD_BYTES + 1)]], ids=["none", "too long"])
def test_what_may_not_be_appended_is_a_bug(directory: Path, records: list[bytes]) -> None:
    journal = Journal(directory, Limits(segment_bytes=1_000, pending_bytes=2**26))
    with pytest.raises(AssertionError):
        journal.append(records)
    journal.close()


# Torn ends.


def assert_cut_and_goes_on(directory: Path, kept: list[bytes], cut: Cut | None) -> None:
    journal = Journal(directory, ROOMY)
    assert journal.cut == cut
    assert [payload for _, payload in journal.replay(1)] == kept
    assert journal.append([b"next"]) == len(kept) + 1
    journal.commit()
    journal.close()
    assert read(directory) == [*kept, b"next"]


@pytest.mark.parametrize("tail", ["cut", "zeros", "noise"])
def test_a_last_record_torn_anywhere_is_cut_off(directory: Path, tail: str) -> None:
    write(directory, [[record(1)], [record(2)]])
    path = segments(directory)[0]
    whole = path.read_bytes()
    start = len(whole) - FRAME_LENGTH - len(record(2))
    rng = random.Random(7)
    for offset in range(start, len(whole)):
        lost = len(whole) - offset
        filler = {"cut": b"", "zeros": bytes(lost), "noise": rng.randbytes(lost)}[tail]
        torn = whole[:offset] + filler
        if torn == whole:
            continue
        path.write_bytes(torn)
        length = len(torn) - start
        cut = Cut(segment=path, offset=start, length=length) if length else None
        assert_cut_and_goes_on(directory, [record(1)], cut)


def test_a_group_that_reached_the_disk_out_of_order_is_cut_off(directory: Path) -> None:
    write(directory, [[record(1)], [record(i) for i in range(2, 6)]])
    path = segments(directory)[0]
    start = HEADER_LENGTH + FRAME_LENGTH + 10
    flip(path, start + 3)
    assert_cut_and_goes_on(directory, [record(1)], Cut(segment=path, offset=start, length=4 * (FRAME_LENGTH + 10)))


def test_a_payload_cannot_pass_for_a_later_group(directory: Path) -> None:
    """A trader who puts a whole frame into an order does not keep a torn journal from opening."""
    elsewhere = directory.parent / "elsewhere"
    write(elsewhere, [[record(i)] for i in range(1, 6)])
    forged = segments(elsewhere)[0].read_bytes()[HEADER_LENGTH:]
    write(directory, [[record(1)], [forged]])
    path = segments(directory)[0]
    flip(path, path.stat().st_size - 1)
    start = HEADER_LENGTH + FRAME_LENGTH + 10
    assert_cut_and_goes_on(directory, [record(1)], Cut(segment=path, offset=start, length=FRAME_LENGTH + len(forged)))


@pytest.mark.parametrize("length", range(HEADER_LENGTH))
def test_a_segment_without_its_header_was_never_used(directory: Path, length: int) -> None:
    write(directory, [[record(1)], [record(2)]])
    unborn = directory / f"{3:020d}.journal"
    unborn.write_bytes(segments(directory)[0].read_bytes()[:length])
    assert_cut_and_goes_on(directory, [record(1), record(2)], Cut(segment=unborn, offset=0, length=length))
    assert not unborn.exists()


def test_a_journal_that_died_in_its_first_breath_begins_again(directory: Path) -> None:
    directory.mkdir()
    path = directory / FIRST_NAME
    path.write_bytes(bytes(HEADER_LENGTH))
    assert_cut_and_goes_on(directory, [], Cut(segment=path, offset=0, length=HEADER_LENGTH))


# Damage.


def test_damage_before_a_later_group_is_no_torn_end(directory: Path) -> None:
    write(directory, [[record(1)], [record(2)], [record(3)]])
    path = segments(directory)[0]
    whole = path.read_bytes()
    start = HEADER_LENGTH + FRAME_LENGTH + 10
    for offset in range(start, start + FRAME_LENGTH + 10):
        flip(path, offset)
        found = corruption(directory)
        assert (found.segment, found.offset, found.code) == (path, start, "JOURNAL_CORRUPT")
        damaged = path.read_bytes()
        assert len(damaged) == len(whole), "damage is left for somebody to look at"
        path.write_bytes(whole)
    assert read(directory) == [record(1), record(2), record(3)]


def test_no_length_beyond_the_limit_is_read(directory: Path) -> None:
    write(directory, [[record(1)], [record(2)]])
    flip(segments(directory)[0], HEADER_LENGTH + FRAME_LENGTH - 8)
    assert corruption(directory).reason == "no record begins here"


def test_records_taken_out_of_the_middle_are_missed(directory: Path) -> None:
    write(directory, [[record(1)], [record(2)], [record(3)]])
    path = segments(directory)[0]
    whole = path.read_bytes()
    start = HEADER_LENGTH + FRAME_LENGTH + 10
    path.write_bytes(whole[:start] + whole[start + FRAME_LENGTH + 10 :])
    assert corruption(directory).offset == start


def test_damage_anywhere_in_an_older_segment_is_found(directory: Path) -> None:
    write(directory, [[record(i)] for i in range(1, 6)], TIGHT)
    path = segments(directory)[1]
    whole = path.read_bytes()
    for offset in range(len(whole)):
        flip(path, offset)
        found = corruption(directory)
        in_header = offset < HEADER_LENGTH
        start = HEADER_LENGTH + (offset - HEADER_LENGTH) // (FRAME_LENGTH + 10) * (FRAME_LENGTH + 10)
        assert (found.segment, found.offset) == (path, 0 if in_header else start)
        path.write_bytes(whole)
    for length in range(HEADER_LENGTH, len(whole)):
        path.write_bytes(whole[:length])
        found = corruption(directory)
        into_record = (length - HEADER_LENGTH) % (FRAME_LENGTH + 10)
        expected = "it ends before record 4"
        if into_record:
            expected = "a record is cut off" if into_record >= FRAME_LENGTH else "a record's head is cut off"
        assert (found.segment, found.reason) == (path, expected)
    path.write_bytes(whole)
    assert len(read(directory)) == 5


@pytest.mark.parametrize("index", [0, 1], ids=["oldest", "middle"])
def test_a_missing_segment_is_missed(directory: Path, index: int) -> None:
    write(directory, [[record(i)] for i in range(1, 8)], TIGHT)
    segments(directory)[index].unlink()
    corruption(directory)


def test_a_damaged_header_with_records_behind_it_is_no_unborn_segment(directory: Path) -> None:
    write(directory, [[record(1)]])
    flip(segments(directory)[0], 9)
    assert corruption(directory).offset == 0
    assert segments(directory)


def test_what_stands_before_an_unborn_segment_was_synced(directory: Path) -> None:
    write(directory, [[record(1)], [record(2)]])
    path = segments(directory)[0]
    unborn = directory / f"{3:020d}.journal"
    for length in (path.stat().st_size - 1, path.stat().st_size - FRAME_LENGTH - 10):
        unborn.write_bytes(b"")
        os.truncate(path, length)
        assert corruption(directory).segment == path
    path.unlink()
    unborn.write_bytes(b"")
    assert corruption(directory).segment == unborn


@pytest.mark.parametrize("name", ["notes.journal", f"{0:019d}.journal"])
def test_a_stranger_s_file_is_not_touched(directory: Path, name: str) -> None:
    write(directory, [[record(1)]])
    (directory / name).write_bytes(b"")
    assert corruption(directory).segment == directory / name
    assert (directory / name).exists()


def test_a_segment_renamed_is_found(directory: Path) -> None:
    write(directory, [[record(1)]])
    segments(directory)[0].rename(directory / f"{2:020d}.journal")
    assert corruption(directory).offset == 0


def test_another_version_is_not_read(directory: Path) -> None:
    write(directory, [[record(1)]])
    path = segments(directory)[0]
    header = b"CATJRNL\x02" + path.read_bytes()[8 : HEADER.size]
    path.write_bytes(header + crc32(header).to_bytes(4, "big") + path.read_bytes()[HEADER_LENGTH:])
    assert corruption(directory).reason == "it is of another version"


# Disks that refuse, power that fails.


class FailingDisk(Disk):
    """Refuses one call, counted from `armed` on; a refused write takes half of the bytes first."""

    def __init__(self, call: str) -> None:
        self.call = call
        self.armed = False

    def refuse(self, call: str) -> None:
        if self.armed and call == self.call:
            raise OSError(28, "No space left on device")

    def write(self, file: int, data: memoryview) -> int:
        if self.armed and self.call == "nothing taken":
            return 0
        if self.armed and self.call == "write" and len(data) > 1:
            return super().write(file, data[: len(data) // 2])
        self.refuse("write")
        return super().write(file, data)

    def sync(self, file: int) -> None:
        self.refuse("sync")
        super().sync(file)

    def sync_directory(self, directory: int) -> None:
        self.refuse("sync_directory")
        super().sync_directory(directory)


@pytest.mark.parametrize("call", ["write", "nothing taken", "sync", "sync_directory"])
def test_a_disk_that_refused_once_is_not_asked_again(directory: Path, call: str) -> None:
    disk = FailingDisk(call)
    journal = Journal(directory, TIGHT, disk)
    journal.append([record(1), record(2)])
    assert journal.commit() == 2
    disk.armed = True
    journal.append([record(3)])
    with pytest.raises(JournalFailed) as failed:
        journal.commit()
    assert failed.value.code == "JOURNAL_FAILED"
    assert journal.durable_sequence == 2
    disk.armed = False
    with pytest.raises(JournalFailed):
        journal.append([record(4)])
    with pytest.raises(JournalFailed):
        journal.commit()
    assert list(journal.replay(1)) == [(1, record(1)), (2, record(2))]
    journal.close()
    assert read(directory)[:2] == [record(1), record(2)]
    assert len(read(directory)) <= 3


def test_a_short_write_goes_on(directory: Path) -> None:
    class Reluctant(Disk):
        def write(self, file: int, data: memoryview) -> int:
            return super().write(file, data[:7])

    journal = Journal(directory, ROOMY, Reluctant())
    journal.append([record(1), record(2)])
    journal.commit()
    journal.close()
    assert read(directory) == [record(1), record(2)]


@pytest.mark.parametrize("what", ["segment", "directory"])
def test_what_was_written_to_a_file_that_somebody_has_removed_is_not_durable(directory: Path, what: str) -> None:
    journal = Journal(directory, ROOMY)
    journal.append([record(1)])
    assert journal.commit() == 1
    if what == "segment":
        min(directory.glob("*.journal")).unlink()
    else:
        shutil.rmtree(directory)
    journal.append([record(2)])
    with pytest.raises(JournalFailed, match="its newest segment was removed"):
        journal.commit()
    assert journal.durable_sequence == 1
    with pytest.raises(JournalFailed):
        journal.append([record(3)])
    journal.close()


def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(JournalFailed):
        Journal(tmp_path / "file" / "journal", ROOMY)
    disk = FailingDisk("sync")
    disk.armed = True
    with pytest.raises(JournalFailed):
        Journal(tmp_path / "journal", ROOMY, disk)
    assert read(tmp_path / "journal") == []


class PowerCut(BaseException):
    pass


class VolatileDisk(Disk):
    """Power fails at the given call. Then only what was synced is sure to be there, of files and of names."""

    def __init__(self, directory: Path, calls: int) -> None:
        self.directory = directory
        self.calls = calls
        self.synced: dict[int, int] = {}
        self.names: set[str] = set()

    def tick(self) -> None:
        if self.calls == 0:
            raise PowerCut
        self.calls -= 1

    def write(self, file: int, data: memoryview) -> int:
        self.tick()
        return super().write(file, data)

    def sync(self, file: int) -> None:
        self.tick()
        self.synced[os.fstat(file).st_ino] = os.fstat(file).st_size

    def sync_directory(self, directory: int) -> None:
        self.tick()
        self.names = {path.name for path in segments(self.directory)}

    def lose(self, rng: random.Random) -> None:
        """Leave of what was not synced a part, some of it overwritten."""
        for path in segments(self.directory):
            data = bytearray(path.read_bytes())
            sure = self.synced.get(path.stat().st_ino, 0)
            end = rng.randint(sure, len(data))
            for _ in range(rng.randint(0, 3)):
                if end > sure:
                    at = rng.randrange(sure, end)
                    data[at : at + 20] = bytes(len(data[at : at + 20]))
            if path.name not in self.names and rng.random() < 0.5:
                path.unlink()
            else:
                path.write_bytes(data[:end])


@given(st.integers(0, 40), st.integers(1, 3), st.integers(0, 2**32))
@settings(max_examples=150)
def test_power_may_fail_at_any_call(calls: int, group_size: int, seed: int) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        disk = VolatileDisk(directory, calls)
        acknowledged = appended = 0
        journal: Journal | None = None
        try:
            journal = Journal(directory, TIGHT, disk)
            while True:
                appended = journal.append([record(appended + i) for i in range(1, group_size + 1)])
                acknowledged = journal.commit()
        except PowerCut:
            pass
        finally:
            if journal is not None:
                journal.close()
        disk.lose(random.Random(seed))
        found = read(directory)
        assert acknowledged <= len(found) <= appended
        assert found == [record(i) for i in range(1, len(found) + 1)]
        assert_cut_and_goes_on(directory, found, None)


@given(st.integers(0, 40), st.booleans(), st.integers(0, 2**32))
@settings(max_examples=100)
def test_what_a_killed_writer_left_is_synced_before_it_is_called_durable(calls: int, more: bool, seed: int) -> None:
    """The process dies between write and sync, the next one opens the journal, and then the power fails."""
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        disk = VolatileDisk(directory, calls)
        journal: Journal | None = None
        try:
            journal = Journal(directory, TIGHT, disk)
            while True:
                journal.append([record(journal.durable_sequence + i) for i in (1, 2, 3)])
                journal.commit()
        except PowerCut:
            pass
        finally:
            if journal is not None:
                journal.close()
        disk.calls = -1
        journal = Journal(directory, TIGHT, disk)
        durable = journal.durable_sequence
        if more:
            durable = journal.append([record(durable + 1)])
            journal.commit()
        journal.close()
        disk.lose(random.Random(seed))
        assert read(directory) == [record(i) for i in range(1, durable + 1)]


def test_segments_go_one_at_a_time_the_oldest_first(directory: Path) -> None:
    left: list[list[int]] = []

    class Watched(Disk):
        def sync_directory(self, directory_file: int) -> None:
            left.append([int(path.stem) for path in segments(directory)])

    write(directory, [[record(i)] for i in range(1, 8)], TIGHT)
    journal = Journal(directory, TIGHT, Watched())
    left.clear()
    journal.truncate_before(8)
    journal.close()
    assert left == [[3, 5, 7], [5, 7], [7]]


WRITER = """
import sys
from pathlib import Path
from sequencer.sequencing.journal import Journal, Limits

journal = Journal(Path(sys.argv[1]), Limits(segment_bytes=20_000, pending_bytes=2**20))
while True:
    first = journal.durable_sequence + 1
    journal.append([b"record" + (first + i).to_bytes(4, "big") * 25 for i in range(10)])
    print(journal.commit(), flush=True)
"""


@pytest.mark.parametrize("lines", [1, 40, 130])
def test_everything_acknowledged_outlives_a_kill(directory: Path, lines: int) -> None:
    for _ in range(2):
        before = len(read(directory)) if directory.exists() else 0
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(directory)],
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[3],
            text=True,
        ) as writer:
            assert writer.stdout is not None
            seen = [writer.stdout.readline() for _ in range(lines)]
            writer.send_signal(signal.SIGKILL)
            seen += writer.stdout.readlines()
        assert writer.returncode == -signal.SIGKILL
        acknowledged = [int(line) for line in seen if line.endswith("\n")]
        assert len(acknowledged) >= lines
        found = read(directory)
        assert before < acknowledged[-1] <= len(found) <= acknowledged[-1] + 10
        assert found == [b"record" + i.to_bytes(4, "big") * 25 for i in range(1, len(found) + 1)]


# Beside the disk.


class GatedDisk(Disk):
    """Every sync of records waits until it is let through, and may be made to fail; open until it is closed."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        self.begun = threading.Event()
        self.syncs = 0
        self.fails = False

    def close(self) -> None:
        """Holds what is synced from here on, and counts it."""
        self.open.clear()
        self.begun.clear()
        self.syncs = 0

    def sync(self, file: int) -> None:
        self.syncs += 1
        self.begun.set()
        assert self.open.wait(PATIENCE_SECONDS)
        if self.fails:
            raise OSError(5, "Input/output error")
        super().sync(file)


def test_append_never_waits_for_the_disk(directory: Path) -> None:
    disk = GatedDisk()
    journal = Journal(directory, ROOMY, disk)
    disk.close()
    journal.append([record(1)])
    results: list[int] = []
    worker = threading.Thread(target=lambda: results.append(journal.commit()))
    worker.start()
    assert disk.begun.wait(PATIENCE_SECONDS)
    assert journal.append([record(2)]) == 2
    assert journal.durable_sequence == 0
    disk.open.set()
    worker.join()
    assert results == [1]
    assert journal.commit() == 2
    journal.close()
