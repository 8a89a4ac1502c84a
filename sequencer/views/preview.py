"""What an order or a request would come to, by the rules that will decide it; nothing changes."""

from collections.abc import Callable, Sequence

import msgspec

from prover.signing import operations
from prover.state.trial import maker_fee, next_chunk, one_side, peek_account, preview, taker_fee
from prover.stf import codes, constants, containers, custody, margin, trading
from prover.stf.replay import Chunk
from prover.stf.words import Recover
from sequencer.engine.effects import Reason, Refused, Repeated, status_of
from sequencer.engine.engine import UNCOVERING, Engine
from sequencer.engine.money.posting import Payer, payer
from sequencer.engine.order_book import Limits, Matching, OrderBook, order_id
from sequencer.engine.placing import (
    Admitted,
    Arrival,
    Decided,
    Placing,
    fits,
    is_admitted,
    judge,
    keeps_place,
    kept_behind,
    lots_left,
    maker_cost,
    pays_its_bytes,
    reducible,
    room_for,
    room_of_fill,
)
from sequencer.engine.records import OpenOrder
from sequencer.engine.reservation import Open, cover, with_lots
from sequencer.schema.accounts import Foreseen, Outlook, PreviewFill
from sequencer.views.account import outlook

# r and s of a signature that nobody made: the trial's recovery answers with the owner whatever it is asked.
_NO_SIGNATURE = (1).to_bytes(32, "big") * 2


def preview_request(engine: Engine, tag: int, request: containers.Request, now_ms: int) -> Foreseen:
    """A transfer, a withdrawal or a bound of leverage, as if its owner had signed it."""
    trial = _trial(engine, now_ms, engine.account(request.account).owner)
    applied = preview(trial, operations.request_bytes(tag, request, _NO_SIGNATURE))
    code = applied.operation_codes[0]
    prices = trial.globals.risk.price
    open: Open = engine.orders.reserved(request.account, prices)
    kept, leaving = open, list[containers.Order]()
    if code == codes.OK and tag in UNCOVERING:
        leaving, kept = _leaving(engine, applied, request.account, open)
    before = _seen(trial, request.account, open)
    other = other_before = other_after = None
    fees = trial.globals.posting_fee if code == codes.OK else 0
    if tag == constants.TRANSFER:
        is_opening = request.other == constants.NEW_ACCOUNT
        other = engine.globals.next_account if is_opening else request.other
        other_before = None if is_opening else _seen(trial, other, engine.orders.reserved(other, prices))
        if code == codes.OK:
            other_after = _seen(applied, other, engine.orders.reserved(other, prices))
            fees += constants.CREATION_FEE if is_opening else 0
        else:
            other_after = other_before
    return Foreseen(
        code=code,
        refusal="" if code == codes.OK else codes.SENTENCE[code][0],
        status="applied" if code == codes.OK else "refused",
        before=before,
        after=_seen(applied, request.account, kept) if code == codes.OK else before,
        fees_micros=fees,
        leaving=[order_id(order) for order in leaving],
        other=other,
        other_before=other_before,
        other_after=other_after,
    )


def preview_deposit(engine: Engine, index: int, amount: int, now_ms: int) -> Foreseen:
    """A deposit by the account's owner, as if L1 had it already."""
    owner = engine.account(index).owner
    trial = _trial(engine, now_ms, owner)
    open: Open = engine.orders.reserved(index, trial.globals.risk.price)
    entry = containers.Deposit(depositor=owner, owner=owner, account=index, amount=amount)
    code, richer = custody.deposit(
        entry, index, peek_account(trial, index), trial.globals.risk.debts, trial.commitment.timestamp
    )
    before = _seen(trial, index, open)
    return Foreseen(
        code=code,
        refusal="" if code == codes.OK else codes.SENTENCE[code][0],
        status="applied" if code == codes.OK else "refused",
        before=before,
        after=outlook(trial.globals, trial.clock(), index, richer, open) if code == codes.OK else before,
    )


def _leaving(engine: Engine, applied: Chunk, account: int, open: Open) -> tuple[list[containers.Order], Open]:
    """The open orders that leave since nothing covers them any more, the newest first; and what stays open."""
    risk, leaving = applied.globals.risk, list[containers.Order]()
    settled, _ = margin.settle(risk, peek_account(applied, account), applied.clock().now)
    for order in engine.orders.reserving(account):
        if cover(risk, settled, open).free >= 0:
            break
        known = engine.orders.signed(order)
        open = with_lots(open, order, -known.remaining, known.armed, risk.price[order.market])
        leaving.append(order)
    return leaving, open


