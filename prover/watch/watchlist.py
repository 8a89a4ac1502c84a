"""Accounts in the order in which prices reach them: an order finds whoever may be below a line, the law decides.

What an account has above `multiple` times its maintenance falls with the prices of its longs, rises with those of its
shorts and moves with funding, each in proportion to its lots. So it is a sum over gauges, two a market:

    gauge(market, side) = (PPM - side * multiple * maintenance_ppm) * price * FUNDING_SCALE - funding_index * PPM

    room = money - costs + sum over positions (size * gauge(market, side of the position) + size * paid index * PPM)

in micro-dollars / (PPM * FUNDING_SCALE), exact but for the law's roundings. At a look the room is divided among the
positions in proportion to their notionals, as if every price moved against the account by one fraction, its safe
radius. As long as no gauge has moved past a position's share, the account is above the line whatever each has done.
Prices, indices and maintenance fractions enter only through the gauges, and a settled market is one without
maintenance, so nothing but a change of the account itself or of the debts' factors asks for a look of its own.
"""

from array import array
from collections.abc import Callable, Iterable, Sequence
from heapq import heapify, heappop, heappush
from typing import Final

from prover.stf import constants, containers
from prover.watch.glance import Glance, of_account

# Margin calls begin where an account has so many times its maintenance.
CALLED_MULTIPLE: Final = 2

_SCALE: Final = constants.PPM * constants.FUNDING_SCALE
_INDEX_BITS: Final = 24
_STAMP_BITS: Final = 32
_STAMPS: Final = 1 << _STAMP_BITS
# Below this many entries no heap is swept.
_LEAST_SWEPT: Final = 1_024


class Watchlist:
    """Who may have less equity than `multiple` times its maintenance requirement.

    Invariant: whoever `near` leaves out is above the line, at the prices of the last tick and at the better one of the
    last two prices of each position, which only raises what is above the line of once the maintenance.
    """

    def __init__(self, multiple: int) -> None:
        self._multiple = multiple
        # One micro-dollar of each requirement, and one of the funding, are the law's roundings.
        self._slack = (1 + multiple * constants.MARKETS) * _SCALE
        self._due: set[int] = set()
        # Those whose unsettled money is part of what keeps them above the line: debts may take it.
        self._leaning: set[int] = set()
        self._factors: list[int] = []
        # bound, account and stamp in one number, by market and side: an entry is of the last look, or is passed over.
        self._heaps: list[list[int]] = [[] for _ in range(2 * constants.MARKETS)]
        self._swept: list[int] = [_LEAST_SWEPT] * (2 * constants.MARKETS)
        self._stamps = array("I")

    def note(self, accounts: Iterable[int]) -> None:
        """These have changed, so that the next `near` looks at them."""
        self._due.update(accounts)

    def near(self, risk: containers.Risk, account_of: Callable[[int], containers.Account]) -> list[int]:
        """Whoever may be below the line, ascending; the others are certainly above it, or hold and owe nothing."""
        due, self._due = self._due, set()
        if risk.debts.factors != self._factors:
            self._factors = risk.debts.factors
            due |= self._leaning
        for place, gauge in enumerate(self._gauges(risk)):
            heap = self._heaps[place]
            # The bounds of longs are of negated gauges: each heap's first entry is the one that is reached first.
            reached = (gauge if place & 1 else -gauge) << _INDEX_BITS + _STAMP_BITS
            while heap and heap[0] < reached:
                entry = heappop(heap)
                if self._is_standing(entry):
                    due.add(entry >> _STAMP_BITS & (1 << _INDEX_BITS) - 1)
        return self.look(risk, ((index, account_of(index)) for index in sorted(due)))

    def look(self, risk: containers.Risk, rows: Iterable[tuple[int, containers.Account]]) -> list[int]:
        """Looks at accounts; those that may be below the line, which the next `near` looks at again."""
        gauges = self._gauges(risk)
        found = [index for index, row in rows if not self._place(index, risk, gauges, of_account(risk, row))]
        self._due.update(found)
        return found

    @staticmethod
    def look_together(
        watchlists: Sequence["Watchlist"], risk: containers.Risk, rows: Iterable[tuple[int, Glance]]
    ) -> None:
        """The same by several at once, of rows that none of them has seen yet."""
        pairs = [(one, one._gauges(risk)) for one in watchlists]
        for index, seen in rows:
            for one, gauges in pairs:
                if not one._place(index, risk, gauges, seen):
                    one._due.add(index)

    def _gauges(self, risk: containers.Risk) -> list[int]:
        """Of each market that of its longs, then that of its shorts."""
        gauges: list[int] = []
        for price, index, maintenance_ppm in zip(risk.price, risk.funding_index, risk.maintenance_ppm, strict=True):
            for fraction in (-maintenance_ppm, maintenance_ppm):
                slope = (constants.PPM + self._multiple * fraction) * constants.FUNDING_SCALE
                gauges.append(slope * price - index * constants.PPM)
        return gauges

    def _place(self, index: int, risk: containers.Risk, gauges: list[int], seen: Glance) -> bool:
        """Looks at an account; whether it can be left alone until a gauge passes one of its bounds."""
        stamp = self._restamp(index)
        self._leaning.discard(index)
        unsettled = seen.unsettled
        room = seen.money * _SCALE - self._slack
        legs: list[tuple[int, int]] = []
        notional = 0
        for held in seen.legs:
            place = 2 * held.market + (held.size < 0)
            price = risk.price[held.market]
            room += held.size * (gauges[place] + held.funding * constants.PPM) - held.cost * _SCALE
            notional += abs(held.size) * price
            legs.append((place, price))
        if not legs:
            return seen.money >= 0
        if room < 0 or notional == 0:
            return False
        if room >= 2 * unsettled * _SCALE:
            # Debts can take all of it, and it stays where it is.
            room -= unsettled * _SCALE
        elif unsettled > 0:
            self._leaning.add(index)
        low = index << _STAMP_BITS | stamp
        for place, price in legs:
            share = room * price // notional
            bound = share + (gauges[place] if place & 1 else -gauges[place])
            self._push(place, (bound << _INDEX_BITS + _STAMP_BITS) + low)
        return True

    def _restamp(self, index: int) -> int:
        if len(self._stamps) <= index:
            self._stamps.frombytes(bytes(self._stamps.itemsize * (index + 1)))
        stamp = self._stamps[index] = (self._stamps[index] + 1) % _STAMPS
        return stamp

    def _is_standing(self, entry: int) -> bool:
        index = entry >> _STAMP_BITS & (1 << _INDEX_BITS) - 1
        return self._stamps[index] == entry & _STAMPS - 1

    def _push(self, place: int, entry: int) -> None:
        heap = self._heaps[place]
        heappush(heap, entry)
        # What was passed over goes once it may be half of the heap: looks pay for it.
        if len(heap) >= 2 * self._swept[place]:
            heap[:] = filter(self._is_standing, heap)
            heapify(heap)
            self._swept[place] = max(len(heap), _LEAST_SWEPT)
