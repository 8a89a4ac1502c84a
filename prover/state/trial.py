"""What would the law say: asked of a chunk that stays as it is, by previews, by a guard and by the engine."""

from typing import Final

import msgspec

from prover.stf import constants, containers, encoding, margin, rescue, trading
from prover.stf.replay import Chunk, Rows
from prover.stf.words import Recover, bytes32

NO_ORDER: Final = encoding.order(0, 0)
_NO_SLOT: Final = encoding.no_slot()


def peek_account(chunk: Chunk, index: int) -> containers.Account:
    """An account as it stands now, without touching it: what is only looked at needs no witness."""
    account = chunk.accounts.get(index)
    return chunk.rows.account(index) if account is None else account


def peek_slot(chunk: Chunk, leaf_index: int) -> containers.Slot:
    """An order slot as it stands now, without touching it."""
    slot = chunk.slots.get(leaf_index)
    return chunk.rows.slot(leaf_index) if slot is None else slot


def side(chunk: Chunk, order: containers.Order) -> containers.Side:
    """An order with its account and its slot as they stand now."""
    return containers.Side(
        order=order,
        account=peek_account(chunk, order.account),
        slot=peek_slot(chunk, (order.account << 8) | order.slot),
    )


def maker_fee(market: containers.Market, lots: int, price: int) -> int:
    """What a maker pays for a fill, in micro-dollars: rounded up, as in `trading.fill`."""
    return margin.ceil_div(lots * price * market.maker_fee_ppm, constants.PPM)


def taker_fee(market: containers.Market, lots: int, price: int, posting_fee: int) -> int:
    """What a taker pays for an order's first fill: as a maker by its own rate, and the posting fee once."""
    return margin.ceil_div(lots * price * market.taker_fee_ppm, constants.PPM) + posting_fee


def decide_fill(chunk: Chunk, maker: containers.Order, taker: containers.Order, size: int) -> containers.Filled:
    """What the law says of a fill between two orders, admitted to this chunk or not; `book_fill` takes it."""
    globals = chunk.globals
    return trading.fill(
        globals.risk,
        chunk.clock(),
        globals.markets[maker.market],
        globals.posting_fee,
        side(chunk, maker),
        side(chunk, taker),
        size,
    )


def decide_rescue(
    chunk: Chunk, tag: int, move: containers.Rescue, maker: containers.Order = NO_ORDER
) -> containers.Rescued:
    """What the law says of a rescue, its maker admitted to this chunk or not; a close step is one of the open head."""
    if tag == constants.CLOSE_STEP:
        move = chunk.of_head(move)
    if tag in (constants.LIQUIDATE, constants.UNWIND):
        decide, market, other = rescue.decide_by_order, maker.market, side(chunk, maker)
    else:
        decide, market = rescue.decide, move.market
        other = containers.Side(order=maker, account=peek_account(chunk, move.other), slot=_NO_SLOT)
    return decide(
        tag,
        chunk.conditions(tag, market),
        move,
        peek_account(chunk, move.account),
        other,
        peek_account(chunk, constants.insurance_account(market)),
    )


def one_side(
    globals: containers.Globals,
    clock: containers.Clock,
    account: containers.Account,
    market: int,
    size: int,
    price: int,
    fee: int,
) -> containers.Traded:
    """What a fill of `size` signed lots would make of one account, whoever stood on the other side."""
    risk, listed = globals.risk, globals.markets[market]
    growing_ppm = margin.scaled_ppm(
        listed, risk.price[market], listed.open_interest + abs(size), risk.initial_ppm[market]
    )
    leg = containers.Leg(market=market, size=size, price=price, fee=fee, growing_ppm=growing_ppm)
    return trading.trade(risk, clock, account, leg)


class _Above(msgspec.Struct):
    """Rows of a chunk as it stands now, for another chunk on top of it."""

    chunk: Chunk

    def account(self, index: int) -> containers.Account:
        return peek_account(self.chunk, index)

    def slot(self, leaf_index: int) -> containers.Slot:
        return peek_slot(self.chunk, leaf_index)


def preview(chunk: Chunk, operation: bytes) -> Chunk:
    """A throw-away chunk in which one operation was applied on top of `chunk`, which stays as it is."""
    above = Chunk(chunk.domain, chunk.commitment, chunk.globals, _Above(chunk), chunk.ecrecover)
    above.apply(operation)
    return above


def next_chunk(chunk: Chunk, timestamp: int) -> Chunk:
    """A throw-away chunk behind `chunk`, as an operation at that time, in milliseconds, would find it."""
    behind = Chunk(chunk.domain, chunk.commitment, chunk.globals, _Above(chunk), chunk.ecrecover)
    behind.open(timestamp)
    return behind


class _Left(msgspec.Struct):
    """Rows as the full chunks of a trial left them; a chain of overlays would nest for each."""

    below: Rows
    accounts: dict[int, containers.Account] = {}
    slots: dict[int, containers.Slot] = {}

    def account(self, index: int) -> containers.Account:
        found = self.accounts.get(index)
        return self.below.account(index) if found is None else found

    def slot(self, leaf_index: int) -> containers.Slot:
        found = self.slots.get(leaf_index)
        return self.below.slot(leaf_index) if found is None else found


class Trial:
    """Operations on top of a state that stays as it is, in as many chunks as they need; nothing is ever sealed.

    `chunk` is the one that is open now.
    """

    def __init__(
        self,
        domain: bytes32,
        commitment: containers.Commitment,
        globals: containers.Globals,
        rows: Rows,
        ecrecover: Recover,
    ) -> None:
        self._left = _Left(rows)
        self._below: set[int] = set()
        self.chunk = Chunk(domain, commitment, globals, self._left, ecrecover)

    def apply(self, operation: bytes) -> int:
        """The law's code of one whole operation; what it changes stays."""
        if not self.chunk.has_room(operation[0]):
            full = self.chunk
            self._left.accounts.update(full.accounts)
            self._left.slots.update(full.slots)
            self.chunk = Chunk(full.domain, full.commitment, full.globals, self._left, full.ecrecover)
        return self.chunk.apply(operation)

    def account(self, index: int) -> containers.Account:
        """An account as it stands here."""
        return peek_account(self.chunk, index)

    def touched(self) -> set[int]:
        """Accounts that may stand otherwise here than in the state below."""
        return {*self._below, *self._left.accounts, *self.chunk.accounts}

    def above(self) -> "Trial":
        """Another trial that begins where this one stands and leaves it as it is."""
        below = self.chunk
        trial = Trial(below.domain, below.commitment, below.globals, _Above(below), below.ecrecover)
        trial._below = self.touched()
        return trial
