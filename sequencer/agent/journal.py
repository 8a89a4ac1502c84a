"""What an agent has signed and what came of it: a file of lines, each on the disk before anything is sent."""

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from sequencer.wallet.errors import BadInput, WalletError

_MOST_BYTES: Final = 64 << 20


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


Record = Began | Signed | Ended | Stopped | Paid


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
            return
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
    """The file, held against a second agent."""

    def __init__(self, path: Path) -> None:
        """BadInput where another process holds it; WalletError where it cannot be used or is damaged."""
        super().__init__()
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            raise _unusable(path, error) from None
        self._file = os.fdopen(handle, "r+b")
        try:
            self._open(path)
        except BaseException:
            self._file.close()
            raise

    def _open(self, path: Path) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
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

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

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
