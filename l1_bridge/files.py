"""Files that are whole, whatever ends the process that writes them."""

import os
from pathlib import Path


def replace_file(path: Path, content: bytes, *, is_synced: bool = False, is_private: bool = False) -> None:
    """All of it or nothing; where it is not synced a power cut leaves what was there before, or nothing.

    is_private: its owner alone reads it.
    """
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        if is_private:
            os.fchmod(file.fileno(), 0o600)
        file.write(content)
        if is_synced:
            file.flush()
            os.fsync(file.fileno())
    temporary.replace(path)
    if is_synced:
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
