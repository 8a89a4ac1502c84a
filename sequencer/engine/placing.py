"""Deciding what comes of an order: whether the venue takes it, and which fills it makes of whom it meets.

Nothing changes in here. The engine commits what is decided, a preview throws it away.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol

import msgspec

from prover.state.trial import decide_fill, one_side, peek_account, peek_slot, taker_fee
from prover.stf import codes, constants, containers, encoding, margin, signatures, trading
from prover.stf.replay import KINDS, Chunk
from sequencer.engine.effects import Reason, Refused, Repeated, refused
from sequencer.engine.life.lives import OPEN, place_of
from sequencer.engine.money.posting import fees, is_worth, pays
from sequencer.engine.order_book import Matching, Stop, order_id
from sequencer.engine.orders import WORD_BYTES, Orders
from sequencer.engine.records import CANCEL_TAKER, DECREMENT, OpenOrder, Terms
from sequencer.engine.reservation import Open, Sums, cover, most_lots, needs_more, with_lots

# An order that meets more makers than a chunk has places for overflows it whatever room is left.
_MAKERS_COUNTED: Final = 64
# In a grace so many orders that may not grow are passed over at most: whoever asks looks at no whole book for nothing.
_MAKERS_PASSED: Final = 4_096
_FILL_TAGS: Final = [[*[constants.ORDER] * missing, constants.FILL] for missing in range(3)]
# About half of an empty chunk: bytes, and fills between orders that it has yet to admit.
_HALF: Final = constants.MAX_CHUNK_BYTES // 2, 10 * _FILL_TAGS[2]


class Arrival(msgspec.Struct, frozen=True):
    """An order as it came: decoded, in its bytes, and who signed it."""

    order: containers.Order
    operation: bytes
    signer: bytes
    terms: Terms | None = None


class Tried(msgspec.Struct, frozen=True):
    """What would be filled of an order, at once or from where it rests: so many lots at the limit of `order`."""

    order: containers.Order
    lots: int


class Admitted(msgspec.Struct, frozen=True):
    """An order that the venue takes. replaced: the order whose slot it takes; is_armed: it waits for its trigger.

    is_dormant: and before that for a fill of the order that it comes after.
    """

    replaced: containers.Order | None
    is_armed: bool
    is_dormant: bool = False


class Room(msgspec.Struct, frozen=True):
    """The place of an order that rests or waits. behind: its part of the money behind its account's orders there.

    displaced: the order that leaves a full book for it; refusal: why there is none, empty where there is.
    """

    behind: int
    displaced: containers.Order | None = None
    refusal: str = ""


class Decided(msgspec.Struct, frozen=True):
    """What becomes of one maker: a fill of `lots`, or it leaves, or both orders lose `lots` without one (is_decrement).

    is_passed: or nothing becomes of it, and the taker meets who is behind. missing: orders that the chunk has yet to
    admit.
    """

    maker: containers.Order
    lots: int
    filled: containers.Filled | None = None
    reason: Reason = Reason.REFUSED
    code: int = codes.OK
    missing: tuple[Arrival, ...] = ()
    is_decrement: bool = False
    is_passed: bool = False


class Facing(Protocol):
    """The book that an order meets, or a copy of as much of it as is reached."""

    def match(
        self, taker: containers.Order, size: int, is_own: Callable[[containers.Order], bool] | None = None
    ) -> Matching:
        """The proposals for one taker."""


class Ground(Protocol):
    """The chunk that fills are decided on; it may be another one after each that was committed."""

    @property
    def ticked_at(self) -> int:
        """The time before which an order's end is over, whatever the clock of the chunk."""

    @property
    def is_grace(self) -> bool:
        """Whether the law fills nothing that grows."""

    def account(self, index: int) -> containers.Account:
        """An account with everything decided so far."""

    def signed(self, maker: containers.Order) -> OpenOrder:
        """What is kept of a resting order."""

    def bears(self, maker: containers.Order) -> bool:
        """Whether a resting order's bytes are paid for, by its fees or within what the operator bears."""

    def chunk_for(self, maker: Arrival, taker: Arrival) -> tuple[Chunk, list[Arrival]]:
        """A chunk with room for a fill between two orders, and which of them it has not admitted yet."""


