"""Orders that their owner has linked: which of them share a group, while they are open and until an input is over."""

from sequencer.engine.life.steps import Place


class Links:
    """Account, slot and sequence of the members of each group of an account."""

    def __init__(self) -> None:
        self._group_of: dict[Place, int] = {}
        self._members: dict[tuple[int, int], set[Place]] = {}

    def __len__(self) -> int:
        return len(self._group_of)

    def put(self, place: Place, group: int) -> None:
        """One more member; of group 0 nobody is."""
        if group:
            self._group_of[place] = group
            self._members.setdefault((place[0], group), set()).add(place)

    def beside(self, place: Place) -> list[Place]:
        """The other members of an order's group, in the order of their slots."""
        group = self._group_of.get(place, 0)
        return sorted(self._members.get((place[0], group), set()) - {place})

    def drop(self, place: Place) -> None:
        """Forgets an order that is gone."""
        group = self._group_of.pop(place, 0)
        if group:
            members = self._members[(place[0], group)]
            members.discard(place)
            if not members:
                del self._members[(place[0], group)]