def preview_order(
    engine: Engine,
    order: containers.Order,
    now_ms: int,
    opened: "Opened | None" = None,
    meets: Callable[[int], None] = lambda count: None,
) -> Foreseen:
    """An order, as if its owner had signed it: judged, placed and rested by the engine's own code on a scratch copy.

    opened: the order is of an account that is not there yet. meets: hears how many it has met with each one more, and
    may raise: nobody pays fees for a preview, and each takes as long as a fill.
    """
    rows = _Rows(engine, {} if opened is None else opened.rows)
    owner = rows.account(order.account).owner
    arrival = Arrival(order, operations.order_bytes(order, _NO_SIGNATURE), owner)
    scratch = _Scratch(engine, now_ms, rows)
    open = engine.orders.reserved(order.account, scratch.chunk.globals.risk.price)
    before = _seen(scratch.chunk, order.account, open)
    judged = judge(engine.orders, scratch.chunk, arrival)
    if isinstance(judged, Admitted) and not judged.is_armed and not scratch.fits(order):
        scratch.cut()
        judged = judge(engine.orders, scratch.chunk, arrival)
    if isinstance(judged, Refused):
        name = judged.detail or codes.SENTENCE[judged.code][0]
        largest = judged.most_lots
        return Foreseen(
            code=judged.code, refusal=name, status="refused", before=before, after=before, largest_size_lots=largest
        )
    if isinstance(judged, Repeated):
        return Foreseen(
            code=codes.OK,
            refusal="",
            status=judged.status,
            before=before,
            after=before,
            filled_lots=judged.filled,
            remaining_lots=judged.lots,
        )
    if judged.replaced is not None:
        known = engine.orders.signed(judged.replaced)
        at = scratch.chunk.globals.risk.price[judged.replaced.market]
        open = with_lots(open, judged.replaced, -known.remaining, known.armed, at)
    if judged.is_armed:
        price = scratch.chunk.globals.risk.price[order.market]
        return Foreseen(
            code=codes.OK,
            refusal="",
            status="armed",
            before=before,
            after=_seen(scratch.chunk, order.account, with_lots(open, order, order.size, True, price)),
            remaining_lots=order.size,
            if_filled=_if_filled(scratch.chunk, order, order.size, open, is_maker=False),
        )
    return _placed(engine, scratch, arrival, judged.replaced, before, open, meets)


def _placed(
    engine: Engine,
    scratch: "_Scratch",
    arrival: Arrival,
    replaced: containers.Order | None,
    before: Outlook,
    open: Open,
    meets: Callable[[int], None],
) -> Foreseen:
    """open: what is open of the account beside the order."""
    order = arrival.order
    left = lots_left(scratch.chunk, order)
    size = reducible(order, scratch.account(order.account), left)
    if size <= 0:
        return Foreseen(
            code=codes.OK, refusal="", status="expired", before=before, after=_seen(scratch.chunk, order.account, open)
        )
    reached = _Reached(engine.books[order.market], order, replaced)
    placing = Placing(scratch, reached, arrival, left, size)
    fills: list[PreviewFill] = []
    for count, decided in enumerate(placing, start=1):
        meets(count)
        if decided.filled is not None:
            fee = decided.filled.fee
            fills.append(PreviewFill(decided.maker.account, decided.maker.limit_price, decided.lots, fee))
            scratch.fill(decided, decided.filled, order)
            reached.filled(decided.maker, decided.lots)
        elif decided.is_decrement:
            reached.filled(decided.maker, decided.lots)
        else:
            # Or is passed over, which to whoever reaches the next is the same.
            reached.leave(decided.maker)
    price = scratch.chunk.globals.risk.price[order.market]
    better = sum(trading.signed_size(order, fill.size_lots) * (price - fill.price_ticks) for fill in fills)
    is_resting = placing.remaining > 0 and placing.may_rest
    if is_resting:
        gone = reached.gone + engine.orders.stands_in(replaced, order.market, False)
        replaces = replaced is not None
        is_resting = not room_for(engine.orders, scratch.chunk, order, False, replaces=replaces, gone=gone).refusal
    rest = with_lots(open, order, placing.remaining, False, price) if is_resting else open
    after = _seen(scratch.chunk, order.account, rest)
    kept = _fitted(engine, scratch, order, replaced, placing.remaining) if is_resting else 0
    if placing.remaining == 0:
        status = "filled"
    elif is_resting and kept == 0:
        status = status_of(Reason.REDUCED)
    elif is_resting:
        status = "partially_filled" if fills else "resting"
    else:
        status = "expired"
    return Foreseen(
        code=codes.OK,
        refusal=placing.detail if status == "expired" else "",
        status=status,
        before=before,
        after=after,
        filled_lots=placing.filled,
        # What leaves is told whole, what rests as it is left.
        remaining_lots=kept or placing.remaining,
        fills=fills,
        fees_micros=before.equity_micros + better - after.equity_micros,
        if_filled=_if_filled(scratch.chunk, order, kept, open, is_maker=True) if kept > 0 else None,
    )