def judge(orders: Orders, chunk: Chunk, arrival: Arrival) -> Admitted | Repeated | Refused:
    """What the venue says of an order at its arrival, on top of `chunk`."""
    order, globals = arrival.order, chunk.globals
    again = orders.lives.repeated(order.account, order.slot, order.sequence, arrival.operation, arrival.signer)
    known = orders.known(order.account, order.slot)
    is_over = order.expires_at < chunk.clock().now
    if again is not None and not (again.status in OPEN and again.filled == 0 and is_over):
        # Whatever has become of the account, the market or the order's time since: the answer is what it came to.
        return again
    account = peek_account(chunk, order.account)
    clock = chunk.clock()
    code = trading.check_order(order, account, arrival.signer, globals.markets, globals.market_count, clock.now)
    if code != codes.OK:
        return refused(code)
    if known is not None and known.operation[:WORD_BYTES] == arrival.operation[:WORD_BYTES]:
        # The same order again by another key that may sign it: the same answer, nothing twice.
        return Repeated(
            order=order_id(order),
            account=order.account,
            market=order.market,
            status=status_of_open(known),
            filled=order.size - known.remaining,
            lots=known.remaining,
            client="" if known.terms is None else known.terms.client,
        )
    if order.created_at < orders.not_before_ms:
        return refused(codes.CANCELLED, "It was created before this node's seat was taken: sign it again.")
    if orders.was_taken(order, clock.now):
        # The law lets an order be filled until it expires; the venue takes each one once.
        return refused(codes.USED)
    held = None if known is None else orders.held(known, order.account, order.slot)
    asked = _check_asked(orders, arrival, held)
    if isinstance(asked, Refused):
        return asked
    tried = as_filled(orders, chunk, order)
    code, is_armed = _check_now(chunk, clock, order, tried, is_dormant=asked)
    if is_armed:
        tried = Tried(order, lots_left(chunk, order))
    if code == codes.TAKER_MARGIN:
        return _uncovered(code, orders, chunk, order, held, tried)
    if code != codes.OK:
        return refused(code)
    if order.post_only == 1 and not is_armed and orders.books[order.market].would_cross(order):
        return refused(codes.POST_ONLY)
    if not _is_covered(orders, chunk, tried, held, is_armed):
        return _uncovered(codes.MARGIN, orders, chunk, order, held, tried, is_armed=is_armed)
    if orders.may_have_to_rest(order, is_armed):
        gone = int(orders.stands_in(held, order.market, is_armed))
        room = room_for(orders, chunk, order, is_armed, replaces=held is not None, gone=gone)
        if room.refusal:
            return refused(codes.FULL, room.refusal)
    return Admitted(replaced=held, is_armed=is_armed, is_dormant=asked)


def _check_asked(orders: Orders, arrival: Arrival, held: containers.Order | None) -> Refused | bool:
    """Whether an order waits for a fill of the one that it comes after; or why what is asked beside it cannot be."""
    order, terms = arrival.order, arrival.terms
    if terms is None:
        return False
    if terms.replaces and (held is None or order_id(held) != terms.replaces):
        return refused(codes.NO_ORDER, "The order that it would replace does not stand in its slot.")
    if not terms.after:
        return False
    if order.reduce_only == 0 or order.trigger == constants.NO_TRIGGER:
        return refused(codes.MISMATCHED, "Only a reduce-only order with a trigger comes after another.")
    place = place_of(terms.after)
    entry = orders.standing(place)
    life = orders.lives.find(*place)
    if entry is None and (life is None or life.filled == 0):
        return refused(codes.NO_ORDER, "The order that it comes after is not open, and was not filled.")
    if entry is not None and entry.reduce_only == 1:
        return refused(
            codes.MISMATCHED, "It comes after an order that may open a position: a reduce-only one does not."
        )
    if life is None or (place[0], life.market, 1 - life.side) != (order.account, order.market, order.side):
        return refused(codes.MISMATCHED, "It comes after an order of its account and market, of the other side.")
    return life.filled == 0


