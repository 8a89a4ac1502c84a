"""Accepted means durable: records are appended in memory, written and synced in groups, and read back after a crash.

A directory holds segments, named by the sequence of their first record; integers are big-endian:

    segment   magic 8 | first sequence 8 | marker 8 | crc32 4 | frame | frame | ...
    frame     marker 8 | sequence 8 | group 8 | length 4 | crc32 4 | payload

`marker` is random, one for each segment: nobody who gets bytes into a payload can write a frame, and old blocks of the
disk are not taken for one. `group` is the first sequence of the group that the record was written with.

Invariant: a group is written after the one before it was synced. A bad frame in the last segment is therefore a write
that a crash cut short, and was never acknowledged, unless a good frame of a later group stands behind it.
"""

import fcntl
import os
import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from errno import ENOENT
from pathlib import Path
from struct import Struct
from threading import Lock
from typing import BinaryIO, Final
from zlib import crc32

import msgspec

MAGIC: Final = b"CATJRNL\x01"
HEADER: Final = Struct(">8sQ8s")
FRAME: Final = Struct(">8sQQI")
CHECKSUM: Final = Struct(">I")
HEADER_LENGTH: Final = HEADER.size + CHECKSUM.size
FRAME_LENGTH: Final = FRAME.size + CHECKSUM.size
MARKER_LENGTH: Final = 8

# Part of the format: a limit that an option could lower would make old records look torn.
MAX_RECORD_BYTES: Final = 16 * 2**20

SEGMENT_NAME: Final = re.compile(r"[0-9]{20}\.journal")
FIRST_SEQUENCE: Final = 1


class JournalError(Exception):
    """What the operator is told when the journal cannot go on."""

    code = "JOURNAL"


class JournalCorrupt(JournalError):
    """Records that were durable once are damaged or gone."""

    code = "JOURNAL_CORRUPT"

    def __init__(self, segment: Path, offset: int, reason: str) -> None:
        super().__init__(f"{segment.name} is damaged at byte {offset}: {reason}.")
        self.segment = segment
        self.offset = offset
        self.reason = reason


class JournalFailed(JournalError):
    """A write or sync failed, or the journal was stopped: whether what waited is durable is known after a restart."""

    code = "JOURNAL_FAILED"


class JournalFull(JournalError):
    """More waits to be written than the limits allow; nothing of the call was appended."""

    code = "JOURNAL_FULL"


class JournalInUse(JournalError):
    """Another process holds the directory."""

    code = "JOURNAL_IN_USE"


class Limits(msgspec.Struct, frozen=True):
    """Bytes after which a segment is closed, and bytes that may wait for the next commit."""

    segment_bytes: int
    pending_bytes: int


class Cut(msgspec.Struct, frozen=True):
    """Bytes that a crash left behind the last whole record, removed at opening."""

    segment: Path
    offset: int
    length: int


class Disk:
    """The system calls that decide what is durable; simulations override them."""

    def write(self, file: int, data: memoryview) -> int:
        """Append to an open file; the number of bytes taken, OSError."""
        return os.write(file, data)

    def sync(self, file: int) -> None:
        """Return when what was written to the file is on the disk; OSError."""
        os.fdatasync(file)

    def sync_directory(self, directory: int) -> None:
        """Return when the names in the directory are on the disk; OSError."""
        os.fsync(directory)


REAL_DISK: Final = Disk()


class _Segment(msgspec.Struct, frozen=True):
    path: Path
    first: int
    marker: bytes


class _BadFrameError(Exception):
    def __init__(self, offset: int, sequence: int, reason: str) -> None:
        super().__init__(reason)
        self.offset = offset
        self.sequence = sequence
        self.reason = reason


