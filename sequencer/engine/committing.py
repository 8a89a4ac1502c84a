"""Doing what was decided: a fill, a rescue or a payment reaches chunk, books and lists together, and is told."""

import msgspec

from prover.signing import operations
from prover.state.trial import NO_ORDER, decide_rescue, maker_fee
from prover.stf import codes, constants, containers, margin
from prover.stf.replay import HEAD_ENDS, Chunk
from sequencer.engine.effects import (
    AnyEffect,
    Armed,
    EntryEnded,
    Filled,
    Left,
    PaidOut,
    Reason,
    Rested,
    Shrunk,
    Switched,
)
from sequencer.engine.ledger import Ledger
from sequencer.engine.money.moved import paid_out
from sequencer.engine.money.posting import Payer, payer
from sequencer.engine.money.touched import behind
from sequencer.engine.open_chunk import OpenChunk
from sequencer.engine.order_book import order_id
from sequencer.engine.orders import Orders
from sequencer.engine.placing import (
    Arrival,
    Decided,
    Placing,
    Room,
    departure,
    is_admitted,
    is_maker_at_fault,
    lots_left,
    maker_cost,
    pays_its_bytes,
    reducible,
    room_for,
    room_of_fill,
    still_entitled,
    stop_pays,
)
from sequencer.engine.queue import Queue
from sequencer.engine.records import EntryRecord, Fill, OpenOrder
from sequencer.engine.reservation import cover