def status_of_open(known: OpenOrder) -> str:
    """Where an open order stands, as it is told."""
    if known.dormant:
        return "dormant"
    return "armed" if known.armed else "resting"


def as_filled(orders: Orders, chunk: Chunk, order: containers.Order) -> Tried:
    """An order as it would be filled today: what meets it at the makers' prices, its rest at its own, if it may rest.

    The price is the average of all, rounded against the order.
    """
    size = reducible(order, peek_account(chunk, order.account), lots_left(chunk, order))
    if size <= 0 or order.limit_price <= 0 or order.market >= chunk.globals.market_count:
        return Tried(order, 0)
    is_whole = order.time_in_force == constants.FILL_OR_KILL
    taken = quote = 0
    for count, (maker, lots) in enumerate(orders.books[order.market].facing(order)):
        if taken == size or (is_whole and lots < size):
            break
        # Of more than a chunk holds, at its limit.
        price = maker.limit_price if count < _MAKERS_COUNTED else order.limit_price
        met = min(lots, size - taken) if count < _MAKERS_COUNTED else size - taken
        taken, quote = taken + met, quote + met * price
    rest = size - taken if order.time_in_force == constants.GOOD_TILL_TIME else 0
    lots, quote = taken + rest, quote + rest * order.limit_price
    if lots == 0:
        return Tried(order, 0)
    price = -(-quote // lots) if order.side == constants.BUY else quote // lots
    return Tried(msgspec.structs.replace(order, limit_price=price), lots)


def _check_now(
    chunk: Chunk, clock: containers.Clock, order: containers.Order, tried: Tried, *, is_dormant: bool = False
) -> tuple[int, bool]:
    """The law's code for an order filled today as it would be, and whether it waits for its trigger."""
    globals, account = chunk.globals, peek_account(chunk, order.account)
    market, price = globals.markets[order.market], globals.risk.price[order.market]
    slot = peek_slot(chunk, order.account << constants.SLOT_BITS | order.slot)
    left = order.size - trading.filled_before(order, slot)
    if not margin.trades(market, price):
        return codes.NO_MARKET, False
    if market.status != constants.MARKET_OPEN and order.reduce_only == 0:
        return codes.MARKET_REDUCES, False
    if not clock.priced:
        return codes.STALE, False
    size = left if is_dormant else reducible(order, account, left)
    if left > 0 and size == 0:
        return codes.REDUCE_ONLY, False
    code = trading.check_order_now(order, account, slot, price, size)
    if is_dormant and code in (codes.OK, codes.REDUCE_ONLY):
        # Neither price nor position are there yet: it waits, whatever they are today.
        code = codes.NOT_TRIGGERED
    if code not in (codes.OK, codes.NOT_TRIGGERED):
        return code, False
    if order.max_fee_ppm < max(market.maker_fee_ppm, market.taker_fee_ppm):
        return codes.FEE_ABOVE_MAXIMUM, False
    if order.max_posting_fee < globals.posting_fee and order.post_only == 0:
        return codes.FEE_ABOVE_MAXIMUM, False
    if code == codes.OK and order.reduce_only == 0 and tried.lots > 0:
        # Covered on its own today: the law asks again at each fill.
        at = tried.order.limit_price
        fee = taker_fee(market, tried.lots, at, globals.posting_fee)
        signed_size = trading.signed_size(order, tried.lots)
        trial = one_side(globals, clock, account, order.market, signed_size, at, fee)
        if trial.code != codes.OK:
            return codes.TAKER_MARGIN if trial.code == codes.MARGIN else trial.code, False
    return codes.OK, code == codes.NOT_TRIGGERED


def _beside(
    orders: Orders, risk: containers.Risk, order: containers.Order, held: containers.Order | None
) -> dict[int, Sums]:
    """What is open of an account beside an order, which takes the slot of the one that is held."""
    open = orders.reserved(order.account, risk.price)
    if held is None:
        return open
    known = orders.signed(held)
    return with_lots(open, held, -known.remaining, known.armed, risk.price[held.market])


def _is_covered(orders: Orders, chunk: Chunk, tried: Tried, held: containers.Order | None, is_armed: bool) -> bool:
    """Whether an account's equity covers an order, as it would be filled, with all that it has open."""
    order, left = tried.order, tried.lots
    if order.reduce_only == 1 or left == 0:
        return True
    open = _beside(orders, chunk.globals.risk, order, held)
    if not open and not is_armed and order.time_in_force != constants.GOOD_TILL_TIME:
        # Alone it stands for no more than its fill now, which the law has just taken. What may rest is another thing:
        # the law counts as a gain what its limit is better than the price, and nobody has sold to it yet.
        return True
    if not needs_more(chunk.globals.risk, peek_account(chunk, order.account), open, order, left, is_armed):
        return True
    return _most_covered(chunk, open, order, is_armed) >= left


def _most_covered(chunk: Chunk, open: Open, order: containers.Order, is_armed: bool) -> int:
    risk = chunk.globals.risk
    settled, _ = margin.settle(risk, peek_account(chunk, order.account), chunk.clock().now)
    return most_lots(risk, settled, open, order, is_armed)


def _uncovered(
    code: int,
    orders: Orders,
    chunk: Chunk,
    order: containers.Order,
    held: containers.Order | None,
    tried: Tried,
    *,
    is_armed: bool = False,
) -> Refused:
    """The refusal of an order that lacks margin: what there is, and the largest size that would pass."""
    at = tried.order.limit_price
    globals, clock = chunk.globals, chunk.clock()
    risk, market = globals.risk, globals.markets[order.market]
    account = peek_account(chunk, order.account)
    open = _beside(orders, risk, order, held)
    high = min(_most_covered(chunk, open, tried.order, is_armed), lots_left(chunk, order))

    def is_taken(lots: int) -> bool:
        fee = taker_fee(market, lots, at, globals.posting_fee)
        signed_size = trading.signed_size(order, lots)
        return one_side(globals, clock, account, order.market, signed_size, at, fee).code == codes.OK

    low = 0
    while not is_armed and low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if is_taken(middle) else (low, middle - 1)
    most = high if high * order.limit_price >= market.minimum_notional else 0
    settled, _ = margin.settle(risk, account, clock.now)
    free = max(0, cover(risk, settled, open).free)
    return Refused(
        code=code,
        detail=f"Free collateral beside the account's other open orders is {free // 10**6}.{free % 10**6:06d} dollars, "
        f"and {most} lots are the largest size that passes; a reduce-only order reserves nothing.",
        most_lots=most,
    )


def room_for(
    orders: Orders, chunk: Chunk, order: containers.Order, is_armed: bool, *, replaces: bool, gone: int = 0
) -> Room:
    """Where an order finds its place: one of its account's, in a book with room or instead of one with less behind it.

    replaces: it takes the place of another of its account; gone: orders that leave the book before it rests.
    """
    limits, book = orders.limits, (orders.triggers if is_armed else orders.books)[order.market]
    account, held = peek_account(chunk, order.account), orders.count(order.account)
    behind = max(0, margin.collateral(account)) // (book.count_of(order.account) + 1)
    if held >= limits.orders_of_account and not replaces:
        settled, _ = margin.settle(chunk.globals.risk, account, chunk.clock().now)
        equity = max(0, cover(chunk.globals.risk, settled, {}).equity)
        places = limits.orders_of_account + equity // limits.micros_of_place
        if held >= places:
            return Room(
                behind,
                refusal=f"The account has {held} open orders and {places} places: {limits.orders_of_account} and one "
                f"for each {limits.micros_of_place // 10**6} dollars of equity.",
            )
    if book.has_room(gone):
        return Room(behind)
    least = book.least()
    if least is None or least.behind >= behind:
        sentence = f"The book holds {limits.orders} orders, which is its limit, and as much money stands behind each."
        return Room(behind, refusal=sentence)
    return Room(behind, displaced=least.order)


def pays_its_bytes(chunk: Chunk, order: containers.Order, remaining: int, byte_micros: int) -> bool:
    """Whether the fees of a resting order, of all that was filled of it and is left, pay for its bytes on L1.

    Of a reduce-only order no more is left than its position.
    """
    left = reducible(order, peek_account(chunk, order.account), remaining)
    lots = order.size - lots_left(chunk, order) + left
    return pays(chunk.globals.markets[order.market], lots, order.limit_price, byte_micros)


def stop_pays(chunk: Chunk, order: containers.Order, lots: int, byte_micros: int) -> bool:
    """Whether a stop pays for its bytes on L1 where one maker fills it, or closes a position that is worth them."""
    listed, price = chunk.globals.markets[order.market], chunk.globals.risk.price[order.market]
    account = peek_account(chunk, order.account)
    closed = reducible(order, account, lots)
    size = 2 * constants.ORDER_LENGTH + constants.FILL_LENGTH
    cost = size * byte_micros - fees(listed, closed, price) - chunk.globals.posting_fee
    is_whole = order.reduce_only == 1 and closed == abs(encoding.unpack(account.positions[order.market]).size)
    return cost <= 0 or (is_whole and is_worth(cost, closed * price))


def maker_cost(listed: containers.Market, decided: Decided, taker: containers.Order, byte_micros: int) -> int:
    """What a maker's bytes of a fill, and of its order where the chunk has not admitted it, cost beyond the fees."""
    orders = sum(arrival.order is not taker for arrival in decided.missing)
    size = constants.FILL_LENGTH + orders * constants.ORDER_LENGTH
    return size * byte_micros - fees(listed, decided.lots, decided.maker.limit_price)


def keeps_place(orders: Orders, chunk: Chunk, order: containers.Order, held: containers.Order, is_armed: bool) -> bool:
    """Whether an order that takes the slot of one that rests keeps its place in the line: only its size falls."""
    if is_armed or not orders.stands_in(held, order.market, is_armed=False):
        return False
    same = (order.side, order.limit_price, order.reduce_only) == (held.side, held.limit_price, held.reduce_only)
    is_patient = order.time_in_force == constants.GOOD_TILL_TIME
    return same and is_patient and 0 < lots_left(chunk, order) <= orders.signed(held).remaining


def check_soft_cancel(
    chunk: Chunk, tag: int, request: containers.Request, signer: bytes, now: int, *, handed_in: int | None = None
) -> int:
    """The code of a soft cancel: a signature that may, in time; what it voids may be gone already.

    handed_in: when it had to be in time, where it was to happen later.
    """
    if (request.slot == 0) != (tag == constants.CANCEL_ALL):
        return codes.NOT_CANONICAL
    code = signatures.entrusted(peek_account(chunk, request.account), signer, request.slot, now)
    if code != codes.OK:
        return code
    timed_at = now if handed_in is None else handed_in
    return signatures.timely(
        request.sequence, request.created_at, request.expires_at, constants.REQUEST_LIFETIME, timed_at
    )


def reducible(order: containers.Order, account: containers.Account, left: int) -> int:
    """Lots that may be filled now: a reduce-only order never more than the position."""
    return left if order.reduce_only == 0 else shrinking(order, account, left)


def shrinking(order: containers.Order, account: containers.Account, left: int) -> int:
    """Lots of an order that make its position smaller."""
    held = encoding.unpack(account.positions[order.market]).size
    return min(left, abs(held)) if (held > 0) != (order.side == constants.BUY) else 0


def kept_behind(order: containers.Order, account: containers.Account, lots: int, before: int) -> int:
    """Lots of an open order that stay: of a reduce-only one what the position has beyond `before`, which came first."""
    return max(reducible(order, account, before + lots) - before, 0)


def lots_left(chunk: Chunk, order: containers.Order) -> int:
    """Lots of an order that the law has not filled."""
    return order.size - trading.filled_before(
        order, peek_slot(chunk, order.account << constants.SLOT_BITS | order.slot)
    )


def needed(orders: Orders, chunk: Chunk, order: containers.Order) -> list[int]:
    """Tags of what an order will put into `chunk` where every maker that it meets is good."""
    left = lots_left(chunk, order)
    tags: list[int] = []
    for maker, lots in orders.books[order.market].facing(order):
        if left <= 0 or maker.account == order.account or len(tags) >= 2 * _MAKERS_COUNTED:
            break
        if not is_admitted(chunk, maker):
            tags.append(constants.ORDER)
        tags.append(constants.FILL)
        left -= lots
    if tags and not is_admitted(chunk, order):
        tags.append(constants.ORDER)
    return tags


def fits(orders: Orders, chunk: Chunk, order: containers.Order, has_room: Callable[[int, Sequence[int]], bool]) -> bool:
    """Whether the open chunk is the place for what an order will come to, as far as can be told beforehand.

    It is not where it is half full and a new chunk would hold all of it; what no chunk holds is cut anyway. Never
    before: an order that only seems to meet many, and meets none, would seal behind each trade of others for nothing.
    """
    if has_room(*_HALF):
        return True
    tags = needed(orders, chunk, order)
    size = sum(constants.ORDER_LENGTH if tag == constants.ORDER else constants.FILL_LENGTH for tag in tags)
    return has_room(size, tags) or not _is_held_by_one(size, tags)


def _is_held_by_one(size: int, tags: Sequence[int]) -> bool:
    """Whether an empty chunk has room for operations of orders and fills."""
    taken = [KINDS[tag] for tag in tags]
    return (
        constants.TIMESTAMP_LENGTH + size <= constants.MAX_CHUNK_BYTES
        and sum(kind.weight for kind in taken) <= constants.MAX_WEIGHT
        and sum(kind.accounts for kind in taken) <= constants.MAX_ACCOUNT_REFERENCES
        and sum(kind.slots for kind in taken) <= constants.MAX_SLOT_REFERENCES
    )


def room_of_fill(missing: int) -> tuple[int, list[int]]:
    """Bytes and tags of a fill and of so many orders that the chunk has yet to admit."""
    return constants.FILL_LENGTH + missing * constants.ORDER_LENGTH, _FILL_TAGS[missing]


def is_admitted(chunk: Chunk, order: containers.Order) -> bool:
    """Whether a chunk holds the order already."""
    return (order.account, order.slot, order.sequence) in chunk.order_index


def still_entitled(chunk: Chunk, order: containers.Order, signer: bytes) -> int:
    """Whether an order taken earlier would still be admitted to this chunk: the law's code."""
    clock = chunk.commitment.timestamp
    if order.expires_at < clock or order.created_at > clock + constants.CLOCK_TOLERANCE:
        return codes.EXPIRED
    # The owner may have dismissed the agent since, or the grant may have run out.
    return signatures.entrusted(peek_account(chunk, order.account), signer, order.slot, clock)


def is_maker_at_fault(chunk: Chunk, maker: containers.Order, size: int, code: int) -> bool:
    """Of a fill of `size` lots that the law refused with `code`: whether the resting order leaves, not the taker."""
    price = chunk.globals.risk.price[maker.market]
    rows = peek_account(chunk, maker.account), peek_slot(chunk, maker.account << constants.SLOT_BITS | maker.slot)
    return (
        code == codes.MAKER_MARGIN
        or trading.check_order_now(maker, *rows, price, size) != codes.OK
        or maker.max_fee_ppm < chunk.globals.markets[maker.market].maker_fee_ppm
        or (code == codes.PRICE_BAND and _is_stale_quote(maker, price))
    )


def _is_stale_quote(maker: containers.Order, oracle: int) -> bool:
    """Whether a maker's price left the band on the side that harms the maker: it only blocks the book."""
    return maker.limit_price > oracle if maker.side == constants.BUY else maker.limit_price < oracle


def departure(code: int) -> Reason:
    """Why a resting order leaves for which the law has refused something with this code."""
    if code == codes.EXPIRED:
        return Reason.EXPIRED
    return Reason.DISMISSED if code in (codes.AGENT_LIMITS, codes.BAD_SIGNATURE, codes.NOT_YET) else Reason.REFUSED


class Placing:
    """One order against what it faces, by price and time. Iterate once; commit each decision before the next."""

    def __init__(self, ground: Ground, facing: Facing, taker: Arrival, left: int, size: int) -> None:
        """left: lots of the order that are not filled; size: of these what may be filled now."""
        self._ground = ground
        self._taker = taker
        self._left = left
        self._owner = ground.account(taker.order.account).owner
        self._policy = CANCEL_TAKER if taker.terms is None else taker.terms.self_trade
        self._matching = facing.match(taker.order, size, self._is_in_the_way)
        self._is_grace = ground.is_grace
        self._passed = 0
        self._halt = codes.OK
        self.filled = 0

    def _is_own(self, maker: containers.Order) -> bool:
        return self._ground.account(maker.account).owner == self._owner

    def _is_in_the_way(self, maker: containers.Order) -> bool:
        """Whether the match stops at a maker: an agent lets nothing leave of another account than his order's."""
        if not self._is_own(maker):
            return False
        may = self._taker.signer == self._owner or maker.account == self._taker.order.account
        return self._policy == CANCEL_TAKER or not may

    def __iter__(self) -> Iterator[Decided]:
        ground = self._ground
        for maker, offered in self._matching:
            if self._policy != CANCEL_TAKER and self._is_own(maker):
                is_decrement = self._policy == DECREMENT
                self._left -= offered if is_decrement else 0
                yield Decided(maker, offered, reason=Reason.SELF_TRADE, is_decrement=is_decrement)
                continue
            lots = reducible(maker, ground.account(maker.account), offered)
            if lots == 0:
                yield Decided(maker, 0, reason=Reason.REDUCED)
                continue
            if self._is_grace:
                lots = shrinking(maker, ground.account(maker.account), lots)
            if lots == 0:
                # It may grow again when the grace is over, and hides nobody who reduces until then.
                self._halt = codes.GRACE
                self._passed += 1
                if self._passed > _MAKERS_PASSED:
                    return
                yield Decided(maker, 0, is_passed=True)
                self._matching.pass_over()
                continue
            if not ground.bears(maker):
                yield Decided(maker, 0, reason=Reason.UNPAID)
                continue
            code, decided = self._decide(maker, lots)
            if decided is None:
                self._halt = code
                return
            if decided.filled is not None:
                self.filled += lots
            yield decided

    def _decide(self, maker: containers.Order, lots: int) -> tuple[int, Decided | None]:
        """The law's code, and what becomes of the maker; None where it is the taker's fault."""
        if maker.expires_at < self._ground.ticked_at:
            # One of many that a tick found at their end, and that later inputs take out.
            return codes.EXPIRED, _leaves(maker, codes.EXPIRED)
        known = self._ground.signed(maker)
        makers = Arrival(maker, known.operation, known.signer)
        chunk, missing = self._ground.chunk_for(makers, self._taker)
        for arrival in missing:
            code = still_entitled(chunk, arrival.order, arrival.signer)
            if code != codes.OK:
                return code, _leaves(maker, code) if arrival is makers else None
        filled = decide_fill(chunk, maker, self._taker.order, lots)
        if filled.code == codes.OK:
            return codes.OK, Decided(maker, lots, filled=filled, missing=tuple(missing))
        is_makers = is_maker_at_fault(chunk, maker, lots, filled.code)
        return filled.code, _leaves(maker, filled.code) if is_makers else None

    @property
    def remaining(self) -> int:
        """Lots of the order that are not filled."""
        return self._left - self.filled

    @property
    def may_rest(self) -> bool:
        """Whether the rest may rest, where the book has room."""
        is_patient = self._taker.order.time_in_force == constants.GOOD_TILL_TIME
        return is_patient and self._halt == codes.OK and self._matching.stop is Stop.UNCROSSED

    @property
    def reason(self) -> Reason:
        """Why the rest leaves where it does not rest."""
        return Reason.UNFILLED if self._halt == codes.OK else Reason.REFUSED

    @property
    def met(self) -> tuple[str, int]:
        """What stood in the way of the rest: the order's name, where it is the owner's own, and its lots."""
        if self._matching.met is None:
            return "", 0
        maker, lots = self._matching.met
        return order_id(maker) if self._matching.stop is Stop.SELF_TRADE else "", lots

    @property
    def detail(self) -> str:
        """The law's rule or the match's stop that left the rest."""
        return codes.SENTENCE[self._halt][0] if self._halt != codes.OK else str(self._matching.stop or "")


def _leaves(maker: containers.Order, code: int) -> Decided:
    return Decided(maker, 0, reason=departure(code), code=code)
