"""What an order or a request would come to, by the rules that will decide it; nothing changes."""

from collections.abc import Iterator

import msgspec

from prover.signing import operations
from prover.state.trial import decide_fill, one_side, peek_account, peek_slot, preview
from prover.stf import codes, constants, containers, margin, trading
from prover.stf.replay import Chunk
from sequencer.engine.engine import Admitted, Engine, is_maker_at_fault, still_entitled
from sequencer.engine.order_book import Limits, OrderBook, Stop
from sequencer.views.account import Outlook, outlook

# r and s of a signature that nobody made: the trial's recovery answers with the owner whatever it is asked.
_NO_SIGNATURE = (1).to_bytes(32, "big") * 2


class PreviewFill(msgspec.Struct, frozen=True):
    """One fill as it would be. fee_micros: of both sides, as in the fill that is told afterwards."""

    maker: int
    price_ticks: int
    size_lots: int
    fee_micros: int


class Preview(msgspec.Struct, frozen=True):
    """What would come of an operation. code: of the law; refusal: why it, or its rest, would not go on.

    fees_micros: what the account itself would pay. Each state has the buying power that the law would leave it at the
    prices, fees and open interest of that state. if_filled: the account once the rest that would rest or wait is filled
    at its limit; None where there is no rest or where the law would not take that fill today. other: the account that
    receives a transfer; where the transfer opens it, there is none before it nor after a refusal.
    """

    code: int
    refusal: str
    status: str
    before: Outlook
    after: Outlook
    filled_lots: int = 0
    remaining_lots: int = 0
    fills: list[PreviewFill] = []
    fees_micros: int = 0
    if_filled: Outlook | None = None
    other: int | None = None
    other_before: Outlook | None = None
    other_after: Outlook | None = None


def preview_request(engine: Engine, tag: int, request: containers.Request, now_ms: int) -> Preview:
    """A transfer, a withdrawal or a bound of leverage, as if its owner had signed it."""
    trial = _trial(engine, now_ms, engine.account(request.account).owner)
    applied = preview(trial, operations.request_bytes(tag, request, _NO_SIGNATURE))
    code = applied.operation_codes[0]
    before = _seen(trial, request.account)
    other = other_before = other_after = None
    fees = 0
    if tag == constants.TRANSFER:
        is_opening = request.other == constants.NEW_ACCOUNT
        other = engine.globals.next_account if is_opening else request.other
        other_before = None if is_opening else _seen(trial, other)
        if code == codes.OK:
            other_after = _seen(applied, other)
            fees = constants.CREATION_FEE if is_opening else 0
        else:
            other_after = other_before
    return Preview(
        code=code,
        refusal="" if code == codes.OK else codes.SENTENCE[code][0],
        status="applied" if code == codes.OK else "refused",
        before=before,
        after=_seen(applied, request.account) if code == codes.OK else before,
        fees_micros=fees,
        other=other,
        other_before=other_before,
        other_after=other_after,
    )


def preview_order(engine: Engine, order: containers.Order, now_ms: int) -> Preview:
    """An order, as if its owner had signed it: judged, matched against the book, and rested as far as it may.

    The open chunk's clock holds for the whole match: that a full chunk is closed within it is not foreseen.
    """
    trial = _trial(engine, now_ms, engine.account(order.account).owner)
    risk = trial.globals.risk
    before = _seen(trial, order.account)
    judged = engine.judge(trial, order, operations.order_bytes(order, _NO_SIGNATURE), before.owner)
    if not isinstance(judged, Admitted):
        name = "" if judged.code == codes.OK else codes.SENTENCE[judged.code][0]
        return Preview(
            code=judged.code,
            refusal=judged.refusal or name,
            status=judged.status or "refused",
            before=before,
            after=before,
            filled_lots=judged.filled,
            remaining_lots=judged.remaining,
        )
    if judged.is_armed:
        waiting = _if_filled(trial, order, order.size, is_maker=False)
        return Preview(
            code=codes.OK,
            refusal="",
            status="armed",
            before=before,
            after=before,
            remaining_lots=order.size,
            if_filled=waiting,
        )
    matched = _matched(engine, trial, order, judged.replaced)
    after = _seen(trial, order.account)
    better = sum(
        trading.signed_size(order, fill.size_lots) * (risk.price[order.market] - fill.price_ticks)
        for fill in matched.fills
    )
    is_resting = matched.status in ("resting", "partially_filled")
    return Preview(
        code=codes.OK,
        refusal=matched.refusal,
        status=matched.status,
        before=before,
        after=after,
        filled_lots=sum(fill.size_lots for fill in matched.fills),
        remaining_lots=matched.remaining,
        fills=matched.fills,
        fees_micros=before.equity_micros + better - after.equity_micros,
        if_filled=_if_filled(trial, order, matched.remaining, is_maker=True) if is_resting else None,
    )


