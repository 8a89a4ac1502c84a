"""Numbered lists over the store: appended to, paged through by cursors that last, and let go of at their beginning.

A row reaches the store with the chunk that it is of. Cursors are numbers with a mark, so that new rows move no page,
and a cursor of a history that was taken back is known as such.
"""

from collections.abc import Callable
from typing import Any, Final, Protocol

import msgspec

from sequencer.engine.records import Writes
from sequencer.history.records import Kept, Kind, Row, listed_key, row_key

_REMEMBERED_ENDS: Final = 100_000
_DAY_MS: Final = 86_400_000
_MOST: Final = 1 << 64

List = tuple[Kind, int]


class Reader(Protocol):
    """A store, as far as lists read it."""

    def get(self, key: bytes) -> bytes | None:
        """The value under `key`."""


class CursorGone(Exception):
    """Rows behind the cursor are no longer kept: what came next cannot be told without a gap."""


class CursorUnknown(Exception):
    """The cursor names no row of this list, or one of a history that was taken back."""


class Cursor(msgspec.Struct, frozen=True):
    """A row of a list by number and mark."""

    number: int
    mark: int

    def __str__(self) -> str:
        return f"{self.number:x}-{self.mark:x}"

    @classmethod
    def of(cls, text: str) -> "Cursor":
        """The cursor that was told; CursorUnknown for what is none."""
        number, _, mark = text.partition("-")
        try:
            found = cls(int(number, 16), int(mark, 16))
        except ValueError:
            raise CursorUnknown from None
        if str(found) != text or not 0 <= found.number < _MOST:
            raise CursorUnknown
        return found


class Asked(msgspec.Struct, frozen=True):
    """A page: the newest rows first, those before a cursor; or behind one, and then the oldest first.

    from_ms, to_ms: of times from the one on, up to the other and without it.
    """

    limit: int
    before: Cursor | None = None
    after: Cursor | None = None
    from_ms: int | None = None
    to_ms: int | None = None


class Page(msgspec.Struct, frozen=True):
    """Rows, with a cursor for those before the oldest of them, None for none, and one for those that are to come."""

    rows: list[Any]
    older: Cursor | None
    newer: Cursor | None


