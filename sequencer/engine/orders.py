"""The open orders: books, triggers, the bytes that were signed, and which slot was taken up to which sequence."""

from collections import Counter, deque
from heapq import heapify, heappop, heappush, heapreplace
from typing import Final

import msgspec

from prover.signing.receipts import Receipt, chained
from prover.state.trial import NO_ORDER
from prover.stf import constants, containers, encoding
from prover.stf.words import word_at
from sequencer.engine.asked.followers import Followers
from sequencer.engine.asked.links import Links
from sequencer.engine.asked.switch import Switches
from sequencer.engine.life.lives import Lives, place_of
from sequencer.engine.order_book import Limits, OrderBook, TriggerBook
from sequencer.engine.records import (
    NOT_BEFORE_KEY,
    ORDER_KEY,
    RECEIPTS_KEY,
    TAKEN_KEY,
    OpenOrder,
    StagedStore,
    Writes,
    place_key,
)
from sequencer.engine.reservation import Reservations, Sums

# Where an order's bytes name its market.
_MARKET_AT: Final = 4
# The signed fields of an order: its bytes without the signature.
WORD_BYTES: Final = constants.ORDER_LENGTH - 64
# No order stands in it: of a soft cancel of all.
EVERY_SLOT: Final = 0
_HIGHEST_PRICE: Final = 2**48 - 1


