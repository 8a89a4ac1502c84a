"""The Store on disk, over LevelDB; no other module of the prover or the sequencer imports plyvel."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import plyvel

from prover.state.store import StoreDamaged, StoreUnavailable

# About one false positive in a hundred look-ups, for ten bits a key.
BLOOM_FILTER_BITS = 10
# What an opening that failed leaves in an empty directory.
_WITHOUT_DATA: Final = ("LOCK", "LOG", "LOG.old")


class LevelDbStore:
    """A Store in one directory, held by one process at a time; safe to write from a worker thread."""

    def __init__(self, path: Path | str, *, is_strict: bool = False) -> None:
        """Open the directory, or create a store where it is empty or missing; StoreUnavailable if it is in use or not
        writable, StoreDamaged if a part of it is missing or fails its checksum.

        is_strict: a damaged log of LevelDB's is refused, a torn end after a power cut too, unless it is cut off clean.
        Otherwise whatever batches it held from the damage on to the end of a block are dropped without a word: of use
        to whoever can begin anew, or can tell that something is missing.
        """
        self._path = Path(path)
        try:
            self._path.mkdir(parents=True, exist_ok=True)
            # Invariant: where any file of a store is left, a missing one is damage. LevelDB would make a new store in
            # its place, and delete the tables that the new one does not know.
            self._database: Any = plyvel.DB(
                str(self._path),
                create_if_missing=all(entry.name in _WITHOUT_DATA for entry in self._path.iterdir()),
                paranoid_checks=is_strict,
                bloom_filter_bits=BLOOM_FILTER_BITS,
            )
        except (plyvel.Error, OSError) as error:
            raise self._not_opened(error) from error

    def get(self, key: bytes) -> bytes | None:
        """The value under `key`, or None; StoreDamaged if the block on disk fails its checksum."""
        assert not self._database.closed, "the store is closed"
        try:
            value: bytes | None = self._database.get(key, verify_checksums=True)
        except plyvel.Error as error:
            raise self._not_read(error) from error
        return value

    def write(self, puts: Mapping[bytes, bytes | None], sync: bool) -> None:
        """Apply all of `puts` (None deletes) in one log record; StoreUnavailable if the disk refuses it."""
        assert not self._database.closed, "the store is closed"
        batch = self._database.write_batch(sync=sync)
        for key, value in puts.items():
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        try:
            batch.write()
        except plyvel.Error as error:
            raise StoreUnavailable(f"The store at {self._path} cannot be written: {_text(error)}.") from error

    def iterate(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Entries whose key begins with `prefix`, sorted, as they stood at the call; StoreDamaged as `get`."""
        assert not self._database.closed, "the store is closed"
        # Opened here and not in the generator: a generator would take its snapshot at the first step.
        try:
            return self._entries(self._database.iterator(prefix=prefix, verify_checksums=True))
        except plyvel.Error as error:
            raise self._not_read(error) from error

    def close(self) -> None:
        """Release the directory for another process."""
        self._database.close()

    def _entries(self, iterator: Any) -> Iterator[tuple[bytes, bytes]]:
        try:
            with iterator:
                yield from iterator
        except plyvel.Error as error:
            raise self._not_read(error) from error

    def _not_opened(self, error: Exception) -> StoreUnavailable:
        text = _text(error)
        if text.startswith("IO error: lock "):
            return StoreUnavailable(f"The store at {self._path} is in use by another process.")
        if isinstance(error, plyvel.CorruptionError) or "create_if_missing is false" in text:
            return StoreDamaged(
                f"The store at {self._path} is damaged and must be rebuilt from L1 or a back-up: {text}."
            )
        return StoreUnavailable(f"The store at {self._path} cannot be opened: {text}.")

    def _not_read(self, error: Exception) -> StoreDamaged:
        return StoreDamaged(f"The store at {self._path} cannot be read: {_text(error)}.")


def _text(error: Exception) -> str:
    # plyvel hands LevelDB's status over as bytes.
    reason = error.args[0] if error.args else ""
    return reason.decode(errors="replace") if isinstance(reason, bytes) else str(error)