def _fitted(
    engine: Engine, scratch: "_Scratch", order: containers.Order, replaced: containers.Order | None, lots: int
) -> int:
    """Lots that rest: of a reduce-only order no more than the position has beside those that came before it."""
    reducing = engine.orders.reducing_of(order.account)
    if replaced is not None and keeps_place(engine.orders, scratch.chunk, order, replaced, False):
        arrival = engine.orders.signed(replaced).arrival
        reducing = [found for found in reducing if found[1].arrival < arrival]
    before = sum(
        known.remaining
        for other, known in reducing
        if other is not replaced and other.market == order.market and not known.armed
    )
    return kept_behind(order, scratch.account(order.account), lots, before)


class Opened(msgspec.Struct, frozen=True):
    """An account that a transfer would open: its index, and the rows of both, by index."""

    account: int
    rows: dict[int, containers.Account]


def opened_by(engine: Engine, transfer: containers.Request, now_ms: int) -> Opened | Foreseen:
    """The account that a transfer to no account would open; what is told of the transfer where it would be refused."""
    trial = _trial(engine, now_ms, engine.account(transfer.account).owner)
    applied = preview(trial, operations.request_bytes(constants.TRANSFER, transfer, _NO_SIGNATURE))
    if applied.operation_codes[0] != codes.OK:
        return preview_request(engine, constants.TRANSFER, transfer, now_ms)
    index = engine.globals.next_account
    return Opened(index, {each: peek_account(applied, each) for each in (transfer.account, index)})


class _Rows(msgspec.Struct):
    """Rows with everything sequenced so far, and what is imagined beside them."""

    engine: Engine
    imagined: dict[int, containers.Account] = {}

    def account(self, index: int) -> containers.Account:
        found = self.imagined.get(index)
        return self.engine.account(index) if found is None else found

    def slot(self, leaf_index: int) -> containers.Slot:
        return self.engine.slot(leaf_index)


class _Scratch:
    """The open chunk on a copy that is thrown away: what it has admitted, the room it has left, its clock."""

    def __init__(self, engine: Engine, now_ms: int, rows: _Rows) -> None:
        self._engine = engine
        self._now_ms = now_ms
        view = engine.view
        self._size = engine.open_chunk.body_size
        # What bytes of makers cost beyond their fees, by a payer's keys.
        self._unpaid: dict[bytes, int] = {}
        self.chunk = _behind(engine, view, rows)
        if engine.open_operations:
            self.chunk.weight = view.weight
            self.chunk.account_references = view.account_references
            self.chunk.slot_references = view.slot_references
            self.chunk.orders = view.orders.copy()
            self.chunk.order_index = view.order_index.copy()
            self.chunk.operation_codes = view.operation_codes.copy()
        else:
            self.chunk.open(now_ms)
            self._size = constants.TIMESTAMP_LENGTH

    @property
    def ticked_at(self) -> int:
        """What ends before this time is over."""
        return min(self._now_ms, self.chunk.globals.tick_time)

    @property
    def is_grace(self) -> bool:
        """Whether the law fills nothing that grows."""
        return self.chunk.clock().grace

    def account(self, index: int) -> containers.Account:
        """An account with everything decided so far."""
        return peek_account(self.chunk, index)

    def signed(self, maker: containers.Order) -> OpenOrder:
        """What is kept of a resting order."""
        return self._engine.orders.signed(maker)

    def bears(self, maker: containers.Order) -> bool:
        """Whether a resting order's bytes are paid for, by its fees or within what the operator bears."""
        unpaid = self._engine.ledger.unpaid
        remaining = self.signed(maker).remaining
        return (
            unpaid.byte_micros == 0
            or pays_its_bytes(self.chunk, maker, remaining, unpaid.byte_micros)
            or unpaid.bears(self._payer(maker.account), self._now_ms, self._unpaid)
        )

    def _payer(self, account: int) -> Payer:
        return payer(self.chunk.globals.risk, account, self.account(account), self._now_ms)

    def fits(self, order: containers.Order) -> bool:
        """Whether what an order will come to finds room, as the engine tells it beforehand."""
        return fits(self._engine.orders, self.chunk, order, self._has_room)

    def _has_room(self, size: int, tags: Sequence[int]) -> bool:
        is_empty = not self.chunk.operation_codes
        return is_empty or (self._size + size <= constants.MAX_CHUNK_BYTES and self.chunk.has_room(*tags))

    def cut(self) -> None:
        """Goes on in the next chunk."""
        self.chunk = next_chunk(self.chunk, self._now_ms)
        self._size = constants.TIMESTAMP_LENGTH

    def chunk_for(self, maker: Arrival, taker: Arrival) -> tuple[Chunk, list[Arrival]]:
        """A chunk with room for a fill between two orders, and which of them it has not admitted yet."""
        missing = [arrival for arrival in (maker, taker) if not is_admitted(self.chunk, arrival.order)]
        if not self._has_room(*room_of_fill(len(missing))):
            self.cut()
            return self.chunk, [maker, taker]
        return self.chunk, missing

    def fill(self, decided: Decided, filled: containers.Filled, taker: containers.Order) -> None:
        """Books a fill that was decided."""
        maker, unpaid = decided.maker, self._engine.ledger.unpaid
        if not pays_its_bytes(self.chunk, maker, self.signed(maker).remaining, unpaid.byte_micros):
            # As the engine counts it: what is met behind it finds so much less borne.
            cost = maker_cost(self.chunk.globals.markets[maker.market], decided, taker, unpaid.byte_micros)
            for key in self._payer(maker.account).keys:
                self._unpaid[key] = self._unpaid.get(key, 0) + max(cost, 0)
        for arrival in decided.missing:
            self.chunk.admit(arrival.order, arrival.signer)
        self.chunk.book_fill(decided.maker, taker, filled)
        self._size += room_of_fill(len(decided.missing))[0]


