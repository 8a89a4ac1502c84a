"""A Store whose writes wait in memory, to go down whole in one batch, together with the way back."""

from collections.abc import Callable, Iterator, Mapping

from prover.state.store import Store

Undo = dict[bytes, bytes | None]


class Overlay:
    """Reads see what waits; nothing reaches the store below before `flush`."""

    def __init__(self, below: Store) -> None:
        self._below = below
        self._waiting: dict[bytes, bytes | None] = {}

    def get(self, key: bytes) -> bytes | None:
        """The value under `key`, or None."""
        return self._waiting[key] if key in self._waiting else self._below.get(key)

    def write(self, puts: Mapping[bytes, bytes | None], sync: bool) -> None:
        """Let `puts` (None deletes) wait; `sync` is the flush's business."""
        self._waiting.update(puts)

    def iterate(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Entries whose key begins with `prefix`, sorted, as they stand at the call."""
        waiting = {key: value for key, value in self._waiting.items() if key.startswith(prefix)}
        return _merged(self._below.iterate(prefix), waiting)

    def mark(self) -> Undo:
        """What waits now; give it to `restore` or to `undo`."""
        return dict(self._waiting)

    def restore(self, mark: Undo) -> None:
        """Forget what was written since the mark."""
        self._waiting = dict(mark)

    def undo(self, mark: Undo, concerns: Callable[[bytes], bool]) -> Undo:
        """Earlier values of the concerned keys that have changed since the mark: written back, they undo it."""
        earlier: Undo = {}
        for key, value in self._waiting.items():
            if concerns(key):
                before = mark[key] if key in mark else self._below.get(key)
                if before != value:
                    earlier[key] = before
        return earlier

    def flush(self, sync: bool) -> None:
        """Write all that waits in one atomic batch."""
        self._below.write(self._waiting, sync=sync)
        self._waiting = {}

    def close(self) -> None:
        """Drop what waits and release the store below."""
        self._waiting = {}
        self._below.close()


def _merged(below: Iterator[tuple[bytes, bytes]], waiting: Undo) -> Iterator[tuple[bytes, bytes]]:
    added = sorted(waiting)
    position = 0
    for key, value in below:
        while position < len(added) and added[position] < key:
            fresh = waiting[added[position]]
            if fresh is not None:
                yield added[position], fresh
            position += 1
        if position < len(added) and added[position] == key:
            replaced = waiting[key]
            if replaced is not None:
                yield key, replaced
            position += 1
        else:
            yield key, value
    for key in added[position:]:
        fresh = waiting[key]
        if fresh is not None:
            yield key, fresh
