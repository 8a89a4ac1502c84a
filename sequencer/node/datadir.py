"""The node's directory: held by one process, belonging to one rollup, gone again where a first start failed."""

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from l1_bridge.files import replace_file
from prover.contracts.deployment import DeploymentRecord
from prover.state import levels
from sequencer.l1.following import CHECKPOINT
from sequencer.node.config import WRITABLE, DatadirUnusable

_LOCK: Final = "LOCK"
RECORD: Final = "deployment.json"
# Within the journal's directory, which it goes with.
_LINEAGE: Final = "lineage.json"
_ASKED: Final = "hand-over.json"
_ANSWERED: Final = "handed-over.json"


class Asked(msgspec.Struct, frozen=True):
    """That the seat shall go to the holder of a bond."""

    bond_id: int


def ask(path: Path, bond_id: int) -> None:
    """Asks the node that holds a datadir to hand its seat over."""
    (path / _ANSWERED).unlink(missing_ok=True)
    _write(path / _ASKED, msgspec.json.encode(Asked(bond_id)))


def answered(path: Path) -> dict[str, Any] | None:
    """What the node said to that; None as long as it has said nothing."""
    try:
        return msgspec.json.decode((path / _ANSWERED).read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.DecodeError):
        return None


def is_held(path: Path) -> bool:
    """Whether a process holds this datadir."""
    try:
        lock = os.open(path / _LOCK, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


class Lineage(msgspec.Struct, frozen=True):
    """What the first record of a journal stands on: a state root in hex, empty where its records do not lead to the
    state any more. `name` is random: two journals of one name are parts of one."""

    root: str
    name: str


def lineage_of(journal: Path) -> Lineage | None:
    """What a journal says of itself; None where it says nothing that can be read."""
    try:
        return msgspec.json.decode((journal / _LINEAGE).read_bytes(), type=Lineage)
    except (OSError, msgspec.DecodeError):
        return None


class Datadir:
    """Where everything that lasts is, while this process holds it."""

    def __init__(self, path: Path, is_kept: bool) -> None:
        self.path = path
        self._is_kept = is_kept

    @property
    def is_kept(self) -> bool:
        """Whether something in here is worth more than a start that failed."""
        return self._is_kept

    def keep(self) -> None:
        """From here on it outlives this run, however that ends."""
        self._is_kept = True

    @property
    def journal(self) -> Path:
        """What was acknowledged."""
        return self.path / "journal"

    @property
    def l1(self) -> Path:
        """The embedded L1's chain."""
        return self.path / "l1"

    @property
    def checkpoint(self) -> Path:
        """How far L1 was read."""
        return self.path / CHECKPOINT

    @property
    def levels(self) -> Path:
        """What is remembered of the tree."""
        return self.path / levels.NAME

    def begin_journal(self, root: bytes) -> None:
        """The journal's first record stands on this root; empty: its records no longer lead to the state."""
        self.journal.mkdir(exist_ok=True)
        _write(self.journal / _LINEAGE, msgspec.json.encode(Lineage(root.hex(), secrets.token_hex(8))))

    def asked(self) -> int | None:
        """The bond to whose holder the seat is to go, where somebody has asked for that."""
        try:
            return msgspec.json.decode((self.path / _ASKED).read_bytes(), type=Asked).bond_id
        except (OSError, msgspec.DecodeError):
            return None

    def forget_asked(self) -> None:
        """What was asked of an earlier run is not done by this one."""
        (self.path / _ASKED).unlink(missing_ok=True)

    def answer(self, refused: str = "", **told: object) -> None:
        """Says what became of what was asked; empty `refused`: it is done."""
        _write(self.path / _ANSWERED, msgspec.json.encode({"refused": refused, **told}))
        self.forget_asked()

    def record(self) -> DeploymentRecord | None:
        """The rollup that this directory belongs to; None for a new one, DatadirUnusable for a damaged record."""
        path = self.path / RECORD
        try:
            return DeploymentRecord.decode(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise DatadirUnusable(f"{path} is damaged ({error}): `catenary datadir repair` writes it anew.") from None

    def keep_record(self, record: DeploymentRecord) -> None:
        """Belongs to this rollup for ever."""
        _write(self.path / RECORD, record.encode())


def _write(path: Path, content: bytes) -> None:
    replace_file(path, content, is_synced=True)


@contextmanager
def held(path: Path) -> Iterator[Datadir]:
    """Holds the datadir for this process. DatadirUnusable where another one does, or where it cannot be made.

    What a start made that never came to `keep` is removed again; what was there before is not touched.
    """
    missing = [directory for directory in (path, *path.parents) if not directory.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
        was_empty = not any(path.iterdir())
        lock = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise DatadirUnusable(f"The datadir {path} cannot be used: {error.strerror}. {WRITABLE}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise DatadirUnusable(
            f"The datadir {path} is in use by another node: a second venue needs a "
            "--datadir, a --port and an --l1-port of its own."
        ) from None
    datadir = Datadir(path, is_kept=not was_empty)
    try:
        yield datadir
    finally:
        try:
            if not datadir.is_kept:
                _remove(path, missing)
        finally:
            os.close(lock)


def _remove(path: Path, missing: list[Path]) -> None:
    for entry in path.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)
    for directory in missing:
        # Somebody else may have begun to use a parent meanwhile: then it is not empty, and stays.
        try:
            directory.rmdir()
        except OSError:
            return
