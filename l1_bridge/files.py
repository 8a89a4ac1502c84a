"""Files that are whole, whatever ends the process that writes them."""

import os
from hashlib import blake2b
from pathlib import Path
from typing import Final

_SEAL_BYTES: Final = 32


def replace_file(path: Path, content: bytes, *, is_synced: bool = False, is_private: bool = False) -> None:
    """All of it or nothing; where it is not synced a power cut leaves what was there before, or nothing. OSError.

    is_private: its owner alone reads it.
    """
    temporary = path.with_suffix(".tmp")
    try:
        with temporary.open("wb") as file:
            if is_private:
                os.fchmod(file.fileno(), 0o600)
            file.write(content)
            if is_synced:
                file.flush()
                os.fsync(file.fileno())
    except OSError as error:
        # A write says of no file that there was no room for it.
        raise OSError(error.errno, error.strerror, str(path)) from None
    temporary.replace(path)
    if is_synced:
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def keep_bound(path: Path, owner: bytes, content: bytes, *, is_synced: bool = False) -> None:
    """A file that is whole, and of whom it says: `owner` is 32 bytes, such as a rollup's domain separator."""
    replace_file(path, _seal(owner, content) + content, is_synced=is_synced)


def read_bound(path: Path, owner: bytes) -> bytes | None:
    """What `keep_bound` kept; None where it is gone, damaged, or of somebody else."""
    try:
        found = path.read_bytes()
    except OSError:
        return None
    content = found[_SEAL_BYTES:]
    return content if found[:_SEAL_BYTES] == _seal(owner, content) else None


def _seal(owner: bytes, content: bytes) -> bytes:
    return blake2b(content, key=owner, digest_size=_SEAL_BYTES).digest()