class Orders:
    """Every open order, each in one book of its market, and the places that were taken."""

    def __init__(self, store: StagedStore, limits: Limits, arrivals: int) -> None:
        """arrivals: orders that were remembered so far."""
        self.arrivals = arrivals
        # What was created before is not taken: whoever held the seat then may have taken it back off L1.
        self.not_before_ms = int.from_bytes(store.get(NOT_BEFORE_KEY) or b"", "big")
        self.limits = limits
        self.lives = Lives(store)
        self.switches = Switches(store)
        self.links = Links()
        self.followers = Followers()
        self.books = [OrderBook(market, limits) for market in range(constants.MARKETS)]
        self.triggers = [TriggerBook(market, limits) for market in range(constants.MARKETS)]
        self._open: dict[tuple[int, int], OpenOrder] = {}
        self._reservations = Reservations()
        self._counts: Counter[int] = Counter()
        # Slots of an account's reduce-only orders.
        self._reducing: dict[int, set[int]] = {}
        self._dirty: set[tuple[int, int]] = set()
        self._taken: dict[tuple[int, int], tuple[int, int]] = {
            (int.from_bytes(key[-4:-1], "big"), key[-1]): msgspec.msgpack.decode(value, type=tuple[int, int])
            for key, value in store.iterate(TAKEN_KEY)
        }
        self._dirty_taken: set[tuple[int, int]] = set()
        self._running_hash = store.get(RECEIPTS_KEY) or containers.NO_HASH
        # One entry for each taken place: no later than its end, and put back where the end has moved.
        self._taken_ends = [(until, place) for place, (_, until) in self._taken.items()]
        heapify(self._taken_ends)
        self._load(store)

    def _load(self, store: StagedStore) -> None:
        entries = [msgspec.msgpack.decode(value, type=OpenOrder) for _, value in store.iterate(ORDER_KEY)]
        for known in sorted(entries, key=lambda entry: entry.arrival):
            order = encoding.order(word_at(known.operation, 1), word_at(known.operation, 32))
            self._open[(order.account, order.slot)] = known
            self._reservations.put(order, known.remaining, known.armed)
            self._counts[order.account] += 1
            self._note_asked(order, known)
            if known.armed:
                self.triggers[order.market].arm(order, known.behind, is_dormant=known.dormant)
            else:
                self.books[order.market].add(order, known.remaining, known.behind)

    # What is seen.

    def known(self, account: int, slot: int) -> OpenOrder | None:
        """What is kept of the open order in that slot."""
        return self._open.get((account, slot))

    def signed(self, order: containers.Order) -> OpenOrder:
        """What is kept of an open order."""
        return self._open[(order.account, order.slot)]

    def held(self, known: OpenOrder, account: int, slot: int) -> containers.Order:
        """The open order that is kept as `known`."""
        market = known.operation[_MARKET_AT]
        book = self.triggers[market] if known.armed else self.books[market]
        order = book.get(account, slot)
        assert order is not None, "an open order stands in one book"
        return order

    def open_of(self, account: int) -> list[tuple[containers.Order, int, bool]]:
        """Open orders of an account as (order, lots left, waits for its trigger)."""
        found: list[tuple[containers.Order, int, bool]] = []
        for book, triggers in zip(self.books, self.triggers, strict=True):
            found += [(order, book.remaining(order.account, order.slot), False) for order in book.orders_of(account)]
            found += [(order, self.signed(order).remaining, True) for order in triggers.orders_of(account)]
        return found

    def reserved(self, account: int, prices: list[int]) -> dict[int, Sums]:
        """What may grow an account's positions, by market, measured at these oracle prices."""
        return self._reservations.of(account, prices)

    def reserving(self, account: int) -> list[containers.Order]:
        """The orders of an account that reserve margin, the newest first."""
        found = self._reservations.orders_of(account)
        return sorted(found, key=lambda order: -self.signed(order).arrival)

    def of_market(self, market: int) -> list[containers.Order]:
        """Open orders of a market: those that rest by arrival, then those that wait."""
        return [*(order for order, _ in self.books[market].resting()), *self.triggers[market].waiting()]

    def was_taken(self, order: containers.Order, clock: int) -> bool:
        """Whether the slot was taken up to the order's sequence, by something that could still be executed."""
        places = (order.account, order.slot), (order.account, EVERY_SLOT)
        taken = [self._taken.get(place, (-1, -1)) for place in places]
        return any(order.sequence <= sequence and clock <= until for sequence, until in taken)

    def resting_against(self, market: int, size: int, now: int) -> list[tuple[containers.Order, int]]:
        """Resting orders that a position of so many signed lots could be closed against at `now`, the best first."""
        side = constants.SELL if size > 0 else constants.BUY
        limit = 1 if size > 0 else _HIGHEST_PRICE
        closing = msgspec.structs.replace(NO_ORDER, market=market, side=side, limit_price=limit)
        return [(maker, lots) for maker, lots in self.books[market].facing(closing) if maker.expires_at >= now]

    @property
    def open_count(self) -> int:
        """Open orders of all accounts."""
        return len(self._open)

    def count(self, account: int) -> int:
        """Open orders of an account, in all books together."""
        return self._counts[account]

    def stands_in(self, order: containers.Order | None, market: int, is_armed: bool) -> bool:
        """Whether an open order, where there is one, stands in that book."""
        if order is None:
            return False
        return order.market == market and self.signed(order).armed == is_armed

    def may_have_to_rest(self, order: containers.Order, is_armed: bool) -> bool:
        """Whether an order needs a place where nothing of it is filled at once."""
        is_patient = order.time_in_force == constants.GOOD_TILL_TIME
        return is_armed or (is_patient and not self.books[order.market].would_cross(order))

    # What changes.

    def take(self, order: containers.Order, group: int = 0) -> None:
        """An order takes its slot up to its sequence: the law may fill it often, the venue takes it once.

        group: its own, also where nothing of it ever rests.
        """
        self.links.put((order.account, order.slot, order.sequence), group)
        self._take((order.account, order.slot), order.sequence, order.expires_at)

    def void(self, request: containers.Request, now: int) -> Receipt:
        """A soft cancel takes its slot, or all of them, for as long as the law may fill what was signed before it."""
        place = (request.account, request.slot)
        sequence, _ = self._taken.get(place, (request.sequence, 0))
        self._take(place, max(sequence, request.sequence), now + constants.CLOCK_TOLERANCE + constants.STOP_LIFETIME)
        receipt = chained(self._running_hash, *place, request.sequence, now)
        self._running_hash = receipt.running_hash
        return receipt

    def _take(self, place: tuple[int, int], sequence: int, until: int) -> None:
        known = self._taken.get(place)
        if known is None:
            heappush(self._taken_ends, (until, place))
        else:
            until = max(until, known[1])
        self._taken[place] = (sequence, until)
        self._dirty_taken.add(place)

    def arm(self, order: containers.Order, known: OpenOrder) -> None:
        """Lets an order wait for its trigger."""
        self.triggers[order.market].arm(order, known.behind, is_dormant=known.dormant)
        self._remember(order, known)

    def wake(self, order: containers.Order) -> int:
        """Lets an order that came after another wait for its trigger alone; its lots."""
        place = (order.account, order.slot)
        self.triggers[order.market].wake(order)
        self._open[place].dormant = False
        self._dirty.add(place)
        return self._open[place].remaining

    def hang(self, order: containers.Order, entry: str) -> None:
        """Lets an order come after another one than before."""
        place = (order.account, order.slot)
        known = self._open[place]
        assert known.terms is not None, "who comes after another was asked to"
        self.followers.drop((*place, order.sequence))
        known.terms = msgspec.structs.replace(known.terms, after=entry)
        self._note_asked(order, known)
        self._dirty.add(place)

    def rest(self, order: containers.Order, known: OpenOrder) -> None:
        """Lets what is left of an order rest in its book."""
        self._remember(order, known)
        self.books[order.market].add(order, known.remaining, known.behind)

    def take_over(self, order: containers.Order, known: OpenOrder) -> int:
        """Lets an order with no more lots stand in the place of the one in its slot; the lots that this had left."""
        place = (order.account, order.slot)
        held = self._open[place]
        known.arrival = held.arrival
        self.books[order.market].take_over(order, known.remaining, known.behind)
        self._open[place] = known
        self._reservations.put(order, known.remaining, is_armed=False)
        self._note_asked(order, known)
        self._dirty.add(place)
        return held.remaining

    def shrink(self, order: containers.Order, lots: int) -> None:
        """Takes so many lots, fewer than it has, from an open order without a fill."""
        place = (order.account, order.slot)
        known = self._open[place]
        assert 0 < lots < known.remaining, "what has nothing left leaves"
        if not known.armed:
            self.books[order.market].filled(order, lots)
        known.remaining -= lots
        known.reduced += lots
        self._reservations.put(order, known.remaining, known.armed)
        self._dirty.add(place)

    def reducing_of(self, account: int) -> list[tuple[containers.Order, OpenOrder]]:
        """Reduce-only orders of an account, the first that came first."""
        found = [(slot, self._open[(account, slot)]) for slot in self._reducing.get(account, ())]
        found.sort(key=lambda one: one[1].arrival)
        return [(self.held(known, account, slot), known) for slot, known in found]

    def is_open(self, place: tuple[int, int, int]) -> bool:
        """Whether the order of that account, slot and sequence stands in a book."""
        return self.standing(place) is not None

    def standing(self, place: tuple[int, int, int]) -> containers.Order | None:
        """The open order of that account, slot and sequence."""
        account, slot, sequence = place
        known = self._open.get((account, slot))
        order = None if known is None else self.held(known, account, slot)
        return order if order is not None and order.sequence == sequence else None

    def _note_asked(self, order: containers.Order, known: OpenOrder) -> None:
        self._note_reducing(order, is_open=True)
        if known.terms is not None:
            place = (order.account, order.slot, order.sequence)
            self.links.put(place, known.terms.group)
            if known.terms.after:
                self.followers.put(place, place_of(known.terms.after))

    def _note_reducing(self, order: containers.Order, *, is_open: bool) -> None:
        slots = self._reducing.get(order.account, set())
        if is_open and order.reduce_only == 1:
            self._reducing[order.account] = slots | {order.slot}
        elif order.slot in slots:
            self._reducing[order.account] = slots - {order.slot}
            if len(slots) == 1:
                del self._reducing[order.account]

    def rate(self, account: int, money: int) -> None:
        """So much money stands behind an account's orders from now on; more than when they came counts for none."""
        for book in (*self.books, *self.triggers):
            for entry in book.rate(account, money):
                place = (account, entry.order.slot)
                self._open[place].behind = entry.behind
                self._dirty.add(place)

    def filled(self, maker: containers.Order, lots: int) -> None:
        """Books a fill of a resting order that the law accepted; with nothing left it is gone."""
        self.books[maker.market].filled(maker, lots)
        place = (maker.account, maker.slot)
        known = self._open[place]
        known.remaining -= lots
        self._dirty.add(place)
        self._reservations.put(maker, known.remaining, is_armed=False)
        if known.remaining == 0:
            self._counts[maker.account] -= 1
            del self._open[place]
            self._note_reducing(maker, is_open=False)

    def leave(self, order: containers.Order) -> int:
        """Takes an open order out of its book; the lots it had left."""
        removed = self.books[order.market].remove(order.account, order.slot)
        if removed is None:
            removed = self.triggers[order.market].remove(order.account, order.slot)
        assert removed is not None, "an open order stands in one book"
        return self._forget(order).remaining

    def expire(self, now: int, most: int) -> list[tuple[containers.Order, int]]:
        """Takes out what has expired by `now`, so many at most: each order and the lots it had left."""
        expired: list[containers.Order] = []
        for pair in zip(self.books, self.triggers, strict=True):
            for book in pair:
                expired += book.expire(now, most - len(expired))
        return [(order, self._forget(order).remaining) for order in expired]

    def has_expired(self, now: int) -> bool:
        """Whether an open order has expired by `now`."""
        return any(book.has_expired(now) for book in (*self.books, *self.triggers))

    def is_due(self, prices: list[int]) -> bool:
        """Whether oracle prices reach the trigger of an order that waits."""
        return any(len(book) and book.due(price) for book, price in zip(self.triggers, prices, strict=True))

    def fire(self, prices: list[int], most: int) -> list[tuple[containers.Order, OpenOrder]]:
        """Takes out orders whose triggers oracle prices reach, the first armed first.

        Where more than `most` are due, those go whose triggers were reached first, the markets in turn; the others
        wait on.
        """
        fired: list[tuple[containers.Order, OpenOrder]] = []
        books = deque((book, price) for book, price in zip(self.triggers, prices, strict=True) if len(book))
        while books and len(fired) < most:
            book, price = books.popleft()
            order = book.due(price)
            if order is not None:
                book.remove(order.account, order.slot)
                fired.append((order, self._forget(order)))
                books.append((book, price))
        return sorted(fired, key=lambda pair: pair[1].arrival)

    def _remember(self, order: containers.Order, known: OpenOrder) -> None:
        place = (order.account, order.slot)
        self.arrivals += 1
        self._counts[order.account] += 1
        self._open[place] = known
        self._reservations.put(order, known.remaining, known.armed)
        self._note_asked(order, known)
        self._dirty.add(place)

    def _forget(self, order: containers.Order) -> OpenOrder:
        place = (order.account, order.slot)
        self._dirty.add(place)
        self._reservations.put(order, 0, is_armed=False)
        self._counts[order.account] -= 1
        self._note_reducing(order, is_open=False)
        return self._open.pop(place)

    # What is kept.

    def writes(self, clock: int) -> Writes:
        """What has changed since the last call, as the store keeps it; places taken by the expired are forgotten."""
        self._prune_taken(clock)
        writes = self.lives.writes() | self.switches.writes()
        for place in self._dirty:
            known = self._open.get(place)
            writes[place_key(ORDER_KEY, *place)] = None if known is None else msgspec.msgpack.encode(known)
        for place in self._dirty_taken:
            taken = self._taken.get(place)
            writes[place_key(TAKEN_KEY, *place)] = None if taken is None else msgspec.msgpack.encode(taken)
        writes[RECEIPTS_KEY] = self._running_hash
        self._dirty.clear()
        self._dirty_taken.clear()
        return writes

    def _prune_taken(self, clock: int) -> None:
        """Forgets what has expired: the law executes none of it again, and the clock of chunks never goes back.

        What a cancel or a floor has made impossible stays until then: it would be possible again after a re-sequencing.
        """
        while self._taken_ends and self._taken_ends[0][0] < clock:
            place = self._taken_ends[0][1]
            until = self._taken[place][1]
            if until < clock:
                heappop(self._taken_ends)
                del self._taken[place]
                self._dirty_taken.add(place)
            else:
                heapreplace(self._taken_ends, (until, place))
