"""What the node asks of durable storage: ordered keys, and batches that are written whole or not at all."""

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from typing import Protocol


class StoreUnavailable(Exception):
    """The store cannot be opened, read or written; the message is one sentence for the operator."""


class StoreDamaged(StoreUnavailable):
    """What is left of the store cannot be read: whoever can rebuild it need not wait for the operator."""


class Store(Protocol):
    """Bytes under bytes, sorted by key."""

    def get(self, key: bytes) -> bytes | None:
        """The value under `key`, or None."""

    def write(self, puts: Mapping[bytes, bytes | None], sync: bool) -> None:
        """Apply all of `puts` (None deletes) or nothing; with `sync`, return only once a power cut cannot undo it."""

    def iterate(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Entries whose key begins with `prefix`, sorted, as they stood at the call; later writes do not show."""

    def close(self) -> None:
        """Release the store; further use is an error of the caller."""


class MemoryStore:
    """A Store that forgets everything with its process."""

    def __init__(self) -> None:
        self._values: dict[bytes, bytes] = {}
        self._closed = False

    def get(self, key: bytes) -> bytes | None:
        """The value under `key`, or None."""
        assert not self._closed, "the store is closed"
        return self._values.get(key)

    def write(self, puts: Mapping[bytes, bytes | None], sync: bool) -> None:
        """Apply all of `puts`, None deletes."""
        assert not self._closed, "the store is closed"
        for key, value in puts.items():
            if value is None:
                self._values.pop(key, None)
            else:
                self._values[key] = value

    def iterate(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Entries whose key begins with `prefix`, sorted, as they stood at the call."""
        assert not self._closed, "the store is closed"
        keys = sorted(self._values)
        found: list[tuple[bytes, bytes]] = []
        for position in range(bisect_left(keys, prefix), len(keys)):
            if not keys[position].startswith(prefix):
                break
            found.append((keys[position], self._values[keys[position]]))
        return iter(found)

    def close(self) -> None:
        """Forget nothing, but refuse further use as a closed database does."""
        self._closed = True
