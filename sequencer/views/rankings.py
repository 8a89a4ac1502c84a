"""The deleveraging rankings as of the last tick: both sides of each market are sorted at most once a tick.

With very many accounts they are sorted more rarely, so that what they cost a tick stays the same: they are then as of
the tick at which they were.
"""

from bisect import bisect_left
from typing import Final

from prover.stf import constants
from sequencer.engine.engine import Engine
from sequencer.engine.ranking import Place, Ranked, ranking, score
from sequencer.schema.accounts import Outlook
from sequencer.views.markets import names

# So many accounts are looked at for a side at each tick; with more of them a ranking stays for several ticks.
HOLDERS_A_TICK: Final = 2_000


class Rankings:
    """Who would be deleveraged first."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._sorted_at = -1
        self._sides: dict[tuple[int, int], list[Ranked]] = {}

    def of_side(self, market: int, side: int) -> list[Ranked]:
        """The ranking of the longs (1) or shorts (-1) of a market."""
        engine = self._engine
        tick_time = engine.globals.tick_time
        lasts = constants.TICK_STEP * (len(engine.holders) // HOLDERS_A_TICK)
        if tick_time != self._sorted_at and tick_time - self._sorted_at > lasts:
            self._sorted_at = tick_time
            self._sides = {}
        if (market, side) not in self._sides:
            rows = [(index, engine.account(index)) for index in sorted(engine.holders)]
            now_ms = engine.view.commitment.timestamp
            self._sides[(market, side)] = ranking(engine.globals, now_ms, market, side, rows)
        return self._sides[(market, side)]

    def places(self, seen: Outlook) -> dict[str, Place]:
        """Where an account's positions in profit stand, by market, as it is seen: now, or after what is imagined.

        Its own scores are of what is seen, those of all others of the last tick; its fills since then, and its
        counterparties in what is imagined, move the others only with the next tick. Insurance accounts have no place.
        """
        found: dict[str, Place] = {}
        called = names(self._engine.globals)
        index = seen.account
        for leg in seen.positions:
            own = score(leg.unrealised_micros, leg.cost_micros, seen.notional_micros, seen.equity_micros)
            if own == 0 or index < constants.RESERVED_ACCOUNTS:
                continue
            side = self.of_side(called.index(leg.market), 1 if leg.size_lots > 0 else -1)
            others = [place for place in side if place.account != index]
            at = bisect_left(others, (-own, index), key=lambda place: (-place.score, place.account))
            found[leg.market] = Place(
                rank=at + 1,
                ahead=others[at - 1] if at > 0 else None,
                behind=others[at] if at < len(others) else None,
            )
        return found
