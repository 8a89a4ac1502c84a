"""Margin calls: who is told at which margin ratio, without being told twice for one wobble.

A call's level rises when the ratio reaches it, and eases only once the ratio is five points below it.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from prover.standing import Standing, met_by_order
from prover.stf import containers, margin
from sequencer.schema.accounts import MarginCall
from sequencer.views.account import positions_of, ratio_ppm

# Percent of maintenance requirement over equity.
LEVELS: Final = (50, 70, 80, 90, 100)
EASING: Final = 5


def next_level(level: int, now: Standing) -> int:
    """The level after a look at an account that had `level` before."""

    def at_least(percent: int) -> bool:
        return now.maintenance > 0 and now.maintenance * 100 >= now.equity * percent

    reached = max((step for step in LEVELS if at_least(step)), default=0)
    held = max((step for step in LEVELS if step <= level and at_least(step - EASING)), default=0)
    return max(reached, held)


class MarginCalls:
    """The level of each account that is called.

    Rebuilt, not stored: a node that starts again tells every standing call once more.
    """

    def __init__(self, watched: set[int]) -> None:
        """`watched`: the accounts that may hold positions; whoever fills adds to it, `look` discards from it."""
        self._watched = watched
        self._looks: dict[int, MarginCall] = {}

    def level(self, account: int) -> int:
        """The standing level of an account."""
        found = self._looks.get(account)
        return 0 if found is None else found.level_percent

    def last_look(self, account: int) -> MarginCall | None:
        """What the last tick's look at an account found, level 0 too; None where it held no position."""
        return self._looks.get(account)

    def standing(self, limit: int) -> list[MarginCall]:
        """The standing calls as of the last tick, the highest levels first."""
        called = sorted(
            (call for call in self._looks.values() if call.level_percent),
            key=lambda call: (-call.level_percent, call.account),
        )
        return [msgspec.structs.replace(call, previous_percent=call.level_percent) for call in called[:limit]]

    def look(
        self,
        risk: containers.Risk,
        tick_time_ms: int,
        now_ms: int,
        account_of: Callable[[int], containers.Account],
    ) -> list[MarginCall]:
        """The changes at new prices, by account."""
        changes: list[MarginCall] = []
        for index in sorted(self._watched):
            account = account_of(index)
            settled, _ = margin.settle(risk, account, now_ms)
            now = met_by_order(risk, settled)
            before = self.level(index)
            level = next_level(before, now)
            call = MarginCall(
                account=index,
                level_percent=level,
                previous_percent=before,
                margin_ratio_ppm=ratio_ppm(now.maintenance, now.equity),
                equity_micros=now.equity,
                maintenance_micros=now.maintenance,
                tick_time_ms=tick_time_ms,
            )
            self._looks[index] = call
            if not positions_of(account):
                self._watched.discard(index)
                del self._looks[index]
            if level != before:
                changes.append(call)
        return changes
