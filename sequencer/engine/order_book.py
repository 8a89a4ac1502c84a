"""Price-time priority in one market: who is next, never whether a fill is lawful.

The book proposes, the law decides, the engine tells the book what came of it. Units: prices in ticks, sizes in lots,
times in milliseconds. Everything here is a function of the calls made, so a replayed journal rebuilds the same book.
"""

from bisect import bisect_left, insort
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from enum import StrEnum
from heapq import heapify, heappop, heappush
from typing import Final

import msgspec

from prover.signing.operations import order_name
from prover.stf import constants
from prover.stf.containers import Order

# Left-overs of removed orders that a heap may hold beside its living ones before it is rebuilt.
HEAP_SLACK: Final = 64


Depth = list[tuple[int, int]]


class Limits(msgspec.Struct, frozen=True):
    """How many orders a book holds, and in how many places an account's orders stand, in all books together.

    An account has one place more for each `micros_of_place` of its equity.
    """

    orders: int
    orders_of_account: int
    micros_of_place: int = 100 * 10**6


class Stop(StrEnum):
    """Why a match has no further proposal."""

    FILLED = "FILLED"
    UNCROSSED = "UNCROSSED"
    SELF_TRADE = "SELF_TRADE"
    ALL_OR_NOTHING = "ALL_OR_NOTHING"


class Resting(msgspec.Struct, gc=False, eq=False):
    """An order in a book and the lots it has left; `arrival` counts the orders of that book.

    behind: its part of the money that stood behind its account's orders in this book when it came, or stands since.
    """

    order: Order
    remaining: int
    arrival: int
    live: bool
    behind: int

    def __lt__(self, other: "Resting") -> bool:
        # Two of one arrival, where one has taken the other's place: only one of them is alive.
        return self.live and not other.live


def order_id(order: Order) -> str:
    """The order's name in feeds and receipts: 0x and 20 hexadecimal digits of account, slot and sequence."""
    return order_name(order.account, order.slot, order.sequence)


class _Agenda:
    """Orders due at a rank, lowest first, then by arrival; removed ones are dropped when met or when they pile up."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Resting]] = []

    def push(self, rank: int, entry: Resting, living: int) -> None:
        """`living` is how many orders the book holds: it bounds what the heap keeps."""
        if len(self._heap) > 2 * living + HEAP_SLACK:
            self._heap = [item for item in self._heap if item[2].live]
            heapify(self._heap)
        heappush(self._heap, (rank, entry.arrival, entry))

    def first(self, rank: int) -> Resting | None:
        """The living order that is due first, at or before `rank`."""
        while self._heap and self._heap[0][0] <= rank:
            if self._heap[0][2].live:
                return self._heap[0][2]
            heappop(self._heap)
        return None

    def pop_through(self, rank: int, most: int) -> list[Resting]:
        """The living orders due at or before `rank`, so many at most."""
        due: list[Resting] = []
        while len(due) < most and (entry := self.first(rank)) is not None:
            heappop(self._heap)
            due.append(entry)
        return due


class _Backing:
    """The orders of a book, the one with the least behind it first and of equal ones the newest.

    Invariant: what stands behind an order only falls; each time it is pushed again, and the older entry is void.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Resting]] = []

    def push(self, entry: Resting, living: int) -> None:
        """`living` is how many orders the book holds: it bounds what the heap keeps."""
        if len(self._heap) > 2 * living + HEAP_SLACK:
            self._heap = [item for item in self._heap if _is_valid(item)]
            heapify(self._heap)
        heappush(self._heap, (entry.behind, -entry.arrival, entry))

    def least(self) -> Resting | None:
        while self._heap and not _is_valid(self._heap[0]):
            heappop(self._heap)
        return self._heap[0][2] if self._heap else None


def _is_valid(item: tuple[int, int, Resting]) -> bool:
    return item[2].live and item[2].behind == item[0]


