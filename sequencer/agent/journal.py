"""What an agent has signed and what came of it: a file of lines, each on the disk before anything is sent.

Once it has grown it is written anew, as what its lines come to, beside the old one and in its place at once: whatever
ends the process meanwhile, one of both is there, and both say the same.
"""

import fcntl
import os
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Self

import msgspec

from l1_bridge.files import replace_file
from sequencer.wallet.errors import BadInput, WalletError

_MOST_BYTES: Final = 64 << 20
# Where it is longer, and twice as long as it was when it was written anew, it is written anew.
COMPACT_BYTES: Final = 1 << 20
# What was paid is asked of today alone; a clock may be set back.
_PAID_DAYS: Final = 7


class Began(msgspec.Struct, frozen=True, tag="began"):
    """A task has begun; what_for: its terms, by which another one of the same name is known. at: ms."""

    task: str
    what_for: str
    at: int


class Signed(msgspec.Struct, frozen=True, tag="signed"):
    """An order as it was signed, so that the very same can be sent again. part: the slice that it is of."""

    task: str
    order_id: str
    fields: dict[str, Any]
    signature: str
    beside: dict[str, Any]
    part: int = 0

    @property
    def expires_at(self) -> int:
        """After which the venue takes it no more, ms."""
        return int(self.fields["expires_at_ms"])

    @property
    def lots(self) -> int:
        """As signed."""
        return int(self.fields["size_lots"])

    @property
    def trigger(self) -> int:
        """Its trigger price."""
        return int(self.fields["trigger_price_ticks"])


class Ended(msgspec.Struct, frozen=True, tag="ended"):
    """Nothing more comes of an order. why: the status with its reason, or the name of the refusal."""

    task: str
    order_id: str
    filled: int
    why: str


class Stopped(msgspec.Struct, frozen=True, tag="stopped"):
    """A task is over."""

    task: str
    why: str


class Paid(msgspec.Struct, frozen=True, tag="paid"):
    """A transfer was signed: it counts from here on, whatever comes of it. day: of UTC, since 1970."""

    day: int
    micros: int


class Stands(msgspec.Struct, frozen=True, tag="stands"):
    """How far a task had come when the journal was written anew."""

    task: str
    began: Began | None
    stopped: str
    filled: int
    part: int
    orders: int
    open: Signed | None
    last: Ended | None


class Slots(msgspec.Struct, frozen=True, tag="slots"):
    """The highest sequence that was signed for each slot until then."""

    last_sequence: dict[int, int]


Record = Began | Signed | Ended | Stopped | Paid | Stands | Slots


class Progress:
    """How far a task has come."""

    def __init__(self) -> None:
        self.began: Began | None = None
        self.stopped = ""
        self.filled = 0
        # The highest slice that was signed for; -1 for none.
        self.part = -1
        self.orders = 0
        self.open: Signed | None = None
        self.last: Ended | None = None


class Story:
    """What the lines of a journal come to."""

    def __init__(self) -> None:
        self.tasks: dict[str, Progress] = {}
        # Micro-dollars by day of UTC.
        self.paid: dict[int, int] = {}
        self.last_sequence: dict[int, int] = {}

    def of(self, task: str) -> Progress:
        """How far a task has come."""
        return self.tasks.setdefault(task, Progress())

    def take(self, record: Record) -> None:
        """One more line."""
        if isinstance(record, Paid):
            self.paid[record.day] = self.paid.get(record.day, 0) + record.micros
        elif isinstance(record, Slots):
            self.last_sequence |= record.last_sequence
        elif isinstance(record, Stands):
            progress = self.tasks[record.task] = Progress()
            for name in record.__struct_fields__[1:]:
                setattr(progress, name, getattr(record, name))
        else:
            self._take_of_task(record)

    def records(self) -> list[Record]:
        """The fewest lines that come to the same."""
        newest = max(self.paid, default=0)
        stands = [
            Stands(name, one.began, one.stopped, one.filled, one.part, one.orders, one.open, one.last)
            for name, one in self.tasks.items()
        ]
        paid = [Paid(day, micros) for day, micros in self.paid.items() if day > newest - _PAID_DAYS]
        return [*stands, *paid, Slots(dict(self.last_sequence))]

    def _take_of_task(self, record: Began | Signed | Ended | Stopped) -> None:
        if isinstance(record, Began):
            self.tasks[record.task] = Progress()
        progress = self.of(record.task)
        if isinstance(record, Began):
            progress.began = record
        elif isinstance(record, Signed):
            slot = int(record.fields["slot"])
            self.last_sequence[slot] = max(self.last_sequence.get(slot, 0), int(record.fields["sequence"]))
            progress.open, progress.part = record, max(progress.part, record.part)
            progress.orders += 1
        elif isinstance(record, Ended):
            progress.filled += record.filled
            progress.last = record
            if progress.open is not None and progress.open.order_id == record.order_id:
                progress.open = None
        else:
            progress.stopped = record.why


