"""Margin calls: who is told at which margin ratio, without being told twice for one wobble.

A call's level rises when the ratio reaches it, and eases only once the ratio is five points below it.
"""

from typing import Final

import msgspec

from prover.standing import Standing, met_by_order
from prover.stf import margin
from prover.watch.watchlist import CALLED_MULTIPLE
from sequencer.engine.engine import Engine
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


def nameless_call(call: MarginCall) -> MarginCall:
    """The same without its account, nor amounts, by which anybody finds it among those on L1."""
    return msgspec.structs.replace(
        call, account=None, margin_ratio_ppm=None, equity_micros=None, maintenance_micros=None
    )


class MarginCalls:
    """The level of each account that is called.

    Rebuilt, not stored: a node that starts again tells every standing call once more.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # What an account has is twice its maintenance where the lowest level begins.
        assert LEVELS[0] * CALLED_MULTIPLE == 100, "the watchlist finds whoever reaches the lowest level"
        self._watchlist = engine.ledger.watch_calls(engine.open_chunk.watched_by)
        self._looks: dict[int, MarginCall] = {}

    def level(self, account: int) -> int:
        """The standing level of an account."""
        found = self._looks.get(account)
        return 0 if found is None else found.level_percent

    def last_look(self, account: int) -> MarginCall | None:
        """What the last tick's look at an account found, level 0 too; None where it was far from the lowest level."""
        return self._looks.get(account)

    def standing(self, limit: int) -> list[MarginCall]:
        """The standing calls as of the last tick, the highest levels first."""
        called = sorted((-call.level_percent, index) for index, call in self._looks.items() if call.level_percent)
        return [
            msgspec.structs.replace(self._looks[index], previous_percent=-negated) for negated, index in called[:limit]
        ]

    def look(self) -> dict[int, MarginCall]:
        """The changes at new prices, by ascending account; looks at whoever may be near a level, or is called."""
        engine = self._engine
        risk, now_ms = engine.globals.risk, engine.view.commitment.timestamp
        tick_time_ms = engine.globals.tick_time
        engine.open_chunk.note_changed()
        near = self._watchlist.near(risk, engine.account)
        called = (index for index, call in self._looks.items() if call.level_percent)
        looks: dict[int, MarginCall] = {}
        changes: dict[int, MarginCall] = {}
        for index in sorted({*near, *called}):
            account = engine.account(index)
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
            if positions_of(account):
                looks[index] = call
            if level != before:
                changes[index] = call
        self._looks = looks
        return changes