class Journal:
    """An append-only run of records, numbered from 1, in one directory held by one process.

    `append` never touches the disk, so that an event loop may call it; the rest blocks, and may run in other threads.
    """

    def __init__(
        self,
        directory: Path,
        limits: Limits,
        disk: Disk = REAL_DISK,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """Open or create; JournalCorrupt, JournalInUse, JournalFailed. `cut` tells of a torn end."""
        assert limits.pending_bytes >= FRAME_LENGTH
        assert limits.segment_bytes >= HEADER_LENGTH
        self.cut: Cut | None = None
        self._directory = directory
        self._limits = limits
        self._disk = disk
        self._random_bytes = random_bytes
        self._pending_lock = Lock()
        self._disk_lock = Lock()
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._failure: str | None = None
        self._segments: list[_Segment] = []
        self._file = -1
        self._offset = 0
        self._durable = 0
        try:
            self._directory_file, self._lock_file = self._hold_directory()
        except OSError as error:
            raise JournalFailed(f"The journal at {directory} cannot be opened: {error}.") from error
        try:
            self._recover()
        except BaseException as error:
            self.close()
            if isinstance(error, OSError):
                raise JournalFailed(f"The journal at {directory} cannot be opened: {error}.") from error
            raise
        self._appended = self._durable

    @property
    def first_sequence(self) -> int:
        """The oldest record that is still there, or the next one if there is none."""
        return self._segments[0].first

    @property
    def durable_sequence(self) -> int:
        """Every record up to this one survives a crash."""
        return self._durable

    def append(self, records: Sequence[bytes]) -> int:
        """Queue records for the next commit and return the last one's sequence; JournalFull, JournalFailed."""
        assert records
        assert all(len(record) <= MAX_RECORD_BYTES for record in records)
        size = sum(map(len, records)) + FRAME_LENGTH * len(records)
        with self._pending_lock:
            self._check_usable()
            if self._pending_bytes + size > self._limits.pending_bytes:
                raise JournalFull(f"{self._pending_bytes} bytes wait to be written, and {size} more are too many.")
            self._pending.extend(records)
            self._pending_bytes += size
            self._appended += len(records)
            return self._appended

    def commit(self) -> int:
        """Write and sync what had been appended, and return the durable sequence.

        JournalFailed on any refusal of the disk, and from then on: a sync that failed once proves nothing later.
        """
        with self._disk_lock:
            with self._pending_lock:
                self._check_usable()
                records = self._pending
                self._pending = []
                self._pending_bytes = 0
            try:
                self._write_group(records)
            except BaseException as error:
                self._failure = f"The journal at {self._directory} cannot be written: {error}."
                if isinstance(error, OSError):
                    raise JournalFailed(self._failure) from error
                raise
            return self._durable

    def replay(self, from_sequence: int) -> Iterator[tuple[int, bytes]]:
        """Durable records from `from_sequence` on, as they stood at the call; JournalCorrupt at the first bad one."""
        segments = self._segments
        durable = self._durable
        if from_sequence < segments[0].first:
            raise JournalCorrupt(segments[0].path, 0, f"record {from_sequence} and its like are gone")
        return self._replay(segments, from_sequence, durable)

    def can_truncate_before(self, sequence: int) -> bool:
        """Whether a whole segment holds only records below `sequence`; asks no disk."""
        return len(self._segments) > 1 and self._segments[1].first <= sequence

    def truncate_before(self, sequence: int) -> None:
        """Delete the segments that hold only records below `sequence`; JournalFailed."""
        assert sequence <= self._durable + 1
        with self._disk_lock:
            self._check_usable()
            try:
                while self.can_truncate_before(sequence):
                    self._segments[0].path.unlink()
                    # One at a time: whatever a crash leaves has no hole.
                    self._disk.sync_directory(self._directory_file)
                    self._segments = self._segments[1:]
            except OSError as error:
                self._failure = f"The journal at {self._directory} cannot be shortened: {error}."
                raise JournalFailed(self._failure) from error

    def close(self) -> None:
        """Release the directory; what was appended and not committed is given up."""
        with self._disk_lock:
            self._failure = self._failure or f"The journal at {self._directory} is closed."
            for file in (self._file, self._directory_file, self._lock_file):
                if file >= 0:
                    os.close(file)
            self._file = self._directory_file = self._lock_file = -1

    def _check_usable(self) -> None:
        if self._failure is not None:
            raise JournalFailed(self._failure)

    def _hold_directory(self) -> tuple[int, int]:
        if not self._directory.is_dir():
            self._directory.mkdir(parents=True)
            parent = os.open(self._directory.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                self._disk.sync_directory(parent)
            finally:
                os.close(parent)
        directory_file = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        lock_file = -1
        try:
            lock_file = os.open(self._directory / "LOCK", os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(directory_file)
            if lock_file >= 0:
                os.close(lock_file)
            if isinstance(error, BlockingIOError):
                raise JournalInUse(f"The journal at {self._directory} is in use by another process.") from error
            raise
        return directory_file, lock_file

    def _recover(self) -> None:
        paths = sorted(self._directory.glob("*.journal"))
        for path in paths:
            if SEGMENT_NAME.fullmatch(path.name) is None:
                raise JournalCorrupt(path, 0, "it is not named as a segment")
        unborn = self._remove_unborn(paths)
        self._segments = [_read_header(path) for path in paths]
        if not self._segments:
            if unborn not in (None, FIRST_SEQUENCE):
                raise JournalCorrupt(self._directory / _name(unborn), 0, "the segments before it are gone")
            self._start_segment(FIRST_SEQUENCE)
            return
        last = self._segments[-1]
        self._durable, self._offset = self._find_end(last, unborn)
        self._file = os.open(last.path, os.O_WRONLY | os.O_APPEND)
        if self.cut is not None and self.cut.segment == last.path:
            os.ftruncate(self._file, self._offset)
        # What is readable may still be in the page cache only, and is about to be called durable.
        self._disk.sync(self._file)
        self._disk.sync_directory(self._directory_file)

    def _remove_unborn(self, paths: list[Path]) -> int | None:
        """Drop a last segment that a crash left without its header; its first sequence."""
        if not paths or paths[-1].stat().st_size > HEADER_LENGTH:
            return None
        try:
            _read_header(paths[-1])
        except JournalCorrupt:
            path = paths.pop()
            self.cut = Cut(segment=path, offset=0, length=path.stat().st_size)
            path.unlink()
            return int(path.stem)
        return None

    def _find_end(self, segment: _Segment, unborn: int | None) -> tuple[int, int]:
        """The last whole record of the last segment and the offset behind it."""
        sequence = segment.first - 1
        offset = HEADER_LENGTH
        with segment.path.open("rb") as file:
            try:
                for _, payload in _read_frames(file, segment):
                    sequence += 1
                    offset += FRAME_LENGTH + len(payload)
            except _BadFrameError as bad:
                if _was_synced(file, segment, bad):
                    raise JournalCorrupt(segment.path, bad.offset, bad.reason) from bad
                size = os.fstat(file.fileno()).st_size
                self.cut = Cut(segment=segment.path, offset=offset, length=size - offset)
        if unborn is not None and unborn != sequence + 1:
            raise JournalCorrupt(segment.path, offset, f"it ends before record {unborn - 1}")
        return sequence, offset

    def _replay(self, segments: list[_Segment], from_sequence: int, durable: int) -> Iterator[tuple[int, bytes]]:
        for index, segment in enumerate(segments):
            last = segments[index + 1].first - 1 if index + 1 < len(segments) else durable
            if last < from_sequence:
                continue
            sequence = segment.first - 1
            offset = HEADER_LENGTH
            try:
                with segment.path.open("rb") as file:
                    frames = _read_frames(file, segment)
                    # Behind the last durable record a commit may be at work: it is not looked at.
                    while sequence < last:
                        sequence, payload = next(frames)
                        offset += FRAME_LENGTH + len(payload)
                        if sequence >= from_sequence:
                            yield sequence, payload
            except StopIteration:
                raise JournalCorrupt(segment.path, offset, f"it ends before record {last}") from None
            except _BadFrameError as bad:
                raise JournalCorrupt(segment.path, bad.offset, bad.reason) from bad
            except OSError as error:
                raise JournalCorrupt(segment.path, offset, f"it cannot be read ({error})") from error

    def _write_group(self, records: list[bytes]) -> None:
        group = self._durable + 1
        sequence = group
        frames: list[bytes] = []
        end = self._offset
        for record in records:
            if end > HEADER_LENGTH and end + FRAME_LENGTH + len(record) > self._limits.segment_bytes:
                self._write(frames)
                self._start_segment(sequence)
                frames = []
                end = self._offset
            frames.append(_frame(self._segments[-1].marker, sequence, group, record))
            end += FRAME_LENGTH + len(record)
            sequence += 1
        self._write(frames)
        self._durable = sequence - 1

    def _write(self, pieces: list[bytes]) -> None:
        """Append to the active segment and sync it."""
        if not pieces:
            return
        data = memoryview(b"".join(pieces))
        self._offset += len(data)
        while data:
            taken = self._disk.write(self._file, data)
            if taken <= 0:
                raise OSError(f"the disk took {taken} bytes")
            data = data[taken:]
        self._disk.sync(self._file)
        if os.fstat(self._file).st_nlink == 0:
            # Written and synced, and gone with this process: nothing of it is durable.
            raise OSError(ENOENT, "its newest segment was removed")

    def _start_segment(self, first: int) -> None:
        path = self._directory / _name(first)
        marker = self._random_bytes(MARKER_LENGTH)
        header = HEADER.pack(MAGIC, first, marker)
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)
        if self._file >= 0:
            os.close(self._file)
        self._file = file
        self._offset = 0
        self._write([header, CHECKSUM.pack(crc32(header))])
        self._disk.sync_directory(self._directory_file)
        self._segments = [*self._segments, _Segment(path=path, first=first, marker=marker)]


def has_segments(directory: Path) -> bool:
    """Whether there is a journal: from its first opening on there always is a segment."""
    return any(directory.glob("*.journal"))


def whole_records(directory: Path) -> Iterator[tuple[int, bytes]]:
    """What a journal holds before its first damage or gap, read without opening or changing it."""
    following: int | None = None
    for path in sorted(directory.glob("*.journal")):
        try:
            segment = _read_header(path)
            if following not in (None, segment.first):
                return
            following = segment.first
            with path.open("rb") as file:
                for sequence, payload in _read_frames(file, segment):
                    yield sequence, payload
                    following = sequence + 1
        except (JournalCorrupt, _BadFrameError, OSError):
            return


def _name(first: int | None) -> str:
    return f"{first:020d}.journal"


def _frame(marker: bytes, sequence: int, group: int, record: bytes) -> bytes:
    head = FRAME.pack(marker, sequence, group, len(record))
    return head + CHECKSUM.pack(crc32(record, crc32(head))) + record


def _read_header(path: Path) -> _Segment:
    with path.open("rb") as file:
        data = file.read(HEADER_LENGTH)
    if len(data) < HEADER_LENGTH:
        raise JournalCorrupt(path, 0, "its header is cut off")
    magic, first, marker = HEADER.unpack_from(data)
    if CHECKSUM.unpack_from(data, HEADER.size) != (crc32(data[: HEADER.size]),):
        raise JournalCorrupt(path, 0, "its header does not match its checksum")
    if magic != MAGIC:
        raise JournalCorrupt(path, 0, "it is of another version")
    if path.name != _name(first):
        raise JournalCorrupt(path, 0, "its name is not that of its first record")
    return _Segment(path=path, first=first, marker=marker)


def _read_frames(file: BinaryIO, segment: _Segment) -> Iterator[tuple[int, bytes]]:
    """Sequence and payload of one frame after the other; _BadFrameError unless the file ends behind a whole one."""
    file.seek(HEADER_LENGTH)
    offset = HEADER_LENGTH
    expected = segment.first
    while head := file.read(FRAME_LENGTH):
        if len(head) < FRAME_LENGTH:
            raise _BadFrameError(offset, expected, "a record's head is cut off")
        marker, sequence, _, length = FRAME.unpack_from(head)
        if marker != segment.marker or length > MAX_RECORD_BYTES:
            raise _BadFrameError(offset, expected, "no record begins here")
        payload = file.read(length)
        if len(payload) < length:
            raise _BadFrameError(offset, expected, "a record is cut off")
        if CHECKSUM.unpack_from(head, FRAME.size) != (crc32(payload, crc32(head[: FRAME.size])),):
            raise _BadFrameError(offset, expected, "a record does not match its checksum")
        if sequence != expected:
            raise _BadFrameError(offset, expected, f"record {sequence} stands where {expected} belongs")
        yield sequence, payload
        offset += FRAME_LENGTH + length
        expected += 1


def _was_synced(file: BinaryIO, segment: _Segment, bad: _BadFrameError) -> bool:
    """Whether a good frame behind the bad one was written after the bad one had been synced."""
    file.seek(bad.offset)
    rest = file.read()
    at = rest.find(segment.marker)
    while 0 <= at <= len(rest) - FRAME_LENGTH:
        _, _, group, length = FRAME.unpack_from(rest, at)
        end = at + FRAME_LENGTH + length
        if group > bad.sequence and end <= len(rest):
            (checksum,) = CHECKSUM.unpack_from(rest, at + FRAME.size)
            payload = memoryview(rest)[at + FRAME_LENGTH : end]
            if checksum == crc32(payload, crc32(rest[at : at + FRAME.size])):
                return True
        at = rest.find(segment.marker, at + 1)
    return False