class Journal(Story):
    """The file, held against a second agent by another one beside it, which is never replaced."""

    def __init__(self, path: Path) -> None:
        """BadInput where another process holds it; WalletError where it cannot be used or is damaged."""
        super().__init__()
        self._path = path
        with ExitStack() as stack:
            self._open(stack)
            # Closed again where it could not be opened.
            self._opened = stack.pop_all()

    def _open(self, stack: ExitStack) -> None:
        path = self._path
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
            stack.callback(os.close, lock)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._file = self._appended()
            stack.callback(lambda: self._file.close())
            content = path.read_bytes()
            whole = content[: content.rfind(b"\n") + 1]
            if len(whole) < len(content):
                # Cut off by a crash before anything was sent.
                os.ftruncate(self._file.fileno(), len(whole))
        except BlockingIOError:
            raise BadInput(f"another agent runs on {path}") from None
        except OSError as error:
            raise _unusable(path, error) from None
        for record in _records(path, whole):
            self.take(record)
        self._size = self._written_anew = len(whole)

    def _appended(self) -> BinaryIO:
        handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        return os.fdopen(handle, "ab")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()

    def add(self, record: Record) -> None:
        """Writes a line; returns once it is on the disk."""
        line = msgspec.json.encode(record) + b"\n"
        try:
            written = os.write(self._file.fileno(), line)
            os.fsync(self._file.fileno())
        except OSError as error:
            raise WalletError(f"the agent's journal cannot be written: {error.strerror}") from None
        if written < len(line):
            # A disk that fills takes a part and says nothing; the next start cuts it off.
            raise WalletError("the agent's journal cannot be written: the disk took a part of a line")
        self.take(record)
        self._size += len(line)
        if self._size > max(COMPACT_BYTES, 2 * self._written_anew):
            self._write_anew()

    def _write_anew(self) -> None:
        content = b"".join(msgspec.json.encode(record) + b"\n" for record in self.records())
        try:
            replace_file(self._path, content, is_synced=True, is_private=True)
            old, self._file = self._file, self._appended()
        except OSError as error:
            raise WalletError(f"the agent's journal cannot be written anew: {error.strerror}") from None
        old.close()
        self._size = self._written_anew = len(content)


def _unusable(path: Path, error: OSError) -> WalletError:
    return WalletError(f"the agent's journal {path} cannot be used: {error.strerror}")


def read_story(path: Path) -> Story:
    """What a journal says, also while an agent runs on it; WalletError."""
    story = Story()
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        content = b""
    except OSError as error:
        raise _unusable(path, error) from None
    for record in _records(path, content[: content.rfind(b"\n") + 1]):
        story.take(record)
    return story


def _records(path: Path, content: bytes) -> list[Record]:
    """The lines of a journal; WalletError for one that is damaged before its end."""
    if len(content) > _MOST_BYTES:
        raise WalletError(f"the agent's journal {path} is larger than {_MOST_BYTES} bytes: begin another one")
    try:
        return [msgspec.json.decode(line, type=Record) for line in content.splitlines()]
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise WalletError(f"the agent's journal {path} is damaged: {error}") from None
