"""A copy of a datadir that can be trusted: taken while no node runs, each file with its hash, their list last."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Final

import msgspec

from sequencer.l1.resequence import sync_directory
from sequencer.node.config import DatadirUnusable

_LIST: Final = "backup.json"
_VERSION: Final = 1
_UNFINISHED: Final = ".unfinished"
# What every start makes anew, or what was put aside.
_LEFT_OUT: Final = ("LOCK", "LOG", "LOG.old", "devnet.json")
_PUT_ASIDE: Final = ("state.", "journal.")


class CopiedFile(msgspec.Struct, frozen=True):
    """A file of a back-up: its size in bytes, and its hash in hex."""

    size: int
    blake2b: str


class Backup(msgspec.Struct, frozen=True):
    """The list of a back-up, and what it is of: the state contains the journal's records up to `cursor`."""

    version: int
    rollup: str
    chunks: int
    cursor: int
    root: str
    files: dict[str, CopiedFile]


def back_up(datadir: Path, target: Path, rollup: bytes, chunks: int, cursor: int, root: bytes) -> Backup:
    """Copies a datadir that this process holds into a directory that does not exist yet. DatadirUnusable, OSError."""
    if target.exists():
        raise DatadirUnusable(f"{target} is there already: a back-up is made in a directory of its own.")
    if target.resolve().is_relative_to(datadir.resolve()):
        raise DatadirUnusable(f"{target} is in the datadir itself: the next back-up would hold this one.")
    with _unfinished(target) as unfinished:
        files = {}
        for path in sorted(datadir.rglob("*")):
            name = path.relative_to(datadir)
            if path.is_dir() or path.name in _LEFT_OUT or name.parts[0].startswith(_PUT_ASIDE):
                continue
            files[name.as_posix()] = _copied(path, unfinished / name)
        made = Backup(_VERSION, "0x" + rollup.hex(), chunks, cursor, "0x" + root.hex(), files)
        _write(unfinished / _LIST, msgspec.json.format(msgspec.json.encode(made)))
        _sync_all(unfinished)
        unfinished.rename(target)
    sync_directory(target.parent)
    return made


@contextmanager
def _unfinished(target: Path) -> Iterator[Path]:
    """Where a copy is made before it has its name; of one that fails nothing is left, on a full disk least of all."""
    unfinished = target.with_name(target.name + _UNFINISHED)
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        yield unfinished
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def read_backup(source: Path) -> Backup:
    """The list of a back-up, every file compared with it. DatadirUnusable where it is not whole."""
    try:
        made = msgspec.json.decode((source / _LIST).read_bytes(), type=Backup)
    except (OSError, msgspec.DecodeError) as error:
        raise DatadirUnusable(f"{source} is no back-up: its list cannot be read ({error}).") from None
    if made.version != _VERSION:
        raise DatadirUnusable(f"The back-up {source} is of version {made.version}, this program reads {_VERSION}.")
    for name, expected in made.files.items():
        path = source / name
        if ".." in Path(name).parts or not path.is_file() or _hashed(path) != expected:
            raise DatadirUnusable(f"The back-up {source} is damaged: {name} is not what was copied.")
    return made


def restore(source: Path, datadir: Path) -> Backup:
    """Makes a datadir of a back-up where there is none. DatadirUnusable, OSError."""
    made = read_backup(source)
    if datadir.resolve().is_relative_to(source.resolve()):
        raise DatadirUnusable(f"{datadir} is in the back-up itself, which stays as it was made.")
    if datadir.exists() and any(datadir.iterdir()):
        raise DatadirUnusable(f"{datadir} is not empty: a back-up is restored where nothing is.")
    with _unfinished(datadir) as unfinished:
        for name, expected in made.files.items():
            if _copied(source / name, unfinished / name) != expected:
                raise DatadirUnusable(f"The back-up {source} changed while it was read: {name}.")
        _sync_all(unfinished)
        if datadir.exists():
            datadir.rmdir()
        unfinished.rename(datadir)
    sync_directory(datadir.parent)
    return made


def _copied(source: Path, target: Path) -> CopiedFile:
    target.parent.mkdir(parents=True, exist_ok=True)
    _write(target, source.read_bytes())
    return _hashed(target)


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _hashed(path: Path) -> CopiedFile:
    digest = blake2b(digest_size=32)
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return CopiedFile(path.stat().st_size, digest.hexdigest())


def _sync_all(directory: Path) -> None:
    for path in (directory, *directory.rglob("*")):
        if path.is_dir():
            sync_directory(path)
