"""Orders that come after another: which of them wait until it is filled, and whose end ends it."""

from sequencer.engine.life.steps import Place


class Followers:
    """The orders that come after each order, by account, slot and sequence, while they are open."""

    def __init__(self) -> None:
        self._entry_of: dict[Place, Place] = {}
        self._members: dict[Place, set[Place]] = {}

    def __len__(self) -> int:
        return len(self._entry_of)

    def put(self, place: Place, entry: Place) -> None:
        """One more that comes after `entry`."""
        self._entry_of[place] = entry
        self._members.setdefault(entry, set()).add(place)

    def of(self, entry: Place) -> list[Place]:
        """Those that come after an order, in the order of their slots."""
        return sorted(self._members.get(entry, ()))

    def drop(self, place: Place) -> None:
        """Forgets an order that is gone, and that others come after it."""
        entry = self._entry_of.pop(place, None)
        if entry is not None:
            self._members[entry].discard(place)
            if not self._members[entry]:
                del self._members[entry]
        for member in self._members.pop(place, ()):
            del self._entry_of[member]
