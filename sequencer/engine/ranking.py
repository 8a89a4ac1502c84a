"""Whom the venue rescues first, and against whom: accounts by what they lack, counterparties by their score.

Anybody with the state can recompute it, nobody can prove that it was kept.
"""

from collections.abc import Iterable
from fractions import Fraction
from heapq import nsmallest
from typing import Final

import msgspec

from prover.standing import counted_by_rescue, judged_by_rescue
from prover.stf import constants, containers, encoding, margin, rescue

_COUNTERPARTIES_TRIED: Final = 32


class Ranked(msgspec.Struct, frozen=True):
    """A place in the deleveraging ranking of one side of a market: 1 is the first to be closed."""

    account: int
    rank: int
    score: Fraction

    @property
    def score_ppm(self) -> int:
        """The score, rounded down."""
        return int(self.score * constants.PPM)


class Place(msgspec.Struct, frozen=True):
    """Where a position would stand among the others of its side; ahead and behind: its neighbours."""

    rank: int
    ahead: Ranked | None
    behind: Ranked | None


def worst_first(globals: containers.Globals, now_ms: int, rows: Iterable[tuple[int, containers.Account]]) -> list[int]:
    """The accounts below maintenance, whoever lacks most money of it first, then by index.

    By the ratio a crowd of small accounts, each a trace worse than a large one, would come before it.
    """
    found: list[tuple[int, int]] = []
    for index, account in rows:
        judged = judged_by_rescue(globals, account, now_ms)
        if judged.is_below:
            found.append((judged.equity - judged.maintenance, index))
    return [index for _, index in sorted(found)]


def score(profit: int, cost: int, notional: int, equity: int) -> Fraction:
    """The return of a position times the leverage of its account: profit / |cost| * notional / equity.

    The field's usual score. 0 for a position that has no place: only those in profit are ranked.
    """
    if profit <= 0 or equity <= 0:
        return Fraction(0)
    return Fraction(profit * notional, max(1, abs(cost)) * equity)


class Stand(msgspec.Struct, frozen=True):
    """How an account stands on one side of a market. score: 0 for no place in the ranking.

    bears: micro-dollars that the law lets it bear of another's loss for one lot, 0 where it may be closed at no cost
    alone; -1: it is below zero.
    """

    size: int
    score: Fraction
    bears: int


def stand(
    globals: containers.Globals, now_ms: int, market: int, side: int, account: containers.Account
) -> Stand | None:
    """None where it holds nothing on that side (1 long, -1 short)."""
    held = encoding.unpack(account.positions[market])
    if held.size * side <= 0:
        return None
    price, ppm = globals.risk.price[market], globals.risk.maintenance_ppm[market]
    profit = held.size * price - held.cost
    settled, _ = margin.settle(globals.risk, account, now_ms)
    now = counted_by_rescue(globals.risk, settled)
    freed = margin.requirement(price, held.size, ppm) - margin.requirement(price, abs(held.size) - 1, ppm)
    # As PROTOCOL.md 8.13: what the lot has won, what has not settled, and what leaves the account healthy or reduced.
    spare = min(max(now.room + freed, now.equity * freed // max(now.maintenance, 1)), rescue.gain(settled, now.equity))
    return Stand(
        size=abs(held.size),
        score=score(profit, held.cost, now.notional, now.equity),
        bears=max(min(profit // abs(held.size), spare), 0) if now.equity >= 0 else -1,
    )


def ranking(
    globals: containers.Globals, now_ms: int, market: int, side: int, rows: Iterable[tuple[int, containers.Account]]
) -> list[Ranked]:
    """Who is deleveraged first among the holders of one side (1 long, -1 short) of a market: the highest score."""
    stands = ((index, stand(globals, now_ms, market, side, row)) for index, row in rows)
    scored = sorted((-found.score, index) for index, found in stands if found and found.score and is_traders(index))
    return [Ranked(index, rank, -negated) for rank, (negated, index) in enumerate(scored, start=1)]


class Side(msgspec.Struct, frozen=True):
    """The traders on one side of a market. bears: the most that any of them may bear for one lot; -1 for nobody."""

    stands: dict[int, Stand]
    bears: int

    def asked(self, lots: int, borne: int) -> list[int]:
        """Whom to close against so many lots, in this order, of those who may bear so much for one.

        By score, then those without a place by size; whoever holds less than a hundredth of the lots comes behind both,
        so that no crowd of small accounts keeps the rescue from the others.
        """
        able = [(index, found) for index, found in self.stands.items() if found.bears >= borne]
        order = [(found.size * 100 < lots, -found.score, -found.size, index) for index, found in able]
        return [index for *_, index in nsmallest(_COUNTERPARTIES_TRIED, order)]

    @property
    def debtors(self) -> list[int]:
        """Who is below zero, the largest position first."""
        owing = ((-found.size, index) for index, found in self.stands.items() if found.bears < 0)
        return [index for _, index in sorted(owing)]


def is_traders(index: int) -> bool:
    """Whether an account is a trader's, not the venue's own."""
    return index >= constants.RESERVED_ACCOUNTS