class Lists:
    """Every list. Invariant: a list has the numbers from its first row to its end without a gap."""

    def __init__(self, store: Reader, remembered_ends: int = _REMEMBERED_ENDS) -> None:
        """remembered_ends: of so many lists it is in memory where they begin and end."""
        self._store = store
        self._remembered_ends = remembered_ends
        self._ends: dict[List, tuple[int, int]] = {}
        self._changed: set[List] = set()
        self._rows: dict[bytes, Row | None] = {}
        # The last rows of lists whose last row goes on.
        self._open: dict[List, Row] = {}
        # Lists that have grown since somebody looked whether they are too long.
        self.grown: dict[List, None] = {}

    # What changes.

    def append(self, kind: Kind, owner: int, row: Row) -> None:
        """One row more, no older than the last one."""
        at = (kind, owner)
        first, end = self.ends(kind, owner)
        self._rows[row_key(kind, owner, end)] = row
        self._ends[at] = first, end + 1
        self._changed.add(at)
        self.grown[at] = None

    def go_on(self, kind: Kind, owner: int, time: int) -> Any:
        """The last row of a list, to be changed in place, where it is of that time; else None, and one may begin."""
        at = (kind, owner)
        row = self.last(kind, owner)
        if row is None or row.time != time:
            return None
        self._open[at] = row
        _, end = self.ends(kind, owner)
        self._rows[row_key(kind, owner, end - 1)] = row
        return row

    def begin(self, kind: Kind, owner: int, row: Row) -> None:
        """A row that goes on until another begins."""
        self.append(kind, owner, row)
        self._open[kind, owner] = row

    def writes(self) -> Writes:
        """What has changed since the last call, as the store keeps it."""
        rows, self._rows = self._rows, {}
        writes: Writes = {key: None if row is None else msgspec.msgpack.encode(row) for key, row in rows.items()}
        for at in self._changed:
            writes[listed_key(*at)] = msgspec.msgpack.encode(self._ends[at])
        self._changed = set()
        if len(self._ends) > self._remembered_ends:
            self._ends = {}
        return writes

    def let_go(self, kind: Kind, owner: int, kept: Kept, now_ms: int, most: int) -> int:
        """Lets go of rows that are too many or too old, so many at most; how many it was."""
        first, end = self.ends(kind, owner)
        oldest = now_ms - kept.days * _DAY_MS
        begin = first
        while begin < end and begin - first < most:
            is_over = end - begin > kept.rows
            # The last row may go on.
            is_old = begin + 1 < end and self.row(kind, owner, begin).time < oldest
            if not is_over and not is_old:
                break
            self._rows[row_key(kind, owner, begin)] = None
            begin += 1
        if begin != first:
            self._ends[kind, owner] = begin, end
            self._changed.add((kind, owner))
        return begin - first

    # What is seen.

    def ends(self, kind: Kind, owner: int) -> tuple[int, int]:
        """The number of the first row that is kept, and that of the next one to come."""
        at = (kind, owner)
        ends = self._ends.get(at)
        if ends is None:
            value = self._store.get(listed_key(kind, owner))
            ends = (0, 0) if value is None else msgspec.msgpack.decode(value, type=tuple[int, int])
            self._ends[at] = ends
        return ends

    def row(self, kind: Kind, owner: int, number: int) -> Any:
        """A row by its number, which is kept."""
        key = row_key(kind, owner, number)
        row = self._rows.get(key)
        if row is None:
            value = self._store.get(key)
            assert value is not None, "a list has no gap"
            row = msgspec.msgpack.decode(value, type=kind.type)
        return row

    def last(self, kind: Kind, owner: int) -> Any:
        """The newest row; None in an empty list."""
        if (kind, owner) in self._open:
            return self._open[kind, owner]
        first, end = self.ends(kind, owner)
        return None if first == end else self.row(kind, owner, end - 1)

    def first_where(self, kind: Kind, owner: int, is_reached: Callable[[Any], bool]) -> int:
        """The number of the first row from which on all are as asked, the end where none is."""
        low, high = self.ends(kind, owner)
        while low < high:
            middle = (low + high) // 2
            if is_reached(self.row(kind, owner, middle)):
                high = middle
            else:
                low = middle + 1
        return low

    def page(self, kind: Kind, owner: int, asked: Asked) -> Page:
        """A page of a list. CursorGone, CursorUnknown."""
        low, high = self.ends(kind, owner)
        first, end = low, high
        if asked.from_ms is not None:
            low = self._since(kind, owner, asked.from_ms)
        if asked.to_ms is not None:
            high = self._since(kind, owner, asked.to_ms)
        if asked.before is not None:
            self._require(kind, owner, asked.before)
            high = min(high, asked.before.number)
        if asked.after is not None:
            if asked.after.number + 1 < first:
                raise CursorGone
            self._require(kind, owner, asked.after)
            low = max(low, asked.after.number + 1)
            numbers = list(range(low, max(low, min(high, low + asked.limit))))
            older = None
        else:
            numbers = list(range(max(low, high - asked.limit), max(low, high)))[::-1]
            older = numbers[-1] if numbers and numbers[-1] > low else None
        rows = [self.row(kind, owner, number) for number in numbers]
        newest = max(numbers, default=None)
        if newest is None and asked.after is None and asked.before is None and end > first:
            # Nothing of these times: what is to come goes on behind what there is.
            newest = end - 1
        newer = asked.after if newest is None else self._cursor(kind, owner, newest)
        return Page(rows, None if older is None else self._cursor(kind, owner, older), newer)

    def _cursor(self, kind: Kind, owner: int, number: int) -> Cursor:
        return Cursor(number, self.row(kind, owner, number).mark)

    def _require(self, kind: Kind, owner: int, cursor: Cursor) -> None:
        """A row that is let go of cannot be looked at any more: nothing that is kept contradicts it."""
        first, end = self.ends(kind, owner)
        if cursor.number >= end:
            raise CursorUnknown
        if cursor.number >= first and self.row(kind, owner, cursor.number).mark != cursor.mark:
            raise CursorUnknown

    def _since(self, kind: Kind, owner: int, time: int) -> int:
        return self.first_where(kind, owner, lambda row: row.time >= time)