class _Roster:
    """The orders of one book by account and slot, their number kept within limits, their expiry kept in order."""

    def __init__(self, limits: Limits) -> None:
        self.count = 0
        self._limits = limits
        self._arrivals = 0
        self._accounts: dict[int, dict[int, Resting]] = {}
        self._expiries = _Agenda()
        self._backing = _Backing()

    def has_room(self, gone: int) -> bool:
        """Whether one more finds room, once so many have left."""
        return self.count - gone < self._limits.orders

    def least(self) -> Resting | None:
        """The order with the least behind it."""
        return self._backing.least()

    def count_of(self, account: int) -> int:
        return len(self._accounts.get(account, ()))

    def rate(self, account: int, money: int) -> list[Resting]:
        """Shares what stands behind an account among its orders here; those of which it has become less."""
        held = self._accounts.get(account, {}).values()
        poorer = [entry for entry in held if entry.behind > money // len(held)]
        for entry in poorer:
            entry.behind = money // len(held)
            self._backing.push(entry, self.count)
        return poorer

    def get(self, account: int, slot: int) -> Resting | None:
        held = self._accounts.get(account)
        return None if held is None else held.get(slot)

    def of_account(self, account: int) -> list[Resting]:
        """In order of arrival."""
        return list(self._accounts.get(account, {}).values())

    def every(self) -> list[Resting]:
        """In order of arrival."""
        entries = [entry for held in self._accounts.values() for entry in held.values()]
        entries.sort(key=_arrival)
        return entries

    def enter(self, order: Order, remaining: int, behind: int) -> Resting:
        assert self.has_room(0), "room is made before an order enters"
        held = self._accounts.setdefault(order.account, {})
        assert order.slot not in held, "an order is removed before another takes its slot"
        self._arrivals += 1
        entry = Resting(order, remaining, self._arrivals, True, behind)
        self._expiries.push(order.expires_at, entry, self.count)
        self._backing.push(entry, self.count)
        held[order.slot] = entry
        self.count += 1
        return entry

    def swap(self, entry: Resting, order: Order, remaining: int, behind: int) -> Resting:
        """Another order in an entry's slot, with its arrival."""
        entry.live = False
        by = Resting(order, remaining, entry.arrival, True, behind)
        self._expiries.push(order.expires_at, by, self.count)
        self._backing.push(by, self.count)
        self._accounts[order.account][order.slot] = by
        return by

    def leave(self, entry: Resting) -> None:
        entry.live = False
        held = self._accounts[entry.order.account]
        del held[entry.order.slot]
        if not held:
            del self._accounts[entry.order.account]
        self.count -= 1

    # The law refuses an order whose expires_at lies before the clock: at expires_at itself it is still good.

    def expired(self, now_ms: int, most: int) -> list[Resting]:
        return self._expiries.pop_through(now_ms - 1, most)

    def has_expired(self, now_ms: int) -> bool:
        return self._expiries.first(now_ms - 1) is not None


class _Level:
    """The orders at one price, first come first; OrderedDict, because a dict's front grows slow when it is eaten."""

    __slots__ = ("orders", "size")

    def __init__(self) -> None:
        self.orders: OrderedDict[int, Resting] = OrderedDict()
        self.size = 0


class _Side:
    """One side's levels. A key is the price times `sign`, so that the best is the last of `keys` on both sides."""

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self.keys: list[int] = []
        self.levels: dict[int, _Level] = {}

    def add(self, entry: Resting) -> None:
        key = self.sign * entry.order.limit_price
        level = self.levels.get(key)
        if level is None:
            level = self.levels[key] = _Level()
            insort(self.keys, key)
        level.orders[entry.arrival] = entry
        level.size += entry.remaining

    def shrink(self, entry: Resting, size: int) -> None:
        self.levels[self.sign * entry.order.limit_price].size -= size

    def remove(self, entry: Resting) -> None:
        key = self.sign * entry.order.limit_price
        level = self.levels[key]
        del level.orders[entry.arrival]
        level.size -= entry.remaining
        if not level.orders:
            del self.levels[key]
            del self.keys[bisect_left(self.keys, key)]

    def swap(self, entry: Resting, by: Resting) -> None:
        level = self.levels[self.sign * entry.order.limit_price]
        level.orders[entry.arrival] = by
        level.size += by.remaining - entry.remaining

    def crossed_by(self, limit_price: int) -> bool:
        return bool(self.keys) and self.keys[-1] >= self.sign * limit_price

    def first(self) -> Resting:
        """The order with priority over all others of a side that is not empty."""
        return next(iter(self.levels[self.keys[-1]].orders.values()))

    def by_priority(self, least_key: int) -> Iterator[Resting]:
        """Orders down to a key, the first with priority first; good until the next call that changes the side."""
        for key in reversed(self.keys):
            if key < least_key:
                return
            yield from self.levels[key].orders.values()

    def depth(self, levels: int) -> Depth:
        nearest = self.keys[-1 : -levels - 1 : -1]
        return [(self.sign * key, self.levels[key].size) for key in nearest]


class Matching:
    """The proposals for one taker, each made when the fate of the last is known to the book.

    Iterate once. For every (maker, size) tell the book `filled` (size or less), `remove` the maker, `pass_over` it, or
    stop iterating. `stop` is None until the proposals have run out; `met` is what then stood in the way, and its lots.
    """

    def __init__(self, side: _Side, taker: Order, remaining: int, is_own: Callable[[Order], bool] | None) -> None:
        self.stop: Stop | None = None
        self.met: tuple[Order, int] | None = None
        self._side = side
        self._taker = taker
        self._remaining = remaining
        self._is_own = is_own
        self._offered: Resting | None = None
        self._offered_lots = 0
        # What is left of the side behind the first that was passed over.
        self._behind: deque[Resting] | None = None

    @property
    def remaining(self) -> int:
        """Lots of the taker that are not filled."""
        if self._offered is None:
            return self._remaining
        return self._remaining - self._offered_lots + self._offered.remaining

    def __iter__(self) -> Iterator[tuple[Order, int]]:
        side = self._side
        taker = self._taker
        key_limit = side.sign * taker.limit_price
        all_or_nothing = taker.time_in_force == constants.FILL_OR_KILL
        is_own = self._is_own
        while self._remaining > 0:
            entry = self._next()
            if entry is None or side.sign * entry.order.limit_price < key_limit:
                self.stop = Stop.UNCROSSED
                return
            maker = entry.order
            lots = entry.remaining
            if maker.account == taker.account if is_own is None else is_own(maker):
                self.stop, self.met = Stop.SELF_TRADE, (maker, lots)
                return
            if all_or_nothing and lots < self._remaining:
                self.stop, self.met = Stop.ALL_OR_NOTHING, (maker, lots)
                return
            self._offered = entry
            self._offered_lots = lots
            yield maker, min(lots, self._remaining)
            if self._offered is not None:
                assert entry.remaining < lots or not entry.live, "a proposal is filled, or its maker is removed"
                self._remaining -= lots - entry.remaining
                self._offered = None
        self.stop = Stop.FILLED

    def _next(self) -> Resting | None:
        if self._behind is None:
            return self._side.first() if self._side.keys else None
        while self._behind and not self._behind[0].live:
            self._behind.popleft()
        return self._behind[0] if self._behind else None

    def pass_over(self) -> None:
        """Goes on behind the maker that was proposed, which keeps its place: what is left of the taker may not rest."""
        assert self._offered is not None, "only what was proposed is passed over"
        if self._offered.live:
            if self._behind is None:
                self._behind = deque(self._side.by_priority(self._side.sign * self._taker.limit_price))
            assert self._behind.popleft() is self._offered
        self._offered = None


class _Shared:
    """What book and trigger book of a market have in common: places, and who stands in them."""

    def __init__(self, market: int, limits: Limits) -> None:
        self._market = market
        self._roster = _Roster(limits)

    def __len__(self) -> int:
        return self._roster.count

    def has_room(self, gone: int = 0) -> bool:
        """Whether one more order finds room, once so many have left."""
        return self._roster.has_room(gone)

    def least(self) -> Resting | None:
        """The order that would leave first for one with more behind it."""
        return self._roster.least()

    def count_of(self, account: int) -> int:
        """Orders of an account."""
        return self._roster.count_of(account)

    def rate(self, account: int, money: int) -> list[Resting]:
        """So much stands behind an account now: its orders of which less does."""
        return self._roster.rate(account, money)

    def has_expired(self, now_ms: int) -> bool:
        """Whether the time of an order has passed at `now_ms`."""
        return self._roster.has_expired(now_ms)


class OrderBook(_Shared):
    """The resting orders of one market.

    Invariant: the best bid is below the best ask after every call.

    Self-trade: where the order next in priority belongs to the taker's own account (or as the caller's predicate says)
    the match stops and the caller expires what is left of the taker. The resting order keeps its place: passing it over
    would leave the book crossed. An owner may choose that it leaves; then the predicate lets it be proposed.

    Fill-or-kill: the law wants one fill of the whole size, and the book passes nobody over, so such an order is filled
    by the maker that is next in priority or not at all.
    """

    def __init__(self, market: int, limits: Limits) -> None:
        super().__init__(market, limits)
        self._bids = _Side(1)
        self._asks = _Side(-1)

    def add(self, order: Order, remaining: int, behind: int = 0) -> None:
        """Let an order rest behind its price level; behind: the money that stands behind it."""
        assert order.market == self._market
        assert 0 < remaining <= order.size
        assert order.time_in_force == constants.GOOD_TILL_TIME, "an immediate order never rests"
        assert not self.would_cross(order), "an order is matched, and its rest expired if need be, before it rests"
        self._side_of(order).add(self._roster.enter(order, remaining, behind))

    def get(self, account: int, slot: int) -> Order | None:
        """The order resting in that slot."""
        entry = self._roster.get(account, slot)
        return None if entry is None else entry.order

    def remaining(self, account: int, slot: int) -> int:
        """Lots left of the order resting in that slot, 0 if there is none."""
        entry = self._roster.get(account, slot)
        return 0 if entry is None else entry.remaining

    def orders_of(self, account: int) -> list[Order]:
        """The account's resting orders by arrival."""
        return [entry.order for entry in self._roster.of_account(account)]

    def resting(self) -> list[tuple[Order, int]]:
        """Every order and its lots left by arrival: added in this sequence they make the same book."""
        return [(entry.order, entry.remaining) for entry in self._roster.every()]

    def remove(self, account: int, slot: int) -> Order | None:
        """Take the order in that slot out of the book."""
        entry = self._roster.get(account, slot)
        if entry is None:
            return None
        self._drop(entry)
        return entry.order

    def filled(self, maker: Order, size: int) -> None:
        """Book a fill that the law accepted; a maker with nothing left leaves the book."""
        entry = self._roster.get(maker.account, maker.slot)
        assert entry is not None, "the maker of a fill rests in the book"
        assert entry.order.sequence == maker.sequence
        assert 0 < size <= entry.remaining
        side = self._side_of(maker)
        entry.remaining -= size
        side.shrink(entry, size)
        if entry.remaining == 0:
            self._drop(entry)

    def take_over(self, order: Order, remaining: int, behind: int) -> None:
        """Put an order with no more lots in the place of the one in its slot, which has the same side and price."""
        entry = self._roster.get(order.account, order.slot)
        assert entry is not None, "there is an order in the slot"
        assert (entry.order.side, entry.order.limit_price) == (order.side, order.limit_price), "the level stays"
        assert 0 < remaining <= entry.remaining, "who grows goes to the end of the line"
        self._side_of(order).swap(entry, self._roster.swap(entry, order, remaining, behind))

    def match(self, taker: Order, remaining: int, is_own: Callable[[Order], bool] | None = None) -> Matching:
        """Proposals for a taker; `is_own` tells of a maker whether it stops the match, as one of its owner does."""
        assert taker.market == self._market
        assert 0 < remaining <= taker.size
        return Matching(self._against(taker), taker, remaining, is_own)

    def would_cross(self, order: Order) -> bool:
        """Whether the order's limit meets the other side: then a post-only order is refused."""
        return self._against(order).crossed_by(order.limit_price)

    def facing(self, taker: Order) -> Iterator[tuple[Order, int]]:
        """Orders that cross a taker and their lots left, by priority; good until the next call that changes a side."""
        side = self._against(taker)
        for entry in side.by_priority(side.sign * taker.limit_price):
            yield entry.order, entry.remaining

    def depth(self, levels: int) -> tuple[Depth, Depth]:
        """Bids and asks as (price_ticks, size_lots), the best first, at most `levels` of each."""
        return self._bids.depth(levels), self._asks.depth(levels)

    def expire(self, now_ms: int, most: int) -> list[Order]:
        """Remove orders whose time has passed at `now_ms`, the earliest first and so many at most."""
        entries = self._roster.expired(now_ms, most)
        for entry in entries:
            self._drop(entry)
        return [entry.order for entry in entries]

    def _side_of(self, order: Order) -> _Side:
        return self._bids if order.side == constants.BUY else self._asks

    def _against(self, order: Order) -> _Side:
        return self._asks if order.side == constants.BUY else self._bids

    def _drop(self, entry: Resting) -> None:
        self._side_of(entry.order).remove(entry)
        self._roster.leave(entry)


class TriggerBook(_Shared):
    """The orders of one market that wait for the oracle price; nobody sees them and nothing meets them until then.

    A dormant one waits for more than that: no price reaches it before it is woken.
    """

    def __init__(self, market: int, limits: Limits) -> None:
        super().__init__(market, limits)
        self._above = _Agenda()
        self._below = _Agenda()

    def arm(self, order: Order, behind: int = 0, *, is_dormant: bool = False) -> None:
        """Let an order wait for its trigger; behind: the money that stands behind it."""
        assert order.market == self._market
        assert order.trigger != constants.NO_TRIGGER
        entry = self._roster.enter(order, order.size, behind)
        if not is_dormant:
            self._await_price(entry)

    def wake(self, order: Order) -> None:
        """Let a dormant order wait for its trigger alone, as long as it has waited."""
        entry = self._roster.get(order.account, order.slot)
        assert entry is not None, "who is woken waits"
        self._await_price(entry)

    def _await_price(self, entry: Resting) -> None:
        order, living = entry.order, self._roster.count
        if order.trigger == constants.TRIGGER_AT_OR_ABOVE:
            self._above.push(order.trigger_price, entry, living)
        else:
            self._below.push(-order.trigger_price, entry, living)

    def get(self, account: int, slot: int) -> Order | None:
        """The order waiting in that slot."""
        entry = self._roster.get(account, slot)
        return None if entry is None else entry.order

    def orders_of(self, account: int) -> list[Order]:
        """The account's waiting orders by arrival."""
        return [entry.order for entry in self._roster.of_account(account)]

    def waiting(self) -> list[Order]:
        """Every order by arrival: armed in this sequence they make the same book."""
        return [entry.order for entry in self._roster.every()]

    def remove(self, account: int, slot: int) -> Order | None:
        """Disarm the order in that slot."""
        entry = self._roster.get(account, slot)
        if entry is None:
            return None
        self._roster.leave(entry)
        return entry.order

    def due(self, oracle_price_ticks: int) -> Order | None:
        """The order whose trigger a price reaches first: the nearest one of each direction, of both the first armed."""
        nearest = (self._above.first(oracle_price_ticks), self._below.first(-oracle_price_ticks))
        return min((entry for entry in nearest if entry is not None), key=_arrival).order if any(nearest) else None

    def expire(self, now_ms: int, most: int) -> list[Order]:
        """Remove orders whose time has passed at `now_ms`, the earliest first and so many at most."""
        return self._leave(self._roster.expired(now_ms, most))

    def _leave(self, entries: list[Resting]) -> list[Order]:
        for entry in entries:
            self._roster.leave(entry)
        return [entry.order for entry in entries]


def _arrival(entry: Resting) -> int:
    return entry.arrival
