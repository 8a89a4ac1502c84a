"""Dead-man switches: an owner's clock at whose end all open orders of an account leave, unless he sets it anew."""

from heapq import heapify, heappop, heappush
from typing import Final

import msgspec

from sequencer.engine.records import SWITCH_KEY, StagedStore, Writes

# Void entries that may be kept beside as many as there are switches.
_SLACK: Final = 64


class Switches:
    """By account: when it ends, ms, the sequence of the cancel that was signed for it, and the end as it was asked."""

    def __init__(self, store: StagedStore) -> None:
        self._set: dict[int, tuple[int, int, int]] = {
            int.from_bytes(key[-3:], "big"): msgspec.msgpack.decode(value, type=tuple[int, int, int])
            for key, value in store.iterate(SWITCH_KEY)
        }
        self._dirty: set[int] = set()
        # The first that ends first; one that was set anew is void, and dropped when it is met or when they pile up.
        self._ends: list[tuple[int, int]] = []
        self._order()

    def sequence(self, account: int) -> int:
        """Of the newest setting: an older one does not come back. -1 for none."""
        return self._set.get(account, (0, -1, 0))[1]

    def is_known(self, account: int, at: int, sequence: int) -> bool:
        """Whether the newest setting is this very one, whatever has come of it since."""
        return self._set.get(account, (0, -1, 0))[1:] == (sequence, at)

    def put(self, account: int, at: int, sequence: int) -> None:
        """Sets a switch; 0 takes it back, and the sequence is remembered."""
        self._keep(account, at, sequence, at)

    def _keep(self, account: int, at: int, sequence: int, asked: int) -> None:
        self._set[account] = (at, sequence, asked)
        self._dirty.add(account)
        if len(self._ends) > 2 * len(self._set) + _SLACK:
            self._order()
        elif at:
            heappush(self._ends, (at, account))

    def is_due(self, now: int) -> bool:
        """Whether the time of one has come."""
        while self._ends and self._set[self._ends[0][1]][0] != self._ends[0][0]:
            heappop(self._ends)
        return bool(self._ends) and self._ends[0][0] <= now

    def fire(self, now: int) -> int:
        """Takes back the first switch that is due; its account."""
        assert self.is_due(now), "only what is due is fired"
        account = self._ends[0][1]
        _, sequence, asked = self._set[account]
        self._keep(account, 0, sequence, asked)
        return account

    def writes(self) -> Writes:
        """What has changed since the last call, as the store keeps it."""
        rows: Writes = {
            SWITCH_KEY + account.to_bytes(3, "big"): msgspec.msgpack.encode(self._set[account])
            for account in self._dirty
        }
        self._dirty.clear()
        return rows

    def _order(self) -> None:
        self._ends = [(at, account) for account, (at, _, _) in self._set.items() if at]
        heapify(self._ends)