class _Reached:
    """A copy of as much of a book as an order reaches: one maker at a time stands in it, by the book's own priority."""

    def __init__(self, book: OrderBook, taker: containers.Order, replaced: containers.Order | None) -> None:
        self._facing = (found for found in book.facing(taker) if found[0] is not replaced)
        self._copy = OrderBook(taker.market, Limits(orders=2, orders_of_account=2))
        self.gone = 0
        self._reach()

    def match(
        self, taker: containers.Order, size: int, is_own: Callable[[containers.Order], bool] | None = None
    ) -> Matching:
        """The proposals for one taker."""
        return self._copy.match(taker, size, is_own)

    def filled(self, maker: containers.Order, lots: int) -> None:
        """Books a fill."""
        self._copy.filled(maker, lots)
        self._went()

    def leave(self, maker: containers.Order) -> None:
        """Takes a maker out."""
        self._copy.remove(maker.account, maker.slot)
        self._went()

    def _went(self) -> None:
        if len(self._copy) == 0:
            self.gone += 1
            self._reach()

    def _reach(self) -> None:
        found = next(self._facing, None)
        if found is not None:
            self._copy.add(*found)


def _behind(engine: Engine, view: Chunk, rows: _Rows, recover: Recover | None = None) -> Chunk:
    """A throw-away chunk on top of everything sequenced."""
    # An open chunk without an operation has nothing but a time, which the next operation sets anew.
    commitment, globals = view.pre_commitment, view.pre_globals
    if engine.open_operations:
        commitment, globals = view.commitment, view.globals
    return Chunk(engine.domain, commitment, globals, rows, recover or view.ecrecover)


def _trial(engine: Engine, now_ms: int, owner: bytes) -> Chunk:
    """A throw-away chunk with the clock that the next operation will find, to which every signature is the owner's."""
    trial = _behind(engine, engine.view, _Rows(engine), lambda digest, v, r, s: owner)
    if not engine.open_operations:
        trial.open(now_ms)
    return trial


def _seen(trial: Chunk, account: int, open: Open) -> Outlook:
    return outlook(trial.globals, trial.clock(), account, peek_account(trial, account), open)


def _if_filled(trial: Chunk, order: containers.Order, left: int, open: Open, *, is_maker: bool) -> Outlook | None:
    market = trial.globals.markets[order.market]
    account = peek_account(trial, order.account)
    lots = reducible(order, account, left)
    price = order.limit_price
    fee = maker_fee(market, lots, price) if is_maker else taker_fee(market, lots, price, trial.globals.posting_fee)
    size = trading.signed_size(order, lots)
    traded = one_side(trial.globals, trial.clock(), account, order.market, size, price, fee)
    if lots <= 0 or traded.code != codes.OK:
        return None
    # Who takes the other side is not known, so that open interest stands as it is.
    return outlook(trial.globals, trial.clock(), order.account, traded.account, open)