class Committing:
    """The open chunk, and beside it the open orders, the lists and the L1 queue; now: the clock of the input."""

    def __init__(self, chunk: OpenChunk, orders: Orders, ledger: Ledger, queue: Queue) -> None:
        self.chunk = chunk
        self.orders = orders
        self.ledger = ledger
        self.queue = queue
        self.now = 0
        # Of each market, as its orders were last looked at.
        self._statuses = self._statuses_now()

    # Orders.

    def account(self, index: int) -> containers.Account:
        """An account with everything sequenced so far."""
        return self.chunk.account(index)

    @property
    def is_grace(self) -> bool:
        """Whether the law fills nothing that grows."""
        return self.chunk.open(self.now).clock().grace

    def signed(self, maker: containers.Order) -> OpenOrder:
        """What is kept of an open order."""
        return self.orders.signed(maker)

    def chunk_for(self, maker: Arrival, taker: Arrival) -> tuple[Chunk, list[Arrival]]:
        """The open chunk, a new one where a fill between two orders has no room, and which of them it lacks."""
        chunk = self.chunk.open(self.now)
        missing = [arrival for arrival in (maker, taker) if not is_admitted(chunk, arrival.order)]
        if not self.chunk.has_room(*room_of_fill(len(missing))):
            return self.chunk.cut(self.now), [maker, taker]
        return chunk, missing

    def bears(self, maker: containers.Order) -> bool:
        """Whether a resting order's bytes are paid for, by its fees or within what the operator bears."""
        return self._pays(maker) or self._bears(maker.account)

    def _bears(self, account: int) -> bool:
        return self.ledger.unpaid.bears(self._payer(account), self.now)

    def _payer(self, account: int) -> Payer:
        return payer(self.chunk.globals.risk, account, self.account(account), self.now)

    def _pays(self, maker: containers.Order) -> bool:
        byte_micros = self.ledger.unpaid.byte_micros
        remaining = self.orders.signed(maker).remaining
        return byte_micros == 0 or pays_its_bytes(self.chunk.view, maker, remaining, byte_micros)

    def send(self, order: containers.Order, known: OpenOrder) -> list[AnyEffect]:
        """Sends a stop into the book, or tells that it leaves: nobody pays for the bytes of as much as one fill."""
        lots, byte_micros = known.remaining, self.ledger.unpaid.byte_micros
        if not stop_pays(self.chunk.view, order, lots, byte_micros) and not self._bears(order.account):
            return [_left(order, lots, Reason.UNPAID)]
        arrival = Arrival(order, known.operation, known.signer, known.terms)
        return self.place(arrival, replaces=True, most=lots)

    def note_request(self, account: int, size: int) -> None:
        """Counts what a request of so many bytes costs beyond the posting fee."""
        unpaid = self.ledger.unpaid
        unpaid.note(self._payer(account), size * unpaid.byte_micros - self.chunk.globals.posting_fee, self.now)

    def place(self, arrival: Arrival, *, replaces: bool = False, most: int | None = None) -> list[AnyEffect]:
        """Matches an order that the law admits, and lets the rest of it rest.

        replaces: one has just left for it. most: lots that are left of it, where the venue has taken some from it.
        """
        order = arrival.order
        book = self.orders.books[order.market]
        left = lots_left(self.chunk.view, order)
        if most is not None:
            left = min(left, most)
        size = reducible(order, self.account(order.account), left)
        if size <= 0:
            return [_left(order, left, Reason.REDUCED)]
        effects: list[AnyEffect] = []
        placing = Placing(self, book, arrival, left, size)
        unpaid = 0
        for decided in placing:
            if decided.filled is not None:
                fill, cost = self._fill(decided, decided.filled, arrival)
                effects.append(fill)
                unpaid += cost
            elif decided.is_decrement:
                effects += self._decrement(decided, order, placing.remaining)
            elif not decided.is_passed:
                effects.append(self.leave(decided.maker, decided.reason, _detail(decided.code)))
        self.ledger.unpaid.note(self._payer(order.account), unpaid, self.now)
        if placing.remaining == 0:
            return effects
        room = None
        if placing.may_rest:
            room = room_for(self.orders, self.chunk.view, order, False, replaces=replaces)
        if room is not None and not room.refusal:
            effects += self._displace(room)
            known = kept_as(self.orders, arrival, placing.remaining, room.behind)
            known.reduced = lots_left(self.chunk.view, order) - placing.remaining
            self.orders.rest(order, known)
            name = order_id(order)
            effects.append(Rested(order=name, account=order.account, market=order.market, lots=placing.remaining))
        else:
            effects.append(_left(order, placing.remaining, placing.reason, placing.detail, placing.met))
        return effects

    def _decrement(self, decided: Decided, taker: containers.Order, left: int) -> list[AnyEffect]:
        """Both orders of one owner lose what they have in common."""
        effects = [self.shrink(decided.maker, decided.lots, Reason.SELF_TRADE)]
        own = _shrunk(taker, left, Reason.SELF_TRADE) if left > 0 else _left(taker, decided.lots, Reason.SELF_TRADE)
        return [*effects, own]

    def shrink(self, order: containers.Order, lots: int, reason: Reason) -> AnyEffect:
        """Takes so many lots from an open order without a fill; with none left it is gone."""
        known = self.orders.signed(order)
        left = known.remaining - lots
        if left <= 0 and not known.armed:
            # Lot by lot, as a match that is under way counts. It may have had fewer left than are to be taken.
            gone = known.remaining
            self.orders.filled(order, gone)
            return _left(order, gone, reason)
        if left <= 0:
            return self.leave(order, reason)
        self.orders.shrink(order, lots)
        return _shrunk(order, left, reason)

    def take_over(self, arrival: Arrival, held: containers.Order) -> list[AnyEffect]:
        """Puts a smaller order of the same slot, side and price in the place of one that rests."""
        order = arrival.order
        left = lots_left(self.chunk.view, order)
        lots = self.orders.take_over(order, kept_as(self.orders, arrival, left, self.orders.signed(held).behind))
        name = order_id(order)
        return [
            _left(held, lots, Reason.REPLACED),
            Rested(order=name, account=order.account, market=order.market, lots=left),
        ]

    def arm(self, arrival: Arrival, *, replaces: bool, is_dormant: bool = False) -> list[AnyEffect]:
        """Lets an order wait for its trigger."""
        order = arrival.order
        room = room_for(self.orders, self.chunk.view, order, True, replaces=replaces)
        assert not room.refusal, "an order that was admitted finds its place"
        effects = self._displace(room)
        known = kept_as(self.orders, arrival, order.size, room.behind, is_armed=True)
        known.dormant = is_dormant
        self.orders.arm(order, known)
        return [*effects, _armed(order, order.size, is_dormant)]

    def wake(self, order: containers.Order) -> AnyEffect:
        """Lets a dormant order wait for its trigger alone."""
        return _armed(order, self.orders.wake(order), is_dormant=False)

    def _displace(self, room: Room) -> list[AnyEffect]:
        return [] if room.displaced is None else [self.leave(room.displaced, Reason.DISPLACED)]

    def leave(self, order: containers.Order, reason: Reason, detail: str = "") -> Left:
        """Takes an open order out."""
        lots = self.orders.leave(order)
        return _left(order, lots, reason, detail)

    def drop_uncovered(self, index: int) -> list[AnyEffect]:
        """Takes out what an account's free collateral no longer covers, the newest first; reduce-only orders stay."""
        chunk = self.chunk.view
        risk = chunk.globals.risk
        effects: list[AnyEffect] = []
        for order in self.orders.reserving(index):
            settled, _ = margin.settle(risk, self.account(index), chunk.clock().now)
            if cover(risk, settled, self.orders.reserved(index, risk.price)).free >= 0:
                break
            effects.append(self.leave(order, Reason.MARGIN))
        self.orders.rate(index, max(0, margin.collateral(self.account(index))))
        return effects

    def drop_cancelled(self, request: containers.Request, every: bool) -> list[AnyEffect]:
        """Takes out what a cancel covers: up to its sequence, in its slot or in all."""
        return [
            self.leave(order, Reason.CANCELLED)
            for order, _, _ in self.orders.open_of(request.account)
            if (every or order.slot == request.slot) and order.sequence <= request.sequence
        ]

    def _statuses_now(self) -> list[int]:
        return [listed.status for listed in self.chunk.globals.markets]

    def drop_refused_by_markets(self) -> list[AnyEffect]:
        """Takes out what markets fill no more whose status has changed, by an entry or by a tick that sets one aside.

        Left in the book, what may grow would stand before whoever wants to leave: the law refuses it, and not him.
        """
        was, self._statuses = self._statuses, self._statuses_now()
        changed = [market for market, status in enumerate(self._statuses) if status != was[market]]
        return [effect for market in changed for effect in self._drop_refused_by(market, self._statuses[market])]

    def _drop_refused_by(self, market: int, status: int) -> list[AnyEffect]:
        if status == constants.MARKET_OPEN:
            return []
        return [
            self.leave(order, Reason.MARKET)
            for order in self.orders.of_market(market)
            if status == constants.MARKET_SETTLED or order.reduce_only == 0
        ]

    def end_switches(self, most: int) -> list[AnyEffect]:
        """Takes out all orders of accounts whose dead-man switch has ended, until so many effects have come of it."""
        effects: list[AnyEffect] = []
        while self.orders.switches.is_due(self.now) and len(effects) < most:
            account = self.orders.switches.fire(self.now)
            effects.append(Switched(account=account, at_ms=0))
            effects += self.drop_all(account, Reason.SCHEDULED)
        return effects

    def drop_all(self, account: int, reason: Reason) -> list[AnyEffect]:
        """Takes out every open order of an account."""
        return [self.leave(order, reason) for order, _, _ in self.orders.open_of(account)]

    @property
    def ticked_at(self) -> int:
        """What ends before this time is over: a tick is newer, and by the clock of the input it has passed."""
        return min(self.now, self.chunk.globals.tick_time)

    def expire(self, most: int) -> list[AnyEffect]:
        """Takes out orders that are over, so many at most; the others are filled no more."""
        return [_left(order, lots, Reason.EXPIRED) for order, lots in self.orders.expire(self.ticked_at, most)]

    def resting_against(self, market: int, size: int) -> list[tuple[containers.Order, int]]:
        """Resting orders that a position of so many signed lots could be closed against, the best first."""
        return self.orders.resting_against(market, size, self.ticked_at)

    def _fill(self, decided: Decided, filled: containers.Filled, taker: Arrival) -> tuple[Filled, int]:
        """What is told of a fill, and what its bytes cost the taker's account beyond its fees; less than nothing too.

        A maker whose order is too small to pay for them brings up its own.
        """
        chunk = self.chunk.open(self.now)
        maker = decided.maker
        listed, unpaid = chunk.globals.markets[maker.market], self.ledger.unpaid
        size = constants.FILL_LENGTH + sum(len(arrival.operation) for arrival in decided.missing)
        cost = size * unpaid.byte_micros - filled.fee
        if not self._pays(maker):
            own_cost = maker_cost(listed, decided, taker.order, unpaid.byte_micros)
            unpaid.note(self._payer(maker.account), own_cost, self.now)
            cost -= max(own_cost, 0)
        self._admit(chunk, decided.missing)
        rows = self.account(maker.account), self.account(taker.order.account)
        maker_index = chunk.order_index[(maker.account, maker.slot, maker.sequence)]
        taker_index = chunk.order_index[(taker.order.account, taker.order.slot, taker.order.sequence)]
        chunk.book_fill(maker, taker.order, filled)
        self.chunk.append(operations.fill_bytes(maker_index, taker_index, decided.lots))
        self.orders.filled(maker, decided.lots)
        own = maker_fee(listed, decided.lots, maker.limit_price)
        fill = self._told(maker, decided.lots, (filled.fee, own), taker.order.account, order_id(taker.order))
        return self._filled(fill, (own, filled.fee - own), *rows), cost

    def _filled(self, fill: Fill, fees: tuple[int, int], *rows: containers.Account) -> Filled:
        """A fill as it is told. fees, rows: the maker's and the taker's, the rows as they were before it."""
        quote = fill.size * fill.price * (1 if fill.maker_side == constants.BUY else -1)
        maker = behind(rows[0], self.account(fill.maker), fill.market, quote)
        taker = behind(rows[1], self.account(fill.taker), fill.market, -quote)
        return Filled(fill=fill, maker_fee=fees[0], taker_fee=fees[1], maker=maker, taker=taker)

    def _told(self, maker: containers.Order, lots: int, fees: tuple[int, int], taker: int, taker_order: str) -> Fill:
        """The last operation of the chunk, which is a fill. fees: of both sides, and of these the maker's."""
        return Fill(
            market=maker.market,
            price=maker.limit_price,
            size=lots,
            maker=maker.account,
            taker=taker,
            maker_order=order_id(maker),
            taker_order=taker_order,
            maker_side=maker.side,
            fee=fees[0],
            time=self.chunk.view.commitment.timestamp,
            chunk=self.chunk.chunk_count + 1,
            operation=self.chunk.operations - 1,
            maker_fee=fees[1],
        )

    def _admit(self, chunk: Chunk, missing: tuple[Arrival, ...] | list[Arrival]) -> None:
        for arrival in missing:
            code = chunk.admit(arrival.order, arrival.signer)
            assert code == codes.OK, f"an order checked at its arrival is admitted: {code}"
            self.chunk.append(arrival.operation)

    # Rescues, as the liquidator asks for them.

    def rescue_code(self, tag: int, move: containers.Rescue, maker: containers.Order | None) -> int:
        """The law's code for a rescue on top of everything sequenced; nothing changes."""
        return self.decided(tag, move, maker).code

    def decided(self, tag: int, move: containers.Rescue, maker: containers.Order | None) -> containers.Rescued:
        """The same, with all that it comes to."""
        return decide_rescue(self.chunk.open(self.now), tag, move, maker or NO_ORDER)

    def rescue(
        self, tag: int, move: containers.Rescue, maker: containers.Order | None
    ) -> tuple[int, Fill | None, list[AnyEffect]]:
        """A rescue, booked where the law takes it: its code, the maker's fill, and what came of it beside."""
        chunk, missing = self._chunk_for_rescue(tag, move, maker)
        for arrival in missing:
            code = still_entitled(chunk, arrival.order, arrival.signer)
            if code != codes.OK:
                return code, None, []
        rescued = decide_rescue(chunk, tag, move, maker or NO_ORDER)
        ends_head = tag == constants.CLOSE_STEP and rescued.code in HEAD_ENDS
        if rescued.code != codes.OK and not ends_head:
            return rescued.code, None, []
        self._admit(chunk, missing)
        if maker is not None:
            place = chunk.order_index[(maker.account, maker.slot, maker.sequence)]
            move = msgspec.structs.replace(move, maker=place)
        operation = operations.rescue_bytes(tag, move)
        rescued_account = constants.insurance_account(move.market) if tag == constants.UNWIND else move.account
        rows = self.account(rescued_account if maker is None else maker.account), self.account(rescued_account)
        paid_before = chunk.commitment.withdrawn_total
        pays = maker is None or self._pays(maker)
        code = chunk.apply(operation)
        assert code == rescued.code, f"decided just before: {code}"
        self.chunk.append(operation)
        effects: list[AnyEffect] = []
        if tag == constants.CLOSE_STEP:
            effects += self._note_step(paid_before, code if ends_head else None)
        if maker is None:
            return code, None, effects
        if not pays:
            size = len(operation) + sum(len(arrival.operation) for arrival in missing)
            unpaid = self.ledger.unpaid
            unpaid.note(self._payer(maker.account), size * unpaid.byte_micros - rescued.fee, self.now)
        self.orders.filled(maker, move.lots)
        fill = self._told(maker, move.lots, (rescued.fee, rescued.fee), rescued_account, "")
        return code, fill, [self._filled(fill, (rescued.fee, 0), *rows), *effects]

    def _chunk_for_rescue(
        self, tag: int, move: containers.Rescue, maker: containers.Order | None
    ) -> tuple[Chunk, list[Arrival]]:
        makers: list[Arrival] = []
        if maker is not None:
            known = self.orders.signed(maker)
            makers = [Arrival(maker, known.operation, known.signer)]
        chunk = self.chunk.open(self.now)
        missing = [arrival for arrival in makers if not is_admitted(chunk, arrival.order)]
        size = len(operations.rescue_bytes(tag, move)) + len(missing) * constants.ORDER_LENGTH
        if not self.chunk.has_room(size, (*(constants.ORDER for _ in missing), tag)):
            return self.chunk.cut(self.now), makers
        return chunk, missing

    def drop_if_at_fault(self, maker: containers.Order, lots: int, code: int) -> list[AnyEffect]:
        """Takes a resting order out of the book where it was what the law refused a rescue for."""
        gone = (codes.EXPIRED, codes.NOT_YET, codes.AGENT_LIMITS, codes.BAD_SIGNATURE)
        if code in gone or is_maker_at_fault(self.chunk.view, maker, lots, code):
            return [self.leave(maker, departure(code), _detail(code))]
        return []

    # Payments.

    def pay_out(self, recipient: bytes, amount: int) -> PaidOut:
        """Lists the withdrawal that the last operation made."""
        index = self.ledger.note_withdrawal(recipient, amount, self.chunk.chunk_count + 1)
        assert index == self.chunk.globals.withdrawal_count - 1, "the list is the tree's"
        return PaidOut(withdrawal=index, recipient=recipient, amount=amount)

    def note_payment(self, record: EntryRecord, paid_before: int) -> list[AnyEffect]:
        """What a forced path has just paid to the owner of an entry's account."""
        paid = self.chunk.view.commitment.withdrawn_total - paid_before
        if paid == 0 or record.account is None:
            return []
        account = self.account(record.account)
        payment = self.pay_out(account.owner, paid)
        self.queue.paid(record, payment.withdrawal)
        return [payment, paid_out(record.account, account, payment)]

    def _note_step(self, paid_before: int, code: int | None) -> list[AnyEffect]:
        """What a step of the head has paid, and whether it was the last; code: how it ended, if not as it began."""
        head = self.queue.head
        assert head is not None, "a step is of a head"
        effects = self.note_payment(head, paid_before)
        if self.chunk.globals.head_account == 0:
            self.queue.ended(head, code)
            effects.append(EntryEnded(index=head.index, code=head.code))
        return effects


def _left(order: containers.Order, lots: int, reason: Reason, detail: str = "", met: tuple[str, int] = ("", 0)) -> Left:
    return Left(
        order=order_id(order),
        account=order.account,
        market=order.market,
        lots=lots,
        reason=reason,
        detail=detail,
        met=met[0],
        met_lots=met[1],
    )


def _armed(order: containers.Order, lots: int, is_dormant: bool) -> Armed:
    name = order_id(order)
    return Armed(order=name, account=order.account, market=order.market, lots=lots, dormant=is_dormant)


def _shrunk(order: containers.Order, left: int, reason: Reason) -> Shrunk:
    return Shrunk(order=order_id(order), account=order.account, market=order.market, lots=left, reason=reason)


def kept_as(orders: Orders, arrival: Arrival, remaining: int, behind: int, *, is_armed: bool = False) -> OpenOrder:
    """What is kept of an order that comes to stand in a book."""
    terms = arrival.terms
    return OpenOrder(orders.arrivals + 1, is_armed, remaining, arrival.operation, arrival.signer, behind, terms)


def _detail(code: int) -> str:
    return "" if code == codes.OK else codes.SENTENCE[code][0]
