"""A store whose writes wait for the journal, so that several chunks reach the disk in one atomic write.

Each write that reaches the store is numbered by a row of its own. LevelDB drops damaged writes of its log and goes on
with those behind them: where a number is missing, whatever else that write held is missing too.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from prover.state.store import Store, StoreUnavailable
from sequencer.engine.records import WRITE_KEY, Staged, number_key

# More than the log ever holds: what is in a table is covered by the table's own checksums.
_NUMBERED_WRITES: Final = 1_024


class BufferedStore:
    """A store whose writes wait for `flush`.

    An edge that goes on sequencing meanwhile takes the batches that `stage` has closed by `staged`, writes them in a
    thread by `persist`, and says so by `persisted`; reads see every write from the beginning.
    """

    def __init__(self, store: Store) -> None:
        """StoreUnavailable where the store has lost a write."""
        self._store = store
        self._number = require_every_write(store)
        self._pending: dict[bytes, bytes | None] = {}
        self._staged: list[tuple[int, dict[bytes, bytes | None]]] = []

    def get(self, key: bytes) -> bytes | None:
        """The value under `key`, writes that wait included."""
        if key in self._pending:
            return self._pending[key]
        for _, batch in reversed(self._staged):
            if key in batch:
                return batch[key]
        return self._store.get(key)

    def written(self, key: bytes) -> bytes | None:
        """The value under `key` without any write that waits."""
        return self._store.get(key)

    def write(self, puts: Mapping[bytes, bytes | None], sync: bool) -> None:
        """Keeps the writes for the next flush or stage."""
        self._pending.update(puts)

    def iterate(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Entries in the store; only asked before anything is pending."""
        assert not self._pending, "iterate is for opening"
        assert not self._staged, "iterate is for opening"
        return self._store.iterate(prefix)

    def stage(self, cursor: int) -> None:
        """Closes everything pending as a batch that `cursor` allows to be written."""
        if self._pending:
            self._staged.append((cursor, self._pending))
            self._pending = {}

    def staged(self, durable: int) -> Staged | None:
        """The batches that a journal durable up to `durable` allows, joined; None where there is none."""
        writes: dict[bytes, bytes | None] = {}
        count = reached = 0
        for cursor, batch in self._staged:
            if cursor > durable:
                break
            writes.update(batch)
            count += 1
            reached = cursor
        return Staged(reached, count, writes) if count else None

    def persist(self, staged: Staged) -> None:
        """One atomic, synced write; the only call that may come from another thread."""
        self._write(staged.writes)

    def persisted(self, staged: Staged) -> None:
        """Lets go of what `persist` has written."""
        del self._staged[: staged.batches]

    def flush(self) -> None:
        """One atomic, synced write of every closed batch; what is pending goes on waiting."""
        writes: dict[bytes, bytes | None] = {}
        for _, batch in self._staged:
            writes.update(batch)
        if writes:
            self._write(writes)
            self._staged = []

    def _write(self, writes: dict[bytes, bytes | None]) -> None:
        number = self._number + 1
        lowest = max(1, number - _NUMBERED_WRITES + 1)
        numbered: dict[bytes, bytes | None] = {number_key(WRITE_KEY, number): lowest.to_bytes(8, "big")}
        if lowest > 1:
            numbered[number_key(WRITE_KEY, lowest - 1)] = None
        self._store.write({**writes, **numbered}, sync=True)
        self._number = number

    def close(self) -> None:
        """Closes the store below."""
        self._store.close()


def require_every_write(store: Store) -> int:
    """The number of the newest write, 0 before the first; StoreUnavailable where one before it is missing."""
    rows = [(int.from_bytes(key[len(WRITE_KEY) :], "big"), value) for key, value in store.iterate(WRITE_KEY)]
    if not rows:
        return 0
    newest, lowest = rows[-1][0], int.from_bytes(rows[-1][1], "big")
    missing = set(range(lowest, newest + 1)) - {number for number, _ in rows}
    if missing:
        raise StoreUnavailable(f"The store has lost write {min(missing)} of {newest}.")
    return newest