class _Rows(msgspec.Struct):
    """Rows with everything sequenced so far."""

    engine: Engine

    def account(self, index: int) -> containers.Account:
        return self.engine.account(index)

    def slot(self, leaf_index: int) -> containers.Slot:
        return self.engine.slot(leaf_index)


def _trial(engine: Engine, now_ms: int, owner: bytes) -> Chunk:
    """A throw-away chunk on top of everything sequenced, with the clock that the next operation will find."""
    chunk = engine.view
    trial = Chunk(engine.domain, chunk.commitment, chunk.globals, _Rows(engine), lambda digest, v, r, s: owner)
    if not engine.open_operations:
        trial.commitment.timestamp = chunk.pre_commitment.timestamp
        trial.open(now_ms)
    return trial


def _seen(trial: Chunk, account: int) -> Outlook:
    return outlook(trial.globals, trial.clock(), peek_account(trial, account))


def _if_filled(trial: Chunk, order: containers.Order, left: int, *, is_maker: bool) -> Outlook | None:
    market = trial.globals.markets[order.market]
    account = peek_account(trial, order.account)
    lots = Engine.reducible(order, account, left)
    fee_ppm, once = (market.maker_fee_ppm, 0) if is_maker else (market.taker_fee_ppm, trial.globals.posting_fee)
    fee = margin.ceil_div(lots * order.limit_price * fee_ppm, constants.PPM) + once
    size = trading.signed_size(order, lots)
    traded = one_side(trial.globals, trial.clock(), account, order.market, size, order.limit_price, fee)
    if lots <= 0 or traded.code != codes.OK:
        return None
    # Who takes the other side is not known, so that open interest stands as it is.
    return outlook(trial.globals, trial.clock(), traded.account)


class _Matched(msgspec.Struct):
    fills: list[PreviewFill]
    remaining: int
    status: str
    refusal: str = ""


def _matched(engine: Engine, trial: Chunk, order: containers.Order, replaced: containers.Order | None) -> _Matched:
    """As the engine places an order, on the trial chunk and a copy of as much of the book as it reaches."""
    book = engine.books[order.market]
    left = order.size - trading.filled_before(order, peek_slot(trial, order.account << 8 | order.slot))
    size = engine.reducible(order, peek_account(trial, order.account), left)
    if size <= 0:
        return _Matched([], 0, "expired")
    facing = _without(book.facing(order), replaced)
    reached = OrderBook(order.market, Limits(orders=2, orders_of_account=2))

    def reach() -> None:
        """One maker at a time stands in the copied book, so that the match is the book's own."""
        found = next(facing, None)
        if found is not None:
            reached.add(*found)

    reach()
    fills: list[PreviewFill] = []
    halt = codes.OK
    own_gone = int(replaced is not None and book.get(replaced.account, replaced.slot) is not None)
    makers_gone = 0
    owner = peek_account(trial, order.account).owner
    matching = reached.match(order, size, lambda index: engine.account(index).owner == owner)
    for maker, offered in matching:
        lots = engine.reducible(maker, peek_account(trial, maker.account), offered)
        if lots == 0:
            halt, leaves, fill = codes.OK, True, None
        else:
            halt, leaves, fill = _fill(engine, trial, maker, order, lots)
        if fill is not None:
            fills.append(fill)
            reached.filled(maker, lots)
        elif leaves:
            reached.remove(maker.account, maker.slot)
            halt = codes.OK
        else:
            break
        if len(reached) == 0:
            makers_gone += 1
            reach()
    remaining = left - sum(fill.size_lots for fill in fills)
    may_rest = order.time_in_force == constants.GOOD_TILL_TIME and halt == codes.OK
    if remaining == 0:
        return _Matched(fills, 0, "filled")
    if may_rest and matching.stop is Stop.UNCROSSED and book.has_room(order.account, makers_gone, own_gone):
        return _Matched(fills, remaining, "partially_filled" if fills else "resting")
    return _Matched(
        fills, remaining, "expired", codes.SENTENCE[halt][0] if halt != codes.OK else str(matching.stop or "")
    )


def _without(
    facing: Iterator[tuple[containers.Order, int]], replaced: containers.Order | None
) -> Iterator[tuple[containers.Order, int]]:
    return ((maker, lots) for maker, lots in facing if maker is not replaced)


def _fill(
    engine: Engine, trial: Chunk, maker: containers.Order, taker: containers.Order, lots: int
) -> tuple[int, bool, PreviewFill | None]:
    """The law's code, whether it is the maker that leaves, and the fill if there was one."""
    is_carried = (maker.account, maker.slot, maker.sequence) in engine.view.order_index
    code = codes.OK if is_carried else still_entitled(trial, maker, engine.signer_of(maker))
    if code != codes.OK:
        return code, True, None
    filled = decide_fill(trial, maker, taker, lots)
    if filled.code != codes.OK:
        return filled.code, is_maker_at_fault(trial, maker, lots, filled.code), None
    trial.book_fill(maker, taker, filled)
    return codes.OK, False, PreviewFill(maker.account, maker.limit_price, lots, filled.fee)
